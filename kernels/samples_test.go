package kernels

import (
	"math"
	"math/big"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// ints returns n integers and bytes n bytes of fenced memory.
func (a *arena) ints(n int) []int32 {
	x := a.floats(n)
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*int32)(unsafe.Pointer(&x[0])), n)
}

// bytes ends where the fence does if the floats do, or begins where it begins.
func (a *arena) bytes(n int) []uint8 {
	words := (n + 3) / 4
	x := a.floats(words)
	if n == 0 {
		return nil
	}
	all := unsafe.Slice((*uint8)(unsafe.Pointer(&x[0])), 4*words)
	if f := a.fences[a.used-1]; f.hi == fenceSize {
		return all[4*words-n:]
	}
	return all[:n]
}

func TestDequantiseEntry(t *testing.T) {
	eachEntry(t, func(t *testing.T, b *table) {
		mem := newArena(t, 70)
		for n := 1; n <= 100; n++ {
			for values := range kinds {
				mem.reset()
				k := mem.ints(n)
				for i := range k {
					k[i] = int32(mem.rng.Uint32()) >> mem.rng.IntN(32)
				}
				mean, scale, gain := mem.random(n, values), mem.random(n, values), mem.random(n, plain)
				want, got := mem.floats(n), mem.floats(n)
				generic.dequantise(want, k, mean, scale, gain)
				b.dequantise(got, k, mean, scale, gain)
				requireSame(t, want, got, "n=%d values=%v", n, values)
				mem.check(t)
			}
		}
	})
}

func TestDequantise(t *testing.T) {
	eachBackend(t, func(t *testing.T) {
		// 1·1 + 2^-24 is half a unit of 1: it goes to the even neighbour.
		got := make([]float32, 3)
		Dequantise(got, []int32{1, 1<<24 + 1, -2}, []float32{0x1p-12, 0, 3}, []float32{0x1p-12, 1, 0.5}, []float32{3, 1, 4})
		require.Equal(t, []float32{3, 1 << 24, -2}, got)
		long := make([]float32, 2*chunk+7)
		k, one := make([]int32, len(long)), make([]float32, len(long))
		for i := range k {
			k[i], one[i] = int32(i), 1
		}
		Dequantise(long, k, one, one, one)
		for i, v := range long {
			require.Equal(t, float32(i+1), v)
		}
	})
	require.Panics(t, func() {
		Dequantise(make([]float32, 2), make([]int32, 2), make([]float32, 1), make([]float32, 2), make([]float32, 2))
	})
}

func TestLevelsEntry(t *testing.T) {
	eachEntry(t, func(t *testing.T, b *table) {
		mem := newArena(t, 71)
		for n := 1; n <= 100; n++ {
			for shift := range 32 {
				mem.reset()
				x, want, got := mem.floats(n), mem.bytes(n), mem.bytes(n)
				for i := range x {
					x[i] = float32(int32(mem.rng.Uint32()) >> (7 + mem.rng.IntN(25)))
				}
				most := mem.rng.IntN(128)
				generic.levels(want, x, shift, most)
				b.levels(got, x, shift, most)
				require.Equal(t, want, got, "n=%d shift=%d most=%d", n, shift, most)
				mem.check(t)
			}
		}
	})
}

func TestLevels(t *testing.T) {
	eachBackend(t, func(t *testing.T) {
		x := []float32{-1 << 30, -9, -8, -1, 0, 7, 8, 15, 16, 63*8 - 1, 63 * 8, 64 * 8, 1 << 30}
		got := make([]uint8, len(x))
		Levels(got, x, 3, 63)
		require.Equal(t, []uint8{255, 255, 255, 255, 255, 255, 1, 1, 2, 62, 63, 63, 63}, got)
		long := make([]float32, 2*chunk+7)
		Fill(long, 5)
		levels := make([]uint8, len(long))
		Levels(levels, long, 0, 63)
		for _, l := range levels {
			require.EqualValues(t, 5, l)
		}
	})
	require.Panics(t, func() { Levels(make([]uint8, 1), make([]float32, 1), 32, 63) })
	require.Panics(t, func() { Levels(make([]uint8, 1), make([]float32, 1), 0, 128) })
	require.Panics(t, func() { Levels(make([]uint8, 1), make([]float32, 2), 0, 1) })
}

func TestSampleBytesEntry(t *testing.T) {
	eachEntry(t, func(t *testing.T, b *table) {
		mem := newArena(t, 72)
		for n := 1; n <= 100; n++ {
			for values := range kinds {
				mem.reset()
				x, want, got := mem.random(n, values), mem.bytes(n), mem.bytes(n)
				generic.sampleBytes(want, x)
				b.sampleBytes(got, x)
				require.Equal(t, want, got, "n=%d values=%v", n, values)
				mem.check(t)
			}
		}
		// All that is near a step.
		x := make([]float32, 0, 256*65)
		for i := range 256 {
			v := float32((float64(i)-0.5)/255 - 0.5)
			for d := range 65 {
				x = append(x, math.Float32frombits(uint32(int(math.Float32bits(v))+d-32)))
			}
		}
		want, got := make([]uint8, len(x)), make([]uint8, len(x))
		generic.sampleBytes(want, x)
		b.sampleBytes(got, x)
		require.Equal(t, want, got)
	})
}

func TestSampleBytes(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	eachBackend(t, func(t *testing.T) {
		x := []float32{nan, inf, -inf, -0.5, -0.51, 0.5, 0.51, 0, 0.5/255 - 0.5, 1/255.0 - 0.5}
		got := make([]uint8, len(x))
		SampleBytes(got, x)
		require.Equal(t, []uint8{0, 255, 0, 0, 0, 255, 255, 128, 1, 1}, got)

		// Bytes come back from byte/255 - 1/2, by exact arithmetic too.
		for i := range 256 {
			v := float32(float32(i)/255) - 0.5
			exact := new(big.Float).SetFloat64(float64(v))
			exact.Add(exact, big.NewFloat(0.5)).Mul(exact, big.NewFloat(255)).Add(exact, big.NewFloat(0.5))
			want, _ := exact.Int64()
			require.EqualValues(t, i, want)
			got := []uint8{0}
			SampleBytes(got, []float32{v})
			require.EqualValues(t, i, got[0])
		}
	})
	require.Panics(t, func() { SampleBytes(make([]uint8, 1), nil) })
}

func TestOpaque(t *testing.T) {
	eachBackend(t, func(t *testing.T) {
		mem := newArena(t, 73)
		for _, n := range []int{0, 1, 2, 3, 7, 8, 9, 10, 15, 16, 17, 18, 19, 20, 63, 64, 65, 66, 67, 100, 1000} {
			mem.reset()
			src, dst := mem.bytes(3*n), mem.bytes(4*n)
			for i := range src {
				src[i] = uint8(mem.rng.Uint32())
			}
			Opaque(dst, src)
			for i := range n {
				require.Equal(t, []uint8{src[3*i], src[3*i+1], src[3*i+2], 255}, dst[4*i:4*i+4], "pixel %d of %d", i, n)
			}
			mem.check(t)
		}
		src, dst := make([]uint8, 3*(2*chunk+5)), make([]uint8, 4*(2*chunk+5))
		Opaque(dst, src)
		for i := 3; i < len(dst); i += 4 {
			require.EqualValues(t, 255, dst[i])
		}
	})
	require.Panics(t, func() { Opaque(make([]uint8, 4), make([]uint8, 4)) })
	require.Panics(t, func() { Opaque(make([]uint8, 4), make([]uint8, 6)) })
}
