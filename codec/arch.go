package codec

import (
	"errors"
	"fmt"

	"github.com/aecodec/aecodec/codec/nn"
)

// Geometry that is part of the file format: the latent has one position per
// LatentStride×LatentStride pixels, the hyper-latent one per HyperStride×
// HyperStride latent positions.
const (
	LatentStride = 16
	HyperStride  = 4
)

// Arch describes an image codec: its sizes and its five networks. It is data;
// weights live in nn.Params (see [Arch.ParamSpecs]).
//
// With an image of H×W pixels, both multiples of LatentStride here, and per
// tile h×w latent positions, hz×wz = ceil(h/4)×ceil(w/4):
//
//	analysis        x [H W 3]                             -> y [H/16 W/16 M]
//	hyperanalysis   y, ys [4hz 4wz M]                     -> z [hz wz Z]
//	hypersynthesis  zf [hz wz Z]                          -> h [4hz 4wz C], ma [4hz 4wz M]
//	context         h [h w C], ya [h w M], ma [h w M]     -> mn [h w M]
//	synthesis       yhat [H/16 W/16 M]                    -> x [H W 3]
//
// x holds pixels as byte/255 - 0.5; y is the latent, ys = y·ge the latent in
// units of the quantisation step; zf is the dequantised hyper-latent; ma are
// the means of y at the anchors of a checkerboard (x+y even), mn those at the
// other positions, computed from ya: yhat at the anchors and 0 elsewhere.
type Arch struct {
	M       int `json:"m"`       // latent channels
	Z       int `json:"z"`       // hyper-latent channels
	Anchors int `json:"anchors"` // anchor rates, between which gains are interpolated

	// LambdaMin and LambdaMax weigh the distortion at the first and the last
	// anchor; see Lambda. They matter to training and to the encoder's choice
	// of symbols, not to decoding.
	LambdaMin float64 `json:"lambda_min"`
	LambdaMax float64 `json:"lambda_max"`

	// Networks are told apart by their names. The model that a receiver has
	// lacks the encoder half: analysis and hyperanalysis.
	Networks []*nn.Network `json:"networks"`
}

// Names of the networks.
const (
	HyperSynthesis = "hypersynthesis"
	Context        = "context"
	Synthesis      = "synthesis"
	Analysis       = "analysis"
	HyperAnalysis  = "hyperanalysis"
)

var (
	decoderNetworks = []string{HyperSynthesis, Context, Synthesis}
	encoderNetworks = []string{Analysis, HyperAnalysis}
)

// Bounds of an Arch. A hyper-latent channel is a table index, 255 of which is
// taken by format.Skip.
const (
	maxLatentChannels = 1 << 12
	maxHyperChannels  = 254
	maxAnchors        = 256
)

// PhotoConfig holds the widths of the networks that [PhotoConfig.Arch] builds.
type PhotoConfig struct {
	M, Z, Anchors        int
	LambdaMin, LambdaMax float64

	AnalysisWidth8   int // analysis at 1/8
	AnalysisWidth16  int // analysis at 1/16
	AnalysisBlocks8  int
	AnalysisBlocks16 int

	HyperWidth   int // hyper-analysis, hyper-synthesis and context
	HyperExpand  int // channels of the hyper-synthesis at 1/4 of the latent grid (a multiple of 16)
	ContextKern  int // side of the context's depthwise window
	SynthWidth16 int // synthesis at 1/16
	SynthWidth8  int // synthesis at 1/8
	SynthBlocks  int // blocks at 1/16
	RenderBlocks int // half blocks of the renderer at 1/4: two reach 8 pixels over the edge of a patch
}

// DefaultPhotoConfig is the reference network `photo`: 6.3 kMAC per pixel
// to decode and 11.6 to encode.
func DefaultPhotoConfig() PhotoConfig {
	return PhotoConfig{
		M: 320, Z: 96, Anchors: 8, LambdaMin: 0.00025, LambdaMax: 0.4,
		AnalysisWidth8: 128, AnalysisWidth16: 192, AnalysisBlocks8: 3, AnalysisBlocks16: 4,
		HyperWidth: 128, HyperExpand: 1024, ContextKern: 5,
		SynthWidth16: 192, SynthWidth8: 96, SynthBlocks: 2, RenderBlocks: 2,
	}
}

// PhotoArch returns the reference architecture, DefaultPhotoConfig().Arch().
func PhotoArch() *Arch {
	a, err := DefaultPhotoConfig().Arch()
	if err != nil {
		panic(err) // a constant: covered by the tests
	}
	return a
}

const leakySlope = 0.1

// Patch geometry of the linear shortcut. The renderer works on blocks of
// renderStride pixels, so the 16×16 patch is laid out as 4×4 such blocks.
const (
	patchChannels  = LatentStride * LatentStride * 3
	renderStride   = 4
	renderChannels = renderStride * renderStride * 3
)

// Arch builds the networks. It fails when a width is not usable.
//
// Both transforms have a linear shortcut around them (AuxT, arXiv 2501.13751):
// with the layers called head at zero, the codec is a 16×16 block transform,
// which [Arch.SetBasis] fills in. The body of the synthesis works at 1/16 and
// 1/8 and ends in a small renderer on the 1/4 grid, which sees the linear
// reconstruction and so can take the block edges out of it.
func (c PhotoConfig) Arch() (*Arch, error) {
	a := &Arch{M: c.M, Z: c.Z, Anchors: c.Anchors, LambdaMin: c.LambdaMin, LambdaMax: c.LambdaMax}
	for _, b := range []*nn.Builder{
		c.hyperSynthesis(), c.context(), c.synthesis(), c.analysis(), c.hyperAnalysis(),
	} {
		net, err := b.Build()
		if err != nil {
			return nil, fmt.Errorf("codec: architecture: %w", err)
		}
		a.Networks = append(a.Networks, net)
	}
	if err := a.Validate(); err != nil {
		return nil, err
	}
	return a, nil
}

var pointwise = nn.ConvOpts{Kernel: 1}

func (c PhotoConfig) analysis() *nn.Builder {
	b := nn.NewBuilder(Analysis)
	x := b.Input("x", 3)
	lin := b.Conv("lin", b.Unshuffle("patch", x, LatentStride), c.M, nn.ConvOpts{Kernel: 1, NoBias: true})
	v := b.Conv("stem", b.Unshuffle("fold", x, LatentStride/2), c.AnalysisWidth8, pointwise)
	for i := range c.AnalysisBlocks8 {
		v = b.Block(fmt.Sprintf("b%d", i), v, leakySlope)
	}
	v = b.Conv("down", b.Unshuffle("downfold", v, 2), c.AnalysisWidth16, pointwise)
	for i := range c.AnalysisBlocks16 {
		v = b.Block(fmt.Sprintf("c%d", i), v, leakySlope)
	}
	b.Output(b.Add("y", b.Conv("head", v, c.M, pointwise), lin))
	return b
}

func (c PhotoConfig) hyperAnalysis() *nn.Builder {
	b := nn.NewBuilder(HyperAnalysis)
	y := b.Input("y", c.M)
	ys := b.Input("ys", c.M)
	v := b.Concat("both", y, b.Symlog("log", ys))
	v = b.Leaky("act1", b.Conv("in", v, c.HyperWidth, pointwise), leakySlope)
	v = b.Conv("mix1", b.Depthwise("dw1", v, 3), c.HyperWidth, pointwise)
	v = b.Unshuffle("fold1", b.Leaky("act2", v, leakySlope), 2)
	v = b.Leaky("act3", b.Conv("mix2", v, c.HyperWidth, pointwise), leakySlope)
	v = b.Unshuffle("fold2", b.Depthwise("dw2", v, 3), 2)
	b.Output(b.Conv("z", v, c.Z, pointwise))
	return b
}

func (c PhotoConfig) hyperSynthesis() *nn.Builder {
	b := nn.NewBuilder(HyperSynthesis)
	v := b.Conv("expand", b.Input("zf", c.Z), c.HyperExpand, pointwise)
	v = b.Shuffle("unfold", v, HyperStride)
	v = b.Leaky("act1", b.Conv("mix1", v, c.HyperWidth, pointwise), leakySlope)
	v = b.Conv("mix2", b.Depthwise("dw", v, 3), c.HyperWidth, pointwise)
	h := b.Leaky("h", v, leakySlope)
	b.Output(h, b.Conv("mean", h, c.M, pointwise))
	return b
}

func (c PhotoConfig) context() *nn.Builder {
	b := nn.NewBuilder(Context)
	h := b.Input("h", c.HyperWidth)
	ya := b.Input("ya", c.M)
	ma := b.Input("ma", c.M)
	v := b.Depthwise("gather", b.Conv("squeeze", ya, c.HyperWidth, pointwise), c.ContextKern)
	v = b.Conv("merge", b.Concat("both", v, h), c.HyperWidth, pointwise)
	v = b.HalfBlock("b0", b.Leaky("act", v, leakySlope), leakySlope)
	b.Output(b.Add("mn", b.Conv("mean", v, c.M, pointwise), ma))
	return b
}

func (c PhotoConfig) synthesis() *nn.Builder {
	b := nn.NewBuilder(Synthesis)
	y := b.Input("yhat", c.M)
	lin := b.Conv("lin", y, patchChannels, nn.ConvOpts{Kernel: 1, NoBias: true})
	lin = b.Shuffle("linear", lin, LatentStride/renderStride)
	v := b.Conv("stem", y, c.SynthWidth16, pointwise)
	for i := range c.SynthBlocks {
		v = b.Block(fmt.Sprintf("s%d", i), v, leakySlope)
	}
	v = b.Shuffle("up8", b.Conv("to8", v, 4*c.SynthWidth8, pointwise), 2)
	v = b.Block("t0", v, leakySlope)
	v = b.Shuffle("up4", b.Conv("to4", v, 4*renderChannels, pointwise), 2)
	v = b.Add("join", v, b.Conv("deblock", lin, renderChannels, pointwise))
	v = b.Leaky("act", v, leakySlope)
	for i := range c.RenderBlocks {
		v = b.HalfBlock(fmt.Sprintf("r%d", i), v, leakySlope)
	}
	v = b.Add("sum", b.Conv("head", v, renderChannels, pointwise), lin)
	b.Output(b.Shuffle("x", v, renderStride))
	return b
}

// Network returns the network of that name, or nil.
func (a *Arch) Network(name string) *nn.Network {
	for _, n := range a.Networks {
		if n != nil && n.Name == name {
			return n
		}
	}
	return nil
}

// HasEncoder reports whether the encoder half is present.
func (a *Arch) HasEncoder() bool {
	return a.Network(Analysis) != nil && a.Network(HyperAnalysis) != nil
}

// half returns a with the named networks only, in the order of the names.
func (a *Arch) half(names []string) *Arch {
	h := *a
	h.Networks = nil
	for _, name := range names {
		h.Networks = append(h.Networks, a.Network(name))
	}
	return &h
}

// role is what the codec asks of a network: the shapes that it maps.
type role struct {
	name    string
	in, out []nn.Shape
}

// roles returns the contract of each network on an h×w latent grid, both
// multiples of HyperStride. The width of the features between hypersynthesis
// and context is theirs to choose.
func (a *Arch) roles(h, w int) []role {
	y := nn.Shape{H: h, W: w, C: a.M}
	x := nn.Shape{H: h * LatentStride, W: w * LatentStride, C: 3}
	z := nn.Shape{H: h / HyperStride, W: w / HyperStride, C: a.Z}
	features := y
	if n := a.Network(Context); n != nil && len(n.Inputs) > 0 {
		features.C = n.Inputs[0].C
	}
	rs := []role{
		{HyperSynthesis, []nn.Shape{z}, []nn.Shape{features, y}},
		{Context, []nn.Shape{features, y, y}, []nn.Shape{y}},
		{Synthesis, []nn.Shape{y}, []nn.Shape{x}},
	}
	if a.HasEncoder() {
		rs = append(rs,
			role{Analysis, []nn.Shape{x}, []nn.Shape{y}},
			role{HyperAnalysis, []nn.Shape{y, y}, []nn.Shape{z}})
	}
	return rs
}

// Validate reports the first thing that is wrong with the description. An Arch
// that passes maps every image size to the shapes documented at [Arch].
func (a *Arch) Validate() error {
	switch {
	case a.M < 1 || a.M > maxLatentChannels:
		return fmt.Errorf("codec: architecture: %d latent channels, want 1 to %d", a.M, maxLatentChannels)
	case a.Z < 1 || a.Z > maxHyperChannels:
		return fmt.Errorf("codec: architecture: %d hyper-latent channels, want 1 to %d", a.Z, maxHyperChannels)
	case a.Anchors < 1 || a.Anchors > maxAnchors:
		return fmt.Errorf("codec: architecture: %d anchor rates, want 1 to %d", a.Anchors, maxAnchors)
	case !(a.LambdaMin > 0 && a.LambdaMin <= a.LambdaMax && a.LambdaMax < 1e6):
		return fmt.Errorf("codec: architecture: lambda from %g to %g", a.LambdaMin, a.LambdaMax)
	}
	want := len(decoderNetworks)
	if a.HasEncoder() {
		want += len(encoderNetworks)
	}
	if len(a.Networks) != want {
		return fmt.Errorf("codec: architecture: %d networks, want %d", len(a.Networks), want)
	}
	for _, n := range a.Networks {
		if n == nil {
			return fmt.Errorf("codec: architecture: empty network")
		}
	}
	// Two grids of different shape, so that a fixed size inside a network
	// does not pass by accident.
	for _, side := range [][2]int{{HyperStride, HyperStride}, {3 * HyperStride, 2 * HyperStride}} {
		for _, r := range a.roles(side[0], side[1]) {
			if err := r.check(a.Network(r.name)); err != nil {
				return fmt.Errorf("codec: architecture: network %s: %w", r.name, err)
			}
		}
	}
	return nil
}

func (r *role) check(net *nn.Network) error {
	if net == nil {
		return errors.New("missing")
	}
	if len(net.Inputs) != len(r.in) {
		return fmt.Errorf("%d inputs, want %d", len(net.Inputs), len(r.in))
	}
	if len(net.Outputs) != len(r.out) {
		return fmt.Errorf("%d outputs, want %d", len(net.Outputs), len(r.out))
	}
	shapes, err := net.Infer(r.in...)
	if err != nil {
		return err
	}
	for i, name := range net.Outputs {
		if shapes[name] != r.out[i] {
			return fmt.Errorf("output %q is %v, want %v", name, shapes[name], r.out[i])
		}
	}
	return nil
}

// PartMACs are the multiply-accumulates per pixel of one part of the codec.
type PartMACs struct {
	Name   string  `json:"name"` // of a network, or "scale map"
	MACs   float64 `json:"macs_per_pixel"`
	Encode bool    `json:"encode"` // it takes part in encoding
	Decode bool    `json:"decode"` // and in decoding
}

// PartMACs returns what the parts cost on large images. The integer map from
// hyper-latent to scales is one of them.
func (a *Arch) PartMACs() ([]PartMACs, error) {
	const h, w = 64, 64
	pixels := float64(h * w * LatentStride * LatentStride)
	var parts []PartMACs
	for _, r := range a.roles(h, w) {
		n, _, err := a.Network(r.name).MACs(r.in...)
		if err != nil {
			return nil, fmt.Errorf("codec: architecture: network %s: %w", r.name, err)
		}
		p := PartMACs{Name: r.name, MACs: float64(n) / pixels, Encode: true, Decode: true}
		switch r.name {
		case Synthesis:
			p.Encode = false
		case Analysis, HyperAnalysis:
			p.Decode = false
		}
		parts = append(parts, p)
	}
	scale := float64(a.Z*a.M) / (LatentStride * LatentStride)
	return append(parts, PartMACs{Name: "scale map", MACs: scale, Encode: true, Decode: true}), nil
}

// MACs returns the multiply-accumulates per pixel of encoding and of decoding
// large images, the sums of PartMACs.
func (a *Arch) MACs() (encode, decode float64, err error) {
	parts, err := a.PartMACs()
	for _, p := range parts {
		if p.Encode {
			encode += p.MACs
		}
		if p.Decode {
			decode += p.MACs
		}
	}
	return encode, decode, err
}
