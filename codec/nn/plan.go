package nn

import (
	"fmt"
	"slices"

	"github.com/aecodec/aecodec/kernels"
)

// plan is a schedule for one batch size and one set of input shapes: where
// every value lies, and which steps run together.
//
// Steps run in groups. The first step of a group may need whole values (a
// convolution with a real window, a pooling); the following ones compute each
// row from the same row of their operands, up to a constant factor where
// pixels are shuffled. So a group runs strip by strip: a few rows through all
// of its steps, while they are in the cache. Values that only the group itself
// uses exist as one strip per thread and never reach memory.
type plan struct {
	p      *Program
	trace  bool
	n      int
	shapes []Shape  // by value
	values []Tensor // by value; Data is nil for those that do not exist as a whole
	off    []int    // by root value: offset in the arena, or one of the following
	size   int      // numbers of the arena
	args   int      // positions of maxima
	groups []group
	steps  []planned
	outs   []*Tensor
	tr     *Trace
	a      *Arena // of the present pass
}

// Marks in plan.off.
const (
	offInput = -1 // network input, memory of the caller
	offLocal = -2 // lives in the strips of a group
	offNone  = -3 // fused away
)

// group is a run of steps over units: n units, each one row of the lowest
// value in it (or a sample, for steps that cannot be cut).
type group struct {
	first, last int // steps
	n           int // units of the batch
	perStrip    int // units of a strip
	grain       int // units that are worth a thread
	strip       int // numbers of scratch a thread needs
	fn          func(lo, hi int)
}

// planned is a step with its geometry.
type planned struct {
	*Step
	in       []place
	out      place
	residual place
	conv     kernels.ConvShape
	arg      int // offset of the positions of maxima
}

// place says where the rows of a value are.
type place struct {
	value int
	local bool
	off   int // in the strip, when local
	unit  int // numbers per unit of the group
	row   int // numbers per row
}

// fits reports whether the plan is for this call.
func (pl *plan) fits(p *Program, trace bool, in []*Tensor) bool {
	if pl.p != p || pl.trace != trace || len(in) != len(p.net.Inputs) {
		return false
	}
	for i, t := range in {
		if t == nil || t.N != pl.n || t.Shape() != pl.shapes[i] || t.check() != nil {
			return false
		}
	}
	return true
}

func newPlan(p *Program, trace bool, in []*Tensor) (*plan, error) {
	fail := func(format string, args ...any) (*plan, error) {
		return nil, fmt.Errorf("nn: network %q: "+format, append([]any{p.net.Name}, args...)...)
	}
	if len(in) != len(p.net.Inputs) {
		return fail("%d inputs given, want %d", len(in), len(p.net.Inputs))
	}
	shapes := make([]Shape, len(in))
	for i, t := range in {
		name := p.net.Inputs[i].Name
		if t == nil {
			return fail("input %q is nil", name)
		}
		shapes[i] = t.Shape()
		if err := t.check(); err != nil {
			return fail("input %q: %w", name, err)
		}
		if t.N != in[0].N {
			return fail("input %q has %d samples, input %q has %d", name, t.N, p.net.Inputs[0].Name, in[0].N)
		}
	}
	values, err := p.net.inferResolved(p.ins, shapes)
	if err != nil {
		return nil, err
	}
	for i := range p.node {
		nd := &p.node[i]
		if !nd.live || nd.weight == nil {
			continue
		}
		want, _ := nd.layer.weightShape(values[p.ins[i][0]])
		if !slices.Equal(want, nd.weight.Shape) {
			return nil, p.net.layerError(&nd.layer, "weight is %v, input %v needs %v", nd.weight.Shape, values[p.ins[i][0]], want)
		}
	}
	for i, s := range values {
		if s.Len() > maxElements/in[0].N {
			return fail("%d samples of value %d (%v) are too large", in[0].N, i, s)
		}
	}
	pl := &plan{p: p, trace: trace, n: in[0].N, shapes: values}
	pl.build()
	return pl, nil
}

func (pl *plan) schedule() *schedule {
	if pl.trace {
		return &pl.p.trace
	}
	return &pl.p.run
}

func (pl *plan) build() {
	s := pl.schedule()
	pl.values = make([]Tensor, len(pl.shapes))
	for v, sh := range pl.shapes {
		pl.values[v] = Tensor{N: pl.n, H: sh.H, W: sh.W, C: sh.C}
	}
	pl.steps = make([]planned, len(s.steps))
	for i := range s.steps {
		pl.steps[i].Step = &s.steps[i]
		pl.geometry(&pl.steps[i])
	}
	pl.group()
	pl.place()
	for g := range pl.groups {
		pl.finish(&pl.groups[g])
	}
	for _, v := range pl.p.outs {
		pl.outs = append(pl.outs, &pl.values[v])
	}
	pl.tr = &Trace{pl: pl}
}

// geometry fills in what the kernels need to know about the shapes.
func (pl *plan) geometry(st *planned) {
	l := st.Layer
	in, out := pl.shapes[st.In[0]], pl.shapes[st.Out]
	image, windows := in, out
	if l.Op == OpDeconv {
		image, windows = out, in // the convolution whose transpose it is
	}
	switch l.Op {
	case OpConv, OpDeconv, OpMaxPool, OpAvgPool:
		_, padY, _ := l.window(image.H)
		_, padX, _ := l.window(image.W)
		st.conv = kernels.ConvShape{
			H: image.H, W: image.W, Cin: image.C,
			OutH: windows.H, OutW: windows.W, Cout: windows.C,
			KH: l.Kernel, KW: l.Kernel, StrideY: l.Stride, StrideX: l.Stride,
			PadTop: padY, PadLeft: padX,
		}
	}
	if l.Op == OpMaxPool && pl.trace {
		st.arg = pl.args
		pl.args += pl.n * out.Len()
	}
}

// kind says how a step can be cut.
type kind int

const (
	whole   kind = iota // sample by sample
	head                // by output rows, but reads other rows of its input
	rowWise             // a row of the output needs the same row of the inputs
	alias               // nothing to do
)

func (st *planned) kind() kind {
	switch st.Layer.Op {
	case OpConv:
		if st.pointwise() {
			return rowWise
		}
		return head
	case OpDeconv, OpDepthwise:
		return head
	case OpDense, OpMaxPool, OpAvgPool:
		return whole
	case OpIdentity, OpReshape, OpFlatten:
		return alias
	}
	return rowWise
}

func (st *planned) pointwise() bool { return st.conv.KH == 1 && st.conv.StrideY == 1 }

// group cuts the schedule into groups.
func (pl *plan) group() {
	base := 0 // rows of the lowest value of the open group
	open := false
	for i := range pl.steps {
		st := &pl.steps[i]
		k := st.kind()
		low := pl.shapes[st.Out].H
		if k == rowWise {
			for _, v := range st.In {
				low = min(low, pl.shapes[v].H)
			}
		}
		// Rows inside a step differ by a whole factor, so a group has a
		// common unit if its lowest value divides that of the step, or
		// the other way round.
		if open && k == rowWise && (low%base == 0 || base%low == 0) {
			base = min(base, low)
		} else {
			pl.groups = append(pl.groups, group{first: i})
			base = low
		}
		g := &pl.groups[len(pl.groups)-1]
		g.last = i
		g.n = pl.n * base
		if k == whole || k == alias {
			g.n = pl.n
		}
		open = k == head || k == rowWise
	}
}

// reads returns the values that step st reads.
func (st *planned) reads() []int {
	if st.Residual >= 0 {
		return append(slices.Clone(st.In), st.Residual)
	}
	return st.In
}

// place decides where the values live. Memory is handed over between groups
// only: while a group runs, its strips are at different steps. Inside a group
// a step may overwrite an operand in place, row by row.
func (pl *plan) place() {
	s := pl.schedule()
	const never = 1 << 30
	group := make([]int, len(pl.steps))
	for g := range pl.groups {
		for i := pl.groups[g].first; i <= pl.groups[g].last; i++ {
			group[i] = g
		}
	}
	// lastUse is the last step that reads a root value; homes the groups that
	// touch it.
	lastUse := make([]int, len(pl.shapes))
	homes := make([][]int, len(pl.shapes))
	touch := func(v, step int) {
		r := s.root[v]
		lastUse[r] = max(lastUse[r], step)
		if g := group[step]; !slices.Contains(homes[r], g) {
			homes[r] = append(homes[r], g)
		}
	}
	for i := range pl.steps {
		touch(pl.steps[i].Out, i)
		for _, v := range pl.steps[i].reads() {
			touch(v, i)
		}
	}
	for _, v := range pl.p.outs {
		lastUse[s.root[v]] = never
	}
	for v, keep := range s.keep {
		if keep {
			lastUse[s.root[v]] = never
		}
	}
	pl.off = make([]int, len(pl.shapes))
	for v := range pl.off {
		pl.off[v] = offNone
	}
	for i := range pl.p.net.Inputs {
		pl.off[i] = offInput
	}
	var mem Layout
	length := func(v int) int { return pl.n * pl.shapes[v].Len() }
	for g := range pl.groups {
		gr := &pl.groups[g]
		var dead []int // roots whose memory is free after the group
		for i := gr.first; i <= gr.last; i++ {
			st := &pl.steps[i]
			out := s.root[st.Out]
			if st.kind() != alias {
				switch x := pl.inPlace(st, i, lastUse); {
				case lastUse[out] != never && len(homes[out]) == 1 && pl.canBeLocal(st):
					pl.off[out] = offLocal
				case x >= 0 && pl.off[x] >= 0 && !pl.readByHead(gr, x):
					pl.off[out] = pl.off[x]
					lastUse[x] = never // its memory belongs to out now
				default:
					pl.off[out] = mem.Alloc(length(out))
				}
			}
			for _, v := range append(st.reads(), st.Out) {
				r := s.root[v]
				if lastUse[r] == i && pl.off[r] >= 0 && !slices.Contains(dead, r) {
					dead = append(dead, r)
				}
			}
		}
		for _, r := range dead {
			mem.Free(pl.off[r], length(r))
		}
	}
	pl.size = mem.Size()
}

// readByHead reports whether the first step of the group reads root value r at
// rows other than those of its output: one strip must not overwrite what the
// next one needs.
func (pl *plan) readByHead(g *group, r int) bool {
	s := pl.schedule()
	st := &pl.steps[g.first]
	return st.kind() != rowWise && slices.ContainsFunc(st.In, func(v int) bool { return s.root[v] == r })
}

// canBeLocal reports whether the output may exist strip by strip.
func (pl *plan) canBeLocal(st *planned) bool {
	k := st.kind()
	return k == rowWise || st.Layer.Op == OpDepthwise
}

// inPlace returns the root of an operand that step i may overwrite with its
// output, or -1: one of the same size that nothing reads later.
func (pl *plan) inPlace(st *planned, i int, lastUse []int) int {
	s := pl.schedule()
	var candidates []int
	switch st.Layer.Op {
	case OpLeaky, OpReLU, OpSigmoid, OpTanh, OpSoftplus, OpSymlog, OpChannelScale, OpFakeQuant, OpSub:
		candidates = st.In
	case OpAdd, OpMul:
		// The first sum of three would overwrite an operand of the second.
		if len(st.In) == 2 {
			candidates = st.In
		}
	case OpConv, OpDeconv, OpDepthwise, OpDense:
		if st.Residual >= 0 && s.root[st.Residual] != s.root[st.In[0]] {
			candidates = []int{st.Residual}
		}
	}
	for _, v := range candidates {
		r := s.root[v]
		if lastUse[r] == i && pl.shapes[r] == pl.shapes[st.Out] {
			return r
		}
	}
	return -1
}

// Sizes of the pieces of work. What a strip touches should stay in the
// second-level cache beside the weights, but be enough rows to keep the GEMM
// kernels busy. Variables only so that tests can cut small networks.
var (
	stripBytes  = 384 << 10
	stripPixels = 96
	threadWork  = 1 << 19 // worth a thread: multiply-accumulates, 8 per number moved
)

// finish sizes the strips of a group and lays out its local values.
func (pl *plan) finish(g *group) {
	s := pl.schedule()
	perUnit, work := 0, 0
	pixels := 1
	touched := map[int]bool{}
	place := func(v int) place {
		sh := pl.shapes[v]
		unit := pl.n * sh.Len() / g.n
		if pl.off[s.root[v]] == offLocal {
			return place{value: v, local: true, unit: unit, row: sh.W * sh.C}
		}
		return place{value: v, unit: unit, row: sh.W * sh.C}
	}
	for i := g.first; i <= g.last; i++ {
		st := &pl.steps[i]
		for _, v := range st.In {
			st.in = append(st.in, place(v))
		}
		st.out = place(st.Out)
		if st.Residual >= 0 {
			st.residual = place(st.Residual)
		}
		for _, v := range append(st.reads(), st.Out) {
			if r := s.root[v]; !touched[r] {
				touched[r] = true
				perUnit += place(v).unit * 4
			}
			work += 8 * place(v).unit
		}
		if st.node.weight != nil {
			sh := pl.shapes[st.Out]
			if st.Layer.Op == OpDeconv {
				sh = pl.shapes[st.In[0]]
			}
			work += pl.n * sh.H * sh.W * len(st.node.weight.Data) / g.n
		}
		if c := pl.shapes[st.Out].C; c > 0 {
			pixels = max(pixels, st.out.unit/c)
		}
	}
	g.grain = max(1, threadWork/max(work, 1))
	g.perStrip = g.n
	if g.first < g.last || pl.steps[g.first].kind() != head { // the kernels cut a single head themselves
		g.perStrip = min(g.n, max(stripBytes/max(perUnit, 1), (stripPixels+pixels-1)/pixels))
	}
	pl.layoutStrip(g)
	if pl.steps[g.first].kind() == alias {
		g.n = 0
	}
	g.fn = func(lo, hi int) { pl.runStrips(g, lo, hi) }
}

// layoutStrip places the local values of a group in the strip of a thread. A
// strip runs through the steps one after the other, so memory is free as soon
// as its last reader has run.
func (pl *plan) layoutStrip(g *group) {
	s := pl.schedule()
	type region struct{ off, n, skip int }
	var mem Layout
	at := map[int]region{} // by root
	last := map[int]int{}  // last reader, by root
	for i := g.first; i <= g.last; i++ {
		for _, v := range append(pl.steps[i].reads(), pl.steps[i].Out) {
			last[s.root[v]] = i
		}
	}
	lastUse := make([]int, len(pl.shapes))
	for r, i := range last {
		lastUse[r] = i
	}
	locate := func(p *place) {
		if p.local {
			r := at[s.root[p.value]]
			p.off = r.off + r.skip
		}
	}
	for i := g.first; i <= g.last; i++ {
		st := &pl.steps[i]
		for j := range st.in {
			locate(&st.in[j])
		}
		locate(&st.residual)
		if st.out.local {
			out := s.root[st.Out]
			x := pl.inPlace(st, i, lastUse)
			if r, ok := at[x]; ok {
				at[out] = r
				delete(at, x)
			} else {
				halo := alignUp(st.halo())
				r := region{n: g.perStrip*st.out.unit + 2*halo, skip: halo}
				r.off = mem.Alloc(r.n)
				at[out] = r
			}
			locate(&st.out)
		}
		for _, v := range append(st.reads(), st.Out) {
			if r, ok := at[s.root[v]]; ok && last[s.root[v]] == i {
				mem.Free(r.off, r.n)
				delete(at, s.root[v])
			}
		}
	}
	g.strip = mem.Size()
}

// halo is how many numbers around its rows the kernel of a step expects in the
// destination, without touching them: depthwise works on a window of the image.
func (st *planned) halo() int {
	if st.Layer.Op == OpDepthwise {
		return st.Layer.Kernel / 2 * st.out.row
	}
	return 0
}
