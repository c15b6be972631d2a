package kernels

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExp64Log64(t *testing.T) {
	rng := rand.New(rand.NewPCG(50, 0))
	relative := func(got, want float64) float64 {
		if got == want {
			return 0
		}
		return math.Abs(got-want) / math.Max(math.Abs(want), 0x1p-1022)
	}
	for range 200_000 {
		x := rng.Float64()*(745+709) - 745 // math.Exp overflows early on amd64
		require.LessOrEqual(t, relative(Exp64(x), math.Exp(x)), 0x1p-51, x)
		y := math.Float64frombits(1<<52 + rng.Uint64N(0x7fe<<52)) // positive, normal
		require.LessOrEqual(t, relative(Log64(y), math.Log(y)), 0x1p-51, y)
		z := 1 + rng.Float64()/16 - 1.0/32
		require.LessOrEqual(t, relative(Log64(z), math.Log(z)), 0x1p-51, z)
	}
	inf := math.Inf(1)
	for _, x := range []float64{0, 1, inf, -inf, 709, 709.79, -745.13, -745.14, -708.4, -1e-300, 1e-20} {
		require.LessOrEqual(t, relative(Exp64(x), math.Exp(x)), 0x1p-51, x)
	}
	for _, x := range []float64{0, 1, inf, math.MaxFloat64} {
		require.LessOrEqual(t, relative(Log64(x), math.Log(x)), 0x1p-51, x)
	}
	require.InEpsilon(t, 1.7975620997022108e308, Exp64(709.78264), 1e-9)
	// math.Log is wrong for subnormal numbers on amd64.
	require.Equal(t, -1074*math.Ln2, Log64(math.SmallestNonzeroFloat64))
	require.InDelta(t, math.Log(0x1.9p-1000)-50*math.Ln2, Log64(0x1.9p-1050), 1e-12)
	require.True(t, math.IsNaN(Exp64(math.NaN())))
	require.True(t, math.IsNaN(Log64(math.NaN())))
	require.True(t, math.IsNaN(Log64(-1)))
}

func TestPhi(t *testing.T) {
	for x := -37.0; x < 10; x += 0.0137 {
		want := math.Erfc(-x/math.Sqrt2) / 2
		if math.Abs(Phi(x)-want) > 3e-13*want {
			t.Fatalf("Phi(%v) = %v, want %v", x, Phi(x), want)
		}
	}
	require.Equal(t, 0.5, Phi(0))
	require.Equal(t, 1.0, Phi(math.Inf(1)))
	require.Equal(t, 0.0, Phi(math.Inf(-1)))
	require.True(t, math.IsNaN(Phi(math.NaN())))
}

// exactBits is the definition, with math.Erfc, in the lower tail.
func exactBits(d, logSigma float64) float64 {
	phi := func(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }
	sigma := math.Exp(logSigma)
	p := phi((0.5-math.Abs(d))/sigma) - phi((-0.5-math.Abs(d))/sigma)
	return -math.Log2(math.Max(p, 0x1p-24))
}

func TestNormalBits(t *testing.T) {
	var d, s []float32
	for _, sigma := range []float64{0.05, 0.11, 0.3, 1, 2.5, 20, 256} {
		for x := -6 * math.Max(sigma, 0.6); x < 6*math.Max(sigma, 0.6); x += sigma * 0.0731 {
			d = append(d, float32(x))
			s = append(s, float32(math.Log(sigma)))
		}
	}
	n := len(d)
	bits, dd, ds := make([]float32, n), make([]float32, n), make([]float32, n)
	NormalBits(bits, dd, ds, d, s)
	floored := 0
	for i := range d {
		x, l := float64(d[i]), float64(s[i])
		require.InDelta(t, exactBits(x, l), float64(bits[i]), 4e-6, "d=%v σ=%v", x, math.Exp(l))
		if bits[i] >= 23.99999 {
			floored++
			require.Equal(t, x > 0, dd[i] > 0)
			require.Negative(t, ds[i])
			continue
		}
		h := 1e-4 * math.Exp(l)
		if exactBits(x-h, l) == 24 || exactBits(x+h, l) == 24 || exactBits(x, l-1e-4) == 24 {
			continue
		}
		wantD := (exactBits(x+h, l) - exactBits(x-h, l)) / (2 * h)
		wantS := (exactBits(x, l+1e-4) - exactBits(x, l-1e-4)) / 2e-4
		require.InDelta(t, wantD, float64(dd[i]), 1e-4*(1+math.Abs(wantD)), "d=%v σ=%v", x, math.Exp(l))
		require.InDelta(t, wantS, float64(ds[i]), 1e-4*(1+math.Abs(wantS)), "d=%v σ=%v", x, math.Exp(l))
	}
	require.Greater(t, floored, 10)

	nan := []float32{float32(math.NaN()), 1}
	NormalBits(dd[:2], nil, nil, nan, []float32{0, float32(math.NaN())})
	require.True(t, isNaN(dd[0]) && isNaN(dd[1]))
	NormalBits(bits, dd, ds, d, s)

	only := make([]float32, n)
	NormalBits(only, nil, nil, d, s)
	requireSame(t, bits, only, "bits alone")
	NormalBits(nil, only, nil, d, s)
	requireSame(t, dd, only, "dd alone")
	NormalBits(nil, nil, only, d, s)
	requireSame(t, ds, only, "ds alone")

	inPlace := append([]float32(nil), d...)
	NormalBits(nil, inPlace, nil, inPlace, s)
	requireSame(t, dd, inPlace, "dd in place of d")
}

func TestNormalEntry(t *testing.T) {
	eachEntry(t, func(t *testing.T, b *table) {
		mem := newArena(t, 53)
		try := func(n int, d, inv func() float32) {
			mem.reset()
			var want, got [3][]float32
			for i := range want {
				want[i], got[i] = mem.floats(n), mem.floats(n)
			}
			x, y := mem.floats(n), mem.floats(n)
			for i := range x {
				x[i], y[i] = d(), abs32(inv())
			}
			generic.normal(want[0], want[1], want[2], x, y, tails())
			b.normal(got[0], got[1], got[2], x, y, tails())
			for i, name := range []string{"1/p", "dd", "ds"} {
				requireSame(t, want[i], got[i], "%s n=%d", name, n)
			}
			mem.check(t)
		}
		likely := func() float32 { return float32(mem.rng.NormFloat64()) * exp32(mem.rng.Float32()*8-4) }
		for n := 1; n <= 70; n++ {
			for values := range kinds {
				random := func() float32 { return value(mem.rng, values) }
				try(n, random, random)
				try(n, likely, random)
				try(n, random, likely)
			}
		}
		// Symbols as they occur, and the ends of the table.
		for range 200 {
			try(1024, likely, func() float32 { return exp32(mem.rng.Float32()*8 - 5) })
			sigma := exp32(mem.rng.Float32()*4 - 2)
			try(64, func() float32 { return (tailMax + 2*mem.rng.Float32() - 1) * sigma }, func() float32 { return 1 / sigma })
			try(64, func() float32 { return float32(mem.rng.IntN(2048))/(2*tailStep) - 0.5 }, func() float32 { return 1 })
		}
	})
}

// The probabilities of all integers add up to one.
func TestNormalBitsSum(t *testing.T) {
	for _, sigma := range []float64{0.2, 1, 7} {
		for _, mean := range []float64{0, 0.3, -0.5} {
			sum := 0.0
			for k := -60.0; k <= 60; k++ {
				if rec, _, _ := tails().symbol(k-mean, 1/sigma); rec < 1/pFloor {
					sum += 1 / rec
				}
			}
			require.InDelta(t, 1, sum, 1e-5)
		}
	}
}

// Bits that every machine must reproduce.
func TestNormalGolden(t *testing.T) {
	eachBackend(t, testNormalGolden)
}

func testNormalGolden(t *testing.T) {
	rng := rand.New(rand.NewPCG(51, 0))
	hash := uint64(14695981039346656037)
	add := func(u uint64) { hash = (hash ^ u) * 1099511628211 }
	for range 10_000 {
		x := float64(rng.Float64()*20) - 10
		for _, v := range []float64{Phi(x), Exp64(x * 30), Log64(math.Abs(x))} {
			add(math.Float64bits(v))
		}
		d := []float32{float32(x)}
		s := []float32{float32(rng.Float32()*8) - 2}
		var out [3]float32
		NormalBits(out[0:1], out[1:2], out[2:3], d, s)
		for _, v := range out {
			add(uint64(math.Float32bits(v)))
		}
	}
	require.Equal(t, uint64(0x849848e72856b234), hash)
}

func BenchmarkNormalBits(b *testing.B) {
	rng := rand.New(rand.NewPCG(52, 0))
	const n = 1 << 14
	d, s := make([]float32, n), make([]float32, n)
	for i := range d {
		s[i] = rng.Float32()*6 - 2
		d[i] = float32(rng.NormFloat64()) * exp32(s[i])
	}
	bits, dd, ds := make([]float32, n), make([]float32, n), make([]float32, n)
	b.SetBytes(4 * n)
	for b.Loop() {
		NormalBits(bits, dd, ds, d, s)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/symbol")
}
