// Package kernels is the arithmetic of the codec: matrix products,
// convolutions, pooling, element-wise functions and reductions on slices of
// float32, forward and backward. It knows no networks.
//
// # Contract
//
// Every function has exactly one right answer, to the last bit, stated in its
// comment, and every backend returns it on every machine. The rules are:
//
//   - A matrix product or convolution has one accumulator per output. It starts
//     at the bias, at +0 or at the old output, and takes one multiply-add with a
//     single rounding per term, in ascending order of k (for convolutions ky, kx,
//     channel). Zero operands are not skipped, and padding takes part as +0; only
//     the taps that a stride leaves out of a transposed convolution do not exist.
//   - Vector lanes and threads run over independent outputs only.
//   - Sums over many elements use a fixed number of accumulators and a fixed tree
//     (see Sum), gradients of weights fixed blocks of rows (see GEMMTN).
//   - max(a, b) is a > b ? a : b and min(a, b) is a < b ? a : b, as the
//     instructions of amd64 have it: b where either is NaN.
//   - Division and square root are those of IEEE 754. The elementary functions
//     are polynomials of our own, specified operation by operation in math32.go.
//   - Integers are exact: sums of 8-bit and of 16-bit products are formed without
//     saturation, modulo 2^32, and do not overflow for the sizes and weights that
//     int8.go bounds. They are rescaled to 16 and 8 bits by a fixed-point
//     multiplication whose rounding and saturation int8.go defines to the bit.
//   - Whether a result is NaN is part of the contract, the bits of the NaN are not.
//
// So results can be compared for equality, a backend can be swapped at any time,
// and decoding and training give the same bits everywhere.
//
// # Data
//
// Images are NHWC without the N: rows of pixels of contiguous channels. "Rows" of
// a flat slice are pixels with their channels. Slices must be as long as their
// sizes say; a shorter one panics, as an index out of range would. Drivers
// allocate nothing in the steady state: they take scratch memory from a pool.
//
// # Backends
//
// Exported functions are drivers. They check sizes, cut the work into tiles, rows
// and flat pieces, and hand these to the entries of a table of functions (table.go).
// There is one table for each backend:
//
//	generic  portable Go, the specification (generic*.go, math32.go, fma.go)
//	avx2     amd64 with AVX2 and FMA
//	avx512   amd64 with AVX-512 F, BW, DQ and VL; VNNI where there is
//	neon     arm64
//
// The best one that the machine can run is chosen when the program starts. The
// environment variable AECODEC_KERNELS forces one by name, the build tag purego
// leaves generic only.
//
// To add an entry: add a field to table, its portable version to generic.go with
// the semantics in its comment, call it from a driver, and add it to the
// conformance tests, which compare every entry of every backend with generic. To
// add a backend: fill a table in a file of its own and return it from the function
// that lists the tables of that architecture. Entries left nil are inherited from
// the backend below.
package kernels
