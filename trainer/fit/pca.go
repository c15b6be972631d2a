package fit

import (
	"fmt"
	"math"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/kernels"
	"github.com/aecodec/aecodec/trainer"
)

// PCA is the principal components of samples.
type PCA struct {
	Mean   []float64 // of N numbers
	Values []float64 // variances along the components, largest first
	Basis  []float64 // the components as rows of N numbers
}

// maxPCA bounds the numbers of a sample, or the number of samples if that is
// smaller: the time grows with their cube.
const maxPCA = 4096

// covarianceBlock is how many samples are multiplied in float32 before their
// products are added up in float64.
const covarianceBlock = 1024

// NewPCA finds all components of samples; of samples of very many numbers, at
// most one less than there are samples.
func NewPCA(x *nn.Tensor, threads int) (*PCA, error) {
	n := x.Shape().Len()
	if min(n, x.N) > maxPCA {
		return nil, fmt.Errorf("fit: principal components of %d samples of %d numbers: want %d or fewer of either", x.N, n, maxPCA)
	}
	p := &PCA{Mean: make([]float64, n)}
	for i := range x.N {
		for k, v := range x.Image(i) {
			p.Mean[k] += float64(v)
		}
	}
	for k := range p.Mean {
		p.Mean[k] /= float64(x.N)
	}
	if n > maxPCA {
		return p, p.fromSamples(x, threads)
	}
	cov := make([]float64, n*n)
	product := make([]float32, n*n)
	for at := 0; at < x.N; at += covarianceBlock {
		block := p.centred(Window(x, at, min(at+covarianceBlock, x.N)))
		clear(product)
		kernels.For(threads, n, 96, func(lo, hi int) {
			kernels.GEMMTN(product, n, block.Data, n, block.Data, n, block.N, n, n, lo, hi)
			for i := lo * n; i < hi*n; i++ {
				cov[i] += float64(product[i])
			}
		})
	}
	for i := range n { // the two halves are the same but for the order of factors
		for k := range i {
			cov[i*n+k] = cov[k*n+i]
		}
	}
	for i := range cov {
		cov[i] /= float64(max(x.N-1, 1))
	}
	var err error
	if p.Values, p.Basis, err = trainer.SymmetricEigen(cov, n, threads); err != nil {
		return nil, fmt.Errorf("fit: principal components: %w", err)
	}
	return p, nil
}

// fromSamples finds the components from the products of samples with each other,
// of which there are fewer than of numbers: where X·Xᵀ·u = v·u, Xᵀ·u is an
// eigenvector of Xᵀ·X to the same value ("snapshots", Sirovich 1987).
func (p *PCA) fromSamples(x *nn.Tensor, threads int) error {
	n, rows := len(p.Mean), make([][]float64, x.N)
	for i := range rows {
		rows[i] = make([]float64, n)
		for k, v := range x.Image(i) {
			rows[i][k] = float64(v) - p.Mean[k]
		}
	}
	gram := make([]float64, x.N*x.N)
	kernels.For(threads, x.N, 4, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			for j, b := range rows {
				sum := 0.0
				for k, a := range rows[i] {
					sum += float64(a * b[k])
				}
				gram[i*x.N+j] = sum / float64(max(x.N-1, 1))
			}
		}
	})
	values, vectors, err := trainer.SymmetricEigen(gram, x.N, threads)
	if err != nil {
		return fmt.Errorf("fit: principal components: %w", err)
	}
	// The mean takes one dimension; what equal samples take has no direction.
	for c := 0; c < x.N-1 && values[c] > values[0]*1e-10; c++ {
		axis := make([]float64, n)
		for i, row := range rows {
			for k, v := range row {
				axis[k] += float64(vectors[c*x.N+i] * v)
			}
		}
		squares := 0.0
		for _, v := range axis {
			squares += float64(v * v)
		}
		for k := range axis {
			axis[k] /= math.Sqrt(squares)
		}
		p.Values, p.Basis = append(p.Values, values[c]), append(p.Basis, axis...)
	}
	return nil
}

func (p *PCA) centred(x *nn.Tensor) *nn.Tensor {
	out := nn.NewTensor(x.N, x.H, x.W, x.C)
	for i, v := range x.Data {
		out.Data[i] = float32(float64(v) - p.Mean[i%len(p.Mean)])
	}
	return out
}

// basis returns the leading components as columns, for matrix products.
func (p *PCA) basis(components int) *kernels.Packed {
	n := len(p.Mean)
	rows := make([]float32, components*n)
	for i := range rows {
		rows[i] = float32(p.Basis[i])
	}
	b := kernels.NewPacked(n, components)
	b.SetTransposed(rows, n)
	return b
}

// Project returns the coordinates of samples along the leading components.
func (p *PCA) Project(x *nn.Tensor, components int) *nn.Tensor {
	n := len(p.Mean)
	out := nn.NewTensor(x.N, 1, 1, components)
	kernels.GEMM(out.Data, components, p.centred(x).Data, n, p.basis(components), x.N, nil)
	return out
}

// MSE is the mean squared error of samples that are rebuilt from their leading
// components: what of their squares the coordinates don't hold.
func (p *PCA) MSE(x *nn.Tensor, components int) float64 {
	c, y := p.centred(x), p.Project(x, components)
	sum := 0.0
	for i := range x.N {
		sum += float64(kernels.SumSquares(c.Image(i))) - float64(kernels.SumSquares(y.Image(i)))
	}
	return sum / float64(len(x.Data))
}

// Angle is the largest principal angle, in degrees, between the leading
// components and the space of k given rows of numbers (Björck and Golub, Math.
// Comp. 27, 1973): the squares of the cosines are the eigenvalues of M·Mᵀ, where
// M has the products of two orthonormal bases.
func (p *PCA) Angle(rows []float32, k, threads int) (float64, error) {
	n := len(p.Mean)
	q := make([][]float64, k)
	dot := func(a, b []float64) float64 {
		sum := 0.0
		for i, v := range a {
			sum += float64(v * b[i])
		}
		return sum
	}
	for i := range q {
		q[i] = make([]float64, n)
		for c, v := range rows[i*n : (i+1)*n] {
			q[i][c] = float64(v)
		}
		for range 2 { // Gram and Schmidt, twice, for orthogonality to the last digits
			for _, other := range q[:i] {
				f := dot(q[i], other)
				for c := range q[i] {
					q[i][c] -= float64(f * other[c])
				}
			}
		}
		length := math.Sqrt(dot(q[i], q[i]))
		if length == 0 {
			return 90, nil // fewer dimensions than rows
		}
		for c := range q[i] {
			q[i][c] /= length
		}
	}
	m := make([][]float64, k)
	for i := range m {
		m[i] = make([]float64, k)
		for c := range m[i] {
			m[i][c] = dot(p.Basis[i*n:(i+1)*n], q[c])
		}
	}
	square := make([]float64, k*k)
	for i := range m {
		for c := range m {
			square[i*k+c] = dot(m[i], m[c])
		}
	}
	values, _, err := trainer.SymmetricEigen(square, k, threads)
	if err != nil {
		return 0, fmt.Errorf("fit: principal angle: %w", err)
	}
	return math.Acos(math.Sqrt(min(max(values[k-1], 0), 1))) * 180 / math.Pi, nil
}
