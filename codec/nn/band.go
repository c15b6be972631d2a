package nn

import "fmt"

// Band is a part of an image that a network can process on its own.
type Band struct {
	InLo, InHi int // rows of the inputs to give to Run
	OutLo      int // row of the outputs that is row 0 of the result
}

// Band returns the rows of the inputs that rows y0 <= y < y1 of the outputs
// depend on. With only these rows as inputs, Run returns the same bits for
// those rows as with the whole image: row y is row y-OutLo of the result. Rows
// around them come out too, and may be wrong, as they miss their neighbours.
//
// So memory grows with the width of an image and not with its area, and bands
// can run in parallel. All inputs must have one height, and so must all
// outputs. Dense layers, flatten and reshape need whole images, and strides
// must divide the heights that they meet, because the place of the padding
// depends on the remainder.
func (n *Network) Band(y0, y1 int, in ...Shape) (Band, error) {
	values, err := n.inferValues(in)
	if err != nil {
		return Band{}, err
	}
	fail := func(format string, args ...any) (Band, error) {
		return Band{}, fmt.Errorf("nn: network %q: band: "+format, append([]any{n.Name}, args...)...)
	}
	ins, outs := n.resolve()
	height := values[0].H
	for i, p := range n.Inputs {
		if values[i].H != height {
			return fail("inputs %q and %q differ in height", n.Inputs[0].Name, p.Name)
		}
	}

	// scale[v]: row r of value v lies over row r·den/num of the inputs.
	scale := make([]ratio, len(values))
	for v := range scale {
		scale[v] = ratio{1, 1}
	}
	step := 1 // rows of the inputs at which every value has a whole row
	for i := range n.Layers {
		l := n.Layers[i].defaults()
		x := ins[i][0]
		s := scale[x]
		switch l.Op {
		case OpDense, OpFlatten, OpReshape:
			return Band{}, n.layerError(&l, "needs the whole image")
		case OpConv, OpMaxPool, OpAvgPool:
			if values[x].H%l.Stride != 0 && l.Padding == PadSame {
				return Band{}, n.layerError(&l, "band: height %d is not divisible by stride %d", values[x].H, l.Stride)
			}
			s = s.times(1, l.Stride)
		case OpDeconv:
			s = s.times(l.Stride, 1)
		case OpUpsample, OpShuffle:
			s = s.times(l.Factor, 1)
		case OpUnshuffle:
			s = s.times(1, l.Factor)
		}
		for _, o := range ins[i][1:] {
			if scale[o] != scale[x] {
				return Band{}, n.layerError(&l, "band: inputs differ in scale")
			}
		}
		scale[len(n.Inputs)+i] = s
		step = step / gcd(step, s.den) * s.den
	}
	for _, v := range outs {
		if scale[v] != scale[outs[0]] || values[v].H != values[outs[0]].H {
			return fail("outputs %q and %q differ in height", n.Outputs[0], n.Outputs[len(n.Outputs)-1])
		}
	}
	if y0 < 0 || y1 > values[outs[0]].H || y0 >= y1 {
		return fail("rows %d to %d of %d", y0, y1, values[outs[0]].H)
	}

	// need[v]: rows that are read, from the outputs back to the inputs.
	need := make([]rows, len(values))
	for _, v := range outs {
		need[v] = rows{y0, y1}
	}
	for i := len(n.Layers) - 1; i >= 0; i-- {
		out := need[len(n.Inputs)+i]
		if out.lo >= out.hi {
			continue
		}
		l := n.Layers[i].defaults()
		r := l.reads(out, values[ins[i][0]].H, values[len(n.Inputs)+i].H)
		for _, v := range ins[i] {
			need[v] = need[v].union(rows{max(r.lo, 0), min(r.hi, values[v].H)})
		}
	}
	var all rows
	for i := range n.Inputs {
		all = all.union(need[i])
	}
	b := Band{InLo: all.lo / step * step, InHi: min((all.hi+step-1)/step*step, height)}
	b.OutLo = b.InLo / scale[outs[0]].den * scale[outs[0]].num
	return b, nil
}

// rows is a range lo <= y < hi.
type rows struct{ lo, hi int }

func (r rows) union(o rows) rows {
	switch {
	case r.lo >= r.hi:
		return o
	case o.lo >= o.hi:
		return r
	}
	return rows{min(r.lo, o.lo), max(r.hi, o.hi)}
}

// reads returns the input rows that the output rows depend on; they may lie
// outside the image.
func (l *Layer) reads(out rows, inH, outH int) rows {
	switch l.Op {
	case OpConv, OpMaxPool, OpAvgPool:
		_, pad, _ := l.window(inH)
		return rows{out.lo*l.Stride - pad, (out.hi-1)*l.Stride - pad + l.Kernel}
	case OpDepthwise:
		return rows{out.lo - l.Kernel/2, out.hi + l.Kernel/2}
	case OpDeconv:
		// Input row i reaches the output rows i·stride-pad+ky. Output rows
		// that nothing reaches still need the input row they lie over.
		_, pad, _ := l.window(outH)
		reach := rows{(max(out.lo+pad-l.Kernel+1, 0) + l.Stride - 1) / l.Stride, (out.hi-1+pad)/l.Stride + 1}
		return reach.union(rows{out.lo / l.Stride, (out.hi + l.Stride - 1) / l.Stride})
	case OpUpsample, OpShuffle:
		return rows{out.lo / l.Factor, (out.hi + l.Factor - 1) / l.Factor}
	case OpUnshuffle:
		return rows{out.lo * l.Factor, out.hi * l.Factor}
	}
	return out
}

// ratio is a fraction in lowest terms.
type ratio struct{ num, den int }

func (r ratio) times(num, den int) ratio {
	num, den = r.num*num, r.den*den
	g := gcd(num, den)
	return ratio{num / g, den / g}
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
