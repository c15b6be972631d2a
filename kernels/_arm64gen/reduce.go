package main

import "fmt"

// Reductions have 64 accumulators in V0 to V15. A piece of fewer than 64 elements
// at the end is copied to the stack and filled up with what leaves accumulators
// as they are, even one that is -0: a first operand of -0, a second of +0.

func writeReduce(g *gen) {
	const x, y vector = 16, 20
	g.reduction("sumNEON", "returns the sum.", []string{"x"}, func(acc, h vector) { g.add(acc, acc, x+h) })
	g.reduction("sumSquaresNEON", "returns the sum of squares.", []string{"x"}, func(acc, h vector) { g.mla(acc, x+h, x+h) })
	g.reduction("dotNEON", "returns the sum of products.", []string{"a", "b"}, func(acc, h vector) { g.mla(acc, x+h, y+h) })
	g.reduction("sumSquaredDiffNEON", "returns the sum of squared differences.", []string{"a", "b"}, func(acc, h vector) {
		g.sub(x+h, x+h, y+h)
		g.mla(acc, x+h, x+h)
	})
	g.maxAbs()
	g.colSum()
}

const reduceLanes = 64

// reduction writes one reduction; element adds vector h of the operands to an
// accumulator.
func (g *gen) reduction(name, does string, slices []string, element func(acc, h vector)) {
	const piece = 4 * reduceLanes // bytes
	signature := "(x []float32) float32"
	if len(slices) == 2 {
		signature = "(a, b []float32) float32"
	}
	g.function(name, signature, does, piece*len(slices), 24*len(slices)+4)
	for i, s := range slices {
		g.op("MOVD %s_base+%d(FP), %s", s, 24*i, flatIn(i))
	}
	g.op("MOVD %s_len+8(FP), %s", slices[0], flatCount)
	for v := range vector(16) {
		g.zero(v)
	}
	g.label("blocks")
	g.op("SUBS $%d, %s", reduceLanes, flatCount)
	g.op("BLT tail")
	for q := range vector(4) {
		for i := range slices {
			g.loadNext(vector(16+4*i), 16, flatIn(i))
		}
		for h := range vector(4) {
			element(4*q+h, h)
		}
	}
	g.op("JMP blocks")

	const to, count, value = "R5", "R6", "R7"
	g.label("tail")
	g.op("ADDS $%d, %s", reduceLanes, flatCount)
	g.op("BEQ tree")
	for i := range slices {
		bits, local := uint32(1<<31), fmt.Sprintf("tail-%d(SP)", piece*(i+1))
		if i > 0 {
			bits = 0
		}
		g.constant(16, bits)
		for h := vector(17); h < 20; h++ {
			g.mov(h, 16)
		}
		g.op("MOVD $%s, %s", local, to)
		for range reduceLanes / 16 {
			g.storeNext(16, 16, to)
		}
		g.op("MOVD $%s, %s", local, to)
		g.op("MOVD %s, %s", flatCount, count)
		copying := g.newLabel("copy")
		g.label(copying)
		g.op("MOVWU.P 4(%s), %s", flatIn(i), value)
		g.op("MOVW.P %s, 4(%s)", value, to)
		g.op("SUBS $1, %s", count)
		g.op("BNE %s", copying)
		g.op("MOVD $%s, %s", local, flatIn(i))
	}
	g.op("MOVD $%d, %s", reduceLanes, flatCount)
	g.op("JMP blocks")

	g.label("tree")
	for n := vector(8); n > 0; n /= 2 {
		for v := range n {
			g.add(v, v, v+n)
		}
	}
	for _, bytes := range []int{8, 4} {
		g.op("VEXT $%d, V0.B16, V0.B16, V1.B16", bytes)
		g.add(0, 0, 1)
	}
	g.op("FMOVS F0, ret+%d(FP)", 24*len(slices))
	g.op("RET")
}

// maxAbs takes any order, as NaN is left out.
func (g *gen) maxAbs() {
	const m, mask vector = 4, 8
	g.function("maxAbsNEON", "(x []float32) float32", "returns the largest magnitude.", 0, 28)
	g.op("MOVD x_base+0(FP), %s", flatIn(0))
	g.op("MOVD x_len+8(FP), %s", flatCount)
	for h := range vector(4) {
		g.zero(m + h)
	}
	larger := func(m, v vector) {
		g.cmgt(mask, v, m)
		g.bit(m, v, mask)
	}
	g.span(flatCount, flatWidths, func(w int) {
		g.loadNext(0, w, flatIn(0))
		for h := range vector(vectors(w)) {
			g.abs(h, h)
			larger(m+h, h)
		}
	})
	for h := vector(1); h < 4; h++ {
		larger(m, m+h)
	}
	for _, bytes := range []int{8, 4} {
		g.op("VEXT $%d, %v.B16, %[2]v.B16, V0.B16", bytes, m)
		larger(m, 0)
	}
	g.op("FMOVS F%d, ret+24(FP)", int(m))
	g.op("RET")
}

// colSum adds up columns, as many at once as a row has.
func (g *gen) colSum() {
	const (
		row, stride, m, count        = "R5", "R6", "R7", "R8"
		acc                   vector = 4
	)
	g.function("colSumNEON", "(dst, x []float32, m, n int)", "adds the sums of columns to dst.", 0, 64)
	g.op("MOVD dst_base+0(FP), %s", flatDst)
	g.op("MOVD x_base+24(FP), %s", flatIn(0))
	g.op("MOVD m+48(FP), %s", m)
	g.op("MOVD n+56(FP), %s", flatCount)
	g.op("LSL $2, %s, %s", flatCount, stride)
	g.span(flatCount, flatWidths, func(w int) {
		for h := range vector(vectors(w)) {
			g.zero(acc + h)
		}
		g.op("MOVD %s, %s", flatIn(0), row)
		g.op("MOVD %s, %s", m, count)
		rows := g.newLabel("rows")
		g.label(rows)
		g.load(0, w, row, stride)
		for h := range vector(vectors(w)) {
			g.add(acc+h, acc+h, h)
		}
		g.op("SUBS $1, %s", count)
		g.op("BNE %s", rows)
		g.load(0, w, flatDst, "")
		for h := range vector(vectors(w)) {
			g.add(h, h, acc+h)
		}
		g.storeNext(0, w, flatDst)
		g.op("ADD $%d, %s", 4*w, flatIn(0))
	})
	g.op("RET")
}
