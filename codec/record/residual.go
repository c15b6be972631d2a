package record

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/format"
	"github.com/aecodec/aecodec/kernels"
)

// A residual is what the latents of a group of records miss, in whole steps, so
// that no value is off by more than the bound. It is large where the records
// have edges, and where all records of the group differ from what the model
// makes of them; both are known to the decoder, or cheap to tell it. So values
// are sorted into contexts, each with a table of its own that goes along.

// bound is a limit for the error of values, and the step that keeps it.
type bound struct {
	kind Kind
	max  float64
	step float32
}

// newBound returns the bound for records of a kind, none of whose values exceeds
// largest.
func newBound(kind Kind, maxError float64, largest float32) (*bound, error) {
	if !(maxError >= 0 && maxError <= math.MaxFloat32) {
		return nil, fmt.Errorf("record: error bound %g", maxError)
	}
	if kind == Uint8 {
		whole := math.Floor(min(maxError, 255))
		return &bound{kind, whole, float32(2*whole + 1)}, nil
	}
	// Values are rounded to float32 after the step; the slack makes room for it.
	slack := min(float64(largest)*0x1p-23, maxError/4)
	step := float32(2 * (maxError - slack))
	if !(step >= 0x1p-126 && step <= 0x1p126) {
		return nil, fmt.Errorf("record: error bound %g is beyond what float32 resolves", maxError)
	}
	return &bound{kind, maxError, step}, nil
}

// round8 rounds a value of the decoder to a byte.
func round8(v float32) uint8 {
	u := v + 0.5
	switch {
	case !(u >= 1):
		return 0
	case u >= 255:
		return 255
	}
	return uint8(u)
}

// finish turns the decoder's values into those of a set without a bound.
func finish(kind Kind, v []float32) {
	if kind == Uint8 {
		for i, x := range v {
			v[i] = float32(round8(x))
		}
	}
}

// limitSteps bounds residuals, in steps. Beyond it a value is kept as it is.
const limitSteps = format.MaxSymbol

// steps returns the residual of value v where the decoder has x; ok is false if
// none leads to within the bound.
func (b *bound) steps(v, x float32) (k int64, ok bool) {
	if b.kind == Uint8 {
		half := int64(b.max)
		r := int64(v) - int64(x)
		if r < 0 {
			k = -((half - r) / (2*half + 1))
		} else {
			k = (half + r) / (2*half + 1)
		}
		return k, true
	}
	r := math.RoundToEven((float64(v) - float64(x)) / float64(b.step))
	if !(math.Abs(r) < limitSteps-1) {
		return 0, false
	}
	for _, near := range [...]int64{0, 1, -1} {
		k = int64(r) + near
		if math.Abs(float64(v)-float64(b.apply(k, x))) <= b.max {
			return k, true
		}
	}
	return 0, false
}

// apply adds k steps to a value of the decoder. It decides what is decoded, so
// every operation is rounded by itself.
func (b *bound) apply(k int64, x float32) float32 {
	if b.kind == Uint8 {
		return float32(min(max(int64(x)+k*int64(b.step), 0), 255))
	}
	return float32(float64(x) + float64(float64(k)*float64(b.step)))
}

// Contexts: whether a value is at an end of the range, so that its residual can
// only go to one side; the class of its position in the record; how much the
// decoder's values differ around it.
const (
	activities      = 12
	positionClasses = 8
	contexts        = 2 * positionClasses * activities

	// Flags of a residual.
	usePositions  = 1
	useActivities = 2
	storedValues  = 4 // no residual: the values themselves follow
)

// activity is the difference of value j of a record from its neighbours, in
// steps, as the number of bits: 0 to activities-1.
func (b *bound) activity(x []float32, d nn.Shape, j int, step float32) int {
	row, column := j/(d.W*d.C), j/d.C%d.W
	sum := float32(0)
	add := func(i int) {
		e := x[j] - x[i]
		if e < 0 {
			e = -e
		}
		sum += e
	}
	if column > 0 {
		add(j - d.C)
	}
	if column < d.W-1 {
		add(j + d.C)
	}
	if row > 0 {
		add(j - d.W*d.C)
	}
	if row < d.H-1 {
		add(j + d.W*d.C)
	}
	if sum /= step; sum < 1<<(activities-2) {
		return bits.Len32(uint32(sum))
	}
	return activities - 1
}

// side tells to which side residuals can go from a value of the decoder: 0
// both, 1 up, -1 down.
func (b *bound) side(x float32) int64 {
	switch {
	case b.kind != Uint8:
	case x == 0:
		return 1
	case x == 255:
		return -1
	}
	return 0
}

// contextsOf returns the context of each value of the decoder. positions are the
// classes of the positions in a record, nil if they are not used.
func (b *bound) contextsOf(x []float32, d nn.Shape, positions []uint8, flags byte, shift uint) []uint8 {
	step := float32(b.step * float32(uint64(1)<<shift))
	out := make([]uint8, len(x))
	for at := 0; at < len(x); at += d.Len() {
		record := x[at:][:d.Len()]
		for j, v := range record {
			c := 0
			if b.side(v) != 0 {
				c = positionClasses
			}
			if positions != nil {
				c += int(positions[j])
			}
			c *= activities
			if flags&useActivities != 0 {
				c += b.activity(record, d, j, step)
			}
			out[at+j] = uint8(c)
		}
	}
	return out
}

// Sizes of residuals are told apart by bucket: one for each of 0 to 4, then two
// for each doubling. Within a bucket all are equally likely.
const (
	singles = 5
	buckets = singles + 2*7 // up to 512
)

// bucketOf returns the bucket of a size, or buckets if there is none.
func bucketOf(size uint32) int {
	if size < singles {
		return int(size)
	}
	n := bits.Len32(size-1) - 1 // 2^n < size <= 2^(n+1), n >= 2
	return min(singles+2*(n-2)+int((size-1)>>(n-1)&1), buckets)
}

// bucketEnd returns the largest size in a bucket.
func bucketEnd(bucket int) int {
	if bucket < singles {
		return bucket
	}
	n := (bucket-singles)/2 + 2
	return 1<<n + (1+(bucket-singles)%2)<<(n-1)
}

// A context's table goes along as weights: those of the buckets up to the last
// that occurs, then that of the escape. A weight w stands for 2^(-w/8) of the
// largest; 255 for never.
const (
	weightScale = 8
	noWeight    = 255
)

var weightValue = func() (v [256]float64) {
	for w := range v {
		v[w] = kernels.Exp64(float64(-math.Ln2 / weightScale * float64(w)))
	}
	v[noWeight] = 0
	return v
}()

// weigh turns counts into weights.
func weigh(counts []int) []byte {
	most := 1
	for _, n := range counts {
		most = max(most, n)
	}
	w := make([]byte, len(counts))
	for i, n := range counts {
		w[i] = noWeight
		if n > 0 {
			w[i] = byte(min(math.Round(weightScale/math.Ln2*kernels.Log64(float64(most)/float64(n))), noWeight-1))
		}
	}
	return w
}

// residualTable makes the table of a context from its weights.
func residualTable(weights []byte, oneSided bool) (*format.Table, error) {
	used := len(weights) - 1 // buckets; the escape comes last
	reach := bucketEnd(used - 1)
	from := -reach
	if oneSided {
		from = 0
	}
	p := make([]float64, reach-from+2)
	for i := range used {
		first := 0
		if i > 0 {
			first = bucketEnd(i-1) + 1
		}
		last := bucketEnd(i)
		share := float64(weightValue[weights[i]] / float64(last-first+1))
		if !oneSided && i > 0 {
			share = float64(share / 2)
		}
		for k := first; k <= last; k++ {
			p[k-from] = share
			if !oneSided {
				p[-k-from] = share
			}
		}
	}
	p[len(p)-1] = weightValue[weights[used]]
	return format.NewTable(int32(from), format.BuildFreq(p))
}

// positionTable codes differences of the classes of neighbouring positions.
var positionTable = func() *format.TableSet {
	p := make([]float64, 2*positionClasses)
	for i := range p[:2*positionClasses-1] {
		d := i - (positionClasses - 1)
		p[i] = math.Ldexp(1, -max(d, -d))
	}
	p[len(p)-1] = math.Ldexp(1, -positionClasses)
	t, err := format.NewTable(-(positionClasses - 1), format.BuildFreq(p))
	if err != nil {
		panic(err) // all of it is constant
	}
	set, err := format.NewTableSet([]*format.Table{t})
	if err != nil {
		panic(err)
	}
	return set
}()

// append codes the residual of records whose values are v where the decoder has
// x.
func (b *bound) append(dst []byte, v, x []float32, d nn.Shape) ([]byte, error) {
	finish(b.kind, x)
	k := make([]int64, len(v))
	var exceptions []int
	sum := uint64(0)
	for i := range v {
		var ok bool
		if k[i], ok = b.steps(v[i], x[i]); !ok {
			exceptions = append(exceptions, i)
		}
		sum += uint64(max(k[i], -k[i]))
	}
	// Low bits of large residuals are noise: they are not worth a table.
	shift := uint(max(bits.Len64(sum/uint64(len(v)))-6, 0))
	low := bitWriter{}
	sym := make([]int32, len(v))
	for i, r := range k {
		low.write(uint64(r)&(1<<shift-1), shift)
		r >>= shift
		if b.side(x[i]) < 0 {
			r = -r
		}
		sym[i] = int32(r)
	}
	// The contexts that pay depend on how much there is to code.
	best := newSorting(b, sym, x, d, 0, shift)
	for _, flags := range []byte{useActivities, usePositions | useActivities} {
		if flags&usePositions != 0 && len(v) < minPositionRecords*d.Len() {
			continue
		}
		if s := newSorting(b, sym, x, d, flags, shift); s.cost < best.cost {
			best = s
		}
	}
	before := len(dst)
	dst = binary.AppendUvarint(append(dst, best.flags), uint64(len(exceptions)))
	last := 0
	for _, i := range exceptions {
		dst = binary.AppendUvarint(dst, uint64(i-last))
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(v[i]))
		last = i
	}
	dst = append(append(dst, byte(shift)), low.bytes()...)
	dst, err := best.append(dst, sym)
	if err != nil {
		return nil, err
	}
	if len(dst)-before > 1+b.valueSize()*len(v) {
		return b.store(append(dst[:before], storedValues), v), nil
	}
	return dst, nil
}

// valueSize returns the bytes of a value as it is.
func (b *bound) valueSize() int {
	if b.kind == Uint8 {
		return 1
	}
	return 4
}

// store appends values as they are: what cannot be predicted must not grow.
func (b *bound) store(dst []byte, v []float32) []byte {
	for _, x := range v {
		if b.kind == Uint8 {
			dst = append(dst, byte(x))
		} else {
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(x))
		}
	}
	return dst
}

// restore is the inverse of store.
func (b *bound) restore(data []byte, v []float32) error {
	if len(data) != b.valueSize()*len(v) {
		return corrupt("residual", "%d bytes for %d values", len(data), len(v))
	}
	for i := range v {
		if b.kind == Uint8 {
			v[i] = float32(data[i])
			continue
		}
		u := binary.LittleEndian.Uint32(data[4*i:])
		if u&infBits == infBits {
			return corrupt("residual", "a value is not finite")
		}
		v[i] = math.Float32frombits(u)
	}
	return nil
}

// minPositionRecords is the least number of records whose common errors may be
// worth telling.
const minPositionRecords = 16

// classifyPositions returns a class for each position of a record: the binary
// logarithm of the mean size of its symbols.
func classifyPositions(sym []int32, size int) []uint8 {
	sums := make([]uint64, size)
	total := uint64(0)
	for i, v := range sym {
		a := uint64(max(v, -v))
		sums[i%size] += a
		total += a
	}
	out := make([]uint8, size)
	for j, s := range sums {
		// The mean of all is in class 4.
		out[j] = uint8(min(bits.Len64(s*uint64(size)*8/max(total, 1)), positionClasses-1))
	}
	return out
}

// sorting is one way to sort symbols into contexts.
type sorting struct {
	flags     byte
	positions []uint8
	index     []uint8
	counts    [contexts][]int // of buckets and the escape; nil where not used
	cost      float64         // about how many bits it all takes
}

func newSorting(b *bound, sym []int32, x []float32, d nn.Shape, flags byte, shift uint) *sorting {
	s := &sorting{flags: flags}
	if flags&usePositions != 0 {
		s.positions = classifyPositions(sym, d.Len())
		s.cost += 2 * float64(d.Len())
	}
	s.index = b.contextsOf(x, d, s.positions, flags, shift)
	for i, c := range s.index {
		if s.counts[c] == nil {
			s.counts[c] = make([]int, buckets+1)
		}
		s.counts[c][bucketOf(uint32(max(sym[i], -sym[i])))]++
	}
	for _, n := range s.counts {
		total, last := 0, 0
		for i, m := range n {
			if m > 0 {
				total, last = total+m, min(i, buckets-1)
			}
		}
		for i, m := range n {
			if m > 0 {
				s.cost -= float64(m) * kernels.Log64(float64(m)/float64(total)) / math.Ln2
				if i >= singles { // half a doubling, or an escape's code
					s.cost += float64(m) * float64(i-singles+2) / 2
				}
			}
		}
		if n != nil {
			s.cost += float64(8 * (last + 3))
		}
	}
	return s
}

// append codes the symbols, after all that is needed to decode them.
func (s *sorting) append(dst []byte, sym []int32) ([]byte, error) {
	if s.positions != nil {
		diff := make([]int32, len(s.positions))
		last := int32(0)
		for j, c := range s.positions {
			diff[j] = int32(c) - last
			last = int32(c)
		}
		stream, err := format.EncodeSymbols(nil, positionTable, make([]uint8, len(diff)), diff)
		if err != nil {
			return nil, err
		}
		dst = binary.AppendUvarint(dst, uint64(len(stream)))
		dst = append(dst, stream...)
	}
	weights := make([][]byte, contexts)
	for c, n := range s.counts {
		if n == nil {
			continue
		}
		used := buckets
		for used > 1 && n[used-1] == 0 {
			used--
		}
		weights[c] = weigh(append(n[:used:used], n[buckets]))
		dst = append(dst, byte(used))
		dst = append(dst, weights[c]...)
	}
	set, err := residualTables(s.index, weights)
	if err != nil {
		return nil, err
	}
	return format.EncodeSymbols(dst, set, s.index, sym)
}

// residualTables makes the tables of the contexts that are used and turns the
// contexts of index into their numbers.
func residualTables(index []uint8, weights [][]byte) (*format.TableSet, error) {
	var number [contexts]uint8
	var list []*format.Table
	for c, w := range weights {
		if w == nil {
			continue
		}
		t, err := residualTable(w, c >= contexts/2)
		if err != nil {
			return nil, err
		}
		number[c] = uint8(len(list))
		list = append(list, t)
	}
	for i, c := range index {
		index[i] = number[c]
	}
	return format.NewTableSet(list)
}

// read decodes what append wrote and adds it to the decoder's values x.
func (b *bound) read(data []byte, x []float32, d nn.Shape) error {
	finish(b.kind, x)
	r := reader{data: data}
	flags := r.byte()
	if flags == storedValues && !r.short {
		return b.restore(r.data, x)
	}
	if flags&^(usePositions|useActivities) != 0 {
		return corrupt("residual", "unknown flags 0x%02x", flags)
	}
	n := r.uvarint()
	if n > uint64(len(x)) || n > uint64(len(r.data)) || n > 0 && b.kind == Uint8 {
		return corrupt("residual", "%d exceptions", n)
	}
	type exception struct {
		at int
		v  float32
	}
	exceptions := make([]exception, n)
	at := uint64(0)
	for i := range exceptions {
		at += min(r.uvarint(), uint64(len(x)))
		v := math.Float32frombits(binary.LittleEndian.Uint32(r.bytes(4)))
		if at >= uint64(len(x)) || math.Float32bits(v)&infBits == infBits {
			return corrupt("residual", "exception %d is wrong", i)
		}
		exceptions[i] = exception{int(at), v}
	}
	shift := uint(r.byte())
	if shift > maxShift {
		return corrupt("residual", "shift of %d bits", shift)
	}
	low := bitReader{data: r.bytes((len(x)*int(shift) + 7) / 8)}
	if r.short {
		return corrupt("residual", "data end too early")
	}
	sym, err := b.readSymbols(&r, x, d, flags, shift)
	if err != nil {
		return err
	}
	for i, s := range sym {
		k := int64(s)
		if b.side(x[i]) < 0 {
			k = -k
		}
		y := b.apply(k<<shift|int64(low.read(shift)), x[i])
		if math.Float32bits(y)&infBits == infBits {
			return corrupt("residual", "a value is not finite")
		}
		x[i] = y
	}
	for _, e := range exceptions {
		x[e.at] = e.v
	}
	return nil
}

// maxShift is the most low bits that append makes of limitSteps.
const maxShift = 18

func (b *bound) readSymbols(r *reader, x []float32, d nn.Shape, flags byte, shift uint) ([]int32, error) {
	var positions []uint8
	if flags&usePositions != 0 {
		stream, rest, err := takeBytes(r.data, "residual")
		if err != nil {
			return nil, err
		}
		r.data = rest
		diff := make([]int32, d.Len())
		if err := format.DecodeSymbols(stream, positionTable, make([]uint8, len(diff)), diff); err != nil {
			return nil, fmt.Errorf("residual: %w", err)
		}
		positions = make([]uint8, len(diff))
		last := int32(0)
		for j, v := range diff {
			if last += v; last < 0 || last >= positionClasses {
				return nil, corrupt("residual", "class %d of position %d", last, j)
			}
			positions[j] = uint8(last)
		}
	}
	index := b.contextsOf(x, d, positions, flags, shift)
	var used [contexts]bool
	for _, c := range index {
		used[c] = true
	}
	weights := make([][]byte, contexts)
	for c := range weights {
		if !used[c] {
			continue
		}
		n := int(r.byte())
		if n < 1 || n > buckets {
			return nil, corrupt("residual", "table %d of %d sizes", c, n)
		}
		weights[c] = r.bytes(n + 1)
	}
	if r.short {
		return nil, corrupt("residual", "data end too early")
	}
	set, err := residualTables(index, weights)
	if err != nil {
		return nil, err
	}
	sym := make([]int32, len(x))
	if err := format.DecodeSymbols(r.data, set, index, sym); err != nil {
		return nil, fmt.Errorf("residual: %w", err)
	}
	return sym, nil
}
