package nn

import (
	"fmt"
	"math"
	"sync"

	"github.com/aecodec/aecodec/kernels"
)

// IntTensor is one sample of a value in integers, NHWC. Values have the form that
// is needed, words or bytes, or both.
type IntTensor struct {
	H, W, C int
	Words   []int16
	Bytes   []uint8
}

// IntArena owns the memory of the runs of an IntProgram and reuses it. It serves
// one run at a time.
type IntArena struct {
	words  []int16
	bytes  []uint8
	plan   *intPlan
	strips sync.Pool // *intStrip
}

type intStrip struct {
	words []int16
	bytes []uint8
}

// NewIntArena returns an empty arena.
func NewIntArena() *IntArena { return new(IntArena) }

// intPlan is a program for inputs of certain sizes: the same idea as plan. Steps
// run in groups, strip by strip; values that only one group uses live in strips.
type intPlan struct {
	p      *IntProgram
	in     []*Tensor // of the present run
	shapes []Shape
	local  []bool
	off16  []int // in the arena, or in the strip
	off8   []int
	size   [2]int // of the arena: words, bytes
	groups []intGroup
	outs   []*IntTensor
}

type intGroup struct {
	first, last int // steps
	n           int // units, each one row of the lowest value of the group
	perStrip    int
	strip       [2]int // words and bytes
}

// Run computes the outputs for one sample, using up to threads threads. Inputs
// have N = 1. The results lie in the arena and are valid until its next run.
//
// Rows of an output depend on no other rows of the inputs than in floats: a band
// of the inputs that has these gives the same bits.
func (p *IntProgram) Run(a *IntArena, threads int, in ...*Tensor) ([]*IntTensor, error) {
	if err := p.checkInputs(in); err != nil {
		return nil, err
	}
	pl := a.plan
	if pl == nil || !pl.fits(p, in) {
		shapes := make([]Shape, len(in))
		for i, t := range in {
			shapes[i] = t.Shape()
		}
		values, err := p.net.inferResolved(p.ins, shapes)
		if err != nil {
			return nil, err
		}
		pl = newIntPlan(p, values)
		a.plan = pl
	}
	a.words, a.bytes = enlargeInts(a.words, pl.size[0]), enlargeInts(a.bytes, pl.size[1])
	pl.in = in
	for i := range pl.groups {
		g := &pl.groups[i]
		kernels.For(threads, g.n, g.perStrip, func(lo, hi int) { pl.runStrips(a, g, lo, hi) })
	}
	pl.in = nil
	for i, v := range p.outs {
		pl.outs[i].Words, pl.outs[i].Bytes = pl.rows(a, nil, v, 1, 0, 1)
	}
	return pl.outs, nil
}

func (p *IntProgram) checkInputs(in []*Tensor) error {
	if len(in) != len(p.net.Inputs) {
		return fmt.Errorf("nn: network %q: %d inputs given, want %d", p.net.Name, len(in), len(p.net.Inputs))
	}
	for i, t := range in {
		name := p.net.Inputs[i].Name
		if t == nil || t.N != 1 {
			return fmt.Errorf("nn: network %q: input %q: want one sample", p.net.Name, name)
		}
		if err := t.check(); err != nil {
			return fmt.Errorf("nn: network %q: input %q: %w", p.net.Name, name, err)
		}
	}
	return nil
}

func (pl *intPlan) fits(p *IntProgram, in []*Tensor) bool {
	for i, t := range in {
		if t.Shape() != pl.shapes[i] {
			return false
		}
	}
	return pl.p == p
}

func enlargeInts[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// head reports whether a step reads other rows than its own.
func (st *intStep) head() bool {
	return st.layer != nil && (st.layer.Op == OpDepthwise || st.layer.Op == OpConv && (st.layer.Kernel > 1 || st.layer.Stride > 1))
}

// reads lists the values that a step reads.
func (st *intStep) reads() []int {
	if st.residual >= 0 {
		return append(append([]int{}, st.in...), st.residual)
	}
	return st.in
}

// intStripBytes is what the values of a strip should take together: a part of the
// second-level cache. A variable so that tests can cut small networks.
var intStripBytes = 256 << 10

func newIntPlan(p *IntProgram, shapes []Shape) *intPlan {
	pl := &intPlan{
		p: p, shapes: shapes, local: make([]bool, len(shapes)),
		off16: make([]int, len(shapes)), off8: make([]int, len(shapes)),
	}
	home := make([]int, len(p.steps)) // group of a step
	for i := range p.steps {
		st := &p.steps[i]
		low := shapes[st.out].H
		if !st.head() {
			for _, v := range st.in {
				low = min(low, shapes[v].H)
			}
		}
		// A group has a common unit if its lowest value divides that of the
		// step, or the other way round.
		last := len(pl.groups) - 1
		if last >= 0 && !st.head() && (low%pl.groups[last].n == 0 || pl.groups[last].n%low == 0) {
			pl.groups[last].n = min(pl.groups[last].n, low)
			pl.groups[last].last = i
		} else {
			pl.groups = append(pl.groups, intGroup{first: i, last: i, n: low})
		}
		home[i] = len(pl.groups) - 1
	}
	pl.place(home)
	for _, v := range p.outs {
		pl.outs = append(pl.outs, &IntTensor{H: shapes[v].H, W: shapes[v].W, C: shapes[v].C})
	}
	return pl
}

// place decides where the values live.
func (pl *intPlan) place(home []int) {
	p := pl.p
	made, lastRead := make([]int, len(pl.shapes)), make([]int, len(pl.shapes)) // groups
	for v := range made {
		made[v] = -1
	}
	for i := range p.steps {
		made[p.steps[i].out] = home[i]
		lastRead[p.steps[i].out] = home[i]
	}
	for v := range pl.local {
		pl.local[v] = made[v] >= 0
	}
	for i := range p.steps {
		for _, v := range p.steps[i].reads() {
			lastRead[v] = max(lastRead[v], home[i])
			if home[i] != made[v] {
				pl.local[v] = false
			}
		}
	}
	for _, v := range p.outs {
		pl.local[v], lastRead[v] = false, math.MaxInt
	}
	var words, bytes Layout
	for g := range pl.groups {
		gr := &pl.groups[g]
		perUnit := 0
		count := func(v int) {
			unit := pl.shapes[v].Len() / gr.n
			if p.value[v].words {
				perUnit += 2 * unit
			}
			if p.value[v].bytes {
				perUnit += unit
			}
		}
		for i := gr.first; i <= gr.last; i++ {
			v := p.steps[i].out
			n := pl.shapes[v].Len()
			count(v)
			for _, x := range p.steps[i].in {
				count(x)
			}
			if pl.local[v] {
				continue
			}
			if p.value[v].words {
				pl.off16[v] = words.Alloc(n)
			}
			if p.value[v].bytes {
				pl.off8[v] = bytes.Alloc(n)
			}
		}
		gr.perStrip = min(max(intStripBytes/max(perUnit, 1), 1), gr.n)
		for i := gr.first; i <= gr.last; i++ {
			v := p.steps[i].out
			if !pl.local[v] {
				continue
			}
			n := alignUp(pl.shapes[v].Len() / gr.n * gr.perStrip)
			pl.off16[v], pl.off8[v] = gr.strip[0], gr.strip[1]
			if p.value[v].words {
				gr.strip[0] += n
			}
			if p.value[v].bytes {
				gr.strip[1] += n
			}
		}
		for v := range pl.shapes {
			if made[v] >= 0 && made[v] <= g && lastRead[v] == g && !pl.local[v] {
				if p.value[v].words {
					words.Free(pl.off16[v], pl.shapes[v].Len())
				}
				if p.value[v].bytes {
					bytes.Free(pl.off8[v], pl.shapes[v].Len())
				}
			}
		}
	}
	pl.size = [2]int{words.Size(), bytes.Size()}
}

// runStrips runs units lo to hi through the group, strip by strip.
func (pl *intPlan) runStrips(a *IntArena, g *intGroup, lo, hi int) {
	s, _ := a.strips.Get().(*intStrip)
	if s == nil {
		s = new(intStrip)
	}
	s.words, s.bytes = enlargeInts(s.words, g.strip[0]), enlargeInts(s.bytes, g.strip[1])
	for u := lo; u < hi; u += g.perStrip {
		for i := g.first; i <= g.last; i++ {
			pl.exec(a, s, &pl.p.steps[i], g.n, u, min(u+g.perStrip, hi))
		}
	}
	a.strips.Put(s)
}

// rows returns units lo to hi, of n, of value v in the forms that it has.
func (pl *intPlan) rows(a *IntArena, s *intStrip, v, n, lo, hi int) (words []int16, bytes []uint8) {
	unit := pl.shapes[v].Len() / n
	from16, from8 := a.words, a.bytes
	at := lo * unit
	if pl.local[v] {
		from16, from8, at = s.words, s.bytes, 0
	}
	if pl.p.value[v].words {
		words = from16[pl.off16[v]+at:][:(hi-lo)*unit]
	}
	if pl.p.value[v].bytes {
		bytes = from8[pl.off8[v]+at:][:(hi-lo)*unit]
	}
	return words, bytes
}

// exec computes units lo to hi, of n, of one step.
func (pl *intPlan) exec(a *IntArena, s *intStrip, st *intStep, n, lo, hi int) {
	v := &pl.p.value[st.out]
	words, bytes := pl.rows(a, s, st.out, n, lo, hi)
	if st.layer == nil {
		unit := pl.shapes[st.out].Len() / n
		if words != nil || bytes != nil {
			offset := v.offset
			if offset == nil {
				offset = make([]int16, v.c)
			}
			kernels.Quantise(words, bytes, pl.in[st.out].Data[lo*unit:hi*unit], v.scale, offset)
		}
		return
	}
	in, out := &pl.shapes[st.in[0]], &pl.shapes[st.out]
	src16, src8 := pl.rows(a, s, st.in[0], n, lo, hi)
	switch st.layer.Op {
	case OpConv, OpDepthwise:
		o := kernels.IntOutput{
			Rescale: st.rescale, Act: st.act, Slope: st.slope,
			Out16: words, LD16: v.c, Out8: bytes, LD8: v.c,
		}
		if st.residual >= 0 {
			o.Residual, _ = pl.rows(a, s, st.residual, n, lo, hi)
			o.LDR = v.c
		}
		y0, y1 := lo*out.H/n, hi*out.H/n
		switch {
		case st.layer.Op == OpDepthwise:
			_, whole := pl.rows(a, s, st.in[0], 1, 0, 1)
			kernels.Depthwise8(whole, st.pad, st.taps, out.H, out.W, out.C, st.layer.Kernel, st.layer.Kernel, &o, y0, y1)
		case st.head():
			whole16, whole8 := pl.rows(a, s, st.in[0], 1, 0, 1)
			_, padY, _ := st.layer.window(in.H)
			_, padX, _ := st.layer.window(in.W)
			shape := kernels.ConvShape{
				H: in.H, W: in.W, Cin: in.C, OutH: out.H, OutW: out.W, Cout: out.C,
				KH: st.layer.Kernel, KW: st.layer.Kernel, StrideY: st.layer.Stride, StrideX: st.layer.Stride,
				PadTop: padY, PadLeft: padX,
			}
			if st.wide != nil {
				kernels.Conv16(whole16, st.wide, &shape, &o, y0, y1)
			} else {
				kernels.Conv8(whole8, st.pad, st.narrow, &shape, &o, y0, y1)
			}
		case st.wide != nil:
			kernels.GEMM16(src16, in.C, st.wide, (y1-y0)*out.W, &o)
		default:
			kernels.GEMM8(src8, in.C, st.narrow, (y1-y0)*out.W, &o)
		}
	case OpShuffle:
		rows := (hi - lo) * out.H / n
		if words != nil {
			kernels.Shuffle(words, src16, rows, out.W, out.C, st.layer.Factor)
		}
		if bytes != nil {
			kernels.Shuffle(bytes, src8, rows, out.W, out.C, st.layer.Factor)
		}
	case OpUnshuffle:
		rows := (hi - lo) * in.H / n
		if words != nil {
			kernels.Unshuffle(words, src16, rows, in.W, in.C, st.layer.Factor)
		}
		if bytes != nil {
			kernels.Unshuffle(bytes, src8, rows, in.W, in.C, st.layer.Factor)
		}
	case OpLeaky, OpReLU:
		slope := int32(intSlope(st.layer))
		v.each(words, bytes, func(i int) int32 {
			r := int32(src16[i])
			return max(r, (r*slope+1<<14)>>15)
		})
	case OpAdd:
		others := make([][]int16, len(st.in))
		for i, x := range st.in {
			others[i], _ = pl.rows(a, s, x, n, lo, hi)
		}
		v.each(words, bytes, func(i int) int32 {
			r := int32(others[0][i])
			for _, o := range others[1:] {
				r = min(max(r+int32(o[i]), math.MinInt16), math.MaxInt16)
			}
			return r
		})
	}
}

// each writes numbers of 16 bits in the forms that are needed. It serves layers
// that no kernel takes along, which those of the codec's networks all are.
func (v *intValue) each(words []int16, bytes []uint8, number func(i int) int32) {
	for i := range max(len(words), len(bytes)) {
		r := number(i)
		if words != nil {
			words[i] = int16(r)
		}
		if bytes != nil {
			bytes[i] = uint8(min(max((r+int32(v.offset[i%v.c]))/kernels.ByteUnit, 0), 255))
		}
	}
}
