package record

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/aecodec/aecodec/codec/nn"
)

// Names of a model's networks.
const (
	EncoderName = "encoder"
	DecoderName = "decoder"
)

// Spec is a trained autoencoder, as training hands it to [NewModel].
type Spec struct {
	// Recipe names the kind of model, for people and programs: 1 to 64 letters,
	// digits, '.', '-' and '_'.
	Recipe string
	// Kind and Shape are those of the records.
	Kind  Kind
	Shape []int
	// Networks see (value - Mean)/Scale, where Mean and Scale are one number or
	// one for each channel. Nil means 0, and 255 for Uint8, 1 for Float32.
	Mean, Scale []float32

	// Encoder, named EncoderName, maps records (Set.Dims) to latents, its first
	// output; others are of no use here. Decoder, named DecoderName, maps them
	// back; its first output has the shape of a record. Both have one input.
	Encoder, Decoder *nn.Network
	Params           nn.Params

	// Steps are the quantisation steps of the latent's channels at
	// DefaultQuality.
	Steps []float32
	// Latents are the latents of many training records, one after the other.
	// The probability tables are fitted to them.
	Latents []float32

	Card Card
}

// Card says where a model comes from. It does not take part in the fingerprint.
// Its members are those of codec.Record.
type Card struct {
	Name        string            `json:"name"`
	Description string            `json:"description,omitempty"`
	License     string            `json:"license,omitempty"`
	Data        []string          `json:"data,omitempty"`    // training sets and their licences
	Command     string            `json:"command,omitempty"` // what trained it
	Steps       int               `json:"steps,omitempty"`
	Seconds     float64           `json:"seconds,omitempty"`
	Created     string            `json:"created,omitempty"` // RFC 3339
	Results     map[string]any    `json:"results,omitempty"` // measurements
	Notes       map[string]string `json:"notes,omitempty"`
}

// Limits of models. A model file may come from anywhere.
const (
	maxChannels = 1 << 12 // of the latent
	maxLatent   = 1 << 20 // numbers in the latent of a record
	maxMACs     = 1 << 38 // of a network for one record
)

// ErrModelKind is the cause of an error of LoadModel: the model is for pictures.
var ErrModelKind = errors.New("is no model for records")

// description is what a model file says about the decoder, in JSON.
type description struct {
	Kind    string      `json:"kind"` // descriptionKind
	Recipe  string      `json:"recipe"`
	Values  string      `json:"values"` // "uint8" or "float32"
	Shape   []int       `json:"shape"`
	Latent  []int       `json:"latent"` // [h, w, channels]
	Decoder *nn.Network `json:"decoder"`
}

const descriptionKind = "records"

func kindOf(values string) Kind {
	for _, k := range []Kind{Uint8, Float32} {
		if k.String() == values {
			return k
		}
	}
	return 0
}

// check returns the shape of the latent if all of the description is sound.
func (d *description) check() (nn.Shape, error) {
	switch {
	case d.Kind != descriptionKind:
		return nn.Shape{}, ErrModelKind
	case kindOf(d.Values) == 0:
		return nn.Shape{}, fmt.Errorf("unknown values %q", d.Values)
	case len(d.Latent) != 3:
		return nn.Shape{}, fmt.Errorf("latent %v has not three sides", d.Latent)
	}
	if _, err := countValues(1, d.Shape); err != nil {
		return nn.Shape{}, err
	}
	latent := nn.Shape{H: d.Latent[0], W: d.Latent[1], C: d.Latent[2]}
	return latent, checkNetwork(d.Decoder, DecoderName, latent, dims(d.Shape))
}

// checkNetwork sees to it that a network maps one shape to another, at a
// bearable cost.
func checkNetwork(n *nn.Network, name string, from, to nn.Shape) error {
	if n == nil || n.Name != name {
		return fmt.Errorf("no network %q", name)
	}
	latent := from
	if name == EncoderName {
		latent = to
	}
	if latent.C > maxChannels || latent.H > maxLatent || latent.W > maxLatent/max(latent.H, 1) ||
		latent.C > maxLatent/max(latent.H*latent.W, 1) {
		return fmt.Errorf("latents of %v are too large", latent)
	}
	shapes, err := n.Infer(from)
	if err != nil {
		return err
	}
	if got := shapes[n.Outputs[0]]; got != to {
		return fmt.Errorf("network %q: output is %v, want %v", name, got, to)
	}
	if macs, _, err := n.MACs(from); err != nil || macs > maxMACs {
		return fmt.Errorf("network %q: more than 2^38 multiply-adds for a record", name)
	}
	return nil
}

// latentShape returns what the encoder makes of a record.
func (s *Spec) latentShape() (nn.Shape, error) {
	if s.Encoder == nil || len(s.Encoder.Outputs) == 0 {
		return nn.Shape{}, fmt.Errorf("no network %q", EncoderName)
	}
	shapes, err := s.Encoder.Infer(dims(s.Shape))
	if err != nil {
		return nn.Shape{}, err
	}
	return shapes[s.Encoder.Outputs[0]], nil
}

// normalisation returns Mean and Scale with the defaults filled in.
func (s *Spec) normalisation() (mean, scale []float32) {
	mean, scale = s.Mean, s.Scale
	if mean == nil {
		mean = []float32{0}
	}
	if scale == nil {
		scale = []float32{1}
		if s.Kind == Uint8 {
			scale[0] = 255
		}
	}
	return mean, scale
}

// perChannel returns v as one number for each of c channels.
func perChannel(v []float32, c int) []float32 {
	if len(v) == 1 {
		return slices.Repeat(v, c)
	}
	return v
}

// checkPositive refuses numbers that cannot be a step or scale.
func checkPositive(name string, v []float32) error {
	for i, x := range v {
		if !(x >= 1e-30 && x <= 1e30) {
			return fmt.Errorf("%s %d is %g, not positive", name, i, x)
		}
	}
	return nil
}

func checkFinite(name string, v []float32) error {
	for i, x := range v {
		if math.Float32bits(x)&infBits == infBits {
			return fmt.Errorf("%s: %v at %d", name, x, i)
		}
	}
	return nil
}
