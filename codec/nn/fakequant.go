package nn

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/aecodec/aecodec/kernels"
)

// ByteSteps returns what [Network.FakeQuantise] takes: for every value that
// Quantise, with the same arguments, would read in bytes, a parameter
// [2, C] by the value's name with the step of a byte and the byte of 0 for each channel.
func (n *Network) ByteSteps(p Params, ranges map[string]*Range, o QuantiseOptions) (Params, error) {
	q, err := n.quantiser(p, ranges, o)
	if err != nil {
		return nil, err
	}
	steps := Params{}
	for v, read := range q.bytes {
		if !read {
			continue
		}
		c := len(q.step[v])
		t := NewParam(q.name(v), 2, c)
		for i, s := range q.step[v] {
			t.Data[i], t.Data[c+i] = float32(max(s*byteUnit, leastStep)), float32(q.zero[v][i])
		}
		steps[t.Name] = t
	}
	return steps, nil
}

// leastStep keeps the steps of a value that is always zero away from numbers whose
// reciprocal is none.
const leastStep = 0x1p-100

// FakeQuantised is a network for training that computes in floats about what its
// integers will: what convolutions and depthwise layers read in bytes is rounded to
// the bytes' values on the way, and weights of 8 bits by RoundWeights. What has 16
// bits is left as it is. (Jacob et al., CVPR 2018, arXiv:1712.05877.)
type FakeQuantised struct {
	Network *Network // of the same name and parameters, with layers of OpFakeQuant
	Params  Params   // of these layers
	narrow  []narrowLayer
}

// narrowLayer is a convolution with weights of 8 bits.
type narrowLayer struct {
	weight string
	steps  []float32 // of its input
}

// FakeQuantise inserts the roundings. wide names the layers that read 16
// bits, as QuantiseOptions does; steps has a parameter for each value that another
// one reads, see [Network.ByteSteps].
func (n *Network) FakeQuantise(steps Params, wide map[string]bool) (*FakeQuantised, error) {
	if err := n.Validate(); err != nil {
		return nil, err
	}
	f := &FakeQuantised{Params: Params{}, Network: &Network{Name: n.Name, Inputs: n.Inputs, Outputs: n.Outputs}}
	done := map[string]string{} // layers that round, by the value that they round
	previous := n.Inputs[0].Name
	for _, l := range n.Layers {
		l.In = slices.Clone(l.In)
		if len(l.In) == 0 {
			l.In = []string{previous}
		}
		previous = l.Name
		if (l.Op == OpDepthwise || l.Op == OpConv) && !wide[l.Name] {
			x := l.In[0]
			t := steps[x]
			if t == nil || len(t.Shape) != 2 || t.Shape[0] != 2 || len(t.Data) != 2*t.Shape[1] {
				return nil, n.layerError(&l, "fake quantisation: no steps of %q", x)
			}
			c := t.Shape[1]
			if err := checkSteps(t.Data[:c], t.Data[c:]); err != nil {
				return nil, n.layerError(&l, "fake quantisation: %q: %w", x, err)
			}
			if done[x] == "" {
				round := Layer{Name: x + ".bytes", Op: OpFakeQuant, In: []string{x}}
				f.Network.Layers = append(f.Network.Layers, round)
				done[x] = round.Name
				f.Params[n.weightName(&round)] = &Param{Name: n.weightName(&round), Shape: t.Shape, Data: t.Data}
			}
			l.In[0] = done[x]
			if l.Op == OpConv {
				f.narrow = append(f.narrow, narrowLayer{n.weightName(&l), t.Data[:c]})
			}
		}
		f.Network.Layers = append(f.Network.Layers, l)
	}
	if err := f.Network.Validate(); err != nil {
		return nil, fmt.Errorf("fake quantisation: %w", err)
	}
	return f, nil
}

// FakeQuantise returns the network that computes in floats about what q does. Its
// weights are those of Floats, which are rounded already.
func (q *Integers) FakeQuantise(n *Network) (*FakeQuantised, error) {
	steps, wide := Params{}, map[string]bool{}
	for name, step := range q.Step {
		offset, c := q.Offset[name], len(step)
		if len(offset) != c {
			continue // read in 16 bits
		}
		t := NewParam(name, 2, c)
		for i, s := range step {
			t.Data[i] = max(s*kernels.ByteUnit, leastStep)
			t.Data[c+i] = float32(min(offset[i]/kernels.ByteUnit, 255))
		}
		steps[name] = t
	}
	for name, l := range q.Layers {
		wide[name] = l.Wide
	}
	return n.FakeQuantise(steps, wide)
}

func checkSteps(steps, zeros []float32) error {
	for i, s := range steps {
		if z := zeros[i]; !(s > 0) || math.IsInf(float64(s), 0) || !(z >= 0 && z <= 255) || z != float32(int(z)) {
			return errors.New("steps must be positive and zero points bytes")
		}
	}
	return nil
}

// Shadow returns the parameters to compile the network with: those of p, which has
// all others that it needs, but own tensors for the rounded weights.
func (f *FakeQuantised) Shadow(p Params) (Params, error) {
	out := maps.Clone(p)
	maps.Copy(out, f.Params)
	for _, l := range f.narrow {
		t := p[l.weight]
		if t == nil || t.Shape[len(t.Shape)-2] != len(l.steps) {
			return nil, fmt.Errorf("nn: network %q: fake quantisation: %q is missing or of another shape", f.Network.Name, l.weight)
		}
		out[l.weight] = NewParam(l.weight, t.Shape...)
	}
	f.RoundWeights(out, p)
	return out, nil
}

// RoundWeights sets those weights of a shadow that have 8 bits to what is left of
// those of p. Every column has a step of its own, for weights in steps of the input.
func (f *FakeQuantised) RoundWeights(shadow, p Params) {
	for _, l := range f.narrow {
		src, dst := p[l.weight], shadow[l.weight].Data
		cols := src.Shape[len(src.Shape)-1]
		unit := make([]float32, cols)
		for k := 0; k*cols < len(dst); k++ {
			s := l.steps[k%len(l.steps)]
			for j, w := range src.Data[k*cols:][:cols] {
				unit[j] = max(unit[j], max(w, -w)*s)
			}
		}
		for j := range unit {
			unit[j] /= most8
		}
		for k := 0; k*cols < len(dst); k++ {
			s := l.steps[k%len(l.steps)]
			for j, w := range src.Data[k*cols:][:cols] {
				v := w
				if u := unit[j]; u > 0 {
					v = float32(math.RoundToEven(float64(w*s/u))) * u / s
				}
				dst[k*cols+j] = v
			}
		}
	}
}
