package codec

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/format"
)

// A model may carry its synthesis in exact integers, as tensors of the decoder
// part. The fingerprint covers them like all others, so a file names the arithmetic
// that its pixels are of: a decoder whose model has these tensors uses them, and
// there is nothing to choose. The weights in floats, which only the encoder's search
// and training use then, are not stored but what these integers stand for.
//
//	synthesis.int.<layer>.weight   I8, or I16 where the layer is depthwise or reads 16 bits; shape of the float weights
//	                               (a depthwise layer reads 16 bits if its input has no offset)
//	synthesis.int.<layer>.bias     I32 [channels]
//	synthesis.int.<layer>.shift    I32 [channels]
//	synthesis.int.<layer>.mul      I16 [channels]
//	synthesis.int.<value>.offset   I16 [channels]
//	synthesis.int.<input>.scale    F32 [channels]
//
// and in the encoder part, see nn.Integers,
//
//	synthesis.int.<layer>.unit     F32 [channels]
//	synthesis.int.<value>.step     F32 [channels]
const intPrefix = Synthesis + ".int."

// integerSynthesis is the synthesis of a model in integers. Its parts are made when
// they are first asked for.
type integerSynthesis struct {
	program  func() (*nn.IntProgram, error)
	floats   func() (nn.Params, error)         // what the integers stand for; only with an encoder
	rounding func() (*nn.FakeQuantised, error) // the network in floats that rounds as they do; only with an encoder
	search   func() (*nn.Program, error)       // the same, compiled

	memory sync.Pool // *nn.IntRows
}

// newIntegerSynthesis makes one of the tensors of a file.
func newIntegerSynthesis(a *Arch, file *format.ModelFile) *integerSynthesis {
	net := a.Network(Synthesis)
	integers := sync.OnceValues(func() (*nn.Integers, error) { return readIntegers(a, file) })
	s := &integerSynthesis{memory: sync.Pool{New: func() any { return new(nn.IntRows) }}}
	s.program = sync.OnceValues(func() (*nn.IntProgram, error) {
		q, err := integers()
		if err != nil {
			return nil, err
		}
		p, err := nn.CompileIntegers(net, q)
		if err != nil {
			return nil, fmt.Errorf("integer synthesis: %w", err)
		}
		return p, nil
	})
	s.floats = sync.OnceValues(func() (nn.Params, error) {
		q, err := integers()
		if err != nil {
			return nil, err
		}
		specs, err := a.networkSpecs(Synthesis)
		if err != nil {
			return nil, err
		}
		p, err := q.Floats(net)
		if err != nil {
			return nil, err
		}
		for _, spec := range specs {
			if err := checkParam(p, spec); err != nil {
				return nil, err
			}
		}
		return p, nil
	})
	s.rounding = sync.OnceValues(func() (*nn.FakeQuantised, error) {
		q, err := integers()
		if err != nil {
			return nil, err
		}
		return q.FakeQuantise(net)
	})
	s.search = sync.OnceValues(func() (*nn.Program, error) {
		floats, err := s.floats()
		if err != nil {
			return nil, err
		}
		rounding, err := s.rounding()
		if err != nil {
			return nil, err
		}
		params := maps.Clone(floats)
		maps.Copy(params, rounding.Params)
		return nn.Compile(rounding.Network, params)
	})
	return s
}

// check makes all parts, which says what is wrong with them.
func (s *integerSynthesis) check(encoder bool) error {
	_, err := s.program()
	if err == nil && encoder {
		if _, err = s.floats(); err == nil {
			_, err = s.rounding()
		}
	}
	return err
}

// WithIntegerSynthesis returns a model like m whose synthesis is computed in the
// integers q. Its output has to be in bytes, which become the pixels. The new
// model has another fingerprint, and is called name if that is not empty.
func (m *Model) WithIntegerSynthesis(q *nn.Integers, name string) (*Model, error) {
	if !m.CanEncode() {
		return nil, fmt.Errorf("codec: integer synthesis: model %q can only decode", m.Name())
	}
	file := *m.file
	others := func(tensors []format.Tensor) (out []format.Tensor) {
		for _, t := range tensors {
			if !strings.HasPrefix(t.Name, Synthesis+".") {
				out = append(out, t)
			}
		}
		return out
	}
	file.Decoder, file.Encoder = others(m.file.Decoder), others(m.file.Encoder)
	if name != "" {
		file.Name = name
	}
	net := m.arch.Network(Synthesis)
	specs, err := m.arch.networkSpecs(Synthesis)
	if err != nil {
		return nil, err
	}
	shapes := shapesOf(specs)
	for _, in := range net.Inputs {
		if scale := q.Scale[in.Name]; scale != nil {
			file.Decoder = append(file.Decoder, format.NewFloat32(intPrefix+in.Name+".scale", []int{len(scale)}, scale))
		}
	}
	add16 := func(name string, v []int16) {
		file.Decoder = append(file.Decoder, format.NewInt16(name, []int{len(v)}, v))
	}
	add32 := func(name string, v []int32) {
		file.Decoder = append(file.Decoder, format.NewInt32(name, []int{len(v)}, v))
	}
	encoder := func(name string, v []float32) {
		file.Encoder = append(file.Encoder, format.NewFloat32(name, []int{len(v)}, v))
	}
	for _, value := range valueNames(net) {
		if offset := q.Offset[value]; offset != nil {
			add16(intPrefix+value+".offset", offset)
		}
		if step := q.Step[value]; step != nil {
			encoder(intPrefix+value+".step", step)
		}
	}
	for i := range net.Layers {
		l := &net.Layers[i]
		w := q.Layers[l.Name]
		if w == nil {
			continue
		}
		shape := shapes[net.Name+"."+l.Name+".weight"]
		if shape == nil || elements(shape) != len(w.Weight) {
			return nil, fmt.Errorf("codec: integer synthesis: layer %q: %d weights do not fit the network", l.Name, len(w.Weight))
		}
		if l.Op == nn.OpDepthwise && w.Wide == (q.Offset[inputOf(net, i)] != nil) {
			return nil, fmt.Errorf("codec: integer synthesis: layer %q: reads 16 bits of a value in bytes, or bytes of another", l.Name)
		}
		prefix := intPrefix + l.Name
		if w.Wide || l.Op == nn.OpDepthwise {
			file.Decoder = append(file.Decoder, format.NewInt16(prefix+".weight", shape, w.Weight))
		} else {
			data := make([]byte, len(w.Weight))
			for k, v := range w.Weight {
				data[k] = byte(int8(v))
			}
			file.Decoder = append(file.Decoder, format.Tensor{Name: prefix + ".weight", DType: format.I8, Shape: shape, Data: data})
		}
		add32(prefix+".bias", w.Bias)
		add32(prefix+".shift", w.Shift)
		add16(prefix+".mul", w.Mul)
		encoder(prefix+".unit", w.Unit)
	}
	return newModel(&file)
}

// HasIntegerSynthesis reports whether pictures of the model are rendered in exact
// integers.
func (m *Model) HasIntegerSynthesis() bool { return m.integers != nil }

func isIntegerTensor(name string) bool { return strings.HasPrefix(name, intPrefix) }

// hasIntegers reports whether the decoder part of a model has a synthesis in
// integers.
func hasIntegers(decoder []format.Tensor) bool {
	return slices.ContainsFunc(decoder, func(t format.Tensor) bool { return isIntegerTensor(t.Name) })
}

// shapesOf returns the shapes by name.
func shapesOf(specs []nn.ParamSpec) map[string][]int {
	shapes := make(map[string][]int, len(specs))
	for _, s := range specs {
		shapes[s.Name] = s.Shape
	}
	return shapes
}

// inputOf is the name of the value that layer i, which has one input, reads.
func inputOf(net *nn.Network, i int) string {
	switch in := net.Layers[i].In; {
	case len(in) > 0:
		return in[0]
	case i > 0:
		return net.Layers[i-1].Name
	}
	return net.Inputs[0].Name
}

// valueNames lists the inputs and layers of a network.
func valueNames(net *nn.Network) []string {
	var names []string
	for _, in := range net.Inputs {
		names = append(names, in.Name)
	}
	for _, l := range net.Layers {
		names = append(names, l.Name)
	}
	return names
}

// readIntegers reads the integer synthesis of a file that has one, from its decoder
// part and, if it has an encoder, from that.
func readIntegers(a *Arch, file *format.ModelFile) (*nn.Integers, error) {
	t := newTensorReader(file.Decoder)
	var encoder *tensorReader
	if a.HasEncoder() {
		encoder = newTensorReader(file.Encoder)
	}
	net := a.Network(Synthesis)
	specs, err := a.networkSpecs(Synthesis)
	if err != nil {
		return nil, err
	}
	shapes := shapesOf(specs)
	q := &nn.Integers{Scale: map[string][]float32{}, Offset: map[string][]int16{}, Layers: map[string]*nn.IntLayer{}, Step: map[string][]float32{}}
	for _, in := range net.Inputs {
		q.Scale[in.Name] = t.floats(intPrefix+in.Name+".scale", in.C)
	}
	for _, value := range valueNames(net) {
		if name := intPrefix + value + ".offset"; t.tensors[name] != nil {
			q.Offset[value] = t.shorts(name)
		}
		if name := intPrefix + value + ".step"; encoder != nil && encoder.tensors[name] != nil {
			q.Step[value] = encoder.floats(name)
		}
	}
	for i := range net.Layers {
		l := &net.Layers[i]
		if l.Op != nn.OpConv && l.Op != nn.OpDepthwise {
			continue
		}
		prefix := intPrefix + l.Name
		w := &nn.IntLayer{}
		shape := shapes[net.Name+"."+l.Name+".weight"]
		weight := t.get(prefix+".weight", shape...)
		if weight == nil {
			return nil, t.err
		}
		if weight.DType == format.I8 {
			w.Weight = make([]int16, len(weight.Data))
			for k, v := range weight.Data {
				w.Weight[k] = int16(int8(v))
			}
		} else {
			w.Wide = l.Op == nn.OpConv || q.Offset[inputOf(net, i)] == nil
			w.Weight = t.shorts(prefix+".weight", shape...)
		}
		w.Bias, w.Shift, w.Mul = t.ints(prefix+".bias"), t.ints(prefix+".shift"), t.shorts(prefix+".mul")
		if encoder != nil {
			w.Unit = encoder.floats(prefix+".unit", len(w.Bias))
		}
		q.Layers[l.Name] = w
	}
	if t.err != nil {
		return nil, t.err
	}
	if encoder != nil && encoder.err != nil {
		return nil, encoder.err
	}
	if q.Offset[net.Outputs[0]] == nil {
		return nil, errors.New("integer synthesis: output is not in bytes")
	}
	return q, nil
}

// synthesise draws the pixels of a job.
func (s *integerSynthesis) synthesise(dst *canvas, src *latents, cut *cutter, job area) error {
	program, err := s.program()
	if err != nil {
		return fmt.Errorf("codec: %w", err)
	}
	rows := s.memory.Get().(*nn.IntRows)
	defer s.memory.Put(rows)
	x0, x1 := cut.columns(job)
	in := []nn.Shape{{H: cut.h, W: x1 - x0, C: src.m}}
	err = rows.Start(program, in, job.y0*LatentStride, job.y1*LatentStride, func(y int, dst [][]float32) {
		dst[0] = src.row(y, x0, x1)
	})
	if err != nil {
		return fmt.Errorf("codec: integer synthesis: %w", err)
	}
	from, to := (job.x0-x0)*LatentStride*3, (job.x1-x0)*LatentStride*3
	for lo, hi := rows.Next(); lo < hi; lo, hi = rows.Next() {
		for y := lo; y < hi; y++ {
			dst.storeBytes(job.x0*LatentStride, y, rows.Row8(0, y)[from:to])
		}
	}
	return nil
}

// Dequantise returns the latent [1, h, w, M] that the synthesis of m turns into
// the picture, for latents of this model. It serves to calibrate and to measure.
func (m *Model) Dequantise(l *Latents) (*nn.Tensor, error) {
	q, err := parseQuality(l.Quality)
	if err != nil {
		return nil, err
	}
	p, err := m.at(q)
	if err != nil {
		return nil, err
	}
	M := m.arch.M
	h, w := ceilDiv(l.Height, LatentStride), ceilDiv(l.Width, LatentStride)
	out := nn.NewTensor(1, h, w, M)
	dst := &latents{area: area{0, 0, w, h}, m: M, data: out.Data}
	for _, t := range l.Tiles {
		if err := m.reconstructTile(t, p, 0, t.H, threads(0), dst); err != nil {
			return nil, err
		}
	}
	return out, nil
}
