package kernels

import (
	"flag"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

var sweep = flag.Uint64("sweep", 40009, "test the elementary functions on every n-th float32")

// Errors of the elementary functions against float64, in units of the last
// place, on a sample of all exponents and both signs; -sweep=1 takes all float32.
func TestElementaryAccuracy(t *testing.T) {
	step := *sweep
	for _, f := range []struct {
		name  string
		fn    func(float32) float32
		exact func(float64) float64
		limit float64
	}{
		{"exp", exp32, math.Exp, 1},
		{"log", log32, math.Log, 1},
		{"sigmoid", sigmoid32, func(x float64) float64 {
			if x < 0 { // without cancellation or overflow
				return math.Exp(x) / (1 + math.Exp(x))
			}
			return 1 / (1 + math.Exp(-x))
		}, 2.5},
		{"tanh", tanh32, math.Tanh, 1.5},
		{"softplus", softplus32, func(x float64) float64 { return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }, 2},
	} {
		worst, at := 0.0, float32(0)
		for u := uint64(0); u < 1<<32; u += step {
			x := math.Float32frombits(uint32(u))
			got, want := f.fn(x), f.exact(float64(x))
			if isNaN(got) || math.IsNaN(want) || isInf(got) {
				if !same(got, float32(want)) {
					t.Fatalf("%s(%v) = %v, want %v", f.name, x, got, want)
				}
				continue
			}
			if e := ulps(got, want); e > worst {
				worst, at = e, x
			}
		}
		t.Logf("%s: %.3f ulp at %v (%x)", f.name, worst, at, at)
		require.LessOrEqual(t, worst, f.limit, f.name)
	}
}

// Entries of one operand over the same sample.
func TestUnarySweep(t *testing.T) {
	step := *sweep
	eachEntry(t, func(t *testing.T, b *table) {
		const n = 1 << 14
		x, want, got := make([]float32, n), make([]float32, n), make([]float32, n)
		for _, f := range flats() {
			if f.inputs > 1 {
				continue
			}
			for u := uint64(0); u < 1<<32; u += n * step {
				for i := range x {
					x[i] = math.Float32frombits(uint32(u + uint64(i)*step))
				}
				in := [][]float32{x}
				f.entry(&generic)(want, in, flatScalars[0])
				f.entry(b)(got, in, flatScalars[0])
				requireSame(t, want, got, "%s", f.name)
			}
		}
	})
}

// ulps returns |got-want| in units of the last place of a float32 near want.
func ulps(got float32, want float64) float64 {
	_, e := math.Frexp(want)
	return math.Abs(float64(got)-want) / math.Ldexp(1, max(e-24, -149))
}

func TestElementarySpecials(t *testing.T) {
	nan, inf, negZero := float32(math.NaN()), float32(math.Inf(1)), float32(math.Copysign(0, -1))
	for _, c := range []struct {
		fn      func(float32) float32
		x, want float32
	}{
		{exp32, nan, nan}, {exp32, inf, inf}, {exp32, -inf, 0}, {exp32, 0, 1}, {exp32, negZero, 1}, {exp32, 88.73, inf}, {exp32, -103.98, 0},
		{exp32, 1, math.E}, {exp32, -103.9, math.SmallestNonzeroFloat32},
		{log32, nan, nan}, {log32, inf, inf}, {log32, -inf, nan}, {log32, -1, nan}, {log32, 0, -inf}, {log32, negZero, -inf}, {log32, 1, 0},
		{sigmoid32, nan, nan}, {sigmoid32, inf, 1}, {sigmoid32, -inf, 0}, {sigmoid32, 0, 0.5}, {sigmoid32, negZero, 0.5},
		{tanh32, nan, nan}, {tanh32, inf, 1}, {tanh32, -inf, -1}, {tanh32, 0, 0}, {tanh32, negZero, negZero},
		{softplus32, nan, nan}, {softplus32, inf, inf}, {softplus32, -inf, 0}, {softplus32, 0, math.Ln2},
		{symlog32, nan, nan}, {symlog32, inf, inf}, {symlog32, -inf, -inf}, {symlog32, 0, 0}, {symlog32, negZero, negZero},
		{symlog32, math.E - 1, 1}, {symlog32, 1 - math.E, -1},
	} {
		requireSame(t, []float32{c.want}, []float32{c.fn(c.x)}, "f(%v)", c.x)
	}
}
