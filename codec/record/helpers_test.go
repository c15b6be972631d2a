package record

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/stretchr/testify/require"
)

// principal returns the leading n principal components of the records, as rows
// of length one, and their mean, by orthogonal iteration: the best weights that
// a linear autoencoder can have.
func principal(s *Set, n int) (basis [][]float64, mean []float64) {
	size := s.Len()
	mean = make([]float64, size)
	for i, v := range s.Data {
		mean[i%size] += float64(v) / float64(s.N)
	}
	basis = make([][]float64, n)
	for k := range basis {
		basis[k] = make([]float64, size)
		for j := range basis[k] {
			basis[k][j] = math.Sin(float64(1 + j*(k+3) + k*k))
		}
	}
	for range 12 {
		for k, b := range basis {
			next := make([]float64, size)
			for i := range s.N {
				dot := 0.
				for j, v := range s.Record(i) {
					dot += (float64(v) - mean[j]) * b[j]
				}
				for j, v := range s.Record(i) {
					next[j] += (float64(v) - mean[j]) * dot
				}
			}
			for _, other := range basis[:k] {
				dot := 0.
				for j := range next {
					dot += next[j] * other[j]
				}
				for j := range next {
					next[j] -= dot * other[j]
				}
			}
			norm := 1e-30
			for _, v := range next {
				norm += v * v
			}
			for j := range next {
				next[j] /= math.Sqrt(norm)
			}
			basis[k] = next
		}
	}
	return basis, mean
}

// linearModel is a linear autoencoder with n numbers in the latent, fitted to
// the records.
func linearModel(t testing.TB, s *Set, n int, step float32) *Model {
	basis, mean := principal(s, n)
	d := s.Dims()
	scale := float32(1)
	if s.Kind == Uint8 {
		scale = 255
	}
	b := nn.NewBuilder(EncoderName)
	b.Output(b.Dense("in", b.Input("x", d.C), n))
	encoder, err := b.Build()
	require.NoError(t, err)
	b = nn.NewBuilder(DecoderName)
	b.Output(b.Reshape("shape", b.Dense("out", b.Input("y", n), s.Len()), d.H, d.W, d.C))
	decoder, err := b.Build()
	require.NoError(t, err)

	p := nn.Params{}
	in, inBias := nn.NewParam("encoder.in.weight", s.Len(), n), nn.NewParam("encoder.in.bias", n)
	out, outBias := nn.NewParam("decoder.out.weight", n, s.Len()), nn.NewParam("decoder.out.bias", s.Len())
	for k, row := range basis {
		for j, v := range row {
			in.Data[j*n+k], out.Data[k*s.Len()+j] = float32(v), float32(v)
			inBias.Data[k] -= float32(v*mean[j]) / scale
		}
	}
	for j, v := range mean {
		outBias.Data[j] = float32(v) / scale
	}
	for _, q := range []*nn.Param{in, inBias, out, outBias} {
		p[q.Name] = q
	}
	spec := &Spec{
		Recipe: "linear", Kind: s.Kind, Shape: s.Shape,
		Encoder: encoder, Decoder: decoder, Params: p,
		Steps: make([]float32, n), Card: Card{Name: "linear", Description: "principal components"},
	}
	for k := range spec.Steps {
		spec.Steps[k] = step
	}
	// What the encoder makes of the records is needed to make a model of it.
	prog, err := nn.Compile(encoder, p)
	require.NoError(t, err)
	x := nn.NewTensor(s.N, d.H, d.W, d.C)
	for i, v := range s.Data {
		x.Data[i] = v / scale
	}
	y, err := prog.Run(nn.NewArena(), 1, x)
	require.NoError(t, err)
	spec.Latents = slices.Clone(y[0].Data)
	m, err := NewModel(spec)
	require.NoError(t, err)
	return m
}

// save writes a model and reads it back.
func save(t testing.TB, m *Model, decoderOnly bool) *Model {
	var buf bytes.Buffer
	require.NoError(t, m.Save(&buf, decoderOnly))
	back, err := LoadModel(&buf)
	require.NoError(t, err)
	return back
}

// waves are smooth windows of 48 samples, unlike each other.
func waves(n int) *Set {
	s := NewSet(Float32, n, 48)
	for i := range n {
		for j := range s.Record(i) {
			x, k := float64(j), float64(i)
			s.Record(i)[j] = float32(2*math.Sin(x/5+k/7) + math.Cos(k)*math.Sin(x/2.5) + 0.05*math.Sin(x*x*1.7+k*k))
		}
	}
	return s
}

// widen returns m with zeros for more channels of the latent, n in all.
func widen(t testing.TB, m *Model, n int) *Model {
	old := m.Latent().C
	spec := &Spec{
		Recipe: m.Recipe(), Kind: m.kind, Shape: m.shape, Params: nn.Params{}, Card: m.Card(),
		Encoder: &nn.Network{
			Name: EncoderName, Inputs: m.encoderNet.Inputs, Outputs: []string{"in"},
			Layers: []nn.Layer{{Name: "in", Op: nn.OpDense, Out: n}},
		},
		Decoder: &nn.Network{
			Name: DecoderName, Inputs: []nn.Port{{Name: "y", C: n}}, Outputs: m.decoderNet.Outputs, Layers: m.decoderNet.Layers,
		},
		Steps: slices.Repeat(m.step[:1], n),
	}
	from := newTensors(append(slices.Clone(m.file.Encoder), m.file.Decoder...))
	size := dims(m.shape).Len()
	in, out := nn.NewParam("encoder.in.weight", size, n), nn.NewParam("decoder.out.weight", n, size)
	oldIn, oldOut := from.floats("encoder.in.weight", []int{size, old}), from.floats("decoder.out.weight", []int{old, size})
	// The channels that count are the last: in the last set of tables.
	for j := range size {
		copy(in.Data[j*n+n-old:], oldIn[j*old:][:old])
	}
	copy(out.Data[(n-old)*size:], oldOut)
	inBias, outBias := nn.NewParam("encoder.in.bias", n), nn.NewParam("decoder.out.bias", size)
	copy(inBias.Data[n-old:], from.floats("encoder.in.bias", []int{old}))
	copy(outBias.Data, from.floats("decoder.out.bias", []int{size}))
	require.NoError(t, from.err)
	for _, p := range []*nn.Param{in, out, inBias, outBias} {
		spec.Params[p.Name] = p
	}
	spec.Latents = make([]float32, 2*n)
	for c := n - old; c < n; c++ {
		spec.Latents[c], spec.Latents[n+c] = -10, 10
	}
	wide, err := NewModel(spec)
	require.NoError(t, err)
	return wide
}
