package nn_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/nn/nntest"
)

// compareRows computes rows lo to hi of the outputs by rows, from the first
// sample of in, and compares them with want. It reports whether the network
// allows it.
func compareRows(t testing.TB, prog *nn.Program, r *nn.Rows, shapes []nn.Shape, in, want []*nn.Tensor, lo, hi int) bool {
	next := -1
	err := r.Start(prog, shapes, lo, hi, func(y int, dst [][]float32) {
		require.True(t, next < 0 || y == next, "row %d after %d", y, next-1)
		next = y + 1
		for i, d := range dst {
			if d != nil {
				copy(d, in[i].Image(0)[y*len(d):][:len(d)])
			}
		}
	})
	if err != nil {
		return false
	}
	at := lo
	for a, b := r.Next(); a < b; a, b = r.Next() {
		require.Equal(t, at, a)
		for y := a; y < b; y++ {
			for i, o := range want {
				row := o.W * o.C
				w := nn.Tensor{N: 1, H: 1, W: o.W, C: o.C, Data: o.Image(0)[y*row:][:row]}
				g := w
				g.Data = r.Row(i, y)
				requireSameBits(t, []*nn.Tensor{&w}, []*nn.Tensor{&g}, prog.Network().Name)
			}
		}
		at = b
	}
	require.Equal(t, hi, at)
	return true
}

// TestRows: any rows of the outputs, computed a few at a time, are those of the
// whole image.
func TestRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	byRows := 0
	for _, c := range append(append(nntest.Zoo(), nntest.Windows()...), tall(), lagging(), checkerboard()) {
		in := c.Batch(1)
		prog := compile(t, c.Net, c.Params())
		out, err := prog.Run(nn.NewArena(), 1, in...)
		require.NoError(t, err)
		r := new(nn.Rows)
		if !compareRows(t, prog, r, c.In, in, out, 0, out[0].H) {
			continue
		}
		byRows++
		for _, batch := range []int{1, 7, 40, 96, 1000} {
			restore := nn.RowBatch(batch)
			for range 12 {
				lo := rng.IntN(out[0].H)
				require.True(t, compareRows(t, prog, r, c.In, in, out, lo, lo+1+rng.IntN(out[0].H-lo)))
			}
			restore()
		}
	}
	require.Greater(t, byRows, 50)
}

// lagging has values that are read at once and again many rows later, shuffles
// that join convolutions and shuffles that do not, an input that nothing reads,
// and an output that is also an input.
func lagging() nntest.Case {
	b := nn.NewBuilder("lagging")
	x := b.Input("x", 32)
	b.Input("idle", 3)
	z := b.Input("z", 32)
	wide := b.Depthwise("d5", b.Depthwise("d7", x, 7), 5)
	far := b.Add("far", b.Conv("c3", wide, 32, nn.ConvOpts{Kernel: 3}), x)
	up := b.Shuffle("up", b.Leaky("l", b.Conv("to", far, 64, nn.ConvOpts{}), 0.1), 2)
	odd := b.Shuffle("odd", b.Conv("todd", z, 24, nn.ConvOpts{}), 2)
	both := b.Concat("both", up, odd, b.Upsample("near", b.Slice("some", x, 3, 8), 2))
	v := b.Unary("same", nn.OpIdentity, b.Conv("c5", both, 20, nn.ConvOpts{Kernel: 5}))
	v = b.Mul("mul", v, b.Unary("gate", nn.OpSigmoid, v))
	down := b.Unshuffle("down", v, 2)
	sum := b.Sub("sub", b.Conv("mix", down, 32, nn.ConvOpts{}), far)
	b.Output(sum, z, b.Unary("scale", nn.OpChannelScale, far))
	n, err := b.Build()
	if err != nil {
		panic(err)
	}
	in := nn.Shape{H: 37, W: 5, C: 32}
	return nntest.Case{Net: n, In: []nn.Shape{in, {H: 37, W: 5, C: 3}, in}}
}

// checkerboard is the photo model's context network in small: an input that is
// only added at the end, after layers that look ahead.
func checkerboard() nntest.Case {
	b := nn.NewBuilder("checkerboard")
	h, ya, ma := b.Input("h", 12), b.Input("ya", 24), b.Input("ma", 24)
	v := b.Depthwise("gather", b.Conv("squeeze", ya, 12, nn.ConvOpts{}), 5)
	v = b.Conv("merge", b.Concat("both", v, h), 12, nn.ConvOpts{})
	v = b.HalfBlock("b0", b.Leaky("act", v, 0.1), 0.1)
	b.Output(b.Add("mn", b.Conv("mean", v, 24, nn.ConvOpts{}), ma))
	n, err := b.Build()
	if err != nil {
		panic(err)
	}
	return nntest.Case{Net: n, In: []nn.Shape{{H: 30, W: 4, C: 12}, {H: 30, W: 4, C: 24}, {H: 30, W: 4, C: 24}}}
}

// TestRowsMemory: memory does not grow with the height, and a second run of any
// height allocates nothing but its plan.
func TestRowsMemory(t *testing.T) {
	c := tall()
	prog := compile(t, c.Net, c.Params())
	r := new(nn.Rows)
	pass := func(h int) {
		in := []nn.Shape{{H: h, W: c.In[0].W, C: c.In[0].C}}
		require.NoError(t, r.Start(prog, in, 0, h, func(y int, dst [][]float32) { clear(dst[0]) }))
		for lo, hi := r.Next(); lo < hi; lo, hi = r.Next() {
		}
	}
	pass(400)
	size := r.Bytes()
	pass(1000)
	require.InEpsilon(t, size, r.Bytes(), 0.1, "beginnings and ends may fit each other less well")
	if !raceEnabled { // pools allocate under the race detector
		require.LessOrEqual(t, testing.AllocsPerRun(5, func() { pass(1000) }), 1., "the function")
	}
}

func TestRowsErrors(t *testing.T) {
	c := tall()
	prog := compile(t, c.Net, c.Params())
	r := new(nn.Rows)
	require.EqualError(t, r.Start(prog, c.In, 90, 191, nil), `nn: network "tall": rows: 90 to 191 of 190`)
	require.EqualError(t, r.Start(prog, nil, 0, 1, nil), `nn: network "tall": rows: 0 inputs given, want 1`)
	require.ErrorContains(t, r.Start(prog, []nn.Shape{{H: 2, W: 2, C: 15}}, 0, 1, nil), "channels")
	require.NoError(t, r.Start(prog, c.In, 0, 1, nil))
	require.ErrorContains(t, r.Start(prog, nil, 0, 1, nil), "0 inputs given")
}
