package record

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/format"
	"github.com/aecodec/aecodec/kernels"
)

// A residual is what the latents of a group of records miss, in whole steps, so
// that no value is off by more than the bound.
//
// The values of a record are coded in passes, from a coarse grid to the finest
// (see grid.go), so that most are coded when values on all sides are known. What
// the decoder missed there tells what it will miss here: it corrects the
// prediction, and it chooses the context, each of which has a table of its own
// that goes along.

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
// only go to one side; how much the decoder missed around it; how much the
// decoder's values differ around it.
const (
	misses     = 11
	activities = 10
	contexts   = 2 * misses * activities

	missUnknown = 0 // nothing around it is known
	missFlat    = 1 // all that is known around it is equal
	missMost    = 2 // all but one
	missLeast   = 3

	// Flags of a residual: which parts of a context count.
	useMisses     = 1
	useActivities = 2
	storedValues  = 4 // no residual: the values themselves follow
)

// merge returns the context of which only the parts in flags count.
func merge(context uint8, flags byte) uint8 {
	c := int(context)
	side, miss, activity := c/(misses*activities), c/activities%misses, c%activities
	if flags&useMisses == 0 {
		miss = 0
	}
	if flags&useActivities == 0 {
		activity = 0
	}
	return uint8((side*misses+miss)*activities + activity)
}

// levels returns the number of bits of a size in steps, below limit.
func levels(size float32, limit int) int {
	if size < float32(uint32(1)<<(limit-2)) {
		return bits.Len32(uint32(size))
	}
	return limit - 1
}

// side tells to which side residuals can go from a prediction: 0 both, 1 up, -1
// down.
func (b *bound) side(p float32) int64 {
	switch {
	case b.kind != Uint8:
	case p == 0:
		return 1
	case p == 255:
		return -1
	}
	return 0
}

// surroundings are what is known around a value.
type surroundings struct {
	n        int     // values known
	mean     float32 // of what the decoder missed there
	size     float32 // mean of its magnitude
	equal    int     // of them have this value, the most that agree
	value    float32
	activity float32 // differences of the decoder's values
}

// look returns the surroundings of value i of a record [H, W, C]: x is what the
// decoder made of it, y what is known. Sums are in the order of the neighbours.
func look(x, y []float32, d nn.Shape, row, column, channel int, neighbours [][2]int) (s surroundings) {
	i := (row*d.W+column)*d.C + channel
	var known [4]float32
	for _, o := range neighbours {
		r, c := row+o[0], column+o[1]
		if r < 0 || r >= d.H || c < 0 || c >= d.W {
			continue
		}
		j := (r*d.W+c)*d.C + channel
		missed := y[j] - x[j]
		s.mean += missed
		s.size += max(missed, -missed)
		difference := x[j] - x[i]
		s.activity += max(difference, -difference)
		known[s.n] = y[j]
		s.n++
	}
	if s.n > 0 {
		s.mean /= float32(s.n)
		s.size /= float32(s.n)
	}
	for k, v := range known[:s.n] {
		equal := 1
		for _, other := range known[k+1 : s.n] {
			if other == v {
				equal++
			}
		}
		if equal > s.equal {
			s.equal, s.value = equal, v
		}
	}
	return s
}

// agree tells whether all that is known around a value, or all but one, have one
// value: that is what this one is likely to have, in pictures with flat areas
// and where signals are cut off.
func (s *surroundings) agree() bool { return s.equal >= 2 && s.equal >= s.n-1 }

// weightSteps is the unit of the weight of a correction.
const weightSteps = 8

// predict returns what value x of the decoder is expected to be. It decides what
// is decoded, so every operation is rounded by itself.
func (b *bound) predict(x float32, s *surroundings, weight byte) float32 {
	p := x
	switch {
	case s.agree():
		return s.value
	case s.n > 0:
		p = x + float32(s.mean*(float32(weight)/weightSteps))
	}
	if b.kind == Uint8 {
		return float32(round8(p))
	}
	if !(p >= -math.MaxFloat32 && p <= math.MaxFloat32) {
		return x
	}
	return p
}

// context returns the context of a value with prediction p. unit is the least
// residual that the symbols resolve.
func (b *bound) context(p float32, s *surroundings, unit float32) uint8 {
	c := 0
	if b.side(p) != 0 {
		c = misses
	}
	switch {
	case s.agree() && s.equal == s.n:
		c += missFlat
	case s.agree():
		c += missMost
	case s.n > 0:
		c += missLeast + levels(2*s.size/unit, misses-missLeast)
	}
	return uint8(c*activities + levels(s.activity/unit, activities))
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

// coding is a residual on its way: what the encoder or the decoder knows.
type coding struct {
	*bound
	d     nn.Shape
	x, y  []float32 // what the decoder of the model made, and what is decoded
	shift uint
	unit  float32
	// Symbols and contexts in the order of the passes.
	sym     []int32
	context []uint8
}

func (b *bound) newCoding(x []float32, d nn.Shape, shift uint) *coding {
	return &coding{
		bound: b, d: d, x: x, y: make([]float32, len(x)), shift: shift,
		unit: float32(b.step * float32(uint64(1)<<shift)),
	}
}

// walk calls visit for every value of a pass, in order.
func (c *coding) walk(p *pass, visit func(i int, s *surroundings)) {
	size := c.d.Len()
	for at := 0; at < len(c.x); at += size {
		x, y := c.x[at:at+size], c.y[at:at+size]
		p.positions(c.d, func(row, column int) {
			for channel := range c.d.C {
				s := look(x, y, c.d, row, column, channel, p.neighbours)
				visit(at+(row*c.d.W+column)*c.d.C+channel, &s)
			}
		})
	}
}

// fitWeight returns the weight that makes corrections of a pass right on average.
func (c *coding) fitWeight(p *pass, v []float32) byte {
	var product, square float64
	c.walk(p, func(i int, s *surroundings) {
		if !s.agree() {
			m := float64(s.mean)
			product += float64(m * (float64(v[i]) - float64(c.x[i])))
			square += float64(m * m)
		}
	})
	if w := math.Round(weightSteps * product / square); w > 0 {
		return byte(min(w, weightSteps))
	}
	return 0
}

// append codes the residual of records whose values are v where the decoder of
// the model has x.
func (b *bound) append(dst []byte, v, x []float32, d nn.Shape) ([]byte, error) {
	// Low bits of large residuals are noise: they are not worth a table.
	sum := 0.
	for i := range v {
		sum += min(math.Abs(float64(v[i])-float64(x[i]))/float64(b.step), limitSteps)
	}
	c := b.newCoding(x, d, uint(max(bits.Len64(uint64(sum/float64(len(v))))-6, 0)))
	low := bitWriter{}
	var exceptions []int
	var weights []byte
	var ends []int // of the passes, in symbols
	for i := range passes {
		p := &passes[i]
		weight := c.fitWeight(p, v)
		weights = append(weights, weight)
		c.walk(p, func(i int, s *surroundings) {
			at := c.predict(x[i], s, weight)
			k, ok := b.steps(v[i], at)
			if c.y[i] = b.apply(k, at); !ok {
				exceptions = append(exceptions, i)
				c.y[i] = v[i]
			}
			low.write(uint64(k)&(1<<c.shift-1), c.shift)
			k >>= c.shift
			if b.side(at) < 0 {
				k = -k
			}
			c.sym = append(c.sym, int32(k))
			c.context = append(c.context, b.context(at, s, c.unit))
		})
		ends = append(ends, len(c.sym))
	}
	flags := c.cheapest()
	before := len(dst)
	dst = append(append(append(dst, flags, byte(c.shift)), weights...), low.bytes()...)
	slices.Sort(exceptions)
	dst = binary.AppendUvarint(dst, uint64(len(exceptions)))
	last := 0
	for _, i := range exceptions {
		dst = binary.AppendUvarint(dst, uint64(i-last))
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(v[i]))
		last = i
	}
	dst, err := c.appendSymbols(dst, flags, ends)
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

// count returns the counts of buckets and the escape by context, nil where there
// are none.
func (c *coding) count(flags byte) *[contexts][]int {
	var counts [contexts][]int
	for i, full := range c.context {
		context := merge(full, flags)
		if counts[context] == nil {
			counts[context] = make([]int, buckets+1)
		}
		counts[context][bucketOf(uint32(max(c.sym[i], -c.sym[i])))]++
	}
	return &counts
}

// cheapest returns the flags with which symbols and tables take least.
func (c *coding) cheapest() byte {
	best, least := byte(0), math.Inf(1)
	for flags := byte(0); flags <= useMisses|useActivities; flags++ {
		if bits := estimate(c.count(flags)); bits < least {
			best, least = flags, bits
		}
	}
	return best
}

// estimate returns about how many bits symbols and tables take.
func estimate(counts *[contexts][]int) (sum float64) {
	for _, n := range counts {
		total := 0
		for _, m := range n {
			total += m
		}
		for i, m := range n {
			if m > 0 {
				sum -= float64(m) * kernels.Log64(float64(m)/float64(total)) / math.Ln2
				if i >= singles { // half a doubling, or an escape's code
					sum += float64(m) * float64(i-singles+2) / 2
				}
			}
		}
		if n != nil {
			sum += float64(8 * (usedBuckets(n) + 3))
		}
	}
	return sum
}

// usedBuckets returns how many buckets a table needs, at least one.
func usedBuckets(n []int) int {
	used := buckets
	for used > 1 && n[used-1] == 0 {
		used--
	}
	return used
}

// appendSymbols codes the tables and, pass by pass, the symbols.
func (c *coding) appendSymbols(dst []byte, flags byte, ends []int) ([]byte, error) {
	var tables []contextTable
	for i, n := range c.count(flags) {
		if n != nil {
			used := usedBuckets(n)
			tables = append(tables, contextTable{i, weigh(append(n[:used:used], n[buckets]))})
		}
	}
	dst = append(dst, byte(len(tables)))
	next := 0
	for _, t := range tables {
		dst = append(dst, byte(t.context-next), byte(len(t.weights)-1))
		dst = append(dst, t.weights...)
		next = t.context + 1
	}
	set, number, err := residualTables(tables)
	if err != nil {
		return nil, err
	}
	at := 0
	for _, end := range ends {
		index := make([]uint8, end-at)
		for i := range index {
			index[i] = number[merge(c.context[at+i], flags)]
		}
		stream, err := format.EncodeSymbols(nil, set, index, c.sym[at:end])
		if err != nil {
			return nil, err
		}
		dst = binary.AppendUvarint(dst, uint64(len(stream)))
		dst = append(dst, stream...)
		at = end
	}
	return dst, nil
}

// contextTable is the table of a context, as weights.
type contextTable struct {
	context int
	weights []byte
}

// residualTables makes the tables and returns their numbers by context; those
// without one have format.Skip.
func residualTables(tables []contextTable) (*format.TableSet, *[contexts]uint8, error) {
	var number [contexts]uint8
	for i := range number {
		number[i] = format.Skip
	}
	var list []*format.Table
	for _, t := range tables {
		table, err := residualTable(t.weights, t.context >= contexts/2)
		if err != nil {
			return nil, nil, err
		}
		number[t.context] = uint8(len(list))
		list = append(list, table)
	}
	set, err := format.NewTableSet(list)
	return set, &number, err
}

// read decodes what append wrote, where the decoder of the model has x, and
// writes the values there.
func (b *bound) read(data []byte, x []float32, d nn.Shape) error {
	r := reader{data: data}
	flags := r.byte()
	if flags == storedValues && !r.short {
		return b.restore(r.data, x)
	}
	if flags&^(useMisses|useActivities) != 0 {
		return corrupt("residual", "unknown flags 0x%02x", flags)
	}
	shift := uint(r.byte())
	if shift > maxShift {
		return corrupt("residual", "shift of %d bits", shift)
	}
	weights := r.bytes(len(passes))
	low := bitReader{data: r.bytes((len(x)*int(shift) + 7) / 8)}
	exceptions, err := b.readExceptions(&r, len(x))
	if err != nil {
		return err
	}
	tables, err := readTables(&r)
	if err != nil {
		return err
	}
	set, number, err := residualTables(tables)
	if err != nil {
		return err
	}
	c := b.newCoding(x, d, shift)
	for i := range passes {
		if weights[i] > weightSteps {
			return corrupt("residual", "weight %d of pass %d", weights[i], i)
		}
		stream, rest, err := takeBytes(r.data, "residual")
		if err != nil {
			return err
		}
		r.data = rest
		if err := c.readPass(i, weights[i], flags, stream, set, number, &low, exceptions); err != nil {
			return err
		}
	}
	if len(r.data) > 0 {
		return corrupt("residual", "%d bytes too many", len(r.data))
	}
	copy(x, c.y)
	return nil
}

// maxShift is the most low bits that append makes of limitSteps.
const maxShift = 19

// readExceptions reads values that are kept as they are, by position.
func (b *bound) readExceptions(r *reader, size int) (map[int]float32, error) {
	n := r.uvarint()
	if n > uint64(size) || n > uint64(len(r.data)) || n > 0 && b.kind == Uint8 {
		return nil, corrupt("residual", "%d exceptions", n)
	}
	exceptions := make(map[int]float32, n)
	at := uint64(0)
	for i := range n {
		at += min(r.uvarint(), uint64(size))
		u := binary.LittleEndian.Uint32(r.bytes(4))
		if r.short || at >= uint64(size) || u&infBits == infBits {
			return nil, corrupt("residual", "exception %d is wrong", i)
		}
		exceptions[int(at)] = math.Float32frombits(u)
	}
	return exceptions, nil
}

func readTables(r *reader) ([]contextTable, error) {
	tables := make([]contextTable, r.byte())
	next := 0
	for i := range tables {
		context := next + int(r.byte())
		n := int(r.byte())
		if context >= contexts || n < 1 || n > buckets {
			return nil, corrupt("residual", "table %d is wrong", i)
		}
		tables[i] = contextTable{context, r.bytes(n + 1)}
		next = context + 1
	}
	if r.short || len(tables) == 0 {
		return nil, corrupt("residual", "data end too early")
	}
	return tables, nil
}

// readPass decodes the values of a pass.
func (c *coding) readPass(pass int, weight, flags byte, stream []byte, set *format.TableSet, number *[contexts]uint8, low *bitReader, exceptions map[int]float32) error {
	index := c.context[:0]
	var at []int
	var predicted []float32
	missing := false
	c.walk(&passes[pass], func(i int, s *surroundings) {
		p := c.predict(c.x[i], s, weight)
		t := number[merge(c.bound.context(p, s, c.unit), flags)]
		missing = missing || t == format.Skip
		index, at, predicted = append(index, t), append(at, i), append(predicted, p)
	})
	if missing {
		return corrupt("residual", "pass %d needs a table that is missing", pass)
	}
	c.sym = slices.Grow(c.sym[:0], len(index))[:len(index)]
	if err := format.DecodeSymbols(stream, set, index, c.sym); err != nil {
		return fmt.Errorf("residual: %w", err)
	}
	for j, i := range at {
		k := int64(c.sym[j])
		if c.side(predicted[j]) < 0 {
			k = -k
		}
		y := c.apply(k<<c.shift|int64(low.read(c.shift)), predicted[j])
		if v, ok := exceptions[i]; ok {
			y = v
		}
		if math.Float32bits(y)&infBits == infBits {
			return corrupt("residual", "a value is not finite")
		}
		c.y[i] = y
	}
	c.context = index
	return nil
}
