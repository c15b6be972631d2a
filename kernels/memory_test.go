package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// arena hands out slices for one test case at a time from memory that is fenced
// where the system allows (fence_*_test.go): a slice either ends where an
// unreadable page begins or begins where one ends, so that assembly that reads
// too far faults. The other side has canaries, which check compares.
type arena struct {
	fences []fence
	used   int
	rng    *rand.Rand
}

// fence is one fenced piece of memory and the slice cut from it.
type fence struct {
	all    []float32
	lo, hi int
}

const (
	fenceSize = 1 << 19 // elements
	canaries  = 64
	canary    = 0x7fbadbad
)

func newArena(t testing.TB, seed uint64) *arena {
	a := &arena{rng: rand.New(rand.NewPCG(seed, 0))}
	t.Cleanup(func() {
		for _, f := range a.fences {
			freeFenced(f.all)
		}
	})
	return a
}

// reset makes all memory available again.
func (a *arena) reset() { a.used = 0 }

// floats returns n elements of undefined content.
func (a *arena) floats(n int) []float32 {
	if a.used == len(a.fences) {
		a.fences = append(a.fences, fence{all: allocFenced(fenceSize)})
	}
	f := &a.fences[a.used]
	a.used++
	f.lo, f.hi = 0, n
	if a.rng.IntN(2) == 0 {
		f.lo, f.hi = fenceSize-n, fenceSize
	}
	for i := max(f.lo-canaries, 0); i < f.lo; i++ {
		f.all[i] = math.Float32frombits(canary)
	}
	for i := f.hi; i < min(f.hi+canaries, fenceSize); i++ {
		f.all[i] = math.Float32frombits(canary)
	}
	return f.all[f.lo:f.hi:f.hi]
}

// random returns n elements of the given kind.
func (a *arena) random(n int, k kind) []float32 {
	x := a.floats(n)
	fill(a.rng, x, k)
	return x
}

// clone returns a copy of x.
func (a *arena) clone(x []float32) []float32 {
	y := a.floats(len(x))
	copy(y, x)
	return y
}

// check fails the test when a canary has changed.
func (a *arena) check(t testing.TB) {
	t.Helper()
	for _, f := range a.fences[:a.used] {
		for i := max(f.lo-canaries, 0); i < min(f.hi+canaries, fenceSize); i++ {
			if (i < f.lo || i >= f.hi) && math.Float32bits(f.all[i]) != canary {
				t.Fatalf("element %d of a slice of %d was written", i-f.lo, f.hi-f.lo)
			}
		}
	}
}

// kind is a distribution of test values.
type kind int

const (
	plain   kind = iota // uniform in [-1, 1)
	wide                // all magnitudes, finite
	ties                // products and sums fall on and beside midpoints
	special             // zeros, subnormals, infinities, NaN, the largest numbers
	kinds
)

func (k kind) String() string { return [...]string{"plain", "wide", "ties", "special"}[k] }

var specials = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5,
	math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, 0x1p-127, -0x1.8p-130,
	0x1p-126, -0x1p-126, 0x1.fffffep-127, math.MaxFloat32, -math.MaxFloat32,
	float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
	0x1p23, 0x1p24, 0x1.000002p0, -0x1.fffffep-1, 8388607.5, 88.8, -88.8, -103.9, 1e-8, 0.625,
}

func fill(rng *rand.Rand, x []float32, k kind) {
	for i := range x {
		x[i] = value(rng, k)
	}
}

func value(rng *rand.Rand, k kind) float32 {
	switch k {
	case wide:
		for {
			if v := math.Float32frombits(rng.Uint32()); !isNaN(v) && !isInf(v) {
				return v
			}
		}
	case ties:
		// Few significant bits at the top and at the bottom of the significand.
		u := uint32(127-24*rng.IntN(3))<<23 | rng.Uint32()&0x80000003 | rng.Uint32()&3<<21
		if rng.IntN(2) == 0 {
			u ^= 0x7ffffc // or the complement, 1.11…1xx
		}
		return math.Float32frombits(u)
	case special:
		if rng.IntN(2) == 0 {
			return specials[rng.IntN(len(specials))]
		}
	}
	return rng.Float32()*2 - 1
}

func isNaN(x float32) bool { return x != x }
func isInf(x float32) bool { return x > math.MaxFloat32 || x < -math.MaxFloat32 }

// same reports whether two results are equal by the contract: the same bits, or
// both NaN.
func same(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || isNaN(a) && isNaN(b)
}

// requireSame fails with the first difference between two results.
func requireSame(t testing.TB, want, got []float32, format string, args ...any) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("%s: %d elements, want %d", fmt.Sprintf(format, args...), len(got), len(want))
	}
	for i := range want {
		if !same(want[i], got[i]) {
			t.Fatalf("%s: element %d of %d is %v (%#08x), want %v (%#08x)", fmt.Sprintf(format, args...), i, len(want),
				got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

// eachBackend runs a subtest with every backend of this machine selected.
func eachBackend(t *testing.T, fn func(t *testing.T)) {
	previous := active
	defer func() { active = previous }()
	for _, b := range backends {
		active = b
		t.Run(b.name, fn)
	}
}

// eachEntry runs a subtest for every backend above generic, whose tables are to
// be compared with it.
func eachEntry(t *testing.T, fn func(t *testing.T, b *table)) {
	if len(backends) == 1 {
		t.Skip("only the generic backend can run here")
	}
	for _, b := range backends[1:] {
		t.Run(b.name, func(t *testing.T) { fn(t, b) })
	}
}
