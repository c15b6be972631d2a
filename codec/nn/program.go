package nn

import (
	"sync"

	"github.com/aecodec/aecodec/kernels"
)

// Program is a network bound to its parameters, with the weights packed for
// the kernels. Run and Trace may be called from several goroutines at a time,
// each with its own Arena; Refresh must not run at the same time.
type Program struct {
	net  *Network
	ins  [][]int // value numbers, see Network.resolve
	outs []int
	node []node // by layer

	run, trace schedule
	rows       rowSchedule

	version uint64
	memo    memo
}

// node is a layer with its parameters.
type node struct {
	layer  Layer // defaults filled in
	live   bool  // some output depends on it
	weight *Param
	bias   *Param

	// Copies made by Refresh, so that a training step that updates the
	// parameters in place cannot change half of a program.
	packed *kernels.Packed // conv, deconv, dense
	flat   []float32       // depthwise, channelscale, fakequant
	b      []float32
}

// Compile packs the weights of n, which it takes from p by name. Parameters of
// layers that no output depends on may be missing. The network must not change
// afterwards; the parameters may, see Refresh.
func Compile(n *Network, p Params) (*Program, error) {
	if err := n.Validate(); err != nil {
		return nil, err
	}
	prog := &Program{net: n, node: make([]node, len(n.Layers))}
	prog.ins, prog.outs = n.resolve()
	prog.markLive()
	for i := range prog.node {
		nd := &prog.node[i]
		nd.layer = n.Layers[i].defaults()
		if !nd.live {
			continue
		}
		if err := nd.bind(n, p); err != nil {
			return nil, n.layerError(&nd.layer, "%w", err)
		}
	}
	prog.run = prog.schedule(false)
	prog.trace = prog.schedule(true)
	prog.rows = prog.rowSchedule()
	prog.Refresh()
	return prog, nil
}

// markLive finds the layers that outputs depend on; the others never run.
func (p *Program) markLive() {
	inputs := len(p.net.Inputs)
	mark := func(v int) {
		if v >= inputs {
			p.node[v-inputs].live = true
		}
	}
	for _, v := range p.outs {
		mark(v)
	}
	for i := len(p.node) - 1; i >= 0; i-- {
		if p.node[i].live {
			for _, v := range p.ins[i] {
				mark(v)
			}
		}
	}
}

// bind looks up the parameters and reserves their packed form. Input channels
// are taken from the weight; planning compares them with the actual input.
func (nd *node) bind(n *Network, p Params) error {
	l := &nd.layer
	name := n.weightName(l)
	var want []int
	switch l.Op {
	case OpConv, OpDeconv:
		want = []int{l.Kernel, l.Kernel, dim(p[name], 2), l.Out}
	case OpDepthwise:
		want = []int{l.Kernel, l.Kernel, dim(p[name], 2)}
	case OpDense:
		want = []int{dim(p[name], 0), l.Out}
	case OpChannelScale:
		want = []int{dim(p[name], 0)}
	case OpFakeQuant:
		want = []int{2, dim(p[name], 1)}
	default:
		return nil
	}
	var err error
	if nd.weight, err = checkParam(p, name, want); err != nil {
		return err
	}
	cols := want[len(want)-1]
	if l.hasBias() {
		if nd.bias, err = checkParam(p, n.biasName(l), []int{cols}); err != nil {
			return err
		}
		nd.b = make([]float32, cols)
	}
	switch l.Op {
	case OpDepthwise, OpChannelScale, OpFakeQuant:
		nd.flat = make([]float32, len(nd.weight.Data))
	default:
		nd.packed = kernels.NewPacked(len(nd.weight.Data)/cols, cols)
	}
	return nil
}

// dim returns dimension i of the parameter, or 1 where there is none, which
// then fails the comparison of shapes.
func dim(t *Param, i int) int {
	if t == nil || i >= len(t.Shape) || t.Shape[i] < 1 {
		return 1
	}
	return t.Shape[i]
}

// Network returns the network that was compiled.
func (p *Program) Network() *Network { return p.net }

// Refresh repacks the weights after the parameters have changed.
func (p *Program) Refresh() {
	for i := range p.node {
		nd := &p.node[i]
		if nd.packed != nil {
			nd.packed.Set(nd.weight.Data, nd.packed.N)
		}
		if nd.flat != nil {
			copy(nd.flat, nd.weight.Data)
		}
		if nd.bias != nil {
			copy(nd.b, nd.bias.Data)
		}
	}
	p.version++
}

// Version counts the calls of Refresh; whatever is derived from the weights is
// out of date when it has changed.
func (p *Program) Version() uint64 { return p.version }

// Memo returns the value kept under key, made by build on first use. Package
// grad keeps its transposed weights here.
func (p *Program) Memo(key any, build func() any) any { return p.memo.get(key, build) }

type memo struct {
	mu sync.Mutex
	m  map[any]any
}

func (m *memo) get(key any, build func() any) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.m[key]
	if !ok {
		if m.m == nil {
			m.m = map[any]any{}
		}
		v = build()
		m.m[key] = v
	}
	return v
}

// Step is one or more layers that run as one operation: Layer on the values
// In, then Act, then the addition of value Residual. Values are numbered:
// inputs first, then the output of every layer.
type Step struct {
	Layer    *Layer // defaults filled in
	In       []int
	Out      int
	Act      kernels.Activation
	Slope    float32 // of Act
	Residual int     // -1: none
	node     *node
}

// Weight returns the weight or gain parameter, nil if the step has none.
func (s *Step) Weight() *Param { return s.node.weight }

// Bias returns the bias parameter, nil if the step has none.
func (s *Step) Bias() *Param { return s.node.bias }

// Flat returns the weights of a depthwise, channelscale or fakequant step as of the last
// Refresh, nil for others.
func (s *Step) Flat() []float32 { return s.node.flat }

// schedule is the list of steps in the order in which they run.
type schedule struct {
	steps []Step
	keep  []bool // by value: the backward pass reads it (all false for Run)
	root  []int  // by value: the value whose memory it shares, itself if none
}

// schedule fuses layers into steps:
//
//   - an activation joins the convolution or dense layer that alone feeds it;
//   - an addition of two values joins the later of the layers that feed it,
//     when the other operand is ready before that layer runs.
//
// In a trace the activation's output must survive for its gradient, so a layer
// with an activation does not take an addition.
func (p *Program) schedule(trace bool) schedule {
	inputs := len(p.net.Inputs)
	values := inputs + len(p.node)
	uses := make([]int, values)
	for _, v := range p.outs {
		uses[v]++
	}
	for i := range p.node {
		if p.node[i].live {
			for _, v := range p.ins[i] {
				uses[v]++
			}
		}
	}
	s := schedule{keep: make([]bool, values), root: make([]int, values)}
	producer := make([]int, values) // step that computes a value, -1 for inputs
	for v := range values {
		producer[v] = -1
		s.root[v] = v
	}
	// open returns the step that makes v if something may be fused to it.
	open := func(v int) *Step {
		if producer[v] < 0 || uses[v] != 1 {
			return nil
		}
		st := &s.steps[producer[v]]
		switch st.Layer.Op {
		case OpConv, OpDeconv, OpDepthwise, OpDense:
			if st.Residual < 0 {
				return st
			}
		}
		return nil
	}
	for i := range p.node {
		nd := &p.node[i]
		if !nd.live {
			continue
		}
		in, out := p.ins[i], inputs+i
		switch nd.layer.Op {
		case OpLeaky, OpReLU:
			if st := open(in[0]); st != nil && st.Act == kernels.ActNone {
				st.Act, st.Slope = activation(&nd.layer)
				st.Out = out
				producer[out] = producer[in[0]]
				continue
			}
		case OpAdd:
			if len(in) != 2 {
				break
			}
			late, early := in[0], in[1]
			if producer[late] < producer[early] {
				late, early = early, late
			}
			st := open(late)
			if st == nil || producer[early] == producer[late] || trace && st.Act != kernels.ActNone {
				break
			}
			st.Residual = early
			st.Out = out
			producer[out] = producer[late]
			continue
		case OpIdentity, OpReshape, OpFlatten:
			s.root[out] = s.root[in[0]]
		}
		producer[out] = len(s.steps)
		s.steps = append(s.steps, Step{Layer: &nd.layer, In: in, Out: out, Residual: -1, node: nd})
	}
	if trace {
		s.markKept(p.outs)
	}
	return s
}

// activation returns the kernels' name for a leaky or relu layer. Slope zero
// is ReLU, as in the epilogues of package kernels.
func activation(l *Layer) (kernels.Activation, float32) {
	if l.Op == OpReLU || l.Slope == 0 {
		return kernels.ActReLU, 0
	}
	return kernels.ActLeaky, l.Slope
}

// markKept marks the values that gradients are computed from.
func (s *schedule) markKept(outs []int) {
	for _, v := range outs {
		s.keep[v] = true
	}
	for i := range s.steps {
		st := &s.steps[i]
		switch st.Layer.Op {
		case OpConv, OpDeconv, OpDepthwise, OpDense, OpChannelScale, OpFakeQuant, OpSymlog, OpSoftplus:
			s.keep[st.In[0]] = true
		case OpMul:
			for _, v := range st.In {
				s.keep[v] = true
			}
		case OpLeaky, OpReLU, OpSigmoid, OpTanh:
			s.keep[st.Out] = true
		}
		if st.Act != kernels.ActNone {
			s.keep[st.Out] = true
		}
	}
	for v := range s.keep {
		if s.keep[v] {
			s.keep[s.root[v]] = true
		}
	}
}
