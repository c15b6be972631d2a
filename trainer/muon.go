package trainer

import (
	"math"
	"strings"

	"github.com/aecodec/aecodec/kernels"
)

// Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) moves a
// weight matrix by its momentum with all singular values set to about one, so
// that rare directions of the gradient count as much as frequent ones. What
// follows is the usual form: Nesterov momentum, five Newton-Schulz steps with
// the published coefficients, and the scale of Liu et al. (arXiv 2502.16982),
// with which a step is as long as one of Adam and takes Adam's learning rate.
const (
	muonSteps = 5
	muonA     = 3.4445
	muonB     = -4.7750
	muonC     = 2.0315
	muonRMS   = 0.2

	// Matrices with a shorter side than this are left to AdamW.
	muonMinSide = 16
)

// muonMatrix is a weight matrix of k rows (inputs) and n columns (outputs) that
// Muon updates, with working memory.
type muonMatrix struct {
	lo, k, n int     // where it begins in the flat slice, and its sides
	rate     float32 // multiplies the learning rate
	sender   bool    // see group

	u             []float32 // k×n, the update
	x             []float32 // s×l, s the shorter side and l the longer one
	gram, squared []float32 // s×s
	wide, tall    *kernels.Packed
	square        *kernels.Packed
}

func newMuonMatrix(lo, k, n int, sender bool) *muonMatrix {
	s, l := min(k, n), max(k, n)
	return &muonMatrix{
		lo: lo, k: k, n: n, sender: sender, rate: muonRMS * float32(math.Sqrt(float64(l))),
		u: make([]float32, k*n), x: make([]float32, k*n), gram: make([]float32, s*s), squared: make([]float32, s*s),
		wide: kernels.NewPacked(s, l), tall: kernels.NewPacked(l, s), square: kernels.NewPacked(s, s),
	}
}

// orthogonalise replaces u = USVᵀ by about UVᵀ: the singular values become some
// numbers between 0.7 and 1.2.
func (mm *muonMatrix) orthogonalise() {
	s, l := min(mm.k, mm.n), max(mm.k, mm.n)
	x, gram := mm.x, mm.gram
	if mm.k <= mm.n {
		copy(x, mm.u)
	} else {
		transpose(x, mm.u, mm.k, mm.n)
	}
	const tiny = 1e-30 // a gradient of zeros stays one
	kernels.Scale(x, x, 1/max(float32(math.Sqrt(float64(kernels.SumSquares(x)))), tiny))
	for range muonSteps {
		mm.tall.SetTransposed(x, l)
		kernels.GEMM(gram, s, x, l, mm.tall, s, nil) // A = XXᵀ
		mm.square.Set(gram, s)
		kernels.GEMM(mm.squared, s, gram, s, mm.square, s, nil) // AA
		kernels.Scale(gram, gram, muonB)
		kernels.AddScaled(gram, gram, mm.squared, muonC) // B = bA + cAA
		mm.wide.Set(x, l)
		kernels.Scale(x, x, muonA)
		kernels.GEMM(x, l, gram, s, mm.wide, s, &kernels.Epilogue{Accumulate: true}) // X = aX + BX
	}
	if mm.k <= mm.n {
		copy(mm.u, x)
	} else {
		transpose(mm.u, x, mm.n, mm.k)
	}
}

// turnMatrices updates matrices by Muon.
func (s *state) turnMatrices(lo, hi int) {
	for _, mm := range s.matrices[lo:hi] {
		if s.held(mm.sender) {
			continue
		}
		end := mm.lo + mm.k*mm.n
		w, g, m := s.weights.flat[mm.lo:end], s.grads.flat[mm.lo:end], s.m.flat[mm.lo:end]
		if s.params.GradScale != 1 {
			kernels.Scale(g, g, s.params.GradScale)
		}
		kernels.Lerp(m, m, g, 1-s.beta)
		kernels.Lerp(mm.u, g, m, s.beta)
		mm.orthogonalise()
		if s.decay != 0 {
			kernels.Scale(w, w, 1-s.muonRate*s.decay)
		}
		kernels.AddScaled(w, w, mm.u, -s.muonRate*mm.rate)
	}
}

// muonSides tells whether a parameter is a matrix that Muon updates, and its
// sides. The linear shortcuts are not: their principal components are close to
// the optimum, where steps of unit singular values are too long.
func muonSides(name string, shape []int) (k, n int, ok bool) {
	if !strings.HasSuffix(name, ".weight") || strings.HasSuffix(name, ".lin.weight") || len(shape) != 4 || shape[0]*shape[1] != 1 {
		return 0, 0, false
	}
	k, n = shape[2], shape[3]
	return k, n, min(k, n) >= muonMinSide
}

// transpose writes the k×n matrix src to dst as n×k.
func transpose(dst, src []float32, k, n int) {
	for i := range k {
		for j, v := range src[i*n:][:n] {
			dst[j*k+i] = v
		}
	}
}
