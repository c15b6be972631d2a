package trainer

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"
)

func TestSymmetricEigen(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 17, 96} {
		s := stream{key(1, purposePatch, uint64(n), 0)}
		m := mat.NewSymDense(n, nil)
		a := make([]float64, n*n)
		for i := range n {
			for j := i; j < n; j++ {
				m.SetSym(i, j, s.float()-0.5)
			}
		}
		if n == 4 { // repeated eigenvalues and exact zeros
			m = mat.NewSymDense(4, []float64{2, 0, 0, 0, 0, 2, 0, 0, 0, 0, -1, 0, 0, 0, 0, 0})
		}
		for i := range n {
			for j := range n {
				a[i*n+j] = m.At(i, j)
			}
		}
		b := append([]float64(nil), a...)
		values, vectors, err := symmetricEigen(a, n, 1)
		require.NoError(t, err)
		values2, vectors2, err := symmetricEigen(b, n, 3)
		require.NoError(t, err)
		require.Equal(t, values, values2, "threads must not matter")
		require.Equal(t, vectors, vectors2, "threads must not matter")

		var ref mat.EigenSym
		require.True(t, ref.Factorize(m, false))
		want := ref.Values(nil)
		for i := range n {
			require.InDelta(t, want[n-1-i], values[i], 1e-12*float64(n))
			v := mat.NewVecDense(n, vectors[i*n:i*n+n])
			var mv mat.VecDense
			mv.MulVec(m, v)
			mv.AddScaledVec(&mv, -values[i], v)
			require.Less(t, mat.Norm(&mv, 2), 1e-12*float64(n))
			for j := range i + 1 {
				want := 0.0
				if i == j {
					want = 1
				}
				require.InDelta(t, want, mat.Dot(v, mat.NewVecDense(n, vectors[j*n:j*n+n])), 1e-12*float64(n))
			}
			largest := 0.0
			for _, x := range vectors[i*n : i*n+n] {
				if math.Abs(x) > math.Abs(largest) {
					largest = x
				}
			}
			require.Positive(t, largest)
		}
	}
}

// Fewer samples than dimensions: all but a few eigenvalues are zero, and what
// stands for them after the reduction is rounding errors of any size.
func TestSymmetricEigenRankDeficient(t *testing.T) {
	const n = 96
	for _, rank := range []int{0, 1, 5, 17, 64} {
		s := stream{key(1, purposePatch, n, uint64(rank))}
		samples := mat.NewDense(n, max(rank, 1), nil)
		for i := range n {
			for j := range rank {
				samples.Set(i, j, 255*s.float())
			}
		}
		var m mat.Dense
		m.Mul(samples, samples.T())
		norm := mat.Norm(&m, 2)
		values, vectors, err := symmetricEigen(append([]float64(nil), m.RawMatrix().Data...), n, 2)
		require.NoError(t, err, "rank %d", rank)
		for i, value := range values {
			if i < rank {
				require.Greater(t, value, 1e-6*norm, "rank %d", rank)
			} else {
				require.InDelta(t, 0, value, 1e-13*norm, "rank %d", rank)
			}
		}
		v := mat.NewDense(n, n, vectors)
		var scaled, product, gram mat.Dense
		scaled.Mul(mat.NewDiagDense(n, values), v)
		product.Mul(v, &m)
		require.True(t, mat.EqualApprox(&scaled, &product, 1e-13*norm+1e-300), "rank %d", rank)
		gram.Mul(v, v.T())
		identity := mat.NewDiagDense(n, nil)
		for i := range n {
			identity.SetDiag(i, 1)
		}
		require.True(t, mat.EqualApprox(identity, &gram, 1e-12), "rank %d", rank)
	}
}
