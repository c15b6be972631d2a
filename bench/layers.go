package bench

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/codec/nn"
)

// LayersOptions say what Layers times.
type LayersOptions struct {
	TimingOptions
	Width, Height int          // of the picture, in pixels; 0 means 768x512
	Model         *codec.Model // nil means the embedded one
}

// LayersResult is the outcome of Layers.
type LayersResult struct {
	Machine Machine     `json:"machine"`
	Model   string      `json:"model"`
	Width   int         `json:"width"`
	Height  int         `json:"height"`
	Rounds  int         `json:"rounds"`
	Peaks   []Peaks     `json:"peaks"`
	Layers  []LayerLine `json:"layers"`
}

// LayerLine is one or more layers of a model that do the same work.
type LayerLine struct {
	Names   []string   `json:"names"` // network.layer
	Op      nn.Op      `json:"op"`
	Kernel  int        `json:"kernel,omitempty"` // side of the window
	In      []nn.Shape `json:"in"`               // of one picture
	Out     nn.Shape   `json:"out"`
	Flops   float64    `json:"flops"`      // of one layer: two for each multiply-accumulate
	Read    float64    `json:"read_bytes"` // of its inputs and weights
	Bytes   float64    `json:"bytes"`      // with its output
	Timings []Timing   `json:"timings"`
}

// Layers measures every layer of a model by itself, with the shapes it has on a
// picture of some size, with every backend, on one thread. In a real pass
// neighbouring layers run together, strip by strip, so that their values stay in
// the cache; here each one reads and writes whole values. A synthesis in integers is
// timed in floats too, of which other libraries have the same layers; the shapes of its
// integer layers are among those of Kernels.
//
// It switches the backend of the whole process, so nothing else may use kernels
// meanwhile; the one that was active is restored.
func Layers(ctx context.Context, o *LayersOptions) (*LayersResult, error) {
	fail := func(err error) (*LayersResult, error) { return nil, fmt.Errorf("bench: layers: %w", err) }
	opts, err := o.TimingOptions.complete()
	if err != nil {
		return fail(err)
	}
	r := &LayersResult{Machine: ThisMachine(), Width: o.Width, Height: o.Height, Rounds: opts.Rounds}
	if r.Width == 0 && r.Height == 0 {
		r.Width, r.Height = 768, 512
	}
	if min(r.Width, r.Height) < 1 {
		return fail(fmt.Errorf("a picture of %dx%d pixels", r.Width, r.Height))
	}
	model := o.Model
	if model == nil {
		if model, err = codec.DefaultModel(); err != nil {
			return fail(err)
		}
	}
	r.Model = model.Name()
	cases, err := layerCases(model, r.Width, r.Height)
	if err != nil {
		return fail(err)
	}
	cases, err = selected(&opts, cases, func(c *layerCase) string { return c.Label() + " " + c.Kind() })
	if err != nil {
		return fail(err)
	}
	var list []*work
	var input []float32 // shared by all, as nobody writes to it
	for _, c := range cases {
		run, err := c.prepare(&input)
		if err != nil {
			return fail(err)
		}
		for _, b := range opts.Backends {
			list = append(list, &work{backend: b, flops: c.Flops, read: c.Read, bytes: c.Bytes, run: run, request: c.request()})
		}
	}
	if r.Peaks, err = timeAll(ctx, &opts, list); err != nil {
		return fail(err)
	}
	for i, c := range cases {
		for _, w := range list[i*len(opts.Backends):][:len(opts.Backends)] {
			c.Timings = append(c.Timings, w.timing(peaksOf(r.Peaks, w.backend)))
		}
		r.Layers = append(r.Layers, c.LayerLine)
	}
	return r, nil
}

// layerCase is a layer as a network of its own.
type layerCase struct {
	LayerLine
	net    *nn.Network
	params nn.Params
}

// layerCases lists the layers of a model that compute or move anything, layers
// of the same work once.
func layerCases(m *codec.Model, width, height int) ([]*layerCase, error) {
	params := m.Params()
	var cases []*layerCase
	for _, net := range m.Arch().Networks {
		in := networkInputs(m.Arch(), net, width, height)
		shapes, err := net.Infer(in...)
		if err != nil {
			return nil, err
		}
		for i, p := range net.Inputs {
			shapes[p.Name] = in[i]
		}
		_, costs, err := net.MACs(in...)
		if err != nil {
			return nil, err
		}
		previous := net.Inputs[0].Name
		for i, l := range net.Layers {
			names := l.In
			if len(names) == 0 {
				names = []string{previous}
			}
			previous = l.Name
			switch l.Op {
			case nn.OpIdentity, nn.OpReshape, nn.OpFlatten:
				continue
			}
			c := newLayerCase(net.Name, l, names, shapes)
			c.Flops = 2 * float64(costs[i].MACs)
			c.params = params
			specs, err := c.net.ParamShapes(c.In...)
			if err != nil {
				return nil, err
			}
			for _, s := range specs {
				c.Read += 4 * float64(len(params[s.Name].Data))
			}
			c.Bytes = c.Read + 4*float64(c.Out.Len())
			if same := slices.IndexFunc(cases, c.same); same >= 0 {
				cases[same].Names = append(cases[same].Names, c.Names...)
				continue
			}
			cases = append(cases, c)
		}
	}
	return cases, nil
}

// newLayerCase makes layer l of a network, which reads the named values, into a
// network with the same names, so that it has the same parameters.
func newLayerCase(network string, l nn.Layer, in []string, shapes map[string]nn.Shape) *layerCase {
	c := &layerCase{net: &nn.Network{Name: network, Outputs: []string{l.Name}}}
	c.Names, c.Op, c.Out = []string{network + "." + l.Name}, l.Op, shapes[l.Name]
	switch l.Op {
	case nn.OpConv, nn.OpDeconv, nn.OpMaxPool, nn.OpAvgPool:
		c.Kernel = max(l.Kernel, 1)
	case nn.OpDepthwise:
		c.Kernel = l.Kernel
		if c.Kernel == 0 {
			c.Kernel = 3
		}
	}
	l.In = nil
	for i, name := range in {
		s := shapes[name]
		c.In = append(c.In, s)
		c.Read += 4 * float64(s.Len())
		port := fmt.Sprintf("in%d", i)
		c.net.Inputs = append(c.net.Inputs, nn.Port{Name: port, C: s.C})
		l.In = append(l.In, port)
	}
	c.net.Layers = []nn.Layer{l}
	return c
}

// same tells whether two layers do the same work, on other numbers.
func (c *layerCase) same(d *layerCase) bool {
	l, k := c.net.Layers[0], d.net.Layers[0]
	return l.Op == k.Op && l.Kernel == k.Kernel && l.Stride == k.Stride && l.Padding == k.Padding && l.Factor == k.Factor &&
		l.From == k.From && l.NoBias == k.NoBias && slices.Equal(c.In, d.In) && c.Out == d.Out
}

// request describes the layer to peers, those that they may know.
func (c *layerCase) request() string {
	in, out, l := c.In[0], c.Out, &c.net.Layers[0]
	switch {
	case l.Op == nn.OpConv && in.H == out.H && in.W == out.W && c.Kernel%2 == 1:
		return fmt.Sprintf("conv %d %d %d %d %d", in.H, in.W, in.C, out.C, c.Kernel)
	case l.Op == nn.OpDepthwise:
		return fmt.Sprintf("depthwise %d %d %d %d", in.H, in.W, in.C, c.Kernel)
	}
	return ""
}

// prepare returns the work; input grows to the largest value read.
func (c *layerCase) prepare(input *[]float32) (run func() error, err error) {
	prog, err := nn.Compile(c.net, c.params)
	if err != nil {
		return nil, err
	}
	for _, s := range c.In {
		if s.Len() > len(*input) {
			*input = floats(s.Len())
		}
	}
	arena, in := nn.NewArena(), make([]*nn.Tensor, len(c.In))
	return func() error {
		for i, s := range c.In {
			in[i] = &nn.Tensor{N: 1, H: s.H, W: s.W, C: s.C, Data: (*input)[:s.Len()]}
		}
		_, err := prog.Run(arena, 1, in...)
		return err
	}, nil
}

// networkInputs are the shapes that the inputs of a network have on a picture;
// see codec.Arch. The latents are padded to whole blocks of the hyper-latent
// where a network needs that.
func networkInputs(a *codec.Arch, net *nn.Network, width, height int) []nn.Shape {
	up := func(n, unit int) int { return (n + unit - 1) / unit }
	h, w := up(height, codec.LatentStride), up(width, codec.LatentStride)
	hz, wz := up(h, codec.HyperStride), up(w, codec.HyperStride)
	y := func(h, w int) nn.Shape { return nn.Shape{H: h, W: w, C: a.M} }
	switch net.Name {
	case codec.Analysis:
		return []nn.Shape{{H: h * codec.LatentStride, W: w * codec.LatentStride, C: net.Inputs[0].C}}
	case codec.HyperAnalysis:
		return []nn.Shape{y(hz*codec.HyperStride, wz*codec.HyperStride), y(hz*codec.HyperStride, wz*codec.HyperStride)}
	case codec.HyperSynthesis:
		return []nn.Shape{{H: hz, W: wz, C: a.Z}}
	default: // context and synthesis: all inputs on the latent grid
		var in []nn.Shape
		for _, p := range net.Inputs {
			in = append(in, nn.Shape{H: h, W: w, C: p.C})
		}
		return in
	}
}

// Kind names the work for people: operation, window, shapes.
func (l *LayerLine) Kind() string {
	kind := string(l.Op)
	if l.Kernel > 0 {
		kind += fmt.Sprintf(" %dx%d", l.Kernel, l.Kernel)
	}
	return fmt.Sprintf("%s %dx%dx%d to %dx%dx%d", kind, l.In[0].H, l.In[0].W, l.In[0].C, l.Out.H, l.Out.W, l.Out.C)
}

// Label is the first name, and how many others there are.
func (l *LayerLine) Label() string {
	if len(l.Names) == 1 {
		return l.Names[0]
	}
	return fmt.Sprintf("%s +%d", l.Names[0], len(l.Names)-1)
}

// WriteTable prints the peaks and one line for each kind of layer and backend.
func (r *LayersResult) WriteTable(w io.Writer) error {
	e := &errWriter{w: w}
	fmt.Fprintf(e, "model %s, picture of %dx%d\n", r.Model, r.Width, r.Height)
	writeHead(e, &r.Machine, r.Rounds)
	writePeaks(e, r.Peaks)
	var lines []timingLine
	for i := range r.Layers {
		l := &r.Layers[i]
		lines = append(lines, timingLine{l.Label(), l.Kind(), l.Timings})
	}
	writeTimings(e, "layer", lines)
	fmt.Fprintln(e)
	for _, p := range r.Peaks {
		var seconds, flops float64
		for i := range r.Layers {
			l := &r.Layers[i]
			for _, m := range l.Timings {
				if m.Backend == p.Backend {
					seconds += float64(len(l.Names)) * m.Seconds.Median
					flops += float64(len(l.Names)) * l.Flops
				}
			}
		}
		fmt.Fprintf(e, "%s: all layers one by one %.1f ms, %.1f GFLOP/s, %s of the peak of multiply-adds\n",
			p.Backend, 1e3*seconds, flops/seconds/1e9, p.share(flops/seconds/1e9))
	}
	return e.err
}

// share formats a speed in GFLOP/s as a share of the peak.
func (p *Peaks) share(gflops float64) string {
	if p.FMA.Median == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f %%", 100*gflops/p.FMA.Median)
}

// WriteJSON writes the result as one JSON object.
func (r *LayersResult) WriteJSON(w io.Writer) error { return writeJSON(w, r) }
