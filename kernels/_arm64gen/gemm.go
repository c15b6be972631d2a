package main

import "fmt"

// The matrix kernels keep a tile of C in 24 registers, 6 rows by one panel of
// 16 columns, and walk k. Multiply-adds by element take A without a broadcast:
//
//	N  A row by row: a register of four k for each row, and two in turn for
//	   the four parts of the row of B; 24 + 6 + 2 make all 32
//	T  A transposed: the column of A is loaded for each k
//
// Every tile height below the full one has its own code, so that the last rows
// cost what they should. Only whole panels are computed here; the wrapper in Go
// brings the columns of a partial one to and from memory of 16 columns.

const (
	gemmRows   = 6
	gemmUnroll = 4 // k of the inner loop
)

// Registers of the matrix kernels.
const (
	gemmG       = "R0" // *gemmArgs
	gemmB       = "R1"
	gemmCount   = "R8"
	gemmC       = "R9"
	gemmLDC     = "R10" // bytes
	gemmM       = "R11" // rows left
	gemmBias    = "R12" // or nil
	gemmLDA     = "R13" // bytes
	gemmTileA   = "R14"
	gemmPanelB  = "R15"
	gemmTmp     = "R16"
	gemmRes     = "R19" // or nil
	gemmLDR     = "R20" // bytes
	gemmN       = "R21" // columns left
	gemmCol     = "R22" // bytes before the panel's first column
	gemmMode    = "R23"
	gemmAct     = "R24"
	gemmK       = "R25"
	gemmPanels  = "R26" // bytes between panels of B
	gemmTileSet = "R17" // height of the next tile
)

// gemmA is the pointer to row i of A in the tile (N), or to its first and its
// fifth (or third) element (T).
func gemmA(i int) string { return fmt.Sprintf("R%d", 2+i) }

// gemmAcc is the accumulator of part p of row r.
func gemmAcc(r, p int) vector { return vector(8 + 4*r + p) }

type gemmKernel struct {
	*gen
	transposed bool
}

func writeGEMM(g *gen) {
	for _, transposed := range []bool{false, true} {
		(&gemmKernel{g, transposed}).write()
	}
}

// arg loads a field of the arguments.
func (g *gemmKernel) arg(name, register string) {
	g.op("MOVD gemmArgs_%s(%s), %s", name, gemmG, register)
}

// bytes loads a field that counts elements.
func (g *gemmKernel) bytes(name, register string) {
	g.arg(name, register)
	g.op("LSL $2, %s", register)
}

// column loads a pointer and moves it to the panel's first column, unless it is nil.
func (g *gemmKernel) column(name, register string) {
	none := g.newLabel("nil")
	g.arg(name, register)
	g.op("CBZ %s, %s", register, none)
	g.op("ADD %s, %s", gemmCol, register)
	g.label(none)
}

func (g *gemmKernel) write() {
	name, how, stride := "gemmNNEON", "A row by row", "ars"
	if g.transposed {
		name, how, stride = "gemmTNEON", "A transposed (ars is 1)", "aks"
	}
	g.function(name, "(args *gemmArgs)",
		fmt.Sprintf("computes whole panels, %s, in tiles of %d rows.", how, gemmRows), 0, 8)
	g.op("MOVD args+0(FP), %s", gemmG)
	g.bytes("ldc", gemmLDC)
	g.bytes("ldr", gemmLDR)
	g.bytes(stride, gemmLDA)
	g.bytes("bps", gemmPanels)
	g.arg("mode", gemmMode)
	g.arg("act", gemmAct)
	g.arg("k", gemmK)
	g.arg("b", gemmPanelB)
	g.arg("n", gemmN)
	g.op("MOVD $0, %s", gemmCol)

	g.label("panel")
	g.arg("c", gemmC)
	g.op("ADD %s, %s", gemmCol, gemmC)
	g.column("bias", gemmBias)
	g.column("residual", gemmRes)
	g.arg("a", gemmTileA)
	g.arg("m", gemmM)

	// Two tiles of equal height do the last rows faster than a full one and
	// a small one, whose few accumulators cannot hide the latency.
	g.label("tile")
	g.op("CMP $%d, %s", 2*gemmRows, gemmM)
	g.op("BGE rows%d", gemmRows)
	g.op("MOVD %s, %s", gemmM, gemmTileSet)
	g.op("CMP $%d, %s", gemmRows, gemmM)
	g.op("BLE dispatch")
	g.op("ADD $1, %s", gemmTileSet)
	g.op("LSR $1, %s", gemmTileSet)
	g.label("dispatch")
	for r := gemmRows - 1; r >= 1; r-- {
		g.op("CMP $%d, %s", r, gemmTileSet)
		g.op("BEQ rows%d", r)
	}
	for r := gemmRows; r >= 1; r-- {
		g.label(fmt.Sprintf("rows%d", r))
		g.tile(r)
		g.op("SUBS $%d, %s", r, gemmM)
		g.op("BNE tile")
		if r > 1 {
			g.op("JMP panelDone")
		}
	}
	g.label("panelDone")
	g.op("ADD %s, %s", gemmPanels, gemmPanelB)
	g.op("ADD $64, %s", gemmCol)
	g.op("SUBS $16, %s", gemmN)
	g.op("BNE panel")
	g.op("RET")
}

// tile computes the next rows of a panel.
func (g *gemmKernel) tile(rows int) {
	g.start(rows)
	g.op("MOVD %s, %s", gemmPanelB, gemmB)
	if g.transposed {
		g.op("MOVD %s, %s", gemmTileA, gemmA(0))
		g.op("ADD $%d, %s, %s", 4*(rows&^1), gemmTileA, gemmA(1))
		if rows > 4 {
			g.op("ADD $16, %s, %s", gemmTileA, gemmA(1))
		}
		g.op("ADD $%d, %s", 4*rows, gemmTileA)
	} else {
		for r := range rows {
			g.op("MOVD %s, %s", gemmTileA, gemmA(r))
			g.op("ADD %s, %s", gemmLDA, gemmTileA)
		}
	}
	blocks, rest, one, end := g.newLabel("blocks"), g.newLabel("rest"), g.newLabel("one"), g.newLabel("end")
	g.op("SUBS $%d, %s, %s", gemmUnroll, gemmK, gemmCount)
	g.op("BLT %s", rest)
	g.label(blocks)
	g.steps(rows, gemmUnroll)
	g.op("SUBS $%d, %s", gemmUnroll, gemmCount)
	g.op("BGE %s", blocks)
	g.label(rest)
	g.op("ADDS $%d, %s", gemmUnroll, gemmCount)
	g.op("BEQ %s", end)
	g.label(one)
	g.steps(rows, 1)
	g.op("SUBS $1, %s", gemmCount)
	g.op("BNE %s", one)
	g.label(end)
	g.finish(rows)
}

// steps is the inner loop for n k.
func (g *gemmKernel) steps(rows, n int) {
	if g.transposed {
		for k := range n {
			g.stepT(rows, k)
		}
	} else {
		g.stepsN(rows, n)
	}
	g.op("ADD $%d, %s", 64*n, gemmB)
}

func (g *gemmKernel) stepsN(rows, n int) {
	for r := range rows {
		if n == 1 {
			g.op("FMOVS.P 4(%s), F%d", gemmA(r), r)
		} else {
			g.op("FMOVQ.P 16(%s), F%d", gemmA(r), r)
		}
	}
	// The next part of B is loaded while the one before it is used.
	b := func(i int) vector { return vector(6 + i%2) }
	load := func(i int) { g.op("FMOVQ %d(%s), F%d", 16*i, gemmB, int(b(i))) }
	load(0)
	for i := range 4 * n {
		if i+1 < 4*n {
			load(i + 1)
		}
		for r := range rows {
			g.mlaElement(gemmAcc(r, i%4), b(i), vector(r), i/4)
		}
	}
}

func (g *gemmKernel) stepT(rows, k int) {
	a := []vector{4, 5}
	if k%2 == 1 {
		a = []vector{6, 7}
	}
	switch {
	case rows >= 4:
		g.op("VLD1.P (%s)(%s), [%v.S4]", gemmA(0), gemmLDA, a[0])
	case rows >= 2:
		g.op("VLD1.P (%s)(%s), [%v.S2]", gemmA(0), gemmLDA, a[0])
	}
	second := 4 // first row in the second register
	switch rows {
	case 1, 3, 5:
		second = rows - 1
		g.op("VLD1R.P (%s)(%s), [%v.S4]", gemmA(1), gemmLDA, a[1])
	case 6:
		g.op("VLD1.P (%s)(%s), [%v.S2]", gemmA(1), gemmLDA, a[1])
	}
	g.op("FLDPQ %d(%s), (F0, F1)", 64*k, gemmB)
	g.op("FLDPQ %d(%s), (F2, F3)", 64*k+32, gemmB)
	for p := range 4 {
		for r := range rows {
			if r < second {
				g.mlaElement(gemmAcc(r, p), vector(p), a[0], r)
			} else {
				g.mlaElement(gemmAcc(r, p), vector(p), a[1], r-second)
			}
		}
	}
}

// start sets the accumulators: to C, to the bias, or to zero.
func (g *gemmKernel) start(rows int) {
	zero, fromC, ready := g.newLabel("zero"), g.newLabel("fromC"), g.newLabel("ready")
	g.op("CMP $const_gemmFromC, %s", gemmMode)
	g.op("BEQ %s", fromC)
	g.op("CBZ %s, %s", gemmBias, zero)
	g.load(gemmAcc(0, 0), 16, gemmBias, "")
	for r := 1; r < rows; r++ {
		for p := range 4 {
			g.mov(gemmAcc(r, p), gemmAcc(0, p))
		}
	}
	g.op("JMP %s", ready)
	g.label(fromC)
	g.op("MOVD %s, %s", gemmC, gemmTmp)
	for r := range rows {
		g.load(gemmAcc(r, 0), 16, gemmTmp, gemmLDC)
	}
	g.op("JMP %s", ready)
	g.label(zero)
	for r := range rows {
		for p := range 4 {
			g.zero(gemmAcc(r, p))
		}
	}
	g.label(ready)
}

// finish is the epilogue; it moves C and the residual to the rows below.
func (g *gemmKernel) finish(rows int) {
	assign, store := g.newLabel("assign"), g.newLabel("store")
	g.op("CMP $const_gemmAddTo, %s", gemmMode)
	g.op("BNE %s", assign)
	g.op("MOVD %s, %s", gemmC, gemmTmp)
	g.addRows(rows, gemmTmp, gemmLDC)
	g.op("JMP %s", store)
	g.label(assign)
	var all []vector
	for r := range rows {
		for p := range 4 {
			all = append(all, gemmAcc(r, p))
		}
	}
	g.scalar(4, fmt.Sprintf("gemmArgs_slope(%s)", gemmG))
	g.activate(gemmAct, all, 4, 5, 6)
	g.op("CBZ %s, %s", gemmRes, store)
	g.addRows(rows, gemmRes, gemmLDR)
	g.label(store)
	for r := range rows {
		g.store(gemmAcc(r, 0), 16, gemmC, gemmLDC)
	}
}

// addRows adds rows of memory to the accumulators.
func (g *gemmKernel) addRows(rows int, base, step string) {
	for r := range rows {
		g.load(0, 16, base, step)
		for p := range 4 {
			g.add(gemmAcc(r, p), gemmAcc(r, p), vector(p))
		}
	}
}
