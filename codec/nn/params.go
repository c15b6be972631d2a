package nn

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
)

// Param is one trainable tensor. Data is row-major, len = product of Shape.
type Param struct {
	Name  string
	Shape []int
	Data  []float32
}

// Params are tensors by name.
type Params map[string]*Param

// NewParam returns a zero tensor.
func NewParam(name string, shape ...int) *Param {
	return &Param{Name: name, Shape: slices.Clone(shape), Data: make([]float32, product(shape))}
}

// Names returns the names in sorted order, the order in which anything that
// depends on order has to visit them.
func (p Params) Names() []string { return slices.Sorted(maps.Keys(p)) }

// ZeroLike returns zero tensors of the same names and shapes, for gradients
// and optimiser moments.
func (p Params) ZeroLike() Params {
	out := make(Params, len(p))
	for name, t := range p {
		out[name] = NewParam(name, t.Shape...)
	}
	return out
}

// ParamSpec describes a parameter that a network needs.
type ParamSpec struct {
	Name  string // "<network>.<layer>.weight" or ".bias"
	Shape []int
	// FanIn is the number of products summed in one output; 0 for biases
	// and channel gains, which are not drawn at random.
	FanIn int
}

// ParamShapes lists the parameters of the network in layer order. Only dense
// layers depend on the input shapes. The layouts are
//
//	conv          weight [KH, KW, Cin, Cout]   bias [Cout]
//	deconv        weight [KH, KW, Cin, Cout]   bias [Cout]   (Cin: channels of its input)
//	depthwise     weight [KH, KW, C]           bias [C]
//	dense         weight [H·W·C, Out]          bias [Out]
//	channelscale  weight [C]
//	fakequant     weight [2, C]: steps, zero points
func (n *Network) ParamShapes(in ...Shape) ([]ParamSpec, error) {
	values, err := n.inferValues(in)
	if err != nil {
		return nil, err
	}
	ins, _ := n.resolve()
	var specs []ParamSpec
	for i := range n.Layers {
		d := n.Layers[i].defaults()
		shape, fanIn := d.weightShape(values[ins[i][0]])
		if shape == nil {
			continue
		}
		if elements(shape) > math.MaxInt32 {
			return nil, n.layerError(&d, "weight %v is too large", shape)
		}
		specs = append(specs, ParamSpec{n.weightName(&d), shape, fanIn})
		if d.hasBias() {
			specs = append(specs, ParamSpec{n.biasName(&d), shape[len(shape)-1:], 0})
		}
	}
	return specs, nil
}

func (n *Network) weightName(l *Layer) string { return n.Name + "." + l.Name + ".weight" }
func (n *Network) biasName(l *Layer) string   { return n.Name + "." + l.Name + ".bias" }

// weightShape returns the layout of the weight for an input of shape s, nil
// for operations without parameters.
func (l *Layer) weightShape(s Shape) (shape []int, fanIn int) {
	k := l.Kernel
	switch l.Op {
	case OpConv:
		return []int{k, k, s.C, l.Out}, k * k * s.C
	case OpDeconv:
		// Every output sees each input channel through ceil(k/stride)² taps.
		t := (k + l.Stride - 1) / l.Stride
		return []int{k, k, s.C, l.Out}, t * t * s.C
	case OpDepthwise:
		return []int{k, k, s.C}, k * k
	case OpDense:
		return []int{s.Len(), l.Out}, s.Len()
	case OpChannelScale:
		return []int{s.C}, 0
	case OpFakeQuant:
		return []int{2, s.C}, 0
	}
	return nil, 0
}

// Init fills in the parameters that p lacks: weights uniform in ±√(6/fanIn)
// (He et al. 2015, for rectifiers), channel gains 1, biases 0. What p already
// has is left alone. A value depends on the seed and its own name only, and is
// the same on every machine. It panics if the network does not fit the shapes.
func (n *Network) Init(p Params, seed uint64, in ...Shape) {
	specs, err := n.ParamShapes(in...)
	if err != nil {
		panic(err)
	}
	for _, s := range specs {
		if p[s.Name] != nil {
			continue
		}
		t := NewParam(s.Name, s.Shape...)
		p[s.Name] = t
		switch {
		case s.FanIn > 0:
			initUniform(t, seed, math.Sqrt(6/float64(s.FanIn)))
		case s.Name[len(s.Name)-len("weight"):] == "weight":
			for i := range t.Data {
				t.Data[i] = 1
			}
		}
	}
}

// initUniform draws uniformly in ±limit. A uniform draw needs no logarithm, so
// unlike a normal one it does not depend on the platform's math library.
func initUniform(t *Param, seed uint64, limit float64) {
	h := fnv.New64a()
	h.Write([]byte(t.Name))
	r := rand.New(rand.NewPCG(seed, h.Sum64()))
	for i := range t.Data {
		u := float64(2*r.Float64()) - 1 // conversion: no fused multiply-add
		t.Data[i] = float32(u * limit)
	}
}

// checkParam returns the parameter if it is there and has the wanted shape.
func checkParam(p Params, name string, shape []int) (*Param, error) {
	t := p[name]
	if t == nil {
		return nil, fmt.Errorf("parameter %q is missing", name)
	}
	if !slices.Equal(t.Shape, shape) || len(t.Data) != product(shape) {
		return nil, fmt.Errorf("parameter %q is %v with %d numbers, want %v", name, t.Shape, len(t.Data), shape)
	}
	return t, nil
}

func product(shape []int) int {
	p := 1
	for _, d := range shape {
		p *= d
	}
	return p
}

// elements is product in float64, which cannot overflow.
func elements(shape []int) float64 {
	p := 1.0
	for _, d := range shape {
		p *= float64(d)
	}
	return p
}
