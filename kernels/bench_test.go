package kernels

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// Benchmarks use the shapes of the reference network for an image of 768×512,
// or what such a network would use. Run them for one backend with
// AECODEC_KERNELS, or for all with -bench=. as it is.

// benchBackends runs a benchmark for every backend; generic only on request,
// by name, as it takes long.
func benchBackends(b *testing.B, fn func(b *testing.B)) {
	previous := active
	defer func() { active = previous }()
	for _, t := range backends {
		if t == &generic && previous != &generic {
			continue
		}
		active = t
		b.Run(t.name, fn)
	}
}

// reportFLOPs states the rate of a benchmark that does n multiply-adds a turn.
func reportFLOPs(b *testing.B, n int) {
	b.ReportMetric(2*float64(n)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
}

func benchFloats(n int) []float32 {
	rng := rand.New(rand.NewPCG(uint64(n), 99))
	x := make([]float32, n)
	fill(rng, x, plain)
	return x
}

// pointwise lists the 1×1 convolutions of the network: pixels, inputs, outputs.
var pointwise = []struct {
	layer   string
	m, k, n int
}{
	{"stem", 6144, 192, 128},
	{"block128.pw", 6144, 128, 128},
	{"block128.ff1", 6144, 128, 256},
	{"block128.ff2", 6144, 256, 128},
	{"down", 1536, 512, 192},
	{"block192.pw", 1536, 192, 192},
	{"block192.ff1", 1536, 192, 384},
	{"block192.ff2", 1536, 384, 192},
	{"lin", 1536, 768, 320},
	{"linT", 1536, 320, 768},
	{"block96.pw", 6144, 96, 96},
	{"block48.pw", 24576, 48, 48},
	{"block48.ff1", 24576, 48, 96},
	{"hyper", 384, 1024, 128},
	{"large", 960, 960, 960},
}

func BenchmarkGEMM(b *testing.B) {
	for _, s := range pointwise {
		b.Run(fmt.Sprintf("%s/%dx%dx%d", s.layer, s.m, s.k, s.n), func(b *testing.B) {
			benchBackends(b, func(b *testing.B) {
				a, c := benchFloats(s.m*s.k), benchFloats(s.m*s.n)
				w := Pack(s.k, s.n, benchFloats(s.k*s.n), s.n)
				ep := &Epilogue{Bias: benchFloats(s.n), Act: ActLeaky, Slope: 0.1}
				b.SetBytes(4 * int64(s.m*s.k+s.m*s.n))
				for b.Loop() {
					GEMM(c, s.n, a, s.k, w, s.m, ep)
				}
				reportFLOPs(b, s.m*s.n*s.k)
			})
		})
	}
}

func BenchmarkGEMMTN(b *testing.B) {
	for _, s := range pointwise {
		b.Run(fmt.Sprintf("%s/%dx%dx%d", s.layer, s.m, s.k, s.n), func(b *testing.B) {
			benchBackends(b, func(b *testing.B) {
				x, dy, dw := benchFloats(s.m*s.k), benchFloats(s.m*s.n), benchFloats(s.k*s.n)
				b.SetBytes(4 * int64(s.m*s.k+s.m*s.n))
				for b.Loop() {
					GEMMTN(dw, s.n, x, s.k, dy, s.n, s.m, s.k, s.n, 0, s.k)
				}
				reportFLOPs(b, s.m*s.n*s.k)
			})
		})
	}
}

// convShapes lists dense convolutions with "same" padding.
var convShapes = []struct {
	h, w, cin, cout, k, stride int
}{
	{64, 96, 64, 64, 3, 1},
	{64, 96, 128, 128, 3, 1},
	{32, 48, 192, 192, 3, 1},
	{128, 192, 3, 64, 5, 2},
	{64, 96, 128, 192, 5, 2},
	{128, 192, 32, 32, 3, 1},
}

func eachConv(b *testing.B, fn func(b *testing.B, s *ConvShape)) {
	for _, c := range convShapes {
		s := &ConvShape{
			H: c.h, W: c.w, Cin: c.cin, OutH: c.h / c.stride, OutW: c.w / c.stride, Cout: c.cout,
			KH: c.k, KW: c.k, StrideY: c.stride, StrideX: c.stride, PadTop: c.k / 2, PadLeft: c.k / 2,
		}
		b.Run(fmt.Sprintf("%dx%d/%d.%d/%dx%d.%d", c.h, c.w, c.cin, c.cout, c.k, c.k, c.stride), func(b *testing.B) {
			benchBackends(b, func(b *testing.B) {
				b.SetBytes(4 * int64(s.H*s.W*s.Cin+s.OutH*s.OutW*s.Cout))
				fn(b, s)
				reportFLOPs(b, s.OutH*s.OutW*s.Cout*s.KH*s.KW*s.Cin)
			})
		})
	}
}

func BenchmarkConv(b *testing.B) {
	eachConv(b, func(b *testing.B, s *ConvShape) {
		k := s.KH * s.KW * s.Cin
		dst, src := benchFloats(s.OutH*s.OutW*s.Cout), benchFloats(s.H*s.W*s.Cin)
		w := Pack(k, s.Cout, benchFloats(k*s.Cout), s.Cout)
		for b.Loop() {
			Conv(dst, src, w, s, nil, 0, s.OutH)
		}
	})
}

func BenchmarkConvTransposed(b *testing.B) {
	eachConv(b, func(b *testing.B, s *ConvShape) {
		k := s.KH * s.KW * s.Cout
		dst, src := benchFloats(s.H*s.W*s.Cin), benchFloats(s.OutH*s.OutW*s.Cout)
		w := Pack(k, s.Cin, benchFloats(k*s.Cin), s.Cin)
		for b.Loop() {
			ConvTransposed(dst, src, w, s, nil, 0, s.H)
		}
	})
}

func BenchmarkConvWeightGrad(b *testing.B) {
	eachConv(b, func(b *testing.B, s *ConvShape) {
		k := s.KH * s.KW * s.Cin
		dy, src, dw := benchFloats(s.OutH*s.OutW*s.Cout), benchFloats(s.H*s.W*s.Cin), benchFloats(k*s.Cout)
		for b.Loop() {
			ConvWeightGrad(dw, src, dy, s, 0, k)
		}
	})
}

// depthwiseShapes lists the depthwise convolutions of the network.
var depthwiseShapes = []struct{ h, w, c, k int }{
	{64, 96, 128, 3}, {32, 48, 192, 3}, {64, 96, 96, 3}, {128, 192, 48, 3}, {32, 48, 128, 5},
}

func eachDepthwise(b *testing.B, fn func(b *testing.B, h, w, c, k int)) {
	for _, s := range depthwiseShapes {
		b.Run(fmt.Sprintf("%dx%d/%d/%dx%d", s.h, s.w, s.c, s.k, s.k), func(b *testing.B) {
			benchBackends(b, func(b *testing.B) {
				b.SetBytes(8 * int64(s.h*s.w*s.c))
				fn(b, s.h, s.w, s.c, s.k)
				reportFLOPs(b, s.h*s.w*s.c*s.k*s.k)
			})
		})
	}
}

func BenchmarkDepthwise(b *testing.B) {
	eachDepthwise(b, func(b *testing.B, h, w, c, k int) {
		dst, src, wt, bias := benchFloats(h*w*c), benchFloats(h*w*c), benchFloats(k*k*c), benchFloats(c)
		for b.Loop() {
			Depthwise(dst, src, wt, bias, h, w, c, k, k, nil, 0, h)
		}
	})
}

func BenchmarkDepthwiseWeightGrad(b *testing.B) {
	eachDepthwise(b, func(b *testing.B, h, w, c, k int) {
		src, dy, dw := benchFloats(h*w*c), benchFloats(h*w*c), benchFloats(k*k*c)
		for b.Loop() {
			DepthwiseWeightGrad(dw, src, dy, h, w, c, k, k, 0, c)
		}
	})
}

// BenchmarkFlat runs the element-wise functions on data in the second-level
// cache.
func BenchmarkFlat(b *testing.B) {
	const n = 1 << 14
	for _, f := range flats() {
		b.Run(f.name, func(b *testing.B) {
			benchBackends(b, func(b *testing.B) {
				in := [][]float32{benchFloats(n), benchFloats(n)}[:f.inputs]
				dst := make([]float32, n)
				b.SetBytes(4 * n * int64(f.inputs+1))
				for b.Loop() {
					f.exported(dst, in, flatScalars[0])
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/element")
			})
		})
	}
}

func BenchmarkReduce(b *testing.B) {
	x, y := benchFloats(1<<14), benchFloats(1<<14)
	for name, fn := range map[string]func(){
		"sum":            func() { sink += Sum(x) },
		"sumSquares":     func() { sink += SumSquares(x) },
		"dot":            func() { sink += Dot(x, y) },
		"sumSquaredDiff": func() { sink += SumSquaredDiff(x, y) },
		"maxAbs":         func() { sink += MaxAbs(x) },
		"colSum":         func() { ColSum(y, x, 128, 128) },
	} {
		b.Run(name, func(b *testing.B) {
			benchBackends(b, func(b *testing.B) {
				b.SetBytes(4 << 14)
				for b.Loop() {
					fn()
				}
			})
		})
	}
}

func BenchmarkAdamW(b *testing.B) {
	const n = 1 << 14
	benchBackends(b, func(b *testing.B) {
		w, g, m, v := benchFloats(n), benchFloats(n), make([]float32, n), make([]float32, n)
		p := &AdamParams{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Correct1: 1, Correct2: 1, GradScale: 1}
		b.SetBytes(28 * n)
		for b.Loop() {
			AdamW(w, g, m, v, p)
		}
	})
}
