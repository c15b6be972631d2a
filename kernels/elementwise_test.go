package kernels

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// flat is one flat element-wise function in a common form: in[0] and the
// following are as long as dst, s are scalars.
type flat struct {
	name     string
	inputs   int
	entry    func(t *table) func(dst []float32, in [][]float32, s [2]float32)
	exported func(dst []float32, in [][]float32, s [2]float32)
	ref      func(x []float32, s [2]float32) float32 // one element, as documented
}

type (
	unaryFunc        = func(dst, x []float32)
	unaryScalarFunc  = func(dst, x []float32, s float32)
	binaryFunc       = func(dst, a, b []float32)
	binaryScalarFunc = func(dst, a, b []float32, s float32)
)

// flatten brings a function of any of these types into the form of flat.
func flatten(fn any) func(dst []float32, in [][]float32, s [2]float32) {
	switch f := fn.(type) {
	case unaryFunc:
		return func(dst []float32, in [][]float32, s [2]float32) { f(dst, in[0]) }
	case unaryScalarFunc:
		return func(dst []float32, in [][]float32, s [2]float32) { f(dst, in[0], s[0]) }
	case binaryFunc:
		return func(dst []float32, in [][]float32, s [2]float32) { f(dst, in[0], in[1]) }
	case binaryScalarFunc:
		return func(dst []float32, in [][]float32, s [2]float32) { f(dst, in[0], in[1], s[0]) }
	case func(dst, x []float32, lo, hi float32):
		return func(dst []float32, in [][]float32, s [2]float32) { f(dst, in[0], s[0], s[1]) }
	}
	panic("unknown type of function")
}

func flats() []flat {
	f := func(name string, inputs int, entry func(t *table) any, exported any, ref func(x []float32, s [2]float32) float32) flat {
		return flat{name, inputs, func(t *table) func([]float32, [][]float32, [2]float32) { return flatten(entry(t)) }, flatten(exported), ref}
	}
	return []flat{
		f("add", 2, func(t *table) any { return t.add }, Add, func(x []float32, s [2]float32) float32 { return x[0] + x[1] }),
		f("sub", 2, func(t *table) any { return t.sub }, Sub, func(x []float32, s [2]float32) float32 { return x[0] - x[1] }),
		f("mul", 2, func(t *table) any { return t.mul }, Mul, func(x []float32, s [2]float32) float32 { return x[0] * x[1] }),
		f("addscaled", 2, func(t *table) any { return t.addScaled }, AddScaled, func(x []float32, s [2]float32) float32 { return FMA32(x[1], s[0], x[0]) }),
		f("scale", 1, func(t *table) any { return t.scale }, Scale, func(x []float32, s [2]float32) float32 { return x[0] * s[0] }),
		f("lerp", 2, func(t *table) any { return t.lerp }, Lerp, func(x []float32, s [2]float32) float32 { return FMA32(s[0], x[1]-x[0], x[0]) }),
		f("leaky", 1, func(t *table) any { return t.leaky }, LeakyReLU, func(x []float32, s [2]float32) float32 {
			if y := float32(x[0] * s[0]); !(x[0] > y) {
				return y
			}
			return x[0]
		}),
		f("leakygrad", 2, func(t *table) any { return t.leakyGrad }, LeakyReLUGrad, func(x []float32, s [2]float32) float32 {
			if x[1] > 0 {
				return x[0]
			}
			return x[0] * s[0]
		}),
		f("relu", 1, func(t *table) any { return t.relu }, ReLU, func(x []float32, s [2]float32) float32 {
			if x[0] > 0 {
				return x[0]
			}
			return 0
		}),
		f("round", 1, func(t *table) any { return t.round }, Round, func(x []float32, s [2]float32) float32 {
			return float32(math.RoundToEven(float64(x[0])))
		}),
		f("sqrt", 1, func(t *table) any { return t.sqrt }, Sqrt, func(x []float32, s [2]float32) float32 {
			return float32(math.Sqrt(float64(x[0])))
		}),
		f("clamp", 1, func(t *table) any { return t.clamp }, Clamp, func(x []float32, s [2]float32) float32 {
			switch {
			case !(x[0] > s[0]):
				return s[0]
			case !(x[0] < s[1]):
				return s[1]
			}
			return x[0]
		}),
		f("exp", 1, func(t *table) any { return t.exp }, Exp, func(x []float32, s [2]float32) float32 { return exp32(x[0]) }),
		f("log", 1, func(t *table) any { return t.log }, Log, func(x []float32, s [2]float32) float32 { return log32(x[0]) }),
		f("sigmoid", 1, func(t *table) any { return t.sigmoid }, Sigmoid, func(x []float32, s [2]float32) float32 { return sigmoid32(x[0]) }),
		f("tanh", 1, func(t *table) any { return t.tanh }, Tanh, func(x []float32, s [2]float32) float32 { return tanh32(x[0]) }),
		f("softplus", 1, func(t *table) any { return t.softplus }, Softplus, func(x []float32, s [2]float32) float32 { return softplus32(x[0]) }),
		f("symlog", 1, func(t *table) any { return t.symlog }, Symlog, func(x []float32, s [2]float32) float32 { return symlog32(x[0]) }),
	}
}

// Scalars: a slope or weight for most functions, ascending limits for clamp.
var flatScalars = [][2]float32{{0.1, 0.9}, {0.25, 1}, {1, 3}, {0x1.000002p-1, 0.75}}

func TestFlatEntries(t *testing.T) {
	eachEntry(t, func(t *testing.T, b *table) {
		mem := newArena(t, 20)
		for _, f := range flats() {
			want, got := f.entry(&generic), f.entry(b)
			try := func(n int, values kind, alias int) {
				mem.reset()
				in := make([][]float32, f.inputs)
				for i := range in {
					in[i] = mem.random(n, values)
				}
				s := flatScalars[mem.rng.IntN(len(flatScalars))]
				w := mem.floats(n)
				want(w, in, s)
				g := mem.random(n, special)
				if alias < f.inputs {
					g = in[alias]
				}
				got(g, in, s)
				requireSame(t, w, g, "%s n=%d values=%v alias=%d s=%v", f.name, n, values, alias, s)
				mem.check(t)
			}
			for n := 1; n <= 300; n++ {
				for values := range kinds {
					try(n, values, mem.rng.IntN(3))
				}
			}
			try(chunk, wide, 0)
		}
	})
}

func TestFlat(t *testing.T) {
	eachBackend(t, func(t *testing.T) {
		mem := newArena(t, 21)
		for _, f := range flats() {
			for _, n := range []int{0, 1, 2, 15, 33, 100, chunk, chunk + 1, 2*chunk + 77} {
				mem.reset()
				values := kind(mem.rng.IntN(int(kinds)))
				in := make([][]float32, f.inputs)
				for i := range in {
					in[i] = mem.random(n, values)
				}
				s := flatScalars[mem.rng.IntN(len(flatScalars))]
				want := mem.floats(n)
				x := make([]float32, f.inputs)
				for i := range want {
					for j := range in {
						x[j] = in[j][i]
					}
					want[i] = f.ref(x, s)
				}
				dst := mem.random(n, special)
				if alias := mem.rng.IntN(3); alias < f.inputs {
					dst = in[alias]
				}
				f.exported(dst, in, s)
				requireSame(t, want, dst, "%s n=%d values=%v", f.name, n, values)
				mem.check(t)
			}
			in := [][]float32{make([]float32, 3), make([]float32, 3)}
			require.Panics(t, func() { f.exported(make([]float32, 4), in, [2]float32{}) }, f.name)
			require.Panics(t, func() { f.exported(make([]float32, 2), in, [2]float32{}) }, f.name)
		}
	})
}

func TestRowEntries(t *testing.T) {
	eachEntry(t, func(t *testing.T, b *table) {
		mem := newArena(t, 22)
		run := func(tb *table, which int, dst, x, v, u []float32) {
			switch which {
			case 0:
				tb.mulRows(dst, x, v)
			case 1:
				tb.addRows(dst, x, v)
			case 2:
				tb.fmaRows(dst, x, v, u)
			case 3:
				tb.dotRows(u, x, dst)
			}
		}
		for which, name := range []string{"mulRows", "addRows", "fmaRows", "dotRows"} {
			for n := 1; n <= 140; n++ {
				for range 4 {
					mem.reset()
					values := kind(mem.rng.IntN(int(kinds)))
					rows := 1 + mem.rng.IntN(9)
					x := mem.random(n*rows, values)
					v, u := mem.random(n, values), mem.random(n, values)
					dst := mem.random(n*rows, values)
					w, wu := mem.clone(dst), mem.clone(u)
					wx := x
					if mem.rng.IntN(3) == 0 && which < 3 {
						wx, x = mem.clone(x), dst
						copy(x, wx)
					}
					run(&generic, which, w, wx, v, wu)
					run(b, which, dst, x, v, u)
					requireSame(t, w, dst, "%s n=%d rows=%d values=%v", name, n, rows, values)
					requireSame(t, wu, u, "%s n=%d rows=%d values=%v", name, n, rows, values)
					mem.check(t)
				}
			}
		}
	})
}

func TestChannels(t *testing.T) {
	eachBackend(t, func(t *testing.T) {
		mem := newArena(t, 23)
		for _, n := range []int{1, 3, 16, 100, 1000, chunk + 5} {
			for _, rows := range []int{0, 1, 7, 40} {
				if n*rows > 4*chunk {
					continue
				}
				mem.reset()
				values := kind(mem.rng.IntN(int(kinds)))
				x, v, u := mem.random(n*rows, values), mem.random(n, values), mem.random(n, values)
				prod, sum, both := mem.floats(n*rows), mem.floats(n*rows), mem.floats(n*rows)
				for i := range x {
					prod[i] = x[i] * v[i%n]
					sum[i] = x[i] + v[i%n]
					both[i] = FMA32(x[i], v[i%n], u[i%n])
				}
				dst := mem.floats(n * rows)
				MulChannels(dst, x, v)
				requireSame(t, prod, dst, "mul n=%d rows=%d", n, rows)
				AddChannels(dst, x, v)
				requireSame(t, sum, dst, "add n=%d rows=%d", n, rows)
				FMAChannels(x, x, v, u)
				requireSame(t, both, x, "fma n=%d rows=%d", n, rows)
				mem.check(t)
			}
		}
		x := make([]float32, 10)
		require.Panics(t, func() { MulChannels(x, x, x[:3]) })
		require.Panics(t, func() { MulChannels(x, x, nil) })
		require.Panics(t, func() { AddChannels(x, x[:9], x[:1]) })
		require.Panics(t, func() { FMAChannels(x, x, x[:5], x[:2]) })
		require.NotPanics(t, func() { MulChannels(nil, nil, nil) })
	})
}

func TestAdamWEntry(t *testing.T) {
	eachEntry(t, func(t *testing.T, b *table) {
		mem := newArena(t, 24)
		for n := 1; n <= 200; n++ {
			for values := range kinds {
				mem.reset()
				var want, got [4][]float32
				for i := range want {
					want[i] = mem.random(n, values)
					got[i] = mem.clone(want[i])
				}
				p := &AdamParams{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Decay: 0.01, Correct1: 1.5, Correct2: 3, GradScale: 0.7}
				generic.adamW(want[0], want[1], want[2], want[3], p)
				b.adamW(got[0], got[1], got[2], got[3], p)
				for i := range want {
					requireSame(t, want[i], got[i], "operand %d n=%d values=%v", i, n, values)
				}
				mem.check(t)
			}
		}
	})
}

// AdamW against the textbook in float64.
func TestAdamW(t *testing.T) {
	eachBackend(t, func(t *testing.T) {
		const n = chunk + 100
		mem := newArena(t, 25)
		w, g := mem.random(n, plain), mem.random(n, plain)
		m, v := make([]float32, n), make([]float32, n)
		w64, m64, v64 := make([]float64, n), make([]float64, n), make([]float64, n)
		for i := range w {
			w64[i] = float64(w[i])
		}
		p := &AdamParams{LR: 1e-2, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, Decay: 0.1, GradScale: 0.5}
		for step := 1.0; step <= 5; step++ {
			p.Correct1 = float32(1 / (1 - math.Pow(0.9, step)))
			p.Correct2 = float32(1 / (1 - math.Pow(0.99, step)))
			AdamW(w, g, m, v, p)
			for i := range w64 {
				gi := float64(g[i]) * 0.5
				m64[i] = 0.9*m64[i] + 0.1*gi
				v64[i] = 0.99*v64[i] + 0.01*gi*gi
				mh, vh := m64[i]/(1-math.Pow(0.9, step)), v64[i]/(1-math.Pow(0.99, step))
				w64[i] -= 1e-2 * (mh/(math.Sqrt(vh)+1e-8) + 0.1*w64[i])
			}
		}
		for i := range w {
			if math.Abs(float64(w[i])-w64[i]) > 1e-5 {
				t.Fatalf("element %d is %v, want %v", i, w[i], w64[i])
			}
		}
	})
}

// The gradients against central differences of their functions.
func TestActivationGrads(t *testing.T) {
	eachBackend(t, func(t *testing.T) {
		var x, dy []float32
		for v := float32(-4.03); v < 4; v += 0.11 {
			x = append(x, v)
			dy = append(dy, 1+v/8)
		}
		n := len(x)
		y, dx, lo, hi := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)
		const h = 1.0 / 64
		for name, f := range map[string]struct {
			fn   func(dst, x []float32)
			grad func()
		}{
			"leaky":    {func(dst, x []float32) { LeakyReLU(dst, x, 0.1) }, func() { LeakyReLUGrad(dx, dy, y, 0.1) }},
			"leaky 0":  {func(dst, x []float32) { LeakyReLU(dst, x, 0) }, func() { LeakyReLUGrad(dx, dy, y, 0) }},
			"relu":     {ReLU, func() { ReLUGrad(dx, dy, y) }},
			"sigmoid":  {Sigmoid, func() { SigmoidGrad(dx, dy, y) }},
			"tanh":     {Tanh, func() { TanhGrad(dx, dy, y) }},
			"softplus": {Softplus, func() { SoftplusGrad(dx, dy, x) }},
			"symlog":   {Symlog, func() { SymlogGrad(dx, dy, x) }},
		} {
			f.fn(y, x)
			f.grad()
			Fill(hi, h)
			Add(hi, x, hi)
			f.fn(hi, hi)
			Fill(lo, h)
			Sub(lo, x, lo)
			f.fn(lo, lo)
			for i := range x {
				want := float64(dy[i]) * (float64(hi[i]) - float64(lo[i])) / (2 * h)
				if math.Abs(float64(dx[i])-want) > 2e-3 && math.Abs(float64(x[i])) > h {
					t.Errorf("%s: gradient at %v is %v, want %v", name, x[i], dx[i], want)
				}
			}
			inPlace := append([]float32(nil), dy...)
			want := append([]float32(nil), dx...)
			dx, dy, inPlace = inPlace, inPlace, dy
			f.grad() // dx aliases dy
			requireSame(t, want, dx, "%s in place", name)
			dy, dx = inPlace, want
		}
	})
}

func TestReLUSpecials(t *testing.T) {
	eachBackend(t, func(t *testing.T) {
		nan, inf, negZero := float32(math.NaN()), float32(math.Inf(1)), float32(math.Copysign(0, -1))
		x := []float32{nan, inf, -inf, 0, negZero, 1, -1}
		got := make([]float32, len(x))
		ReLU(got, x)
		requireSame(t, []float32{0, inf, 0, 0, 0, 1, 0}, got, "relu")
		LeakyReLU(got, x, 0)
		requireSame(t, []float32{0, inf, 0, 0, 0, 1, 0}, got, "leaky relu of slope 0")
		LeakyReLU(got, x, 0.5)
		requireSame(t, []float32{nan, inf, -inf, 0, negZero, 1, -0.5}, got, "leaky relu")
		Clamp(got, x, -0.5, 0.5)
		requireSame(t, []float32{-0.5, 0.5, -0.5, 0, negZero, 0.5, -0.5}, got, "clamp")
	})
}
