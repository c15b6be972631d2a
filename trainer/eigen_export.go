package trainer

// SymmetricEigen returns the eigenvalues of the symmetric n×n matrix a, largest
// first, and the eigenvectors, of length one, as rows of an n×n matrix in the same
// order. a is overwritten. The result is the same on every machine and for any
// number of threads.
func SymmetricEigen(a []float64, n, threads int) (values, vectors []float64, err error) {
	return symmetricEigen(a, n, threads)
}
