package kernels

import "math"

// Reductions have a fixed order, whatever the width of the machine. A slice is
// taken in blocks of reduceBlock elements. Within a block, element i goes to
// accumulator i%64, all of which start at +0, i ascending; then 32 pairs
// acc[j] += acc[j+32], 16 pairs acc[j] += acc[j+16], and so on leave the sum of
// the block in acc[0]. The sums of the blocks are added in order, starting from
// the first. Blocks bound both the rounding error and the time of a call.
const reduceBlock = 1 << 16

// Sum returns Σ x[i], and +0 for an empty slice.
func Sum(x []float32) float32 { return reduce1(active.sum, x) }

// SumSquares returns Σ x[i]², each square going into its accumulator with a
// multiply-add.
func SumSquares(x []float32) float32 { return reduce1(active.sumSquares, x) }

// Dot returns Σ a[i]·b[i], each product going into its accumulator with a
// multiply-add.
func Dot(a, b []float32) float32 { return reduce2("dot", active.dot, a, b) }

// SumSquaredDiff returns Σ (a[i]-b[i])², each difference rounded to float32,
// its square going into its accumulator with a multiply-add.
func SumSquaredDiff(a, b []float32) float32 {
	return reduce2("sumsquareddiff", active.sumSquaredDiff, a, b)
}

func reduce1(fn func(x []float32) float32, x []float32) float32 {
	if len(x) == 0 {
		return 0
	}
	n := min(reduceBlock, len(x))
	sum := fn(x[:n])
	for x = x[n:]; len(x) > 0; x = x[n:] {
		n = min(reduceBlock, len(x))
		sum += fn(x[:n])
	}
	return sum
}

func reduce2(op string, fn func(a, b []float32) float32, a, b []float32) float32 {
	checkSame(op, "second operand", len(b), len(a))
	if len(a) == 0 {
		return 0
	}
	n := min(reduceBlock, len(a))
	sum := fn(a[:n], b[:n])
	for a, b = a[n:], b[n:]; len(a) > 0; a, b = a[n:], b[n:] {
		n = min(reduceBlock, len(a))
		sum += fn(a[:n], b[:n])
	}
	return sum
}

// MaxAbs returns the largest |x[i]|, NaN left out, and +0 for an empty slice.
func MaxAbs(x []float32) float32 {
	var m float32
	for len(x) > 0 {
		n := min(reduceBlock, len(x))
		m = max32(active.maxAbs(x[:n]), m)
		x = x[n:]
	}
	return m
}

// AllFinite reports whether x holds neither infinities nor NaN.
func AllFinite(x []float32) bool {
	const exponent = 0x7f800000
	for _, v := range x {
		if math.Float32bits(v)&exponent == exponent {
			return false
		}
	}
	return true
}

// ColSum adds the sums of the columns of the m×n matrix x to dst. For each
// block of 256 rows, the last one shorter, every column starts at +0, adds its
// rows in order, and is added to dst[j] once. It is the gradient of a bias.
func ColSum(dst, x []float32, m, n int) {
	if m <= 0 || n <= 0 {
		return
	}
	checkLen("colsum", "dst", len(dst), n)
	checkLen("colsum", "x", len(x), m*n)
	for i := 0; i < m; i += gradBlock {
		rows := min(gradBlock, m-i)
		active.colSum(dst[:n], x[i*n:(i+rows)*n], rows, n)
	}
}
