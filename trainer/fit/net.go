package fit

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/nn/grad"
	"github.com/aecodec/aecodec/kernels"
)

// Net is a network with its weights, their gradients and the moments of Adam.
// A Net makes one pass at a time.
type Net struct {
	Network *nn.Network
	Params  nn.Params
	In      []nn.Shape // of one sample

	// Frozen, where set, names parameters that Step leaves alone.
	Frozen func(name string) bool

	threads    int
	program    *nn.Program
	grads      nn.Params
	m, v       nn.Params
	steps      int
	trace      *nn.Trace
	train, run *nn.Arena
	pieces     []piece
}

// piece is a run of one parameter, to share out the work of Step.
type piece struct {
	name   string
	lo, hi int
}

const pieceLen = 1 << 14

// NewNet returns a network for samples of the given shapes with weights that the
// seed decides: uniform in ±√(6/(fan in + fan out)) (Glorot and Bengio, AISTATS
// 2010), as in Keras. The narrow layers of autoencoders fan out widely; drawn
// for their fan in alone, the weights after a narrow layer are so large that the
// first steps switch off many of its rectifiers for good.
func NewNet(n *nn.Network, seed uint64, threads int, in ...nn.Shape) (*Net, error) {
	if _, err := n.Infer(in...); err != nil {
		return nil, fmt.Errorf("fit: %w", err)
	}
	p := nn.Params{}
	n.Init(p, seed, in...)
	specs, err := n.ParamShapes(in...)
	if err != nil {
		return nil, fmt.Errorf("fit: %w", err)
	}
	for _, spec := range specs {
		if last := len(spec.Shape) - 1; spec.FanIn > 0 && last > 0 {
			out := spec.Shape[last] * spec.FanIn / spec.Shape[last-1]
			kernels.Scale(p[spec.Name].Data, p[spec.Name].Data, float32(math.Sqrt(float64(spec.FanIn)/float64(spec.FanIn+out))))
		}
	}
	program, err := nn.Compile(n, p)
	if err != nil {
		return nil, fmt.Errorf("fit: %w", err)
	}
	t := &Net{
		Network: n, Params: p, In: in, threads: threads, program: program,
		grads: p.ZeroLike(), m: p.ZeroLike(), v: p.ZeroLike(),
		train: nn.NewArena(), run: nn.NewArena(),
	}
	for _, name := range p.Names() {
		for at, n := 0, len(p[name].Data); at < n; at += pieceLen {
			t.pieces = append(t.pieces, piece{name, at, min(at+pieceLen, n)})
		}
	}
	return t, nil
}

// Forward computes the outputs for a batch and keeps what Backward needs. They
// are valid until the next Forward.
func (n *Net) Forward(in ...*nn.Tensor) ([]*nn.Tensor, error) {
	tr, err := n.program.Trace(n.train, n.threads, in...)
	if err != nil {
		return nil, fmt.Errorf("fit: %w", err)
	}
	n.trace = tr
	return tr.Outputs(), nil
}

// Backward adds the gradients of the last Forward's parameters to those of the
// network, given the gradients of its outputs, and returns those of its inputs
// as wantIn says; see [grad.Backward].
func (n *Net) Backward(dOut []*nn.Tensor, wantIn ...bool) ([]*nn.Tensor, error) {
	return grad.Backward(n.trace, n.train, n.threads, dOut, n.grads, wantIn...)
}

// Through returns the gradients of the inputs of the last Forward without
// touching those of the parameters: what passes through a network that another
// one is trained with.
func (n *Net) Through(dOut []*nn.Tensor) ([]*nn.Tensor, error) {
	return grad.Backward(n.trace, n.train, n.threads, dOut, nil)
}

// ZeroGrads sets the gradients to zero.
func (n *Net) ZeroGrads() {
	for _, g := range n.grads {
		clear(g.Data)
	}
}

// Adam holds the settings of AdamW (Loshchilov and Hutter, arXiv 1711.05101).
type Adam struct {
	LR           float64
	Beta1, Beta2 float64 // 0: 0.9 and 0.999
	Decay        float64 // of weights, not of biases
}

// Step updates the weights with the gradients and sets these to zero.
func (n *Net) Step(o Adam) {
	if o.Beta1 == 0 {
		o.Beta1 = 0.9
	}
	if o.Beta2 == 0 {
		o.Beta2 = 0.999
	}
	n.steps++
	shared := kernels.AdamParams{
		LR: float32(o.LR), Beta1: float32(o.Beta1), Beta2: float32(o.Beta2), Eps: 1e-8, GradScale: 1,
		Correct1: float32(1 / (1 - powInt(o.Beta1, n.steps))),
		Correct2: float32(1 / (1 - powInt(o.Beta2, n.steps))),
	}
	kernels.For(n.threads, len(n.pieces), 1, func(lo, hi int) {
		for _, p := range n.pieces[lo:hi] {
			g := n.grads[p.name].Data[p.lo:p.hi]
			if n.Frozen == nil || !n.Frozen(p.name) {
				one := shared
				if strings.HasSuffix(p.name, ".weight") {
					one.Decay = float32(o.Decay)
				}
				kernels.AdamW(n.Params[p.name].Data[p.lo:p.hi], g, n.m[p.name].Data[p.lo:p.hi], n.v[p.name].Data[p.lo:p.hi], &one)
			}
			clear(g)
		}
	})
	n.Refresh()
}

// Refresh makes the network follow its Params after these were changed by other
// means than Step.
func (n *Net) Refresh() { n.program.Refresh() }

// Finite returns an error that names the first parameter that is not finite.
func (n *Net) Finite() error {
	for _, name := range n.Params.Names() {
		if !kernels.AllFinite(n.Params[name].Data) {
			return fmt.Errorf("fit: after step %d parameter %s is not finite: a lower learning rate may help", n.steps, name)
		}
	}
	return nil
}

// runBatch is how many samples pass through a network at a time when there are
// no gradients to keep.
const runBatch = 500

// Run computes the first output for any number of samples.
func (n *Net) Run(in ...*nn.Tensor) (*nn.Tensor, error) {
	out, err := n.RunAll(in...)
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// RunAll computes all outputs for any number of samples.
func (n *Net) RunAll(in ...*nn.Tensor) ([]*nn.Tensor, error) {
	return runBatches(n.program, n.run, n.threads, in...)
}

// RunProgram computes the first output of a program for any number of samples.
func RunProgram(p *nn.Program, threads int, in ...*nn.Tensor) (*nn.Tensor, error) {
	out, err := runBatches(p, nn.NewArena(), threads, in...)
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

func runBatches(p *nn.Program, a *nn.Arena, threads int, in ...*nn.Tensor) ([]*nn.Tensor, error) {
	out := make([]*nn.Tensor, len(p.Network().Outputs))
	for lo := 0; lo < in[0].N; lo += runBatch {
		hi := min(lo+runBatch, in[0].N)
		part := make([]*nn.Tensor, len(in))
		for i, x := range in {
			part[i] = Window(x, lo, hi)
		}
		y, err := p.Run(a, threads, part...)
		if err != nil {
			return nil, fmt.Errorf("fit: %w", err)
		}
		for i := range out {
			if out[i] == nil {
				out[i] = nn.NewTensor(in[0].N, y[i].H, y[i].W, y[i].C)
			}
			copy(Window(out[i], lo, hi).Data, y[i].Data)
		}
	}
	return out, nil
}

// CopyParams overwrites parameters of n with those of the same name in p.
func (n *Net) CopyParams(p nn.Params) error {
	for _, name := range n.Params.Names() {
		from := p[name]
		if from == nil {
			continue
		}
		if !slices.Equal(from.Shape, n.Params[name].Shape) {
			return fmt.Errorf("fit: parameter %q is %v, want %v", name, from.Shape, n.Params[name].Shape)
		}
		copy(n.Params[name].Data, from.Data)
	}
	n.Refresh()
	return nil
}

// Window returns samples lo to hi of t, sharing its numbers.
func Window(t *nn.Tensor, lo, hi int) *nn.Tensor {
	n := t.Shape().Len()
	return &nn.Tensor{N: hi - lo, H: t.H, W: t.W, C: t.C, Data: t.Data[lo*n : hi*n : hi*n]}
}

// Gather copies the samples of t with the given indices into dst, which is made
// larger if need be, and returns it.
func Gather(dst, t *nn.Tensor, index []int32, threads int) *nn.Tensor {
	dst = Like(dst, len(index), t.Shape())
	n := t.Shape().Len()
	kernels.For(threads, len(index), max(1, 1<<16/n), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			copy(dst.Data[i*n:(i+1)*n], t.Image(int(index[i])))
		}
	})
	return dst
}

// Like returns a tensor of n samples of a shape with undefined contents, in the
// memory of t where that is large enough. t may be nil.
func Like(t *nn.Tensor, n int, s nn.Shape) *nn.Tensor {
	need := n * s.Len()
	if t == nil || cap(t.Data) < need {
		return nn.NewTensor(n, s.H, s.W, s.C)
	}
	return &nn.Tensor{N: n, H: s.H, W: s.W, C: s.C, Data: t.Data[:need]}
}

// powInt is base^n for 0 < base < 1, the same bits everywhere, unlike math.Pow.
func powInt(base float64, n int) float64 {
	return kernels.Exp64(float64(float64(n) * kernels.Log64(base)))
}
