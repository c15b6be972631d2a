package trainer

import (
	"errors"
	"math"

	"github.com/aecodec/aecodec/kernels"
)

// symmetricEigen returns the eigenvalues of the symmetric n×n matrix a, largest
// first, and the eigenvectors as rows of an n×n matrix in the same order. Each
// vector has length one and its component of largest magnitude (the first of
// those) is positive. a is overwritten.
//
// The textbook way (Golub and Van Loan, Matrix Computations, 4th ed., 8.3):
// Householder reduction to tridiagonal form, then implicit QL. It exists because
// LAPACK-style libraries change their sums with the blocking and the
// instruction set, and the first weights of a model must not: here each
// product is rounded before it is added, and threads only share out rows.
func symmetricEigen(a []float64, n, threads int) (values, vectors []float64, err error) {
	if n == 0 {
		return nil, nil, nil
	}
	d := make([]float64, n)   // diagonal
	e := make([]float64, n)   // e[i] couples i and i+1
	tau := make([]float64, n) // reflector k is I - tau[k]·v·vᵀ, v in a[k][k+1:]
	p := make([]float64, n)
	for k := 0; k < n-2; k++ {
		d[k] = a[k*n+k]
		v := a[k*n+k+1 : k*n+n]
		e[k], tau[k] = householder(v)
		if tau[k] == 0 {
			continue
		}
		p := p[:len(v)]
		kernels.For(threads, len(v), 32, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				p[i] = float64(tau[k] * dot64(a[(k+1+i)*n+k+1:], v))
			}
		})
		axpy64(p, v, -float64(float64(0.5*tau[k])*dot64(p, v)))
		kernels.For(threads, len(v), 32, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				rank2(a[(k+1+i)*n+k+1:][:len(v)], v, p, v[i], p[i])
			}
		})
	}
	if n > 1 {
		d[n-2], e[n-2] = a[(n-2)*n+n-2], a[(n-2)*n+n-1]
	}
	d[n-1] = a[n*n-1]

	// z holds the transposed product of the reflectors: row i is the image of
	// basis vector i of the tridiagonal problem. Applying a reflector from the
	// right to the product is a change to each row by itself.
	z := make([]float64, n*n)
	for i := range n {
		z[i*n+i] = 1
	}
	for k := n - 3; k >= 0; k-- {
		v := a[k*n+k+1 : k*n+n]
		if tau[k] == 0 {
			continue
		}
		kernels.For(threads, n-k-1, 32, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				row := z[(k+1+i)*n+k+1:][:len(v)]
				axpy64(row, v, -float64(tau[k]*dot64(row, v)))
			}
		})
	}
	if err := tridiagonalQL(d, e, z); err != nil {
		return nil, nil, err
	}

	order := make([]int, n)
	for i := range order { // insertion sort: stable, and n is small
		j := i
		for ; j > 0 && d[order[j-1]] < d[i]; j-- {
			order[j] = order[j-1]
		}
		order[j] = i
	}
	values, vectors = make([]float64, n), make([]float64, n*n)
	for i, o := range order {
		values[i] = d[o]
		row, src := vectors[i*n:i*n+n], z[o*n:o*n+n]
		best := 0
		for j, x := range src {
			if math.Abs(x) > math.Abs(src[best]) {
				best = j
			}
		}
		sign := math.Copysign(1, src[best])
		for j, x := range src {
			row[j] = sign * x
		}
	}
	return values, vectors, nil
}

// householder turns x into the vector v of a reflector I - tau·v·vᵀ that maps
// the old x to (alpha, 0, 0, ...).
func householder(x []float64) (alpha, tau float64) {
	norm2 := dot64(x, x)
	if norm2-float64(x[0]*x[0]) == 0 {
		return x[0], 0
	}
	alpha = -math.Copysign(math.Sqrt(norm2), x[0])
	x[0] -= alpha
	return alpha, 2 / dot64(x, x)
}

// tridiagonalQL diagonalises the tridiagonal matrix (d, e) and applies the same
// rotations to the rows of z: EISPACK's tql2 with the vectors transposed, so
// that the inner loop runs along memory.
//
// What couples two parts is dropped when it is below the rounding error of the
// largest elements, which the reduction has made everywhere already. Measured
// against its neighbours alone it may never be small enough where they are
// nothing but rounding errors, as in a matrix of low rank.
func tridiagonalQL(d, e, z []float64) error {
	n := len(d)
	const maxIterations = 60
	negligible := 0.0
	for i := range n {
		negligible = max(negligible, 0x1p-53*(math.Abs(d[i])+math.Abs(e[i])))
	}
	for l := range n {
		for iteration := 0; ; iteration++ {
			m := l
			for m < n-1 && math.Abs(e[m]) > negligible {
				m++
			}
			if m == l {
				break
			}
			if iteration == maxIterations {
				return errors.New("trainer: eigenvalues: no convergence")
			}
			// Wilkinson's shift.
			g := (d[l+1] - d[l]) / (2 * e[l])
			r := hypot64(g, 1)
			g = d[m] - d[l] + e[l]/(g+math.Copysign(r, g))
			s, c, p := 1.0, 1.0, 0.0
			i := m - 1
			for ; i >= l; i-- {
				f, b := float64(s*e[i]), float64(c*e[i])
				r = hypot64(f, g)
				e[i+1] = r
				if r == 0 { // underflow: split and start again
					d[i+1] -= p
					e[m] = 0
					break
				}
				s, c = f/r, g/r
				g = d[i+1] - p
				r = float64((d[i]-g)*s) + float64(float64(2*c)*b)
				p = float64(s * r)
				d[i+1] = g + p
				g = float64(c*r) - b
				rotate(z[i*n:i*n+n], z[(i+1)*n:(i+1)*n+n], c, s)
			}
			if r == 0 && i >= l {
				continue
			}
			d[l] -= p
			e[l] = g
			e[m] = 0
		}
	}
	return nil
}

// rotate replaces rows (a, b) by (c·a - s·b, s·a + c·b).
func rotate(a, b []float64, c, s float64) {
	b = b[:len(a)]
	for k, x := range a {
		y := b[k]
		b[k] = float64(s*x) + float64(c*y)
		a[k] = float64(c*x) - float64(s*y)
	}
}

// rank2 is the row of the two-sided reflection A - v·pᵀ - p·vᵀ.
func rank2(row, v, p []float64, vi, pi float64) {
	v, p = v[:len(row)], p[:len(row)]
	for j := range row {
		row[j] -= float64(vi*p[j]) + float64(pi*v[j])
	}
}

func dot64(a, b []float64) float64 {
	a = a[:len(b)]
	var s0, s1, s2, s3 float64 // four chains hide the latency of an addition
	i := 0
	for ; i+4 <= len(b); i += 4 {
		s0 += float64(a[i] * b[i])
		s1 += float64(a[i+1] * b[i+1])
		s2 += float64(a[i+2] * b[i+2])
		s3 += float64(a[i+3] * b[i+3])
	}
	for ; i < len(b); i++ {
		s0 += float64(a[i] * b[i])
	}
	return (s0 + s1) + (s2 + s3)
}

func axpy64(y, x []float64, s float64) {
	x = x[:len(y)]
	for i := range y {
		y[i] += float64(s * x[i])
	}
}

// hypot64 is sqrt(a²+b²); the arguments here are far from overflow.
// math.Hypot has assembly of its own on some machines.
func hypot64(a, b float64) float64 {
	return math.Sqrt(float64(a*a) + float64(b*b))
}
