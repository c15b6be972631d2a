package main

import "fmt"

// The depthwise kernels have their lanes across channels, 8 at a time, then 4,
// then single ones. Pixels of a row, and taps of the weights, are one stride
// apart, so that loads and stores that add the stride to their pointer walk
// along a row.

const dwTile = 6 // output pixels of the forward kernel

// dwWidths are the channels that the kernels compute at once.
var dwWidths = []int{8, 4, 1}

// Registers that both kernels share.
const (
	dwG        = "R0" // *dwArgs, *dwWeightArgs
	dwStride   = "R1" // bytes
	dwChannels = "R9" // left
	dwWalk     = "R10"
	dwTmp      = "R16"
	dwLeft     = "R24" // the first column does not exist
	dwRight    = "R25" // the last column does not exist
)

// dwRow points at the first column that exists of an input row.
func dwRow(ky int) string { return fmt.Sprintf("R%d", 2+ky) }

func writeDepthwise(g *gen) {
	writeDepthwiseForward(g)
	writeDepthwiseWeight(g)
}

// column loads w channels of the column that walk points at, and goes on to the
// next one. If edge is set, there is no such column: it counts as zeros.
func (g *gen) column(v vector, w int, walk, edge string) {
	outside := ""
	if edge != "" {
		outside = g.newLabel("outside")
		for h := range vectors(w) {
			g.zero(v + vector(h))
		}
		g.op("CBNZ %s, %s", edge, outside)
	}
	g.load(v, w, walk, dwStride)
	if edge != "" {
		g.label(outside)
	}
}

// Registers of the forward kernel. Those of a tile move along the channels,
// those of the row from tile to tile.
const (
	dwW       = "R5"
	dwDst     = "R6"
	dwRes     = "R7"  // or nil
	dwBias    = "R8"  // or nil
	dwPixels  = "R11" // left
	dwTap     = "R14"
	dwAct     = "R15"
	dwLineDst = "R22"
	dwLineRes = "R23" // or nil
	dwSlope   = vector(31)
)

func dwLine(ky int) string { return fmt.Sprintf("R%d", 19+ky) }

func writeDepthwiseForward(g *gen) {
	g.function("depthwise3NEON", "(args *dwArgs)", "computes n pixels of a row.", 0, 8)
	arg := func(name, register string) { g.op("MOVD dwArgs_%s(%s), %s", name, dwG, register) }
	g.op("MOVD args+0(FP), %s", dwG)
	arg("c", dwStride)
	g.op("LSL $2, %s", dwStride)
	arg("n", dwPixels)
	arg("act", dwAct)
	g.scalar(dwSlope, fmt.Sprintf("dwArgs_slope(%s)", dwG))
	for ky := range 3 {
		g.op("MOVD (dwArgs_row+%d)(%s), %s", 8*ky, dwG, dwLine(ky))
	}
	arg("dst", dwLineDst)
	arg("residual", dwLineRes)
	g.op("MOVBU dwArgs_left(%s), %s", dwG, dwLeft)

	// As with the rows of matrices, the last two tiles are of equal size.
	g.label("tile")
	g.op("CMP $%d, %s", 2*dwTile, dwPixels)
	g.op("BGE pixels%d", dwTile)
	g.op("MOVD %s, %s", dwPixels, dwTmp)
	g.op("CMP $%d, %s", dwTile, dwPixels)
	g.op("BLE dispatch")
	g.op("ADD $1, %s", dwTmp)
	g.op("LSR $1, %s", dwTmp)
	g.label("dispatch")
	for n := dwTile - 1; n >= 1; n-- {
		g.op("CMP $%d, %s", n, dwTmp)
		g.op("BEQ pixels%d", n)
	}
	for n := dwTile; n >= 1; n-- {
		g.label(fmt.Sprintf("pixels%d", n))
		g.dwTile(n, arg)
		g.op("BNE tile")
		g.op("RET")
	}
}

// dwTile computes the next n pixels and leaves the flags of how many are left.
func (g *gen) dwTile(n int, arg func(name, register string)) {
	// The last column of any other tile exists.
	g.op("MOVBU dwArgs_right(%s), %s", dwG, dwRight)
	g.op("CMP $%d, %s", n, dwPixels)
	g.op("CSEL EQ, %s, ZR, %[1]s", dwRight)
	for ky := range 3 {
		g.op("MOVD %s, %s", dwLine(ky), dwRow(ky))
	}
	arg("w", dwW)
	arg("bias", dwBias)
	arg("c", dwChannels)
	g.op("MOVD %s, %s", dwLineDst, dwDst)
	g.op("MOVD %s, %s", dwLineRes, dwRes)
	g.span(dwChannels, dwWidths, func(w int) { g.dwBlock(n, w) })

	// The rows do not begin with the left column where that does not exist.
	noResidual := g.newLabel("nil")
	g.op("MOVD $%d, %s", n, dwTmp)
	g.op("MUL %s, %s", dwStride, dwTmp)
	g.op("ADD %s, %s", dwTmp, dwLineDst)
	g.op("CBZ %s, %s", dwLineRes, noResidual)
	g.op("ADD %s, %s", dwTmp, dwLineRes)
	g.label(noResidual)
	g.op("MUL %s, %s", dwStride, dwLeft)
	g.op("SUB %s, %s", dwLeft, dwTmp)
	for ky := range 3 {
		g.op("ADD %s, %s", dwTmp, dwLine(ky))
	}
	g.op("MOVD $0, %s", dwLeft)
	g.op("SUBS $%d, %s", n, dwPixels)
}

// dwBlock computes w channels of n pixels. Going through the columns in order
// meets the taps of every output in order.
func (g *gen) dwBlock(n, w int) {
	parts := vectors(w)
	acc := func(x, h int) vector { return vector(8 + parts*x + h) }
	weight := func(kx, h int) vector { return vector(20 + 2*kx + h) }
	column := func(i int) vector { return vector(2 * (i % 4)) }
	var all []vector
	for i := range n * parts {
		all = append(all, acc(0, i))
	}

	zero, ready := g.newLabel("zero"), g.newLabel("ready")
	g.op("CBZ %s, %s", dwBias, zero)
	g.loadNext(acc(0, 0), w, dwBias)
	for _, a := range all[parts:] {
		g.mov(a, a-vector(parts))
	}
	g.op("JMP %s", ready)
	g.label(zero)
	for _, a := range all {
		g.zero(a)
	}
	g.label(ready)

	g.op("MOVD %s, %s", dwW, dwTap)
	for ky := range 3 {
		for kx := range 3 {
			g.load(weight(kx, 0), w, dwTap, dwStride)
		}
		g.op("MOVD %s, %s", dwRow(ky), dwWalk)
		for i := range n + 2 {
			edge := ""
			switch i {
			case 0:
				edge = dwLeft
			case n + 1:
				edge = dwRight
			}
			g.column(column(i), w, dwWalk, edge)
			for x := max(i-2, 0); x <= min(i, n-1); x++ {
				for h := range parts {
					g.mla(acc(x, h), column(i)+vector(h), weight(i-x, h))
				}
			}
		}
	}
	for _, p := range []string{dwRow(0), dwRow(1), dwRow(2), dwW} {
		g.op("ADD $%d, %s", 4*w, p)
	}

	g.activate(dwAct, all, dwSlope, 0, 1)
	noResidual := g.newLabel("nil")
	g.op("CBZ %s, %s", dwRes, noResidual)
	g.op("MOVD %s, %s", dwRes, dwTmp)
	for x := range n {
		g.load(column(x), w, dwTmp, dwStride)
		for h := range parts {
			g.add(acc(x, h), acc(x, h), column(x)+vector(h))
		}
	}
	g.op("ADD $%d, %s", 4*w, dwRes)
	g.label(noResidual)
	g.op("MOVD %s, %s", dwDst, dwTmp)
	for x := range n {
		g.store(acc(x, 0), w, dwTmp, dwStride)
	}
	g.op("ADD $%d, %s", 4*w, dwDst)
}

// Registers of the kernel for the weight gradient.
const (
	dwwDY     = "R5"
	dwwDW     = "R6"
	dwwLDW    = "R7" // bytes
	dwwN      = "R8"
	dwwWalkDY = "R13"
	dwwCount  = "R14" // pixels of dy left
)

func dwwWalk(ky int) string { return fmt.Sprintf("R%d", 10+ky) }

// writeDepthwiseWeight keeps nine sums and walks along the row, column by
// column. A column belongs to the last three pixels of dy, which take turns in
// three registers.
func writeDepthwiseWeight(g *gen) {
	g.function("depthwise3WeightNEON", "(args *dwWeightArgs)", "accumulates the weight gradients of n pixels of a row.", 0, 8)
	arg := func(name, register string) { g.op("MOVD dwWeightArgs_%s(%s), %s", name, dwG, register) }
	g.op("MOVD args+0(FP), %s", dwG)
	arg("stride", dwStride)
	g.op("LSL $2, %s", dwStride)
	arg("ldw", dwwLDW)
	g.op("LSL $2, %s", dwwLDW)
	for ky := range 3 {
		g.op("MOVD (dwWeightArgs_row+%d)(%s), %s", 8*ky, dwG, dwRow(ky))
	}
	arg("dy", dwwDY)
	arg("dw", dwwDW)
	arg("n", dwwN)
	arg("c", dwChannels)
	g.op("MOVBU dwWeightArgs_left(%s), %s", dwG, dwLeft)
	g.op("MOVBU dwWeightArgs_right(%s), %s", dwG, dwRight)
	g.span(dwChannels, dwWidths, g.dwwBlock)
	g.op("RET")
}

// dwwBlock computes w channels of all nine gradients.
func (g *gen) dwwBlock(w int) {
	parts := vectors(w)
	acc := func(t, h int) vector { return vector(8 + parts*t + h) }
	dy := func(i int) vector { return vector(26 + 2*i) }
	loadDY := func(i int) { g.load(dy(i), w, dwwWalkDY, dwStride) }
	// step goes on to the next column, which meets the pixel in dy(pixels[kx])
	// with tap kx, or none where that is negative.
	step := func(edge string, pixels ...int) {
		for ky := range 3 {
			g.column(vector(2*ky), w, dwwWalk(ky), edge)
		}
		for kx, i := range pixels {
			for ky := range 3 {
				for h := range parts {
					if i >= 0 {
						g.mla(acc(3*ky+kx, h), vector(2*ky+h), dy(i)+vector(h))
					}
				}
			}
		}
	}
	move := func(to, from int) {
		for h := range parts {
			g.mov(dy(to)+vector(h), dy(from)+vector(h))
		}
	}

	for i := range 9 * parts {
		g.zero(acc(0, i))
	}
	for ky := range 3 {
		g.op("MOVD %s, %s", dwRow(ky), dwwWalk(ky))
	}
	g.op("MOVD %s, %s", dwwDY, dwwWalkDY)

	single, last, done := g.newLabel("single"), g.newLabel("last"), g.newLabel("done")
	loop, exit0, exit1 := g.newLabel("loop"), g.newLabel("exit"), g.newLabel("exit")
	loadDY(0)
	step(dwLeft, 0)
	g.op("SUBS $1, %s, %s", dwwN, dwwCount)
	g.op("BEQ %s", single)
	loadDY(1)
	step("", 1, 0)
	g.op("SUBS $1, %s", dwwCount)
	g.op("BEQ %s", last)

	g.label(loop)
	loadDY(2)
	step("", 2, 1, 0)
	g.op("SUBS $1, %s", dwwCount)
	g.op("BEQ %s", exit0)
	loadDY(0)
	step("", 0, 2, 1)
	g.op("SUBS $1, %s", dwwCount)
	g.op("BEQ %s", exit1)
	loadDY(1)
	step("", 1, 0, 2)
	g.op("SUBS $1, %s", dwwCount)
	g.op("BNE %s", loop)

	// The last two pixels are in dy(0) and dy(1) here.
	g.label(last)
	step("", -1, 1, 0)
	step(dwRight, -1, -1, 1)
	g.op("JMP %s", done)
	g.label(exit0)
	move(0, 1)
	move(1, 2)
	g.op("JMP %s", last)
	g.label(exit1)
	move(1, 0)
	move(0, 2)
	g.op("JMP %s", last)
	g.label(single)
	step("", -1, 0)
	step(dwRight, -1, -1, 0)

	g.label(done)
	g.op("MOVD %s, %s", dwwDW, dwTmp)
	for t := range 9 {
		g.load(0, w, dwTmp, "")
		for h := range parts {
			g.add(vector(h), vector(h), acc(t, h))
		}
		g.store(0, w, dwTmp, dwwLDW)
	}
	for _, p := range []string{dwRow(0), dwRow(1), dwRow(2), dwwDY, dwwDW} {
		g.op("ADD $%d, %s", 4*w, p)
	}
}
