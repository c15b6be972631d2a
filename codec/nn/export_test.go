package nn

// CutFinely makes plans use strips of a few rows and a thread for every row,
// until the returned function is called.
func CutFinely() (restore func()) {
	a, b, c := stripBytes, stripPixels, threadWork
	stripBytes, stripPixels, threadWork = 8<<10, 1, 1
	return func() { stripBytes, stripPixels, threadWork = a, b, c }
}

// RowBatch makes Rows work on pieces of about n pixels, until the returned
// function is called.
func RowBatch(n int) (restore func()) {
	old := rowBatch
	rowBatch = n
	return func() { rowBatch = old }
}
