package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// sampleStep is how many elements the loops to bytes take at once.
const sampleStep = 16

// writeSamples writes the functions of samples.go. Those that end in bytes do whole
// steps; what remains is left to the caller.
func writeSamples(g *gen) {
	if g.isa == avx2 {
		g.tailMasks()
	}
	g.text("dequantise", "(dst []float32, k []int32, mean, scale, gain []float32)", "computes (k + mean*scale)*gain.")
	ptr := []reg.Register{reg.RDI, reg.RSI, reg.R8, reg.R9, reg.R10}
	for i, name := range []string{"dst", "k", "mean", "scale", "gain"} {
		g.MOVQ(operand.NewParamAddr(name+"_base", 24*i), ptr[i])
	}
	g.MOVQ(operand.NewParamAddr("dst_len", 8), flatCount)
	g.flat(2, func(l lane) {
		at := func(i int) operand.Mem { return indexed(ptr[i], flatIndex, 4, l.unroll*l.bytes()) }
		k, mean, factor := g.v(3*l.unroll), g.v(3*l.unroll+1), g.v(3*l.unroll+2)
		l.load(at(1), k, l.masked)
		l.load(at(2), mean, l.masked)
		l.load(at(3), factor, l.masked)
		g.VCVTDQ2PS(k, k)
		g.VMULPS(factor, mean, mean)
		l.load(at(4), factor, l.masked)
		g.VADDPS(mean, k, k)
		g.VMULPS(factor, k, k)
		l.store(k, at(0), l.masked)
	})
	g.ret()

	g.text("levelSteps", "(dst []uint8, x []float32, shift, most int)", "computes whole steps of 16 levels.")
	g.VMOVQ(operand.NewParamAddr("shift", 48), reg.X10)
	g.MOVQ(operand.NewParamAddr("most", 56), reg.RAX)
	most, zero := g.v(8), g.v(9)
	g.VMOVD(reg.EAX, most.AsX())
	g.VPBROADCASTD(most.AsX(), most)
	g.zero(zero)
	g.toBytes("x", func(r reg.VecPhysical) {
		g.VCVTTPS2DQ(r, r)
		g.VPSRAD(reg.X10, r, r)
		g.VPMINSD(most, r, r)
		g.VPMAXSD(zero, r, r)
	}, func(r reg.Register) {
		g.VPCMPEQB(zero.AsX(), r, reg.X11)
		g.VPOR(reg.X11, r, r)
	})

	g.text("sampleByteSteps", "(dst []uint8, x []float32)", "computes whole steps of 16 bytes.")
	half, scale := g.v(8), g.v(10)
	g.broadcast(g.c(0.5), half)
	g.broadcast(g.c(255), scale)
	g.zero(zero)
	g.toBytes("x", func(r reg.VecPhysical) {
		g.VADDPS(half, r, r)
		g.VMULPS(scale, r, r)
		g.VADDPS(half, r, r)
		g.max(r, zero, r)
		g.min(r, scale, r)
		g.VCVTTPS2DQ(r, r)
	}, nil)

	if g.isa != avx2 { // nothing to gain from wider registers
		return
	}
	const pixels = 8
	g.text("opaqueSteps", "(dst, src []uint8)", "copies whole steps of 8 pixels and reads 4 bytes more of src.")
	g.slices("dst", "src")
	order := operand.NewStaticSymbol("opaqueOrder")
	g.StaticGlobal(order.Name)
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for lane := range 2 {
		for p := range 4 {
			g.AddDatum(16*lane+4*p, operand.U32(uint32(3*p)|uint32(3*p+1)<<8|uint32(3*p+2)<<16|0x80<<24))
		}
	}
	shuffle, alpha, x := g.v(0), g.v(1), g.v(2)
	g.VMOVDQU(operand.NewDataAddr(order, 0), shuffle)
	g.VPBROADCASTD(g.data("a", 0xff000000, 4, 1), alpha)
	g.SUBQ(imm(4*pixels), flatCount)
	g.JL(operand.LabelRef("done"))
	g.Label("loop")
	g.VMOVDQU(mem(flatPtr[1], 0), x.AsX())
	g.VINSERTI128(imm(1), mem(flatPtr[1], 12), x, x)
	g.VPSHUFB(shuffle, x, x)
	g.VPOR(alpha, x, x)
	g.VMOVDQU(x, mem(flatPtr[0], 0))
	g.ADDQ(imm(3*pixels), flatPtr[1])
	g.ADDQ(imm(4*pixels), flatPtr[0])
	g.SUBQ(imm(4*pixels), flatCount)
	g.JGE(operand.LabelRef("loop"))
	g.Label("done")
	g.ret()
}

// toBytes emits the loop of a function of dst and x: convert turns a register of
// floats into integers of 0 to 255, and finish, unless nil, changes their bytes.
func (g *gen) toBytes(x string, convert func(r reg.VecPhysical), finish func(r reg.Register)) {
	g.slices("dst", x)
	g.SUBQ(imm(sampleStep), flatCount)
	g.JL(operand.LabelRef("done"))
	g.Label("loop")
	lo, hi := g.v(0), g.v(1)
	g.VMOVUPS(mem(flatPtr[1], 0), lo)
	convert(lo)
	if g.isa == avx512 {
		g.VPMOVDB(lo, reg.X0)
	} else {
		g.VMOVUPS(mem(flatPtr[1], g.bytes()), hi)
		convert(hi)
		g.VPACKSSDW(hi, lo, lo)
		g.VPERMQ(operand.U8(0xd8), lo, lo)
		g.VEXTRACTI128(imm(1), lo, reg.X1)
		g.VPACKUSWB(reg.X1, reg.X0, reg.X0)
	}
	if finish != nil {
		finish(reg.X0)
	}
	g.VMOVDQU(reg.X0, mem(flatPtr[0], 0))
	g.ADDQ(imm(4*sampleStep), flatPtr[1])
	g.ADDQ(imm(sampleStep), flatPtr[0])
	g.SUBQ(imm(sampleStep), flatCount)
	g.JGE(operand.LabelRef("loop"))
	g.Label("done")
	g.ret()
}
