package nn

import "math"

// Op names what a layer computes. The strings are part of the model format.
type Op string

// The operations. Shapes are H×W×C per sample; "channels" is C.
const (
	OpConv      Op = "conv"      // convolution to Out channels; Kernel, Stride, Padding
	OpDeconv    Op = "deconv"    // transposed convolution to Out channels; Kernel, Stride, Padding
	OpDepthwise Op = "depthwise" // one odd Kernel×Kernel filter per channel, stride 1, same padding
	OpDense     Op = "dense"     // fully connected, to 1×1×Out

	OpLeaky    Op = "leaky"    // max(x, Slope·x), 0 <= Slope <= 1
	OpReLU     Op = "relu"     // max(x, 0)
	OpSigmoid  Op = "sigmoid"  // 1/(1+exp(-x))
	OpTanh     Op = "tanh"     // hyperbolic tangent
	OpSoftplus Op = "softplus" // log(1+exp(x))
	OpSymlog   Op = "symlog"   // sign(x)·log(1+|x|)
	OpIdentity Op = "identity" // x

	OpMaxPool   Op = "maxpool"   // Kernel×Kernel windows, Stride (default Kernel), Padding (default valid)
	OpAvgPool   Op = "avgpool"   // as maxpool; padding does not count
	OpUpsample  Op = "upsample"  // every pixel becomes Factor×Factor copies of itself
	OpShuffle   Op = "shuffle"   // depth to space: H×W×C·r² to rH×rW×C, r = Factor
	OpUnshuffle Op = "unshuffle" // space to depth: rH×rW×C to H×W×C·r², r = Factor

	OpAdd    Op = "add"    // sum of two or more equal shapes, left to right
	OpSub    Op = "sub"    // first minus second
	OpMul    Op = "mul"    // product of two or more equal shapes, left to right
	OpConcat Op = "concat" // channels of all inputs, one after the other
	OpSlice  Op = "slice"  // channels From (included) to To (excluded)

	OpReshape Op = "reshape" // the same numbers as Shape = [H, W, C]
	OpFlatten Op = "flatten" // the same numbers as 1×1×H·W·C

	OpChannelScale Op = "channelscale" // each channel times its own parameter

	// OpFakeQuant rounds to what the bytes of a network in integers stand for,
	// with a step and a zero point for each channel. It serves training, see
	// [Network.FakeQuantise]; its parameters are not trained.
	OpFakeQuant Op = "fakequant"
)

// Paddings of convolutions and poolings, as in TensorFlow and Keras: with
// stride s, "same" has ceil(n/s) outputs per axis and pads evenly, the odd
// pixel at the bottom and right; "valid" does not pad.
const (
	PadSame  = "same"
	PadValid = "valid"
)

// Port is an input of a network: a tensor of any size with C channels.
type Port struct {
	Name string `json:"name"`
	C    int    `json:"c"`
}

// Layer is one operation. Fields that its Op does not use must be zero.
type Layer struct {
	Name string `json:"name"`
	Op   Op     `json:"op"`
	// In names earlier layers or network inputs. Empty means the layer
	// before this one (for the first layer, the first input).
	In      []string `json:"in,omitempty"`
	Out     int      `json:"out,omitempty"`     // output channels of conv, deconv, dense
	Kernel  int      `json:"kernel,omitempty"`  // side of the window; default 1 for conv, 3 for depthwise, 2 for pooling
	Stride  int      `json:"stride,omitempty"`  // default 1; for pooling Kernel
	Padding string   `json:"padding,omitempty"` // PadSame or PadValid; default same, for pooling valid
	Slope   float32  `json:"slope,omitempty"`   // of leaky
	Factor  int      `json:"factor,omitempty"`  // of upsample, shuffle, unshuffle
	From    int      `json:"from,omitempty"`    // of slice
	To      int      `json:"to,omitempty"`      // of slice
	NoBias  bool     `json:"nobias,omitempty"`  // conv, deconv, depthwise, dense without bias
	Shape   []int    `json:"shape,omitempty"`   // of reshape: [H, W, C]
}

// Network is a directed acyclic graph of layers, listed in the order in which
// they run. The zero value is not valid; see Validate, or use a Builder.
type Network struct {
	Name    string   `json:"name"`
	Inputs  []Port   `json:"inputs"`
	Layers  []Layer  `json:"layers"`
	Outputs []string `json:"outputs"` // names of layers or inputs
}

// Limits of a description. They are far above any sensible network and keep
// all shape arithmetic inside int64 when a hostile model file is read.
const (
	maxLayers   = 1 << 12
	maxPorts    = 64
	maxNameLen  = 128
	maxChannels = 1 << 20
	maxSide     = 1 << 24                                   // pixels per axis
	maxElements = math.MaxInt >> (4 + 16*(math.MaxInt>>62)) // of one sample of one value: 2^43, on 32-bit machines 2^27
	maxKernel   = 255
	maxFactor   = 64
)

// defaults returns l with the documented defaults filled in.
func (l Layer) defaults() Layer {
	switch l.Op {
	case OpConv, OpDeconv:
		l.Kernel = orDefault(l.Kernel, 1)
		l.Stride = orDefault(l.Stride, 1)
		if l.Padding == "" {
			l.Padding = PadSame
		}
	case OpDepthwise:
		l.Kernel = orDefault(l.Kernel, 3)
		l.Stride, l.Padding = 1, PadSame
	case OpMaxPool, OpAvgPool:
		l.Kernel = orDefault(l.Kernel, 2)
		l.Stride = orDefault(l.Stride, l.Kernel)
		if l.Padding == "" {
			l.Padding = PadValid
		}
	}
	return l
}

func orDefault(v, def int) int {
	if v == 0 {
		return def
	}
	return v
}

// hasBias reports whether the layer has a bias parameter.
func (l *Layer) hasBias() bool {
	switch l.Op {
	case OpConv, OpDeconv, OpDepthwise, OpDense:
		return !l.NoBias
	}
	return false
}

// valueName is the name of value v, in the numbering of resolve.
func (n *Network) valueName(v int) string {
	if v < len(n.Inputs) {
		return n.Inputs[v].Name
	}
	return n.Layers[v-len(n.Inputs)].Name
}

// resolve returns, for every layer, the value numbers of its inputs: value i
// is network input i, value len(Inputs)+j is the output of layer j. The
// network must be valid.
func (n *Network) resolve() (ins [][]int, outs []int) {
	id := make(map[string]int, len(n.Inputs)+len(n.Layers))
	for i, p := range n.Inputs {
		id[p.Name] = i
	}
	for i, l := range n.Layers {
		var in []int
		if len(l.In) == 0 {
			in = []int{n.previous(i)}
		}
		for _, name := range l.In {
			in = append(in, id[name])
		}
		ins = append(ins, in)
		id[l.Name] = len(n.Inputs) + i
	}
	for _, name := range n.Outputs {
		outs = append(outs, id[name])
	}
	return ins, outs
}

// previous is the value that layer i reads when it names none.
func (n *Network) previous(i int) int {
	if i == 0 {
		return 0
	}
	return len(n.Inputs) + i - 1
}
