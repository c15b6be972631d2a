//go:build (amd64 || arm64) && !purego

package kernels

import (
	"sync"
	"unsafe"
)

// intPanelsWise computes a block with an entry that knows one whole panel only.
// The columns of a partial one go through memory of 16 columns.
func intPanelsWise(g *intGEMMArgs, entry func(*intGEMMArgs)) {
	s := getScratch() // arguments of a function value escape
	t := &s.int
	*t = *g
	for j := 0; j < g.n; j += PanelWidth {
		t.n = PanelWidth
		t.sum = elementAt(g.sum, j)
		if g.steps > 0 {
			t.b = elementAt(g.b, j/PanelWidth*g.bps)
		}
		t.out = g.out.columns(j)
		if n := g.n - j; n < PanelWidth {
			partialPanel(t, n, entry)
		} else {
			entry(t)
		}
	}
	s.release()
}

// intTail is the memory of the results of a partial panel.
type intTail struct {
	args            intGEMMArgs
	residual, out16 [intTile * PanelWidth]int16
	out8            [intTile * PanelWidth]uint8
}

// columns is the output from column j on.
func (o *intOut) columns(j int) intOut {
	r := *o
	r.bias, r.shift = elementAt(o.bias, j), elementAt(o.shift, j)
	r.mul, r.offset = elementAt(o.mul, j), elementAt(o.offset, j)
	if r.residual != nil {
		r.residual = elementAt(o.residual, j)
	}
	if r.out16 != nil {
		r.out16 = elementAt(o.out16, j)
	}
	if r.out8 != nil {
		r.out8 = elementAt(o.out8, j)
	}
	return r
}

var tailPool = sync.Pool{New: func() any { return new(intTail) }}

// partialPanel computes n columns of a panel, a few rows at a time.
func partialPanel(g *intGEMMArgs, n int, entry func(*intGEMMArgs)) {
	tail := tailPool.Get().(*intTail)
	residual, out16, out8 := &tail.residual, &tail.out16, &tail.out8
	t := &tail.args
	*t = *g
	for i := 0; i < g.m; i += intTile {
		t.m = min(intTile, g.m-i)
		if g.steps > 0 {
			t.a = elementAt(g.a, i*g.ars)
		}
		from := g.out.row(i)
		t.out = from
		if from.residual != nil {
			for r := range t.m {
				copy(residual[r*PanelWidth:], unsafe.Slice(elementAt(from.residual, r*from.ldr), n))
			}
			t.out.residual, t.out.ldr = &residual[0], PanelWidth
		}
		if from.out16 != nil {
			t.out.out16, t.out.ld16 = &out16[0], PanelWidth
		}
		if from.out8 != nil {
			t.out.out8, t.out.ld8 = &out8[0], PanelWidth
		}
		entry(t)
		for r := range t.m {
			if from.out16 != nil {
				copy(unsafe.Slice(elementAt(from.out16, r*from.ld16), n), out16[r*PanelWidth:])
			}
			if from.out8 != nil {
				copy(unsafe.Slice(elementAt(from.out8, r*from.ld8), n), out8[r*PanelWidth:])
			}
		}
	}
	tail.args = intGEMMArgs{}
	tailPool.Put(tail)
}

// channels makes t the part of d that computes n channels from c on, of numbers of
// size bytes.
func (d *dw8Args) channels(t *dw8Args, c, n, size int) {
	t.c = n
	t.w = elementAt(d.w, c)
	for ky, row := range d.row {
		t.row[ky] = elementAt(row, c*size)
	}
	t.out = d.out.columns(c)
}

// depthwiseBlocks computes blocks of channels, of numbers of size bytes: with the
// entry sixteen where a block, or what remains, has 16 of them, otherwise with other.
func depthwiseBlocks(d *dw8Args, block, size int, sixteen, other func(*dw8Args)) {
	s := getScratch()
	t := &s.dw8
	*t = *d
	for c := 0; c < d.c; c += block {
		if d.channels(t, c, min(block, d.c-c), size); t.c == 16 {
			sixteen(t)
		} else {
			other(t)
		}
	}
	s.release()
}
