package nn

import (
	"fmt"
	"math"
)

// Range holds the least and the largest number of every channel of a value, as
// met in a network's run in floats.
type Range struct{ Lo, Hi []float32 }

// Extend widens the range to the numbers of t.
func (r *Range) Extend(t *Tensor) {
	if r.Lo == nil {
		r.Lo, r.Hi = make([]float32, t.C), make([]float32, t.C)
	}
	for i, v := range t.Data {
		c := i % t.C
		r.Lo[c], r.Hi[c] = min(r.Lo[c], v), max(r.Hi[c], v)
	}
}

// ByteScale says that byte b of a value stands for the number (b-Zero)·Step.
type ByteScale struct{ Step, Zero float64 }

// QuantiseOptions are choices of Network.Quantise.
type QuantiseOptions struct {
	// Wide names the convolutions and depthwise layers that read 16-bit values
	// with 16-bit weights: those whose precision decides that of the outputs.
	Wide map[string]bool
	// Bytes are steps and zero points of values that are read in bytes, in the
	// form of ByteSteps, instead of those that the ranges suggest: those that the
	// parameters were trained with. It may be nil.
	Bytes Params
	// Outputs names outputs to return in bytes.
	Outputs map[string]ByteScale
}

// Quantise expresses a network with parameters p in integers. ranges has all
// inputs and layers by name; numbers outside of them saturate, those of bytes at
// the ends of the range and others at about twice that.
//
// Every channel of every value has a step of its own. Channels that are added or
// moved by a shuffle share theirs. Steps of inputs are folded into the weights,
// of which every output channel has its own scale. Weights are rounded to
// nearest.
func (n *Network) Quantise(p Params, ranges map[string]*Range, o QuantiseOptions) (*Integers, error) {
	q, err := n.quantiser(p, ranges, o)
	if err != nil {
		return nil, err
	}
	return q.integers()
}

type quantiser struct {
	net    *Network
	params Params
	o      QuantiseOptions
	ins    [][]int
	outs   []int

	ranges []*Range
	bytes  []bool      // value is read in bytes
	first  []int       // node of channel 0 of every value
	parent []int       // of the nodes: channels that share a step are one tree
	fixed  []bool      // by root: the step is given
	step   [][]float64 // by value and channel: of the 16-bit numbers
	zero   [][]float64 // by value and channel: byte of 0
}

func (q *quantiser) name(v int) string { return q.net.valueName(v) }

func (q *quantiser) find(node int) int {
	for q.parent[node] != node {
		q.parent[node] = q.parent[q.parent[node]]
		node = q.parent[node]
	}
	return node
}

func (q *quantiser) join(a, b int) { q.parent[q.find(a)] = q.find(b) }

// quantiser chooses the steps and zero points of all values.
func (n *Network) quantiser(p Params, ranges map[string]*Range, o QuantiseOptions) (*quantiser, error) {
	if err := n.Validate(); err != nil {
		return nil, err
	}
	q := &quantiser{net: n, params: p, o: o}
	q.ins, q.outs = n.resolve()
	inputs := len(n.Inputs)
	for v := range inputs + len(q.net.Layers) {
		r := ranges[q.name(v)]
		if r == nil {
			return nil, fmt.Errorf("nn: network %q: quantise: no range of %q", q.net.Name, q.name(v))
		}
		q.ranges = append(q.ranges, r)
		q.first = append(q.first, len(q.parent))
		for range r.Lo {
			q.parent = append(q.parent, len(q.parent))
		}
	}
	q.bytes = make([]bool, len(q.ranges))
	for i := range q.net.Layers {
		l := q.net.Layers[i].defaults()
		in, out := q.ins[i], inputs+i
		switch l.Op {
		case OpConv, OpDepthwise:
			if !q.o.Wide[l.Name] {
				q.bytes[in[0]] = true
			}
		case OpLeaky, OpReLU, OpAdd, OpShuffle, OpUnshuffle:
			for _, x := range in {
				few := min(len(q.ranges[x].Lo), len(q.ranges[out].Lo))
				for c := range max(len(q.ranges[x].Lo), len(q.ranges[out].Lo)) {
					a, b := q.first[x]+c, q.first[out]+c
					switch {
					case len(q.ranges[x].Lo) == few:
						a = q.first[x] + c%few
					default:
						b = q.first[out] + c%few
					}
					q.join(a, b)
				}
			}
		}
	}
	q.chooseSteps()
	if err := q.raiseSteps(); err != nil {
		return nil, err
	}
	q.chooseZeros()
	return q, nil
}

// integers expresses the network in the steps that were chosen.
func (q *quantiser) integers() (*Integers, error) {
	out := &Integers{Scale: map[string][]float32{}, Offset: map[string][]int16{}, Layers: map[string]*IntLayer{}, Step: map[string][]float32{}}
	for v, in := range q.net.Inputs {
		scale := make([]float32, in.C)
		for c, s := range q.step[v] {
			scale[c] = float32(1 / s)
		}
		out.Scale[in.Name] = scale
	}
	for v, zero := range q.zero {
		if zero == nil {
			continue
		}
		offset := make([]int16, len(zero))
		for c, z := range zero {
			offset[c] = int16(math.Round(byteUnit*z + byteUnit/2))
		}
		out.Offset[q.name(v)] = offset
	}
	for i := range q.net.Layers {
		l := q.net.Layers[i].defaults()
		if l.Op != OpConv && l.Op != OpDepthwise {
			continue
		}
		layer, err := q.layer(&l, q.ins[i][0], len(q.net.Inputs)+i)
		if err != nil {
			return nil, q.net.layerError(&l, "quantise: %w", err)
		}
		out.Layers[l.Name] = layer
		x := q.ins[i][0]
		step := make([]float32, len(q.step[x]))
		for c, s := range q.step[x] {
			step[c] = float32(s)
		}
		out.Step[q.name(x)] = step
	}
	return out, nil
}

const (
	byteUnit = 64 // kernels.ByteUnit

	// Results of 16 bits reach 32767, but with the least multiplier half of it.
	leastReach = 16383
	// wordReach is where the range of values ends that are not read in bytes.
	// Beyond is room for pictures that the calibration did not meet: where one
	// saturates, much more is lost than by coarser steps.
	wordReach = 10000
)

// chooseSteps sets the steps: bytes span the range of the channel, of the wider
// one where channels share a step. Values that are not read in bytes may lose
// their extremes, where the multiplier does not reach them: they are long
// negative tails before a rectifier, and a step for all of them would be too
// coarse for the bytes behind it.
func (q *quantiser) chooseSteps() {
	step := make([]float64, len(q.parent)) // by root
	fixed := make([]bool, len(q.parent))
	q.fixed = fixed
	given := make([]bool, len(q.parent)) // by root
	for v, r := range q.ranges {
		t := q.o.Bytes[q.name(v)]
		if t == nil || !q.bytes[v] || len(t.Data) != 2*len(r.Lo) {
			continue
		}
		for c := range r.Lo {
			root := q.find(q.first[v] + c)
			step[root], given[root] = max(step[root], float64(t.Data[c])/byteUnit), true
		}
	}
	for v, r := range q.ranges {
		for c := range r.Lo {
			root := q.find(q.first[v] + c)
			if given[root] {
				continue
			}
			lo, hi := float64(r.Lo[c]), float64(r.Hi[c])
			s := max(-lo, hi) / wordReach
			if q.bytes[v] {
				s = max(max(-lo, hi)/leastReach, (hi-lo)/(255*byteUnit))
			}
			step[root] = max(step[root], s)
		}
	}
	for v, l := range q.ranges {
		if o, ok := q.o.Outputs[q.name(v)]; ok {
			for c := range l.Lo {
				root := q.find(q.first[v] + c)
				step[root], fixed[root] = o.Step/byteUnit, true
			}
		}
	}
	// Channels that were never alive get the finest step that is sensible.
	for v, r := range q.ranges {
		most := 0.0
		for c := range r.Lo {
			most = max(most, step[q.find(q.first[v]+c)])
		}
		for c := range r.Lo {
			if root := q.find(q.first[v] + c); !fixed[root] && !given[root] {
				step[root] = max(step[root], most/256, math.SmallestNonzeroFloat32)
			}
		}
	}
	for v, r := range q.ranges {
		q.step = append(q.step, make([]float64, len(r.Lo)))
		for c := range r.Lo {
			q.step[v][c] = step[q.find(q.first[v]+c)]
		}
	}
}

// raiseSteps makes the steps of results no finer than the weights of 8 bits make
// their sums, which short sums with large cancellation can be. Coarser steps of
// an input make the sums coarser in turn, so it takes a few rounds.
func (q *quantiser) raiseSteps() error {
	const rounds = 64
	for range rounds {
		raised := map[int]float64{} // by root
		for i := range q.net.Layers {
			l := q.net.Layers[i].defaults()
			if l.Op != OpConv && l.Op != OpDepthwise {
				continue
			}
			y := len(q.net.Inputs) + i
			f, err := q.fold(&l, q.ins[i][0], y)
			if err != nil {
				return q.net.layerError(&l, "quantise: %w", err)
			}
			for j := range q.step[y] {
				// A little more, so that the multiplier is below 1.
				if least := f.unit(j) * (1 + 0x1p-12); least > q.step[y][j] {
					root := q.find(q.first[y] + j)
					if q.fixed[root] {
						return q.net.layerError(&l, "quantise: sums of channel %d are coarser than its results", j)
					}
					raised[root] = max(raised[root], least)
				}
			}
		}
		if len(raised) == 0 {
			return nil
		}
		for v := range q.step {
			for c := range q.step[v] {
				if s, ok := raised[q.find(q.first[v]+c)]; ok {
					q.step[v][c] = s
				}
			}
		}
	}
	return fmt.Errorf("nn: network %q: quantise: no steps are coarse enough for the sums", q.net.Name)
}

// chooseZeros centres the range of every channel in its bytes.
func (q *quantiser) chooseZeros() {
	q.zero = make([][]float64, len(q.ranges))
	for v, r := range q.ranges {
		o, output := q.o.Outputs[q.name(v)]
		if !q.bytes[v] && !output {
			continue
		}
		q.zero[v] = make([]float64, len(r.Lo))
		for c := range r.Lo {
			middle := (float64(r.Lo[c]) + float64(r.Hi[c])) / (2 * byteUnit * q.step[v][c])
			q.zero[v][c] = math.Round(min(max(127.5-middle, 0), 255))
			if t := q.o.Bytes[q.name(v)]; t != nil && len(t.Data) == 2*len(r.Lo) {
				q.zero[v][c] = float64(t.Data[len(r.Lo)+c])
			}
			if output {
				q.zero[v][c] = o.Zero
			}
		}
	}
}

// Largest magnitudes of weights.
const (
	most8  = 127
	most16 = 32767
	mostDW = 4095 // as good as exact, and nine of them far from overflow
)

// foldedLayer is a layer with the steps of its input in its weights.
type foldedLayer struct {
	*Layer
	wide      bool
	rows, cin int
	weight    []float64 // [rows][cout]
	bias      []float32 // or nil
	cout      int
}

// fold prepares a convolution or depthwise layer from value x to value y.
func (q *quantiser) fold(l *Layer, x, y int) (*foldedLayer, error) {
	weight := q.params[q.net.weightName(l)]
	if weight == nil {
		return nil, fmt.Errorf("no parameter %q", q.net.weightName(l))
	}
	f := &foldedLayer{Layer: l, wide: q.o.Wide[l.Name], cin: len(q.step[x]), cout: len(q.step[y])}
	f.rows = len(weight.Data) / f.cout
	if l.Op == OpConv && f.rows%f.cin != 0 || l.Op == OpDepthwise && f.cin != f.cout || f.rows*f.cout != len(weight.Data) {
		return nil, fmt.Errorf("weight is %v, ranges have %d and %d channels", weight.Shape, f.cin, f.cout)
	}
	if l.hasBias() {
		b := q.params[q.net.biasName(l)]
		if b == nil || len(b.Data) != f.cout {
			return nil, fmt.Errorf("no bias of %d channels", f.cout)
		}
		f.bias = b.Data
	}
	f.weight = make([]float64, len(weight.Data))
	for i, w := range weight.Data {
		f.weight[i] = float64(w) * q.step[x][f.channel(i/f.cout, i%f.cout)]
		if !f.wide {
			f.weight[i] *= byteUnit
		}
	}
	return f, nil
}

// channel is that of the input which row k of column j multiplies.
func (f *foldedLayer) channel(k, j int) int {
	if f.Op == OpDepthwise {
		return j
	}
	return k % f.cin
}

// unit is what one unit of the sums of column j stands for.
func (f *foldedLayer) unit(j int) float64 {
	most, sum := 0.0, 0.0
	for k := range f.rows {
		w := math.Abs(f.weight[k*f.cout+j])
		most, sum = max(most, w), sum+w
	}
	switch {
	case f.wide:
		// Sums of the largest numbers, and the bias, fit 32 bits.
		if f.bias != nil {
			sum += math.Abs(float64(f.bias[j])) / (1 << 15)
		}
		return max(most/most16, sum/(1<<16-1<<10))
	case f.Op == OpDepthwise:
		return most / mostDW
	}
	return most / most8
}

// layer quantises the weights of a convolution or depthwise layer from value x to
// value y.
func (q *quantiser) layer(l *Layer, x, y int) (*IntLayer, error) {
	f, err := q.fold(l, x, y)
	if err != nil {
		return nil, err
	}
	w := &IntLayer{
		Wide: f.wide, Weight: make([]int16, len(f.weight)),
		Bias: make([]int32, f.cout), Shift: make([]int32, f.cout), Mul: make([]int16, f.cout), Unit: make([]float32, f.cout),
	}
	for j := range f.cout {
		out := q.step[y][j]
		// Finer sums than these change no result, and their rounding needs room.
		unit := max(f.unit(j), out/(1<<24))
		if f.bias != nil {
			unit = max(unit, math.Abs(float64(f.bias[j]))/(1<<29))
		}
		if f.wide {
			// Weights of 16 bits can spare one for the largest multiplier, with
			// which results reach twice as far as with the least.
			const most = float64(math.MaxInt16) / (1 << 15)
			_, exponent := math.Frexp(unit / (out * most))
			unit = math.Ldexp(out*most, exponent)
		}
		acc := 0.0
		for k := range f.rows {
			v := math.RoundToEven(f.weight[k*f.cout+j] / unit)
			w.Weight[k*f.cout+j] = int16(v)
			if !f.wide {
				acc -= q.zero[x][f.channel(k, j)] * v
			}
		}
		if f.bias != nil {
			acc += float64(f.bias[j]) / unit
		}
		if math.Abs(acc) > 1<<30 {
			return nil, fmt.Errorf("bias of channel %d: %g", j, acc)
		}
		w.Bias[j] = int32(math.RoundToEven(acc))
		w.Mul[j], w.Shift[j] = rescaleBy(unit / out)
		w.Unit[j] = float32(unit)
	}
	return w, nil
}

// rescaleBy returns mul and shift with mul/2^(15+shift) next to ratio, which is
// below 1.
func rescaleBy(ratio float64) (mul int16, shift int32) {
	fraction, exponent := math.Frexp(ratio) // in 1/2..1
	m := math.RoundToEven(fraction * (1 << 15))
	if m > math.MaxInt16 {
		m, exponent = 1<<14, exponent+1
	}
	if shift = int32(-exponent); shift > 30 {
		return 0, 30
	}
	return int16(m), shift
}
