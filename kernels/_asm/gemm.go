package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The matrix kernels keep a tile of C in registers, rows by panels of 16
// columns, and walk k: load the row of B, broadcast each element of A's column,
// multiply-add. Tile heights are chosen so that the accumulators hide the
// latency of FMA and leave room for B and the broadcasts:
//
//	AVX-512  2 panels 12 rows, 3 panels 8 rows  (24 accumulators), 1 panel 12 rows
//	AVX2     1 panel of two registers, 6 rows   (12 accumulators)
//
// A is read in one of two ways: row by row with k contiguous (N), or
// transposed, with the rows contiguous for each k (T). Every tile height below
// the full one has its own code, so that the last rows cost what they should.

// gemmUnroll is how many k the inner loop takes at once.
const gemmUnroll = 4

func writeGEMM(g *gen) {
	kernels := []gemmKernel{{panels: 1, rows: 12}, {panels: 2, rows: 12}, {panels: 3, rows: 8}}
	if g.isa == avx2 {
		g.tailMasks()
		kernels = []gemmKernel{{panels: 1, rows: 6}, {panels: 1, rows: 6, tail: true}}
	}
	for _, k := range kernels {
		for _, k.transposed = range []bool{false, true} {
			k.gen = g
			k.write()
		}
	}
}

// General registers of the matrix kernels.
var (
	gemmG     = reg.RDI                                            // *gemmArgs
	gemmA     = []reg.Register{reg.RSI, reg.R8}                    // A, nine rows apart
	gemmAhead = reg.R9                                             // the part of A to fetch into the cache
	gemmLDA   = []reg.Register{reg.RAX, reg.RBX, reg.RCX, reg.RDX} // 1, 3, 5, 7 times A's stride in bytes
	gemmB     = reg.R10
	gemmBPS   = reg.R11 // bytes between panels (AVX-512)
	gemmCol   = reg.R11 // bytes before the panel's first column (AVX2)
	gemmMask  = reg.RDX // of the last panel's columns (AVX2)
	gemmCount = reg.R12
	gemmC     = reg.R13
	gemmI     = reg.R15 // first row of the tile
	// Outside of the inner loop the registers of A and B are free.
	gemmTmp  = reg.RSI
	gemmTmp2 = reg.R8
	gemmRes  = reg.R10
)

type gemmKernel struct {
	*gen
	panels     int
	rows       int // of a full tile
	transposed bool
	tail       bool // computes the last, partial panel (AVX2)
}

func (g *gemmKernel) arg(name string) operand.Mem { return g.field(gemmG, "gemmArgs", name) }

// tmp3 is one more temporary; gemmAhead lasts longer than a tile if A is
// transposed, but then there are fewer multiples of its stride.
func (g *gemmKernel) tmp3() reg.Register {
	if g.transposed {
		return gemmLDA[2]
	}
	return gemmAhead
}

// parts is the number of registers that make a row of the tile.
func (g *gemmKernel) parts() int { return g.panels * 16 / g.isa.lanes }

// acc is the accumulator of part p of row r.
func (g *gemmKernel) acc(r, p int) reg.VecPhysical { return g.v(r*g.parts() + p) }

// b is the register of part p of the row of B.
func (g *gemmKernel) b(p int) reg.VecPhysical { return g.v(g.rows*g.parts() + p) }

// tmp returns the remaining registers in turn.
func (g *gemmKernel) tmp(i int) reg.VecPhysical {
	first := (g.rows + 1) * g.parts()
	return g.v(first + i%(len(g.isa.reg)-first))
}

// bAddr addresses part p of the row of B that is k rows ahead.
func (g *gemmKernel) bAddr(p, k int) operand.Mem {
	off := p * g.bytes()
	disp := k*64 + off%64
	if panel := off / 64; panel > 0 {
		return indexed(gemmB, gemmBPS, uint8(panel), disp)
	}
	return mem(gemmB, disp)
}

// aAddr addresses A for row r of the tile, k steps ahead (N only).
func (g *gemmKernel) aAddr(r, k int) operand.Mem {
	base, disp := gemmA[r/9], 4*k
	switch r %= 9; r {
	case 0:
		return mem(base, disp)
	case 1, 2, 4, 8:
		return indexed(base, gemmLDA[0], uint8(r), disp)
	case 3, 6:
		return indexed(base, gemmLDA[1], uint8(r/3), disp)
	default: // 5, 7
		return indexed(base, gemmLDA[r/2], 1, disp)
	}
}

func (g *gemmKernel) write() {
	order, how := "N", "A row by row"
	if g.transposed {
		order, how = "T", "A transposed (ars is 1)"
	}
	switch {
	case g.isa == avx512:
		g.text(fmt.Sprintf("gemm%d%s", g.panels, order), "(args *gemmArgs)",
			fmt.Sprintf("computes a block of %d panels, %s, in tiles of %d rows.", g.panels, how, g.rows))
	case g.tail:
		g.text(fmt.Sprintf("gemm%sTail", order), "(args *gemmArgs)",
			fmt.Sprintf("computes the partial last panel, if n has one, %s, in tiles of %d rows.", how, g.rows))
	default:
		g.text(fmt.Sprintf("gemm%s", order), "(args *gemmArgs)",
			fmt.Sprintf("computes the full panels, %s, in tiles of %d rows by one panel.", how, g.rows))
	}
	g.MOVQ(operand.NewParamAddr("args", 0), gemmG)
	switch {
	case g.isa == avx512:
		g.columnMask()
		g.MOVQ(g.arg("bps"), gemmBPS)
		g.SHLQ(imm(2), gemmBPS)
	case g.tail:
		g.MOVQ(g.arg("n"), gemmCol)
		g.MOVQ(gemmCol, reg.RCX)
		g.ANDQ(imm(15), reg.RCX)
		g.JZ(operand.LabelRef("done"))
		g.LEAQ(operand.NewDataAddr(operand.NewStaticSymbol(tailMaskName), 64), gemmMask)
		g.SHLQ(imm(2), reg.RCX)
		g.SUBQ(reg.RCX, gemmMask)
		g.SHLQ(imm(2), gemmCol)
		g.ANDQ(imm(-64), gemmCol)
	default:
		g.XORQ(gemmCol, gemmCol)
	}
	stride := "ars"
	if g.transposed {
		stride = "aks"
	}
	g.MOVQ(g.arg(stride), gemmLDA[0])
	g.SHLQ(imm(2), gemmLDA[0])
	g.LEAQ(indexed(gemmLDA[0], gemmLDA[0], 2, 0), gemmLDA[1])
	if g.transposed {
		g.MOVQ(g.arg("ahead"), gemmAhead)
		g.TESTQ(gemmAhead, gemmAhead)
		g.CMOVQEQ(g.arg("a"), gemmAhead)
	} else {
		g.LEAQ(indexed(gemmLDA[0], gemmLDA[0], 4, 0), gemmLDA[2])
		if g.rows > 7 {
			g.LEAQ(indexed(gemmLDA[1], gemmLDA[0], 4, 0), gemmLDA[3])
		}
	}
	if g.loopsPanels() {
		g.Label("panel")
		g.MOVQ(g.arg("n"), gemmTmp)
		g.SHLQ(imm(2), gemmTmp)
		g.SUBQ(gemmCol, gemmTmp)
		g.CMPQ(gemmTmp, imm(64))
		g.JLT(operand.LabelRef("done"))
	}
	g.XORQ(gemmI, gemmI)

	last := "done"
	if g.loopsPanels() {
		last = "panelDone"
	}
	// Two tiles of equal height do the last rows faster than a full one and
	// a small one, whose few accumulators cannot hide the latency.
	g.Label("next")
	g.MOVQ(g.arg("m"), gemmCount)
	g.SUBQ(gemmI, gemmCount)
	g.JZ(operand.LabelRef(last))
	g.CMPQ(gemmCount, imm(2*g.rows))
	g.JGE(operand.LabelRef(fmt.Sprintf("rows%d", g.rows)))
	g.CMPQ(gemmCount, imm(g.rows))
	g.JLE(operand.LabelRef("dispatch"))
	g.INCQ(gemmCount)
	g.SHRQ(imm(1), gemmCount)
	g.Label("dispatch")
	for r := g.rows - 1; r >= 1; r-- {
		g.CMPQ(gemmCount, imm(r))
		g.JEQ(operand.LabelRef(fmt.Sprintf("rows%d", r)))
	}
	for r := g.rows; r >= 1; r-- {
		g.Label(fmt.Sprintf("rows%d", r))
		g.tile(r)
		g.ADDQ(imm(r), gemmI)
		g.JMP(operand.LabelRef("next"))
	}
	if g.loopsPanels() {
		g.Label("panelDone")
		g.ADDQ(imm(64), gemmCol)
		g.JMP(operand.LabelRef("panel"))
	}
	g.Label("done")
	g.ret()
}

// loopsPanels is true for the kernel that does any number of panels.
func (g *gemmKernel) loopsPanels() bool { return g.isa == avx2 && !g.tail }

// columnMask sets K1 to the valid columns of the last panel.
func (g *gemmKernel) columnMask() {
	g.MOVQ(g.arg("n"), reg.RCX)
	g.SUBQ(imm(16*(g.panels-1)), reg.RCX)
	g.MOVL(operand.U32(1), reg.EAX)
	g.SHLL(reg.CL, reg.EAX)
	g.DECL(reg.EAX)
	g.KMOVW(reg.EAX, reg.K1)
}

// tile computes rows gemmI to gemmI+rows.
func (g *gemmKernel) tile(rows int) {
	g.start(rows)
	if g.isa == avx2 {
		g.MOVQ(gemmCol, gemmB)
		g.IMULQ(g.arg("bps"), gemmB)
		g.SHRQ(imm(4), gemmB)
		g.ADDQ(g.arg("b"), gemmB)
	} else {
		g.MOVQ(g.arg("b"), gemmB)
	}
	g.MOVQ(gemmI, gemmA[0])
	g.IMULQ(g.arg("ars"), gemmA[0])
	g.SHLQ(imm(2), gemmA[0])
	g.ADDQ(g.arg("a"), gemmA[0])
	if !g.transposed {
		for i := 1; i*9 < rows; i++ {
			g.LEAQ(indexed(gemmA[i-1], gemmLDA[0], 8, 0), gemmA[i])
			g.ADDQ(gemmLDA[0], gemmA[i])
		}
	}

	g.startAhead(rows)

	blocks, rest, end := g.label("blocks"), g.label("rest"), g.label("end")
	one := g.label("one")
	g.MOVQ(g.arg("k"), gemmCount)
	g.SUBQ(imm(gemmUnroll), gemmCount)
	g.JL(operand.LabelRef(rest))
	g.Label(blocks)
	for k := range gemmUnroll {
		g.step(rows, k)
	}
	g.fetch(rows)
	g.advance(rows, gemmUnroll)
	g.SUBQ(imm(gemmUnroll), gemmCount)
	g.JGE(operand.LabelRef(blocks))
	g.Label(rest)
	g.ADDQ(imm(gemmUnroll), gemmCount)
	g.JZ(operand.LabelRef(end))
	g.Label(one)
	g.step(rows, 0)
	g.advance(rows, 1)
	g.DECQ(gemmCount)
	g.JNZ(operand.LabelRef(one))
	g.Label(end)
	g.finish(rows)
}

// Memory is fetched into the second-level cache ahead of its use, because the
// hardware does not recognise the streams: by rows, the tile below is fetched
// while this one is computed, on the assumption that rows follow each other
// without gaps; transposed, what the driver says will be needed next.

// startAhead points gemmAhead at what the tile has to fetch.
func (g *gemmKernel) startAhead(rows int) {
	if !g.transposed {
		g.MOVQ(gemmLDA[0], gemmAhead)
		g.IMUL3Q(imm(rows), gemmAhead, gemmAhead)
		g.ADDQ(gemmA[0], gemmAhead)
	}
}

// fetch fetches the share of one block of k.
func (g *gemmKernel) fetch(rows int) {
	share := rows * gemmUnroll * 4
	if g.transposed {
		share = 128
	}
	for off := 0; off < share; off += 64 {
		g.PREFETCHT1(mem(gemmAhead, off))
	}
	g.ADDQ(imm(share), gemmAhead)
}

// step is one k of the inner loop.
func (g *gemmKernel) step(rows, k int) {
	for p := range g.parts() {
		g.VMOVUPS(g.bAddr(p, k), g.b(p))
	}
	for r := range rows {
		a := g.aAddr(r, k)
		if g.transposed {
			a = g.atAddr(r, k)
		}
		if g.parts() == 1 {
			g.VFMADD231PS_BCST(a, g.b(0), g.acc(r, 0))
			continue
		}
		t := g.tmp(r)
		g.VBROADCASTSS(a, t)
		for p := range g.parts() {
			g.VFMADD231PS(t, g.b(p), g.acc(r, p))
		}
	}
}

// atAddr is aAddr for transposed A.
func (g *gemmKernel) atAddr(r, k int) operand.Mem {
	switch k {
	case 0:
		return mem(gemmA[0], 4*r)
	case 3:
		return indexed(gemmA[0], gemmLDA[1], 1, 4*r)
	default:
		return indexed(gemmA[0], gemmLDA[0], uint8(k), 4*r)
	}
}

// advance moves A and B by n steps of k.
func (g *gemmKernel) advance(rows, n int) {
	g.ADDQ(imm(64*n), gemmB)
	switch {
	case !g.transposed:
		for i := 0; i*9 < rows; i++ {
			g.ADDQ(imm(4*n), gemmA[i])
		}
	case n == 1:
		g.ADDQ(gemmLDA[0], gemmA[0])
	default:
		g.LEAQ(indexed(gemmA[0], gemmLDA[0], uint8(n), 0), gemmA[0])
	}
}

// start points gemmC at the tile of C and sets the accumulators: to C, to the
// bias, or to zero.
func (g *gemmKernel) start(rows int) {
	zero, fromC, ready := g.label("zero"), g.label("fromC"), g.label("ready")
	g.MOVQ(g.arg("ldc"), gemmTmp)
	g.SHLQ(imm(2), gemmTmp)
	g.MOVQ(gemmI, gemmC)
	g.IMULQ(gemmTmp, gemmC)
	g.ADDQ(g.arg("c"), gemmC)
	g.column(gemmC)
	g.loadMasks(g.tmp(0), g.tmp(1))

	g.CMPQ(g.arg("mode"), g.constant("gemmFromC"))
	g.JEQ(operand.LabelRef(fromC))
	g.MOVQ(g.arg("bias"), gemmTmp2)
	g.TESTQ(gemmTmp2, gemmTmp2)
	g.JZ(operand.LabelRef(zero))
	g.column(gemmTmp2)
	for p := range g.parts() {
		g.load(p, mem(gemmTmp2, p*g.bytes()), g.tmp(p), g.acc(0, p))
	}
	for r := 1; r < rows; r++ {
		for p := range g.parts() {
			g.VMOVAPS(g.acc(0, p), g.acc(r, p))
		}
	}
	g.JMP(operand.LabelRef(ready))

	g.Label(fromC)
	g.MOVQ(gemmC, gemmTmp2)
	for r := range rows {
		for p := range g.parts() {
			g.load(p, mem(gemmTmp2, p*g.bytes()), g.tmp(p), g.acc(r, p))
		}
		if r < rows-1 {
			g.ADDQ(gemmTmp, gemmTmp2)
		}
	}
	g.JMP(operand.LabelRef(ready))

	g.Label(zero)
	for r := range rows {
		for p := range g.parts() {
			g.zero(g.acc(r, p))
		}
	}
	g.Label(ready)
}

// finish applies the epilogue and stores the tile.
func (g *gemmKernel) finish(rows int) {
	addTo, relu, activated, store := g.label("addTo"), g.label("relu"), g.label("activated"), g.label("store")
	g.MOVQ(g.arg("ldc"), gemmTmp)
	g.SHLQ(imm(2), gemmTmp)

	g.CMPQ(g.arg("mode"), g.constant("gemmAddTo"))
	g.JEQ(operand.LabelRef(addTo))
	g.MOVQ(g.arg("act"), gemmTmp2)
	g.CMPQ(gemmTmp2, g.constant("ActLeaky"))
	g.JLT(operand.LabelRef(activated))
	g.JGT(operand.LabelRef(relu))

	slope := g.b(0)
	g.VBROADCASTSS(g.arg("slope"), slope)
	for r := range rows {
		for p := range g.parts() {
			t := g.tmp(r*g.parts() + p)
			g.VMULPS(slope, g.acc(r, p), t)
			g.VMAXPS(t, g.acc(r, p), g.acc(r, p))
		}
	}
	g.JMP(operand.LabelRef(activated))

	g.Label(relu)
	zero := g.b(0)
	g.zero(zero)
	for r := range rows {
		for p := range g.parts() {
			g.VMAXPS(zero, g.acc(r, p), g.acc(r, p))
		}
	}

	g.Label(activated)
	g.loadMasks(g.b(0), g.b(g.parts()-1))
	g.MOVQ(g.arg("residual"), gemmTmp2)
	g.TESTQ(gemmTmp2, gemmTmp2)
	g.JZ(operand.LabelRef(store))
	g.MOVQ(g.arg("ldr"), g.tmp3())
	g.SHLQ(imm(2), g.tmp3())
	g.MOVQ(gemmI, gemmRes)
	g.IMULQ(g.tmp3(), gemmRes)
	g.ADDQ(gemmRes, gemmTmp2)
	g.column(gemmTmp2)
	g.addRows(rows, gemmTmp2, g.tmp3())
	g.JMP(operand.LabelRef(store))

	g.Label(addTo)
	g.loadMasks(g.b(0), g.b(g.parts()-1))
	g.MOVQ(gemmC, gemmTmp2)
	g.addRows(rows, gemmTmp2, gemmTmp)

	g.Label(store)
	for r := range rows {
		for p := range g.parts() {
			g.store(p, g.acc(r, p), g.b(p), mem(gemmC, p*g.bytes()))
		}
		if r < rows-1 {
			g.ADDQ(gemmTmp, gemmC)
		}
	}
}

// addRows adds the matrix at ptr to the tile.
func (g *gemmKernel) addRows(rows int, ptr, stride reg.Register) {
	for r := range rows {
		for p := range g.parts() {
			t := g.tmp(r*g.parts() + p)
			g.load(p, mem(ptr, p*g.bytes()), g.b(p), t)
			g.VADDPS(t, g.acc(r, p), g.acc(r, p))
		}
		if r < rows-1 {
			g.ADDQ(stride, ptr)
		}
	}
}

// column moves a pointer to the panel's first column.
func (g *gemmKernel) column(ptr reg.Register) {
	if g.isa == avx2 {
		g.ADDQ(gemmCol, ptr)
	}
}

// loadMasks puts the masks of the two parts of a partial panel into registers
// (AVX-512 keeps its mask in K1 all the time).
func (g *gemmKernel) loadMasks(lo, hi reg.VecPhysical) {
	if g.tail {
		g.VMOVUPS(mem(gemmMask, 0), lo)
		g.VMOVUPS(mem(gemmMask, 32), hi)
	}
}

// load reads part p of a row, without touching columns that do not exist.
func (g *gemmKernel) load(p int, m operand.Mem, mask, r reg.VecPhysical) {
	switch {
	case g.tail:
		g.VMASKMOVPS(m, mask, r)
	case g.isa == avx512 && p == g.parts()-1:
		g.VMOVUPS_Z(m, reg.K1, r)
	default:
		g.VMOVUPS(m, r)
	}
}

// store is the reverse of load.
func (g *gemmKernel) store(p int, r, mask reg.VecPhysical, m operand.Mem) {
	switch {
	case g.tail:
		g.VMASKMOVPS(r, mask, m)
	case g.isa == avx512 && p == g.parts()-1:
		g.VMOVUPS(r, reg.K1, m)
	default:
		g.VMOVUPS(r, m)
	}
}
