package nn

import (
	"fmt"
	"strings"
)

// unknownC stands for a channel count that depends on the image size.
const unknownC = -1

// layerError prefixes an error with the network, layer and operation.
func (n *Network) layerError(l *Layer, format string, args ...any) error {
	return fmt.Errorf("nn: network %q: layer %q (%s): "+format,
		append([]any{n.Name, l.Name, l.Op}, args...)...)
}

// Validate checks everything that does not depend on the size of the inputs:
// names, attributes, the order of the layers and the channel counts. A network
// from an untrusted file is safe to use once Validate has returned nil; what
// it costs for a given image is for Infer and MACs to tell.
func (n *Network) Validate() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("nn: network %q: "+format, append([]any{n.Name}, args...)...)
	}
	if err := checkName(n.Name); err != nil || strings.Contains(n.Name, ".") {
		return fmt.Errorf("nn: network %q: invalid name (letters, digits, _ and - only)", n.Name)
	}
	switch {
	case len(n.Inputs) == 0:
		return fail("no inputs")
	case len(n.Outputs) == 0:
		return fail("no outputs")
	case len(n.Inputs) > maxPorts || len(n.Outputs) > maxPorts:
		return fail("more than %d inputs or outputs", maxPorts)
	case len(n.Layers) > maxLayers:
		return fail("%d layers, more than %d", len(n.Layers), maxLayers)
	}
	channels := make(map[string]int, len(n.Inputs)+len(n.Layers))
	for _, p := range n.Inputs {
		if err := checkName(p.Name); err != nil {
			return fail("input %q: %w", p.Name, err)
		}
		if _, dup := channels[p.Name]; dup {
			return fail("duplicate name %q", p.Name)
		}
		if p.C < 1 || p.C > maxChannels {
			return fail("input %q: %d channels, want 1 to %d", p.Name, p.C, maxChannels)
		}
		channels[p.Name] = p.C
	}
	prev := n.Inputs[0].Name
	for i := range n.Layers {
		l := &n.Layers[i]
		if err := checkName(l.Name); err != nil {
			return n.layerError(l, "%w", err)
		}
		if _, dup := channels[l.Name]; dup {
			return fail("duplicate name %q", l.Name)
		}
		in := l.In
		if len(in) == 0 {
			in = []string{prev}
		}
		if len(in) > maxPorts {
			return n.layerError(l, "more than %d inputs", maxPorts)
		}
		cs := make([]int, len(in))
		for j, name := range in {
			c, ok := channels[name]
			if !ok {
				return n.layerError(l, "input %q is not a network input or an earlier layer", name)
			}
			cs[j] = c
		}
		d := l.defaults()
		if err := d.checkAttributes(); err != nil {
			return n.layerError(l, "%w", err)
		}
		c, err := d.outChannels(cs)
		if err != nil {
			return n.layerError(l, "%w", err)
		}
		channels[l.Name] = c
		prev = l.Name
	}
	for _, name := range n.Outputs {
		if _, ok := channels[name]; !ok {
			return fail("output %q is not a layer or an input", name)
		}
	}
	return nil
}

// checkName accepts names that are safe in parameter names, tensor names of
// model files and messages.
func checkName(s string) error {
	if s == "" || len(s) > maxNameLen {
		return fmt.Errorf("name must have 1 to %d characters", maxNameLen)
	}
	for _, r := range s {
		ok := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)
		if !ok {
			return fmt.Errorf("character %q in a name (letters, digits, dot, _ and - only)", r)
		}
	}
	return nil
}

// checkAttributes checks the ranges of the attributes the operation uses, and
// that the others are zero. l has its defaults filled in.
func (l *Layer) checkAttributes() error {
	type use struct{ out, window, slope, factor, slice, bias, shape bool }
	var u use
	switch l.Op {
	case OpConv, OpDeconv:
		u = use{out: true, window: true, bias: true}
	case OpDepthwise:
		u = use{window: true, bias: true}
	case OpDense:
		u = use{out: true, bias: true}
	case OpLeaky:
		u = use{slope: true}
	case OpMaxPool, OpAvgPool:
		u = use{window: true}
	case OpUpsample, OpShuffle, OpUnshuffle:
		u = use{factor: true}
	case OpSlice:
		u = use{slice: true}
	case OpReshape:
		u = use{shape: true}
	case OpReLU, OpSigmoid, OpTanh, OpSoftplus, OpSymlog, OpIdentity, OpAdd, OpSub, OpMul, OpConcat, OpFlatten, OpChannelScale, OpFakeQuant:
	default:
		return fmt.Errorf("unknown operation")
	}
	switch {
	case u.out && (l.Out < 1 || l.Out > maxChannels):
		return fmt.Errorf("out is %d, want 1 to %d", l.Out, maxChannels)
	case !u.out && l.Out != 0:
		return fmt.Errorf("out is not used by this operation")
	case u.window && (l.Kernel < 1 || l.Kernel > maxKernel):
		return fmt.Errorf("kernel is %d, want 1 to %d", l.Kernel, maxKernel)
	case u.window && (l.Stride < 1 || l.Stride > maxKernel):
		return fmt.Errorf("stride is %d, want 1 to %d", l.Stride, maxKernel)
	case u.window && l.Padding != PadSame && l.Padding != PadValid:
		return fmt.Errorf("padding is %q, want %q or %q", l.Padding, PadSame, PadValid)
	case l.Op == OpDepthwise && l.Kernel%2 == 0:
		return fmt.Errorf("kernel is %d, want an odd number", l.Kernel)
	case !u.window && (l.Kernel != 0 || l.Stride != 0 || l.Padding != ""):
		return fmt.Errorf("kernel, stride and padding are not used by this operation")
	case u.slope && !(l.Slope >= 0 && l.Slope <= 1):
		return fmt.Errorf("slope is %v, want 0 to 1", l.Slope)
	case !u.slope && l.Slope != 0:
		return fmt.Errorf("slope is not used by this operation")
	case u.factor && (l.Factor < 1 || l.Factor > maxFactor):
		return fmt.Errorf("factor is %d, want 1 to %d", l.Factor, maxFactor)
	case !u.factor && l.Factor != 0:
		return fmt.Errorf("factor is not used by this operation")
	case u.slice && (l.From < 0 || l.To <= l.From || l.To > maxChannels):
		return fmt.Errorf("slice from %d to %d is empty or out of range", l.From, l.To)
	case !u.slice && (l.From != 0 || l.To != 0):
		return fmt.Errorf("from and to are not used by this operation")
	case !u.bias && l.NoBias:
		return fmt.Errorf("nobias is not used by this operation")
	case u.shape && len(l.Shape) != 3:
		return fmt.Errorf("shape has %d entries, want [h, w, c]", len(l.Shape))
	case !u.shape && len(l.Shape) != 0:
		return fmt.Errorf("shape is not used by this operation")
	}
	if u.shape {
		h, w, c := l.Shape[0], l.Shape[1], l.Shape[2]
		if h < 1 || h > maxSide || w < 1 || w > maxSide || c < 1 || c > maxChannels {
			return fmt.Errorf("shape %v is out of range", l.Shape)
		}
	}
	return nil
}

// outChannels derives the channels of the output from those of the inputs and
// checks how many inputs there are. unknownC is compatible with everything.
func (l *Layer) outChannels(in []int) (int, error) {
	switch l.Op {
	case OpAdd, OpMul:
		if len(in) < 2 {
			return 0, fmt.Errorf("%d inputs, want two or more", len(in))
		}
	case OpSub:
		if len(in) != 2 {
			return 0, fmt.Errorf("%d inputs, want two", len(in))
		}
	case OpConcat:
	default:
		if len(in) != 1 {
			return 0, fmt.Errorf("%d inputs, want one", len(in))
		}
	}
	c := in[0]
	switch l.Op {
	case OpConv, OpDeconv, OpDense:
		return l.Out, nil
	case OpAdd, OpSub, OpMul:
		for _, o := range in[1:] {
			if c == unknownC {
				c = o
			}
			if o != c && o != unknownC {
				return 0, fmt.Errorf("inputs have %d and %d channels", c, o)
			}
		}
		return c, nil
	case OpConcat:
		sum := 0
		for _, o := range in {
			if o == unknownC {
				return unknownC, nil
			}
			sum += o
		}
		if sum > maxChannels {
			return 0, fmt.Errorf("%d channels, more than %d", sum, maxChannels)
		}
		return sum, nil
	case OpSlice:
		if c != unknownC && l.To > c {
			return 0, fmt.Errorf("slice from %d to %d of %d channels", l.From, l.To, c)
		}
		return l.To - l.From, nil
	case OpReshape:
		if len(l.Shape) != 3 {
			return 0, fmt.Errorf("shape has %d entries, want [h, w, c]", len(l.Shape))
		}
		return l.Shape[2], nil
	case OpFlatten:
		return unknownC, nil
	case OpShuffle:
		r2 := l.Factor * l.Factor
		if c == unknownC {
			return c, nil
		}
		if c%r2 != 0 {
			return 0, fmt.Errorf("%d channels are not divisible by factor² (%d)", c, r2)
		}
		return c / r2, nil
	case OpUnshuffle:
		if c == unknownC {
			return c, nil
		}
		if c > maxChannels/(l.Factor*l.Factor) {
			return 0, fmt.Errorf("more than %d channels", maxChannels)
		}
		return c * l.Factor * l.Factor, nil
	}
	return c, nil
}
