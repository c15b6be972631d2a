package kernels

import "math"

// Elementary functions. They are part of the contract: every backend carries
// out the operations below one by one, in this order, each rounded to float32
// once. Only operations occur that all instruction sets have and that have one
// right result: multiply-add, add, multiply, divide, rounding to integer (even),
// comparison with selection, and integer arithmetic on the bits. Both sides of a
// selection may be computed. Errors are in units of the last place of the exact
// result; TestElementaryAccuracy measures them.
//
// The polynomials are minimax fits (Remez) of relative error, the coefficients
// rounded to float32 one after another, the rest fitted again each time.

const (
	log2e  = float32(1.4426950408889634)
	ln2Hi  = float32(0.693147180559945309417) // nearest float32 of ln 2 …
	ln2Lo  = float32(-1.90465432614e-09)      // … and what it lacks
	expMin = float32(-104)                    // below ln 2^-150: rounds to 0
	expMax = float32(89)                      // above ln 2^128: overflows
	expC2  = float32(0.5)
	expC3  = float32(0x1.555466p-3)
	expC4  = float32(0x1.5552fep-5)
	expC5  = float32(0x1.1257d2p-7)
	expC6  = float32(0x1.6ff254p-10)
)

// exp32 returns e^x within 1 ulp, subnormal results included.
//
//	x = n·ln 2 + r, e^x = 2^n·e^r, the power of two applied in two steps
func exp32(x float32) float32 {
	x = max32(expMin, x) // this order keeps NaN
	x = min32(expMax, x)
	n := round32(x * log2e)
	r := FMA32(n, -ln2Hi, x)
	r = FMA32(n, -ln2Lo, r)
	p := FMA32(expC6, r, expC5)
	p = FMA32(p, r, expC4)
	p = FMA32(p, r, expC3)
	p = FMA32(p, r, expC2)
	p = FMA32(p, r, 1)
	p = FMA32(p, r, 1)
	i := int32(n) // any value where n is NaN: p is NaN too
	h := i >> 1
	return float32(float32(p*pow2(h)) * pow2(i-h))
}

// pow2 returns 2^n for -126 <= n <= 127.
func pow2(n int32) float32 { return math.Float32frombits(uint32(n+127) << 23) }

const (
	sqrtHalf = uint32(0x3f3504f3) // bits of sqrt(1/2)
	logP0    = float32(0x1.555554p-2)
	logP1    = float32(-0x1.000226p-2)
	logP2    = float32(0x1.99a01cp-3)
	logP3    = float32(-0x1.54728ap-3)
	logP4    = float32(0x1.22d92ep-3)
	logP5    = float32(-0x1.0d8242p-3)
	logP6    = float32(0x1.055ec4p-3)
	logP7    = float32(-0x1.38c9d4p-4)

	log1pSplit = float32(0x1.a8279ap-2) // sqrt(2)-1
)

// log32 returns ln x within 1 ulp: -Inf for zeros, NaN below zero. x = 2^k·m with
// sqrt(1/2) <= m < sqrt(2), and the rest is logSum.
func log32(x float32) float32 {
	v, k := x, int32(0)
	if x < 0x1p-126 { // subnormal, zero or negative
		v, k = x*0x1p23, -23
	}
	u := math.Float32bits(v) - sqrtHalf
	k += int32(u) >> 23
	m := math.Float32frombits(u&0x7fffff + sqrtHalf)
	r := logSum(m-1, float32(k))
	if !(x < inf32) { // +Inf or NaN
		r = x
	}
	if x < 0 {
		r = nan32
	}
	if x == 0 {
		r = -inf32
	}
	return r
}

// logSum returns k·ln 2 + ln(1+f) for sqrt(1/2)-1 <= f < sqrt(2)-1, with
// ln(1+f) = f - f²/2 + f³·P(f).
func logSum(f, k float32) float32 {
	p := FMA32(logP7, f, logP6)
	p = FMA32(p, f, logP5)
	p = FMA32(p, f, logP4)
	p = FMA32(p, f, logP3)
	p = FMA32(p, f, logP2)
	p = FMA32(p, f, logP1)
	p = FMA32(p, f, logP0)
	z := f * f
	y := float32(f*z) * p
	y = FMA32(k, ln2Lo, y)
	y = FMA32(-0.5, z, y)
	y = f + y
	return FMA32(k, ln2Hi, y)
}

// log1pUnit32 returns ln(1+x) for 0 <= x <= 1. Above sqrt(2)-1 it is
// ln 2 + ln(1+f) with f = (x-1)/2.
func log1pUnit32(x float32) float32 {
	f, k := x, float32(0)
	if x > log1pSplit {
		f, k = (x-1)*0.5, 1
	}
	return logSum(f, k)
}

// sigmoid32 returns 1/(1+e^-x) within 2.5 ulp, from the exponential of -|x|,
// which cannot overflow.
func sigmoid32(x float32) float32 {
	e := exp32(-abs32(x))
	n := e
	if x >= 0 {
		n = 1
	}
	return n / (1 + e)
}

const (
	tanhMin = float32(0.625) // below: x + x³·P(x²)
	tanhP0  = float32(-0x1.55553ap-2)
	tanhP1  = float32(0x1.110844p-3)
	tanhP2  = float32(-0x1.b85a38p-5)
	tanhP3  = float32(0x1.52cb40p-6)
	tanhP4  = float32(-0x1.7863cep-8)
)

// tanh32 returns tanh x within 1.5 ulp. From 0.625 on it is 1 - 2/(e^2|x|+1).
func tanh32(x float32) float32 {
	a := abs32(x)
	t := 1 - 2/(exp32(a+a)+1)
	if a < tanhMin {
		z := a * a
		p := FMA32(tanhP4, z, tanhP3)
		p = FMA32(p, z, tanhP2)
		p = FMA32(p, z, tanhP1)
		p = FMA32(p, z, tanhP0)
		t = FMA32(a*z, p, a)
	}
	return copysign32(t, x)
}

// softplus32 returns ln(1+e^x) within 2 ulp, as max(x, 0) + ln(1+e^-|x|).
func softplus32(x float32) float32 {
	return max32(x, 0) + log1pUnit32(exp32(-abs32(x)))
}

// symlog32 returns sign(x)·ln(1+|x|), the sum 1+|x| rounded to float32.
func symlog32(x float32) float32 {
	return copysign32(log32(1+abs32(x)), x)
}

var (
	inf32 = math.Float32frombits(0x7f800000)
	nan32 = math.Float32frombits(0x7fc00000)
)

func abs32(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

// copysign32 returns |x| with the sign bit of s.
func copysign32(x, s float32) float32 {
	return math.Float32frombits(math.Float32bits(x)&^(1<<31) | math.Float32bits(s)&(1<<31))
}
