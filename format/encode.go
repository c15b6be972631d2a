package format

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// EncodeSymbols codes sym[i] with table index[i] of ts for all i and appends
// the stream to dst. Where index[i] is [Skip], sym[i] must be 0 and costs
// nothing; a stream without any other position is empty.
//
// A symbol outside its table's range is escaped, at 2·(log2(excess)+1) bits on
// top of the escape's own cost. Symbols beyond ±[MaxSymbol], indices without a
// table and slices of unequal length are errors.
func EncodeSymbols(dst []byte, ts *TableSet, index []uint8, sym []int32) ([]byte, error) {
	if len(index) != len(sym) {
		return dst, fmt.Errorf("format: encode symbols: %d indices for %d symbols", len(index), len(sym))
	}
	left := coded(index, len(index))
	tables := ts.enc()
	e := encoder{interleaved: left >= minInterleaved}
	for i := len(index) - 1; i >= 0; i-- {
		t, v := index[i], sym[i]
		if t == Skip {
			if v != 0 {
				return dst, fmt.Errorf("format: encode symbols: symbol %d at %d, where nothing is coded", v, i)
			}
			continue
		}
		if int(t) >= len(tables) {
			return dst, fmt.Errorf("format: encode symbols: index %d at %d: only %d tables", t, i, len(tables))
		}
		left--
		lane := left % lanes
		enc := tables[t]
		k := uint32(v - ts.tables[t].min)
		if k >= uint32(len(enc)-1) {
			if v < -MaxSymbol || v > MaxSymbol {
				return dst, fmt.Errorf("format: encode symbols: symbol %d at %d exceeds ±%d", v, i, MaxSymbol)
			}
			e.escape(lane, ts.tables[t], v)
			k = uint32(len(enc) - 1)
		}
		e.symbol(lane, &enc[k])
	}
	return e.flush(dst), nil
}

// encoder codes from the last symbol to the first, as rANS must.
type encoder struct {
	state [lanes]uint64
	words []uint32 // in the order they are shed: the decoder reads them backwards

	interleaved bool // lanes are used in turn from the fork on
	mask        int  // lanes-1 after the fork; 0 before, when only lane 0 is used
}

// symbol codes an entry of a table. lane is the one whose turn it is, whether
// or not the stream has forked yet.
func (e *encoder) symbol(lane int, s *encEntry) {
	at := lane & e.mask
	x := e.state[at]
	if x >= s.limit {
		at = e.shed(lane, x)
		x >>= wordBits
	}
	q, _ := bits.Mul64(x<<1, s.rcp)
	e.state[at] = x + uint64(s.cum) + q>>s.shift*uint64(s.comp)
}

// raw codes the low n bits of v, at most 16, each as likely 0 as 1.
func (e *encoder) raw(lane int, v uint32, n uint) {
	at := lane & e.mask
	x := e.state[at]
	if x >= stateEnd>>n {
		at = e.shed(lane, x)
		x >>= wordBits
	}
	rest := probBits - n
	e.state[at] = x>>rest<<probBits | uint64(v)<<rest | x&(1<<rest-1)
}

// shed puts the low word of state x out and returns the lane that goes on.
func (e *encoder) shed(lane int, x uint64) int {
	if e.interleaved && e.mask == 0 && len(e.words) == lanes-1 {
		for i := range e.state {
			if i != lane {
				e.state[i] = stateMin + uint64(e.words[0])
				e.words = e.words[1:]
			}
		}
		e.mask = lanes - 1
	}
	e.words = append(e.words, uint32(x))
	return lane & e.mask
}

// escape codes what follows the escape of a symbol outside its table: the side
// and the Exp-Golomb code of the excess. The decoder reads it forwards.
func (e *encoder) escape(lane int, t *Table, v int32) {
	_, above, excess, _ := t.split(v)
	n := uint(bits.Len32(excess))
	e.rawLong(lane, excess, n-1) // below its leading one
	e.raw(lane, 1, 1)
	for range n - 1 {
		e.raw(lane, 0, 1)
	}
	side := uint32(1)
	if above {
		side = 0
	}
	e.raw(lane, side, 1)
}

// rawLong codes the low n bits of v, at most 32; the decoder sees the highest
// 16 first.
func (e *encoder) rawLong(lane int, v uint32, n uint) {
	for ; n > 16; n -= 16 {
		e.raw(lane, v&0xffff, 16)
		v >>= 16
	}
	e.raw(lane, v&(1<<n-1), n)
}

// flush appends the final states and the words.
func (e *encoder) flush(dst []byte) []byte {
	if e.mask != 0 {
		e.mask = 0 // everything from here on goes into lane 0
		e.interleaved = false
		for i := lanes - 1; i > 0; i-- {
			x := e.state[i]
			n := uint(bits.Len64(x)) - stateBits - 1 // 0..31
			e.rawLong(0, uint32(x)&(1<<stateBits-1), stateBits)
			e.rawLong(0, uint32(x>>stateBits), n)
			e.raw(0, uint32(n), 5)
		}
	}
	n := (bits.Len64(e.state[0]) + 7) / 8
	if len(e.words) > 0 {
		n = max(n, 5) // so that the length of the stream tells n
	}
	var state [8]byte
	binary.LittleEndian.PutUint64(state[:], e.state[0])
	dst = append(dst, state[:n]...)
	for i := len(e.words) - 1; i >= 0; i-- {
		dst = binary.LittleEndian.AppendUint32(dst, e.words[i])
	}
	return dst
}
