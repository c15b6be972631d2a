package grad

import (
	"sync"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/kernels"
)

// step emits the backward operations of step i.
func (b *builder) step(i int) {
	st := b.tr.Step(i)
	if isAlias(st) {
		return
	}
	g := b.grad[st.Out]
	if g == nil || !b.need[st.Out] {
		return
	}
	b.grad[st.Out] = nil // from here on this step holds the reference
	switch st.Layer.Op {
	case nn.OpConv, nn.OpDeconv, nn.OpDense, nn.OpDepthwise:
		b.layer(i, st, g)
	case nn.OpMaxPool, nn.OpAvgPool:
		b.pool(i, st, g)
	case nn.OpAdd, nn.OpSub:
		for j, v := range st.In {
			r := b.root[v]
			switch {
			case !b.need[r]:
			case j > 0 && st.Layer.Op == nn.OpSub:
				b.contribute(r, g, 1, inPlace, func(ps *pass, dst []float32, lo, hi int) {
					kernels.Scale(dst, g.data(ps)[lo:hi], -1)
				})
			default:
				b.pass(r, g)
			}
		}
	case nn.OpMul:
		for j, v := range st.In {
			if b.need[b.root[v]] {
				b.contribute(b.root[v], g, 1, inPlace && j == len(st.In)-1, b.product(st, j, g))
			}
		}
	case nn.OpChannelScale:
		b.channelScale(st, g)
	case nn.OpConcat:
		c, at := b.tr.Shape(st.Out).C, 0
		for _, v := range st.In {
			from, w := at, b.tr.Shape(v).C
			at += w
			if b.need[b.root[v]] {
				b.contribute(b.root[v], g, w, !inPlace, func(ps *pass, dst []float32, lo, hi int) {
					copyColumns(dst, w, g.data(ps)[lo*c+from:], c, w)
				})
			}
		}
	default:
		if r := b.root[st.In[0]]; b.need[r] {
			unit, local, fill := b.unary(st, g)
			b.contribute(r, g, unit, local, fill)
		}
	}
	b.release(g)
}

// filler computes units lo to hi of a contribution.
type filler func(ps *pass, dst []float32, lo, hi int)

// inPlace marks contributions of which a unit needs the same unit of g only
// and of which no other contribution of the step comes later: they may
// overwrite g.
const inPlace = true

// contribute emits the addition of a contribution to the gradient of root
// value v, computed by fill in units of unit numbers.
func (b *builder) contribute(v int, g *buffer, unit int, inPlace bool, fill filler) {
	n := b.length(v) / unit
	if b.grad[v] == nil && inPlace && g.mine() {
		b.emit(func(ps *pass) {
			ps.forEach(n, 8*unit, func(lo, hi int) { fill(ps, g.data(ps)[lo*unit:hi*unit], lo, hi) })
		})
		g.refs++
		b.grad[v] = g
		return
	}
	dst, old := b.target(v)
	strip := max(stripLen/unit, 1)
	b.emit(func(ps *pass) {
		ps.forEach(n, 8*unit, func(lo, hi int) {
			if old == nil {
				fill(ps, dst.data(ps)[lo*unit:hi*unit], lo, hi)
				return
			}
			tmp := getScratch(strip * unit)
			for u := lo; u < hi; u += strip {
				e := min(u+strip, hi)
				t := (*tmp)[:(e-u)*unit]
				fill(ps, t, u, e)
				kernels.Add(dst.data(ps)[u*unit:e*unit], old.data(ps)[u*unit:e*unit], t)
			}
			scratch.Put(tmp)
		})
	})
}

// stripLen is about how many numbers pass through scratch memory at a time:
// 32 KB, so that they stay in the first-level cache.
const stripLen = 8192

var scratch = sync.Pool{New: func() any { return new([]float32) }}

func getScratch(n int) *[]float32 {
	s := scratch.Get().(*[]float32)
	if cap(*s) < n {
		*s = make([]float32, n)
	}
	*s = (*s)[:n]
	return s
}

// add computes dst = x + y; dst may be x or y.
func (ps *pass) add(dst, x, y *buffer) {
	ps.forEach(dst.n, 8, func(lo, hi int) {
		kernels.Add(dst.data(ps)[lo:hi], x.data(ps)[lo:hi], y.data(ps)[lo:hi])
	})
}

// product returns g times all operands but the j-th.
func (b *builder) product(st *nn.Step, j int, g *buffer) filler {
	return func(ps *pass, dst []float32, lo, hi int) {
		src := g.data(ps)[lo:hi]
		for k, v := range st.In {
			if k != j {
				kernels.Mul(dst, src, ps.tr.Value(v).Data[lo:hi])
				src = dst
			}
		}
	}
}

// unary returns the contribution of an operation of one input without
// parameters, the size of its units, and whether it may overwrite g.
func (b *builder) unary(st *nn.Step, g *buffer) (unit int, local bool, fill filler) {
	in, out := b.tr.Shape(st.In[0]), b.tr.Shape(st.Out)
	x, y := b.tr.Value(st.In[0]), b.tr.Value(st.Out)
	r := st.Layer.Factor
	pointwise := func(f func(dx, dy, v []float32), v *nn.Tensor) (int, bool, filler) {
		return 1, inPlace, func(ps *pass, dst []float32, lo, hi int) { f(dst, g.data(ps)[lo:hi], v.Data[lo:hi]) }
	}
	switch st.Layer.Op {
	case nn.OpLeaky:
		slope := st.Layer.Slope
		return pointwise(func(dx, dy, y []float32) { kernels.LeakyReLUGrad(dx, dy, y, slope) }, y)
	case nn.OpReLU:
		return pointwise(kernels.ReLUGrad, y)
	case nn.OpSigmoid:
		return pointwise(kernels.SigmoidGrad, y)
	case nn.OpTanh:
		return pointwise(kernels.TanhGrad, y)
	case nn.OpSoftplus:
		return pointwise(kernels.SoftplusGrad, x)
	case nn.OpSymlog:
		return pointwise(kernels.SymlogGrad, x)
	case nn.OpFakeQuant:
		return in.C, inPlace, func(ps *pass, dst []float32, lo, hi int) {
			steps, zeros := st.Flat()[:in.C], st.Flat()[in.C:]
			kernels.FakeQuantiseGrad(dst, g.data(ps)[lo*in.C:hi*in.C], x.Data[lo*in.C:hi*in.C], steps, zeros)
		}
	case nn.OpSlice:
		return in.C, !inPlace, func(ps *pass, dst []float32, lo, hi int) {
			clear(dst)
			copyColumns(dst[st.Layer.From:], in.C, g.data(ps)[lo*out.C:hi*out.C], out.C, out.C)
		}
	case nn.OpUpsample:
		return in.W * in.C, !inPlace, func(ps *pass, dst []float32, lo, hi int) {
			kernels.UpsampleNearestGrad(dst, g.data(ps)[lo*r*out.W*out.C:hi*r*out.W*out.C], hi-lo, in.W, in.C, r)
		}
	case nn.OpShuffle:
		return in.W * in.C, !inPlace, func(ps *pass, dst []float32, lo, hi int) {
			kernels.Unshuffle(dst, g.data(ps)[lo*r*out.W*out.C:hi*r*out.W*out.C], (hi-lo)*r, out.W, out.C, r)
		}
	case nn.OpUnshuffle:
		return r * in.W * in.C, !inPlace, func(ps *pass, dst []float32, lo, hi int) {
			kernels.Shuffle(dst, g.data(ps)[lo*out.W*out.C:hi*out.W*out.C], (hi-lo)*r, in.W, in.C, r)
		}
	}
	panic("grad: " + string(st.Layer.Op) + ": no gradient")
}

// copyColumns copies w columns of every row from src (stride lds) to dst
// (stride ldd).
func copyColumns(dst []float32, ldd int, src []float32, lds, w int) {
	for len(dst) >= w && len(src) >= w {
		copy(dst[:w], src[:w])
		dst, src = dst[min(ldd, len(dst)):], src[min(lds, len(src)):]
	}
}

// pool emits the gradient of a pooling, which adds to dx by itself.
func (b *builder) pool(i int, st *nn.Step, g *buffer) {
	r := b.root[st.In[0]]
	if !b.need[r] {
		return
	}
	dst, old := b.target(r)
	s := b.tr.Geometry(i)
	in, out := b.tr.Shape(st.In[0]).Len(), b.tr.Shape(st.Out).Len()
	b.emit(func(ps *pass) {
		ps.forEach(ps.tr.N(), 8*in, func(lo, hi int) {
			for n := lo; n < hi; n++ {
				dx, dy := dst.data(ps)[n*in:(n+1)*in], g.data(ps)[n*out:(n+1)*out]
				switch {
				case old == nil:
					clear(dx)
				case old != dst:
					copy(dx, old.data(ps)[n*in:])
				}
				if st.Layer.Op == nn.OpMaxPool {
					kernels.MaxPoolGrad(dx, dy, ps.tr.Args(i, n))
				} else {
					kernels.AvgPoolGrad(dx, dy, s)
				}
			}
		})
	})
}

// channelScale emits the gradients of y = x·w by channel.
func (b *builder) channelScale(st *nn.Step, g *buffer) {
	c := b.tr.Shape(st.Out).C
	if b.key.params {
		b.plan.trained = append(b.plan.trained, st)
		m := g.n / c
		parts := b.alloc(blocks(m) * c)
		b.emit(func(ps *pass) {
			dw := ps.gradOf(st.Weight())
			if dw == nil {
				return
			}
			ps.forEach(blocks(m), 8*block*c, func(lo, hi int) {
				tmp := getScratch(block * c)
				for k := lo; k < hi; k++ {
					from, to := k*block*c, min((k+1)*block, m)*c
					t := (*tmp)[:to-from]
					kernels.Mul(t, g.data(ps)[from:to], ps.tr.Value(st.In[0]).Data[from:to])
					part := parts.data(ps)[k*c : (k+1)*c]
					clear(part)
					kernels.ColSum(part, t, len(t)/c, c)
				}
				scratch.Put(tmp)
			})
			ps.sumParts(dw, parts)
		})
		b.release(parts)
	}
	if r := b.root[st.In[0]]; b.need[r] {
		b.contribute(r, g, c, inPlace, func(ps *pass, dst []float32, lo, hi int) {
			kernels.MulChannels(dst, g.data(ps)[lo*c:hi*c], st.Flat())
		})
	}
}

// block is the number of pixels of one partial sum of a bias gradient, the
// same as in kernels.GEMMTN and kernels.ColSum.
const block = 256

func blocks(m int) int { return (m + block - 1) / block }

// sumParts adds the partial sums of all blocks, in order.
func (ps *pass) sumParts(dst []float32, parts *buffer) {
	for p := parts.data(ps); len(p) > 0; p = p[len(dst):] {
		kernels.Add(dst, dst, p[:len(dst)])
	}
}
