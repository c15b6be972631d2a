package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The depthwise kernels have their lanes across channels. All strides, between
// pixels and between the taps of the weights, are one row of channels, so
// four multiples of it address up to eight pixels or taps behind a pointer.
//
// Both kernels take a few neighbouring pixels at once and go through their
// channels in order, so that every stream of memory is sequential. A tile of
// six needs eight columns of input: 24 input and 9 weight registers loaded for
// 54 multiply-adds.

const dwTile = 6 // output pixels of the forward kernel

// General registers of the depthwise kernels.
var (
	dwG      = reg.RDI                                            // *dwArgs
	dwStride = []reg.Register{reg.RAX, reg.RBX, reg.RCX, reg.RDX} // 1, 3, 5, 7 times the bytes of a pixel
	dwRow    = []reg.Register{reg.RSI, reg.R8, reg.R9}
	dwW      = reg.R10
	dwDst    = reg.R11
	dwCount  = reg.R12 // channels left
	dwBias   = reg.R13 // or nil
	dwRes    = reg.R15 // or nil
	dwTmp    = reg.R13 // outside of the blocks
)

// dwPixels is the walk along a row that both kernels share. The column left of
// the row, or right of it, may not exist: it is not read and counts as zeros.
type dwPixels struct {
	*gen
	args        string      // type of the arguments
	tile        int         // pixels at once
	x           operand.Mem // first pixel of the tile; on the stack
	left, right operand.Mem // the tile's first or last column does not exist; on the stack
}

func (g *dwPixels) arg(name string, index ...int) operand.Mem {
	return g.field(dwG, g.args, name, index...)
}

func (g *dwPixels) locals() {
	g.x, g.left, g.right = g.AllocLocal(8), g.AllocLocal(8), g.AllocLocal(8)
}

// walk calls tile for all sizes of tiles, and emits the loop over them.
func (g *dwPixels) walk(tile func(n int)) {
	done := g.label("row")
	g.MOVQ(operand.I32(0), g.x)
	// As with the rows of matrices, the last two tiles are of equal size.
	g.Label("next")
	g.MOVQ(g.arg("n"), dwCount)
	g.SUBQ(g.x, dwCount)
	g.JLE(operand.LabelRef(done))
	g.CMPQ(dwCount, imm(2*g.tile))
	g.JGE(operand.LabelRef(fmt.Sprintf("pixels%d", g.tile)))
	g.CMPQ(dwCount, imm(g.tile))
	g.JLE(operand.LabelRef("dispatch"))
	g.INCQ(dwCount)
	g.SHRQ(imm(1), dwCount)
	g.Label("dispatch")
	for n := g.tile - 1; n >= 1; n-- {
		g.CMPQ(dwCount, imm(n))
		g.JEQ(operand.LabelRef(fmt.Sprintf("pixels%d", n)))
	}
	for n := g.tile; n >= 1; n-- {
		g.Label(fmt.Sprintf("pixels%d", n))
		g.edges(n)
		tile(n)
		g.ADDQ(imm(n), g.x)
		g.JMP(operand.LabelRef("next"))
	}
	g.Label(done)
}

// edges sets left and right for a tile of n pixels, dwRow to the column left of
// it, and dwCount to the bytes before it.
func (g *dwPixels) edges(n int) {
	notFirst, notLast := g.label("notFirst"), g.label("notLast")
	g.MOVQ(operand.I32(0), g.left)
	g.MOVQ(operand.I32(0), g.right)
	g.MOVBLZX(g.arg("left"), dwTmp.As32())
	g.MOVQ(g.x, dwCount)
	g.TESTQ(dwCount, dwCount)
	g.JNZ(operand.LabelRef(notFirst))
	g.MOVQ(dwTmp, g.left)
	g.Label(notFirst)
	g.SUBQ(dwTmp, dwCount) // where left is set, the rows begin one pixel later
	g.IMULQ(dwStride[0], dwCount)
	for ky, r := range dwRow {
		g.MOVQ(g.arg("row", ky), r)
		g.ADDQ(dwCount, r)
	}
	g.MOVQ(g.x, dwCount)
	g.LEAQ(mem(dwCount, n), dwTmp)
	g.CMPQ(dwTmp, g.arg("n"))
	g.JNE(operand.LabelRef(notLast))
	g.MOVBLZX(g.arg("right"), dwTmp.As32())
	g.MOVQ(dwTmp, g.right)
	g.Label(notLast)
	g.IMULQ(dwStride[0], dwCount)
}

// column loads column i of a row of a tile of n pixels.
func (g *dwPixels) column(row reg.Register, i, n int, r reg.VecPhysical, masked bool) {
	var edge operand.Mem
	switch i {
	case 0:
		edge = g.left
	case n + 1:
		edge = g.right
	default:
		g.load(dwAddr(row, i), r, masked)
		return
	}
	outside := g.label("outside")
	g.zero(r)
	g.CMPQ(edge, imm(0))
	g.JNE(operand.LabelRef(outside))
	g.load(dwAddr(row, i), r, masked)
	g.Label(outside)
}

// dwAddr addresses pixel (or tap) i behind base, 0 <= i <= 8.
func dwAddr(base reg.Register, i int) operand.Mem {
	switch i {
	case 0:
		return mem(base, 0)
	case 1, 2, 4, 8:
		return indexed(base, dwStride[0], uint8(i), 0)
	case 3, 6:
		return indexed(base, dwStride[1], uint8(i/3), 0)
	default: // 5, 7
		return indexed(base, dwStride[i/2], 1, 0)
	}
}

// strides derives the multiples from the first.
func (g *gen) dwStrides() {
	g.LEAQ(indexed(dwStride[0], dwStride[0], 2, 0), dwStride[1])
	g.LEAQ(indexed(dwStride[0], dwStride[0], 4, 0), dwStride[2])
	g.LEAQ(indexed(dwStride[1], dwStride[0], 4, 0), dwStride[3])
}

func writeDepthwise(g *gen) {
	if g.isa == avx2 {
		g.tailMasks()
	}
	k := dwKernel{dwPixels{gen: g, args: "dwArgs", tile: dwTile}}
	k.write()
	any := dwWindowKernel{dwPixels{gen: g, args: "dwWindowArgs", tile: dwWindowTile}}
	any.write()
	w := dwWeightKernel{dwPixels{gen: g, args: "dwWeightArgs", tile: 6}}
	if g.isa == avx2 {
		w.tile = 4
	}
	w.write()
}

type dwKernel struct{ dwPixels }

// Vector registers.
func (g *dwKernel) acc(i int) reg.VecPhysical { return g.v(i) }
func (g *dwKernel) w(kx int) reg.VecPhysical  { return g.v(dwTile + kx) }
func (g *dwKernel) in(i int) reg.VecPhysical  { return g.v(dwTile + 3 + i%3) }
func (g *dwKernel) slope() reg.VecPhysical    { return g.v(dwTile + 6) }
func (g *dwKernel) zeros() reg.VecPhysical    { return g.v(dwTile + 7) }

func (g *dwKernel) write() {
	g.text("depthwise3", "(args *dwArgs)", "computes n pixels of a row.")
	g.locals()
	g.MOVQ(operand.NewParamAddr("args", 0), dwG)
	g.MOVQ(g.arg("c"), reg.RCX)
	g.tailMask(reg.RCX, reg.RDX)
	g.VBROADCASTSS(g.arg("slope"), g.slope())
	g.zero(g.zeros())
	g.MOVQ(g.arg("c"), dwStride[0])
	g.SHLQ(imm(2), dwStride[0])
	g.dwStrides()
	g.walk(g.pixels)
	g.ret()
}

// pixels computes all channels of n pixels.
func (g *dwKernel) pixels(n int) {
	ready, loop, rest, end := g.label("ready"), g.label("loop"), g.label("rest"), g.label("end")
	g.MOVQ(g.arg("dst"), dwDst)
	g.ADDQ(dwCount, dwDst)
	g.MOVQ(g.arg("w"), dwW)
	g.MOVQ(g.arg("bias"), dwBias)
	g.MOVQ(g.arg("residual"), dwRes)
	g.TESTQ(dwRes, dwRes)
	g.JZ(operand.LabelRef(ready))
	g.ADDQ(dwCount, dwRes)
	g.Label(ready)
	g.MOVQ(g.arg("c"), dwCount)
	g.SUBQ(imm(g.isa.lanes), dwCount)
	g.JL(operand.LabelRef(rest))
	g.Label(loop)
	g.block(n, false)
	for _, r := range append([]reg.Register{dwW, dwDst}, dwRow...) {
		g.ADDQ(imm(g.bytes()), r)
	}
	g.SUBQ(imm(g.isa.lanes), dwCount)
	g.JGE(operand.LabelRef(loop))
	g.Label(rest)
	g.ADDQ(imm(g.isa.lanes), dwCount)
	g.JZ(operand.LabelRef(end))
	g.block(n, true)
	g.Label(end)
}

// block computes one register of channels of n pixels. Bias and residual move
// on by themselves.
func (g *dwKernel) block(n int, masked bool) {
	zero, taps := g.label("zero"), g.label("taps")
	g.TESTQ(dwBias, dwBias)
	g.JZ(operand.LabelRef(zero))
	g.load(mem(dwBias, 0), g.acc(0), masked)
	for i := 1; i < n; i++ {
		g.VMOVAPS(g.acc(0), g.acc(i))
	}
	g.ADDQ(imm(g.bytes()), dwBias)
	g.JMP(operand.LabelRef(taps))
	g.Label(zero)
	for i := range n {
		g.zero(g.acc(i))
	}
	g.Label(taps)

	// Column i of the input is tap kx of output i-kx, so columns in order
	// bring the taps of every output in order.
	for ky, row := range dwRow {
		for kx := range 3 {
			g.load(dwAddr(dwW, 3*ky+kx), g.w(kx), masked)
		}
		for i := range n + 2 {
			g.column(row, i, n, g.in(i), masked)
			for kx := range 3 {
				if o := i - kx; o >= 0 && o < n {
					g.VFMADD231PS(g.in(i), g.w(kx), g.acc(o))
				}
			}
		}
	}

	relu, activated, store := g.label("relu"), g.label("activated"), g.label("store")
	g.CMPQ(g.arg("act"), g.constant("ActLeaky"))
	g.JLT(operand.LabelRef(activated))
	g.JGT(operand.LabelRef(relu))
	for i := range n {
		g.VMULPS(g.slope(), g.acc(i), g.in(i))
		g.VMAXPS(g.in(i), g.acc(i), g.acc(i))
	}
	g.JMP(operand.LabelRef(activated))
	g.Label(relu)
	for i := range n {
		g.VMAXPS(g.zeros(), g.acc(i), g.acc(i))
	}
	g.Label(activated)
	g.TESTQ(dwRes, dwRes)
	g.JZ(operand.LabelRef(store))
	for i := range n {
		g.load(dwAddr(dwRes, i), g.in(i), masked)
		g.VADDPS(g.in(i), g.acc(i), g.acc(i))
	}
	g.ADDQ(imm(g.bytes()), dwRes)
	g.Label(store)
	for i := range n {
		g.store(g.acc(i), dwAddr(dwDst, i), masked)
	}
}

// The kernel for any window has no registers for the taps of a row: it multiplies
// eight neighbouring pixels by one tap at a time, straight from memory, which is
// one load for each multiply-add. Rows of five taps, the window of the photo
// network's context, go through their columns as those of three do above: 17 loads
// for 40 multiply-adds.
type dwWindowKernel struct{ dwPixels }

// dwWindowTile is how many accumulators hide the latency of FMA where two can
// begin a cycle and take four.
const dwWindowTile = 8

// Vector registers. Five of w, or one, are in use while taps are added, slope and
// zeros in the epilogue.
func (g *dwWindowKernel) acc(i int) reg.VecPhysical { return g.v(i) }
func (g *dwWindowKernel) w(kx int) reg.VecPhysical  { return g.v(dwWindowTile + kx) }
func (g *dwWindowKernel) in(i int) reg.VecPhysical  { return g.v(dwWindowTile + 5 + i%2) }
func (g *dwWindowKernel) slope() reg.VecPhysical    { return g.v(dwWindowTile) }
func (g *dwWindowKernel) zeros() reg.VecPhysical    { return g.v(dwWindowTile + 1) }

// General registers beside those of the other kernels.
var (
	dwTap   = reg.RSI // pixels under the present tap
	dwLines = reg.R8  // pointers to the rows
	dwAt    = reg.R9  // bytes before the tile's channels in every row
	dwKY    = reg.R11
	dwKX    = reg.R13
	dwBase  = reg.R15
)

func (g *dwWindowKernel) write() {
	g.text("depthwise", "(args *dwWindowArgs)", "computes n pixels of a row, with any window.")
	x, channel := g.AllocLocal(8), g.AllocLocal(8) // bytes before the tile, and before its channels
	g.MOVQ(operand.NewParamAddr("args", 0), dwG)
	g.MOVQ(g.arg("c"), reg.RCX)
	g.tailMask(reg.RCX, reg.RDX)
	g.MOVQ(g.arg("c"), dwStride[0])
	g.SHLQ(imm(2), dwStride[0])
	g.dwStrides()
	g.MOVQ(operand.I32(0), x)
	g.MOVQ(g.arg("n"), dwBase) // pixels left

	// As with the rows of matrices, the last two tiles are of equal size.
	g.Label("next")
	g.MOVQ(dwBase, dwCount)
	g.TESTQ(dwCount, dwCount)
	g.JZ(operand.LabelRef("done"))
	g.CMPQ(dwCount, imm(2*g.tile))
	g.JGE(operand.LabelRef(fmt.Sprintf("pixels%d", g.tile)))
	g.CMPQ(dwCount, imm(g.tile))
	g.JLE(operand.LabelRef("dispatch"))
	g.INCQ(dwCount)
	g.SHRQ(imm(1), dwCount)
	g.Label("dispatch")
	for n := g.tile - 1; n >= 1; n-- {
		g.CMPQ(dwCount, imm(n))
		g.JEQ(operand.LabelRef(fmt.Sprintf("pixels%d", n)))
	}
	for n := g.tile; n >= 1; n-- {
		g.Label(fmt.Sprintf("pixels%d", n))
		loop, rest, end := g.label("loop"), g.label("rest"), g.label("end")
		g.MOVQ(operand.I32(0), channel)
		g.MOVQ(x, dwAt)
		g.MOVQ(g.arg("c"), dwCount)
		g.SUBQ(imm(g.isa.lanes), dwCount)
		g.JL(operand.LabelRef(rest))
		g.Label(loop)
		g.block(n, channel, false)
		g.ADDQ(imm(g.bytes()), dwAt)
		g.ADDQ(imm(g.bytes()), channel)
		g.SUBQ(imm(g.isa.lanes), dwCount)
		g.JGE(operand.LabelRef(loop))
		g.Label(rest)
		g.ADDQ(imm(g.isa.lanes), dwCount)
		g.JZ(operand.LabelRef(end))
		g.block(n, channel, true)
		g.Label(end)
		g.IMUL3Q(imm(n), dwStride[0], dwTap)
		g.ADDQ(dwTap, x)
		g.SUBQ(imm(n), dwBase)
		g.JMP(operand.LabelRef("next"))
	}
	g.Label("done")
	g.ret()
}

// block computes one register of channels of n pixels.
func (g *dwWindowKernel) block(n int, channel operand.Mem, masked bool) {
	zero, rows, row, tap, five, added := g.label("zero"), g.label("rows"), g.label("row"), g.label("tap"), g.label("five"), g.label("added")
	g.MOVQ(g.arg("bias"), dwTap)
	g.TESTQ(dwTap, dwTap)
	g.JZ(operand.LabelRef(zero))
	g.ADDQ(channel, dwTap)
	g.load(mem(dwTap, 0), g.acc(0), masked)
	for i := 1; i < n; i++ {
		g.VMOVAPS(g.acc(0), g.acc(i))
	}
	g.JMP(operand.LabelRef(rows))
	g.Label(zero)
	for i := range n {
		g.zero(g.acc(i))
	}

	g.Label(rows)
	g.MOVQ(g.arg("w"), dwW)
	g.ADDQ(channel, dwW)
	g.MOVQ(g.arg("row"), dwLines)
	g.MOVQ(g.arg("kh"), dwKY)
	g.Label(row)
	g.MOVQ(mem(dwLines, 0), dwTap)
	g.ADDQ(dwAt, dwTap)
	g.MOVQ(g.arg("kw"), dwKX)
	g.CMPQ(dwKX, imm(5))
	g.JEQ(operand.LabelRef(five))
	g.Label(tap)
	g.load(mem(dwW, 0), g.w(0), masked)
	for i := range n {
		if masked {
			g.load(dwAddr(dwTap, i), g.in(i), true)
			g.VFMADD231PS(g.in(i), g.w(0), g.acc(i))
		} else {
			g.VFMADD231PS(dwAddr(dwTap, i), g.w(0), g.acc(i))
		}
	}
	g.ADDQ(dwStride[0], dwTap)
	g.ADDQ(dwStride[0], dwW)
	g.DECQ(dwKX)
	g.JNZ(operand.LabelRef(tap))
	g.JMP(operand.LabelRef(added))

	g.Label(five)
	for kx := range 5 {
		g.load(dwAddr(dwW, kx), g.w(kx), masked)
	}
	g.ADDQ(dwStride[2], dwW)
	for i := range n + 4 {
		if i == 8 {
			g.LEAQ(dwAddr(dwTap, 8), dwTap)
		}
		g.load(dwAddr(dwTap, i%8), g.in(i), masked)
		for kx := range 5 {
			if o := i - kx; o >= 0 && o < n {
				g.VFMADD231PS(g.in(i), g.w(kx), g.acc(o))
			}
		}
	}
	g.Label(added)
	g.ADDQ(imm(8), dwLines)
	g.DECQ(dwKY)
	g.JNZ(operand.LabelRef(row))

	relu, activated, store := g.label("relu"), g.label("activated"), g.label("store")
	g.CMPQ(g.arg("act"), g.constant("ActLeaky"))
	g.JLT(operand.LabelRef(activated))
	g.JGT(operand.LabelRef(relu))
	g.VBROADCASTSS(g.arg("slope"), g.slope())
	for i := range n {
		g.VMULPS(g.slope(), g.acc(i), g.in(i))
		g.VMAXPS(g.in(i), g.acc(i), g.acc(i))
	}
	g.JMP(operand.LabelRef(activated))
	g.Label(relu)
	g.zero(g.zeros())
	for i := range n {
		g.VMAXPS(g.zeros(), g.acc(i), g.acc(i))
	}
	g.Label(activated)
	g.MOVQ(g.arg("residual"), dwTap)
	g.TESTQ(dwTap, dwTap)
	g.JZ(operand.LabelRef(store))
	g.ADDQ(dwAt, dwTap)
	for i := range n {
		g.load(dwAddr(dwTap, i), g.in(i), masked)
		g.VADDPS(g.in(i), g.acc(i), g.acc(i))
	}
	g.Label(store)
	g.MOVQ(g.arg("dst"), dwTap)
	g.ADDQ(dwAt, dwTap)
	for i := range n {
		g.store(g.acc(i), dwAddr(dwTap, i), masked)
	}
}

// The kernel of the weight gradients keeps the nine sums of a group of channels
// on the stack, where they fit the first-level cache: a tile loads those of one
// register of channels, adds its pixels, and puts them back.
type dwWeightKernel struct{ dwPixels }

// dwGroup is the number of channels whose sums are on the stack.
const dwGroup = 128

func (g *dwWeightKernel) acc(t int) reg.VecPhysical { return g.v(t) }
func (g *dwWeightKernel) dy(x int) reg.VecPhysical  { return g.v(9 + x) }
func (g *dwWeightKernel) in(i int) reg.VecPhysical  { return g.v(9 + g.tile + i%2) }

var (
	dwDY     = reg.R10
	dwSums   = reg.R11
	dwOffset = reg.R15 // bytes before the group
)

func (g *dwWeightKernel) write() {
	g.text("depthwise3Weight", "(args *dwWeightArgs)", "accumulates the weight gradients of n pixels of a row.")
	g.Attributes(0) // the frame is too large for NOSPLIT
	sums := g.AllocLocal(9 * dwGroup * 4)
	g.locals()
	size := g.AllocLocal(8) // channels of the group
	g.MOVQ(operand.NewParamAddr("args", 0), dwG)
	g.MOVQ(g.arg("c"), reg.RCX)
	g.tailMask(reg.RCX, reg.RDX)
	g.MOVQ(g.arg("stride"), dwStride[0])
	g.SHLQ(imm(2), dwStride[0])
	g.dwStrides()
	g.XORQ(dwOffset, dwOffset)

	g.Label("group")
	g.MOVQ(dwOffset, dwTmp)
	g.SHRQ(imm(2), dwTmp)
	g.MOVQ(g.arg("c"), dwCount)
	g.SUBQ(dwTmp, dwCount)
	g.JLE(operand.LabelRef("done"))
	g.MOVQ(imm(dwGroup), dwTmp)
	g.CMPQ(dwCount, dwTmp)
	g.CMOVQGT(dwTmp, dwCount)
	g.MOVQ(dwCount, size)

	g.zero(g.acc(0))
	g.blocks(sums, dwCount, nil, func(bool) {
		for t := range 9 {
			g.VMOVUPS(g.acc(0), mem(dwSums, t*g.bytes()))
		}
	})

	g.walk(func(n int) {
		for _, r := range dwRow {
			g.ADDQ(dwOffset, r)
		}
		g.MOVQ(g.arg("dy"), dwDY)
		g.ADDQ(dwOffset, dwDY)
		g.ADDQ(dwCount, dwDY)
		g.MOVQ(size, dwCount)
		g.blocks(sums, dwCount, append([]reg.Register{dwDY}, dwRow...), func(masked bool) { g.block(n, masked) })
	})

	dw, ldw, tap := dwRow[0], dwRow[1], dwRow[2]
	g.MOVQ(g.arg("ldw"), ldw)
	g.SHLQ(imm(2), ldw)
	g.MOVQ(g.arg("dw"), dw)
	g.ADDQ(dwOffset, dw)
	g.MOVQ(size, dwCount)
	g.blocks(sums, dwCount, []reg.Register{dw}, func(masked bool) {
		g.MOVQ(dw, tap)
		for t := range 9 {
			g.load(mem(tap, 0), g.acc(t), masked)
			g.VADDPS(mem(dwSums, t*g.bytes()), g.acc(t), g.acc(t))
			g.store(g.acc(t), mem(tap, 0), masked)
			if t < 8 {
				g.ADDQ(ldw, tap)
			}
		}
	})
	g.ADDQ(imm(4*dwGroup), dwOffset)
	g.JMP(operand.LabelRef("group"))
	g.Label("done")
	g.ret()
}

// blocks calls body for whole registers of channels and for a partial one, and
// emits the loop: dwSums starts at sums, and moves on together with ptrs.
func (g *dwWeightKernel) blocks(sums operand.Mem, count reg.Register, ptrs []reg.Register, body func(masked bool)) {
	loop, rest, end := g.label("loop"), g.label("rest"), g.label("end")
	g.LEAQ(sums, dwSums)
	g.SUBQ(imm(g.isa.lanes), count)
	g.JL(operand.LabelRef(rest))
	g.Label(loop)
	body(false)
	g.ADDQ(imm(9*g.bytes()), dwSums)
	for _, r := range ptrs {
		g.ADDQ(imm(g.bytes()), r)
	}
	g.SUBQ(imm(g.isa.lanes), count)
	g.JGE(operand.LabelRef(loop))
	g.Label(rest)
	g.ADDQ(imm(g.isa.lanes), count)
	g.JZ(operand.LabelRef(end))
	body(true)
	g.Label(end)
}

// block adds n pixels to the sums of one register of channels.
func (g *dwWeightKernel) block(n int, masked bool) {
	for t := range 9 {
		g.VMOVUPS(mem(dwSums, t*g.bytes()), g.acc(t))
	}
	for x := range n {
		g.load(dwAddr(dwDY, x), g.dy(x), masked)
	}
	for i := range n + 2 {
		for ky, row := range dwRow {
			in := g.in(3*i + ky)
			g.column(row, i, n, in, masked)
			for kx := range 3 {
				if x := i - kx; x >= 0 && x < n {
					g.VFMADD231PS(in, g.dy(x), g.acc(3*ky+kx))
				}
			}
		}
	}
	for t := range 9 {
		g.VMOVUPS(g.acc(t), mem(dwSums, t*g.bytes()))
	}
}
