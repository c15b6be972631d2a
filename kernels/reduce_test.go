package kernels

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReduceEntries(t *testing.T) {
	eachEntry(t, func(t *testing.T, b *table) {
		mem := newArena(t, 30)
		try := func(n int, values kind) {
			mem.reset()
			x, y := mem.random(n, values), mem.random(n, values)
			results := func(tb *table) []float32 {
				return []float32{tb.sum(x), tb.sumSquares(x), tb.dot(x, y), tb.sumSquaredDiff(x, y), tb.maxAbs(x)}
			}
			requireSame(t, results(&generic), results(b), "n=%d values=%v", n, values)
			mem.check(t)
		}
		for n := 1; n <= 400; n++ {
			for values := range kinds {
				try(n, values)
			}
		}
		try(reduceBlock, wide)
		try(reduceBlock-1, plain)
	})
}

// Products that underflow make accumulators of -0, which those that a short last
// piece does not reach have to keep.
func TestReduceNegativeZero(t *testing.T) {
	eachEntry(t, func(t *testing.T, b *table) {
		mem := newArena(t, 32)
		for n := 64; n <= 200; n++ {
			mem.reset()
			x, y := mem.floats(n), mem.floats(n)
			Fill(x, 0x1p-100)
			Fill(y, -0x1p-100)
			want := generic.dot(x, y)
			require.True(t, want == 0 && math.Signbit(float64(want)))
			requireSame(t, []float32{want}, []float32{b.dot(x, y)}, "n=%d", n)
			mem.check(t)
		}
	})
}

func TestColSumEntry(t *testing.T) {
	eachEntry(t, func(t *testing.T, b *table) {
		mem := newArena(t, 31)
		for n := 1; n <= 150; n++ {
			for range 4 {
				mem.reset()
				values := kind(mem.rng.IntN(int(kinds)))
				m := 1 + mem.rng.IntN(40)
				x, dst := mem.random(m*n, values), mem.random(n, values)
				want := mem.clone(dst)
				generic.colSum(want, x, m, n)
				b.colSum(dst, x, m, n)
				requireSame(t, want, dst, "m=%d n=%d values=%v", m, n, values)
				mem.check(t)
			}
		}
	})
}

// naiveReduce is the comment of reduceBlock.
func naiveReduce(n int, term func(i int, acc float32) float32) float32 {
	var total float32
	for lo := 0; lo < n; lo += 65536 {
		var acc [64]float32
		for i := lo; i < min(lo+65536, n); i++ {
			acc[(i-lo)%64] = term(i, acc[(i-lo)%64])
		}
		for _, half := range []int{32, 16, 8, 4, 2, 1} {
			for j := range half {
				acc[j] += acc[j+half]
			}
		}
		if lo == 0 {
			total = acc[0]
		} else {
			total += acc[0]
		}
	}
	return total
}

func TestReduce(t *testing.T) {
	eachBackend(t, func(t *testing.T) {
		mem := newArena(t, 32)
		for _, n := range []int{0, 1, 2, 31, 63, 64, 65, 130, 1000, 65535, 65536, 65537, 140000} {
			for values := range kinds {
				mem.reset()
				x, y := mem.random(n, values), mem.random(n, values)
				want := []float32{
					naiveReduce(n, func(i int, acc float32) float32 { return acc + x[i] }),
					naiveReduce(n, func(i int, acc float32) float32 { return FMA32(x[i], x[i], acc) }),
					naiveReduce(n, func(i int, acc float32) float32 { return FMA32(x[i], y[i], acc) }),
					naiveReduce(n, func(i int, acc float32) float32 { d := x[i] - y[i]; return FMA32(d, d, acc) }),
					0,
				}
				for _, v := range x {
					if a := float32(math.Abs(float64(v))); a > want[4] {
						want[4] = a
					}
				}
				got := []float32{Sum(x), SumSquares(x), Dot(x, y), SumSquaredDiff(x, y), MaxAbs(x)}
				requireSame(t, want, got, "n=%d values=%v", n, values)
				mem.check(t)
			}
		}
		require.Panics(t, func() { Dot(make([]float32, 3), make([]float32, 4)) })
	})
}

func TestColSum(t *testing.T) {
	eachBackend(t, func(t *testing.T) {
		mem := newArena(t, 33)
		for _, m := range []int{0, 1, 255, 256, 257, 700} {
			for _, n := range []int{0, 1, 16, 50} {
				mem.reset()
				values := kind(mem.rng.IntN(int(kinds)))
				x, dst := mem.random(m*n, values), mem.random(n, values)
				want := mem.clone(dst)
				for lo := 0; lo < m; lo += 256 {
					for j := range n {
						var acc float32
						for i := lo; i < min(lo+256, m); i++ {
							acc += x[i*n+j]
						}
						want[j] += acc
					}
				}
				ColSum(dst, x, m, n)
				requireSame(t, want, dst, "m=%d n=%d values=%v", m, n, values)
				mem.check(t)
			}
		}
	})
}

func TestAllFinite(t *testing.T) {
	x := make([]float32, 100)
	Fill(x, math.MaxFloat32)
	require.True(t, AllFinite(x))
	require.True(t, AllFinite(nil))
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for i := range x {
			x[i] = float32(v)
			require.False(t, AllFinite(x))
			x[i] = -1
		}
	}
}
