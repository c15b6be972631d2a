package recipes

import (
	"fmt"
	"math"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/kernels"
	"github.com/aecodec/aecodec/trainer/fit"
)

// stack writes networks layer by layer, each layer reading the one before.
type stack struct {
	*nn.Builder
	at string
	n  int
}

func newStack(name string, c int) *stack {
	b := nn.NewBuilder(name)
	return &stack{Builder: b, at: b.Input("x", c)}
}

func (s *stack) name(kind string) string {
	s.n++
	return fmt.Sprintf("%s%d", kind, s.n)
}

// op appends a layer without attributes; an empty one is none.
func (s *stack) op(op nn.Op) *stack {
	if op != "" {
		s.at = s.Unary(s.name(string(op)), op, s.at)
	}
	return s
}

// dense appends fully connected layers, each followed by the activation.
func (s *stack) dense(act nn.Op, widths ...int) *stack {
	for _, w := range widths {
		s.at = s.Dense(s.name("dense"), s.at, w)
		s.op(act)
	}
	return s
}

// conv appends a 3x3 convolution with the activation.
func (s *stack) conv(act nn.Op, out int, o ...nn.ConvOpts) *stack {
	opts := nn.ConvOpts{Kernel: 3}
	if len(o) > 0 {
		opts = o[0]
	}
	s.at = s.Conv(s.name("conv"), s.at, out, opts)
	return s.op(act)
}

func (s *stack) leaky() *stack {
	s.at = s.Leaky(s.name("leaky"), s.at, 0.2)
	return s
}

// pool appends 2x2 maximum pooling with same padding.
func (s *stack) pool() *stack {
	s.at = s.Layer(nn.Layer{Name: s.name("pool"), Op: nn.OpMaxPool, Padding: nn.PadSame}, s.at)
	return s
}

func (s *stack) up() *stack {
	s.at = s.Upsample(s.name("up"), s.at, 2)
	return s
}

func (s *stack) reshape(h, w, c int) *stack {
	s.at = s.Reshape(s.name("shape"), s.at, h, w, c)
	return s
}

func (s *stack) shape(d nn.Shape) *stack { return s.reshape(d.H, d.W, d.C) }

// build ends the network. The networks of recipes are written here, so one that
// is not valid is a mistake in the program.
func (s *stack) build() *nn.Network {
	s.Output(s.at)
	n, err := s.Build()
	if err != nil {
		panic(err)
	}
	return n
}

// pair makes an autoencoder of a job: the encoder reads records, the decoder
// what the encoder returns.
func (j *Job) pair(prefix string, enc, dec *nn.Network, in nn.Shape) (fit.Chain, error) {
	e, err := j.Net(prefix+enc.Name, enc, nil, in)
	if err != nil {
		return nil, err
	}
	shapes, err := enc.Infer(in)
	if err != nil {
		return nil, err
	}
	d, err := j.Net(prefix+dec.Name, dec, nil, shapes[enc.Outputs[0]])
	if err != nil {
		return nil, err
	}
	out, err := dec.Infer(shapes[enc.Outputs[0]])
	if err != nil {
		return nil, err
	}
	if got := out[dec.Outputs[0]]; got != in {
		return nil, fmt.Errorf("records of %v come back as %v: this network does not fit them", in, got)
	}
	return fit.Chain{e, d}, nil
}

// sigmoid turns logits into probabilities, in place.
func sigmoid(t *nn.Tensor) { kernels.Sigmoid(t.Data, t.Data) }

// psnr in dB of a mean squared error, for values whose range is peak.
func psnr(mse, peak float64) float64 { return 10 * math.Log10(peak*peak/mse) }
