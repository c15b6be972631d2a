package kernels

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// randomShape draws a small convolution; some have pixels that no tap reaches
// and taps that only meet padding.
func randomShape(mem *arena) *ConvShape {
	rng := mem.rng
	s := &ConvShape{
		H: 1 + rng.IntN(9), W: 1 + rng.IntN(9), Cin: 1 + rng.IntN(5), Cout: 1 + rng.IntN(20),
		KH: 1 + rng.IntN(4), KW: 1 + rng.IntN(4), StrideY: 1 + rng.IntN(3), StrideX: 1 + rng.IntN(3),
	}
	if rng.IntN(4) == 0 {
		s.Cin, s.Cout = s.Cin*9, s.Cout*4
	}
	if rng.IntN(4) == 0 { // long enough rows for lines
		s.Cin, s.W, s.Cout, s.H = 17+rng.IntN(20), 15+rng.IntN(7)*rng.IntN(7), 1+rng.IntN(60), 1+rng.IntN(4)
	}
	if rng.IntN(6) == 0 {
		s.KH, s.KW, s.StrideY, s.StrideX = 1, 1, 1, 1
	}
	s.PadTop, s.PadLeft = rng.IntN(s.KH+1), rng.IntN(s.KW+1)
	s.OutH = (s.H+2*s.PadTop)/s.StrideY + rng.IntN(2)
	s.OutW = (s.W+2*s.PadLeft)/s.StrideX + rng.IntN(2)
	return s
}

func randomRange(mem *arena, n int) (int, int) {
	if mem.rng.IntN(2) == 0 {
		return 0, n
	}
	lo := mem.rng.IntN(n + 1)
	return lo, lo + mem.rng.IntN(n+1-lo)
}

// tap returns the inputs of one tap, or nil outside the image.
func tap(src []float32, s *ConvShape, oy, ox, ky, kx int) []float32 {
	y, x := oy*s.StrideY-s.PadTop+ky, ox*s.StrideX-s.PadLeft+kx
	if y < 0 || y >= s.H || x < 0 || x >= s.W {
		return nil
	}
	return src[(y*s.W+x)*s.Cin:][:s.Cin]
}

func naiveConv(dst, src, w []float32, s *ConvShape, ep *Epilogue, y0, y1 int) {
	a := make([]float32, s.KH*s.KW*s.Cin)
	for oy := y0; oy < y1; oy++ {
		for ox := range s.OutW {
			for t := range s.KH * s.KW {
				clear(a[t*s.Cin:][:s.Cin])
				copy(a[t*s.Cin:], tap(src, s, oy, ox, t/s.KW, t%s.KW))
			}
			naivePixel(dst, a, w, s.Cout, oy*s.OutW+ox, ep)
		}
	}
}

// naivePixel computes pixel p of an output with n channels from its operands.
func naivePixel(dst, a, w []float32, n, p int, ep *Epilogue) {
	e := *ep
	if e.Residual != nil {
		e.Residual = e.Residual[p*e.LDR:]
	}
	naiveGEMM(dst[p*n:], n, a, len(a), w, n, 1, n, len(a), &e)
}

func naiveConvTransposed(dst, src, w []float32, s *ConvShape, ep *Epilogue, y0, y1 int) {
	for iy := y0; iy < y1; iy++ {
		for ix := range s.W {
			var a, b []float32 // operands and weights of the taps that exist
			for t := range s.KH * s.KW {
				y, x := iy+s.PadTop-t/s.KW, ix+s.PadLeft-t%s.KW
				if y%s.StrideY != 0 || x%s.StrideX != 0 {
					continue
				}
				in := make([]float32, s.Cout)
				if y >= 0 && x >= 0 && y/s.StrideY < s.OutH && x/s.StrideX < s.OutW {
					copy(in, src[(y/s.StrideY*s.OutW+x/s.StrideX)*s.Cout:])
				}
				a, b = append(a, in...), append(b, w[t*s.Cout*s.Cin:][:s.Cout*s.Cin]...)
			}
			naivePixel(dst, a, b, s.Cin, iy*s.W+ix, ep)
		}
	}
}

func naiveConvWeightGrad(dw, src, dy []float32, s *ConvShape, k0, k1 int) {
	for p0 := 0; p0 < s.OutH*s.OutW; p0 += 256 {
		for k := k0; k < k1; k++ {
			for j := range s.Cout {
				var acc float32
				for p := p0; p < min(p0+256, s.OutH*s.OutW); p++ {
					t := k / s.Cin
					var v float32
					if in := tap(src, s, p/s.OutW, p%s.OutW, t/s.KW, t%s.KW); in != nil {
						v = in[k%s.Cin]
					}
					acc = FMA32(v, dy[p*s.Cout+j], acc)
				}
				dw[k*s.Cout+j] += acc
			}
		}
	}
}

func TestConv(t *testing.T) {
	testConv(t, false, naiveConv, Conv)
}

func TestConvTransposed(t *testing.T) {
	testConv(t, true, naiveConvTransposed, ConvTransposed)
}

func testConv(t *testing.T, transposed bool,
	naive func(dst, src, w []float32, s *ConvShape, ep *Epilogue, y0, y1 int),
	conv func(dst, src []float32, w *Packed, s *ConvShape, ep *Epilogue, y0, y1 int)) {
	eachBackend(t, func(t *testing.T) {
		mem := newArena(t, 5)
		for range 200 {
			mem.reset()
			s := randomShape(mem)
			h, w, in, n := s.OutH, s.OutW, s.H*s.W*s.Cin, s.Cout
			k := s.KH * s.KW * s.Cin
			if transposed {
				h, w, in, n = s.H, s.W, s.OutH*s.OutW*s.Cout, s.Cin
				k = s.KH * s.KW * s.Cout
			}
			values := kind(mem.rng.IntN(int(kinds)))
			dst := mem.random(h*w*n, values)
			src := mem.random(in, values)
			weights := mem.random(k*n, values)
			ep := randomEpilogue(mem, h*w, n, n, dst, values)
			y0, y1 := randomRange(mem, h)
			want := mem.clone(dst)
			ref := *ep
			if overlaps(ep.Residual, dst) {
				ref.Residual = want
			}
			naive(want, src, weights, s, &ref, y0, y1)
			conv(dst, src, Pack(k, n, weights, n), s, ep, y0, y1)
			requireSame(t, want, dst, "%+v rows [%d,%d) values=%v", *s, y0, y1, values)
			mem.check(t)
		}
	})
}

func TestConvWeightGrad(t *testing.T) {
	eachBackend(t, func(t *testing.T) {
		mem := newArena(t, 6)
		for i := range 100 {
			mem.reset()
			s := randomShape(mem)
			if i%10 == 0 { // several blocks
				s.OutH, s.OutW, s.Cin, s.Cout = 17+mem.rng.IntN(9), 16+mem.rng.IntN(9), 1, 2
			}
			k := s.KH * s.KW * s.Cin
			values := kind(mem.rng.IntN(int(kinds)))
			dw := mem.random(k*s.Cout, values)
			src := mem.random(s.H*s.W*s.Cin, values)
			dy := mem.random(s.OutH*s.OutW*s.Cout, values)
			k0, k1 := randomRange(mem, k)
			want := mem.clone(dw)
			naiveConvWeightGrad(want, src, dy, s, k0, k1)
			ConvWeightGrad(dw, src, dy, s, k0, k1)
			requireSame(t, want, dw, "%+v rows [%d,%d) values=%v", *s, k0, k1, values)
			mem.check(t)
		}
	})
}

// Any split of the output gives the bits of the whole.
func TestConvThreads(t *testing.T) {
	mem := newArena(t, 7)
	s := &ConvShape{H: 23, W: 17, Cin: 6, OutH: 12, OutW: 9, Cout: 20, KH: 3, KW: 3, StrideY: 2, StrideX: 2, PadTop: 1, PadLeft: 1}
	k := s.KH * s.KW * s.Cin
	src := mem.random(s.H*s.W*s.Cin, plain)
	w := Pack(k, s.Cout, mem.random(k*s.Cout, plain), s.Cout)
	whole := mem.random(s.OutH*s.OutW*s.Cout, plain)
	split := mem.clone(whole)
	ep := &Epilogue{Act: ActLeaky, Slope: 0.1}
	Conv(whole, src, w, s, ep, 0, s.OutH)
	for threads := 2; threads < 14; threads++ {
		Fill(split, 9)
		For(threads, s.OutH, 1, func(lo, hi int) { Conv(split, src, w, s, ep, lo, hi) })
		requireSame(t, whole, split, "%d threads", threads)
	}
}

// The gradients are the adjoints of Conv: <Conv(x), y> = <x, ConvTransposed(y)>
// = <w, ConvWeightGrad(x, y)>. Small integers make every sum exact.
func TestConvAdjoint(t *testing.T) {
	mem := newArena(t, 8)
	for range 50 {
		mem.reset()
		s := randomShape(mem)
		integers := func(n int) []float32 {
			x := mem.floats(n)
			for i := range x {
				x[i] = float32(mem.rng.IntN(7) - 3)
			}
			return x
		}
		k := s.KH * s.KW * s.Cin
		x, y, w := integers(s.H*s.W*s.Cin), integers(s.OutH*s.OutW*s.Cout), integers(k*s.Cout)
		fx, fy, gw := mem.floats(len(y)), mem.floats(len(x)), mem.floats(len(w))
		clear(gw)
		turned := mem.floats(len(w)) // (ky, kx, cout) × cin
		for t := range s.KH * s.KW {
			for i := range s.Cin {
				for o := range s.Cout {
					turned[(t*s.Cout+o)*s.Cin+i] = w[(t*s.Cin+i)*s.Cout+o]
				}
			}
		}
		Conv(fx, x, Pack(k, s.Cout, w, s.Cout), s, nil, 0, s.OutH)
		ConvTransposed(fy, y, Pack(s.KH*s.KW*s.Cout, s.Cin, turned, s.Cin), s, nil, 0, s.H)
		ConvWeightGrad(gw, x, y, s, 0, k)
		require.Equal(t, Dot(fx, y), Dot(fy, x), fmt.Sprintf("%+v", *s))
		require.Equal(t, Dot(fx, y), Dot(gw, w), fmt.Sprintf("%+v", *s))
	}
}

func TestConvPanics(t *testing.T) {
	s := &ConvShape{H: 4, W: 4, Cin: 2, OutH: 4, OutW: 4, Cout: 3, KH: 3, KW: 3, StrideY: 1, StrideX: 1, PadTop: 1, PadLeft: 1}
	src, dst, w := make([]float32, 32), make([]float32, 48), NewPacked(18, 3)
	require.NotPanics(t, func() { Conv(dst, src, w, s, nil, 0, 4) })
	require.Panics(t, func() { Conv(dst[1:], src, w, s, nil, 0, 4) })
	require.Panics(t, func() { Conv(dst, src[1:], w, s, nil, 0, 4) })
	require.Panics(t, func() { Conv(dst, src, NewPacked(17, 3), s, nil, 0, 4) })
	require.Panics(t, func() { Conv(dst, src, w, s, nil, 0, 5) })
	require.Panics(t, func() { Conv(dst, src, w, s, nil, 3, 2) })
	require.Panics(t, func() { Conv(dst, src, w, &ConvShape{}, nil, 0, 0) })
}
