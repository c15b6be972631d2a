// Package grad computes gradients of networks: reverse-mode differentiation of
// the traces of package nn.
//
// The backward pass is planned once per combination of program and shapes. The
// plan decides which gradients are computed at all, where they lie and who
// writes them:
//
//   - A gradient that is not needed is not computed: that of a network input
//     the caller does not want, or of a value without parameters before it.
//   - The gradient of a sum is handed to its operands, not copied; further
//     contributions to a gradient are added by the kernel that computes them.
//   - The derivative of a fused activation, the bias gradient and the data
//     gradient of a 1x1 convolution are made block by block, in the cache.
//
// Sums over pixels run in a fixed order: in blocks of 256 pixels (of the whole
// batch for 1x1 convolutions and biases, of each image for the others), in
// order. Threads share rows of data gradients, and rows or channels of weight
// gradients, never a sum. So gradients, like values, are the same to the bit
// for every number of threads and every backend.
package grad

import (
	"fmt"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/kernels"
)

// Backward computes the gradients of a loss from dOut, its gradients with
// respect to the outputs of the traced pass, in their order. An entry of dOut
// may be nil, for an output that does not matter. dOut is not changed.
//
// Gradients of the parameters are added to those entries of grads that the
// program has; parameters that are missing from grads get none. With a nil
// grads only the inputs are differentiated.
//
// The result holds the gradients of the network's inputs. wantIn, one bool per
// input, tells which are needed: the others are nil and what only they need is
// skipped. Without wantIn all are computed. The gradients lie in a, which may
// be the arena of the trace, and are valid until the next Backward with a.
//
// Parameters must not have changed since the program was last refreshed.
func Backward(tr *nn.Trace, a *nn.Arena, threads int, dOut []*nn.Tensor, grads nn.Params, wantIn ...bool) ([]*nn.Tensor, error) {
	net := tr.Program().Network()
	outs := tr.Outputs()
	if len(dOut) != len(outs) {
		return nil, fmt.Errorf("grad: network %q: %d output gradients given, want %d", net.Name, len(dOut), len(outs))
	}
	if len(wantIn) != 0 && len(wantIn) != len(net.Inputs) {
		return nil, fmt.Errorf("grad: network %q: %d flags for inputs given, want %d", net.Name, len(wantIn), len(net.Inputs))
	}
	k := key{params: grads != nil}
	for i, d := range dOut {
		if d == nil {
			continue
		}
		if o := outs[i]; d.N != o.N || d.Shape() != o.Shape() || len(d.Data) != len(o.Data) {
			return nil, fmt.Errorf("grad: network %q: gradient of output %q is %dx%v, want %dx%v",
				net.Name, net.Outputs[i], d.N, d.Shape(), o.N, o.Shape())
		}
		k.given |= 1 << i
	}
	for i := range net.Inputs {
		if len(wantIn) == 0 || wantIn[i] {
			k.want |= 1 << i
		}
	}
	pl := tr.Memo(k, func() any { return newPlan(tr, k) }).(*plan)
	for _, st := range pl.trained {
		for _, p := range []*nn.Param{st.Weight(), st.Bias()} {
			if p == nil || grads[p.Name] == nil {
				continue
			}
			if g := grads[p.Name]; len(g.Data) != len(p.Data) {
				return nil, fmt.Errorf("grad: gradient of parameter %q has %d numbers, want %d", p.Name, len(g.Data), len(p.Data))
			}
		}
	}
	ps := &pass{tr: tr, threads: threads, mem: a.Gradients(pl.size), dOut: dOut, grads: grads, turned: turnedOf(tr.Program())}
	ps.turned.prepare(threads, pl.turned)
	for _, op := range pl.ops {
		op(ps)
	}
	for i, b := range pl.dIn {
		if b != nil {
			pl.result[i].Data = b.data(ps)
		}
	}
	return pl.results, nil
}

// key selects a plan: what is given and what is wanted. Networks have at most
// 64 inputs and outputs.
type key struct {
	params      bool
	given, want uint64
}

// pass is the state of one backward pass.
type pass struct {
	tr      *nn.Trace
	threads int
	mem     []float32
	dOut    []*nn.Tensor
	grads   nn.Params
	turned  *turnedWeights
}

// gradOf returns the gradient to add to, or nil if p does not want one.
func (ps *pass) gradOf(p *nn.Param) []float32 {
	if p == nil || ps.grads == nil {
		return nil
	}
	if g := ps.grads[p.Name]; g != nil {
		return g.Data
	}
	return nil
}

// minWork is the number of multiply-accumulates (8 for every number moved)
// that a thread is worth starting for. A variable only so that tests can use
// threads in small networks.
var minWork = 1 << 19

// forEach splits n items, each of about work multiply-accumulates, over the
// threads.
func (ps *pass) forEach(n, work int, fn func(lo, hi int)) {
	kernels.For(ps.threads, n, max(1, minWork/max(work, 1)), fn)
}
