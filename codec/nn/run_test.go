package nn_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/nn/nntest"
	"github.com/aecodec/aecodec/kernels"
)

func compile(t testing.TB, n *nn.Network, p nn.Params) *nn.Program {
	prog, err := nn.Compile(n, p)
	require.NoError(t, err)
	return prog
}

// copyOut copies results out of the arena.
func copyOut(ts []*nn.Tensor) []*nn.Tensor {
	var out []*nn.Tensor
	for _, t := range ts {
		c := *t
		c.Data = append([]float32(nil), t.Data...)
		out = append(out, &c)
	}
	return out
}

func requireSameBits(t testing.TB, want, got []*nn.Tensor, what string) {
	t.Helper()
	require.Len(t, got, len(want), what)
	for i := range want {
		require.Equal(t, want[i].Shape(), got[i].Shape(), what)
		for j, v := range want[i].Data {
			if math.Float32bits(v) != math.Float32bits(got[i].Data[j]) {
				require.Failf(t, "bits differ", "%s: output %d [%d]: %v, want %v", what, i, j, got[i].Data[j], v)
			}
		}
	}
}

// TestSameBits: Run, Trace, the network with every layer as an output (which
// forbids fusion and sharing of memory), any number of threads, any backend and
// any batch return the same bits.
func TestSameBits(t *testing.T) {
	for _, s := range append(nntest.Zoo(), tall()) {
		t.Run(s.Net.Name, func(t *testing.T) {
			p := s.Params()
			prog := compile(t, s.Net, p)
			naked := *s.Net
			for _, l := range s.Net.Layers {
				naked.Outputs = append(naked.Outputs, l.Name)
			}
			plain := compile(t, &naked, p)
			in := s.Batch(3)
			all, err := plain.Run(nn.NewArena(), 1, in...)
			require.NoError(t, err)
			want := copyOut(all[:len(s.Net.Outputs)])
			for _, o := range want {
				require.True(t, kernels.AllFinite(o.Data))
			}
			defer nn.CutFinely()()
			a := nn.NewArena()
			for _, backend := range kernels.Available() {
				restore := kernels.Active()
				require.NoError(t, kernels.Use(backend))
				counts := []int{2}
				if backend == restore {
					counts = []int{1, 2, 3, 7}
				}
				for _, threads := range counts {
					for range 2 { // memory reused
						got, err := prog.Run(a, threads, in...)
						require.NoError(t, err)
						requireSameBits(t, want, got, "run "+backend)
						tr, err := prog.Trace(a, threads, in...)
						require.NoError(t, err)
						requireSameBits(t, want, tr.Outputs(), "trace "+backend)
					}
				}
				require.NoError(t, kernels.Use(restore))
			}
			one := s.Batch(3)
			for i := range one {
				sh := one[i].Shape()
				one[i] = &nn.Tensor{1, sh.H, sh.W, sh.C, in[i].Image(1)}
			}
			got, err := prog.Run(a, 2, one...)
			require.NoError(t, err)
			for i := range got {
				w := *want[i]
				w.N, w.Data = 1, want[i].Image(1)
				requireSameBits(t, []*nn.Tensor{&w}, got[i:i+1], "single")
			}
		})
	}
}

// tall is a network on images that take several strips each.
func tall() nntest.Case {
	b := nn.NewBuilder("tall")
	x := b.Input("x", 16)
	x = b.HalfBlock("a", x, 0.1)
	x = b.Shuffle("up", b.Conv("wide", x, 32, nn.ConvOpts{}), 2)
	x = b.Depthwise("d", b.Symlog("s", x), 5)
	x = b.Leaky("l", b.Unshuffle("down", x, 2), 0.1)
	b.Output(b.Conv("out", x, 5, nn.ConvOpts{}))
	n, err := b.Build()
	if err != nil {
		panic(err)
	}
	return nntest.Case{Net: n, In: []nn.Shape{{H: 190, W: 5, C: 16}}}
}

// TestAgainstDefinition compares every layer with its definition.
func TestAgainstDefinition(t *testing.T) {
	for _, c := range append(nntest.Zoo(), nntest.Windows()...) {
		t.Run(c.Net.Name, func(t *testing.T) {
			p := c.Params()
			naked := *c.Net
			naked.Outputs = nil
			for _, l := range c.Net.Layers {
				naked.Outputs = append(naked.Outputs, l.Name)
			}
			in := c.Batch(2)
			got, err := compile(t, &naked, p).Run(nn.NewArena(), 1, in...)
			require.NoError(t, err)
			var wide []*nntest.Value
			for _, x := range in {
				wide = append(wide, nntest.Wide(x))
			}
			values := nntest.Evaluate(&naked, nntest.WideParams(p), wide)
			for i, l := range naked.Layers {
				want := values[l.Name]
				require.Equal(t, want.S, got[i].Shape(), l.Name)
				for j, v := range want.Data {
					require.InDelta(t, v, got[i].Data[j], 1e-5*(1+math.Abs(v)), "%s [%d]", l.Name, j)
				}
			}
		})
	}
}

func TestZooIsComplete(t *testing.T) {
	used := map[nn.Op]bool{}
	for _, s := range nntest.Zoo() {
		for _, l := range s.Net.Layers {
			used[l.Op] = true
		}
	}
	for _, op := range []nn.Op{nn.OpConv, nn.OpDeconv, nn.OpDepthwise, nn.OpDense, nn.OpLeaky, nn.OpReLU, nn.OpSigmoid, nn.OpTanh, nn.OpSoftplus,
		nn.OpSymlog, nn.OpIdentity, nn.OpMaxPool, nn.OpAvgPool, nn.OpUpsample, nn.OpShuffle, nn.OpUnshuffle, nn.OpAdd, nn.OpSub, nn.OpMul,
		nn.OpConcat, nn.OpSlice, nn.OpReshape, nn.OpFlatten, nn.OpChannelScale} {
		require.True(t, used[op], string(op))
	}
}

// TestSteadyState: after the first pass, passes allocate nothing.
func TestSteadyState(t *testing.T) {
	if raceEnabled {
		t.Skip("pools allocate under the race detector")
	}
	for _, s := range nntest.Zoo() {
		prog := compile(t, s.Net, s.Params())
		in := s.Batch(2)
		a := nn.NewArena()
		pass := func() {
			if _, err := prog.Run(a, 1, in...); err != nil {
				t.Fatal(err)
			}
			if _, err := prog.Trace(a, 1, in...); err != nil {
				t.Fatal(err)
			}
		}
		pass()
		require.Zero(t, testing.AllocsPerRun(5, pass), s.Net.Name)
	}
}

func TestRefresh(t *testing.T) {
	s := nntest.Zoo()[0]
	p := s.Params()
	prog := compile(t, s.Net, p)
	a := nn.NewArena()
	in := s.Batch(1)
	out, err := prog.Run(a, 1, in...)
	require.NoError(t, err)
	before := copyOut(out)
	for _, q := range p {
		for i := range q.Data {
			q.Data[i] *= 0.5
		}
	}
	out, _ = prog.Run(a, 1, in...)
	requireSameBits(t, before, out, "a program does not change by itself")
	prog.Refresh()
	out, _ = prog.Run(a, 1, in...)
	require.NotEqual(t, before[0].Data, out[0].Data)
	fresh, err := compile(t, s.Net, p).Run(nn.NewArena(), 1, in...)
	require.NoError(t, err)
	requireSameBits(t, fresh, out, "refresh")
}

func TestJSON(t *testing.T) {
	for _, s := range nntest.Zoo() {
		data, err := json.Marshal(s.Net)
		require.NoError(t, err)
		var n nn.Network
		require.NoError(t, json.Unmarshal(data, &n))
		require.Equal(t, *s.Net, n)
	}
}
