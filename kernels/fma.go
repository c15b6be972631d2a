package kernels

import "math"

// The portable fused multiply-add. A product of two float32 is exact in
// float64, so one float64 addition followed by the conversion to float32 is
// right unless rounding twice differs from rounding once. That takes a first
// rounding that lands exactly on the midpoint of two float32 (low 29 bits of
// the significand equal to 1 and 28 zeros), or a result in the subnormal range
// of float32, where the midpoints lie higher. Both are rare and go through
// roundToOdd. float32(math.FMA(x, y, z)) on float64 has the same flaw.
const (
	tieMask   = 1<<29 - 1              // bits of a float64 significand that float32 has not
	tieBits   = 1 << 28                // their pattern halfway between two float32
	minNormal = uint64(1023-126) << 52 // bits of 2^-126, the smallest normal float32
	signBit64 = uint64(1) << 63
)

// FMA32 returns x*y + z rounded once, to nearest, ties to even, as the FMA
// instructions of amd64 and arm64 do, on every machine.
func FMA32(x, y, z float32) float32 {
	p := float64(float64(x) * float64(y))
	s := p + float64(z)
	if u := math.Float64bits(s); u&tieMask == tieBits || u&^signBit64 < minNormal {
		s = roundToOdd(p, float64(z), s)
	}
	return float32(s)
}

// fmaSlice computes dst[i] = FMA32(x[i], y[i], z[i]) for all of dst. FMA32 is
// written out, as it is too large for the compiler to inline; that halves the
// time.
func fmaSlice(dst, x, y, z []float32) {
	x, y, z = x[:len(dst)], y[:len(dst)], z[:len(dst)]
	for i := range dst {
		p := float64(float64(x[i]) * float64(y[i]))
		a := float64(z[i])
		s := p + a
		if u := math.Float64bits(s); u&tieMask == tieBits || u&^signBit64 < minNormal {
			s = roundToOdd(p, a, s)
		}
		dst[i] = float32(s)
	}
}

// roundToOdd takes s, the rounded sum of p and z, and returns p+z rounded to
// odd instead: an inexact sum goes to whichever neighbour has an odd last bit,
// so that no information is lost that a later rounding to at most 51 bits
// needs (S. Boldo and G. Melquiond, "Emulation of FMA and correctly rounded
// sums: proved algorithms using rounding to odd", IEEE Trans. Comput. 57(4),
// 2008). The error of the sum is Knuth's TwoSum.
func roundToOdd(p, z, s float64) float64 {
	zz := s - p
	e := (p - (s - zz)) + (z - zz)
	if e == 0 || e != e { // exact, or not finite
		return s
	}
	u := math.Float64bits(s)
	if u&1 != 0 {
		return s
	}
	if (e > 0) == (s > 0) {
		return math.Float64frombits(u + 1)
	}
	return math.Float64frombits(u - 1)
}
