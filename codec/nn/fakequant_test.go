package nn_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec/nn"
)

// A network that rounds on the way is nearer to its integers than the network
// itself is, though not the same: the 16-bit sums before a rounding are not those in
// floats, and some that lie between two bytes go to the other one.
func TestFakeQuantise(t *testing.T) {
	c := renderer(t)
	p := c.Params()
	ranges, o := calibrated(t, c, p)
	q, err := c.Net.Quantise(p, ranges, o)
	require.NoError(t, err)
	steps, err := c.Net.ByteSteps(p, ranges, o)
	require.NoError(t, err)
	f, err := c.Net.FakeQuantise(steps, o.Wide)
	require.NoError(t, err)
	shadow, err := f.Shadow(p)
	require.NoError(t, err)

	in := []*nn.Tensor{{N: 1, H: c.In[0].H, W: c.In[0].W, C: c.In[0].C, Data: c.Batch(3)[0].Image(0)}}
	got := naiveIntegers(c.Net, q, in)["x"].r
	floats := func(net *nn.Network, p nn.Params) []float32 {
		out, err := compile(t, net, p).Run(nn.NewArena(), 1, in...)
		require.NoError(t, err)
		return out[0].Data
	}
	scale := o.Outputs["x"]
	distance := func(x []float32) (sum float64) {
		for i, v := range x {
			// The output's own bytes are no part of the network that rounds.
			b := math.Round(float64(v)/scale.Step + scale.Zero)
			d := float64(asByte(got[i], q.Offset["x"][i%len(q.Offset["x"])])) - min(max(b, 0), 255)
			sum += d * d
		}
		return sum / float64(len(x))
	}
	plain, rounded := distance(floats(c.Net, p)), distance(floats(f.Network, shadow))
	t.Logf("mean square in output bytes: %.3f without rounding, %.3f with", plain, rounded)
	require.Less(t, rounded, plain/2)

	// Weights of 8 bits follow those that are trained; others are the same tensors.
	const name = "renderer.s0.ff1.weight"
	before := shadow[name].Data[5]
	p[name].Data[5] += 1
	f.RoundWeights(shadow, p)
	require.InDelta(t, p[name].Data[5], shadow[name].Data[5], 0.1)
	require.NotEqual(t, before, shadow[name].Data[5])
	require.Same(t, p["renderer.lin.weight"], shadow["renderer.lin.weight"])
	require.Same(t, p["renderer.s0.dw.weight"], shadow["renderer.s0.dw.weight"])

	delete(steps, "s0.mix")
	_, err = c.Net.FakeQuantise(steps, o.Wide)
	require.ErrorContains(t, err, `no steps of "s0.mix"`)
}

// The floats that integers stand for are the parameters, as far as they were
// rounded: those of the network that trains for them.
func TestIntegersFloats(t *testing.T) {
	c := renderer(t)
	p := c.Params()
	ranges, o := calibrated(t, c, p)
	q, err := c.Net.Quantise(p, ranges, o)
	require.NoError(t, err)
	floats, err := q.Floats(c.Net)
	require.NoError(t, err)
	steps, err := c.Net.ByteSteps(p, ranges, o)
	require.NoError(t, err)
	f, err := c.Net.FakeQuantise(steps, o.Wide)
	require.NoError(t, err)
	shadow, err := f.Shadow(p)
	require.NoError(t, err)
	require.Len(t, floats, len(p))
	for name, want := range p {
		got := floats[name]
		require.NotNil(t, got, name)
		require.Equal(t, want.Shape, got.Shape, name)
		most := 0.0
		for _, v := range shadow[name].Data {
			most = max(most, math.Abs(float64(v)))
		}
		tolerance := 2e-3 * most
		if layer, ok := strings.CutSuffix(name, ".bias"); ok { // in whole units of the sums
			tolerance += float64(slices.Max(q.Layers[strings.TrimPrefix(layer, "renderer.")].Unit))
		}
		require.InDeltaSlice(t, shadow[name].Data, got.Data, tolerance, name)
	}

	delete(q.Step, "s0.mix")
	_, err = q.Floats(c.Net)
	require.ErrorContains(t, err, "do not fit")
}
