package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The integer matrix kernels keep a tile of sums in registers, rows by panels of
// 16 columns, and walk k in groups of four bytes: load a row of groups of B,
// broadcast the group of each row of A, multiply and add.
//
//	AVX-512  VPDPBUSD or VPDPWSSD: 12 rows by two panels (24 accumulators) or one
//	AVX2     16 bits: VPMADDWD and an addition, 6 rows by one panel of two registers
//	         8 bits:  the bytes of B and of A are widened to 16 bits, even and odd
//	                  ones apart, each half as above; 4 rows by one panel. No
//	                  VPMADDUBSW, which saturates
//
// Nothing here saturates before the rescaling does, see kernels/int8.go.

// General registers.
var (
	intG     = reg.RDI
	intA     = []reg.Register{reg.RSI, reg.R8}                    // A, nine rows apart
	intLDA   = []reg.Register{reg.RAX, reg.RBX, reg.RCX, reg.RDX} // 1, 3, 5, 7 times the bytes between rows of A
	intB     = reg.R10
	intBPS   = reg.R11 // bytes between panels of B
	intCount = reg.R12
	intI     = reg.R13 // first row of the tile
	// In the epilogue the registers of A and B are free.
	intResidual = reg.RSI
	intOut16    = reg.R8
	intOut8     = reg.R10
	intTmp      = reg.R12
	intAct      = reg.R15
	intStrides  = []reg.Register{reg.RAX, reg.RBX, reg.RCX} // of the three, in bytes
)

func writeInt8(g *gen) {
	for _, bits := range []int{8, 16} {
		for panels := 2; panels >= 1; panels-- {
			k := &intKernel{gen: g, bits: bits, panels: panels, rows: 12}
			if g.isa == avx2 {
				if panels == 2 {
					continue
				}
				k.rows = map[int]int{8: 4, 16: 6}[bits]
			}
			k.write()
		}
	}
}

// outMem addresses a field of the intOut inside a struct of arguments.
func (g *gen) outMem(base reg.Register, typ, name string) operand.Mem {
	m := g.field(base, typ, "out")
	m.Disp += g.field(base, "intOut", name).Disp
	return m
}

type intKernel struct {
	*gen
	bits   int // of A and B
	panels int
	rows   int // of a full tile
}

func (g *intKernel) arg(name string) operand.Mem { return g.field(intG, "intGEMMArgs", name) }

// parts is the number of registers that make a row of the tile.
func (g *intKernel) parts() int { return g.panels * 16 / g.isa.lanes }

func (g *intKernel) acc(r, p int) reg.VecPhysical { return g.v(r*g.parts() + p) }

// free is register i of those that hold no accumulators.
func (g *intKernel) free(i int) reg.VecPhysical { return g.v(g.rows*g.parts() + i) }

func (g *intKernel) write() {
	name := fmt.Sprintf("intGEMM%d", g.bits)
	does := fmt.Sprintf("computes a block of %d-bit products, in tiles of %d rows by %d columns", g.bits, g.rows, 16*g.panels)
	if g.isa == avx512 {
		name = fmt.Sprintf("%sx%d", name, g.panels)
		does += ", which need not all exist"
	}
	g.text(name, "(args *intGEMMArgs)", does+".")
	g.MOVQ(operand.NewParamAddr("args", 0), intG)
	if g.isa == avx512 {
		g.MOVQ(g.arg("n"), reg.RCX)
		g.MOVQ(operand.U32(1), reg.RAX)
		g.SHLQ(reg.CL, reg.RAX)
		g.DECQ(reg.RAX)
		g.KMOVD(reg.EAX, reg.K1)
	}
	g.MOVQ(g.arg("bps"), intBPS)
	g.SHLQ(imm(2), intBPS)
	g.XORQ(intI, intI)
	// Two tiles of equal height do the last rows faster than a full one and
	// a small one.
	g.Label("next")
	g.MOVQ(g.arg("m"), intCount)
	g.SUBQ(intI, intCount)
	g.JZ(operand.LabelRef("done"))
	g.CMPQ(intCount, imm(2*g.rows))
	g.JGE(operand.LabelRef(fmt.Sprintf("rows%d", g.rows)))
	g.CMPQ(intCount, imm(g.rows))
	g.JLE(operand.LabelRef("dispatch"))
	g.INCQ(intCount)
	g.SHRQ(imm(1), intCount)
	g.Label("dispatch")
	for r := g.rows - 1; r >= 1; r-- {
		g.CMPQ(intCount, imm(r))
		g.JEQ(operand.LabelRef(fmt.Sprintf("rows%d", r)))
	}
	for r := g.rows; r >= 1; r-- {
		g.Label(fmt.Sprintf("rows%d", r))
		g.tile(r)
		g.ADDQ(imm(r), intI)
		g.JMP(operand.LabelRef("next"))
	}
	g.Label("done")
	g.ret()
}

// tile computes rows intI to intI+rows.
func (g *intKernel) tile(rows int) {
	g.MOVQ(g.outMem(intG, "intGEMMArgs", "bias"), intTmp)
	for p := range g.parts() {
		g.VMOVUPS(mem(intTmp, p*g.bytes()), g.acc(0, p))
	}
	for r := 1; r < rows; r++ {
		for p := range g.parts() {
			g.VMOVAPS(g.acc(0, p), g.acc(r, p))
		}
	}
	if g.isa == avx2 && g.bits == 8 { // the even bytes of every group
		g.VPCMPEQW(g.even(), g.even(), g.even())
		g.VPSRLW(imm(8), g.even(), g.even())
	}
	g.MOVQ(g.arg("ars"), intLDA[0])
	g.LEAQ(indexed(intLDA[0], intLDA[0], 2, 0), intLDA[1])
	g.LEAQ(indexed(intLDA[0], intLDA[0], 4, 0), intLDA[2])
	g.LEAQ(indexed(intLDA[1], intLDA[0], 4, 0), intLDA[3])
	g.MOVQ(g.arg("b"), intB)
	g.MOVQ(intI, intA[0])
	g.IMULQ(intLDA[0], intA[0])
	g.ADDQ(g.arg("a"), intA[0])
	if rows > 9 {
		g.LEAQ(indexed(intA[0], intLDA[0], 8, 0), intA[1])
		g.ADDQ(intLDA[0], intA[1])
	}
	const unroll = 4
	blocks, rest, one, end := g.label("blocks"), g.label("rest"), g.label("one"), g.label("end")
	g.MOVQ(g.arg("steps"), intCount)
	g.SUBQ(imm(unroll), intCount)
	g.JL(operand.LabelRef(rest))
	g.Label(blocks)
	for k := range unroll {
		g.step(rows, k)
	}
	g.advance(rows, unroll)
	g.SUBQ(imm(unroll), intCount)
	g.JGE(operand.LabelRef(blocks))
	g.Label(rest)
	g.ADDQ(imm(unroll), intCount)
	g.JZ(operand.LabelRef(end))
	g.Label(one)
	g.step(rows, 0)
	g.advance(rows, 1)
	g.DECQ(intCount)
	g.JNZ(operand.LabelRef(one))
	g.Label(end)
	g.finish(rows)
}

func (g *intKernel) advance(rows, n int) {
	g.ADDQ(imm(64*n), intB)
	g.ADDQ(imm(4*n), intA[0])
	if rows > 9 {
		g.ADDQ(imm(4*n), intA[1])
	}
}

// aAddr addresses A for row r of the tile, k groups ahead.
func (g *intKernel) aAddr(r, k int) operand.Mem {
	base := intA[r/9]
	switch r %= 9; r {
	case 0:
		return mem(base, 4*k)
	case 1, 2, 4, 8:
		return indexed(base, intLDA[0], uint8(r), 4*k)
	case 3, 6:
		return indexed(base, intLDA[1], uint8(r/3), 4*k)
	default: // 5, 7
		return indexed(base, intLDA[r/2], 1, 4*k)
	}
}

// even is the register with the mask of even bytes (AVX2, 8 bits).
func (g *intKernel) even() reg.VecPhysical { return g.free(7) }

// step is one group of the inner loop.
func (g *intKernel) step(rows, k int) {
	if g.isa == avx512 {
		for p := range g.panels {
			b := mem(intB, 64*k)
			if p > 0 {
				b = indexed(intB, intBPS, 1, 64*k)
			}
			g.VMOVDQU32(b, g.free(p))
		}
		for r := range rows {
			a := g.free(2 + r%6)
			g.VPBROADCASTD(g.aAddr(r, k), a)
			for p := range g.panels {
				if g.bits == 8 {
					g.VPDPBUSD(g.free(p), a, g.acc(r, p))
				} else {
					g.VPDPWSSD(g.free(p), a, g.acc(r, p))
				}
			}
		}
		return
	}
	if g.bits == 16 {
		for p := range 2 {
			g.VMOVDQU(mem(intB, 64*k+32*p), g.free(p))
		}
		a, t := g.free(2), g.free(3)
		for r := range rows {
			g.VPBROADCASTD(g.aAddr(r, k), a)
			for p := range 2 {
				g.VPMADDWD(g.free(p), a, t)
				g.VPADDD(t, g.acc(r, p), g.acc(r, p))
			}
		}
		return
	}
	// B: even bytes in free 0 and 1, odd ones in 2 and 3.
	for p := range 2 {
		g.VMOVDQU(mem(intB, 64*k+32*p), g.free(2+p))
		g.VPSLLW(imm(8), g.free(2+p), g.free(p))
		g.VPSRAW(imm(8), g.free(p), g.free(p))
		g.VPSRAW(imm(8), g.free(2+p), g.free(2+p))
	}
	even, odd, t := g.free(4), g.free(5), g.free(6)
	for r := range rows {
		g.VPBROADCASTD(g.aAddr(r, k), odd)
		g.VPAND(g.even(), odd, even)
		g.VPSRLW(imm(8), odd, odd)
		for p := range 2 {
			g.VPMADDWD(g.free(p), even, t)
			g.VPADDD(t, g.acc(r, p), g.acc(r, p))
			g.VPMADDWD(g.free(2+p), odd, t)
			g.VPADDD(t, g.acc(r, p), g.acc(r, p))
		}
	}
}

// finish rescales and stores the tile.
func (g *intKernel) finish(rows int) {
	o := &intFinish{gen: g.gen, base: intG, args: "intGEMMArgs", columns: 16 * g.panels, free: g.free}
	o.start(intI)
	for r := range rows {
		o.row(g.acc(r, 0), g.acc(r, g.parts()-1))
		if r < rows-1 {
			o.nextRow()
		}
	}
}

// intFinish writes the epilogue of integer kernels for rows of up to 32 columns
// (AVX-512, those that do not exist masked out by K1) or 16 (AVX2), as
// kernels/int8.go defines it.
type intFinish struct {
	*gen
	base    reg.Register
	args    string // type of the arguments
	columns int    // 16 or 32; with 16 and AVX-512 a row is one register
	free    func(i int) reg.VecPhysical

	// interleaved is set when the 128-bit lanes of the two registers of sums
	// alternate in the row, as unpacking leaves them. Shifts then lie on the
	// stack in that order.
	interleaved bool
	shifts      operand.Mem
}

func (o *intFinish) arg(name string) operand.Mem { return o.outMem(o.base, o.args, name) }

// Registers of the epilogue: parameters of the columns with AVX-512; AVX2 has
// too few and takes them from memory.
func (o *intFinish) shift(i int) reg.VecPhysical { return o.free(i) }

// shiftBy shifts register i of sums.
func (o *intFinish) shiftBy(i int, sums reg.VecPhysical) {
	switch {
	case o.interleaved:
		o.VPSRAVD(o.shifts.Offset(i*o.bytes()), sums, sums)
	case o.isa == avx512:
		o.VPSRAVD(o.shift(i), sums, sums)
	default:
		o.MOVQ(o.arg("shift"), intTmp)
		o.VPSRAVD(mem(intTmp, 32*i), sums, sums)
	}
}

func (o *intFinish) mul() reg.VecPhysical    { return o.free(2) }
func (o *intFinish) offset() reg.VecPhysical { return o.free(3) }
func (o *intFinish) slope() reg.VecPhysical  { return o.free(4) }
func (o *intFinish) order() reg.VecPhysical  { return o.free(5) }

func (o *intFinish) tmp(i int) reg.VecPhysical {
	if o.isa == avx512 {
		return o.free(6 + i)
	}
	return o.free(1 + i)
}

// start points the registers at row `first` of the outputs and loads parameters.
func (o *intFinish) start(first reg.Register) {
	for i, m := range []struct {
		name, stride string
		ptr          reg.Register
		size         int
	}{{"residual", "ldr", intResidual, 2}, {"out16", "ld16", intOut16, 2}, {"out8", "ld8", intOut8, 1}} {
		none := o.label("none")
		o.MOVQ(o.arg(m.name), m.ptr)
		o.MOVQ(o.arg(m.stride), intStrides[i])
		if m.size == 2 {
			o.SHLQ(imm(1), intStrides[i])
		}
		o.TESTQ(m.ptr, m.ptr)
		o.JZ(operand.LabelRef(none))
		o.MOVQ(first, intTmp)
		o.IMULQ(intStrides[i], intTmp)
		o.ADDQ(intTmp, m.ptr)
		o.Label(none)
	}
	o.MOVQ(o.arg("act"), intAct)
	if o.isa == avx2 {
		o.MOVQ(o.arg("slope"), intTmp)
		o.VMOVD(intTmp.(reg.GPPhysical).As32(), o.free(0).AsX())
		o.VPBROADCASTW(o.free(0).AsX(), o.free(0))
		return
	}
	if !o.interleaved {
		o.MOVQ(o.arg("shift"), intTmp)
		for p := range o.columns / 16 {
			o.VMOVDQU32(mem(intTmp, 64*p), o.shift(p))
		}
	}
	o.MOVQ(o.arg("mul"), intTmp)
	o.VMOVDQU16(mem(intTmp, 0), o.mul())
	o.MOVQ(o.arg("offset"), intTmp)
	o.VMOVDQU16(mem(intTmp, 0), o.offset())
	o.MOVQ(o.arg("slope"), intTmp)
	o.VPBROADCASTW(intTmp.(reg.GPPhysical).As32(), o.slope())
	o.VMOVDQU64(o.packOrder(), o.order())
}

// packOrder is the order of quadwords for intFinish.quadwords.
func (g *gen) packOrder() operand.Mem {
	const name = "packOrder"
	if !g.constants[name] {
		g.static(name, 0, 2, 4, 6, 1, 3, 5, 7)
	}
	return operand.NewDataAddr(operand.NewStaticSymbol(name), 0)
}

// static adds a table of quadwords to the file.
func (g *gen) static(name string, words ...uint64) {
	if g.constants == nil {
		g.constants = map[string]bool{}
	}
	g.constants[name] = true
	g.StaticGlobal(name)
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for i, w := range words {
		g.AddDatum(8*i, operand.U64(w))
	}
}

func (o *intFinish) nextRow() {
	for i, ptr := range []reg.Register{intResidual, intOut16, intOut8} {
		o.ADDQ(intStrides[i], ptr)
	}
}

// quadwords undoes the interleaving of 128-bit lanes by a packing instruction.
func (o *intFinish) quadwords(from, to reg.VecPhysical) {
	if o.isa == avx512 {
		o.VPERMQ(from, o.order(), to)
	} else {
		o.VPERMQ(imm(0xd8-256), from, to)
	}
}

// row rescales the sums in lo and hi, which it destroys, and stores the results.
func (o *intFinish) row(lo, hi reg.VecPhysical) {
	noFirst, noResidual, noLast := o.label("noFirst"), o.label("noResidual"), o.label("noLast")
	no16, no8 := o.label("no16"), o.label("no8")
	t, u := o.tmp(0), o.tmp(1)
	wide := o.isa == avx512
	o.shiftBy(0, lo)
	if hi != lo {
		o.shiftBy(1, hi)
	}
	o.VPACKSSDW(hi, lo, t)
	if !o.interleaved {
		o.quadwords(t, t)
	}
	if wide {
		o.VPMULHRSW(o.mul(), t, t)
	} else {
		o.MOVQ(o.arg("mul"), intTmp)
		o.VPMULHRSW(mem(intTmp, 0), t, t)
	}
	slope := o.free(0)
	if wide {
		slope = o.slope()
	}
	leaky := func(which, skip string) {
		o.CMPQ(intAct, o.constant(which))
		o.JNE(operand.LabelRef(skip))
		o.VPMULHRSW(slope, t, u)
		o.VPMAXSW(u, t, t)
		o.Label(skip)
	}
	leaky("IntActFirst", noFirst)
	o.CMPQ(o.arg("residual"), imm(0))
	o.JE(operand.LabelRef(noResidual))
	if wide {
		o.VMOVDQU16_Z(mem(intResidual, 0), reg.K1, u)
		o.VPADDSW(u, t, t)
	} else {
		o.VPADDSW(mem(intResidual, 0), t, t)
	}
	o.Label(noResidual)
	leaky("IntActLast", noLast)
	o.CMPQ(o.arg("out16"), imm(0))
	o.JE(operand.LabelRef(no16))
	if wide {
		o.VMOVDQU16(t, reg.K1, mem(intOut16, 0))
	} else {
		o.VMOVDQU(t, mem(intOut16, 0))
	}
	o.Label(no16)
	o.CMPQ(o.arg("out8"), imm(0))
	o.JE(operand.LabelRef(no8))
	if wide {
		o.VPADDSW(o.offset(), t, t)
	} else {
		o.MOVQ(o.arg("offset"), intTmp)
		o.VPADDSW(mem(intTmp, 0), t, t)
	}
	o.VPSRAW(o.constant("rescaleBits"), t, t)
	o.VPACKUSWB(t, t, t)
	o.quadwords(t, t)
	if wide {
		o.VMOVDQU8(t.AsY(), reg.K1, mem(intOut8, 0))
	} else {
		o.VMOVDQU(t.AsX(), mem(intOut8, 0))
	}
	o.Label(no8)
}
