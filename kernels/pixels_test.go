package kernels

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestShuffle(t *testing.T) {
	mem := newArena(t, 40)
	for _, r := range []int{1, 2, 3, 4, 8} {
		for _, c := range []int{1, 3, 5} {
			mem.reset()
			h, w := r*(1+mem.rng.IntN(3)), r*(1+mem.rng.IntN(4))
			src := mem.random(h*w*c, special)
			dst, back := mem.floats(h*w*c), mem.floats(h*w*c)
			Unshuffle(dst, src, h, w, c, r)
			for y := range h / r {
				for x := range w / r {
					for dy := range r {
						for dx := range r {
							for ch := range c {
								got := dst[(y*(w/r)+x)*r*r*c+(dy*r+dx)*c+ch]
								want := src[((y*r+dy)*w+x*r+dx)*c+ch]
								require.Equal(t, math.Float32bits(want), math.Float32bits(got))
							}
						}
					}
				}
			}
			Shuffle(back, dst, h, w, c, r)
			requireSame(t, src, back, "r=%d c=%d", r, c)
			mem.check(t)
		}
	}
	x := make([]float32, 64)
	require.Panics(t, func() { Unshuffle(x, x, 8, 7, 1, 2) })
	require.Panics(t, func() { Shuffle(x, x, 8, 16, 1, 2) })
	require.Panics(t, func() { Shuffle(x, x, 8, 8, 1, 0) })
}

func TestUpsampleNearest(t *testing.T) {
	src := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12} // 2×3×2
	dst := make([]float32, 4*len(src))
	UpsampleNearest(dst, src, 2, 3, 2, 2)
	line := []float32{1, 2, 1, 2, 3, 4, 3, 4, 5, 6, 5, 6}
	require.Equal(t, line, dst[:12])
	require.Equal(t, line, dst[12:24])
	require.Equal(t, []float32{7, 8, 7, 8}, dst[36:40])
	dx := make([]float32, len(src))
	Fill(dx, 99)
	UpsampleNearestGrad(dx, dst, 2, 3, 2, 2)
	for i, v := range src {
		require.Equal(t, 4*v, dx[i])
	}
}

func TestPool(t *testing.T) {
	mem := newArena(t, 41)
	for range 200 {
		mem.reset()
		s := randomShape(mem)
		s.Cout = s.Cin
		n := s.OutH * s.OutW * s.Cin
		src := mem.random(s.H*s.W*s.Cin, plain)
		for i := range src { // ties
			src[i] = float32(math.Round(float64(src[i] * 3)))
		}
		dst, arg, avg := mem.floats(n), make([]int32, n), mem.floats(n)
		dx, adx := mem.floats(len(src)), mem.floats(len(src))
		clear(dx)
		clear(adx)
		wantDX, wantADX := mem.clone(dx), mem.clone(dx)
		dy := mem.random(n, plain)
		MaxPool(dst, arg, src, s)
		MaxPoolGrad(dx, dy, arg)
		AvgPool(avg, src, s)
		AvgPoolGrad(adx, dy, s)
		for p := range s.OutH * s.OutW {
			for ch := range s.Cin {
				best, sum, inside := int32(-1), float32(0), []int32(nil)
				for y := range s.H {
					for x := range s.W {
						ky, kx := y-(p/s.OutW*s.StrideY-s.PadTop), x-(p%s.OutW*s.StrideX-s.PadLeft)
						if ky < 0 || ky >= s.KH || kx < 0 || kx >= s.KW {
							continue
						}
						i := int32((y*s.W+x)*s.Cin + ch)
						if best < 0 || src[i] > src[best] {
							best = i
						}
						sum += src[i]
						inside = append(inside, i)
					}
				}
				i := p*s.Cin + ch
				require.Equal(t, best, arg[i])
				want, mean := float32(0), float32(0)
				if best >= 0 {
					want, mean = src[best], sum/float32(len(inside))
					wantDX[best] += dy[i]
				}
				requireSame(t, []float32{want, mean}, []float32{dst[i], avg[i]}, "%+v", *s)
				for _, j := range inside {
					wantADX[j] += dy[i] / float32(len(inside))
				}
			}
		}
		requireSame(t, wantDX, dx, "max %+v", *s)
		requireSame(t, wantADX, adx, "average %+v", *s)
		again := mem.floats(n)
		MaxPool(again, nil, src, s)
		requireSame(t, dst, again, "without indices")
		mem.check(t)
	}
}
