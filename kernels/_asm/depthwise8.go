package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The depthwise kernels of the integer path do one register of channels, 32
// with AVX-512 and 16 with AVX2, of a run of pixels. A column of the window, three
// numbers of each channel, is widened if they are bytes and unpacked to pairs of 16 bits, first and
// second row, third row and zero. Each pair and its weights take one
// multiply-add of pairs, for each of the three outputs that the column belongs
// to: their sums take turns in three pairs of registers. Unpacking alternates
// 128-bit lanes between two registers; packing at the end puts them in order.

// General registers beside those of intFinish.
var (
	dw8Row    = []reg.Register{reg.R9, reg.R11, reg.R13}
	dw8Stride = reg.RDX
	dw8Taps   = reg.R12 // at the start
)

type dw8Kernel struct {
	*gen
	wide    bool        // the image has 16 bits
	weights operand.Mem // on the stack: [kx][first and second row, third][low, high] registers
	bias    operand.Mem // [low, high]
	o       *intFinish
}

func writeDepthwise8(g *gen) {
	for _, wide := range []bool{false, true} {
		k := &dw8Kernel{gen: g, wide: wide}
		k.write()
	}
}

func (g *dw8Kernel) acc(i int) (lo, hi reg.VecPhysical) { return g.v(2 * (i % 3)), g.v(2*(i%3) + 1) }

// column is register i of the unpacked column: low and high of the first two
// rows, low and high of the third.
func (g *dw8Kernel) column(i int) reg.VecPhysical { return g.v(6 + i) }
func (g *dw8Kernel) zeros() reg.VecPhysical       { return g.v(10) }
func (g *dw8Kernel) free(i int) reg.VecPhysical   { return g.v(11 + i) }

func (g *dw8Kernel) write() {
	channels := g.bytes() / 2
	does := "computes 16 channels of n pixels"
	if g.isa == avx512 {
		does = "computes up to 32 channels of n pixels"
	}
	name, loop, done := "depthwise8Block", "loop", "done"
	if g.wide {
		name, loop, done = "depthwise16Block", "loop16", "done16"
	}
	g.text(name, "(args *dw8Args)", does+".")
	g.Attributes(0) // the frame is too large for NOSPLIT
	g.weights = g.AllocLocal(12 * g.bytes())
	g.bias = g.AllocLocal(2 * g.bytes())
	shifts := g.AllocLocal(2 * g.bytes())
	left := g.AllocLocal(8) // pixels
	g.o = &intFinish{gen: g.gen, base: intG, args: "dw8Args", columns: channels, free: g.free, interleaved: true, shifts: shifts}
	arg := func(name string, index ...int) operand.Mem { return g.field(intG, "dw8Args", name, index...) }

	g.MOVQ(operand.NewParamAddr("args", 0), intG)
	if g.isa == avx512 {
		g.MOVQ(arg("c"), reg.RCX)
		g.MOVQ(operand.U32(1), reg.RAX)
		g.SHLQ(reg.CL, reg.RAX)
		g.DECQ(reg.RAX)
		g.KMOVD(reg.EAX, reg.K1)
	}
	g.zero(g.zeros())
	g.MOVQ(arg("stride"), dw8Stride)
	g.MOVQ(arg("w"), dw8Taps)
	for kx := range 3 {
		for ky := range 3 {
			g.MOVQ(dw8Stride, intTmp2)
			g.IMUL3Q(imm(2*(3*ky+kx)), intTmp2, intTmp2)
			g.ADDQ(dw8Taps, intTmp2)
			if g.isa == avx512 {
				g.VMOVDQU16_Z(mem(intTmp2, 0), reg.K1, g.v(ky))
			} else {
				g.VMOVDQU(mem(intTmp2, 0), g.v(ky))
			}
		}
		g.unpack(g.v(0), g.v(1), g.v(2))
		for i := range 4 {
			g.VMOVUPS(g.column(i), g.weights.Offset((4*kx+i)*g.bytes()))
		}
	}
	for i, name := range []string{"bias", "shift"} {
		to := []operand.Mem{g.bias, shifts}[i]
		g.MOVQ(g.outMem(intG, "dw8Args", name), intTmp2)
		a, b, t := g.v(0), g.v(1), g.v(2)
		g.VMOVUPS(mem(intTmp2, 0), a)
		g.VMOVUPS(mem(intTmp2, g.bytes()), b)
		for half := range 2 {
			if g.isa == avx512 {
				g.VSHUFI64X2(operand.U8([]uint8{0x88, 0xdd}[half]), b, a, t)
			} else {
				g.VPERM2I128(operand.U8([]uint8{0x20, 0x31}[half]), b, a, t)
			}
			g.VMOVUPS(t, to.Offset(half*g.bytes()))
		}
	}
	for ky, r := range dw8Row {
		g.MOVQ(arg("row", ky), r)
	}
	if g.wide {
		g.ADDQ(dw8Stride, dw8Stride) // bytes
	}
	g.MOVQ(arg("n"), intTmp2)
	g.MOVQ(intTmp2, left)
	g.XORQ(intTmp2, intTmp2)
	g.o.start(intTmp2)

	g.load()
	g.begin(0)
	g.load()
	g.begin(1)
	g.taps(0, 1)
	g.Label(loop)
	for phase := range 3 {
		g.load()
		g.begin(2 + phase)
		g.taps(1+phase, 1)
		g.taps(phase, 2)
		g.o.row(g.acc(phase))
		g.o.nextRow()
		g.DECQ(left)
		if phase < 2 {
			g.JZ(operand.LabelRef(done))
		} else {
			g.JNZ(operand.LabelRef(loop))
		}
	}
	g.Label(done)
	g.ret()
}

// intTmp2 is free until the outputs are set up.
var intTmp2 = reg.R15

// load unpacks the next column.
func (g *dw8Kernel) load() {
	rows := []reg.VecPhysical{g.column(1), g.free(1), g.free(2)}
	if g.isa == avx512 {
		rows = []reg.VecPhysical{g.v(24), g.v(25), g.v(26)}
	}
	for ky, r := range dw8Row {
		switch {
		case g.wide && g.isa == avx512:
			g.VMOVDQU16_Z(mem(r, 0), reg.K1, rows[ky])
		case g.wide:
			g.VMOVDQU(mem(r, 0), rows[ky])
		case g.isa == avx512:
			g.VPMOVZXBW_Z(mem(r, 0), reg.K1, rows[ky])
		default:
			g.VPMOVZXBW(mem(r, 0), rows[ky])
		}
		g.ADDQ(dw8Stride, r)
	}
	g.unpack(rows[0], rows[1], rows[2])
}

// unpack interleaves three rows to the registers of the column; row0 may be
// register 1 of it.
func (g *dw8Kernel) unpack(row0, row1, row2 reg.VecPhysical) {
	g.VPUNPCKLWD(row1, row0, g.column(0))
	g.VPUNPCKHWD(row1, row0, g.column(1))
	g.VPUNPCKLWD(g.zeros(), row2, g.column(2))
	g.VPUNPCKHWD(g.zeros(), row2, g.column(3))
}

// begin starts output i at its first tap.
func (g *dw8Kernel) begin(i int) {
	lo, hi := g.acc(i)
	g.VMOVUPS(g.bias, lo)
	g.VMOVUPS(g.bias.Offset(g.bytes()), hi)
	g.taps(i, 0)
}

// product returns registers for products in turn.
func (g *dw8Kernel) product(i int) reg.VecPhysical {
	if g.isa == avx512 {
		return g.v(24 + i)
	}
	return g.free(1 + i%2)
}

// taps adds the column as column kx of the window of output i.
func (g *dw8Kernel) taps(i, kx int) {
	lo, hi := g.acc(i)
	for part := range 4 {
		acc := []reg.VecPhysical{lo, hi}[part%2]
		w := g.weights.Offset((4*kx + part) * g.bytes())
		t := g.product(part)
		g.VPMADDWD(w, g.column(part), t)
		g.VPADDD(t, acc, acc)
	}
}
