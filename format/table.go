package format

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"sync"
)

// MaxSymbol bounds the absolute value of a symbol that can be coded.
const MaxSymbol = 1 << 24

// Skip is the table index of a position where nothing is coded: it costs no
// bits and decodes as symbol 0.
const Skip = 255

// Table is one probability distribution over the symbols Min() to Max() and an
// escape for all others. It is immutable.
type Table struct {
	min  int32
	freq []uint16 // of min, min+1, ..., and last of the escape
}

// NewTable returns the distribution in which symbol min+i has the probability
// freq[i]/65536 and the last entry of freq is the probability of the escape,
// which precedes a symbol outside the table's range.
//
// Every frequency is at least 1 and they sum to 65536; as there is always an
// escape, no frequency can be 65536 itself. min and the greatest symbol are
// within ±MaxSymbol.
func NewTable(min int32, freq []uint16) (*Table, error) {
	if len(freq) < 2 {
		return nil, errors.New("format: table: needs at least one symbol and the escape")
	}
	if len(freq) > probTotal {
		return nil, fmt.Errorf("format: table: %d frequencies, at most %d", len(freq), probTotal)
	}
	if top := int64(min) + int64(len(freq)) - 2; min < -MaxSymbol || top > MaxSymbol {
		return nil, fmt.Errorf("format: table: symbols %d to %d exceed ±%d", min, top, MaxSymbol)
	}
	sum := 0
	for i, f := range freq {
		if f == 0 {
			return nil, fmt.Errorf("format: table: frequency %d is zero", i)
		}
		sum += int(f)
	}
	if sum != probTotal {
		return nil, fmt.Errorf("format: table: frequencies sum to %d, not %d", sum, probTotal)
	}
	return &Table{min: min, freq: append([]uint16(nil), freq...)}, nil
}

// Min returns the least symbol that needs no escape.
func (t *Table) Min() int32 { return t.min }

// Max returns the greatest symbol that needs no escape.
func (t *Table) Max() int32 { return t.min + int32(len(t.freq)) - 2 }

// Bits returns the ideal cost of coding symbol v, in bits: -log2 of its
// probability, plus the raw bits of an escape.
func (t *Table) Bits(v int32) float64 {
	i, _, excess, escaped := t.split(v)
	b := probBits - math.Log2(float64(t.freq[i]))
	if escaped {
		b += float64(2 * bits.Len32(excess)) // sign and Exp-Golomb code of excess-1
	}
	return b
}

// split returns the entry that codes v and, for an escape, on which side of the
// table v lies and its excess: its distance from the nearest symbol in the
// table, at least 1.
func (t *Table) split(v int32) (entry int, above bool, excess uint32, escaped bool) {
	switch top := t.Max(); {
	case v < t.min:
		return len(t.freq) - 1, false, uint32(t.min) - uint32(v), true
	case v > top:
		return len(t.freq) - 1, true, uint32(v) - uint32(top), true
	}
	return int(v - t.min), false, 0, false
}

// TableSet is a list of tables that index values select, prepared for coding.
// It is immutable and safe for concurrent use.
type TableSet struct {
	tables []*Table
	dec    [256]*decTable
	enc    func() [][]encEntry // made on first use: receivers need none
}

// NewTableSet prepares tables, at most 255 because index 255 is [Skip].
func NewTableSet(tables []*Table) (*TableSet, error) {
	if len(tables) == 0 || len(tables) > Skip {
		return nil, fmt.Errorf("format: table set: %d tables, not 1 to %d", len(tables), Skip)
	}
	ts := &TableSet{tables: append([]*Table(nil), tables...)}
	for i, t := range tables {
		if t == nil {
			return nil, fmt.Errorf("format: table set: table %d is nil", i)
		}
		ts.dec[i] = newDecTable(t, t.mode())
	}
	for i := len(tables); i < len(ts.dec); i++ {
		ts.dec[i] = noTable
	}
	ts.enc = sync.OnceValue(func() [][]encEntry {
		enc := make([][]encEntry, len(ts.tables))
		for i, t := range ts.tables {
			enc[i] = newEncTable(t, t.mode())
		}
		return enc
	})
	return ts, nil
}

// noTable stands for tables that are not there: it has nothing but escapes,
// which take the decoder to where it checks the index.
var noTable = &decTable{entry: []decEntry{0xffff<<16 | 1<<63, 0xffff | 1<<16 | 1<<63}}

// Len returns the number of tables.
func (ts *TableSet) Len() int { return len(ts.tables) }

// Table returns table i.
func (ts *TableSet) Table(i int) *Table { return ts.tables[i] }

// Bits returns the ideal cost in bits of the symbols under the tables that
// index selects; a stream from [EncodeSymbols] is at most a few bytes longer.
// It panics when an index has no table.
func (ts *TableSet) Bits(index []uint8, sym []int32) float64 {
	var sum float64
	for i, t := range index {
		if t != Skip {
			sum += ts.tables[t].Bits(sym[i])
		}
	}
	return sum
}

// mode returns the likeliest entry, the first of several. Slots are dealt out
// from there on, so that it owns slot 0: coding it leaves a state of zero at
// zero, and a run of likeliest symbols at the end of a stream costs nothing.
func (t *Table) mode() int {
	mode := 0
	for i, f := range t.freq {
		if f > t.freq[mode] {
			mode = i
		}
	}
	return mode
}

// encEntry holds what the encoder needs of one entry: x/freq by a reciprocal
// multiplication, exact for x < 2^63, as in Giesen's rans64.h.
type encEntry struct {
	limit uint64 // emit a word before coding from this state on: freq << 47
	rcp   uint64 // ceil(2^(63+shift) / freq)
	comp  uint32 // 65536 - freq
	cum   uint16 // first slot of the entry
	shift uint8  // ceil(log2 freq)
}

func newEncTable(t *Table, mode int) []encEntry {
	enc := make([]encEntry, len(t.freq))
	cum, k := uint16(0), mode
	for range enc {
		f := t.freq[k]
		shift := uint(bits.Len16(f - 1))
		// 2^(63+shift) + freq-1, divided by freq: the high half is below freq
		// because 2^shift < 2·freq.
		rcp, _ := bits.Div64(1<<shift>>1, uint64(1)<<63<<shift+uint64(f-1), uint64(f))
		enc[k] = encEntry{
			limit: uint64(f) << (stateBits + wordBits - probBits),
			rcp:   rcp,
			comp:  probTotal - uint32(f),
			cum:   cum,
			shift: uint8(shift),
		}
		cum += f
		if k++; k == len(enc) {
			k = 0
		}
	}
	return enc
}

// decTable finds the entry that owns a slot: the top bits of the slot select a
// bucket, which names the entry that owns the bucket's first slot; a short scan
// upwards does the rest. 512 buckets are where 63 tables from the narrowest to
// the widest decode fastest: 256 scan longer, 1024 leave the L1 cache.
type decTable struct {
	bucket [1 << bucketBits]uint16
	entry  []decEntry
}

const (
	bucketBits  = 9
	bucketShift = probBits - bucketBits
)

// decEntry is one entry of a table: first slot | freq<<16 | symbol<<32.
type decEntry uint64

func (e decEntry) first() uint32 { return uint32(uint16(e)) }
func (e decEntry) freq() uint32  { return uint32(uint16(e >> 16)) }
func (e decEntry) symbol() int32 { return int32(e >> 32) }

// escaped stands for the escape in place of a symbol.
const escaped = -1 << 31

func newDecTable(t *Table, mode int) *decTable {
	d := &decTable{entry: make([]decEntry, 0, len(t.freq))}
	sum, k := uint64(0), mode
	for i := range t.freq {
		v := t.min + int32(k)
		if k == len(t.freq)-1 {
			v = escaped
		}
		f := uint64(t.freq[k])
		d.entry = append(d.entry, decEntry(sum|f<<16|uint64(uint32(v))<<32))
		for b := (sum + 1<<bucketShift - 1) >> bucketShift; b<<bucketShift < sum+f; b++ {
			d.bucket[b] = uint16(i)
		}
		sum += f
		if k++; k == len(t.freq) {
			k = 0
		}
	}
	return d
}
