package recipes

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/record"
	"github.com/aecodec/aecodec/kernels"
	"github.com/aecodec/aecodec/trainer/fit"
)

// mixtures are records of a few directions of different weight.
func mixtures(n, values, directions int) *record.Set {
	s := record.NewSet(record.Float32, n, values)
	mix := fit.Normals(directions, nn.Shape{H: 1, W: 1, C: values}, 1, 1, "mix")
	points := fit.Normals(n, nn.Shape{H: 1, W: 1, C: directions}, 1, 1, "points")
	for i := range n {
		for k, p := range points.Image(i) {
			kernels.AddScaled(s.Record(i), s.Record(i), mix.Image(k), p/float32(k+1))
		}
	}
	return s
}

// TestTurned: in the chosen basis the model says the same, its latents are
// uncorrelated, and errors in them cost the same in every direction.
func TestTurned(t *testing.T) {
	s := mixtures(200, 20, 5)
	d := s.Dims()
	const k = 4
	enc := newStack("encoder", d.C).op(nn.OpFlatten).dense(nn.OpTanh, 12).dense("", k).build()
	dec := newStack("decoder", k).dense(nn.OpTanh, 12).dense("", d.Len()).shape(d).build()
	m := &Model{Encoder: enc, Decoder: dec, Params: nn.Params{}, Scale: scaleOf(s), Train: s}
	for _, n := range []*nn.Network{enc, dec} {
		in := d
		if n == dec {
			in = nn.Shape{H: 1, W: 1, C: k}
		}
		n.Init(m.Params, 1, in)
	}
	x := m.Scale.apply(s)
	z, decode, err := m.compile(x, 1)
	require.NoError(t, err)
	before, err := decode(z)
	require.NoError(t, err)

	turned, err := m.turned(z, decode, 2)
	require.NoError(t, err)
	z, decode, err = turned.compile(x, 1)
	require.NoError(t, err)
	after, err := decode(z)
	require.NoError(t, err)
	require.InDeltaSlice(t, before.Data, after.Data, 1e-3)

	cov := covariance(z)
	metric, err := decoderMetric(fit.Window(z, 0, maxStepRecords), decode)
	require.NoError(t, err)
	for i := range k {
		require.InEpsilon(t, metric[0], metric[i*k+i], 0.1, "cost of direction %d", i)
		for j := range i {
			require.InDelta(t, 0, cov[i*k+j], 1e-3*cov[0], "covariance of %d and %d", i, j)
			require.InDelta(t, 0, metric[i*k+j], 0.05*metric[0], "cost shared by %d and %d", i, j)
		}
		if i > 0 {
			require.LessOrEqual(t, cov[i*k+i], cov[(i-1)*k+i-1])
		}
	}
}

// TestTurnedOnlyWhereLinear: latents behind an activation stay as they are.
func TestTurnedOnlyWhereLinear(t *testing.T) {
	s := mixtures(20, 6, 2)
	m := &Model{
		Encoder: newStack("encoder", 6).op(nn.OpFlatten).dense(nn.OpReLU, 2).build(),
		Decoder: newStack("decoder", 2).dense("", 6).shape(s.Dims()).build(),
	}
	same, err := m.turned(nil, nil, 1)
	require.NoError(t, err)
	require.Same(t, m, same)
}

// TestComponents: the model of principal components rebuilds records of as many
// directions.
func TestComponents(t *testing.T) {
	s := mixtures(64, 20, 3)
	m, err := Components(s, 3, 1)
	require.NoError(t, err)
	x := m.Scale.apply(s)
	z, decode, err := m.compile(x, 1)
	require.NoError(t, err)
	y, err := decode(z)
	require.NoError(t, err)
	require.InDeltaSlice(t, x.Data, y.Data, 1e-4)
	_, err = Components(s, 21, 1)
	require.ErrorContains(t, err, "21 principal components of 20")
}
