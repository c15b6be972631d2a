package nn

import "github.com/aecodec/aecodec/kernels"

// Run computes the outputs of the network for a batch, using up to threads
// threads. The results lie in the arena, or in an input that is passed through
// unchanged, and are valid until the next pass with that arena.
func (p *Program) Run(a *Arena, threads int, in ...*Tensor) ([]*Tensor, error) {
	pl, err := a.plan(p, false, in)
	if err != nil {
		return nil, err
	}
	pl.execute(threads)
	return pl.outs, nil
}

// attach points the values into the arena and at the inputs.
func (pl *plan) attach(a *Arena, in []*Tensor) {
	pl.a = a
	s := pl.schedule()
	for v := range pl.values {
		r := s.root[v]
		switch off := pl.off[r]; {
		case off == offInput:
			pl.values[v].Data = in[r].Data
		case off >= 0:
			n := pl.n * pl.shapes[v].Len()
			pl.values[v].Data = a.values[off : off+n : off+n]
		}
	}
}

func (pl *plan) execute(threads int) {
	for i := range pl.groups {
		g := &pl.groups[i]
		kernels.For(threads, g.n, g.grain, g.fn)
	}
}

// runStrips runs units lo to hi through the group, strip by strip.
func (pl *plan) runStrips(g *group, lo, hi int) {
	strip := pl.a.getStrip(g.strip)
	for u := lo; u < hi; u += g.perStrip {
		for i := g.first; i <= g.last; i++ {
			pl.exec(&pl.steps[i], strip, u, min(u+g.perStrip, hi))
		}
	}
	pl.a.putStrip(strip)
}

// rows returns units lo to hi of the value at p.
func (pl *plan) rows(p *place, strip []float32, lo, hi int) []float32 {
	if p.local {
		return strip[p.off : p.off+(hi-lo)*p.unit]
	}
	return pl.values[p.value].Data[lo*p.unit : hi*p.unit]
}

// exec computes units lo to hi of one step.
func (pl *plan) exec(st *planned, strip []float32, lo, hi int) {
	switch st.Layer.Op {
	case OpConv, OpDeconv:
		if st.Layer.Op == OpDeconv || !st.pointwise() {
			pl.execConv(st, lo, hi)
			return
		}
		pl.execMatrix(st, strip, lo, hi, st.conv.Cin)
		return
	case OpDense:
		pl.execMatrix(st, strip, lo, hi, st.node.packed.K)
		return
	case OpDepthwise:
		pl.execDepthwise(st, strip, lo, hi)
		return
	case OpMaxPool, OpAvgPool:
		pl.execPool(st, lo, hi)
		return
	}
	var few [4][]float32
	args := few[:0]
	for i := range st.in {
		args = append(args, pl.rows(&st.in[i], strip, lo, hi))
	}
	dst := pl.rows(&st.out, strip, lo, hi)
	in, out := &pl.shapes[st.In[0]], &pl.shapes[st.Out]
	switch r := st.Layer.Factor; st.Layer.Op {
	case OpUpsample:
		kernels.UpsampleNearest(dst, args[0], len(args[0])/(in.W*in.C), in.W, in.C, r)
	case OpShuffle:
		kernels.Shuffle(dst, args[0], len(dst)/(out.W*out.C), out.W, out.C, r)
	case OpUnshuffle:
		kernels.Unshuffle(dst, args[0], len(args[0])/(in.W*in.C), in.W, in.C, r)
	default:
		st.elements(dst, args, pl.shapes)
	}
}

// execMatrix runs a 1x1 convolution or a dense layer: rows of k numbers times
// the weights.
func (pl *plan) execMatrix(st *planned, strip []float32, lo, hi, k int) {
	dst := pl.rows(&st.out, strip, lo, hi)
	n := st.node.packed.N
	ep := st.epilogue()
	if st.Residual >= 0 {
		ep.Residual, ep.LDR = pl.rows(&st.residual, strip, lo, hi), n
	}
	kernels.GEMM(dst, n, pl.rows(&st.in[0], strip, lo, hi), k, st.node.packed, len(dst)/n, &ep)
}

// execConv runs rows lo to hi of the batch, image by image. The values are
// never local.
func (pl *plan) execConv(st *planned, lo, hi int) {
	out := &pl.shapes[st.Out]
	ep := st.epilogue()
	per := st.out.unit / st.out.row // rows of a unit
	for r, end := lo*per, hi*per; r < end; {
		i, y := r/out.H, r%out.H
		n := min(out.H-y, end-r)
		if st.Residual >= 0 {
			ep.Residual, ep.LDR = pl.values[st.Residual].Image(i), out.C
		}
		dst, src := pl.values[st.Out].Image(i), pl.values[st.In[0]].Image(i)
		if st.Layer.Op == OpDeconv {
			kernels.ConvTransposed(dst, src, st.node.packed, &st.conv, &ep, y, y+n)
		} else {
			kernels.Conv(dst, src, st.node.packed, &st.conv, &ep, y, y+n)
		}
		r += n
	}
}

// execDepthwise runs rows lo to hi of the batch, image by image, each as a
// window of the image that holds just the rows it needs: the output may be a
// strip, which has no other rows.
func (pl *plan) execDepthwise(st *planned, strip []float32, lo, hi int) {
	s := &pl.shapes[st.Out]
	k := st.Layer.Kernel
	ep := kernels.Epilogue{Act: st.Act, Slope: st.Slope}
	per, row := st.out.unit/st.out.row, st.out.row
	first := lo * per
	for r, end := first, hi*per; r < end; {
		i, y := r/s.H, r%s.H
		n := min(s.H-y, end-r)
		above, below := min(y, k/2), min(s.H-y-n, k/2)
		image := pl.values[st.In[0]].Image(i)
		src := image[(y-above)*row : (y+n+below)*row]
		if st.Residual >= 0 {
			ep.Residual, ep.LDR = pl.values[st.Residual].Image(i)[(y-above)*row:(y+n+below)*row], s.C
		}
		var dst []float32
		if st.out.local {
			at := st.out.off + (r-first-above)*row
			dst = strip[at : at+len(src)]
		} else {
			dst = pl.values[st.Out].Image(i)[(y-above)*row : (y+n+below)*row]
		}
		kernels.Depthwise(dst, src, st.node.flat, st.node.b, above+n+below, s.W, s.C, k, k, &ep, above, above+n)
		r += n
	}
}

// execPool pools samples lo to hi.
func (pl *plan) execPool(st *planned, lo, hi int) {
	n := pl.shapes[st.Out].Len()
	for i := lo; i < hi; i++ {
		dst, src := pl.values[st.Out].Image(i), pl.values[st.In[0]].Image(i)
		switch {
		case st.Layer.Op == OpAvgPool:
			kernels.AvgPool(dst, src, &st.conv)
		case pl.trace:
			kernels.MaxPool(dst, pl.a.args[st.arg+i*n:][:n], src, &st.conv)
		default:
			kernels.MaxPool(dst, nil, src, &st.conv)
		}
	}
}
