package kernels

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// BenchmarkGEMM8 runs the pointwise layers of the network, with the output most
// of them have. "peak" is the share of the VNNI peak, measured in the same run,
// of the fastest turn.
func BenchmarkGEMM8(b *testing.B) {
	benchIntGEMM(b, func(m, k, n int) func() {
		a, w := benchInts[uint8](m*k), Pack8(k, n, benchInts[int8](k*n), n)
		out := &IntOutput{Rescale: randomRescale(rand.New(rand.NewPCG(1, 1)), n, 1e5), Act: IntActFirst, Slope: 3277}
		out.Out8, out.LD8 = make([]uint8, m*n), n
		return func() { GEMM8(a, k, w, m, out) }
	})
}

// BenchmarkGEMM16 is BenchmarkGEMM8 with 16-bit operands and results.
func BenchmarkGEMM16(b *testing.B) {
	benchIntGEMM(b, func(m, k, n int) func() {
		a, w := benchInts[int16](m*k), Pack16(k, n, benchInts[int16](k*n), n)
		out := &IntOutput{Rescale: randomRescale(rand.New(rand.NewPCG(1, 1)), n, 1e9)}
		out.Out16, out.LD16 = make([]int16, m*n), n
		return func() { GEMM16(a, k, w, m, out) }
	})
}

func benchIntGEMM(b *testing.B, prepare func(m, k, n int) func()) {
	for _, s := range pointwise {
		b.Run(fmt.Sprintf("%s/%dx%dx%d", s.layer, s.m, s.k, s.n), func(b *testing.B) {
			benchBackends(b, func(b *testing.B) {
				run := prepare(s.m, s.k, s.n)
				peak := vnniPeak()
				best := time.Hour
				for b.Loop() {
					start := time.Now()
					run()
					best = min(best, time.Since(start))
				}
				macs := float64(s.m*s.k*s.n) / float64(best.Nanoseconds())
				b.ReportMetric(macs, "GMAC/s")
				if peak = max(peak, vnniPeak()); peak > 0 {
					b.ReportMetric(100*macs/peak, "%peak")
				}
			})
		})
	}
}

func benchInts[T integer](n int) []T {
	x := make([]T, n)
	fillInts(rand.New(rand.NewPCG(uint64(n), 99)), x, 0)
	return x
}

func BenchmarkDepthwise8(b *testing.B) {
	eachDepthwise(b, func(b *testing.B, h, w, c, k int) {
		src, pad, wt := benchInts[uint8](h*w*c), make([]uint8, c), benchInts[int16](k*k*c)
		out := &IntOutput{Rescale: randomRescale(rand.New(rand.NewPCG(1, 1)), c, 1e5)}
		out.Out8, out.LD8 = make([]uint8, h*w*c), c
		for b.Loop() {
			Depthwise8(src, pad, wt, h, w, c, k, k, out, 0, h)
		}
	})
}

func BenchmarkQuantise(b *testing.B) {
	const n = 320
	src, scale := benchFloats(n*1536), benchFloats(n)
	offset, dst16, dst8 := make([]int16, n), make([]int16, n*1536), make([]uint8, n*1536)
	benchBackends(b, func(b *testing.B) {
		for b.Loop() {
			Quantise(dst16, dst8, src, scale, offset)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(src)), "ns/element")
	})
}
