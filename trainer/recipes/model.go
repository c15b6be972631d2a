package recipes

import (
	"fmt"
	"maps"
	"math"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/record"
	"github.com/aecodec/aecodec/kernels"
	"github.com/aecodec/aecodec/trainer/fit"
)

// Model is a pair of networks between records and latents, with their weights.
type Model struct {
	Suffix           string // tells the models of one result apart; often empty
	Encoder, Decoder *nn.Network
	Params           nn.Params
	Scale            Scale
	Train            *record.Set
	// AnyBasis is set where nothing was asked of the latents, so that Build may
	// choose the basis that codes best.
	AnyBasis bool
}

// model returns the model of a trained pair. The loss of logits knows the
// sigmoid; a model has it as a layer.
func (j *Job) model(nets fit.Chain, logits bool, scale Scale) Model {
	dec := *nets[1].Network
	if logits {
		last := nn.Layer{Name: "probability", Op: nn.OpSigmoid, In: dec.Outputs}
		dec.Layers = append(dec.Layers[:len(dec.Layers):len(dec.Layers)], last)
		dec.Outputs = []string{last.Name}
	}
	p := maps.Clone(nets[0].Params)
	maps.Copy(p, nets[1].Params)
	return Model{Encoder: nets[0].Network, Decoder: &dec, Params: p, Scale: scale, Train: j.Train}
}

// Records of the training set that priors are fitted to, and steps measured on.
const (
	maxPriorRecords = 10000
	maxStepRecords  = 64
)

// quantisationShare is how much quantisation at the default quality adds to the
// squared error of the reconstruction.
const quantisationShare = 0.1

// Build makes the model that goes into a file.
func (m *Model) Build(recipe string, card record.Card, threads int) (*record.Model, error) {
	x := m.Scale.apply(m.Train.Slice(0, min(m.Train.N, maxPriorRecords)))
	z, decode, err := m.compile(x, threads)
	if err == nil && m.AnyBasis {
		if m, err = m.turned(z, decode, threads); err == nil {
			z, decode, err = m.compile(x, threads)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("recipes: %w", err)
	}
	n := min(x.N, maxStepRecords)
	steps, err := quantisationSteps(fit.Window(z, 0, n), fit.Window(x, 0, n), decode)
	if err != nil {
		return nil, fmt.Errorf("recipes: %w", err)
	}
	return record.NewModel(&record.Spec{
		Recipe: recipe, Kind: m.Train.Kind, Shape: m.Train.Shape,
		Mean: []float32{float32(m.Scale.Offset)}, Scale: []float32{float32(1 / m.Scale.Gain)},
		Encoder: m.Encoder, Decoder: m.Decoder, Params: m.Params,
		Steps: steps, Latents: z.Data, Card: card,
	})
}

// compile returns the latents of x and the decoder.
func (m *Model) compile(x *nn.Tensor, threads int) (z *nn.Tensor, decode func(*nn.Tensor) (*nn.Tensor, error), err error) {
	e, err := nn.Compile(m.Encoder, m.Params)
	if err != nil {
		return nil, nil, err
	}
	d, err := nn.Compile(m.Decoder, m.Params)
	if err != nil {
		return nil, nil, err
	}
	z, err = fit.RunProgram(e, threads, x)
	return z, func(z *nn.Tensor) (*nn.Tensor, error) { return fit.RunProgram(d, threads, z) }, err
}

// quantisationSteps returns a step for each channel of the latents z of the
// records x. The decoder tells how much noise in a channel costs; at equal cost
// of every channel's noise, which is what high-rate theory asks for, the noise of
// all together is quantisationShare of the error that there is anyway.
func quantisationSteps(z, x *nn.Tensor, decode func(*nn.Tensor) (*nn.Tensor, error)) ([]float32, error) {
	plain, err := decode(z)
	if err != nil {
		return nil, err
	}
	budget := quantisationShare * max(fit.Mean(fit.MSE(plain, x, nil, 1)), 1e-9) / float64(z.C)
	r := fit.NewStream(0, "quantisation noise")
	noisy := nn.NewTensor(z.N, z.H, z.W, z.C)
	steps := make([]float32, z.C)
	for c := range steps {
		squares := 0.0
		for i := c; i < len(z.Data); i += z.C {
			v := float64(z.Data[i])
			squares += float64(v * v)
		}
		// A trial step of a quarter of the channel's size.
		size := math.Sqrt(squares / float64(len(z.Data)/z.C))
		steps[c] = float32(max(size/4, 1e-3))
		copy(noisy.Data, z.Data)
		for i := c; i < len(z.Data); i += z.C {
			noisy.Data[i] += float32(steps[c] * float32(r.Float64()-0.5))
		}
		y, err := decode(noisy)
		if err != nil {
			return nil, err
		}
		// Noise in the output grows with the square of the step. A channel
		// that hardly matters gets a step that leaves nothing of it.
		cost := float64(kernels.SumSquaredDiff(y.Data, plain.Data)) / float64(len(y.Data))
		steps[c] *= float32(min(math.Sqrt(budget/max(cost, 1e-12)), 16))
	}
	return steps, nil
}

func identity(n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(i)
	}
	return out
}
