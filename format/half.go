package format

import "math"

// Float16Bits returns the IEEE 754 binary16 number nearest to f, ties to even:
// values from 65520 on become infinite, NaN stays NaN.
func Float16Bits(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b >> 16 & 0x8000)
	b &^= 1 << 31
	switch {
	case b > 0x7f800000: // NaN: keep the top of the payload, stay NaN
		return sign | 0x7e00 | uint16(b>>13)&0x03ff
	case b >= 0x47800000: // 65536 and more
		return sign | 0x7c00
	case b < 0x38800000: // below 2^-14: subnormal or zero
		// Adding 0.5 aligns the last bit of the result, 2^-24, with the last bit
		// of the float32 sum, which rounds as wanted.
		sum := math.Float32frombits(b) + 0.5
		return sign | uint16(math.Float32bits(sum)-0x3f000000)
	}
	// Rebias the exponent and round the 13 bits that go; a carry into the
	// exponent is right, up to infinity.
	b += 0xfff + b>>13&1 - (127-15)<<23
	return sign | uint16(b>>13)
}

// Float16FromBits returns the value of an IEEE 754 binary16 number.
func Float16FromBits(h uint16) float32 {
	if e := h & 0x7c00; e != 0 && e != 0x7c00 {
		return math.Float32frombits(uint32(h&0x8000)<<16 | uint32(h&0x7fff)<<13 + (127-15)<<23)
	}
	// Exponent and mantissa in place for a float32 make a number that is too
	// small by 2^112, subnormal ones included, for which this product is exact.
	b := uint32(h&0x7fff) << 13
	f := math.Float32bits(math.Float32frombits(b) * 0x1p112)
	if b >= 0x7c00<<13 {
		f = b | 0x7f800000 // infinity and NaN
	}
	return math.Float32frombits(f | uint32(h&0x8000)<<16)
}

// RoundFloat16 rounds every element of x to the nearest binary16 value.
func RoundFloat16(x []float32) {
	for i, v := range x {
		x[i] = Float16FromBits(Float16Bits(v))
	}
}
