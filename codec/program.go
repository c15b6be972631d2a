package codec

import (
	"fmt"
	"math"
	"sync"

	"github.com/aecodec/aecodec/codec/nn"
)

// program is one compiled network with the memory that its runs reuse.
type program struct {
	name    string
	compile func() (*nn.Program, error)
	memory  sync.Pool // *nn.Rows
	margin  int
}

func newProgram(net *nn.Network, params nn.Params, pitch float64) *program {
	return &program{
		name: net.Name,
		compile: sync.OnceValues(func() (*nn.Program, error) {
			return nn.Compile(net, params)
		}),
		margin: margin(net, pitch),
	}
}

// start begins to compute rows lo to hi of the outputs, whose shapes must be out;
// see nn.Rows. The caller gives the run back with end.
func (p *program) start(in, out []nn.Shape, lo, hi int, fill func(y int, dst [][]float32)) (*nn.Rows, error) {
	compiled, err := p.compile()
	if err != nil {
		return nil, fmt.Errorf("codec: network %s: %w", p.name, err)
	}
	r, ok := p.memory.Get().(*nn.Rows)
	if !ok {
		r = new(nn.Rows)
	}
	if err := r.Start(compiled, in, lo, hi, fill); err != nil {
		p.end(r)
		return nil, fmt.Errorf("codec: network %s: %w", p.name, err)
	}
	for i, s := range out {
		if got := r.Shape(i); got != s {
			p.end(r)
			return nil, fmt.Errorf("codec: network %s: output is %v, want %v", p.name, got, s)
		}
	}
	return r, nil
}

func (p *program) end(r *nn.Rows) { p.memory.Put(r) }

// margin returns how many latent positions beyond its own an output of net
// depends on, in any direction. pitch is the distance between neighbouring
// pixels of the network's inputs, in latent positions. It returns -1 for
// networks that can't be cut, because of an operation whose result depends on
// where a block begins.
func margin(net *nn.Network, pitch float64) int {
	// value is what is known of one: the distance between its pixels, and how
	// far beyond a pixel's own cell the inputs matter.
	type value struct{ pitch, reach float64 }
	values := map[string]value{}
	for _, in := range net.Inputs {
		values[in.Name] = value{pitch, 0}
	}
	previous := ""
	if len(net.Inputs) > 0 {
		previous = net.Inputs[0].Name
	}
	for i := range net.Layers {
		l := &net.Layers[i]
		names := l.In
		if len(names) == 0 {
			names = []string{previous}
		}
		v := values[names[0]]
		for _, name := range names[1:] {
			v.reach = max(v.reach, values[name].reach)
		}
		switch l.Op {
		case nn.OpConv, nn.OpDepthwise:
			k := l.Kernel
			if k == 0 && l.Op == nn.OpDepthwise {
				k = 3
			}
			k = max(k, 1)
			if l.Stride > 1 || k%2 == 0 || l.Padding == nn.PadValid {
				return -1
			}
			v.reach += v.pitch * float64((k-1)/2)
		case nn.OpShuffle, nn.OpUpsample:
			v.pitch /= float64(l.Factor)
		case nn.OpUnshuffle:
			v.pitch *= float64(l.Factor)
			if v.pitch > 1 {
				return -1
			}
		case nn.OpLeaky, nn.OpReLU, nn.OpSigmoid, nn.OpTanh, nn.OpSoftplus, nn.OpSymlog, nn.OpIdentity,
			nn.OpAdd, nn.OpSub, nn.OpMul, nn.OpConcat, nn.OpSlice, nn.OpChannelScale:
		default:
			return -1
		}
		values[l.Name] = v
		previous = l.Name
	}
	reach := 0.0
	for _, name := range net.Outputs {
		reach = max(reach, values[name].reach)
	}
	return int(math.Ceil(reach))
}
