package nn

import "fmt"

// Shape is the size of one sample of a value.
type Shape struct{ H, W, C int }

// Len returns H·W·C.
func (s Shape) Len() int { return s.H * s.W * s.C }

func (s Shape) String() string { return fmt.Sprintf("%dx%dx%d", s.H, s.W, s.C) }

// Infer returns the shape of every input and layer, by name, for inputs of the
// given shapes. Errors name the layer, its operation and the shapes it met.
func (n *Network) Infer(in ...Shape) (map[string]Shape, error) {
	values, err := n.inferValues(in)
	if err != nil {
		return nil, err
	}
	m := make(map[string]Shape, len(values))
	for i, p := range n.Inputs {
		m[p.Name] = values[i]
	}
	for i, l := range n.Layers {
		m[l.Name] = values[len(n.Inputs)+i]
	}
	return m, nil
}

// inferValues is Infer by value number, see resolve.
func (n *Network) inferValues(in []Shape) ([]Shape, error) {
	if err := n.Validate(); err != nil {
		return nil, err
	}
	ins, _ := n.resolve()
	return n.inferResolved(ins, in)
}

func (n *Network) inferResolved(ins [][]int, in []Shape) ([]Shape, error) {
	if len(in) != len(n.Inputs) {
		return nil, fmt.Errorf("nn: network %q: %d inputs given, want %d", n.Name, len(in), len(n.Inputs))
	}
	values := make([]Shape, 0, len(n.Inputs)+len(n.Layers))
	for i, p := range n.Inputs {
		if in[i].C != p.C {
			return nil, fmt.Errorf("nn: network %q: input %q is %v, want %d channels", n.Name, p.Name, in[i], p.C)
		}
		if err := in[i].check(); err != nil {
			return nil, fmt.Errorf("nn: network %q: input %q: %w", n.Name, p.Name, err)
		}
		values = append(values, in[i])
	}
	args := make([]Shape, 0, 8)
	for i := range n.Layers {
		args = args[:0]
		for _, v := range ins[i] {
			args = append(args, values[v])
		}
		d := n.Layers[i].defaults()
		out, err := d.outShape(args)
		if err == nil {
			err = out.check()
		}
		if err != nil {
			return nil, n.layerError(&n.Layers[i], "%w", err)
		}
		values = append(values, out)
	}
	return values, nil
}

// check rejects empty shapes and those whose products could overflow.
func (s Shape) check() error {
	if s.H < 1 || s.W < 1 || s.C < 1 {
		return fmt.Errorf("empty shape %v", s)
	}
	if s.H > maxSide || s.W > maxSide || s.C > maxElements/s.H/s.W {
		return fmt.Errorf("shape %v is too large", s)
	}
	return nil
}

// outShape derives the output shape; l has its defaults filled in and has
// passed checkAttributes.
func (l *Layer) outShape(in []Shape) (Shape, error) {
	cs := make([]int, len(in))
	for i, s := range in {
		cs[i] = s.C
	}
	c, err := l.outChannels(cs)
	if err != nil {
		return Shape{}, err
	}
	s := in[0]
	out := Shape{s.H, s.W, c}
	switch l.Op {
	case OpConv, OpMaxPool, OpAvgPool:
		var ok [2]bool
		out.H, _, ok[0] = l.window(s.H)
		out.W, _, ok[1] = l.window(s.W)
		if !ok[0] || !ok[1] {
			return Shape{}, fmt.Errorf("input %v is smaller than the %dx%d window", s, l.Kernel, l.Kernel)
		}
	case OpDeconv:
		out.H, out.W = l.deconvOut(s.H), l.deconvOut(s.W)
	case OpDense:
		out.H, out.W = 1, 1
	case OpUpsample, OpShuffle:
		out.H, out.W = s.H*l.Factor, s.W*l.Factor
	case OpUnshuffle:
		if s.H%l.Factor != 0 || s.W%l.Factor != 0 {
			return Shape{}, fmt.Errorf("input %v is not divisible by factor %d", s, l.Factor)
		}
		out.H, out.W = s.H/l.Factor, s.W/l.Factor
	case OpAdd, OpSub, OpMul, OpConcat:
		for _, o := range in[1:] {
			if o.H != s.H || o.W != s.W {
				return Shape{}, fmt.Errorf("inputs are %v and %v", s, o)
			}
		}
	case OpReshape:
		out = Shape{l.Shape[0], l.Shape[1], l.Shape[2]}
		if err := out.check(); err != nil {
			return Shape{}, err
		}
		if out.Len() != s.Len() {
			return Shape{}, fmt.Errorf("input %v has %d numbers, shape %v has %d", s, s.Len(), out, out.Len())
		}
	case OpFlatten:
		out = Shape{1, 1, s.Len()}
	}
	return out, nil
}

// window returns the number of windows along an axis of n pixels and the
// padding before the first pixel; ok is false if not even one fits.
func (l *Layer) window(n int) (out, pad int, ok bool) {
	if l.Padding == PadValid {
		if n < l.Kernel {
			return 0, 0, false
		}
		return (n-l.Kernel)/l.Stride + 1, 0, true
	}
	out = (n + l.Stride - 1) / l.Stride
	return out, max((out-1)*l.Stride+l.Kernel-n, 0) / 2, true
}

// deconvOut is the size of a transposed convolution's output, as in Keras: the
// size whose convolution has n outputs (the largest multiple for same padding,
// the smallest one that uses every tap for valid padding).
func (l *Layer) deconvOut(n int) int {
	if l.Padding == PadValid {
		return n*l.Stride + max(l.Kernel-l.Stride, 0)
	}
	return n * l.Stride
}
