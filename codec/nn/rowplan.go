package nn

import "slices"

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
// It knows no arithmetic: sizes are in numbers, and every form of values lies in a
// memory of its own.
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
	done   int              // rows of the outputs that the caller has
	target int              // rows that are asked for
	step   int              // rows that are asked for at a time
	layout [rowForms]Layout // of the memory of each form
}

// rowValue is one value of the plan.
type rowValue struct {
	unit   int  // rows come in multiples of this
	batch  int  // that many at a time
	span   rows // that the outputs depend on
	lo, hi int  // rows that the present pass computes
	want   int  // rows below are asked for

	row     int            // numbers of a row
	cap     int            // rows of memory
	off     [rowForms]int  // in the memories of the forms
	forms   [rowForms]bool // that the value has
	base    int            // the row that lies at off; slots repeat every cap rows
	carried bool           // some rows are read in a later pass
}

// at returns where row y lies in the memory of a form.
func (v *rowValue) at(form, y int) int { return v.off[form] + (y-v.base)%v.cap*v.row }

// run returns how many rows from y on, up to n, lie in one piece.
func (v *rowValue) run(y, n int) int { return min(n, v.cap-(y-v.base)%v.cap) }

// alloc places a form of the value.
func (v *rowValue) alloc(mem *[rowForms]Layout, form int) {
	if v.forms[form] {
		v.off[form] = mem[form].Alloc(v.cap * v.row)
	}
}

// free gives the memory of a form back.
func (v *rowValue) free(mem *[rowForms]Layout, form int) {
	if v.forms[form] {
		mem[form].Free(v.off[form], v.cap*v.row)
	}
}

// piece returns how many rows from y on, up to n, lie in one piece in the output
// of a step and in all that it reads.
func (pl *rowPlan) piece(st *rowStep, y, n int) int {
	n = pl.val[st.out].run(y, n)
	for _, v := range st.in {
		n = pl.val[v].run(y, n)
	}
	if st.residual >= 0 {
		n = pl.val[st.residual].run(y, n)
	}
	return n
}

// rowBatch is the least number of pixels that a step should compute at a time, as
// far as there are rows: a whole layer's weights come from a farther cache for
// each batch, so that fewer cost time, and more fall out of the cache themselves.
// A variable only so that tests can cut small images.
var rowBatch = 256

// prepare plans rows span of the outputs for inputs of shapes in.
func (pl *rowPlan) prepare(s *rowSchedule, in []Shape, span rows) error {
	if pl.s != s || pl.span != span || !slices.Equal(pl.shapes[:pl.ins], in) {
		shapes, err := s.check(in, span)
		if err != nil {
			return err
		}
		pl.s, pl.ins, pl.shapes, pl.span = s, len(in), shapes, span
		pl.outs = pl.outs[:0]
		for _, v := range s.outs {
			pl.outs = append(pl.outs, s.root[v])
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
		pl.val[v] = rowValue{unit: 1, row: sh.W * sh.C, forms: pl.s.forms[v], batch: max(1, (rowBatch+sh.W-1)/max(sh.W, 1))}
	}
	for i := range pl.s.steps {
		st := &pl.s.steps[i]
		if st.layer.Op == OpUnshuffle {
			x := &pl.val[st.in[0]]
			x.unit = lcm(x.unit, st.layer.Factor)
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

// rowRunner does the arithmetic of a plan.
type rowRunner interface {
	load()                        // the rows of the inputs that the pass needs
	exec(st *rowStep, lo, hi int) // rows lo to hi of the output of a step
}

// next makes passes until rows of the outputs are complete, and returns which: none,
// lo == hi, when all are.
func (pl *rowPlan) next(r rowRunner) (lo, hi int) {
	for pl.advance() {
		r.load()
		for i := range pl.s.steps {
			st := &pl.s.steps[i]
			if out := &pl.val[st.out]; out.lo < out.hi {
				r.exec(st, out.lo, out.hi)
			}
		}
		lo, hi = pl.done, pl.finish()
		pl.done = hi
		if lo < hi {
			return lo, hi
		}
	}
	return pl.done, pl.done
}

// lines returns the rows of a value that a window of k rows around y covers, nil
// outside the image, in buf if it is large enough.
func lines[T any](pl *rowPlan, buf [][]T, rows func(v, y, n int) []T, v, y, k int) [][]T {
	buf = slices.Grow(buf[:0], k)[:k]
	for i := range buf {
		buf[i] = nil
		if sy := y - k/2 + i; sy >= 0 && sy < pl.shapes[v].H {
			buf[i] = rows(v, sy, 1)
		}
	}
	return buf
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
	for form := range mem {
		mem[form] = Layout{free: mem[form].free[:0]}
		for i := range pl.val {
			if v := &pl.val[i]; v.carried || i < pl.ins {
				v.alloc(mem, form)
			}
		}
		for i := range pl.s.steps {
			pl.placeStep(i, form)
		}
	}
}

// placeStep places a form of the output of step i and gives back what is not read
// any more.
func (pl *rowPlan) placeStep(i, form int) {
	st, mem := &pl.s.steps[i], &pl.layout
	out := &pl.val[st.out]
	taken := -1
	if !out.carried {
		if taken = pl.inPlace(i, form); taken >= 0 {
			out.off[form] = pl.val[taken].off[form]
		} else {
			out.alloc(mem, form)
		}
	}
	free := func(v int) {
		if x := &pl.val[v]; v != taken && !x.carried && pl.lastUse(v, i) {
			x.free(mem, form)
		}
	}
	for j, v := range st.in {
		if !slices.Contains(st.in[:j], v) {
			free(v)
		}
	}
	if r := st.residual; r >= 0 && !slices.Contains(st.in, r) {
		free(r)
	}
	if len(pl.s.readers[st.out]) == 0 && !slices.Contains(pl.outs, st.out) {
		out.free(mem, form) // nothing reads it: a dead output of a live step
	}
}

// lastUse reports whether nothing after step i, nor the caller, reads v.
func (pl *rowPlan) lastUse(v, i int) bool {
	readers := pl.s.readers[v]
	return len(readers) > 0 && readers[len(readers)-1] == i && !slices.Contains(pl.outs, v)
}

// inPlace returns an operand whose memory of a form step i may overwrite with its
// output, row by row, or -1. It is the first form that residuals and element-wise
// steps read.
func (pl *rowPlan) inPlace(i, form int) int {
	st := &pl.s.steps[i]
	if form != 0 || !pl.val[st.out].forms[form] {
		return -1
	}
	var candidates []int
	switch st.layer.Op {
	case OpLeaky, OpReLU, OpSigmoid, OpTanh, OpSoftplus, OpSymlog, OpChannelScale, OpFakeQuant, OpSub:
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
		if x := &pl.val[v]; x.forms[form] && !x.carried && pl.lastUse(v, i) && pl.shapes[v] == pl.shapes[st.out] && x.span == out.span && x.cap == out.cap {
			return v
		}
	}
	return -1
}
