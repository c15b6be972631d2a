package codec

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/format"
	"github.com/aecodec/aecodec/kernels"
)

// Record says where a model comes from: its model card, in a file beside the
// weights. It does not take part in the fingerprint.
type Record struct {
	Name        string            `json:"name"`
	Description string            `json:"description,omitempty"`
	License     string            `json:"license,omitempty"`
	Data        []string          `json:"data,omitempty"`    // training sets and their licences
	Command     string            `json:"command,omitempty"` // what trained it
	Steps       int               `json:"steps,omitempty"`
	Seconds     float64           `json:"seconds,omitempty"`
	Created     string            `json:"created,omitempty"`    // RFC 3339
	Distortion  string            `json:"distortion,omitempty"` // trained for: DistortionMSE, if empty, or DistortionSSIM
	Results     map[string]any    `json:"results,omitempty"`    // measurements
	Notes       map[string]string `json:"notes,omitempty"`
}

// Values of Record.Distortion, by which an encoder makes choices; a decoder does not
// look at it.
const (
	DistortionMSE  = "mse"
	DistortionSSIM = "ms-ssim"
)

// Model is a trained codec: networks, weights and probability tables, ready for
// use. It is immutable and safe for concurrent use.
type Model struct {
	file   *format.ModelFile
	print  [16]byte
	record Record
	arch   *Arch
	params nn.Params // of the networks, as the codec uses them; a synthesis in integers has its own

	gainEnc, gainDec []float32 // logs [A, M]
	scale            *scaleMap
	prior            *hyperPrior
	scaleTables      *format.TableSet
	savings          func() []savings // by level, prepared for the first encoder
	features         int              // channels between hyperSynthesis and context

	hyperSynthesis, context, synthesis *program
	analysis, hyperAnalysis            *program          // nil in a decoder
	integers                           *integerSynthesis // in place of synthesis, or nil

	scratches sync.Pool // *tileScratch
	buffers   sync.Pool // *latents
	refiners  sync.Pool // *refiner
}

// scratch takes working memory from the model's pool.
func (m *Model) scratch() *tileScratch {
	if s, ok := m.scratches.Get().(*tileScratch); ok {
		return s
	}
	return new(tileScratch)
}

func (m *Model) release(s *tileScratch) { m.scratches.Put(s) }

// buffer takes a buffer from the model's pool.
func (m *Model) buffer() *latents {
	if l, ok := m.buffers.Get().(*latents); ok {
		return l
	}
	return new(latents)
}

// Tensors of a model file beside those of the networks, for which see
// storedWeight. See Arch for the letters.
const (
	tensorHyperStep  = "hyper.step"  // I32 [A, Z]  G: zf = zi·G/256
	tensorHyperLimit = "hyper.limit" // I32 [Z]     largest |zi|
	tensorHyperTable = "hyper.table" // I16 [Z, C]  table by context, -1 where nothing is coded, see hyperPrior
	tensorHyperFreq  = "hyper.freq"  // U16 [n]     for each anchor and table, frequencies of -limit..limit and the escape
	tensorScaleShift = "scale.shift" // I32 [2]     drop and shift of the scale map
	tensorScaleReach = "scale.reach" // I32 [64]
	tensorScaleFreq  = "scale.freq"  // U16 [n]     for each level, frequencies of -reach..reach and the escape
	tensorNetworks   = "networks"    // I8 [n]      in the encoder part: JSON of its networks
)

// NewModel makes a model of trained parameters, all of those that
// Arch.ParamSpecs lists. Network weights are rounded to half precision or
// less and the scale map to integers here, once, so that every later user computes with the
// same numbers. priors are counts of hyper-latent symbols to fit probability
// tables to; without them the Gaussian priors of training are used. rec may be
// nil.
//
// It fails when a parameter is missing, has another shape or is not finite, or
// when the scale map cannot be expressed in integers.
func NewModel(a *Arch, p nn.Params, priors *Priors, rec *Record) (*Model, error) {
	if err := a.Validate(); err != nil {
		return nil, err
	}
	if rec == nil {
		rec = &Record{Name: "unnamed"}
	}
	specs, err := a.ParamSpecs()
	if err != nil {
		return nil, err
	}
	for _, s := range specs {
		if err := checkParam(p, s); err != nil {
			return nil, err
		}
	}
	// The name has to fit the header of an image.
	header := format.Header{
		Kind: format.KindImage, Width: 1, Height: 1, Channels: 3, Depth: 8,
		TileLog2: tileLog2, Quality: DefaultQuality * qualityScale, Model: rec.Name,
	}
	if _, err := format.NewWriter(io.Discard, &header); err != nil {
		return nil, fmt.Errorf("codec: model: %w", err)
	}
	file := &format.ModelFile{Name: rec.Name}
	if file.Record, err = json.Marshal(rec); err != nil {
		return nil, fmt.Errorf("codec: model: record: %w", err)
	}
	if file.Description, err = json.Marshal(a.half(decoderNetworks)); err != nil {
		return nil, fmt.Errorf("codec: model: %w", err)
	}
	if file.Decoder, err = a.weightTensors(p, decoderNetworks); err != nil {
		return nil, err
	}
	tables, err := a.tableTensors(p, priors)
	if err != nil {
		return nil, err
	}
	file.Decoder = append(file.Decoder, tables...)
	if a.HasEncoder() {
		networks, err := json.Marshal(a.half(encoderNetworks).Networks)
		if err != nil {
			return nil, fmt.Errorf("codec: model: %w", err)
		}
		if file.Encoder, err = a.weightTensors(p, encoderNetworks); err != nil {
			return nil, err
		}
		file.Encoder = append(file.Encoder, format.Tensor{
			Name: tensorNetworks, DType: format.I8, Shape: []int{len(networks)}, Data: networks})
	}
	return newModel(file)
}

func checkParam(p nn.Params, s nn.ParamSpec) error {
	t := p[s.Name]
	if t == nil {
		return fmt.Errorf("codec: model: parameter %q is missing", s.Name)
	}
	if !slices.Equal(t.Shape, s.Shape) || len(t.Data) != elements(s.Shape) {
		return fmt.Errorf("codec: model: parameter %q is %v with %d numbers, want %v", s.Name, t.Shape, len(t.Data), s.Shape)
	}
	return checkFinite(s.Name, t.Data)
}

func checkFinite(name string, data []float32) error {
	const exponent = 0xff << 23 // all ones in infinities and NaNs
	for i, v := range data {
		if math.Float32bits(v)&exponent == exponent {
			return fmt.Errorf("codec: model: parameter %q is %v at %d", name, v, i)
		}
	}
	return nil
}

func elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// tableTensors makes gains and integer tables.
func (a *Arch) tableTensors(p nn.Params, priors *Priors) ([]format.Tensor, error) {
	prior, err := fitHyperPrior(a, priors, p[PriorMean].Data, p[PriorLogSigma].Data)
	if err != nil {
		return nil, err
	}
	step := hyperSteps(p[GainZ].Data)
	scale, err := quantiseScaleMap(a, p[ScaleWeight].Data, p[ScaleBias].Data, p[ScaleOffset].Data,
		step, prior.limit, prior.spread(step))
	if err != nil {
		return nil, err
	}
	reach, freq := scaleFreq(priors)
	scaleFreq := slices.Concat(freq...)
	return []format.Tensor{
		format.NewFloat32(GainEnc, []int{a.Anchors, a.M}, p[GainEnc].Data),
		format.NewFloat32(GainDec, []int{a.Anchors, a.M}, p[GainDec].Data),
		format.NewInt32(tensorHyperStep, []int{a.Anchors, a.Z}, step),
		format.NewInt32(tensorHyperLimit, []int{a.Z}, prior.limit),
		format.NewInt16(tensorHyperTable, []int{a.Z, prior.contexts}, prior.table),
		format.NewUint16(tensorHyperFreq, []int{len(prior.freq)}, prior.freq),
		format.NewInt16(ScaleWeight, []int{a.Z, scaleBlock * a.M}, scale.weight),
		format.NewInt32(ScaleBias, []int{a.M}, scale.bias),
		format.NewInt32(ScaleOffset, []int{a.Anchors, a.M}, scale.offset),
		format.NewInt32(tensorScaleShift, []int{2}, []int32{int32(scale.drop), int32(scale.shift)}),
		format.NewInt32(tensorScaleReach, []int{ScaleLevels}, reach),
		format.NewUint16(tensorScaleFreq, []int{len(scaleFreq)}, scaleFreq),
	}, nil
}

// LoadModel reads a model file. It checks everything that Model relies on, so
// a damaged or hostile file gives an error here and none later.
func LoadModel(r io.Reader) (*Model, error) {
	file, err := format.ReadModel(r, nil)
	if err != nil {
		return nil, fmt.Errorf("codec: model: %w", err)
	}
	return newModel(file)
}

// newModel makes a model of what comes from outside, and checks all of it.
func newModel(file *format.ModelFile) (*Model, error) {
	m, err := openModel(file)
	if err != nil {
		return nil, err
	}
	if m.integers != nil {
		if err := m.integers.check(m.CanEncode()); err != nil {
			return nil, fmt.Errorf("codec: model %q: %w", file.Name, err)
		}
	}
	return m, nil
}

// openModel is the one way to a Model, from training as from a file. A synthesis in
// integers is not read before it is used: an encoder, as a rule, has no need of it.
func openModel(file *format.ModelFile) (*Model, error) {
	m := &Model{file: file, arch: new(Arch), params: nn.Params{}}
	// A receiver waits for the model: hashing it goes on beside the rest.
	fingerprint := make(chan [16]byte, 1)
	go func() { fingerprint <- file.Fingerprint() }()
	var other struct{ Kind string } // what models of package record have
	if json.Unmarshal(file.Description, &other); other.Kind != "" {
		return nil, fmt.Errorf("codec: model %q: is for %s, not for pictures", file.Name, other.Kind)
	}
	if err := json.Unmarshal(file.Description, m.arch); err != nil {
		return nil, fmt.Errorf("codec: model %q: description: %w", file.Name, err)
	}
	if len(file.Record) > 0 {
		if err := json.Unmarshal(file.Record, &m.record); err != nil {
			return nil, fmt.Errorf("codec: model %q: record: %w", file.Name, err)
		}
	}
	// The fingerprint does not cover the encoder half, so nothing that decoding
	// needs may come from there.
	for _, name := range decoderNetworks {
		if m.arch.Network(name) == nil {
			return nil, fmt.Errorf("codec: model %q: no network %s", file.Name, name)
		}
	}
	if len(file.Encoder) > 0 {
		networks, err := encoderHalf(file)
		if err != nil {
			return nil, fmt.Errorf("codec: model %q: encoder: %w", file.Name, err)
		}
		m.arch.Networks = append(m.arch.Networks, networks...)
	}
	if err := m.arch.Validate(); err != nil {
		return nil, fmt.Errorf("codec: model %q: %w", file.Name, err)
	}
	if err := m.load(file); err != nil {
		return nil, fmt.Errorf("codec: model %q: %w", file.Name, err)
	}
	m.print = <-fingerprint
	return m, nil
}

// encoderHalf returns the networks of a file's encoder.
func encoderHalf(file *format.ModelFile) (networks []*nn.Network, err error) {
	for i := range file.Encoder {
		if t := &file.Encoder[i]; t.Name == tensorNetworks {
			return networks, json.Unmarshal(t.Data, &networks)
		}
	}
	return nil, errors.New("no networks")
}

// loadNetworks takes the parameters of networks from t.
func (m *Model) loadNetworks(names []string, t *tensorReader) error {
	for _, name := range names {
		specs, err := m.arch.networkSpecs(name)
		if err != nil {
			return err
		}
		for _, s := range specs {
			m.params[s.Name] = &nn.Param{Name: s.Name, Shape: s.Shape, Data: t.floats(s.Name, s.Shape...)}
		}
	}
	return t.err
}

// load takes weights and tables, side by side.
func (m *Model) load(file *format.ModelFile) error {
	if hasIntegers(file.Decoder) {
		m.integers = newIntegerSynthesis(m.arch, file)
	}
	weights := make(chan error, 1)
	go func() { weights <- m.loadWeights(file) }()
	tables := m.loadTables(newTensorReader(file.Decoder))
	if err := <-weights; err != nil {
		return err
	}
	if tables != nil {
		return tables
	}

	a := m.arch
	m.features = a.Network(Context).Inputs[0].C
	m.hyperSynthesis = newProgram(a.Network(HyperSynthesis), m.params, HyperStride)
	m.context = newProgram(a.Network(Context), m.params, 1)
	m.synthesis = newProgram(a.Network(Synthesis), m.params, 1)
	if a.HasEncoder() {
		m.analysis = newProgram(a.Network(Analysis), m.params, 1./LatentStride)
		m.hyperAnalysis = newProgram(a.Network(HyperAnalysis), m.params, 1)
	}
	return nil
}

// search returns the synthesis that refinement differentiates: in floats, with the
// rounding of the integers if it is in those.
func (m *Model) search() (*nn.Program, error) {
	if m.integers != nil {
		return m.integers.search()
	}
	return m.synthesis.compile()
}

// loadWeights takes the weights in floats, of which a synthesis in integers has none.
func (m *Model) loadWeights(file *format.ModelFile) error {
	decoder := decoderNetworks
	if m.integers != nil {
		decoder = slices.DeleteFunc(slices.Clone(decoder), func(name string) bool { return name == Synthesis })
	}
	if err := m.loadNetworks(decoder, newTensorReader(file.Decoder)); err != nil || !m.arch.HasEncoder() {
		return err
	}
	return m.loadNetworks(encoderNetworks, newTensorReader(file.Encoder))
}

// loadTables takes gains and what the entropy coder needs.
func (m *Model) loadTables(t *tensorReader) error {
	a := m.arch
	m.gainEnc = t.floats(GainEnc, a.Anchors, a.M)
	m.gainDec = t.floats(GainDec, a.Anchors, a.M)
	step := t.ints(tensorHyperStep, a.Anchors, a.Z)
	limit := t.ints(tensorHyperLimit, a.Z)
	weight := t.shorts(ScaleWeight, a.Z, scaleBlock*a.M)
	bias := t.ints(ScaleBias, a.M)
	offset := t.ints(ScaleOffset, a.Anchors, a.M)
	shift := t.ints(tensorScaleShift, 2)
	reach := t.ints(tensorScaleReach, ScaleLevels)
	table, contexts := t.hyperTable(limit)
	hyperFreq := t.unsigned(tensorHyperFreq)
	scaleFreq := t.unsigned(tensorScaleFreq)
	if t.err != nil {
		return t.err
	}

	var err error
	if m.scale, err = newScaleMap(a, int(shift[0]), int(shift[1]), weight, step, limit, bias, offset); err != nil {
		return err
	}
	if m.prior, err = newHyperPrior(limit, contexts, table, hyperFreq, a.Anchors); err != nil {
		return err
	}
	byLevel, rest, err := cutFreq(scaleFreq, reach)
	if err != nil || len(rest) > 0 {
		return errors.New("scale tables: wrong length")
	}
	if m.scaleTables, err = newScaleTables(reach, byLevel); err != nil {
		return err
	}

	m.savings = sync.OnceValue(func() []savings {
		out := make([]savings, len(byLevel))
		for l, freq := range byLevel {
			out[l] = newSavings(freq)
		}
		return out
	})
	return nil
}

// cutFreq takes one table for each reach from freq, 2·reach+2 entries long.
func cutFreq(freq []uint16, reach []int32) (tables [][]uint16, rest []uint16, err error) {
	tables = make([][]uint16, len(reach))
	for i, r := range reach {
		if r < 0 || r > format.MaxSymbol {
			return nil, nil, fmt.Errorf("table %d reaches to %d", i, r)
		}
		n := 2*int(r) + 2
		if n > len(freq) {
			return nil, nil, fmt.Errorf("table %d is cut off", i)
		}
		tables[i], freq = freq[:n:n], freq[n:]
	}
	return tables, freq, nil
}

// tensorReader takes tensors by name and remembers the first thing that is
// wrong with one.
type tensorReader struct {
	tensors map[string]*format.Tensor
	err     error
}

func newTensorReader(tensors []format.Tensor) *tensorReader {
	r := &tensorReader{tensors: make(map[string]*format.Tensor, len(tensors))}
	for i := range tensors {
		r.tensors[tensors[i].Name] = &tensors[i]
	}
	return r
}

// get returns the tensor if it is there and has the shape.
func (r *tensorReader) get(name string, shape ...int) *format.Tensor {
	t := r.tensors[name]
	switch {
	case r.err != nil:
	case t == nil:
		r.err = fmt.Errorf("tensor %q is missing", name)
	case len(shape) > 0 && !slices.Equal(t.Shape, shape):
		r.err = fmt.Errorf("tensor %q is %v, want %v", name, t.Shape, shape)
	default:
		return t
	}
	return nil
}

func (r *tensorReader) fail(name string, err error) {
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("tensor %q: %w", name, err)
	}
}

func (r *tensorReader) floats(name string, shape ...int) []float32 {
	t := r.get(name, shape...)
	if t == nil {
		return nil
	}
	v, err := t.Float32s()
	r.fail(name, err)
	if r.err == nil {
		r.err = checkFinite(name, v)
	}
	return v
}

func (r *tensorReader) ints(name string, shape ...int) []int32 {
	t := r.get(name, shape...)
	if t == nil {
		return nil
	}
	v, err := t.Int32s()
	r.fail(name, err)
	return v
}

func (r *tensorReader) shorts(name string, shape ...int) []int16 {
	t := r.get(name, shape...)
	if t == nil {
		return nil
	}
	v, err := t.Int16s()
	r.fail(name, err)
	return v
}

// hyperTable takes the tables by channel and context.
func (r *tensorReader) hyperTable(limit []int32) (table []int16, contexts int) {
	t := r.get(tensorHyperTable)
	if t == nil {
		return nil, 0
	}
	if len(t.Shape) != 2 || t.Shape[0] != len(limit) || t.Shape[1]%2 == 0 {
		r.fail(tensorHyperTable, fmt.Errorf("is %v, want %d times an odd number", t.Shape, len(limit)))
		return nil, 0
	}
	return r.shorts(tensorHyperTable), t.Shape[1]
}

func (r *tensorReader) unsigned(name string) []uint16 {
	t := r.get(name)
	if t == nil {
		return nil
	}
	v, err := t.Uint16s()
	r.fail(name, err)
	return v
}

// hyperSteps turns logs of gz into G = 256/gz, rounded.
func hyperSteps(logGain []float32) []int32 {
	step := make([]int32, len(logGain))
	for i, g := range logGain {
		v := math.RoundToEven((1 << stepBits) * kernels.Exp64(-float64(g)))
		step[i] = int32(min(max(v, 1), maxStep))
	}
	return step
}

// Save writes the model file; decoderOnly leaves out what only encoding needs.
// Both files have the same fingerprint.
func (m *Model) Save(w io.Writer, decoderOnly bool) error {
	file := *m.file
	if decoderOnly {
		file.Encoder = nil
	}
	if err := format.WriteModel(w, &file); err != nil {
		return fmt.Errorf("codec: model %q: %w", file.Name, err)
	}
	return nil
}

// Name returns the name that files carry in their header beside the fingerprint.
func (m *Model) Name() string { return m.file.Name }

// Fingerprint identifies everything that decides a decoded bit. A file decodes
// with a model of its fingerprint and with no other.
func (m *Model) Fingerprint() [16]byte { return m.print }

// Card returns the model's record.
func (m *Model) Card() Record { return m.record }

// Arch returns the architecture, which must not be changed.
func (m *Model) Arch() *Arch { return m.arch }

// CanEncode reports whether the model has its encoder half.
func (m *Model) CanEncode() bool { return m.arch.HasEncoder() }

// structural reports whether the model was trained for MS-SSIM: squared errors
// then say little about what its tiles are worth.
func (m *Model) structural() bool { return m.record.Distortion == DistortionSSIM }

// MACs returns the multiply-accumulates per pixel of encoding and decoding;
// see Arch.MACs.
func (m *Model) MACs() (encode, decode float64) {
	encode, decode, err := m.arch.MACs()
	if err != nil {
		return 0, 0 // the networks passed Validate on the same grid
	}
	return encode, decode
}

// Params returns a copy of the parameters for training to continue from, as
// Arch.ParamSpecs lists them: network weights as rounded, integer tables turned
// back into floats, the priors of the hyper-latent as fitted Gaussians. The
// encoder's are missing from a model that cannot encode.
func (m *Model) Params() nn.Params {
	a := m.arch
	p := nn.Params{}
	params := []nn.Params{m.params}
	if m.integers != nil && m.CanEncode() {
		if floats, err := m.integers.floats(); err == nil { // which it was when the model was opened, or built into the program
			params = append(params, floats)
		}
	}
	for _, part := range params {
		for name, t := range part {
			p[name] = &nn.Param{Name: name, Shape: slices.Clone(t.Shape), Data: slices.Clone(t.Data)}
		}
	}
	for _, s := range a.tableSpecs() {
		p[s.Name] = nn.NewParam(s.Name, s.Shape...)
	}
	copy(p[GainEnc].Data, m.gainEnc)
	copy(p[GainDec].Data, m.gainDec)
	for i, g := range m.scale.step {
		p[GainZ].Data[i] = float32(kernels.Log64((1 << stepBits) / float64(g)))
		mean, logSigma := m.prior.moments(i/a.Z, i%a.Z)
		p[PriorMean].Data[i], p[PriorLogSigma].Data[i] = float32(mean), float32(logSigma)
	}
	m.scale.floats(p[ScaleWeight].Data, p[ScaleBias].Data, p[ScaleOffset].Data)
	return p
}
