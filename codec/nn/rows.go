package nn

import "github.com/aecodec/aecodec/kernels"

// Rows runs programs over images a few rows at a time. Every layer keeps only
// the rows that its successors still need, so memory grows with the width of the
// image and not with its height, and what one layer writes is still in the cache
// when the next one reads it. The results have the same bits as those of
// [Program.Run].
//
//	err := r.Start(prog, shapes, 0, height, fill)
//	for lo, hi := r.Next(); lo < hi; lo, hi = r.Next() {
//		use(r.Row(0, lo)) // and the others below hi
//	}
//
// Any range of output rows can be computed on its own, so bands of an image run
// in parallel, each with a Rows of its own; rows around a band are computed by
// both neighbours. The memory is reused from run to run.
//
// Networks with layers that look at more than a few rows around (dense, pooling,
// strides, reshape) are run whole, behind the same methods.
type Rows struct {
	prog *Program
	fill func(y int, dst [][]float32)
	plan rowPlan
	mem  []float32
	in   [][]float32 // arguments of fill
	taps [][]float32 // see lines

	window []float32 // see execConv

	// Of a program that does not run by rows.
	whole    bool
	arena    *Arena
	inputs   []*Tensor
	outputs  []*Tensor
	lo, hi   int
	finished bool
}

// rowSchedule derives the schedule for rows from that of Run.
func (p *Program) rowSchedule() rowSchedule {
	root := p.run.root
	rs := rowSchedule{net: p.net, ins: p.ins, outs: p.outs, root: root, forms: make([][rowForms]bool, len(root))}
	for v := range rs.forms {
		rs.forms[v] = [rowForms]bool{true}
	}
	for i := range p.run.steps {
		st := &p.run.steps[i]
		if st.Layer.Op == OpIdentity {
			continue
		}
		if !st.Layer.rowWise() && rs.err == nil {
			rs.err = p.net.layerError(st.Layer, "does not run by rows")
		}
		r := rowStep{layer: st.Layer, out: st.Out, residual: -1, index: i}
		for _, v := range st.In {
			r.in = append(r.in, root[v])
		}
		if st.Residual >= 0 {
			r.residual = root[st.Residual]
		}
		rs.steps = append(rs.steps, r)
	}
	rs.link()
	return rs
}

// Start begins a run. in are the shapes of the inputs: the height of the whole
// image, the width of what is given. lo <= y < hi are the rows of the outputs
// that are wanted; all outputs must be of one height, and so must all inputs.
//
// fill is called for the rows of the inputs that these depend on, from the top
// to the bottom, each once; it writes row y of input i to dst[i], which is
// nil for an input that nothing depends on.
func (r *Rows) Start(p *Program, in []Shape, lo, hi int, fill func(y int, dst [][]float32)) error {
	r.prog, r.fill = p, fill
	if cap(r.in) < len(in) {
		r.in = make([][]float32, len(in))
	}
	r.in = r.in[:len(in)]
	if r.whole = p.rows.err != nil; r.whole {
		if _, err := p.rows.check(in, rows{lo, hi}); err != nil {
			return err
		}
		return r.runWhole(in, lo, hi)
	}
	if err := r.plan.prepare(&p.rows, in, rows{lo, hi}); err != nil {
		return err
	}
	r.mem = enlarge(r.mem, r.plan.layout[0].Size())
	return nil
}

// Next computes more rows of the outputs and returns which: lo <= y < hi follow
// those of the last call. There are no more when lo == hi.
func (r *Rows) Next() (lo, hi int) {
	if r.whole {
		if r.finished {
			return r.hi, r.hi
		}
		r.finished = true
		return r.lo, r.hi
	}
	return r.plan.next(r)
}

// Row returns row y of output i: one of those that the last call of Next
// returned, and valid until the next one.
func (r *Rows) Row(i, y int) []float32 {
	if r.whole {
		t := r.outputs[i]
		return t.Data[y*t.W*t.C:][:t.W*t.C]
	}
	return r.row(r.plan.outs[i], y)
}

// Shape returns the shape of output i.
func (r *Rows) Shape(i int) Shape {
	if r.whole {
		return r.outputs[i].Shape()
	}
	return r.plan.shapes[r.plan.outs[i]]
}

// Bytes returns the memory that is held, in bytes.
func (r *Rows) Bytes() int64 {
	n := 4 * int64(len(r.mem)+len(r.window))
	if r.arena != nil {
		n += r.arena.Bytes()
	}
	return n
}

// runWhole runs a program that does not run by rows.
func (r *Rows) runWhole(in []Shape, lo, hi int) error {
	if r.arena == nil {
		r.arena = NewArena()
	}
	r.inputs = r.inputs[:0]
	for _, s := range in {
		r.inputs = append(r.inputs, NewTensor(1, s.H, s.W, s.C))
	}
	for y := range in[0].H {
		for i, t := range r.inputs {
			r.in[i] = t.Data[y*t.W*t.C:][:t.W*t.C]
		}
		r.fill(y, r.in)
	}
	var err error
	r.outputs, err = r.prog.Run(r.arena, 1, r.inputs...)
	r.lo, r.hi, r.finished = lo, hi, false
	return err
}

// load asks for the rows of the inputs.
func (r *Rows) load() {
	for y := r.plan.val[0].lo; y < r.plan.val[0].hi; y++ {
		for i := range r.in {
			r.in[i] = nil
			if r.plan.s.reads[i] {
				r.in[i] = r.row(i, y)
			}
		}
		r.fill(y, r.in)
	}
}

// row returns one row of a value.
func (r *Rows) row(v, y int) []float32 { return r.rows(v, y, 1) }

// rows returns n rows of a value from y on, which lie in one piece.
func (r *Rows) rows(v, y, n int) []float32 {
	x := &r.plan.val[v]
	return r.mem[x.at(0, y):][:n*x.row]
}

// step returns the step of the program that a step of the schedule is.
func (r *Rows) step(st *rowStep) *Step { return &r.prog.run.steps[st.index] }

// exec computes rows lo to hi of the output of a step.
func (r *Rows) exec(st *rowStep, lo, hi int) {
	switch st.layer.Op {
	case OpConv:
		switch {
		case st.fold > 0:
			r.execFolded(st, lo, hi)
		case st.layer.Kernel == 1:
			r.execPointwise(st, lo, hi)
		default:
			r.execConv(st, lo, hi)
		}
	case OpDepthwise:
		r.execDepthwise(st, lo, hi)
	case OpShuffle, OpUpsample, OpUnshuffle:
		r.execResize(st, lo, hi)
	default:
		r.execElements(st, lo, hi)
	}
}

// execPointwise runs a 1x1 convolution.
func (r *Rows) execPointwise(st *rowStep, lo, hi int) {
	s := r.step(st)
	w := s.node.packed
	width := r.plan.shapes[st.out].W
	for y := lo; y < hi; {
		n := r.plan.piece(st, y, hi-y)
		ep := s.epilogue()
		if st.residual >= 0 {
			ep.Residual, ep.LDR = r.rows(st.residual, y, n), w.N
		}
		kernels.GEMM(r.rows(st.out, y, n), w.N, r.rows(st.in[0], y, n), w.K, w, n*width, &ep)
		y += n
	}
}

// execFolded runs a 1x1 convolution and a shuffle: of every pixel of a row, the
// columns that belong to one row of the shuffled output are a product of their
// own, which is written there.
func (r *Rows) execFolded(st *rowStep, lo, hi int) {
	s := r.step(st)
	w := s.node.packed
	width := r.plan.shapes[st.in[0]].W
	part := kernels.Packed{K: w.K, N: w.N / st.fold}
	for y := lo; y < hi; y++ {
		i := y % st.fold
		part.Data = w.Data[i*part.N*w.K:][:part.N*w.K]
		ep := s.epilogue()
		if ep.Bias != nil {
			ep.Bias = ep.Bias[i*part.N:]
		}
		kernels.GEMM(r.row(st.out, y), part.N, r.row(st.in[0], y/st.fold), w.K, &part, width, &ep)
	}
}

func (r *Rows) execDepthwise(st *rowStep, lo, hi int) {
	s, shape := r.step(st), &r.plan.shapes[st.out]
	k := st.layer.Kernel
	for y := lo; y < hi; y++ {
		ep := kernels.Epilogue{Act: s.Act, Slope: s.Slope}
		if st.residual >= 0 {
			ep.Residual, ep.LDR = r.row(st.residual, y), shape.C
		}
		r.taps = lines(&r.plan, r.taps, r.rows, st.in[0], y, k)
		kernels.DepthwiseRow(r.row(st.out, y), r.taps, s.node.flat, s.node.b, shape.W, shape.C, k, &ep)
	}
}

// execConv runs a convolution with a window, row by row on a copy of the rows
// under it.
func (r *Rows) execConv(st *rowStep, lo, hi int) {
	s, in, out := r.step(st), &r.plan.shapes[st.in[0]], &r.plan.shapes[st.out]
	k, row := st.layer.Kernel, in.W*in.C
	shape := kernels.ConvShape{H: k, W: in.W, Cin: in.C, OutH: 1, OutW: out.W, Cout: out.C, KH: k, KW: k, StrideY: 1, StrideX: 1, PadLeft: k / 2}
	for y := lo; y < hi; y++ {
		r.window = enlarge(r.window, k*row)
		r.taps = lines(&r.plan, r.taps, r.rows, st.in[0], y, k)
		for i, line := range r.taps {
			if dst := r.window[i*row:][:row]; line == nil {
				clear(dst)
			} else {
				copy(dst, line)
			}
		}
		ep := s.epilogue()
		if st.residual >= 0 {
			ep.Residual, ep.LDR = r.row(st.residual, y), out.C
		}
		kernels.Conv(r.row(st.out, y), r.window, s.node.packed, &shape, &ep, 0, 1)
	}
}

// execResize runs the steps that move pixels between rows.
func (r *Rows) execResize(st *rowStep, lo, hi int) {
	in, out := &r.plan.shapes[st.in[0]], &r.plan.shapes[st.out]
	f := st.layer.Factor
	if st.layer.Op == OpUnshuffle {
		for y := lo; y < hi; y++ {
			kernels.Unshuffle(r.row(st.out, y), r.rows(st.in[0], y*f, f), f, in.W, in.C, f)
		}
		return
	}
	for y := lo; y < hi; y += f {
		dst := r.rows(st.out, y, f)
		if src := r.row(st.in[0], y/f); st.layer.Op == OpUpsample {
			kernels.UpsampleNearest(dst, src, 1, in.W, in.C, f)
		} else {
			kernels.Shuffle(dst, src, f, out.W, out.C, f)
		}
	}
}

// execElements runs the steps that compute each number or pixel from those at the
// same place.
func (r *Rows) execElements(st *rowStep, lo, hi int) {
	s := r.step(st)
	for y := lo; y < hi; {
		n := r.plan.piece(st, y, hi-y)
		var few [4][]float32
		args := few[:0]
		for _, v := range st.in {
			args = append(args, r.rows(v, y, n))
		}
		s.elements(r.rows(st.out, y, n), args, r.plan.shapes)
		y += n
	}
}
