package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// flatUnroll is how many registers the memory-bound loops take at once.
const flatUnroll = 4

func writeElementwise(g *gen) {
	if g.isa == avx2 {
		g.tailMasks()
	}
	// Two temporaries for each copy of the body, then the scalars.
	x := func(l lane) reg.VecPhysical { return g.v(2 * l.unroll) }
	y := func(l lane) reg.VecPhysical { return g.v(2*l.unroll + 1) }
	s, s2 := g.v(8), g.v(9)

	binary := func(name, doc string, op func(...operand.Op)) {
		g.text(name, "(dst, a, b []float32)", doc)
		g.slices("dst", "a", "b")
		g.flat(flatUnroll, func(l lane) {
			l.get(1, x(l))
			l.get(2, y(l))
			op(y(l), x(l), x(l))
			l.put(0, x(l))
		})
		g.ret()
	}
	binary("add", "computes a + b.", g.VADDPS)
	binary("sub", "computes a - b.", g.VSUBPS)
	binary("mul", "computes a * b.", g.VMULPS)

	g.text("addScaled", "(dst, a, b []float32, s float32)", "computes fma(b, s, a).")
	g.slices("dst", "a", "b")
	g.scalar("s", 72, s)
	g.flat(flatUnroll, func(l lane) {
		l.get(1, x(l))
		l.get(2, y(l))
		g.VFMADD231PS(s, y(l), x(l))
		l.put(0, x(l))
	})
	g.ret()

	g.text("lerp", "(dst, a, b []float32, t float32)", "computes fma(t, b-a, a).")
	g.slices("dst", "a", "b")
	g.scalar("t", 72, s)
	g.flat(flatUnroll, func(l lane) {
		l.get(1, x(l))
		l.get(2, y(l))
		g.VSUBPS(x(l), y(l), y(l))
		g.VFMADD231PS(s, y(l), x(l))
		l.put(0, x(l))
	})
	g.ret()

	g.text("leakyGrad", "(dx, dy, y []float32, slope float32)", "computes y > 0 ? dy : dy*slope.")
	g.slices("dx", "dy", "y")
	g.scalar("slope", 72, s)
	g.zero(s2)
	g.flat(flatUnroll, func(l lane) {
		l.get(1, x(l))
		l.get(2, y(l))
		g.compare(greaterThan, y(l), s2)
		g.VMULPS(s, x(l), y(l))
		g.choose(x(l), y(l))
		l.put(0, y(l))
	})
	g.ret()

	g.text("scale", "(dst, a []float32, s float32)", "computes a * s.")
	g.slices("dst", "a")
	g.scalar("s", 48, s)
	g.flat(flatUnroll, func(l lane) {
		l.get(1, x(l))
		g.VMULPS(s, x(l), x(l))
		l.put(0, x(l))
	})
	g.ret()

	g.text("leaky", "(dst, x []float32, slope float32)", "computes max(x, x*slope).")
	g.slices("dst", "x")
	g.scalar("slope", 48, s)
	g.flat(flatUnroll, func(l lane) {
		l.get(1, x(l))
		g.VMULPS(s, x(l), y(l))
		g.max(x(l), y(l), x(l))
		l.put(0, x(l))
	})
	g.ret()

	g.text("relu", "(dst, x []float32)", "computes max(x, 0).")
	g.slices("dst", "x")
	g.zero(s)
	g.flat(flatUnroll, func(l lane) {
		l.get(1, x(l))
		g.max(x(l), s, x(l))
		l.put(0, x(l))
	})
	g.ret()

	g.text("round", "(dst, x []float32)", "rounds to integers, halves to even.")
	g.slices("dst", "x")
	g.flat(flatUnroll, func(l lane) {
		l.get(1, x(l))
		g.roundEven(x(l), x(l))
		l.put(0, x(l))
	})
	g.ret()

	g.text("clamp", "(dst, x []float32, lo, hi float32)", "computes min(max(x, lo), hi).")
	g.slices("dst", "x")
	g.scalar("lo", 48, s)
	g.scalar("hi", 52, s2)
	g.flat(flatUnroll, func(l lane) {
		l.get(1, x(l))
		g.max(x(l), s, x(l))
		g.min(x(l), s2, x(l))
		l.put(0, x(l))
	})
	g.ret()

	g.text("sqrt", "(dst, x []float32)", "computes square roots.")
	g.slices("dst", "x")
	g.flat(flatUnroll, func(l lane) {
		l.get(1, x(l))
		g.VSQRTPS(x(l), x(l))
		l.put(0, x(l))
	})
	g.ret()

	writeAdamW(g)
	writeRows(g)
}

// writeAdamW follows the formula in the documentation of AdamW line by line.
func writeAdamW(g *gen) {
	g.text("adamW", "(w, g, m, v []float32, p *AdamParams)", "makes one step of AdamW.")
	g.slices("w", "g", "m", "v")
	p := reg.RBX
	g.MOVQ(operand.NewParamAddr("p", 96), p)
	var (
		w, gr, m, v              = g.v(0), g.v(1), g.v(2), g.v(3)
		t, u                     = g.v(4), g.v(5)
		c1, c2, correct1, scale  = g.v(6), g.v(7), g.v(8), g.v(9)
		correct2, eps, decay, lr = g.v(10), g.v(11), g.v(12), g.v(13)
	)
	param := func(name string, r reg.VecPhysical) { g.VBROADCASTSS(g.field(p, "AdamParams", name), r) }
	param("Beta1", t)
	g.VBROADCASTSS(g.c(1), u)
	g.VSUBPS(t, u, c1)
	param("Beta2", t)
	g.VSUBPS(t, u, c2)
	param("Correct1", correct1)
	param("Correct2", correct2)
	param("GradScale", scale)
	param("Eps", eps)
	param("Decay", decay)
	param("LR", lr)
	g.flat(1, func(l lane) {
		l.get(0, w)
		l.get(1, gr)
		l.get(2, m)
		l.get(3, v)
		g.VMULPS(scale, gr, gr)
		g.VSUBPS(m, gr, t)
		g.VFMADD231PS(c1, t, m)
		g.VMULPS(gr, gr, t)
		g.VSUBPS(v, t, t)
		g.VFMADD231PS(c2, t, v)
		l.put(2, m)
		l.put(3, v)
		g.VMULPS(correct2, v, t)
		g.VSQRTPS(t, t)
		g.VADDPS(eps, t, t)
		g.VMULPS(correct1, m, u)
		g.VDIVPS(t, u, u)
		g.VFMADD231PS(decay, w, u)
		g.VFNMADD231PS(lr, u, w)
		l.put(0, w)
	})
	g.ret()
}

// Registers of the row loops, besides those of flat loops.
var (
	rowsLeft = reg.R10 // elements
	rowsLen  = reg.R11 // elements of a row
)

// writeRows writes the kernels that apply one row of numbers to many.
func writeRows(g *gen) {
	x, v := g.v(0), g.v(1)
	// rows emits body for every row: the slices 0 and 1 move on, the
	// others stay.
	rows := func(names []string, body func(l lane)) {
		g.slices(names...)
		g.MOVQ(flatCount, rowsLeft)
		g.MOVQ(operand.NewParamAddr(names[2]+"_len", 56), rowsLen)
		g.MOVQ(rowsLen, reg.RCX)
		g.tailMask(reg.RCX, reg.RDX)
		next, done := g.label("row"), g.label("rowsDone")
		g.Label(next)
		g.SUBQ(rowsLen, rowsLeft)
		g.JL(operand.LabelRef(done))
		g.MOVQ(rowsLen, flatCount)
		g.flatMasked(1, body)
		for i := range 2 {
			g.LEAQ(indexed(flatPtr[i], rowsLen, 4, 0), flatPtr[i])
		}
		g.JMP(operand.LabelRef(next))
		g.Label(done)
		g.ret()
	}

	g.text("mulRows", "(dst, x, v []float32)", "multiplies every row of x by v.")
	rows([]string{"dst", "x", "v"}, func(l lane) {
		l.get(1, x)
		l.get(2, v)
		g.VMULPS(v, x, x)
		l.put(0, x)
	})
	g.text("addRows", "(dst, x, v []float32)", "adds v to every row of x.")
	rows([]string{"dst", "x", "v"}, func(l lane) {
		l.get(1, x)
		l.get(2, v)
		g.VADDPS(v, x, x)
		l.put(0, x)
	})
	g.text("fmaRows", "(dst, x, v, u []float32)", "computes fma(x, v, u) for every row of x.")
	rows([]string{"dst", "x", "v", "u"}, func(l lane) {
		acc := g.v(2)
		l.get(1, x)
		l.get(2, v)
		l.get(3, acc)
		g.VFMADD231PS(v, x, acc)
		l.put(0, acc)
	})
}
