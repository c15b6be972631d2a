package grad

import (
	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/kernels"
)

// layer emits the gradients of a layer with weights, with its fused activation
// and residual. g is the gradient of the step's output.
func (b *builder) layer(i int, st *nn.Step, g *buffer) {
	l := &layerGrad{
		tr: b.tr, st: st, s: b.tr.Geometry(i),
		g: g, pre: g,
		in: b.root[st.In[0]],
	}
	l.n = b.tr.Shape(st.Out).C
	l.m = g.n / l.n
	l.pointwise = st.Layer.Op == nn.OpDense || st.Layer.Op == nn.OpConv && l.s.KH == 1 && l.s.StrideY == 1
	l.k = len(st.Weight().Data) / l.n
	if st.Act != kernels.ActNone && !g.mine() {
		l.pre = b.alloc(g.n)
	}
	if b.key.params {
		b.plan.trained = append(b.plan.trained, st)
		if st.Bias() != nil {
			l.parts = b.alloc(blocks(l.m) * l.n)
		}
	}
	if b.need[l.in] {
		l.dx, l.old = b.target(l.in)
		b.plan.turned = append(b.plan.turned, st)
	}
	b.emit(l.activationAndBias)
	if !l.pointwise && l.dx != nil {
		b.emit(l.data)
	}
	if b.key.params {
		if st.Layer.Op == nn.OpDeconv {
			l.swapped = b.alloc(len(st.Weight().Data))
		}
		b.emit(l.weights)
	}
	if st.Residual >= 0 && b.need[b.root[st.Residual]] {
		b.pass(b.root[st.Residual], g)
	}
	for _, tmp := range []*buffer{l.parts, l.swapped} {
		if tmp != nil {
			b.release(tmp)
		}
	}
	if l.pre != g {
		b.release(l.pre)
	}
}

// layerGrad is the backward pass of one layer with weights.
type layerGrad struct {
	tr        *nn.Trace
	st        *nn.Step
	s         *kernels.ConvShape
	pointwise bool // a product of the pixels and the weights
	m, k, n   int  // pixels of the batch, sum length, channels of the output
	in        int

	g, pre  *buffer // gradient after and before the activation; may be the same
	parts   *buffer // partial sums of the bias gradient
	swapped *buffer // weight gradient of deconv, input and output channels swapped
	dx, old *buffer // see builder.target
}

// activationAndBias goes once over the gradient, block by block: derivative of
// the activation, partial sums of the bias gradient and, where it is a matrix
// product of the same rows, the data gradient.
func (l *layerGrad) activationAndBias(ps *pass) {
	db := ps.gradOf(l.st.Bias())
	data := l.pointwise && l.dx != nil
	if l.st.Act == kernels.ActNone && db == nil && !data {
		return
	}
	var w *kernels.Packed
	if data {
		w = ps.turned.get(l.st).packed
	}
	work := block * l.n * 8
	if data {
		work += block * l.n * l.k
	}
	ps.forEach(blocks(l.m), work, func(lo, hi int) {
		for k := lo; k < hi; k++ {
			from, to := k*block, min((k+1)*block, l.m)
			pre := l.pre.data(ps)[from*l.n : to*l.n]
			if l.st.Act != kernels.ActNone {
				y := l.tr.Value(l.st.Out).Data[from*l.n : to*l.n]
				kernels.LeakyReLUGrad(pre, l.g.data(ps)[from*l.n:to*l.n], y, l.st.Slope)
			}
			if db != nil {
				part := l.parts.data(ps)[k*l.n : (k+1)*l.n]
				clear(part)
				kernels.ColSum(part, pre, to-from, l.n)
			}
			if data {
				var ep kernels.Epilogue
				if l.old != nil {
					ep.Residual, ep.LDR = l.old.data(ps)[from*l.k:to*l.k], l.k
				}
				kernels.GEMM(l.dx.data(ps)[from*l.k:to*l.k], l.k, pre, l.n, w, to-from, &ep)
			}
		}
	})
	if db != nil {
		ps.sumParts(db, l.parts)
	}
}

// data computes the gradient of the input of a layer with a real window, row
// by row of the batch.
func (l *layerGrad) data(ps *pass) {
	w := ps.turned.get(l.st)
	in, out := l.tr.Shape(l.st.In[0]), l.tr.Shape(l.st.Out)
	rows := l.tr.N() * in.H
	ps.forEach(rows, l.m/rows*len(l.st.Weight().Data), func(lo, hi int) {
		for r := lo; r < hi; {
			i, y := r/in.H, r%in.H
			n := min(in.H-y, hi-r)
			dx := l.dx.data(ps)[i*in.Len() : (i+1)*in.Len()]
			dy := l.pre.data(ps)[i*out.Len() : (i+1)*out.Len()]
			var ep kernels.Epilogue
			if l.old != nil {
				ep.Residual, ep.LDR = l.old.data(ps)[i*in.Len():(i+1)*in.Len()], in.C
			}
			switch l.st.Layer.Op {
			case nn.OpConv:
				kernels.ConvTransposed(dx, dy, w.packed, l.s, &ep, y, y+n)
			case nn.OpDeconv:
				kernels.Conv(dx, dy, w.packed, l.s, &ep, y, y+n)
			case nn.OpDepthwise:
				k := l.st.Layer.Kernel
				kernels.Depthwise(dx, dy, w.flat, nil, in.H, in.W, in.C, k, k, &ep, y, y+n)
			}
			r += n
		}
	})
}

// weights adds the gradient of the weights.
func (l *layerGrad) weights(ps *pass) {
	dw := ps.gradOf(l.st.Weight())
	if dw == nil {
		return
	}
	x, dy := l.tr.Value(l.st.In[0]), l.pre.data(ps)
	image := func(i int) []float32 { return dy[i*len(dy)/x.N : (i+1)*len(dy)/x.N] }
	switch {
	case l.pointwise:
		l.product(ps, dw, x.Data, dy)
	case l.st.Layer.Op == nn.OpDepthwise:
		k, c := l.st.Layer.Kernel, l.n
		ps.forRows(c, l.m*k*k, func(c0, c1 int) {
			for i := range x.N {
				kernels.DepthwiseWeightGrad(dw, x.Image(i), image(i), x.H, x.W, c, k, k, c0, c1)
			}
		})
	case l.st.Layer.Op == nn.OpConv:
		ps.forRows(l.k, l.m*l.n, func(k0, k1 int) {
			for i := range x.N {
				kernels.ConvWeightGrad(dw, x.Image(i), image(i), l.s, k0, k1)
			}
		})
	default: // deconv: input and gradient change places
		out, in := l.n, x.C
		taps := l.s.KH * l.s.KW
		swapped := l.swapped.data(ps)
		ps.forRows(taps*out, x.N*x.H*x.W*in, func(k0, k1 int) {
			clear(swapped[k0*in : k1*in])
			for i := range x.N {
				kernels.ConvWeightGrad(swapped, image(i), x.Image(i), l.s, k0, k1)
			}
			for r := k0; r < k1; r++ {
				tap, o := r/out, r%out
				for c, v := range swapped[r*in:][:in] {
					dw[(tap*in+c)*out+o] += v
				}
			}
		})
	}
}

// product adds xᵀ·dy to dw, shared out in tiles of dw. Every strip of columns
// packs its own columns of dy, and again for every run of rows, so there are as
// many strips and as few runs as will do.
func (l *layerGrad) product(ps *pass, dw, x, dy []float32) {
	const (
		panel = kernels.PanelWidth
		unit  = 8 // rows that kernels like to do at once
	)
	tiles := 1
	if ps.threads > 1 {
		tiles = min(2*ps.threads, max(1, l.m*l.k*l.n/minWork))
	}
	panels := (l.n + panel - 1) / panel
	strips := min(tiles, max(1, panels/2))
	units := (l.k + unit - 1) / unit
	runs := min((tiles+strips-1)/strips, units)
	kernels.For(ps.threads, strips*runs, 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			j, r := i/runs, i%runs
			j0, j1 := j*panels/strips*panel, min((j+1)*panels/strips*panel, l.n)
			k0, k1 := r*units/runs*unit, min((r+1)*units/runs*unit, l.k)
			kernels.GEMMTN(dw[j0:], l.n, x, l.k, dy[j0:], l.n, l.m, l.k, j1-j0, k0, k1)
		}
	})
}

// forRows splits rows (or channels) in multiples of 16, the height and width
// that kernels like, over the threads.
func (ps *pass) forRows(rows, work int, fn func(lo, hi int)) {
	const unit = 16
	ps.forEach((rows+unit-1)/unit, unit*work, func(lo, hi int) {
		fn(lo*unit, min(hi*unit, rows))
	})
}
