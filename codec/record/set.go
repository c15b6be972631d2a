package record

import (
	"fmt"
	"math"
	"slices"

	"github.com/aecodec/aecodec/codec/nn"
)

// Kind is the type of a record's values.
type Kind uint8

const (
	// Uint8 values are whole numbers from 0 to 255. Networks see them as 0..1.
	Uint8 Kind = 1
	// Float32 values are finite numbers in the natural unit of the data.
	Float32 Kind = 2
)

func (k Kind) String() string {
	switch k {
	case Uint8:
		return "uint8"
	case Float32:
		return "float32"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Limits of what a set may be, also of those that are coded.
const (
	// MaxDims is the number of sides that a record may have.
	MaxDims = 3
	// MaxRecordLen is the number of values that a record may have.
	MaxRecordLen = 1 << 24
	// MaxValues is the number of values that a set may have, 4 bytes each.
	MaxValues = 1 << 28
)

// Set is N records of one shape.
type Set struct {
	// Shape has 1 to 3 sides: [W], [H, W] or [H, W, C], the last of which runs
	// fastest. A series of C channels is [1, W, C].
	Shape []int
	Kind  Kind
	N     int
	// Data holds the N records one after the other, N·Len() values.
	Data []float32
	// Labels are the class or mark of each record; nil where there are none.
	Labels []int
	// Origin says where the records come from, as far as it takes to write
	// them back; nil for records made in memory.
	Origin *Origin
}

// NewSet returns n records of zeros. It panics if that is no valid set.
func NewSet(kind Kind, n int, shape ...int) *Set {
	values, err := countValues(n, shape)
	if err != nil {
		panic(err)
	}
	return &Set{Shape: slices.Clone(shape), Kind: kind, N: n, Data: make([]float32, values)}
}

// Dims returns a record's shape as networks see it: [W] is one row of one
// channel, [H, W] has one channel.
func (s *Set) Dims() nn.Shape { return dims(s.Shape) }

func dims(shape []int) nn.Shape {
	switch len(shape) {
	case 1:
		return nn.Shape{H: 1, W: shape[0], C: 1}
	case 2:
		return nn.Shape{H: shape[0], W: shape[1], C: 1}
	}
	return nn.Shape{H: shape[0], W: shape[1], C: shape[2]}
}

// Len returns the number of values of one record.
func (s *Set) Len() int { return s.Dims().Len() }

// Record returns the values of record i, which share the set's memory.
func (s *Set) Record(i int) []float32 {
	n := s.Len()
	return s.Data[i*n : (i+1)*n : (i+1)*n]
}

// Slice returns records from (included) to (excluded), which share memory with
// s. They are no longer windows of a series.
func (s *Set) Slice(from, to int) *Set {
	n := s.Len()
	t := &Set{Shape: s.Shape, Kind: s.Kind, N: to - from, Data: s.Data[from*n : to*n : to*n]}
	if s.Labels != nil {
		t.Labels = s.Labels[from:to:to]
	}
	return t
}

// Select returns copies of the records with the given indices, in that order.
func (s *Set) Select(index []int) *Set {
	t := NewSet(s.Kind, len(index), s.Shape...)
	for i, from := range index {
		copy(t.Record(i), s.Record(from))
	}
	if s.Labels != nil {
		t.Labels = make([]int, len(index))
		for i, from := range index {
			t.Labels[i] = s.Labels[from]
		}
	}
	return t
}

// Concat returns the records of all sets in one. They must agree in shape and
// kind; labels are kept if all have them.
func Concat(sets ...*Set) (*Set, error) {
	if len(sets) == 0 {
		return nil, errEmpty
	}
	n, labels := 0, true
	for _, s := range sets {
		if !slices.Equal(s.Shape, sets[0].Shape) || s.Kind != sets[0].Kind {
			return nil, fmt.Errorf("record: concat: %v of %v and %v of %v",
				sets[0].Kind, sets[0].Shape, s.Kind, s.Shape)
		}
		n += s.N
		labels = labels && s.Labels != nil
	}
	if _, err := countValues(n, sets[0].Shape); err != nil {
		return nil, err
	}
	t := &Set{Shape: slices.Clone(sets[0].Shape), Kind: sets[0].Kind, N: n}
	for _, s := range sets {
		t.Data = append(t.Data, s.Data...)
		if labels {
			t.Labels = append(t.Labels, s.Labels...)
		}
	}
	return t, nil
}

var errEmpty = fmt.Errorf("record: set: no records")

// Check reports what makes s invalid: no records, impossible shapes, wrong
// numbers of values or labels, values that are not finite, or in a set of Uint8
// not whole numbers from 0 to 255.
func (s *Set) Check() error {
	values, err := countValues(s.N, s.Shape)
	switch {
	case err != nil:
		return err
	case s.Kind != Uint8 && s.Kind != Float32:
		return fmt.Errorf("record: set: unknown %v", s.Kind)
	case len(s.Data) != values:
		return fmt.Errorf("record: set: %d values for %d records of %v", len(s.Data), s.N, s.Shape)
	case s.Labels != nil && len(s.Labels) != s.N:
		return fmt.Errorf("record: set: %d labels for %d records", len(s.Labels), s.N)
	}
	for i, v := range s.Data {
		switch {
		case math.Float32bits(v)&infBits == infBits:
			return fmt.Errorf("record: set: value %d of record %d is %v", i%s.Len(), i/s.Len(), v)
		case s.Kind == Uint8 && v != float32(uint8(v)):
			return fmt.Errorf("record: set: value %d of record %d is %v, not a whole number from 0 to 255",
				i%s.Len(), i/s.Len(), v)
		}
	}
	return s.Origin.check(s)
}

// infBits is the exponent of infinities and NaNs.
const infBits = 0xff << 23

// countValues returns the number of values of n records, if there can be such a
// set. No product overflows.
func countValues(n int, shape []int) (int, error) {
	if len(shape) < 1 || len(shape) > MaxDims {
		return 0, fmt.Errorf("record: set: records of %d dimensions, not 1 to %d", len(shape), MaxDims)
	}
	size := 1
	for _, d := range shape {
		if d < 1 || d > MaxRecordLen/size {
			return 0, fmt.Errorf("record: set: records of shape %v: want 1 to %d values", shape, MaxRecordLen)
		}
		size *= d
	}
	switch {
	case n < 1:
		return 0, errEmpty
	case n > MaxValues/size:
		return 0, fmt.Errorf("record: set: %d records of %v are more than %d values", n, shape, MaxValues)
	}
	return n * size, nil
}
