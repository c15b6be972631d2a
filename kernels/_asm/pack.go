package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// packMaxPanels is the number of panels that are filled side by side.
const packMaxPanels = 4

// packAhead is how many rows ahead the source is prefetched: its rows are too
// far apart for the hardware to see a stream.
const packAhead = 32

// writePack writes the copy of row-major columns into panels. The last panel
// is always read with a mask, which also pads it.
func writePack(g *gen) {
	if g.isa == avx2 {
		g.tailMasks()
	}
	dst, b, ldb, bps, bps3, k, ahead := reg.RDI, reg.RSI, reg.RAX, reg.RBX, reg.RDX, reg.R8, reg.R9
	panel := func(p, disp int) operand.Mem {
		switch p {
		case 0:
			return mem(dst, disp)
		case 3:
			return indexed(dst, bps3, 1, disp)
		default:
			return indexed(dst, bps, uint8(p), disp)
		}
	}

	g.text("pack", "(dst, b *float32, ldb, k, n int)", fmt.Sprintf("copies k rows of at most %d columns into panels.", 16*packMaxPanels))
	args := func(name string, i int, r reg.Register) { g.MOVQ(operand.NewParamAddr(name, 8*i), r) }
	args("dst", 0, dst)
	args("b", 1, b)
	args("ldb", 2, ldb)
	args("k", 3, k)
	args("n", 4, reg.R10)

	// The mask: n is 1 to 16 columns more than the full panels.
	g.LEAQ(mem(reg.R10, -1), reg.RCX)
	g.ANDQ(imm(15), reg.RCX)
	lo, hi := g.v(len(g.isa.reg)-1), g.v(len(g.isa.reg)-2)
	if g.isa == avx512 {
		g.MOVL(operand.U32(2), reg.EDX)
		g.SHLL(reg.CL, reg.EDX)
		g.DECL(reg.EDX)
		g.KMOVW(reg.EDX, reg.K1)
	} else {
		g.SHLQ(imm(2), reg.RCX)
		g.LEAQ(operand.NewDataAddr(operand.NewStaticSymbol(tailMaskName), 60), reg.RDX)
		g.SUBQ(reg.RCX, reg.RDX)
		g.VMOVUPS(mem(reg.RDX, 0), lo)
		g.VMOVUPS(mem(reg.RDX, 32), hi)
	}
	g.SHLQ(imm(2), ldb)
	g.MOVQ(k, bps)
	g.SHLQ(imm(6), bps)
	g.LEAQ(indexed(bps, bps, 2, 0), bps3)
	g.MOVQ(ldb, ahead)
	g.IMUL3Q(imm(packAhead), ahead, ahead)
	g.TESTQ(k, k)
	g.JZ(operand.LabelRef("done"))
	for panels := 1; panels < packMaxPanels; panels++ {
		g.CMPQ(reg.R10, imm(16*panels))
		g.JLE(operand.LabelRef(fmt.Sprintf("panels%d", panels)))
	}
	for panels := packMaxPanels; panels >= 1; panels-- {
		loop := fmt.Sprintf("panels%d", panels)
		g.Label(loop)
		for p := range panels {
			g.PREFETCHT0(indexed(b, ahead, 1, 64*p))
		}
		for p := range panels {
			last := p == panels-1
			switch {
			case g.isa == avx512:
				if last {
					g.VMOVUPS_Z(mem(b, 64*p), reg.K1, g.v(p))
				} else {
					g.VMOVUPS(mem(b, 64*p), g.v(p))
				}
				g.VMOVUPS(g.v(p), panel(p, 0))
			case last:
				g.VMASKMOVPS(mem(b, 64*p), lo, g.v(0))
				g.VMASKMOVPS(mem(b, 64*p+32), hi, g.v(1))
				g.VMOVUPS(g.v(0), panel(p, 0))
				g.VMOVUPS(g.v(1), panel(p, 32))
			default:
				g.VMOVUPS(mem(b, 64*p), g.v(0))
				g.VMOVUPS(mem(b, 64*p+32), g.v(1))
				g.VMOVUPS(g.v(0), panel(p, 0))
				g.VMOVUPS(g.v(1), panel(p, 32))
			}
		}
		g.ADDQ(ldb, b)
		g.ADDQ(imm(64), dst)
		g.DECQ(k)
		g.JNZ(operand.LabelRef(loop))
		if panels > 1 {
			g.JMP(operand.LabelRef("done"))
		}
	}
	g.Label("done")
	g.ret()

	writePackT(g)
}

// writePackT writes the transposing copy: squares of 8 by 8 elements, which
// suit AVX2's registers and are fast enough for AVX-512 as well.
func writePackT(g *gen) {
	if g.isa != avx2 {
		return
	}
	dst, b, ldb, ldb3, ldb5, ldb7, k := reg.RDI, reg.RSI, reg.RAX, reg.RBX, reg.RCX, reg.RDX, reg.R8
	g.text("packT", "(dst, b *float32, ldb, k int)", "copies 8 rows of k elements, a multiple of 8, into 8 columns of a panel.")
	g.MOVQ(operand.NewParamAddr("dst", 0), dst)
	g.MOVQ(operand.NewParamAddr("b", 8), b)
	g.MOVQ(operand.NewParamAddr("ldb", 16), ldb)
	g.MOVQ(operand.NewParamAddr("k", 24), k)
	g.SHLQ(imm(2), ldb)
	g.LEAQ(indexed(ldb, ldb, 2, 0), ldb3)
	g.LEAQ(indexed(ldb, ldb, 4, 0), ldb5)
	g.LEAQ(indexed(ldb3, ldb, 4, 0), ldb7)
	rows := []operand.Mem{
		mem(b, 0), indexed(b, ldb, 1, 0), indexed(b, ldb, 2, 0), indexed(b, ldb3, 1, 0),
		indexed(b, ldb, 4, 0), indexed(b, ldb5, 1, 0), indexed(b, ldb3, 2, 0), indexed(b, ldb7, 1, 0),
	}
	r, t := g.v, func(i int) reg.VecPhysical { return g.v(8 + i) }
	g.SUBQ(imm(8), k)
	g.JL(operand.LabelRef("done"))
	g.Label("loop")
	for i, row := range rows {
		g.VMOVUPS(row, r(i))
	}
	for i := 0; i < 8; i += 2 {
		g.VUNPCKLPS(r(i+1), r(i), t(i))
		g.VUNPCKHPS(r(i+1), r(i), t(i+1))
	}
	for i := 0; i < 8; i += 4 {
		g.VSHUFPS(operand.U8(0x44), t(i+2), t(i), r(i))
		g.VSHUFPS(operand.U8(0xee), t(i+2), t(i), r(i+1))
		g.VSHUFPS(operand.U8(0x44), t(i+3), t(i+1), r(i+2))
		g.VSHUFPS(operand.U8(0xee), t(i+3), t(i+1), r(i+3))
	}
	for i := range 4 {
		g.VPERM2F128(operand.U8(0x20), r(i+4), r(i), t(i))
		g.VPERM2F128(operand.U8(0x31), r(i+4), r(i), t(i+4))
	}
	for i := range 8 {
		g.VMOVUPS(t(i), mem(dst, 64*i))
	}
	g.ADDQ(imm(32), b)
	g.ADDQ(imm(512), dst)
	g.SUBQ(imm(8), k)
	g.JGE(operand.LabelRef("loop"))
	g.Label("done")
	g.ret()
}
