package trainer

import (
	"errors"
	"fmt"
	"image"
	"slices"
	"strings"

	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/codec/nn"
)

// QuantiseOptions are the settings of QuantiseSynthesis.
type QuantiseOptions struct {
	Data     []string // folders of pictures to calibrate with
	Pictures int      // how many, evenly spread; 0 means 32
	Threads  int
	Name     string      // of the new model; empty keeps that of the old one
	Warn     func(error) // of pictures that cannot be read; may be nil
}

// calibrationQualities span the gains: the latents of high quality are the
// widest in the channels of fine detail, which low quality leaves empty.
var calibrationQualities = [...]float64{1, 25, 50, 75, 100}

const (
	calibrationPictures = 32
	calibrationSide     = 512 // larger pictures are cut to this around the centre
)

// narrowLayers begin the names of the convolutions of the synthesis that read and
// weigh 8 bits: those of the body. All other layers have 16, because the sums of the
// linear shortcut and of the renderer cancel, and because depthwise layers are most
// sensitive and take as many instructions either way. Held-out loss with the rounding
// (nn.FakeQuantised) of the model photo of 2026-11-29, which has 0.9775 in floats and was
// not trained for it:
//
//	8 bits in the body and in depthwise layers   0.9834
//	in the body                                  0.9809
//	in the body but for to4                      0.9806
//	in s0, s1 and to8                            0.9801
//
// What training for integers makes of it is in EXPERIMENTS.md. On one thread with
// AVX-512, 1920x1080, decoding takes 64 ms with this choice, 78 with 16 bits
// everywhere, 117 in floats.
var narrowLayers = []string{"s0.", "s1.", "to8", "t0.", "to4"}

// wideLayers are the other convolutions of a network.
func wideLayers(net *nn.Network) map[string]bool {
	wide := make(map[string]bool)
	for i := range net.Layers {
		l := &net.Layers[i]
		narrow := slices.ContainsFunc(narrowLayers, func(prefix string) bool { return strings.HasPrefix(l.Name, prefix) })
		if l.Op == nn.OpConv && !narrow || l.Op == nn.OpDepthwise {
			wide[l.Name] = true
		}
	}
	return wide
}

// integerOptions says how a synthesis is expressed in integers.
func integerOptions(net *nn.Network) nn.QuantiseOptions {
	return nn.QuantiseOptions{
		Wide: wideLayers(net),
		// The codec's pixels are byte/255 - 1/2.
		Outputs: map[string]nn.ByteScale{net.Outputs[0]: {Step: 1. / 255, Zero: 127.5}},
	}
}

// QuantiseSynthesis returns m with a synthesis in exact integers, calibrated on
// sample pictures: every channel of every value gets the range that it has there
// when the network runs in floats. Weights are rounded, not trained again. m has
// to have its encoder. Pictures must not be those that results are measured on.
func QuantiseSynthesis(m *codec.Model, o *QuantiseOptions) (*codec.Model, error) {
	warn := o.Warn
	if warn == nil {
		warn = func(error) {}
	}
	set, warnings, err := scanPictures(o.Data, 0, o.Threads)
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		warn(w)
	}
	return quantiseSynthesis(m, set, o, nil, warn)
}

// quantiseSynthesis is QuantiseSynthesis on a set of pictures. bytes are the steps
// that the model was trained with, see nn.QuantiseOptions, or nil.
func quantiseSynthesis(m *codec.Model, set *pictures, o *QuantiseOptions, bytes nn.Params, warn func(error)) (*codec.Model, error) {
	if !m.CanEncode() {
		return nil, fmt.Errorf("trainer: quantise: model %q can only decode", m.Name())
	}
	net := m.Arch().Network(codec.Synthesis)
	c, err := newCalibration(net, m.Params(), o.Threads)
	if err != nil {
		return nil, fmt.Errorf("trainer: quantise: %w", err)
	}
	n := o.Pictures
	if n <= 0 {
		n = calibrationPictures
	}
	n = min(n, len(set.list))
	used := 0
	for i := range n {
		p := set.list[i*len(set.list)/n]
		rgb, err := set.pixels(p)
		if err != nil {
			warn(err)
			continue
		}
		img := centre(rgb, p.width, p.height, calibrationSide)
		for _, quality := range calibrationQualities {
			l, err := m.Analyze(img, quality)
			if err != nil {
				return nil, fmt.Errorf("trainer: quantise: %s: %w", p.path, err)
			}
			y, err := m.Dequantise(l)
			if err != nil {
				return nil, fmt.Errorf("trainer: quantise: %s: %w", p.path, err)
			}
			if err := c.add(y); err != nil {
				return nil, fmt.Errorf("trainer: quantise: %s: %w", p.path, err)
			}
		}
		used++
	}
	if used == 0 {
		return nil, errors.New("trainer: quantise: no usable picture")
	}
	options := integerOptions(net)
	options.Bytes = bytes
	q, err := net.Quantise(m.Params(), c.ranges, options)
	if err != nil {
		return nil, fmt.Errorf("trainer: quantise: %w", err)
	}
	return m.WithIntegerSynthesis(q, o.Name)
}

// calibration collects the ranges of all values of a network.
type calibration struct {
	program *nn.Program // all values are outputs
	arena   *nn.Arena
	threads int
	ranges  map[string]*nn.Range
}

func newCalibration(net *nn.Network, p nn.Params, threads int) (*calibration, error) {
	all := *net
	all.Outputs = nil
	for _, in := range net.Inputs {
		all.Outputs = append(all.Outputs, in.Name)
	}
	for _, l := range net.Layers {
		all.Outputs = append(all.Outputs, l.Name)
	}
	program, err := nn.Compile(&all, p)
	if err != nil {
		return nil, err
	}
	c := &calibration{program: program, arena: nn.NewArena(), threads: threads, ranges: map[string]*nn.Range{}}
	for _, name := range all.Outputs {
		c.ranges[name] = new(nn.Range)
	}
	return c, nil
}

func (c *calibration) add(in ...*nn.Tensor) error {
	out, err := c.program.Run(c.arena, c.threads, in...)
	if err != nil {
		return err
	}
	for i, name := range c.program.Network().Outputs {
		c.ranges[name].Extend(out[i])
	}
	return nil
}

// centre is the middle of a picture, at most side pixels wide and high.
func centre(rgb []byte, width, height, side int) image.Image {
	w, h := min(width, side), min(height, side)
	x0, y0 := (width-w)/2, (height-h)/2
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		row := rgb[3*((y0+y)*width+x0):][:3*w]
		out := m.Pix[y*m.Stride:][:4*w]
		for x := range w {
			out[4*x], out[4*x+1], out[4*x+2], out[4*x+3] = row[3*x], row[3*x+1], row[3*x+2], 0xff
		}
	}
	return m
}
