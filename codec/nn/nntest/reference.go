package nntest

import (
	"math"

	"github.com/aecodec/aecodec/codec/nn"
)

// Value is a batch of samples in float64, NHWC.
type Value struct {
	N    int
	S    nn.Shape
	Data []float64
}

// Wide converts a tensor.
func Wide(t *nn.Tensor) *Value {
	return &Value{t.N, t.Shape(), wide(t.Data)}
}

func wide(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// at returns an element, 0 outside the image.
func (v *Value) at(n, y, x, c int) float64 {
	if y < 0 || x < 0 || y >= v.S.H || x >= v.S.W {
		return 0
	}
	return v.Data[((n*v.S.H+y)*v.S.W+x)*v.S.C+c]
}

// Params64 are parameters in float64, by name.
type Params64 map[string][]float64

// WideParams converts parameters.
func WideParams(p nn.Params) Params64 {
	out := Params64{}
	for name, t := range p {
		out[name] = wide(t.Data)
	}
	return out
}

// Evaluate computes every value of the network by the formulas in the
// documentation of nn.Op, one output at a time. Layers must name their inputs.
func Evaluate(n *nn.Network, p Params64, in []*Value) map[string]*Value {
	shapes := make([]nn.Shape, len(in))
	values := map[string]*Value{}
	for i, port := range n.Inputs {
		shapes[i] = in[i].S
		values[port.Name] = in[i]
	}
	inferred, err := n.Infer(shapes...)
	if err != nil {
		panic(err)
	}
	for i := range n.Layers {
		l := &n.Layers[i]
		var args []*Value
		for _, name := range l.In {
			args = append(args, values[name])
		}
		s := inferred[l.Name]
		out := &Value{N: in[0].N, S: s, Data: make([]float64, 0, in[0].N*s.Len())}
		e := &evaluation{l: l, in: args, out: s, w: p[n.Name+"."+l.Name+".weight"], bias: p[n.Name+"."+l.Name+".bias"]}
		e.defaults()
		for i := range out.N {
			for y := range s.H {
				for x := range s.W {
					for c := range s.C {
						out.Data = append(out.Data, e.value(i, y, x, c))
					}
				}
			}
		}
		values[l.Name] = out
	}
	return values
}

type evaluation struct {
	l       *nn.Layer
	in      []*Value
	out     nn.Shape
	w, bias []float64
	k, s    int // kernel, stride
	valid   bool
}

// defaults repeats those documented for nn.Layer.
func (e *evaluation) defaults() {
	e.k, e.s = max(e.l.Kernel, 1), max(e.l.Stride, 1)
	e.valid = e.l.Padding == nn.PadValid
	if e.l.Op == nn.OpMaxPool || e.l.Op == nn.OpAvgPool {
		if e.l.Stride == 0 {
			e.s = e.k
		}
		e.valid = e.l.Padding != nn.PadSame
	}
}

// pad is the padding before the first pixel of an axis.
func (e *evaluation) pad(in, out int) int {
	if e.valid {
		return 0
	}
	return max((out-1)*e.s+e.k-in, 0) / 2
}

// value computes one output.
func (e *evaluation) value(n, y, x, c int) float64 {
	in, s, out, k, r := e.in[0], e.in[0].S, e.out, e.k, e.l.Factor
	sum := 0.0
	if e.bias != nil {
		sum = e.bias[c]
	}
	switch e.l.Op {
	case nn.OpConv:
		py, px := e.pad(s.H, out.H), e.pad(s.W, out.W)
		for ky := range k {
			for kx := range k {
				for ci := range s.C {
					sum += in.at(n, y*e.s-py+ky, x*e.s-px+kx, ci) * e.w[((ky*k+kx)*s.C+ci)*out.C+c]
				}
			}
		}
		return sum
	case nn.OpDeconv:
		py, px := e.pad(out.H, s.H), e.pad(out.W, s.W)
		for iy := range s.H {
			for ix := range s.W {
				ky, kx := y+py-iy*e.s, x+px-ix*e.s
				if ky < 0 || kx < 0 || ky >= k || kx >= k {
					continue
				}
				for ci := range s.C {
					sum += in.at(n, iy, ix, ci) * e.w[((ky*k+kx)*s.C+ci)*out.C+c]
				}
			}
		}
		return sum
	case nn.OpDepthwise:
		for ky := range k {
			for kx := range k {
				sum += in.at(n, y-k/2+ky, x-k/2+kx, c) * e.w[(ky*k+kx)*s.C+c]
			}
		}
		return sum
	case nn.OpDense:
		for j, v := range in.Data[n*s.Len() : (n+1)*s.Len()] {
			sum += v * e.w[j*out.C+c]
		}
		return sum
	case nn.OpMaxPool, nn.OpAvgPool:
		py, px := e.pad(s.H, out.H), e.pad(s.W, out.W)
		best, count := math.Inf(-1), 0
		for ky := range k {
			for kx := range k {
				iy, ix := y*e.s-py+ky, x*e.s-px+kx
				if iy < 0 || ix < 0 || iy >= s.H || ix >= s.W {
					continue
				}
				v := in.at(n, iy, ix, c)
				best = math.Max(best, v)
				sum += v
				count++
			}
		}
		if e.l.Op == nn.OpMaxPool {
			return best
		}
		return sum / float64(count)
	case nn.OpUpsample:
		return in.at(n, y/r, x/r, c)
	case nn.OpShuffle:
		return in.at(n, y/r, x/r, (y%r*r+x%r)*out.C+c)
	case nn.OpUnshuffle:
		b := c / s.C
		return in.at(n, y*r+b/r, x*r+b%r, c%s.C)
	case nn.OpConcat:
		for _, o := range e.in {
			if c < o.S.C {
				return o.at(n, y, x, c)
			}
			c -= o.S.C
		}
	case nn.OpSlice:
		return in.at(n, y, x, e.l.From+c)
	case nn.OpReshape, nn.OpFlatten:
		return in.Data[n*s.Len()+(y*out.W+x)*out.C+c]
	}
	v := in.at(n, y, x, c)
	switch e.l.Op {
	case nn.OpLeaky:
		return math.Max(v, v*float64(e.l.Slope))
	case nn.OpReLU:
		return math.Max(v, 0)
	case nn.OpSigmoid:
		return 1 / (1 + math.Exp(-v))
	case nn.OpTanh:
		return math.Tanh(v)
	case nn.OpSoftplus:
		return math.Log1p(math.Exp(v))
	case nn.OpSymlog:
		return math.Copysign(math.Log1p(math.Abs(v)), v)
	case nn.OpIdentity:
		return v
	case nn.OpChannelScale:
		return v * e.w[c]
	case nn.OpAdd, nn.OpMul, nn.OpSub:
		for _, o := range e.in[1:] {
			switch e.l.Op {
			case nn.OpAdd:
				v += o.at(n, y, x, c)
			case nn.OpSub:
				v -= o.at(n, y, x, c)
			case nn.OpMul:
				v *= o.at(n, y, x, c)
			}
		}
		return v
	}
	panic("nntest: unknown operation " + string(e.l.Op))
}
