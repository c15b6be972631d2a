package nn

import "github.com/aecodec/aecodec/kernels"

// Trace is a forward pass whose values are kept for the backward pass. It lies
// in the arena and is valid until the next pass with that arena.
type Trace struct {
	pl   *plan
	memo memo
}

// Trace computes the same outputs as Run, to the bit, and keeps what gradients
// are computed from. The inputs must not change before the backward pass.
func (p *Program) Trace(a *Arena, threads int, in ...*Tensor) (*Trace, error) {
	pl, err := a.plan(p, true, in)
	if err != nil {
		return nil, err
	}
	pl.execute(threads)
	return pl.tr, nil
}

// Program returns the program that ran.
func (t *Trace) Program() *Program { return t.pl.p }

// Outputs returns the outputs of the network.
func (t *Trace) Outputs() []*Tensor { return t.pl.outs }

// OutputValues returns the value numbers of the outputs; see Step.
func (t *Trace) OutputValues() []int { return t.pl.p.outs }

// Steps returns the number of steps, Step the i-th of them in running order.
func (t *Trace) Steps() int { return len(t.pl.steps) }

// Step returns the i-th step in running order.
func (t *Trace) Step(i int) *Step { return t.pl.steps[i].Step }

// N returns the number of samples.
func (t *Trace) N() int { return t.pl.n }

// Shape returns the shape of one sample of value v.
func (t *Trace) Shape(v int) Shape { return t.pl.shapes[v] }

// Values returns how many values there are.
func (t *Trace) Values() int { return len(t.pl.shapes) }

// Value returns value v. Its Data is nil, or holds something else by now, unless
// gradients are computed from it: see Step and the operations.
func (t *Trace) Value(v int) *Tensor { return &t.pl.values[v] }

// Geometry returns the windows of step i. For deconv they are those of the
// convolution whose transpose it is: H×W×Cin is the output of the layer.
func (t *Trace) Geometry(i int) *kernels.ConvShape { return &t.pl.steps[i].conv }

// Args returns, for maxpool step i and sample n, the positions of the maxima
// as kernels.MaxPool wrote them.
func (t *Trace) Args(i, n int) []int32 {
	st := &t.pl.steps[i]
	size := t.pl.shapes[st.Out].Len()
	return t.pl.a.args[st.arg+n*size:][:size]
}

// Memo returns the value kept under key, made by build on first use. It lasts
// as long as the arena sees the same program and input shapes. Package grad
// keeps its plans here.
func (t *Trace) Memo(key any, build func() any) any { return t.memo.get(key, build) }
