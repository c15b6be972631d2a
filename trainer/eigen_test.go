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
