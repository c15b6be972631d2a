package main

import (
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// writeQuantise writes the conversion of floats to the integers of the integer
// path, for rows of whole double registers.
func writeQuantise(g *gen) {
	channels := 2 * g.isa.lanes
	g.text("quantiseRows", "(args *quantiseArgs)", "converts rows whose length is a multiple of "+
		map[int]string{16: "16", 32: "32"}[channels]+".")
	arg := func(name string) operand.Mem { return g.field(reg.RDI, "quantiseArgs", name) }
	src, scale, offset := reg.RSI, reg.R8, reg.R9
	dst16, dst8 := reg.R10, reg.R11
	rows, count := reg.R12, reg.R13
	lo, hi, t := g.v(0), g.v(1), g.v(2)
	most, least, order := g.v(3), g.v(4), g.v(5)

	g.MOVQ(operand.NewParamAddr("args", 0), reg.RDI)
	for _, c := range []struct {
		x float32
		r reg.VecPhysical
	}{{math.MaxInt16, most}, {math.MinInt16, least}} {
		g.MOVL(operand.U32(math.Float32bits(c.x)), reg.EAX)
		if g.isa == avx512 {
			g.VPBROADCASTD(reg.EAX, c.r)
		} else {
			g.VMOVD(reg.EAX, c.r.AsX())
			g.VBROADCASTSS(c.r.AsX(), c.r)
		}
	}
	o := &intFinish{gen: g, free: func(i int) reg.VecPhysical { return g.v(i) }} // order is register 5
	if g.isa == avx512 {
		g.VMOVDQU64(g.packOrder(), order)
	}
	g.MOVQ(arg("src"), src)
	g.MOVQ(arg("dst16"), dst16)
	g.MOVQ(arg("dst8"), dst8)
	g.MOVQ(arg("rows"), rows)
	g.Label("row")
	g.MOVQ(arg("scale"), scale)
	g.MOVQ(arg("offset"), offset)
	g.MOVQ(arg("n"), count)
	g.Label("loop")
	for i, r := range []reg.VecPhysical{lo, hi} {
		g.VMOVUPS(mem(src, i*g.bytes()), r)
		g.VMULPS(mem(scale, i*g.bytes()), r, r)
		g.VMINPS(most, r, r)
		g.VMAXPS(least, r, r)
		g.VCVTPS2DQ(r, r)
	}
	g.VPACKSSDW(hi, lo, t)
	o.quadwords(t, t)
	g.TESTQ(dst16, dst16)
	g.JZ(operand.LabelRef("no16"))
	g.VMOVUPS(t, mem(dst16, 0))
	g.ADDQ(imm(g.bytes()), dst16)
	g.Label("no16")
	g.TESTQ(dst8, dst8)
	g.JZ(operand.LabelRef("no8"))
	g.VPADDSW(mem(offset, 0), t, t)
	g.VPSRAW(g.constant("rescaleBits"), t, t)
	g.VPACKUSWB(t, t, t)
	o.quadwords(t, t)
	if g.isa == avx512 {
		g.VMOVUPS(t.AsY(), mem(dst8, 0))
	} else {
		g.VMOVUPS(t.AsX(), mem(dst8, 0))
	}
	g.ADDQ(imm(g.bytes()/2), dst8)
	g.Label("no8")
	g.ADDQ(imm(2*g.bytes()), src)
	g.ADDQ(imm(2*g.bytes()), scale)
	g.ADDQ(imm(g.bytes()), offset)
	g.SUBQ(imm(channels), count)
	g.JNZ(operand.LabelRef("loop"))
	g.DECQ(rows)
	g.JNZ(operand.LabelRef("row"))
	g.ret()
}
