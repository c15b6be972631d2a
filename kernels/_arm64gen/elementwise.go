package main

import (
	"fmt"
	"strings"
)

// Flat kernels take 16 elements, then 4, then one at a time. Scalars are in all
// lanes of V31 downwards.

// Registers of the flat kernels and the reductions.
const (
	flatDst   = "R0"
	flatCount = "R1" // elements left
)

// flatIn points at the next element of operand i.
func flatIn(i int) string { return fmt.Sprintf("R%d", 2+i) }

// flat is one kernel. Its operands are slices, its scalars come behind them.
type flat struct {
	name, does string
	operands   []string // without dst
	scalars    []string
	widths     []int
	pool       bool // the body takes constants from the pool
	// body computes the result of one vector in d, which is also the first
	// operand; the others are in x.
	body func(d vector, x []vector)
}

// scalarRegister holds scalar i of a flat kernel.
func scalarRegister(i int) vector { return vector(31 - i) }

// flatWidths are those of all simple kernels.
var flatWidths = []int{16, 4, 1}

// arguments loads the pointers and the length of slices, the first of which goes
// to flatDst, and returns the offset behind them.
func (g *gen) arguments(slices []string) int {
	for i, s := range slices {
		to := flatDst
		if i > 0 {
			to = flatIn(i - 1)
		}
		g.op("MOVD %s_base+%d(FP), %s", s, 24*i, to)
	}
	g.op("MOVD %s_len+8(FP), %s", slices[0], flatCount)
	return 24 * len(slices)
}

func (g *gen) flat(f flat) {
	slices := append([]string{"dst"}, f.operands...)
	if f.name == "leakyGradNEON" {
		slices[0] = "dx"
	}
	signature := strings.Join(slices, ", ") + " []float32"
	if len(f.scalars) > 0 {
		signature += ", " + strings.Join(f.scalars, ", ") + " float32"
	}
	g.function(f.name, "("+signature+")", f.does, 0, 24*len(slices)+4*len(f.scalars))
	offset := g.arguments(slices)
	for i, s := range f.scalars {
		g.scalar(scalarRegister(i), fmt.Sprintf("%s+%d(FP)", s, offset+4*i))
	}
	if f.pool {
		g.op("MOVD $%s(SB), %s", poolName, poolRegister)
	}
	g.span(flatCount, f.widths, func(w int) {
		var first []vector
		for i := range f.operands {
			first = append(first, vector(4*i))
			g.loadNext(first[i], w, flatIn(i))
		}
		for h := range vectors(w) {
			var x []vector
			for _, v := range first {
				x = append(x, v+vector(h))
			}
			f.body(x[0], x[1:])
		}
		g.storeNext(first[0], w, flatDst)
	})
	g.op("RET")
}

func writeElementwise(g *gen) {
	s, hi := scalarRegister(0), scalarRegister(1)
	t, mask := vector(24), vector(25)
	for _, f := range []flat{
		{name: "add", operands: []string{"a", "b"}, does: "computes a + b.",
			body: func(d vector, x []vector) { g.add(d, d, x[0]) }},
		{name: "sub", operands: []string{"a", "b"}, does: "computes a - b.",
			body: func(d vector, x []vector) { g.sub(d, d, x[0]) }},
		{name: "mul", operands: []string{"a", "b"}, does: "computes a * b.",
			body: func(d vector, x []vector) { g.mul(d, d, x[0]) }},
		{name: "addScaled", operands: []string{"a", "b"}, scalars: []string{"s"}, does: "computes fma(b, s, a).",
			body: func(d vector, x []vector) { g.mla(d, x[0], s) }},
		{name: "scale", operands: []string{"a"}, scalars: []string{"s"}, does: "computes a * s.",
			body: func(d vector, x []vector) { g.mul(d, d, s) }},
		{name: "leaky", operands: []string{"x"}, scalars: []string{"slope"}, does: "computes max(x, x*slope).",
			body: func(d vector, x []vector) {
				g.mul(t, d, s)
				g.max(d, t, mask)
			}},
		{name: "leakyGrad", operands: []string{"dy", "y"}, scalars: []string{"slope"}, does: "computes y > 0 ? dy : dy*slope.",
			body: func(d vector, x []vector) {
				g.mul(t, d, s)
				g.cmgt0(mask, x[0])
				g.bif(d, t, mask)
			}},
		{name: "relu", operands: []string{"x"}, does: "computes max(x, 0).",
			body: func(d vector, x []vector) {
				g.cmgt0(mask, d)
				g.and(d, d, mask)
			}},
		{name: "round", operands: []string{"x"}, does: "rounds to integers, halves to even.",
			body: func(d vector, x []vector) { g.rintn(d, d) }},
		{name: "clamp", operands: []string{"x"}, scalars: []string{"lo", "hi"}, does: "computes min(max(x, lo), hi).",
			body: func(d vector, x []vector) {
				g.max(d, s, mask)
				g.min(d, hi, mask)
			}},
		{name: "lerp", operands: []string{"a", "b"}, scalars: []string{"t"}, does: "computes fma(t, b-a, a).",
			body: func(d vector, x []vector) {
				g.sub(t, x[0], d)
				g.mla(d, t, s)
			}},
		{name: "sqrt", operands: []string{"x"}, does: "computes square roots.",
			body: func(d vector, x []vector) { g.sqrt(d, d) }},
	} {
		f.name += "NEON"
		f.widths = flatWidths
		g.flat(f)
	}
	g.rows("mulRowsNEON", "computes x * v for every row.", []string{"dst", "x", "v"}, func(d []vector) {
		g.mul(d[0], d[1], d[2])
	})
	g.rows("addRowsNEON", "computes x + v for every row.", []string{"dst", "x", "v"}, func(d []vector) {
		g.add(d[0], d[1], d[2])
	})
	g.rows("fmaRowsNEON", "computes fma(x, v, u) for every row.", []string{"dst", "x", "v", "u"}, func(d []vector) {
		g.mov(d[0], d[3])
		g.mla(d[0], d[1], d[2])
	})
	g.rows("macRowsNEON", "computes fma(x, v, dst) for every row.", []string{"dst", "x", "v"}, func(d []vector) {
		g.mla(d[0], d[1], d[2])
	})
	g.dotRows()
	g.adamW()
}

// rows writes a kernel on rows as long as the third operand. Registers d[i] hold
// operand i.
func (g *gen) rows(name, does string, slices []string, body func(d []vector)) {
	const (
		left = "R7" // elements of all rows
		row  = "R8" // elements of a row
	)
	g.function(name, "("+strings.Join(slices, ", ")+" []float32)", does, 0, 24*len(slices))
	g.arguments(slices)
	g.op("MOVD %s, %s", flatCount, left)
	g.op("MOVD %s_len+56(FP), %s", slices[2], row)
	g.label("row")
	g.op("CBZ %s, end", left)
	g.op("SUB %s, %s", row, left)
	for i, s := range slices[2:] {
		g.op("MOVD %s_base+%d(FP), %s", s, 48+24*i, flatIn(1+i))
	}
	g.op("MOVD %s, %s", row, flatCount)
	g.span(flatCount, flatWidths, func(w int) {
		if name == "macRowsNEON" {
			g.load(0, w, flatDst, "")
		}
		for i := range slices[1:] {
			g.loadNext(vector(4+4*i), w, flatIn(i))
		}
		for h := range vector(vectors(w)) {
			body([]vector{h, 4 + h, 8 + h, 12 + h})
		}
		g.storeNext(0, w, flatDst)
	})
	g.op("JMP row")
	g.label("end")
	g.op("RET")
}

// dotRows adds rows of products to the row acc.
func (g *gen) dotRows() {
	const (
		left = "R7"
		row  = "R8"
	)
	g.function("dotRowsNEON", "(acc, x, y []float32)", "computes acc = fma(x, y, acc) for every row.", 0, 72)
	g.op("MOVD acc_len+8(FP), %s", row)
	g.op("MOVD x_base+24(FP), %s", flatIn(0))
	g.op("MOVD x_len+32(FP), %s", left)
	g.op("MOVD y_base+48(FP), %s", flatIn(1))
	g.label("row")
	g.op("CBZ %s, end", left)
	g.op("SUB %s, %s", row, left)
	g.op("MOVD acc_base+0(FP), %s", flatDst)
	g.op("MOVD %s, %s", row, flatCount)
	g.span(flatCount, flatWidths, func(w int) {
		g.load(0, w, flatDst, "")
		g.loadNext(4, w, flatIn(0))
		g.loadNext(8, w, flatIn(1))
		for h := range vector(vectors(w)) {
			g.mla(h, 4+h, 8+h)
		}
		g.storeNext(0, w, flatDst)
	})
	g.op("JMP row")
	g.label("end")
	g.op("RET")
}

// adamW is the step that the comment of AdamW states operation by operation.
func (g *gen) adamW() {
	const p = "R8"
	const (
		lr, c1, c2, eps, decay, correct1, correct2, scale, one vector = 16, 17, 18, 19, 20, 21, 22, 23, 24
		w, gr, m, v, t, u                                      vector = 0, 4, 8, 12, 25, 26
	)
	g.function("adamWNEON", "(w, g, m, v []float32, p *AdamParams)", "makes one step of AdamW.", 0, 104)
	g.arguments([]string{"w", "g", "m", "v"})
	g.op("MOVD p+96(FP), %s", p)
	for _, f := range []struct {
		name string
		to   vector
	}{
		{"LR", lr}, {"Beta1", c1}, {"Beta2", c2}, {"Eps", eps}, {"Decay", decay},
		{"Correct1", correct1}, {"Correct2", correct2}, {"GradScale", scale},
	} {
		g.scalar(f.to, fmt.Sprintf("AdamParams_%s(%s)", f.name, p))
	}
	g.constant(one, 0x3f800000)
	g.sub(c1, one, c1)
	g.sub(c2, one, c2)
	g.span(flatCount, []int{4, 1}, func(width int) {
		g.load(w, width, flatDst, "")
		g.loadNext(gr, width, flatIn(0))
		g.load(m, width, flatIn(1), "")
		g.load(v, width, flatIn(2), "")
		g.mul(gr, gr, scale)
		g.sub(t, gr, m)
		g.mla(m, t, c1)
		g.mul(t, gr, gr)
		g.sub(t, t, v)
		g.mla(v, t, c2)
		g.storeNext(m, width, flatIn(1))
		g.storeNext(v, width, flatIn(2))
		g.mul(t, v, correct2)
		g.sqrt(t, t)
		g.add(t, t, eps)
		g.mul(u, m, correct1)
		g.div(u, u, t)
		g.mla(u, decay, w)
		g.mls(w, u, lr)
		g.storeNext(w, width, flatDst)
	})
	g.op("RET")
}
