package fit

import (
	"math"
	"math/rand/v2"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/kernels"
)

// Stream is a source of random numbers. What it yields depends only on what it
// was made from. PCG is specified to the bit; of the distributions of math/rand
// only those without floating-point functions are used.
type Stream struct{ *rand.Rand }

// NewStream returns the stream of a seed, a purpose and counters, such as an
// epoch and a sample. Streams of different arguments have nothing in common.
func NewStream(seed uint64, purpose string, counters ...int) Stream {
	// FNV-1a over everything, twice with different starts, gives the 128 bits.
	const prime = 1099511628211
	a, b := uint64(14695981039346656037), seed^0x9e3779b97f4a7c15
	mix := func(v uint64) {
		for range 8 {
			a = (a ^ v&0xff) * prime
			b = (b ^ v&0xff) * prime
			v >>= 8
		}
	}
	mix(seed)
	for _, c := range []byte(purpose) {
		mix(uint64(c))
	}
	for _, c := range counters {
		mix(uint64(c))
	}
	return Stream{rand.New(rand.NewPCG(a, b))}
}

// Normals fills dst with standard normal numbers by Marsaglia's polar method,
// which takes a logarithm and a square root only.
func (s Stream) Normals(dst []float32) {
	for i := 0; i < len(dst); {
		u := float64(2*s.Float64()) - 1
		v := float64(2*s.Float64()) - 1
		q := float64(u*u) + float64(v*v)
		if q >= 1 || q == 0 {
			continue
		}
		f := math.Sqrt(float64(-2*kernels.Log64(q)) / q)
		dst[i] = float32(u * f)
		if i++; i < len(dst) {
			dst[i] = float32(v * f)
			i++
		}
	}
}

// Order returns a random order of 0..n-1.
func (s Stream) Order(n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		j := s.IntN(i + 1)
		out[i] = out[j]
		out[j] = int32(i)
	}
	return out
}

// Normals returns n samples of standard normal numbers. Each sample has a stream
// of its own, so that threads may share the work.
func Normals(n int, shape nn.Shape, threads int, seed uint64, purpose string, counters ...int) *nn.Tensor {
	t := nn.NewTensor(n, shape.H, shape.W, shape.C)
	kernels.For(threads, t.N, 4, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			NewStream(seed, purpose, append(counters[:len(counters):len(counters)], i)...).Normals(t.Image(i))
		}
	})
	return t
}
