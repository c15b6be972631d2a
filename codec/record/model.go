package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/format"
)

// Model is a trained autoencoder for records of one shape and kind, ready for
// use. It is immutable and safe for concurrent use.
type Model struct {
	file  *format.ModelFile
	print [16]byte
	card  Card

	recipe string
	kind   Kind
	shape  []int
	latent nn.Shape

	mean, scale []float32 // by channel of a record
	step        []float32 // at DefaultQuality, by channel of the latent
	knots       []float32 // [channels, knots]

	encoderNet *nn.Network // nil in a decoder
	decoderNet *nn.Network
	encoder    func() (*nn.Program, error)
	decoder    func() (*nn.Program, error)
	arenas     sync.Pool
}

// Tensors of a model file beside the parameters of the networks; of the latter
// weights are stored as F16, biases as F32.
const (
	tensorMean    = "norm.mean"   // F32 [1] or [C]
	tensorScale   = "norm.scale"  // F32 [1] or [C]
	tensorStep    = "latent.step" // F32 [M]
	tensorKnots   = "prior.knots" // F32 [M, 33]
	tensorNetwork = "network"     // I8 [n], in the encoder part: its network in JSON
)

// NewModel makes a model. Weights are rounded to half precision here, once, so
// that every later user computes with the same numbers. It fails when the parts
// do not fit together or a number is not finite.
func NewModel(s *Spec) (*Model, error) {
	m, err := newModelFile(s)
	if err != nil {
		return nil, fmt.Errorf("record: model: %w", err)
	}
	// Writing checks what reading would.
	if err := format.WriteModel(io.Discard, m); err != nil {
		return nil, fmt.Errorf("record: model: %w", err)
	}
	return newModel(m)
}

func newModelFile(s *Spec) (*format.ModelFile, error) {
	if _, err := countValues(1, s.Shape); err != nil {
		return nil, err
	}
	latent, err := s.latentShape()
	if err != nil {
		return nil, err
	}
	quantiles, err := fitKnots(s.Latents, latent.C)
	if err != nil {
		return nil, err
	}
	if len(s.Steps) != latent.C {
		return nil, fmt.Errorf("%d steps for %d channels", len(s.Steps), latent.C)
	}
	mean, scale := s.normalisation()
	d := &description{
		Kind: descriptionKind, Recipe: s.Recipe, Values: s.Kind.String(), Shape: s.Shape,
		Latent: []int{latent.H, latent.W, latent.C}, Decoder: s.Decoder,
	}
	if _, err := d.check(); err != nil {
		return nil, err
	}
	file := &format.ModelFile{Name: s.Card.Name}
	if file.Name == "" {
		file.Name = "unnamed"
	}
	if file.Record, err = json.Marshal(&s.Card); err != nil {
		return nil, fmt.Errorf("card: %w", err)
	}
	if file.Description, err = json.Marshal(d); err != nil {
		return nil, err
	}
	if file.Decoder, err = weightTensors(s.Decoder, s.Params, latent); err != nil {
		return nil, err
	}
	file.Decoder = append(file.Decoder,
		format.NewFloat32(tensorMean, []int{len(mean)}, mean),
		format.NewFloat32(tensorScale, []int{len(scale)}, scale),
		format.NewFloat32(tensorStep, []int{latent.C}, s.Steps),
		format.NewFloat32(tensorKnots, []int{latent.C, knots}, quantiles))
	network, err := json.Marshal(s.Encoder)
	if err != nil {
		return nil, err
	}
	if file.Encoder, err = weightTensors(s.Encoder, s.Params, dims(s.Shape)); err != nil {
		return nil, err
	}
	file.Encoder = append(file.Encoder,
		format.Tensor{Name: tensorNetwork, DType: format.I8, Shape: []int{len(network)}, Data: network})
	return file, nil
}

// weightTensors stores the parameters of a network.
func weightTensors(n *nn.Network, p nn.Params, in nn.Shape) ([]format.Tensor, error) {
	specs, err := n.ParamShapes(in)
	if err != nil {
		return nil, err
	}
	var out []format.Tensor
	for _, s := range specs {
		t := p[s.Name]
		if t == nil {
			return nil, fmt.Errorf("parameter %q is missing", s.Name)
		}
		if !slices.Equal(t.Shape, s.Shape) {
			return nil, fmt.Errorf("parameter %q is %v, want %v", s.Name, t.Shape, s.Shape)
		}
		if s.FanIn == 0 {
			out = append(out, format.NewFloat32(s.Name, s.Shape, t.Data))
		} else {
			out = append(out, format.NewFloat16(s.Name, s.Shape, t.Data))
		}
	}
	return out, nil
}

// LoadModel reads a model file. It checks everything that Model relies on, so a
// damaged or hostile file gives an error here and none later.
func LoadModel(r io.Reader) (*Model, error) { return loadModel(r, format.ReadModel) }

// loadModel reads a model with one of format's functions.
func loadModel(r io.Reader, read func(io.Reader, *format.Limits) (*format.ModelFile, error)) (*Model, error) {
	file, err := read(r, nil)
	if err != nil {
		return nil, fmt.Errorf("record: model: %w", err)
	}
	return newModel(file)
}

// newModel is the one way to a Model, from training as from a file.
func newModel(file *format.ModelFile) (*Model, error) {
	m := &Model{file: file, print: file.Fingerprint()}
	m.arenas.New = func() any { return nn.NewArena() }
	if err := m.load(); err != nil {
		return nil, fmt.Errorf("record: model %q: %w", file.Name, err)
	}
	return m, nil
}

func (m *Model) load() error {
	var d description
	if err := json.Unmarshal(m.file.Description, &d); err != nil {
		return fmt.Errorf("description: %w", err)
	}
	var err error
	if m.latent, err = d.check(); err != nil {
		return err
	}
	m.recipe, m.kind, m.shape, m.decoderNet = d.Recipe, kindOf(d.Values), d.Shape, d.Decoder
	if len(m.file.Record) > 0 {
		if err := json.Unmarshal(m.file.Record, &m.card); err != nil {
			return fmt.Errorf("card: %w", err)
		}
	}
	t := newTensors(m.file.Decoder)
	if m.decoder, err = t.program(d.Decoder, m.latent); err != nil {
		return err
	}
	c := dims(m.shape).C
	m.mean = perChannel(t.floats(tensorMean, []int{1}, []int{c}), c)
	m.scale = perChannel(t.floats(tensorScale, []int{1}, []int{c}), c)
	m.step = t.floats(tensorStep, []int{m.latent.C})
	m.knots = t.floats(tensorKnots, []int{m.latent.C, knots})
	if t.err != nil {
		return t.err
	}
	for _, err := range []error{checkPositive("scale", m.scale), checkPositive("step", m.step), checkKnots(m.knots)} {
		if err != nil {
			return err
		}
	}
	if len(m.file.Encoder) == 0 {
		return nil
	}
	if err := m.loadEncoder(); err != nil {
		return fmt.Errorf("encoder: %w", err)
	}
	return nil
}

func (m *Model) loadEncoder() error {
	t := newTensors(m.file.Encoder)
	network := t.byName[tensorNetwork]
	if network == nil {
		return errors.New("no network")
	}
	if err := json.Unmarshal(network.Data, &m.encoderNet); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	if err := checkNetwork(m.encoderNet, EncoderName, dims(m.shape), m.latent); err != nil {
		return err
	}
	var err error
	m.encoder, err = t.program(m.encoderNet, dims(m.shape))
	return err
}

// Save writes the model file; decoderOnly leaves out what only encoding needs.
// Both files have the same fingerprint.
func (m *Model) Save(w io.Writer, decoderOnly bool) error {
	file := *m.file
	if decoderOnly {
		file.Encoder = nil
	}
	if err := format.WriteModel(w, &file); err != nil {
		return fmt.Errorf("record: save model: %w", err)
	}
	return nil
}

// Name returns the model's name.
func (m *Model) Name() string { return m.file.Name }

// Fingerprint identifies the decoder; see format.ModelFile.
func (m *Model) Fingerprint() [16]byte { return m.print }

// Card returns the model's card, which the caller must not change.
func (m *Model) Card() Card { return m.card }

// Recipe names the kind of model.
func (m *Model) Recipe() string { return m.recipe }

// Kind returns the type of the records' values.
func (m *Model) Kind() Kind { return m.kind }

// Shape returns the shape of the records.
func (m *Model) Shape() []int { return slices.Clone(m.shape) }

// Latent returns the shape of the latent of a record.
func (m *Model) Latent() nn.Shape { return m.latent }

// CanEncode tells whether the model has its encoder.
func (m *Model) CanEncode() bool { return m.encoder != nil }

// MACs returns the multiply-adds that encoding and decoding a record take; the
// first is 0 for a decoder.
func (m *Model) MACs() (encode, decode int64) {
	if m.encoderNet != nil {
		encode, _, _ = m.encoderNet.MACs(dims(m.shape))
	}
	decode, _, _ = m.decoderNet.MACs(m.latent)
	return encode, decode
}

// accepts says whether the records of s are of the model's kind.
func (m *Model) accepts(s *Set) error {
	if s.Kind != m.kind || !slices.Equal(s.Shape, m.shape) {
		return fmt.Errorf("record: model %q is for %v of %v, not for %v of %v", m.Name(), m.kind, m.shape, s.Kind, s.Shape)
	}
	return nil
}

// Conform returns s as records of the model's shape and kind, if no more than
// their names differ: the values of a record are as many, as in a CSV file, which
// does not know of rows and bytes, and for Uint8 all are whole numbers from 0 to
// 255. Otherwise it returns s. The result shares memory with s.
func (m *Model) Conform(s *Set) *Set {
	if s.Len() != dims(m.shape).Len() || s.Origin != nil && s.Origin.Series != nil {
		return s
	}
	t := *s
	t.Shape, t.Kind = m.shape, m.kind
	if t.Check() != nil {
		return s
	}
	return &t
}

// tensors takes tensors by name and remembers the first thing that is wrong.
type tensors struct {
	byName map[string]*format.Tensor
	err    error
}

func newTensors(list []format.Tensor) *tensors {
	t := &tensors{byName: make(map[string]*format.Tensor, len(list))}
	for i := range list {
		t.byName[list[i].Name] = &list[i]
	}
	return t
}

// floats returns the elements of a tensor that has one of the shapes, or one
// zero after an error.
func (t *tensors) floats(name string, shapes ...[]int) []float32 {
	x := t.byName[name]
	var v []float32
	var err error
	switch {
	case t.err != nil:
	case x == nil:
		err = errors.New("is missing")
	case !slices.ContainsFunc(shapes, func(s []int) bool { return slices.Equal(s, x.Shape) }):
		err = fmt.Errorf("is %v, want %v", x.Shape, shapes[len(shapes)-1])
	default:
		if v, err = x.Float32s(); err == nil {
			err = checkFinite("elements", v)
		}
	}
	if err != nil {
		t.err = fmt.Errorf("tensor %q: %w", name, err)
	}
	if t.err != nil {
		return []float32{0}
	}
	return v
}

// program binds a network to its parameters. Weights are packed for the
// kernels on first use.
func (t *tensors) program(n *nn.Network, in nn.Shape) (func() (*nn.Program, error), error) {
	specs, err := n.ParamShapes(in)
	if err != nil {
		return nil, err
	}
	p := nn.Params{}
	for _, s := range specs {
		p[s.Name] = &nn.Param{Name: s.Name, Shape: s.Shape, Data: t.floats(s.Name, s.Shape)}
	}
	return sync.OnceValues(func() (*nn.Program, error) { return nn.Compile(n, p) }), t.err
}
