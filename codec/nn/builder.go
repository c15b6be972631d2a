package nn

import "fmt"

// Builder composes a network layer by layer. Every method takes the name of
// the new layer and the names of the values it reads, and returns the new
// name. The first mistake is remembered and reported by Build, so that calls
// chain without checks:
//
//	b := nn.NewBuilder("synthesis")
//	x := b.Input("y", 320)
//	x = b.Conv("stem", x, 192, nn.ConvOpts{Kernel: 1})
//	x = b.Block("s0", x, 0.1)
//	b.Output(x)
//	net, err := b.Build()
type Builder struct {
	net      Network
	channels map[string]int // channels of each value; unknownC after flatten
	err      error
}

// ConvOpts are the optional attributes of a convolution; see Layer.
type ConvOpts struct {
	Kernel  int    // default 1 (conv, deconv), 3 (depthwise)
	Stride  int    // default 1
	Padding string // default PadSame
	NoBias  bool
}

// NewBuilder starts an empty network.
func NewBuilder(name string) *Builder {
	return &Builder{net: Network{Name: name}, channels: map[string]int{}}
}

// Input declares a network input of c channels.
func (b *Builder) Input(name string, c int) string {
	b.net.Inputs = append(b.net.Inputs, Port{Name: name, C: c})
	b.define(name, c)
	return name
}

// Output declares the network's outputs, in order; calls add up.
func (b *Builder) Output(names ...string) {
	b.net.Outputs = append(b.net.Outputs, names...)
}

// Channels returns the number of channels of value x, or 0 where it is not
// known without an image size (after flatten).
func (b *Builder) Channels(x string) int {
	return max(b.channels[x], 0)
}

// Layer appends any layer, for what has no method of its own.
func (b *Builder) Layer(l Layer, in ...string) string {
	if len(in) > 0 {
		l.In = in
	}
	b.net.Layers = append(b.net.Layers, l)
	if b.err != nil {
		return l.Name
	}
	cs := make([]int, 0, len(l.In))
	for _, name := range l.In {
		c, ok := b.channels[name]
		if !ok {
			b.err = b.net.layerError(&l, "unknown input %q", name)
			return l.Name
		}
		cs = append(cs, c)
	}
	if len(l.In) == 0 {
		b.err = b.net.layerError(&l, "no input")
		return l.Name
	}
	d := l.defaults()
	err := d.checkAttributes()
	c := 0
	if err == nil {
		c, err = d.outChannels(cs)
	}
	if err != nil {
		b.err = b.net.layerError(&l, "%w", err)
		return l.Name
	}
	b.define(l.Name, c)
	return l.Name
}

func (b *Builder) define(name string, c int) {
	if _, dup := b.channels[name]; dup && b.err == nil {
		b.err = fmt.Errorf("nn: network %q: duplicate name %q", b.net.Name, name)
	}
	b.channels[name] = c
}

// Conv appends a convolution to out channels.
func (b *Builder) Conv(name, x string, out int, o ConvOpts) string {
	return b.Layer(Layer{Name: name, Op: OpConv, Out: out,
		Kernel: o.Kernel, Stride: o.Stride, Padding: o.Padding, NoBias: o.NoBias}, x)
}

// Deconv appends a transposed convolution to out channels.
func (b *Builder) Deconv(name, x string, out int, o ConvOpts) string {
	return b.Layer(Layer{Name: name, Op: OpDeconv, Out: out,
		Kernel: o.Kernel, Stride: o.Stride, Padding: o.Padding, NoBias: o.NoBias}, x)
}

// Depthwise appends a depthwise convolution with bias.
func (b *Builder) Depthwise(name, x string, kernel int) string {
	return b.Layer(Layer{Name: name, Op: OpDepthwise, Kernel: kernel}, x)
}

// Dense appends a fully connected layer to out features.
func (b *Builder) Dense(name, x string, out int) string {
	return b.Layer(Layer{Name: name, Op: OpDense, Out: out}, x)
}

// Leaky appends max(x, slope·x).
func (b *Builder) Leaky(name, x string, slope float32) string {
	return b.Layer(Layer{Name: name, Op: OpLeaky, Slope: slope}, x)
}

// Unary appends an operation of one input without attributes, such as OpReLU,
// OpSigmoid, OpFlatten or OpChannelScale.
func (b *Builder) Unary(name string, op Op, x string) string {
	return b.Layer(Layer{Name: name, Op: op}, x)
}

// Symlog appends sign(x)·log(1+|x|).
func (b *Builder) Symlog(name, x string) string { return b.Unary(name, OpSymlog, x) }

// MaxPool appends kernel×kernel maximum pooling of stride kernel.
func (b *Builder) MaxPool(name, x string, kernel int) string {
	return b.Layer(Layer{Name: name, Op: OpMaxPool, Kernel: kernel}, x)
}

// AvgPool appends kernel×kernel average pooling of stride kernel.
func (b *Builder) AvgPool(name, x string, kernel int) string {
	return b.Layer(Layer{Name: name, Op: OpAvgPool, Kernel: kernel}, x)
}

// Upsample appends nearest-neighbour enlargement by r.
func (b *Builder) Upsample(name, x string, r int) string {
	return b.Layer(Layer{Name: name, Op: OpUpsample, Factor: r}, x)
}

// Shuffle appends depth to space by r: r times the height and width, the
// channels divided by r².
func (b *Builder) Shuffle(name, x string, r int) string {
	return b.Layer(Layer{Name: name, Op: OpShuffle, Factor: r}, x)
}

// Unshuffle appends space to depth by r, the inverse of Shuffle.
func (b *Builder) Unshuffle(name, x string, r int) string {
	return b.Layer(Layer{Name: name, Op: OpUnshuffle, Factor: r}, x)
}

// Add appends the sum of its inputs.
func (b *Builder) Add(name string, xs ...string) string {
	return b.Layer(Layer{Name: name, Op: OpAdd}, xs...)
}

// Sub appends x - y.
func (b *Builder) Sub(name, x, y string) string {
	return b.Layer(Layer{Name: name, Op: OpSub}, x, y)
}

// Mul appends the product of its inputs.
func (b *Builder) Mul(name string, xs ...string) string {
	return b.Layer(Layer{Name: name, Op: OpMul}, xs...)
}

// Concat appends the channels of its inputs, one after the other.
func (b *Builder) Concat(name string, xs ...string) string {
	return b.Layer(Layer{Name: name, Op: OpConcat}, xs...)
}

// Slice appends channels from (included) to (excluded) of x.
func (b *Builder) Slice(name, x string, from, to int) string {
	return b.Layer(Layer{Name: name, Op: OpSlice, From: from, To: to}, x)
}

// Reshape appends the same numbers in another shape.
func (b *Builder) Reshape(name, x string, h, w, c int) string {
	return b.Layer(Layer{Name: name, Op: OpReshape, Shape: []int{h, w, c}}, x)
}

// HalfBlock appends the spatial half of a depthwise block, at constant C:
//
//	prefix.pw1  1x1 to C        prefix.act1  leaky
//	prefix.dw   depthwise 3x3   prefix.pw2   1x1 to C
//	prefix.mix  x + pw2
func (b *Builder) HalfBlock(prefix, x string, slope float32) string {
	c := b.Channels(x)
	y := b.Conv(prefix+".pw1", x, c, ConvOpts{})
	y = b.Leaky(prefix+".act1", y, slope)
	y = b.Depthwise(prefix+".dw", y, 3)
	y = b.Conv(prefix+".pw2", y, c, ConvOpts{})
	return b.Add(prefix+".mix", x, y)
}

// Block appends a depthwise block: a HalfBlock, then the channel half
//
//	prefix.ff1  1x1 to 2C       prefix.act2  leaky
//	prefix.ff2  1x1 to C        prefix.out   mix + ff2
func (b *Builder) Block(prefix, x string, slope float32) string {
	x = b.HalfBlock(prefix, x, slope)
	c := b.Channels(x)
	y := b.Conv(prefix+".ff1", x, 2*c, ConvOpts{})
	y = b.Leaky(prefix+".act2", y, slope)
	y = b.Conv(prefix+".ff2", y, c, ConvOpts{})
	return b.Add(prefix+".out", x, y)
}

// Build returns the finished network, or the first mistake.
func (b *Builder) Build() (*Network, error) {
	if b.err != nil {
		return nil, b.err
	}
	net := b.net
	if err := net.Validate(); err != nil {
		return nil, err
	}
	return &net, nil
}
