package record

import (
	"bytes"
	"math"
	"testing"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/stretchr/testify/require"
)

func TestModelSave(t *testing.T) {
	s := waves(60)
	m := linearModel(t, s, 5, 0.1)
	full, receiver := save(t, m, false), save(t, m, true)
	for _, got := range []*Model{full, receiver} {
		require.Equal(t, m.Fingerprint(), got.Fingerprint())
		require.Equal(t, "linear", got.Name())
		require.Equal(t, "linear", got.Recipe())
		require.Equal(t, []int{48}, got.Shape())
		require.Equal(t, Float32, got.Kind())
		require.Equal(t, nn.Shape{H: 1, W: 1, C: 5}, got.Latent())
		require.Equal(t, "principal components", got.Card().Description)
	}
	encode, decode := full.MACs()
	require.Equal(t, []int64{48 * 5, 48 * 5}, []int64{encode, decode})
	encode, _ = receiver.MACs()
	require.Zero(t, encode)
	require.True(t, full.CanEncode())
	require.False(t, receiver.CanEncode())

	want, err := m.Latents(s, 1)
	require.NoError(t, err)
	got, err := full.Latents(s, 3)
	require.NoError(t, err)
	require.Equal(t, want, got)
	_, err = receiver.Latents(s, 1)
	require.ErrorContains(t, err, "can only decode")
	_, err = full.Latents(NewSet(Float32, 2, 47), 1)
	require.ErrorContains(t, err, `model "linear" is for float32 of [48], not for float32 of [47]`)

	one, err := m.Synthesize(want, 1)
	require.NoError(t, err)
	many, err := receiver.Synthesize(want, 4)
	require.NoError(t, err)
	require.Equal(t, one, many)
	sum := 0.
	for i, v := range s.Data {
		sum += math.Pow(float64(v-one.Data[i]), 2)
	}
	require.Less(t, sum/float64(len(s.Data)), 0.01, "five components are nearly all there is")
	_, err = m.Synthesize(want[1:], 1)
	require.Error(t, err)
}

func TestModelErrors(t *testing.T) {
	for what, change := range map[string]func(*Spec){
		`no network "encoder"`:               func(s *Spec) { s.Encoder = nil },
		`no network "decoder"`:               func(s *Spec) { s.Decoder = nil },
		`parameter "decoder.d.weight"`:       func(s *Spec) { delete(s.Params, "decoder.d.weight") },
		"2 steps for 3 channels":             func(s *Spec) { s.Steps = s.Steps[1:] },
		"step 1 is 0, not positive":          func(s *Spec) { s.Steps[1] = 0 },
		"elements: NaN at 1":                 func(s *Spec) { s.Steps[1] = float32(math.NaN()) },
		"scale 0 is -1, not positive":        func(s *Spec) { s.Scale = []float32{-1} },
		`"norm.mean": is [4]`:                func(s *Spec) { s.Mean = make([]float32, 4) },
		"want a multiple of 3":               func(s *Spec) { s.Latents = s.Latents[1:] },
		"0 numbers in the latents":           func(s *Spec) { s.Latents = nil },
		"training records: +Inf at 4":        func(s *Spec) { s.Latents[4] = float32(math.Inf(1)) },
		`"decoder.d.bias": elements: NaN`:    func(s *Spec) { s.Params["decoder.d.bias"].Data[0] = float32(math.NaN()) },
		"4 dimensions":                       func(s *Spec) { s.Shape = []int{1, 1, 6, 1} },
		`network "decoder": output is 1x1x6`: func(s *Spec) { s.Shape = []int{1, 1, 7}; s.Encoder.Inputs[0].C = 7 },
		`unknown values "kind 7"`:            func(s *Spec) { s.Kind = 7 },
		"model name":                         func(s *Spec) { s.Card.Name = "a b" },
	} {
		s := denseSpec()
		_, err := NewModel(s)
		require.NoError(t, err)
		change(s)
		_, err = NewModel(s)
		require.ErrorContains(t, err, what)
		require.ErrorContains(t, err, "record: model")
	}
}

// denseSpec is a model of 6 values by 3 latents with random weights.
func denseSpec() *Spec {
	s := &Spec{
		Recipe: "dense", Kind: Float32, Shape: []int{1, 1, 6}, Params: nn.Params{},
		Encoder: &nn.Network{
			Name: EncoderName, Inputs: []nn.Port{{Name: "x", C: 6}},
			Layers: []nn.Layer{{Name: "d", Op: nn.OpDense, Out: 3}}, Outputs: []string{"d"},
		},
		Decoder: &nn.Network{
			Name: DecoderName, Inputs: []nn.Port{{Name: "y", C: 3}},
			Layers: []nn.Layer{{Name: "d", Op: nn.OpDense, Out: 6}}, Outputs: []string{"d"},
		},
		Steps: []float32{1, 2, 3}, Latents: []float32{0, 1, 2, 3, 4, 5},
	}
	s.Encoder.Init(s.Params, 1, nn.Shape{H: 1, W: 1, C: 6})
	s.Decoder.Init(s.Params, 1, nn.Shape{H: 1, W: 1, C: 3})
	return s
}

func TestModelFileDamage(t *testing.T) {
	m, err := NewModel(denseSpec())
	require.NoError(t, err)
	var buf bytes.Buffer
	require.NoError(t, m.Save(&buf, false))
	for n := range buf.Bytes() {
		_, err := LoadModel(bytes.NewReader(buf.Bytes()[:n]))
		require.Error(t, err)
	}
	for i := range buf.Bytes() {
		data := bytes.Clone(buf.Bytes())
		data[i] ^= 0x10
		if back, err := LoadModel(bytes.NewReader(data)); err == nil {
			// The one chance is an ancillary chunk that became an unknown one.
			require.Equal(t, m.Fingerprint(), back.Fingerprint(), "byte %d", i)
		}
	}
}

func TestConform(t *testing.T) {
	m := convolutional(t, Uint8)
	s := NewSet(Float32, 2, 90)
	s.Data[100] = 255
	got := m.Conform(s)
	require.Equal(t, Uint8, got.Kind)
	require.Equal(t, []int{10, 9}, got.Shape)
	require.NoError(t, got.Check())
	require.Equal(t, Float32, s.Kind)
	s.Data[7] = 0.5
	require.Same(t, s, m.Conform(s))
	short := NewSet(Uint8, 2, 89)
	require.Same(t, short, m.Conform(short))
	flat := NewSet(Uint8, 1, 90)
	require.Equal(t, Float32, convolutional(t, Float32).Conform(flat).Kind)
}
