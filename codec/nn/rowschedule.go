package nn

import (
	"fmt"

	"github.com/aecodec/aecodec/kernels"
)

// rowSchedule is a program in steps for rows: what a rowPlan has to know of it,
// whatever the arithmetic. It is made once per program.
type rowSchedule struct {
	net     *Network
	ins     [][]int // value numbers, see Network.resolve
	outs    []int
	root    []int // by value: the value whose memory it shares, itself if none
	steps   []rowStep
	forms   [][rowForms]bool // by root value: which forms it has
	readers [][]int          // by root value: steps that read it, in order
	reads   []bool           // by input: some step or output needs it
	err     error            // why the program cannot run by rows; nil if it can
}

// rowForms is the number of forms that a value may have at once, each in a memory
// of its own: floats are the first, and so are words; bytes are the second.
const rowForms = 2

// rowStep is one step of a schedule. Its value numbers are roots.
type rowStep struct {
	layer    *Layer
	in       []int
	out      int
	residual int // -1: none
	// fold is the factor of the shuffle that has joined a 1x1 convolution, 0 if
	// there is none.
	fold  int
	index int // of the step in the program
}

// link joins shuffles to convolutions and finds out who reads what.
func (rs *rowSchedule) link() {
	rs.foldShuffles()
	rs.readers, rs.reads = make([][]int, len(rs.root)), make([]bool, len(rs.net.Inputs))
	for i := range rs.steps {
		for _, v := range rs.steps[i].operands() {
			rs.readers[v] = append(rs.readers[v], i)
		}
	}
	for i := range rs.reads {
		rs.reads[i] = len(rs.readers[i]) > 0
	}
	for _, v := range rs.outs {
		if r := rs.root[v]; r < len(rs.reads) {
			rs.reads[r] = true
		}
	}
}

// foldShuffles lets shuffles join the convolutions that alone feed them, where
// these can.
func (rs *rowSchedule) foldShuffles() {
	uses := make([]int, len(rs.root))
	for _, v := range rs.outs {
		uses[rs.root[v]]++
	}
	for i := range rs.steps {
		for _, v := range rs.steps[i].operands() {
			uses[v]++
		}
	}
	maker := make(map[int]int, len(rs.steps)) // step that makes a value
	all := rs.steps
	rs.steps = nil
	for _, st := range all {
		if st.layer.Op == OpShuffle {
			if j, ok := maker[st.in[0]]; ok && uses[st.in[0]] == 1 && rs.steps[j].canFold(st.layer.Factor) {
				rs.steps[j].out, rs.steps[j].fold = st.out, st.layer.Factor
				maker[st.out] = j
				continue
			}
		}
		maker[st.out] = len(rs.steps)
		rs.steps = append(rs.steps, st)
	}
}

// rowWise reports whether a row of the layer's output depends on a few rows of its
// inputs around the same place, and on nothing else.
func (l *Layer) rowWise() bool {
	switch l.Op {
	case OpConv:
		return l.Stride == 1 && (l.Kernel == 1 || l.Kernel%2 == 1 && l.Padding == PadSame)
	case OpDeconv, OpDense, OpMaxPool, OpAvgPool, OpReshape, OpFlatten:
		return false
	}
	return true
}

// canFold reports whether a shuffle may join the step: the columns of the
// product that make one row of it must be whole panels of the weights.
func (st *rowStep) canFold(r int) bool {
	return st.layer.Op == OpConv && st.layer.Kernel == 1 && st.layer.Stride == 1 && st.residual < 0 && st.fold == 0 &&
		st.layer.Out%(r*r) == 0 && st.layer.Out/r%kernels.PanelWidth == 0
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
	case st.layer.Op == OpShuffle || st.layer.Op == OpUpsample:
		return st.layer.Factor
	}
	return 1
}

// reads returns the rows of the inputs (not the residual) that rows out of the
// output depend on; they may lie outside the image.
func (st *rowStep) reads(out rows) rows {
	switch r := st.factor(); {
	case r > 1:
		return rows{out.lo / r, (out.hi + r - 1) / r}
	case st.layer.Op == OpUnshuffle:
		return rows{out.lo * st.layer.Factor, out.hi * st.layer.Factor}
	case st.layer.Op == OpConv || st.layer.Op == OpDepthwise:
		return rows{out.lo - st.layer.Kernel/2, out.hi + st.layer.Kernel/2}
	}
	return out
}

// check checks what a caller asks for and returns the shapes of all values.
func (rs *rowSchedule) check(in []Shape, span rows) ([]Shape, error) {
	fail := func(format string, args ...any) ([]Shape, error) {
		return nil, fmt.Errorf("nn: network %q: rows: "+format, append([]any{rs.net.Name}, args...)...)
	}
	if len(in) != len(rs.net.Inputs) {
		return fail("%d inputs given, want %d", len(in), len(rs.net.Inputs))
	}
	for i := range in {
		if in[i].H != in[0].H {
			return fail("inputs %q and %q differ in height", rs.net.Inputs[0].Name, rs.net.Inputs[i].Name)
		}
	}
	shapes, err := rs.net.inferResolved(rs.ins, in)
	if err != nil {
		return nil, err
	}
	h := shapes[rs.outs[0]].H
	for _, v := range rs.outs {
		if shapes[v].H != h {
			return fail("outputs differ in height")
		}
	}
	if span.lo < 0 || span.hi > h || span.lo >= span.hi {
		return fail("%d to %d of %d", span.lo, span.hi, h)
	}
	return shapes, nil
}
