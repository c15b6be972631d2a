package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// reduceLanes is the number of accumulators of a reduction.
const reduceLanes = 64

func writeReduce(g *gen) {
	if g.isa == avx2 {
		g.tailMasks()
	}
	parts := reduceLanes / g.isa.lanes
	x, y := g.v(parts), g.v(parts+1)
	constant, tmp := g.v(parts+2), g.v(parts+3)

	// reduce adds the first (and the second) slice into parts registers;
	// lanes that are masked out are zeros, which leave an accumulator alone
	// unless it is -0. It starts at +0, and only a negative product that
	// underflows makes it -0: dot takes care of that itself.
	reduce := func(names []string, body func(l lane, acc reg.VecPhysical), tree func()) {
		g.slices(names...)
		for i := range parts {
			g.zero(g.v(i))
		}
		g.MOVQ(flatCount, reg.RCX)
		g.tailMask(reg.RCX, reg.RDX)
		g.XORQ(flatIndex, flatIndex)
		g.SUBQ(imm(reduceLanes), flatCount)
		g.JL(operand.LabelRef("rest"))
		g.Label("loop")
		for i := range parts {
			body(lane{g, i, false}, g.v(i))
		}
		g.ADDQ(imm(reduceLanes), flatIndex)
		g.SUBQ(imm(reduceLanes), flatCount)
		g.JGE(operand.LabelRef("loop"))
		g.Label("rest")
		g.ADDQ(imm(reduceLanes), flatCount)
		for i := range parts {
			partial, next := g.label("partial"), g.label("part")
			g.CMPQ(flatCount, imm(g.isa.lanes))
			g.JLT(operand.LabelRef(partial))
			body(lane{g, i, false}, g.v(i))
			g.SUBQ(imm(g.isa.lanes), flatCount)
			g.JMP(operand.LabelRef(next))
			g.Label(partial)
			g.TESTQ(flatCount, flatCount)
			g.JZ(operand.LabelRef("tree"))
			body(lane{g, i, true}, g.v(i))
			g.JMP(operand.LabelRef("tree"))
			g.Label(next)
		}
		g.Label("tree")
		tree()
		g.VMOVSS(reg.X0, operand.NewParamAddr("ret", 24*len(names)))
		g.ret()
	}
	// tree combines accumulators 32, 16, 8, 4, 2 and 1 apart.
	tree := func(op func(...operand.Op)) {
		for n := parts / 2; n > 0; n /= 2 {
			for i := range n {
				op(g.v(i+n), g.v(i), g.v(i))
			}
		}
		if g.isa == avx512 {
			g.VEXTRACTF64X4(imm(1), reg.Z0, reg.Y1)
			op(reg.Y1, reg.Y0, reg.Y0)
		}
		g.VEXTRACTF128(imm(1), reg.Y0, reg.X1)
		op(reg.X1, reg.X0, reg.X0)
		g.VPERMILPS(operand.U8(0b1110), reg.X0, reg.X1)
		op(reg.X1, reg.X0, reg.X0)
		g.VPERMILPS(operand.U8(0b01), reg.X0, reg.X1)
		op(reg.X1, reg.X0, reg.X0)
	}
	sum := func() { tree(g.VADDPS) }

	g.text("sum", "(x []float32) float32", "adds.")
	reduce([]string{"x"}, func(l lane, acc reg.VecPhysical) {
		l.get(0, x)
		g.VADDPS(x, acc, acc)
	}, sum)

	g.text("sumSquares", "(x []float32) float32", "adds the squares.")
	reduce([]string{"x"}, func(l lane, acc reg.VecPhysical) {
		l.get(0, x)
		g.VFMADD231PS(x, x, acc)
	}, sum)

	g.text("dot", "(a, b []float32) float32", "adds the products.")
	reduce([]string{"a", "b"}, func(l lane, acc reg.VecPhysical) {
		l.get(0, x)
		l.get(1, y)
		switch {
		case !l.masked:
			g.VFMADD231PS(x, y, acc)
		case g.isa == avx512:
			g.VFMADD231PS(x, y, reg.K1, acc)
		default:
			g.VMOVAPS(acc, tmp)
			g.VFMADD231PS(x, y, tmp)
			g.VBLENDVPS(g.mask(), tmp, acc, acc)
		}
	}, sum)

	g.text("sumSquaredDiff", "(a, b []float32) float32", "adds the squares of the differences.")
	reduce([]string{"a", "b"}, func(l lane, acc reg.VecPhysical) {
		l.get(0, x)
		l.get(1, y)
		g.VSUBPS(y, x, x)
		g.VFMADD231PS(x, x, acc)
	}, sum)

	g.text("maxAbs", "(x []float32) float32", "finds the largest magnitude.")
	g.VBROADCASTSS(g.constant32(1<<31-1), constant)
	reduce([]string{"x"}, func(l lane, acc reg.VecPhysical) {
		l.get(0, x)
		g.VANDPS(constant, x, x)
		g.max(x, acc, acc)
	}, func() { tree(g.VMAXPS) })

	writeColumns(g)
}

// writeColumns writes the reductions along columns: the accumulators of a few
// columns stay in registers while the rows go by.
func writeColumns(g *gen) {
	const unroll = 4
	// columns emits body for every row of a strip of columns. Slice 0 is
	// the result; rows of the others are rowsLen apart.
	columns := func(ptrs []reg.Register, body func(l lane, acc reg.VecPhysical), start, finish func(l lane, acc reg.VecPhysical)) {
		walk := []reg.Register{reg.R13, reg.R15}[:len(ptrs)]
		strip := func(copies int, masked bool) {
			rows, end := g.label("rows"), g.label("rowsEnd")
			for u := range copies {
				start(lane{g, u, masked}, g.v(u))
			}
			for i, p := range ptrs {
				g.LEAQ(indexed(p, flatIndex, 4, 0), walk[i])
			}
			g.MOVQ(rowsLeft, reg.RBX)
			g.TESTQ(reg.RBX, reg.RBX)
			g.JZ(operand.LabelRef(end))
			g.Label(rows)
			for u := range copies {
				body(lane{g, u, masked}, g.v(u))
			}
			for i := range ptrs {
				g.LEAQ(indexed(walk[i], rowsLen, 4, 0), walk[i])
			}
			g.DECQ(reg.RBX)
			g.JNZ(operand.LabelRef(rows))
			g.Label(end)
			for u := range copies {
				finish(lane{g, u, masked}, g.v(u))
			}
		}
		n := g.isa.lanes
		g.MOVQ(rowsLen, reg.RCX)
		g.tailMask(reg.RCX, reg.RDX)
		g.MOVQ(rowsLen, flatCount)
		g.XORQ(flatIndex, flatIndex)
		for _, copies := range []int{unroll, 1} {
			loop, end := g.label("strips"), g.label("stripsEnd")
			g.Label(loop)
			g.CMPQ(flatCount, imm(copies*n))
			g.JLT(operand.LabelRef(end))
			strip(copies, false)
			g.ADDQ(imm(copies*n), flatIndex)
			g.SUBQ(imm(copies*n), flatCount)
			g.JMP(operand.LabelRef(loop))
			g.Label(end)
		}
		g.TESTQ(flatCount, flatCount)
		g.JZ(operand.LabelRef("done"))
		strip(1, true)
		g.Label("done")
		g.ret()
	}
	at := func(l lane, p reg.Register) operand.Mem { return mem(p, l.unroll*l.bytes()) }
	tmp := func(l lane) reg.VecPhysical { return g.v(unroll + l.unroll) }

	g.text("colSum", "(dst, x []float32, m, n int)", "adds the sums of the columns of x to dst.")
	g.slices("dst", "x")
	g.MOVQ(operand.NewParamAddr("m", 48), rowsLeft)
	g.MOVQ(operand.NewParamAddr("n", 56), rowsLen)
	columns(flatPtr[1:2],
		func(l lane, acc reg.VecPhysical) {
			l.load(at(l, reg.R13), tmp(l), l.masked)
			g.VADDPS(tmp(l), acc, acc)
		},
		func(l lane, acc reg.VecPhysical) { g.zero(acc) },
		func(l lane, acc reg.VecPhysical) {
			l.get(0, tmp(l))
			g.VADDPS(acc, tmp(l), tmp(l))
			l.put(0, tmp(l))
		})

	g.text("dotRows", "(acc, x, y []float32)", "adds the products of x and y down their columns to acc.")
	g.slices("acc", "x", "y")
	g.MOVQ(flatCount, rowsLen)
	g.MOVQ(operand.NewParamAddr("x_len", 32), reg.RAX)
	g.XORL(reg.EDX, reg.EDX)
	g.TESTQ(rowsLen, rowsLen)
	g.JZ(operand.LabelRef("done"))
	g.DIVQ(rowsLen)
	g.MOVQ(reg.RAX, rowsLeft)
	columns(flatPtr[1:3],
		func(l lane, acc reg.VecPhysical) {
			other := g.v(2*unroll + l.unroll)
			l.load(at(l, reg.R13), tmp(l), l.masked)
			l.load(at(l, reg.R15), other, l.masked)
			g.VFMADD231PS(tmp(l), other, acc)
		},
		func(l lane, acc reg.VecPhysical) { l.get(0, acc) },
		func(l lane, acc reg.VecPhysical) { l.put(0, acc) })
}
