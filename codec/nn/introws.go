package nn

import (
	"math"

	"github.com/aecodec/aecodec/kernels"
)

// IntRows is [Rows] for programs in integers: it runs them a few rows at a time,
// in memory that grows with the width of the image only, and any range of output
// rows can be computed on its own, with the same bits.
//
//	err := r.Start(prog, shapes, 0, height, fill)
//	for lo, hi := r.Next(); lo < hi; lo, hi = r.Next() {
//		use(r.Row8(0, lo)) // and the others below hi
//	}
type IntRows struct {
	prog   *IntProgram
	fill   func(y int, dst [][]float32)
	plan   rowPlan
	words  []int16
	bytes  []uint8
	floats []float32   // rows of the inputs before they are integers
	in     [][]float32 // arguments of fill
	taps8  [][]uint8   // see lines
	taps16 [][]int16

	window8  []uint8 // see execConv
	window16 []int16
}

// The forms of values in a rowSchedule.
const (
	formWords = iota
	formBytes
)

// Start begins a run. in are the shapes of the inputs: the height of the whole
// image, the width of what is given. lo <= y < hi are the rows of the outputs
// that are wanted; all outputs must be of one height, and so must all inputs.
//
// fill is called for the rows of the inputs that these depend on, from the top
// to the bottom, each once; it writes row y of input i to dst[i], which is nil
// for an input that nothing depends on, or puts a row there that it holds and
// that is only read.
func (r *IntRows) Start(p *IntProgram, in []Shape, lo, hi int, fill func(y int, dst [][]float32)) error {
	if err := r.plan.prepare(&p.rows, in, rows{lo, hi}); err != nil {
		return err
	}
	r.prog, r.fill = p, fill
	if cap(r.in) < len(in) {
		r.in = make([][]float32, len(in))
	}
	r.in = r.in[:len(in)]
	n := 0
	for i := range in {
		n += r.plan.val[i].row
	}
	r.floats = enlarge(r.floats, n)
	r.words = enlarge(r.words, r.plan.layout[formWords].Size())
	r.bytes = enlarge(r.bytes, r.plan.layout[formBytes].Size())
	return nil
}

// Next computes more rows of the outputs and returns which: lo <= y < hi follow
// those of the last call. There are no more when lo == hi.
func (r *IntRows) Next() (lo, hi int) { return r.plan.next(r) }

// Row8 returns row y of output i in bytes, nil if it is not in bytes: one of those
// that the last call of Next returned, and valid until the next one.
func (r *IntRows) Row8(i, y int) []uint8 { return r.rows8(r.plan.outs[i], y, 1) }

// Row16 is Row8 for 16-bit integers.
func (r *IntRows) Row16(i, y int) []int16 { return r.rows16(r.plan.outs[i], y, 1) }

// Shape returns the shape of output i.
func (r *IntRows) Shape(i int) Shape { return r.plan.shapes[r.plan.outs[i]] }

// Bytes returns the memory that is held, in bytes.
func (r *IntRows) Bytes() int64 {
	return 4*int64(len(r.floats)) + 2*int64(len(r.words)+len(r.window16)) + int64(len(r.bytes)+len(r.window8))
}

// load asks for the rows of the inputs and makes them integers.
func (r *IntRows) load() {
	for y := r.plan.val[0].lo; y < r.plan.val[0].hi; y++ {
		at := 0
		for i := range r.in {
			n := r.plan.val[i].row
			r.in[i] = nil
			if r.plan.s.reads[i] {
				r.in[i] = r.floats[at : at+n]
			}
			at += n
		}
		r.fill(y, r.in)
		for i, src := range r.in {
			if src != nil {
				v := &r.prog.value[i]
				kernels.Quantise(r.rows16(i, y, 1), r.rows8(i, y, 1), src[:r.plan.val[i].row], v.scale, v.offset)
			}
		}
	}
	clear(r.in) // may be memory of the caller
}

// rows16 returns n rows of a value from y on, which lie in one piece, as 16-bit
// integers; nil if it does not have that form.
func (r *IntRows) rows16(v, y, n int) []int16 {
	x := &r.plan.val[v]
	if !x.forms[formWords] {
		return nil
	}
	return r.words[x.at(formWords, y):][:n*x.row]
}

// rows8 is rows16 for bytes.
func (r *IntRows) rows8(v, y, n int) []uint8 {
	x := &r.plan.val[v]
	if !x.forms[formBytes] {
		return nil
	}
	return r.bytes[x.at(formBytes, y):][:n*x.row]
}

// exec computes rows lo to hi of the output of a step.
func (r *IntRows) exec(st *rowStep, lo, hi int) {
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
	case OpShuffle, OpUnshuffle:
		r.execResize(st, lo, hi)
	default:
		r.execElements(st, lo, hi)
	}
}

// output says where n rows of the output of a step go, and what to do on the way.
func (r *IntRows) output(st *rowStep, rescale *kernels.Rescale, y, n int) kernels.IntOutput {
	s, c := &r.prog.steps[st.index], r.plan.shapes[st.out].C
	o := kernels.IntOutput{
		Rescale: rescale, Act: s.act, Slope: s.slope,
		Out16: r.rows16(st.out, y, n), LD16: c, Out8: r.rows8(st.out, y, n), LD8: c,
	}
	if st.residual >= 0 {
		o.Residual, o.LDR = r.rows16(st.residual, y, n), c
	}
	return o
}

// product computes columns of m pixels of a value from row y on.
func (r *IntRows) product(c *intColumns, v, y, n, m int, o *kernels.IntOutput) {
	if c.wide != nil {
		kernels.GEMM16(r.rows16(v, y, n), c.wide.K, c.wide, m, o)
	} else {
		kernels.GEMM8(r.rows8(v, y, n), c.narrow.K, c.narrow, m, o)
	}
}

// execPointwise runs a 1x1 convolution.
func (r *IntRows) execPointwise(st *rowStep, lo, hi int) {
	c := &r.prog.steps[st.index].columns[0]
	width := r.plan.shapes[st.out].W
	for y := lo; y < hi; {
		n := r.plan.piece(st, y, hi-y)
		o := r.output(st, c.rescale, y, n)
		r.product(c, st.in[0], y, n, n*width, &o)
		y += n
	}
}

// execFolded runs a 1x1 convolution and a shuffle: the columns that belong to one
// row of the shuffled output are a product of their own, which is written there.
func (r *IntRows) execFolded(st *rowStep, lo, hi int) {
	columns := r.prog.steps[st.index].columns
	width := r.plan.shapes[st.in[0]].W
	for y := lo; y < hi; y++ {
		c := &columns[y%st.fold]
		o := r.output(st, c.rescale, y, 1)
		o.LD16, o.LD8 = o.LD16*st.fold, o.LD8*st.fold
		r.product(c, st.in[0], y/st.fold, 1, width, &o)
	}
}

func (r *IntRows) execDepthwise(st *rowStep, lo, hi int) {
	s, shape := &r.prog.steps[st.index], &r.plan.shapes[st.out]
	k := st.layer.Kernel
	for y := lo; y < hi; y++ {
		o := r.output(st, s.rescale, y, 1)
		if s.wide {
			r.taps16 = lines(&r.plan, r.taps16, r.rows16, st.in[0], y, k)
			kernels.Depthwise16Row(r.taps16, s.taps, shape.W, shape.C, k, &o)
		} else {
			r.taps8 = lines(&r.plan, r.taps8, r.rows8, st.in[0], y, k)
			kernels.Depthwise8Row(r.taps8, s.pad, s.taps, shape.W, shape.C, k, &o)
		}
	}
}

// execConv runs a convolution with a window, row by row on a copy of the rows
// under it.
func (r *IntRows) execConv(st *rowStep, lo, hi int) {
	s, in, out := &r.prog.steps[st.index], &r.plan.shapes[st.in[0]], &r.plan.shapes[st.out]
	c := &s.columns[0]
	k, row := st.layer.Kernel, in.W*in.C
	shape := kernels.ConvShape{H: k, W: in.W, Cin: in.C, OutH: 1, OutW: out.W, Cout: out.C, KH: k, KW: k, StrideY: 1, StrideX: 1, PadLeft: k / 2}
	for y := lo; y < hi; y++ {
		o := r.output(st, c.rescale, y, 1)
		if c.wide != nil {
			r.window16 = enlarge(r.window16, k*row)
		} else {
			r.window8 = enlarge(r.window8, k*row)
		}
		for i := range k {
			sy := y - k/2 + i
			inside := sy >= 0 && sy < in.H
			switch {
			case c.wide != nil && inside:
				copy(r.window16[i*row:], r.rows16(st.in[0], sy, 1))
			case c.wide != nil:
				clear(r.window16[i*row:][:row])
			case inside:
				copy(r.window8[i*row:], r.rows8(st.in[0], sy, 1))
			default:
				for dst := r.window8[i*row:][:row]; len(dst) > 0; dst = dst[in.C:] {
					copy(dst, s.pad)
				}
			}
		}
		if c.wide != nil {
			kernels.Conv16(r.window16, c.wide, &shape, &o, 0, 1)
		} else {
			kernels.Conv8(r.window8, s.pad, c.narrow, &shape, &o, 0, 1)
		}
	}
}

// execResize runs the steps that move pixels between rows, in the forms that the
// output has.
func (r *IntRows) execResize(st *rowStep, lo, hi int) {
	in, out := &r.plan.shapes[st.in[0]], &r.plan.shapes[st.out]
	forms, f := r.plan.val[st.out].forms, st.layer.Factor
	if st.layer.Op == OpUnshuffle {
		for y := lo; y < hi; y++ {
			if forms[formWords] {
				kernels.Unshuffle(r.rows16(st.out, y, 1), r.rows16(st.in[0], y*f, f), f, in.W, in.C, f)
			}
			if forms[formBytes] {
				kernels.Unshuffle(r.rows8(st.out, y, 1), r.rows8(st.in[0], y*f, f), f, in.W, in.C, f)
			}
		}
		return
	}
	for y := lo; y < hi; y += f {
		if forms[formWords] {
			kernels.Shuffle(r.rows16(st.out, y, f), r.rows16(st.in[0], y/f, 1), f, out.W, out.C, f)
		}
		if forms[formBytes] {
			kernels.Shuffle(r.rows8(st.out, y, f), r.rows8(st.in[0], y/f, 1), f, out.W, out.C, f)
		}
	}
}

// execElements runs the layers that no kernel takes along, which those of the
// codec's networks all are: rectifiers and sums, number by number.
func (r *IntRows) execElements(st *rowStep, lo, hi int) {
	v := &r.prog.value[st.out]
	for y := lo; y < hi; y++ {
		words, bytes := r.rows16(st.out, y, 1), r.rows8(st.out, y, 1)
		var few [4][]int16
		args := few[:0]
		for _, x := range st.in {
			args = append(args, r.rows16(x, y, 1))
		}
		for i := range r.plan.val[st.out].row {
			n := int32(args[0][i])
			if st.layer.Op != OpAdd {
				n = max(n, (n*int32(intSlope(st.layer))+1<<14)>>15)
			}
			for _, x := range args[1:] {
				n = min(max(n+int32(x[i]), math.MinInt16), math.MaxInt16)
			}
			if words != nil {
				words[i] = int16(n)
			}
			if bytes != nil {
				bytes[i] = uint8(min(max((n+int32(v.offset[i%v.c]))/kernels.ByteUnit, 0), 255))
			}
		}
	}
}
