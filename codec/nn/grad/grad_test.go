package grad_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/nn/grad"
	"github.com/aecodec/aecodec/codec/nn/nntest"
	"github.com/aecodec/aecodec/kernels"
)

// setup traces a case and draws gradients of its outputs.
func setup(t testing.TB, c nntest.Case, batch int) (prog *nn.Program, p nn.Params, in, dOut []*nn.Tensor) {
	p = c.Params()
	prog, err := nn.Compile(c.Net, p)
	require.NoError(t, err)
	in = c.Batch(batch)
	out, err := prog.Run(nn.NewArena(), 1, in...)
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(8, 9))
	for _, o := range out {
		dOut = append(dOut, nntest.Random(r, o.N, o.Shape()))
	}
	return prog, p, in, dOut
}

func backward(t testing.TB, prog *nn.Program, a *nn.Arena, threads int, in, dOut []*nn.Tensor, p nn.Params, want ...bool) ([]*nn.Tensor, nn.Params) {
	tr, err := prog.Trace(a, threads, in...)
	require.NoError(t, err)
	g := p.ZeroLike()
	dIn, err := grad.Backward(tr, a, threads, dOut, g, want...)
	require.NoError(t, err)
	return dIn, g
}

// TestFiniteDifferences compares directional derivatives of every parameter
// and every input with central differences of the float64 reference.
func TestFiniteDifferences(t *testing.T) {
	for _, c := range append(nntest.Zoo(), nntest.Windows()...) {
		t.Run(c.Net.Name, func(t *testing.T) {
			prog, p, in, dOut := setup(t, c, 2)
			dIn, g := backward(t, prog, nn.NewArena(), 1, in, dOut, p)

			p64 := nntest.WideParams(p)
			var in64 []*nntest.Value
			for _, x := range in {
				in64 = append(in64, nntest.Wide(x))
			}
			loss := func() float64 {
				values := nntest.Evaluate(c.Net, p64, in64)
				sum := 0.0
				for i, name := range c.Net.Outputs {
					for j, v := range values[name].Data {
						sum += v * float64(dOut[i].Data[j])
					}
				}
				return sum
			}
			r := rand.New(rand.NewPCG(6, 7))
			check := func(what string, x []float64, g []float32) {
				require.Len(t, g, len(x), what)
				at := append([]float64(nil), x...)
				for trial := range 4 {
					dir := make([]float64, len(x))
					if trial == 0 {
						for i := range dir {
							dir[i] = 2*r.Float64() - 1
						}
					} else {
						dir[r.IntN(len(dir))] = 1
					}
					const eps = 1e-6
					move := func(s float64) float64 {
						for i := range x {
							x[i] = at[i] + s*dir[i]
						}
						return loss()
					}
					want := (move(eps) - move(-eps)) / (2 * eps)
					copy(x, at)
					got, size := 0.0, 0.0
					for i, v := range g {
						got += float64(v) * dir[i]
						size += math.Abs(float64(v) * dir[i])
					}
					require.InDelta(t, want, got, 1e-5*size+1e-5, "%s, direction %d", what, trial)
				}
			}
			for i, port := range c.Net.Inputs {
				check(port.Name, in64[i].Data, dIn[i].Data)
			}
			for _, name := range p.Names() {
				check(name, p64[name], g[name].Data)
			}
		})
	}
}

func requireSameBits(t testing.TB, want, got []float32, what string) {
	t.Helper()
	require.Len(t, got, len(want), what)
	for i, v := range want {
		if math.Float32bits(v) != math.Float32bits(got[i]) {
			require.Failf(t, "bits differ", "%s [%d]: %v, want %v", what, i, got[i], v)
		}
	}
}

// TestSameBits: gradients do not depend on the number of threads, the backend
// or what the arena was used for before.
func TestSameBits(t *testing.T) {
	for _, c := range nntest.Zoo() {
		t.Run(c.Net.Name, func(t *testing.T) {
			prog, p, in, dOut := setup(t, c, 3)
			dIn, want := backward(t, prog, nn.NewArena(), 1, in, dOut, p)
			defer grad.CutFinely()()
			a := nn.NewArena()
			restore := kernels.Active()
			for _, backend := range kernels.Available() {
				require.NoError(t, kernels.Use(backend))
				counts := []int{2}
				if backend == restore {
					counts = []int{1, 2, 3, 7}
				}
				for _, threads := range counts {
					d, g := backward(t, prog, a, threads, in, dOut, p)
					for i := range d {
						requireSameBits(t, dIn[i].Data, d[i].Data, backend)
					}
					for name := range g {
						requireSameBits(t, want[name].Data, g[name].Data, backend+" "+name)
					}
				}
			}
			require.NoError(t, kernels.Use(restore))
		})
	}
}

// TestSelection: gradients that are not asked for are not there, and the
// others do not change.
func TestSelection(t *testing.T) {
	for _, c := range nntest.Zoo() {
		t.Run(c.Net.Name, func(t *testing.T) {
			prog, p, in, dOut := setup(t, c, 1)
			dIn, g := backward(t, prog, nn.NewArena(), 1, in, dOut, p)

			none := make([]bool, len(in))
			d, g2 := backward(t, prog, nn.NewArena(), 1, in, dOut, p, none...)
			for i := range d {
				require.Nil(t, d[i])
			}
			for name := range g {
				requireSameBits(t, g[name].Data, g2[name].Data, name)
			}

			a := nn.NewArena()
			tr, err := prog.Trace(a, 1, in...)
			require.NoError(t, err)
			d, err = grad.Backward(tr, a, 1, dOut, nil)
			require.NoError(t, err)
			for i := range d {
				requireSameBits(t, dIn[i].Data, d[i].Data, "inputs only")
			}

			// Parameters that are missing stay out of it; the others add up.
			some := g.ZeroLike()
			for i, name := range g.Names() {
				if i%2 == 0 {
					delete(some, name)
				}
			}
			for range 2 {
				_, err = grad.Backward(tr, a, 1, dOut, some)
				require.NoError(t, err)
			}
			for name := range some {
				for i, v := range g[name].Data {
					require.InEpsilon(t, 1+math.Abs(float64(2*v)), 1+math.Abs(float64(some[name].Data[i])), 1e-4, name)
				}
			}

			// Without any output gradient everything is zero.
			d, err = grad.Backward(tr, a, 1, make([]*nn.Tensor, len(dOut)), nil)
			require.NoError(t, err)
			for i := range d {
				require.Zero(t, kernels.MaxAbs(d[i].Data))
			}
		})
	}
}

// TestRefresh: the turned weights follow the parameters.
func TestRefresh(t *testing.T) {
	c := nntest.Zoo()[0]
	prog, p, in, dOut := setup(t, c, 1)
	a := nn.NewArena()
	backward(t, prog, a, 1, in, dOut, p)
	for _, q := range p {
		kernels.Scale(q.Data, q.Data, 0.75)
	}
	prog.Refresh()
	d, g := backward(t, prog, a, 1, in, dOut, p)
	fresh, err := nn.Compile(c.Net, p)
	require.NoError(t, err)
	want, wantG := backward(t, fresh, nn.NewArena(), 1, in, dOut, p)
	requireSameBits(t, want[0].Data, d[0].Data, "input")
	for name := range g {
		requireSameBits(t, wantG[name].Data, g[name].Data, name)
	}
}

func TestErrors(t *testing.T) {
	c := nntest.Zoo()[0]
	prog, p, in, dOut := setup(t, c, 1)
	a := nn.NewArena()
	tr, err := prog.Trace(a, 1, in...)
	require.NoError(t, err)
	_, err = grad.Backward(tr, a, 1, nil, nil)
	require.EqualError(t, err, `grad: network "blocks": 0 output gradients given, want 1`)
	_, err = grad.Backward(tr, a, 1, dOut, nil, true, true)
	require.EqualError(t, err, `grad: network "blocks": 2 flags for inputs given, want 1`)
	_, err = grad.Backward(tr, a, 1, []*nn.Tensor{nn.NewTensor(1, 1, 1, 20)}, nil)
	require.EqualError(t, err, `grad: network "blocks": gradient of output "b.out" is 1x1x1x20, want 1x4x5x20`)
	g := p.ZeroLike()
	g["blocks.a.dw.bias"] = nn.NewParam("blocks.a.dw.bias", 3)
	_, err = grad.Backward(tr, a, 1, dOut, g)
	require.EqualError(t, err, `grad: gradient of parameter "blocks.a.dw.bias" has 3 numbers, want 20`)
}
