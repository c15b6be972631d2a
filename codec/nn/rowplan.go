package nn

import (
	"fmt"
	"slices"

	"github.com/aecodec/aecodec/kernels"
)

// rowSchedule is a schedule for rows: the steps of Run, some of them joined
// further, and who reads what. It is made once per program.
type rowSchedule struct {
	steps   []rowStep
	root    []int   // as in schedule
	readers [][]int // by root value: steps that read it, in order
	reads   []bool  // by input: some step or output needs it
	err     error   // why the program cannot run by rows; nil if it can
}

// rowStep is a step whose value numbers are roots.
type rowStep struct {
	*Step
	in       []int
	out      int
	residual int // -1: none
	// fold is the factor of the shuffle that has joined a 1x1 convolution, 0 if
	// there is none.
	fold int
}

// rowSchedule derives the schedule for rows from that of Run.
func (p *Program) rowSchedule() rowSchedule {
	s := &p.run
	values := len(s.root)
	rs := rowSchedule{root: s.root, readers: make([][]int, values), reads: make([]bool, len(p.net.Inputs))}
	uses := make([]int, values)
	for _, v := range p.outs {
		uses[s.root[v]]++
	}
	for i := range s.steps {
		for _, v := range s.steps[i].In {
			uses[s.root[v]]++
		}
		if r := s.steps[i].Residual; r >= 0 {
			uses[s.root[r]]++
		}
	}
	maker := make(map[int]int, len(s.steps)) // step of rs that makes a value
	for i := range s.steps {
		st := &s.steps[i]
		if st.Layer.Op == OpIdentity {
			uses[s.root[st.Out]]--
			continue
		}
		if err := st.rowWise(p.net); err != nil && rs.err == nil {
			rs.err = err
		}
		if st.Layer.Op == OpShuffle {
			x := s.root[st.In[0]]
			if j, ok := maker[x]; ok && uses[x] == 1 && rs.steps[j].canFold(st.Layer.Factor) {
				rs.steps[j].out, rs.steps[j].fold = st.Out, st.Layer.Factor
				maker[st.Out] = j
				continue
			}
		}
		r := rowStep{Step: st, out: st.Out, residual: -1}
		for _, v := range st.In {
			r.in = append(r.in, s.root[v])
		}
		if st.Residual >= 0 {
			r.residual = s.root[st.Residual]
		}
		maker[r.out] = len(rs.steps)
		rs.steps = append(rs.steps, r)
	}
	for i := range rs.steps {
		for _, v := range rs.steps[i].operands() {
			rs.readers[v] = append(rs.readers[v], i)
		}
	}
	for i := range rs.reads {
		rs.reads[i] = len(rs.readers[i]) > 0
	}
	for _, v := range p.outs {
		if r := s.root[v]; r < len(rs.reads) {
			rs.reads[r] = true
		}
	}
	return rs
}

// rowWise returns an error unless a row of the step's output depends on a few
// rows of its inputs around the same place, and on nothing else.
func (st *Step) rowWise(n *Network) error {
	l := st.Layer
	switch l.Op {
	case OpConv:
		if l.Stride == 1 && l.Kernel%2 == 1 && l.Padding == PadSame {
			return nil
		}
	case OpDeconv, OpDense, OpMaxPool, OpAvgPool, OpReshape, OpFlatten:
	default:
		return nil
	}
	return n.layerError(l, "does not run by rows")
}

// canFold reports whether a shuffle may join the step: the columns of the
// product that make one row of it must be whole panels of the weights.
func (st *rowStep) canFold(r int) bool {
	return st.Layer.Op == OpConv && st.Layer.Kernel == 1 && st.Layer.Stride == 1 && st.residual < 0 && st.fold == 0 &&
		st.Layer.Out%(r*r) == 0 && st.Layer.Out/r%kernels.PanelWidth == 0
}

// operands returns the values that the step reads.
func (st *rowStep) operands() []int {
	if st.residual >= 0 {
		return append(st.in[:len(st.in):len(st.in)], st.residual)
	}
	return st.in
}

// factor is by how much the step enlarges the height, if it does.
func (st *rowStep) factor() int {
	switch {
	case st.fold > 0:
		return st.fold
	case st.Layer.Op == OpShuffle || st.Layer.Op == OpUpsample:
		return st.Layer.Factor
	}
	return 1
}

// reads returns the rows of the inputs (not the residual) that rows out of the
// output depend on; they may lie outside the image.
func (st *rowStep) reads(out rows) rows {
	switch r := st.factor(); {
	case r > 1:
		return rows{out.lo / r, (out.hi + r - 1) / r}
	case st.Layer.Op == OpUnshuffle:
		return rows{out.lo * st.Layer.Factor, out.hi * st.Layer.Factor}
	case st.Layer.Op == OpConv || st.Layer.Op == OpDepthwise:
		return rows{out.lo - st.Layer.Kernel/2, out.hi + st.Layer.Kernel/2}
	}
	return out
}

// rows is a range lo <= y < hi.
type rows struct{ lo, hi int }

func (r rows) union(o rows) rows {
	switch {
	case r.lo >= r.hi:
		return o
	case o.lo >= o.hi:
		return r
	}
	return rows{min(r.lo, o.lo), max(r.hi, o.hi)}
}

// rowPlan says which rows of which value are computed when, and where they lie.
// It knows no arithmetic: sizes are in elements, whatever these are.
//
// Rows are computed on demand, from the outputs backwards, in passes through all
// steps. In a pass a step computes a batch of the rows that are asked for, once
// its operands have come that far, or nothing. Rows of a value that are still
// needed after the pass stay in a ring; a value whose rows are always used up in
// the pass that makes them shares its memory with others.
type rowPlan struct {
	s      *rowSchedule
	ins    int // number of inputs
	outs   []int
	shapes []Shape // by value
	span   rows    // of the outputs
	val    []rowValue
	done   int // rows of the outputs that the caller has
	target int // rows that are asked for
	step   int // rows that are asked for at a time
	layout Layout
	size   int // elements of memory
}

// rowValue is one value of the plan.
type rowValue struct {
	unit   int  // rows come in multiples of this
	batch  int  // that many at a time
	span   rows // that the outputs depend on
	lo, hi int  // rows that the present pass computes
	want   int  // rows below are asked for

	row     int  // elements of a row
	cap     int  // rows of memory
	off     int  // in the memory
	base    int  // the row that lies at off; slots repeat every cap rows
	carried bool // some rows are read in a later pass
}

// at returns where row y lies, and how many rows follow it without a gap.
func (v *rowValue) at(y int) (off, n int) {
	slot := (y - v.base) % v.cap
	return v.off + slot*v.row, v.cap - slot
}

// rowBatch is the least number of pixels that a step should compute at a time, as
// far as there are rows: a whole layer's weights come from a farther cache for
// each batch, so that fewer cost time, and more fall out of the cache themselves.
// A variable only so that tests can cut small images.
var rowBatch = 256

// checkRows checks what a caller asks for and returns the shapes of all values.
func (p *Program) checkRows(in []Shape, span rows) ([]Shape, error) {
	fail := func(format string, args ...any) ([]Shape, error) {
		return nil, fmt.Errorf("nn: network %q: rows: "+format, append([]any{p.net.Name}, args...)...)
	}
	if len(in) != len(p.net.Inputs) {
		return fail("%d inputs given, want %d", len(in), len(p.net.Inputs))
	}
	for i := range in {
		if in[i].H != in[0].H {
			return fail("inputs %q and %q differ in height", p.net.Inputs[0].Name, p.net.Inputs[i].Name)
		}
	}
	shapes, err := p.net.inferResolved(p.ins, in)
	if err != nil {
		return nil, err
	}
	h := shapes[p.outs[0]].H
	for _, v := range p.outs {
		if shapes[v].H != h {
			return fail("outputs differ in height")
		}
	}
	if span.lo < 0 || span.hi > h || span.lo >= span.hi {
		return fail("%d to %d of %d", span.lo, span.hi, h)
	}
	return shapes, nil
}

// prepare plans rows span of the outputs for inputs of shapes in.
func (pl *rowPlan) prepare(p *Program, in []Shape, span rows) error {
	if pl.s != &p.rows || pl.span != span || !slices.Equal(pl.shapes[:len(in)], in) {
		shapes, err := p.checkRows(in, span)
		if err != nil {
			return err
		}
		pl.s, pl.ins, pl.shapes, pl.span = &p.rows, len(in), shapes, span
		pl.outs = pl.outs[:0]
		for _, v := range p.outs {
			pl.outs = append(pl.outs, pl.s.root[v])
		}
		if len(pl.val) != len(shapes) {
			pl.val = make([]rowValue, len(shapes))
		}
		pl.measure()
		pl.spans()
		pl.simulate()
		pl.place()
	}
	pl.reset()
	return nil
}

// measure fills in what depends on the shapes alone.
func (pl *rowPlan) measure() {
	for v := range pl.val {
		sh := pl.shapes[v]
		pl.val[v] = rowValue{unit: 1, row: sh.W * sh.C, batch: max(1, (rowBatch+sh.W-1)/max(sh.W, 1))}
	}
	for i := range pl.s.steps {
		st := &pl.s.steps[i]
		if st.Layer.Op == OpUnshuffle {
			x := &pl.val[st.in[0]]
			x.unit = lcm(x.unit, st.Layer.Factor)
		}
		out := &pl.val[st.out]
		out.unit = lcm(out.unit, st.factor())
	}
	unit, batch := 1, 1
	for i := range pl.ins {
		unit, batch = lcm(unit, pl.val[i].unit), max(batch, pl.val[i].batch)
	}
	for i := range pl.ins {
		pl.val[i].unit, pl.val[i].batch = unit, batch
	}
	for i := range pl.val {
		v := &pl.val[i]
		v.batch = (v.batch + v.unit - 1) / v.unit * v.unit
	}
	pl.step = 1
	for _, v := range pl.outs {
		pl.step = max(pl.step, pl.val[v].batch)
	}
}

func lcm(a, b int) int { return a / gcd(a, b) * b }

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// spans finds the rows of every value that the outputs depend on.
func (pl *rowPlan) spans() {
	for v := range pl.val {
		pl.val[v].span = rows{}
	}
	for _, v := range pl.outs {
		pl.val[v].span = pl.span
	}
	for i := len(pl.s.steps) - 1; i >= 0; i-- {
		st := &pl.s.steps[i]
		out := &pl.val[st.out]
		out.whole(pl.shapes[st.out].H)
		if st.residual >= 0 {
			r := &pl.val[st.residual]
			r.span = r.span.union(out.span)
		}
		r := st.reads(out.span)
		for _, v := range st.in {
			x := &pl.val[v]
			x.span = x.span.union(rows{max(r.lo, 0), min(r.hi, pl.shapes[v].H)})
		}
	}
	// Inputs come together, so all of them have one span.
	var all rows
	for i := range pl.ins {
		pl.val[i].whole(pl.shapes[i].H)
		all = all.union(pl.val[i].span)
	}
	for i := range pl.ins {
		pl.val[i].span = all
	}
}

// whole extends the span to whole units.
func (v *rowValue) whole(h int) {
	v.span = rows{v.span.lo / v.unit * v.unit, min((v.span.hi+v.unit-1)/v.unit*v.unit, h)}
}

// reset goes back to the first row.
func (pl *rowPlan) reset() {
	pl.done, pl.target = pl.span.lo, pl.span.lo
	for i := range pl.val {
		v := &pl.val[i]
		v.hi, v.base = v.span.lo, v.span.lo
	}
}

// advance decides which rows the next pass computes. It returns false when the
// outputs are complete.
func (pl *rowPlan) advance() bool {
	if pl.done == pl.span.hi {
		return false
	}
	if pl.done == pl.target {
		pl.target = min(pl.done+pl.step, pl.span.hi)
	}
	for i := range pl.val {
		v := &pl.val[i]
		v.lo, v.want = v.hi, v.hi
	}
	// Backwards, what is asked for in all.
	for _, v := range pl.outs {
		pl.val[v].want = max(pl.val[v].want, pl.target)
	}
	for i := len(pl.s.steps) - 1; i >= 0; i-- {
		st := &pl.s.steps[i]
		out := &pl.val[st.out]
		if !out.round() {
			continue
		}
		if st.residual >= 0 {
			r := &pl.val[st.residual]
			r.want = max(r.want, out.want)
		}
		r := st.reads(rows{out.lo, out.want})
		for _, v := range st.in {
			x := &pl.val[v]
			x.want = max(x.want, min(r.hi, x.span.hi))
		}
	}
	// Forwards, how far this pass gets. Inputs go along with each other.
	want := 0
	for i := range pl.ins {
		want = max(want, pl.val[i].want)
	}
	for i := range pl.ins {
		v := &pl.val[i]
		if v.want = want; v.round() {
			v.hi = min(v.want, v.lo+v.batch)
		}
	}
	for i := range pl.s.steps {
		st := &pl.s.steps[i]
		out := &pl.val[st.out]
		if hi := min(out.want, out.lo+out.batch); hi > out.lo && pl.ready(st, rows{out.lo, hi}) {
			out.hi = hi
		}
	}
	for i := range pl.val {
		if v := &pl.val[i]; !v.carried && v.lo < v.hi {
			v.base = v.lo
		}
	}
	return true
}

// ready reports whether the operands of a step have come far enough for some rows
// of its output.
func (pl *rowPlan) ready(st *rowStep, out rows) bool {
	if st.residual >= 0 && pl.val[st.residual].hi < out.hi {
		return false
	}
	r := st.reads(out)
	for _, v := range st.in {
		if x := &pl.val[v]; x.hi < min(r.hi, x.span.hi) {
			return false
		}
	}
	return true
}

// finish ends a pass: the rows of the outputs that it completed, which may be
// none, are done <= y < to.
func (pl *rowPlan) finish() (to int) {
	to = pl.target
	for _, v := range pl.outs {
		to = min(to, pl.val[v].hi)
	}
	return max(to, pl.done)
}

// round makes want whole batches; it reports whether rows are missing.
func (v *rowValue) round() bool {
	if v.want <= v.lo {
		return false
	}
	n := (v.want - v.lo + v.batch - 1) / v.batch * v.batch
	v.want = min(v.lo+n, v.span.hi)
	return true
}

// simulate runs through all passes to find how many rows of each value have to be
// there at once.
func (pl *rowPlan) simulate() {
	for i := range pl.val {
		pl.val[i].cap, pl.val[i].carried = 0, false
	}
	pl.reset()
	for pl.advance() {
		for i := range pl.val {
			v := &pl.val[i]
			v.cap = max(v.cap, v.hi-min(v.lo, pl.oldest(i)))
		}
		pl.done = pl.finish()
		for i := range pl.val {
			pl.val[i].lo = pl.val[i].hi
		}
		for i := range pl.val {
			v := &pl.val[i]
			v.carried = v.carried || pl.oldest(i) < v.hi
		}
	}
	for i := range pl.val {
		v := &pl.val[i]
		v.cap = max(1, (v.cap+v.unit-1)/v.unit) * v.unit
	}
}

// oldest returns the first row of value v that somebody still reads, if every
// value is there up to its row lo and the caller has the outputs up to done.
func (pl *rowPlan) oldest(v int) int {
	low := pl.val[v].hi
	if slices.Contains(pl.outs, v) {
		low = min(low, pl.done)
	}
	for _, i := range pl.s.readers[v] {
		st := &pl.s.steps[i]
		out := &pl.val[st.out]
		if out.lo >= out.span.hi {
			continue
		}
		if st.residual == v {
			low = min(low, out.lo)
		}
		if slices.Contains(st.in, v) {
			low = min(low, max(st.reads(rows{out.lo, out.lo + 1}).lo, 0))
		}
	}
	return low
}

// place lays the values out: carried ones each on its own, the others where the
// memory is free between the step that makes them and the last that reads them.
func (pl *rowPlan) place() {
	mem := &pl.layout
	*mem = Layout{free: mem.free[:0]}
	for i := range pl.val {
		if v := &pl.val[i]; v.carried {
			v.off = mem.Alloc(v.cap * v.row)
		}
	}
	for i := range pl.ins {
		if v := &pl.val[i]; !v.carried {
			v.off = mem.Alloc(v.cap * v.row)
		}
	}
	for i := range pl.s.steps {
		st := &pl.s.steps[i]
		out := &pl.val[st.out]
		taken := -1
		if !out.carried {
			if taken = pl.inPlace(i); taken >= 0 {
				out.off = pl.val[taken].off
			} else {
				out.off = mem.Alloc(out.cap * out.row)
			}
		}
		for j, v := range st.in {
			if v != taken && !slices.Contains(st.in[:j], v) {
				pl.free(v, i)
			}
		}
		if r := st.residual; r >= 0 && r != taken && !slices.Contains(st.in, r) {
			pl.free(r, i)
		}
		if len(pl.s.readers[st.out]) == 0 && !slices.Contains(pl.outs, st.out) {
			mem.Free(out.off, out.cap*out.row) // nothing reads it: a dead output of a live step
		}
	}
	pl.size = mem.Size()
}

// free gives the memory of v back if step i is the last that reads it.
func (pl *rowPlan) free(v, i int) {
	if x := &pl.val[v]; pl.lastUse(v, i) && !x.carried {
		pl.layout.Free(x.off, x.cap*x.row)
	}
}

// lastUse reports whether nothing after step i, nor the caller, reads v.
func (pl *rowPlan) lastUse(v, i int) bool {
	readers := pl.s.readers[v]
	return len(readers) > 0 && readers[len(readers)-1] == i && !slices.Contains(pl.outs, v)
}

// inPlace returns an operand that step i may overwrite with its output, row by
// row, or -1.
func (pl *rowPlan) inPlace(i int) int {
	st := &pl.s.steps[i]
	var candidates []int
	switch st.Layer.Op {
	case OpLeaky, OpReLU, OpSigmoid, OpTanh, OpSoftplus, OpSymlog, OpChannelScale, OpSub:
		candidates = st.in
	case OpAdd, OpMul:
		if len(st.in) == 2 {
			candidates = st.in
		}
	case OpConv, OpDepthwise:
		if st.residual >= 0 && !slices.Contains(st.in, st.residual) {
			candidates = []int{st.residual}
		}
	}
	out := &pl.val[st.out]
	for _, v := range candidates {
		// All rows of x are used up in the pass that makes them, so when both
		// begin at the same row, they go along in every pass.
		if x := &pl.val[v]; !x.carried && pl.lastUse(v, i) && pl.shapes[v] == pl.shapes[st.out] && x.span == out.span && x.cap == out.cap {
			return v
		}
	}
	return -1
}
