package nn

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/aecodec/aecodec/kernels"
)

// Integers are the parameters of a network in exact integers, the arithmetic of
// kernels/int8.go. Together with the network they decide every bit of its
// outputs.
//
// Every value is 16-bit integers: a convolution or depthwise layer gives
// rescaled sums, leaky and relu the kernels' rectifier with a slope of
// round(2^15·Slope), at most 2^15-1, add saturated sums from left to right,
// shuffle and unshuffle the same numbers. Inputs are floats, times the scale of
// their channel, rounded. Layers with weights that are not Wide
// read their input in bytes, with the offsets of that value, and so are outputs
// that have offsets returned; pixels outside of the image are zero, which is the
// byte offset>>6 of its channel.
type Integers struct {
	Scale  map[string][]float32 // of the channels of every input
	Offset map[string][]int16   // of the channels of values read or returned in bytes
	Layers map[string]*IntLayer // of every convolution and depthwise layer

	// Step is what 1 stands for in the 16-bit numbers of the channels of values
	// that layers with weights read. Only Floats needs it.
	Step map[string][]float32
}

// IntLayer holds weights, in the layout of ParamShapes, and the parameters of the
// output channels, as kernels.NewRescale takes them.
type IntLayer struct {
	Wide        bool    // reads 16-bit values; a convolution then has 16-bit weights, as depthwise layers always do
	Weight      []int16 // -128 to 127 in convolutions that are not Wide
	Bias, Shift []int32
	Mul         []int16
	Unit        []float32 // what 1 stands for in the sums; only Floats needs it
}

// IntProgram is a network bound to its Integers. Any number of IntRows may run it
// at a time.
type IntProgram struct {
	net   *Network
	ins   [][]int
	outs  []int
	value []intValue
	steps []intStep
	rows  rowSchedule
}

// intValue is what is known of a value before its size.
type intValue struct {
	c            int
	words, bytes bool // which forms are needed
	offset       []int16
	scale        []float32 // of inputs
}

// intStep is one or more layers that run as one operation, as Step is.
type intStep struct {
	layer    *Layer
	in       []int
	out      int
	residual int // -1: none
	act      kernels.IntActivation
	slope    int16

	columns []intColumns // of a convolution: one, or one for each row of a shuffle that has joined it
	taps    []int16      // of a depthwise layer
	wide    bool         // which reads 16 bits
	rescale *kernels.Rescale
	pad     []uint8
}

// intColumns are some of the columns of a convolution as a product of their own.
type intColumns struct {
	narrow  *kernels.Packed8 // one of the two
	wide    *kernels.Packed16
	rescale *kernels.Rescale
}

// intSlope is a slope in units of 2^-15.
func intSlope(l *Layer) int16 {
	if l.Op == OpReLU {
		return 0
	}
	return int16(min(math.RoundToEven(float64(l.Slope)*(1<<15)), math.MaxInt16))
}

// CompileIntegers binds a network to q. It fails for networks with operations
// other than conv, depthwise, leaky, relu, add, shuffle and unshuffle or with
// convolutions of even size, with a stride or without padding, when something is
// missing from q or out of its range, and when a sum could overflow
// 32 bits.
func CompileIntegers(n *Network, q *Integers) (*IntProgram, error) {
	if err := n.Validate(); err != nil {
		return nil, err
	}
	p := &IntProgram{net: n, value: make([]intValue, len(n.Inputs)+len(n.Layers))}
	p.ins, p.outs = n.resolve()
	for i, in := range n.Inputs {
		p.value[i].c = in.C
		p.value[i].scale = q.Scale[in.Name]
		if len(p.value[i].scale) != in.C {
			return nil, fmt.Errorf("nn: network %q: integers: input %q: %d scales, want %d", n.Name, in.Name, len(p.value[i].scale), in.C)
		}
	}
	layers := make([]Layer, len(n.Layers))
	for i := range n.Layers {
		layers[i] = n.Layers[i].defaults()
		if err := p.add(&layers[i], i, q); err != nil {
			return nil, n.layerError(&layers[i], "integers: %w", err)
		}
	}
	if err := p.forms(q); err != nil {
		return nil, fmt.Errorf("nn: network %q: integers: %w", n.Name, err)
	}
	for i := range n.Inputs {
		if v := &p.value[i]; v.offset == nil {
			v.offset = make([]int16, v.c) // Quantise wants one
		}
	}
	p.rows = p.rowSchedule()
	for i := range p.rows.steps {
		r := &p.rows.steps[i]
		if r.layer.Op != OpConv && r.layer.Op != OpDepthwise {
			continue
		}
		if err := p.bind(&p.steps[r.index], max(r.fold, 1), q); err != nil {
			return nil, n.layerError(r.layer, "integers: %w", err)
		}
	}
	return p, nil
}

// rowSchedule makes the schedule of the steps.
func (p *IntProgram) rowSchedule() rowSchedule {
	rs := rowSchedule{net: p.net, ins: p.ins, outs: p.outs}
	for v := range p.value {
		rs.root = append(rs.root, v)
		rs.forms = append(rs.forms, [rowForms]bool{formWords: p.value[v].words, formBytes: p.value[v].bytes})
	}
	for i := range p.steps {
		st := &p.steps[i]
		rs.steps = append(rs.steps, rowStep{layer: st.layer, in: st.in, out: st.out, residual: st.residual, index: i})
	}
	rs.link()
	return rs
}

// add makes layer i a step of its own or fuses it to an earlier one.
func (p *IntProgram) add(l *Layer, i int, q *Integers) error {
	in, out := p.ins[i], len(p.net.Inputs)+i
	cs := make([]int, len(in))
	for k, v := range in {
		cs[k] = p.value[v].c
	}
	var err error
	if p.value[out].c, err = l.outChannels(cs); err != nil {
		return err
	}
	switch l.Op {
	case OpLeaky, OpReLU:
		if st := p.open(in[0]); st != nil && st.act == kernels.IntActNone {
			st.act, st.slope, st.out = kernels.IntActFirst, intSlope(l), out
			if st.residual >= 0 {
				st.act = kernels.IntActLast
			}
			return nil
		}
	case OpAdd:
		if len(in) != 2 {
			break
		}
		late, early := in[0], in[1]
		if p.producer(late) < p.producer(early) {
			late, early = early, late
		}
		if st := p.open(late); st != nil && st.residual < 0 && p.producer(late) != p.producer(early) {
			st.residual, st.out = early, out
			return nil
		}
	case OpConv, OpDepthwise:
		if !l.rowWise() {
			return errors.New("only odd kernels of stride 1 with padding can be computed in integers")
		}
		if q.Layers[l.Name] == nil {
			return errors.New("no weights")
		}
	case OpShuffle, OpUnshuffle:
	default:
		return errors.New("cannot be computed in integers")
	}
	p.steps = append(p.steps, intStep{layer: l, in: in, out: out, residual: -1})
	return nil
}

// producer is the step that computes v, -1 for an input.
func (p *IntProgram) producer(v int) int {
	return slices.IndexFunc(p.steps, func(st intStep) bool { return st.out == v })
}

// open returns the step that makes v if something may be fused to it: nothing
// else reads v, and the kernels can do it.
func (p *IntProgram) open(v int) *intStep {
	uses := 0
	for _, in := range p.ins {
		for _, x := range in {
			if x == v {
				uses++
			}
		}
	}
	i := p.producer(v)
	if i < 0 || uses != 1 || slices.Contains(p.outs, v) {
		return nil
	}
	if st := &p.steps[i]; st.layer.Op == OpConv || st.layer.Op == OpDepthwise {
		return st
	}
	return nil
}

// forms finds out which values exist as words, which as bytes, and with which
// offsets. Shuffles move the form that is asked of them.
func (p *IntProgram) forms(q *Integers) error {
	wantBytes := func(v int) error {
		offset, name := q.Offset[p.net.valueName(v)], p.net.valueName(v)
		switch {
		case len(offset) != p.value[v].c:
			return fmt.Errorf("value %q: %d offsets, want %d", name, len(offset), p.value[v].c)
		case p.value[v].offset != nil && !slices.Equal(p.value[v].offset, offset):
			return fmt.Errorf("value %q: is read in bytes with different offsets", name)
		case slices.ContainsFunc(offset, func(o int16) bool { return o < 0 }):
			return fmt.Errorf("value %q: negative offset", name)
		}
		p.value[v].bytes, p.value[v].offset = true, offset
		return nil
	}
	for _, v := range p.outs {
		if q.Offset[p.net.valueName(v)] == nil {
			p.value[v].words = true
		} else if err := wantBytes(v); err != nil {
			return err
		}
	}
	for i := len(p.steps) - 1; i >= 0; i-- {
		st := &p.steps[i]
		if st.residual >= 0 {
			p.value[st.residual].words = true
		}
		switch st.layer.Op {
		case OpConv, OpDepthwise:
			if q.Layers[st.layer.Name].Wide {
				p.value[st.in[0]].words = true
			} else if err := wantBytes(st.in[0]); err != nil {
				return err
			}
		case OpShuffle, OpUnshuffle:
			in, out := &p.value[st.in[0]], &p.value[st.out]
			in.words = in.words || out.words
			if out.bytes {
				moved := make([]int16, in.c)
				r2 := st.layer.Factor * st.layer.Factor
				for c := range moved {
					if st.layer.Op == OpShuffle {
						moved[c] = out.offset[c%out.c]
						continue
					}
					moved[c] = out.offset[c]
					for b := 1; b < r2; b++ {
						if out.offset[b*in.c+c] != moved[c] {
							return fmt.Errorf("value %q: offsets differ between the pixels of a block", p.net.valueName(st.out))
						}
					}
				}
				if in.bytes && !slices.Equal(in.offset, moved) {
					return fmt.Errorf("value %q: is read in bytes with different offsets", p.net.valueName(st.in[0]))
				}
				in.bytes, in.offset = true, moved
			}
		default:
			for _, v := range st.in {
				p.value[v].words = true
			}
		}
	}
	return nil
}

// bind packs the weights of a step, those of a convolution in that many equal
// parts.
func (p *IntProgram) bind(st *intStep, parts int, q *Integers) error {
	l, w := st.layer, q.Layers[st.layer.Name]
	in, out := &p.value[st.in[0]], &p.value[st.out]
	k := l.Kernel * l.Kernel
	if l.Op == OpConv {
		k *= in.c
	}
	if len(w.Weight) != k*out.c {
		return fmt.Errorf("%d weights, want %d", len(w.Weight), k*out.c)
	}
	if len(w.Bias) != out.c {
		return fmt.Errorf("%d biases, want %d", len(w.Bias), out.c)
	}
	if !w.Wide {
		st.pad = make([]uint8, in.c)
		for c, o := range in.offset {
			st.pad[c] = uint8(min(o/kernels.ByteUnit, 255))
		}
	}
	if l.Op == OpConv {
		return st.bindConv(w, k, out, parts)
	}
	var err error
	st.taps, st.wide = w.Weight, w.Wide
	most := int64(255)
	if w.Wide {
		most = 1 << 15
	}
	if st.rescale, err = kernels.NewRescale(w.Bias, w.Shift, w.Mul, out.offset); err != nil {
		return err
	}
	return w.checkSums(0, out.c, func(j int) (s int64) {
		for t := j; t < len(w.Weight); t += out.c {
			s += most * max(int64(w.Weight[t]), -int64(w.Weight[t]))
		}
		return s
	})
}

// bindConv packs a convolution of k inputs for each output.
func (st *intStep) bindConv(w *IntLayer, k int, out *intValue, parts int) error {
	var narrow []int8
	if !w.Wide {
		narrow = make([]int8, len(w.Weight))
		for i, v := range w.Weight {
			if narrow[i] = int8(v); int16(narrow[i]) != v {
				return fmt.Errorf("weight %d does not fit 8 bits", v)
			}
		}
	}
	all, err := kernels.NewRescale(w.Bias, w.Shift, w.Mul, out.offset)
	if err != nil {
		return err
	}
	n := out.c / parts
	for first := 0; first < out.c; first += n {
		c := intColumns{rescale: all}
		if parts > 1 {
			var offset []int16
			if out.offset != nil {
				offset = out.offset[first:][:n]
			}
			if c.rescale, err = kernels.NewRescale(w.Bias[first:][:n], w.Shift[first:][:n], w.Mul[first:][:n], offset); err != nil {
				return err
			}
		}
		var sum func(j int) int64
		if w.Wide {
			c.wide = kernels.Pack16(k, n, w.Weight[first:], out.c)
			sum = c.wide.MaxSum
		} else {
			c.narrow = kernels.Pack8(k, n, narrow[first:], out.c)
			sum = c.narrow.MaxSum
		}
		if err := w.checkSums(first, n, sum); err != nil {
			return err
		}
		st.columns = append(st.columns, c)
	}
	return nil
}

// checkSums returns an error if a sum of one of n channels from first on may
// overflow 32 bits; most is what the products of the j-th of them come to.
func (w *IntLayer) checkSums(first, n int, most func(j int) int64) error {
	for j := range n {
		b := int64(w.Bias[first+j])
		if sum := most(j) + max(b, -b) + 1<<w.Shift[first+j]>>1; sum > math.MaxInt32 {
			return fmt.Errorf("sums of channel %d can reach %d", first+j, sum)
		}
	}
	return nil
}

// Floats returns the parameters in floats of which q makes the most: weights and
// biases as they were rounded. It needs Step and Unit.
func (q *Integers) Floats(n *Network) (Params, error) {
	p := Params{}
	ins, _ := n.resolve()
	for i := range n.Layers {
		l := n.Layers[i].defaults()
		w := q.Layers[l.Name]
		if w == nil {
			continue
		}
		in := n.valueName(ins[i][0])
		step, offset, cin, cout := q.Step[in], q.Offset[in], len(q.Step[in]), len(w.Unit)
		shape := []int{l.Kernel, l.Kernel, cin, cout}
		if l.Op == OpDepthwise {
			shape = []int{l.Kernel, l.Kernel, cout}
		}
		rows := product(shape[:len(shape)-1])
		if cin == 0 || cout == 0 || len(w.Weight) != rows*cout || len(w.Bias) != cout || l.Op == OpDepthwise && cin != cout ||
			!w.Wide && len(offset) != cin {
			return nil, n.layerError(&l, "integers: steps, units and weights do not fit")
		}
		weight, bias := NewParam(n.weightName(&l), shape...), NewParam(n.biasName(&l), cout)
		for j, unit := range w.Unit {
			sum := int64(w.Bias[j])
			for k := range rows {
				c := k % cin
				if l.Op == OpDepthwise {
					c = j
				}
				v, s := w.Weight[k*cout+j], step[c]
				if !w.Wide {
					sum += int64(offset[c]/kernels.ByteUnit) * int64(v)
					s *= kernels.ByteUnit
				}
				weight.Data[k*cout+j] = float32(v) * unit / s
			}
			bias.Data[j] = float32(sum) * unit
		}
		p[weight.Name] = weight
		if l.hasBias() {
			p[bias.Name] = bias
		}
	}
	return p, nil
}

// Network returns the network that was compiled.
func (p *IntProgram) Network() *Network { return p.net }
