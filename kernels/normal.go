package kernels

import (
	"math"
	"sync"
)

// Float64 functions that give the same bits on every machine. Those of package
// math do not: some are assembly on some architectures, and the compiler fuses
// multiplications with additions where it can, even across inlined calls. Here
// every product is converted to float64 before it is added or returned, so only
// single IEEE operations remain.

// pFloor is the least probability, and zFloor about the number of standard
// deviations where a narrow Gaussian reaches it: Phi(-5.29) = 2^-24.
const (
	pFloor = 0x1p-24
	zFloor = 5.29
)

// floorD and floorS are the derivatives of the bits below pFloor: with respect
// to d, times σ, and to log σ. The generator of the assembly reads them, and
// does not know package math.
const (
	log2e64 = 1.44269504088896340735992468100189214 // 1/ln 2
	floorD  = zFloor * log2e64
	floorS  = -zFloor * zFloor * log2e64
)

// NormalBits computes the cost in bits of integers under Gaussians that have
// been integrated over steps of one: for every i, with σ = e^logSigma[i] and
// Phi the normal distribution function,
//
//	p = max(Phi((d[i]+½)/σ) - Phi((d[i]-½)/σ), 2^-24)
//	bits[i] = -log2 p
//	dd[i] = ∂bits[i]/∂d[i]
//	ds[i] = ∂bits[i]/∂logSigma[i]
//
// d is a symbol minus its mean and need not be an integer. Where p is at the
// floor, the derivatives are those of a tail that goes on log-linearly: towards
// d = 0 with a slope of 5.29/(σ ln 2), and towards larger σ. Outputs that are
// nil are skipped. NaN gives NaN.
//
// 1/σ and -log2 p are computed in float32 with Exp and Log, the rest in float64,
// so the errors are those of a few float32 roundings.
func NormalBits(bits, dd, ds, d, logSigma []float32) {
	checkSame("normalbits", "logSigma", len(logSigma), len(d))
	for _, out := range [...][]float32{bits, dd, ds} {
		if out != nil {
			checkSame("normalbits", "output", len(out), len(d))
		}
	}
	const piece = 1024 // elements, to stay in the first-level cache
	t := tails()
	s := getScratch()
	for i := 0; i < len(d); i += piece {
		n := min(piece, len(d)-i)
		inv, rec, unused := grow(&s.a, n), grow(&s.b, n), grow(&s.c, n)
		active.scale(inv, logSigma[i:i+n], -1)
		active.exp(inv, inv)
		part := func(out []float32) []float32 {
			if out == nil {
				return unused
			}
			return out[i : i+n]
		}
		active.normal(rec, part(dd), part(ds), d[i:i+n], inv, t)
		if bits != nil {
			active.log(rec, rec)
			active.scale(bits[i:i+n], rec, log2e)
		}
	}
	s.release()
}

// normalGeneric is the specification of the normal entry.
func normalGeneric(rec, dd, ds, d, inv []float32, t *tailTable) {
	dd, ds, d, inv = dd[:len(rec)], ds[:len(rec)], d[:len(rec)], inv[:len(rec)]
	for i := range rec {
		r, gd, gs := t.symbol(float64(d[i]), float64(inv[i]))
		rec[i], dd[i], ds[i] = float32(r), float32(gd), float32(gs)
	}
}

// tailTable holds the upper tail Q(z) = 1-Phi(z) and the density φ(z) of the
// normal distribution at multiples of 1/tailStep.
type tailTable [tailMax*tailStep + 1]struct{ q, f float64 }

const (
	tailMax  = 8 // Q(8) is 6e-16: nothing beside 2^-24
	tailStep = 64
)

var tails = sync.OnceValue(newTailTable)

func newTailTable() *tailTable {
	t := new(tailTable)
	for i := range t {
		z := float64(i) / tailStep
		t[i].q, t[i].f = Phi(-z), gauss(z)*invSqrt2Pi
	}
	return t
}

// at returns Q(z) and φ(z) for z >= 0 from the Taylor series at the nearest
// entry, whose first terms left out are below 3e-10 of φ.
//
//	Q(z+h) = Q(z) - φ(z)·(h - z·h²/2 + (z²-1)·h³/6 - (z³-3z)·h⁴/24 + …)
//	φ(z+h) = φ(z)·exp(-w), w = h·(z + h/2)
func (t *tailTable) at(z float64) (q, f float64) {
	if !(z < tailMax) {
		return 0, 0
	}
	i := int(float64(z*tailStep) + 0.5)
	e := &t[i]
	c := float64(i) / tailStep
	h := z - c
	w := float64(h * (c + float64(h*0.5)))
	f = mad(w, -1.0/120, 1.0/24)
	f = mad(f, w, -1.0/6)
	f = mad(f, w, 0.5)
	f = mad(f, w, -1)
	f = float64(e.f * mad(f, w, 1))
	c2 := float64(c * c)
	q = mad(float64(c*(3-c2)), float64(h*(1.0/24)), float64((c2-1)*(1.0/6)))
	q = mad(q, h, float64(c*-0.5))
	q = mad(q, h, 1)
	return e.q - float64(e.f*float64(q*h)), f
}

// symbol computes 1/p and the derivatives of NormalBits for one element, given
// inv = 1/σ.
func (t *tailTable) symbol(d, inv float64) (rec, dd, ds float64) {
	// The distribution is even, and differences of upper tails lose nothing:
	// p = Q(lo) - Q(hi) with Q(z) = 1-Phi(z).
	x := math.Abs(d)
	lo, hi := (x-0.5)*inv, (x+0.5)*inv
	if hi != hi {
		return hi, hi, hi
	}
	qLo, fLo := t.at(math.Abs(lo))
	qHi, fHi := t.at(hi)
	if lo < 0 {
		qLo = 1 - qLo
	}
	p := qLo - qHi
	if p < pFloor {
		return 1 / pFloor, math.Copysign(floorD*inv, d), floorS
	}
	rec = 1 / p
	scale := log2e64 * rec
	dd = math.Copysign(float64((fLo-fHi)*inv)*scale, d)
	ds = (float64(hi*fHi) - float64(lo*fLo)) * scale
	return rec, dd, ds
}

const invSqrt2Pi = 0.39894228040143267794

// gauss returns e^(-z²/2).
func gauss(z float64) float64 { return Exp64(float64(z*z) * -0.5) }

// upperTail returns 1-Phi(z) for z >= 0, given e = gauss(z), to 1e-15: Hart's
// rational approximation 5666 and, further out, a continued fraction, as put
// together by G. West, "Better approximations to cumulative normal functions",
// Wilmott, May 2005. Relative to the value it is right to 2e-13 up to z = 4 and
// 3e-9 up to 7.
func upperTail(z, e float64) float64 {
	if !(z < 7.07106781186547) {
		return float64(mills(z, 4) * float64(e*invSqrt2Pi))
	}
	n := mad(3.52624965998911e-02, z, 0.700383064443688)
	n = mad(n, z, 6.37396220353165)
	n = mad(n, z, 33.912866078383)
	n = mad(n, z, 112.079291497871)
	n = mad(n, z, 221.213596169931)
	n = mad(n, z, 220.206867912376)
	d := mad(8.83883476483184e-02, z, 1.75566716318264)
	d = mad(d, z, 16.064177579207)
	d = mad(d, z, 86.7807322029461)
	d = mad(d, z, 296.564248779674)
	d = mad(d, z, 637.333633378831)
	d = mad(d, z, 793.826512519948)
	d = mad(d, z, 440.413735824752)
	return float64(e*n) / d
}

// mad returns a*b + c, rounded twice.
func mad(a, b, c float64) float64 { return float64(a*b) + c }

// mills returns (1-Phi(z))/φ(z) from n terms of its continued fraction.
func mills(z float64, n int) float64 {
	t := z + 0.65
	for k := n; k > 0; k-- {
		t = z + float64(k)/t
	}
	return 1 / t
}

// Phi returns the standard normal distribution function, right to 3e-13 of its
// value, the same bits everywhere.
func Phi(x float64) float64 {
	z, e := math.Abs(x), gauss(x)
	q := upperTail(z, e)
	if z > 4 { // the tail has to be right relative to its value
		q = float64(mills(z, 24) * float64(e*invSqrt2Pi))
	}
	if x > 0 {
		return 1 - q
	}
	return q
}

const (
	ln2Hi64 = 6.93147180369123816490e-01
	ln2Lo64 = 1.90821492927058770002e-10
)

// Exp64 returns e^x, to within one unit of the last place, the same bits
// everywhere. The method and the constants are those of FreeBSD's e_exp.c.
func Exp64(x float64) float64 {
	const (
		overflow  = 7.09782712893383973096e+02
		underflow = -7.45133219101941108420e+02
		p1        = 1.66666666666666657415e-01
		p2        = -2.77777777770155933842e-03
		p3        = 6.61375632143793436117e-05
		p4        = -1.65339022054652515390e-06
		p5        = 4.13813679705723846039e-08
	)
	switch {
	case x != x:
		return x
	case x > overflow:
		return math.Inf(1)
	case x < underflow:
		return 0
	}
	half := math.Copysign(0.5, x)
	k := int(mad(math.Log2E, x, half))
	hi := x - float64(float64(k)*ln2Hi64)
	lo := float64(k) * ln2Lo64
	r := hi - float64(lo)
	t := r * r
	c := mad(p5, t, p4)
	c = mad(c, t, p3)
	c = mad(c, t, p2)
	c = mad(c, t, p1)
	c = r - float64(c*t)
	y := 1 - ((float64(lo) - float64(r*c)/(2-c)) - hi)
	if k < -1021 {
		return float64(y * pow2f64(k+54) * 0x1p-54)
	}
	return float64(y * 2 * pow2f64(k-1))
}

// pow2f64 returns 2^n for -1022 <= n <= 1023.
func pow2f64(n int) float64 { return math.Float64frombits(uint64(n+1023) << 52) }

// Log64 returns ln x, to within one unit of the last place, the same bits
// everywhere: -Inf for zeros, NaN below zero. The method and the constants are
// those of FreeBSD's e_log.c.
func Log64(x float64) float64 {
	const (
		l1 = 6.666666666666735130e-01
		l2 = 3.999999999940941908e-01
		l3 = 2.857142874366239149e-01
		l4 = 2.222219843214978396e-01
		l5 = 1.818357216161805012e-01
		l6 = 1.531383769920937332e-01
		l7 = 1.479819860511658591e-01
	)
	switch {
	case x != x || x > math.MaxFloat64:
		return x
	case x < 0:
		return math.NaN()
	case x == 0:
		return math.Inf(-1)
	}
	e := 0
	if x < 0x1p-1022 {
		x, e = x*0x1p54, -54
	}
	// x = 2^e·m with sqrt(1/2) <= m < sqrt(2).
	const sqrtHalf64 = 0x3fe6a09e667f3bcd
	u := math.Float64bits(x) - sqrtHalf64
	e += int(int64(u) >> 52)
	m := math.Float64frombits(u&(1<<52-1) + sqrtHalf64)
	f, k := m-1, float64(e)
	s := f / (2 + f)
	z := float64(s * s)
	w := float64(z * z)
	odd := mad(mad(mad(l7, w, l5), w, l3), w, l1)
	even := mad(mad(l6, w, l4), w, l2)
	r := float64(z*odd) + float64(w*even)
	h := float64(0.5 * f * f)
	return float64(k*ln2Hi64) - ((h - (float64(s*(h+r)) + float64(k*ln2Lo64))) - f)
}
