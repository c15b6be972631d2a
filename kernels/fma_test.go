package kernels

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// exactFMA computes x*y+z with big.Float. Zero and non-finite results, which
// big.Float does not have or does not sign as IEEE does, come from float64.
func exactFMA(x, y, z float32) float32 {
	s := float64(float64(x)*float64(y)) + float64(z)
	if s == 0 || math.IsInf(s, 0) || math.IsNaN(s) {
		return float32(s)
	}
	f := func(v float32) *big.Float { return new(big.Float).SetPrec(1000).SetFloat64(float64(v)) }
	sum := f(0).Mul(f(x), f(y))
	r, _ := sum.Add(sum, f(z)).Float32() // rounds once, to even
	return r
}

func TestFMA32NearTies(t *testing.T) {
	// The case of the literature: float32(math.FMA(…)) gives 0x3f800002.
	x, y := float32(1+0x1p-23), float32(0x1p-24*(1-0x1p-23))
	requireSame(t, []float32{math.Float32frombits(0x3f800001)}, []float32{FMA32(x, y, x)}, "near tie")

	rng := rand.New(rand.NewPCG(1, 2))
	wrong := 0
	for range 200_000 {
		// z has 24 bits, and x*y is half a unit of its last place, less 2^-46 of
		// that or so: (1+δ)(1-δ) = 1-δ².
		z := math.Float32frombits(rng.Uint32()&0x807fffff | uint32(40+rng.IntN(200))<<23)
		half := float32(math.Ldexp(float64(1-2*rng.IntN(2)), int(math.Float32bits(z)>>23&0xff)-127-24))
		delta := float32(rng.IntN(16)) * 0x1p-23
		a, b := 1+delta, (1-delta)*half
		want := exactFMA(a, b, z)
		requireSame(t, []float32{want}, []float32{FMA32(a, b, z)}, "fma(%x, %x, %x)", a, b, z)
		if !same(want, float32(math.FMA(float64(a), float64(b), float64(z)))) {
			wrong++
		}
	}
	if wrong < 10_000 {
		t.Errorf("only %d cases were hard", wrong)
	}
}

func TestFMA32Random(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for k := range kinds {
		for range 100_000 {
			x, y, z := value(rng, k), value(rng, k), value(rng, k)
			requireSame(t, []float32{exactFMA(x, y, z)}, []float32{FMA32(x, y, z)}, "fma(%x, %x, %x)", x, y, z)
		}
	}
}

// Results in the subnormal range have their midpoints elsewhere, where neither
// the low bits of the sum nor those of z show them.
func TestFMA32Subnormal(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	small := func() float32 {
		return math.Float32frombits(rng.Uint32()&0x80ffffff>>uint(rng.IntN(24)) | rng.Uint32()&0x80000000)
	}
	for range 200_000 {
		z := small()
		// A product around half of the smallest float32, 2^-150.
		x := math.Float32frombits(uint32(127-75)<<23 | rng.Uint32()&3 | rng.Uint32()&0x80000000)
		y := math.Float32frombits(uint32(127-76+rng.IntN(3))<<23 | rng.Uint32()&3)
		if rng.IntN(4) == 0 {
			y = math.Float32frombits(rng.Uint32()&0x7fffff | uint32(127-80+rng.IntN(10))<<23)
		}
		requireSame(t, []float32{exactFMA(x, y, z)}, []float32{FMA32(x, y, z)}, "fma(%x, %x, %x)", x, y, z)
	}
	requireSame(t, []float32{exactFMA(0x1p-75, 0x1.000002p-75, 0x1p-140)}, []float32{FMA32(0x1p-75, 0x1.000002p-75, 0x1p-140)}, "just above a midpoint")
}

// Overflow happens at a midpoint too: MaxFloat32 plus half of its last place.
func TestFMA32Overflow(t *testing.T) {
	big := float32(math.MaxFloat32)
	for _, c := range [][3]float32{
		{0x1p51, 0x1p52, big}, {0x1p51, 0x1.fffffep51, big}, {0x1.000002p51, 0x1.fffffep51, big},
		{big, big, -big}, {big, 1, 0x1p102}, {big, 1, 0x1.fffffep102}, {-big, 1, -0x1p103},
	} {
		requireSame(t, []float32{exactFMA(c[0], c[1], c[2])}, []float32{FMA32(c[0], c[1], c[2])}, "fma(%x)", c)
	}
}

func BenchmarkFMA32(b *testing.B) {
	x, acc := float32(0.75), float32(0)
	for b.Loop() {
		acc = FMA32(x, acc, 1)
	}
	sink = acc
}

var sink float32
