package grad

import "github.com/aecodec/aecodec/codec/nn"

// plan is the list of operations of a backward pass and the memory they use.
type plan struct {
	ops     []func(*pass)
	size    int        // numbers of gradient memory
	trained []*nn.Step // steps whose parameters get gradients
	turned  []*nn.Step // steps whose data gradients need turned weights
	dIn     []*buffer  // by input, nil where not wanted
	result  []nn.Tensor
	results []*nn.Tensor
}

// buffer is a gradient in memory. Several values may share one while nobody
// writes to it: the operands of a sum all have the gradient of the sum.
type buffer struct {
	off, n int
	given  int // index in dOut, read-only; -1 for own memory
	refs   int
}

func (b *buffer) data(ps *pass) []float32 {
	if b.given >= 0 {
		return ps.dOut[b.given].Data
	}
	return ps.mem[b.off : b.off+b.n : b.off+b.n]
}

// builder walks the steps of a trace backwards.
type builder struct {
	tr    *nn.Trace
	key   key
	mem   nn.Layout
	root  []int     // by value: aliases (reshape and the like) share one gradient
	need  []bool    // by root: the gradient is wanted
	grad  []*buffer // by root: the sum of the contributions so far
	dying []*buffer // without users, to be freed after the present step
	plan  *plan
}

func newPlan(tr *nn.Trace, k key) *plan {
	b := &builder{tr: tr, key: k, plan: new(plan)}
	b.analyse()
	b.grad = make([]*buffer, tr.Values())
	for i, v := range tr.OutputValues() {
		r := b.root[v]
		if k.given&(1<<i) == 0 || !b.need[r] {
			continue
		}
		g := &buffer{n: b.length(r), given: i, refs: 1}
		b.pass(r, g)
		b.release(g)
	}
	for i := tr.Steps() - 1; i >= 0; i-- {
		b.step(i)
		b.sweep()
	}
	b.inputs()
	b.plan.size = b.mem.Size()
	return b.plan
}

// analyse finds aliases and the gradients that are needed.
func (b *builder) analyse() {
	b.root = make([]int, b.tr.Values())
	b.need = make([]bool, b.tr.Values())
	for v := range b.root {
		b.root[v] = v
	}
	for i := range b.tr.Program().Network().Inputs {
		b.need[i] = b.key.want&(1<<i) != 0
	}
	for i := range b.tr.Steps() {
		st := b.tr.Step(i)
		if isAlias(st) {
			b.root[st.Out] = b.root[st.In[0]]
			continue
		}
		need := b.key.params && st.Weight() != nil
		for _, v := range st.In {
			need = need || b.need[b.root[v]]
		}
		if st.Residual >= 0 {
			need = need || b.need[b.root[st.Residual]]
		}
		b.need[st.Out] = need
	}
}

func isAlias(st *nn.Step) bool {
	switch st.Layer.Op {
	case nn.OpIdentity, nn.OpReshape, nn.OpFlatten:
		return true
	}
	return false
}

// length is the size of a value over the whole batch.
func (b *builder) length(v int) int { return b.tr.N() * b.tr.Shape(v).Len() }

func (b *builder) emit(op func(*pass)) { b.plan.ops = append(b.plan.ops, op) }

func (b *builder) alloc(n int) *buffer {
	return &buffer{off: b.mem.Alloc(n), n: n, given: -1, refs: 1}
}

// release drops one reference. The memory is reused after the present step.
func (b *builder) release(g *buffer) {
	if g.refs--; g.refs == 0 && g.given < 0 {
		b.dying = append(b.dying, g)
	}
}

func (b *builder) sweep() {
	for _, g := range b.dying {
		if g.refs == 0 {
			b.mem.Free(g.off, g.n)
		}
	}
	b.dying = b.dying[:0]
}

// mine reports whether g may be overwritten by its only user.
func (g *buffer) mine() bool { return g.given < 0 && g.refs == 1 }

// target prepares a contribution to the gradient of root value v. The
// contribution is to be written to dst if old is nil, and otherwise the sum of
// old and the contribution; old may be dst.
func (b *builder) target(v int) (dst, old *buffer) {
	old = b.grad[v]
	if old != nil && old.mine() {
		return old, old
	}
	dst = b.alloc(b.length(v))
	b.grad[v] = dst
	if old != nil {
		b.release(old)
	}
	return dst, old
}

// pass adds g itself to the gradient of root value v. The caller keeps its
// reference to g.
func (b *builder) pass(v int, g *buffer) {
	if b.grad[v] == nil {
		g.refs++
		b.grad[v] = g
		return
	}
	dst, old := b.target(v)
	b.emit(func(ps *pass) { ps.add(dst, old, g) })
}

// inputs collects the gradients of the network's inputs.
func (b *builder) inputs() {
	inputs := len(b.tr.Program().Network().Inputs)
	p := b.plan
	p.dIn = make([]*buffer, inputs)
	p.result = make([]nn.Tensor, inputs)
	p.results = make([]*nn.Tensor, inputs)
	for i := range inputs {
		if b.key.want&(1<<i) == 0 {
			continue
		}
		g := b.grad[i]
		switch {
		case g == nil: // no path from the input to a given gradient
			g = b.alloc(b.length(i))
			dst := g
			b.emit(func(ps *pass) { clear(dst.data(ps)) })
		case g.given >= 0 || g.refs > 1: // results are the caller's to change
			src := g
			g = b.alloc(b.length(i))
			dst := g
			b.emit(func(ps *pass) { copy(dst.data(ps), src.data(ps)) })
		}
		p.dIn[i] = g
		s := b.tr.Shape(i)
		p.result[i] = nn.Tensor{N: b.tr.N(), H: s.H, W: s.W, C: s.C}
		p.results[i] = &p.result[i]
	}
}
