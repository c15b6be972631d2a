package kernels

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDepthwise3Entry(t *testing.T) {
	eachEntry(t, func(t *testing.T, b *table) {
		mem := newArena(t, 10)
		for c := 1; c <= 140; c++ {
			for range 12 {
				mem.reset()
				rng := mem.rng
				values := kind(rng.IntN(int(kinds)))
				d := dwArgs{n: 1 + rng.IntN(14), c: c, act: Activation(rng.IntN(3)), slope: 0.1}
				d.left, d.right = rng.IntN(2) == 0, rng.IntN(2) == 0
				for ky := range d.row {
					d.row[ky] = &mem.random(columns(d.n, d.left, d.right)*c, values)[0]
				}
				d.w = &mem.random(9*c, values)[0]
				if rng.IntN(2) == 0 {
					d.bias = &mem.random(c, values)[0]
				}
				out := mem.random(d.n*c, values)
				want, got := mem.clone(out), mem.clone(out)
				alias := rng.IntN(3) == 0
				if rng.IntN(2) == 0 {
					d.residual = &mem.random(d.n*c, values)[0]
				}
				run := func(entry func(*dwArgs), dst []float32) {
					e := d
					e.dst = &dst[0]
					if alias {
						e.residual = e.dst
					}
					entry(&e)
				}
				run(generic.depthwise3, want)
				run(b.depthwise3, got)
				requireSame(t, want, got, "n=%d c=%d act=%d values=%v", d.n, c, d.act, values)
				mem.check(t)
			}
		}
	})
}

func TestDepthwiseEntry(t *testing.T) {
	eachEntry(t, func(t *testing.T, b *table) {
		mem := newArena(t, 15)
		for c := 1; c <= 70; c++ {
			for range 16 {
				mem.reset()
				rng := mem.rng
				values := kind(rng.IntN(int(kinds)))
				d := dwWindowArgs{n: 1 + rng.IntN(20), c: c, kh: 1 + rng.IntN(6), kw: 1 + rng.IntN(6), act: Activation(rng.IntN(3)), slope: 0.1}
				rows := make([]*float32, d.kh)
				for ky := range rows {
					rows[ky] = &mem.random((d.n+d.kw-1)*c, values)[0]
				}
				d.row = &rows[0]
				d.w = &mem.random(d.kh*d.kw*c, values)[0]
				if rng.IntN(2) == 0 {
					d.bias = &mem.random(c, values)[0]
				}
				out := mem.random(d.n*c, values)
				want, got := mem.clone(out), mem.clone(out)
				alias := rng.IntN(3) == 0
				if rng.IntN(2) == 0 {
					d.residual = &mem.random(d.n*c, values)[0]
				}
				run := func(entry func(*dwWindowArgs), dst []float32) {
					e := d
					e.dst = &dst[0]
					if alias {
						e.residual = e.dst
					}
					entry(&e)
				}
				run(generic.depthwise, want)
				run(b.depthwise, got)
				requireSame(t, want, got, "n=%d c=%d window=%dx%d act=%d values=%v", d.n, c, d.kh, d.kw, d.act, values)
				mem.check(t)
			}
		}
	})
}

// columns is the number of input columns of n outputs that exist.
func columns(n int, left, right bool) int {
	n += 2
	if left {
		n--
	}
	if right {
		n--
	}
	return n
}

func TestDepthwise3WeightEntry(t *testing.T) {
	eachEntry(t, func(t *testing.T, b *table) {
		mem := newArena(t, 11)
		for c := 1; c <= 140; c++ {
			for range 6 {
				mem.reset()
				rng := mem.rng
				values := kind(rng.IntN(int(kinds)))
				d := dwWeightArgs{n: 1 + rng.IntN(20), c: c, stride: c + rng.IntN(3), ldw: c + rng.IntN(3)}
				d.left, d.right = rng.IntN(2) == 0, rng.IntN(2) == 0
				for ky := range d.row {
					d.row[ky] = &mem.random((columns(d.n, d.left, d.right)-1)*d.stride+c, values)[0]
				}
				d.dy = &mem.random((d.n-1)*d.stride+c, values)[0]
				out := mem.random(8*d.ldw+c, values)
				run := func(entry func(*dwWeightArgs)) []float32 {
					dw := mem.clone(out)
					e := d
					e.dw = &dw[0]
					entry(&e)
					return dw
				}
				want := run(generic.depthwise3Weight)
				got := run(b.depthwise3Weight)
				requireSame(t, want, got, "n=%d c=%d stride=%d ldw=%d values=%v", d.n, c, d.stride, d.ldw, values)
				mem.check(t)
			}
		}
	})
}

// depthwiseCase is one image for a depthwise convolution.
type depthwiseCase struct {
	h, wd, c, kh, kw int
	src, w           []float32
}

func newDepthwiseCase(mem *arena, values kind) *depthwiseCase {
	rng := mem.rng
	d := &depthwiseCase{h: 1 + rng.IntN(7), wd: 1 + rng.IntN(9), c: 1 + rng.IntN(40), kh: 3, kw: 3}
	if rng.IntN(2) == 0 {
		d.kh, d.kw = 1+rng.IntN(6), 1+rng.IntN(6)
	}
	if rng.IntN(8) == 0 { // several pieces per row
		d.h, d.wd, d.c = 2, 130, 100+rng.IntN(50)
	}
	d.src = mem.random(d.h*d.wd*d.c, values)
	d.w = mem.random(d.kh*d.kw*d.c, values)
	return d
}

func (d *depthwiseCase) at(y, x, ch int) float32 {
	if y < 0 || y >= d.h || x < 0 || x >= d.wd {
		return 0
	}
	return d.src[(y*d.wd+x)*d.c+ch]
}

// naive convolves with the given padding.
func (d *depthwiseCase) naive(dst, w, bias []float32, top, left int, ep *Epilogue, y0, y1 int) {
	for y := y0; y < y1; y++ {
		for x := range d.wd {
			for ch := range d.c {
				var acc float32
				if bias != nil {
					acc = bias[ch]
				}
				for t := range d.kh * d.kw {
					acc = FMA32(d.at(y-top+t/d.kw, x-left+t%d.kw, ch), w[t*d.c+ch], acc)
				}
				dst[(y*d.wd+x)*d.c+ch] = naiveEnd(acc, ep, y*d.wd+x, ch)
			}
		}
	}
}

func TestDepthwise(t *testing.T) {
	eachBackend(t, func(t *testing.T) {
		mem := newArena(t, 12)
		for range 200 {
			mem.reset()
			values := kind(mem.rng.IntN(int(kinds)))
			d := newDepthwiseCase(mem, values)
			dst := mem.random(len(d.src), values)
			want := mem.clone(dst)
			var bias []float32
			if mem.rng.IntN(2) == 0 {
				bias = mem.random(d.c, values)
			}
			ep := &Epilogue{Act: Activation(mem.rng.IntN(3)), Slope: []float32{0, 0.1}[mem.rng.IntN(2)], LDR: d.c}
			ref := *ep
			switch mem.rng.IntN(3) {
			case 0:
				ep.Residual = mem.random(len(d.src), values)
				ref.Residual = ep.Residual
			case 1:
				ep.Residual, ref.Residual = dst, want
			}
			y0, y1 := randomRange(mem, d.h)
			d.naive(want, d.w, bias, (d.kh-1)/2, (d.kw-1)/2, &ref, y0, y1)
			Depthwise(dst, d.src, d.w, bias, d.h, d.wd, d.c, d.kh, d.kw, ep, y0, y1)
			requireSame(t, want, dst, "%dx%dx%d kernel %dx%d values=%v", d.h, d.wd, d.c, d.kh, d.kw, values)
			mem.check(t)
		}
	})
}

// TestDepthwiseRow: row by row, from rows that lie anywhere, the result is that
// of the whole image.
func TestDepthwiseRow(t *testing.T) {
	eachBackend(t, func(t *testing.T) {
		mem := newArena(t, 15)
		for range 100 {
			mem.reset()
			d := newDepthwiseCase(mem, plain)
			bias := mem.random(d.c, plain)
			ep := &Epilogue{Act: Activation(mem.rng.IntN(3)), Slope: 0.1, LDR: d.c}
			residual := mem.random(len(d.src), plain)
			ep.Residual = residual
			want := mem.random(len(d.src), plain)
			Depthwise(want, d.src, d.w, bias, d.h, d.wd, d.c, d.kh, d.kw, ep, 0, d.h)
			row := d.wd * d.c
			lines := make([][]float32, d.kh)
			got := mem.random(row, plain)
			for y := range d.h {
				for ky := range lines {
					lines[ky] = nil
					if sy := y - (d.kh-1)/2 + ky; sy >= 0 && sy < d.h {
						lines[ky] = mem.clone(d.src[sy*row:][:row])
					}
				}
				ep.Residual = residual[y*row:][:row]
				DepthwiseRow(got, lines, d.w, bias, d.wd, d.c, d.kw, ep)
				requireSame(t, want[y*row:][:row], got, "%dx%dx%d kernel %dx%d row %d", d.h, d.wd, d.c, d.kh, d.kw, y)
			}
			mem.check(t)
		}
	})
}

func TestDepthwiseDataGrad(t *testing.T) {
	eachBackend(t, func(t *testing.T) {
		mem := newArena(t, 13)
		for range 100 {
			mem.reset()
			values := kind(mem.rng.IntN(int(kinds)))
			d := newDepthwiseCase(mem, values)
			dx := mem.random(len(d.src), values)
			want := mem.clone(dx)
			turned := mem.floats(len(d.w))
			for t := range d.kh * d.kw {
				copy(turned[t*d.c:], d.w[(d.kh*d.kw-1-t)*d.c:][:d.c])
			}
			ep := &Epilogue{LDR: d.c}
			accumulate := mem.rng.IntN(2) == 0
			if accumulate {
				ep.Residual = want
			}
			y0, y1 := randomRange(mem, d.h)
			d.naive(want, turned, nil, d.kh/2, d.kw/2, ep, y0, y1)
			DepthwiseDataGrad(dx, d.src, d.w, d.h, d.wd, d.c, d.kh, d.kw, accumulate, y0, y1)
			requireSame(t, want, dx, "%dx%dx%d kernel %dx%d values=%v", d.h, d.wd, d.c, d.kh, d.kw, values)
			mem.check(t)
		}
	})
}

func TestDepthwiseWeightGrad(t *testing.T) {
	eachBackend(t, func(t *testing.T) {
		mem := newArena(t, 14)
		for range 100 {
			mem.reset()
			values := kind(mem.rng.IntN(int(kinds)))
			d := newDepthwiseCase(mem, values)
			dy := mem.random(len(d.src), values)
			dw := mem.random(len(d.w), values)
			want := mem.clone(dw)
			c0, c1 := 0, d.c
			if mem.rng.IntN(2) == 0 {
				c0 = mem.rng.IntN(d.c/16+1) * 16
				c1 = min(c0+16*mem.rng.IntN(3), d.c)
				c0 = min(c0, c1)
			}
			for y := range d.h {
				for k := range d.kh * d.kw {
					for ch := c0; ch < c1; ch++ {
						var acc float32
						for x := range d.wd {
							v := d.at(y-(d.kh-1)/2+k/d.kw, x-(d.kw-1)/2+k%d.kw, ch)
							acc = FMA32(v, dy[(y*d.wd+x)*d.c+ch], acc)
						}
						want[k*d.c+ch] += acc
					}
				}
			}
			DepthwiseWeightGrad(dw, d.src, dy, d.h, d.wd, d.c, d.kh, d.kw, c0, c1)
			requireSame(t, want, dw, "%dx%dx%d kernel %dx%d channels [%d,%d) values=%v", d.h, d.wd, d.c, d.kh, d.kw, c0, c1, values)
			mem.check(t)
		}
	})
}

func TestDepthwisePanics(t *testing.T) {
	x, w := make([]float32, 32), make([]float32, 18)
	require.NotPanics(t, func() { Depthwise(x, x[:32], w, nil, 4, 4, 2, 3, 3, nil, 0, 0) })
	require.Panics(t, func() { Depthwise(x[1:], x, w, nil, 4, 4, 2, 3, 3, nil, 0, 4) })
	require.Panics(t, func() { Depthwise(x, x, w[1:], nil, 4, 4, 2, 3, 3, nil, 0, 4) })
	require.Panics(t, func() { Depthwise(x, x, w, w[:1], 4, 4, 2, 3, 3, nil, 0, 4) })
	require.Panics(t, func() { Depthwise(x, x, w, nil, 4, 4, 2, 3, 3, &Epilogue{Accumulate: true}, 0, 4) })
	require.Panics(t, func() { DepthwiseRow(x, [][]float32{x, x[25:], nil}, w, nil, 4, 2, 3, nil) })
	require.Panics(t, func() { DepthwiseWeightGrad(w, x, x, 4, 4, 2, 3, 3, 0, 3) })
}
