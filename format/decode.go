package format

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// DecodeSymbols decodes into sym what [EncodeSymbols] wrote: src is one whole
// stream, and index has the same values as there. Positions with index [Skip]
// become 0.
//
// Any src is safe, and the time is linear in len(index). The decoder checks
// that it used all bytes and that all states are back at their start; if not,
// the error is [ErrCorrupt] and sym holds garbage. This finds a stream that
// does not belong to these tables and indices, or is damaged, all but once in
// some thousand times; the container's checksum is there for the rest.
//
// Slices of unequal length and indices without a table are errors too.
func DecodeSymbols(src []byte, ts *TableSet, index []uint8, sym []int32) error {
	if len(index) != len(sym) {
		return fmt.Errorf("format: decode symbols: %d indices for %d symbols", len(index), len(sym))
	}
	clear(sym)
	d := decoder{src: src, ts: ts, index: index, sym: sym}
	return d.run()
}

// decoder decodes block by block: first the positions of the next coded
// symbols are gathered without branches, then their symbols are decoded.
type decoder struct {
	src   []byte // the words from at on are not yet used
	at    int
	state [lanes]uint64
	split bool // the lanes are used in turn; else only state[0] is
	err   error

	ts    *TableSet
	index []uint8 // positions from next on are not yet gathered
	next  int
	sym   []int32

	block [blockLen + 8]place
}

// SymbolDecoder is [DecodeSymbols] piece by piece, for tables that depend on symbols
// decoded before. It is slower.
type SymbolDecoder struct {
	d          decoder
	done, left int // coded symbols
}

// NewSymbolDecoder starts to decode a stream in which n symbols are coded, those
// with index [Skip] not counted.
func NewSymbolDecoder(src []byte, ts *TableSet, n int) (*SymbolDecoder, error) {
	s := &SymbolDecoder{d: decoder{src: src, ts: ts}, left: n}
	return s, s.d.start(len(src) > maxUnforked && n >= minInterleaved)
}

// Next decodes the next symbols into sym; see [DecodeSymbols].
func (s *SymbolDecoder) Next(index []uint8, sym []int32) error {
	if len(index) != len(sym) {
		return fmt.Errorf("format: decode symbols: %d indices for %d symbols", len(index), len(sym))
	}
	clear(sym)
	s.d.sym = sym
	for i, t := range index {
		if t == Skip {
			continue
		}
		if s.left == 0 {
			return errors.New("format: decode symbols: more symbols than there are")
		}
		lane := 0
		if s.d.split {
			lane = s.done % lanes
		}
		s.d.block[0] = place(i)<<8 | place(t)
		s.d.one(0, lane)
		if s.d.err != nil {
			return s.d.err
		}
		s.done++
		s.left--
	}
	return nil
}

// Close checks, as [DecodeSymbols] does, that the symbols are all that the stream
// holds.
func (s *SymbolDecoder) Close() error {
	if s.left != 0 {
		return fmt.Errorf("format: decode symbols: %d symbols are left", s.left)
	}
	return s.d.end()
}

// place is a coded position and its table: position<<8 | index.
type place uint64

const (
	blockLen = 512

	// With more than this many bytes left, a round of all lanes cannot use the
	// stream up, even if each has an escape: 2+2*maxExcessBits raw bits make at
	// most three words, the symbol itself one.
	roundBytes = lanes * 4 * wordBytes
)

func (d *decoder) run() error {
	if err := d.start(len(d.src) > maxUnforked && coded(d.index, minInterleaved) >= minInterleaved); err != nil {
		return err
	}
	n := 0
	for {
		if n = d.gather(n); n == 0 {
			break
		}
		// Blocks are whole rounds of lanes, but for the last one.
		m := n
		if d.next < len(d.index) {
			m -= n % lanes
		}
		k := 0
		if d.split {
			k = d.rounds(m)
			for ; k < m && d.split; k++ {
				d.one(k, k%lanes)
			}
		}
		d.single(k, m)
		if d.err != nil {
			return d.err
		}
		n = copy(d.block[:], d.block[m:n])
	}
	return d.end()
}

// end checks that the stream is used up.
func (d *decoder) end() error {
	switch {
	case d.split || d.at < len(d.src):
		return fail(ErrCorrupt, "symbols", "%d bytes are left over", len(d.src)-d.at)
	case d.state[0] != 0:
		return fail(ErrCorrupt, "symbols", "the final state is wrong")
	}
	return nil
}

// start reads the initial states; forked tells whether there are several.
func (d *decoder) start(forked bool) error {
	n := stateBytes(len(d.src))
	var state [8]byte
	copy(state[:], d.src[:n])
	d.at = n
	x := binary.LittleEndian.Uint64(state[:])
	words := len(d.src) > n
	if x >= stateEnd || words && x < stateMin || n > 0 && state[n-1] == 0 && !(words && n == 5) {
		return fail(ErrCorrupt, "symbols", "the initial state is out of range")
	}
	d.state[0] = x
	if !forked {
		return nil
	}
	for i := 1; i < lanes; i++ {
		n := uint(d.raw(0, 5))
		high := 1<<n | uint64(d.rawLong(0, n))
		d.state[i] = high<<stateBits | uint64(d.rawLong(0, stateBits))
	}
	if d.at == len(d.src) {
		return fail(ErrCorrupt, "symbols", "data end too early")
	}
	d.split = true
	return nil
}

// gather appends the coded positions that follow to the n in the block, until
// the block is full or the indices end.
func (d *decoder) gather(n int) int {
	index, i := d.index, d.next
	for ; n <= blockLen && len(index)-i >= 8; i += 8 {
		v := binary.LittleEndian.Uint64(index[i:])
		if v == 1<<64-1 {
			continue
		}
		out, k, at := (*[8]place)(d.block[n:]), uint64(0), place(i)<<8
		put := func(t uint64) {
			out[k&7] = at | place(t)
			at += 1 << 8
			k += (255 - t + 255) >> 8 // 1 unless t is Skip
		}
		put(v & 255)
		put(v >> 8 & 255)
		put(v >> 16 & 255)
		put(v >> 24 & 255)
		put(v >> 32 & 255)
		put(v >> 40 & 255)
		put(v >> 48 & 255)
		put(v >> 56)
		n += int(k)
	}
	if len(index)-i < 8 {
		for ; n <= blockLen && i < len(index); i++ {
			if t := index[i]; t != Skip {
				d.block[n] = place(i)<<8 | place(t)
				n++
			}
		}
	}
	d.next = i
	return n
}

// step takes one symbol out of state x, which may drop below stateMin.
func (t *decTable) step(x uint64) (uint64, int32) {
	slot := uint32(uint16(x))
	k := uint32(t.bucket[slot>>bucketShift])
	e := t.entry[k]
	for slot-e.first() >= e.freq() {
		k++
		e = t.entry[k]
	}
	return uint64(e.freq())*(x>>probBits) + uint64(slot-e.first()), e.symbol()
}

// rounds decodes symbols of the block, all lanes in turn, as long as there are
// words enough that none of it needs care; it returns how many.
func (d *decoder) rounds(n int) int {
	src, at, dec, sym := d.src, d.at, &d.ts.dec, d.sym
	x0, x1, x2, x3 := d.state[0], d.state[1], d.state[2], d.state[3]
	k := 0
	for ; k+lanes <= n && len(src)-at > roundBytes; k += lanes {
		p := (*[lanes]place)(d.block[k:])
		y0, s0 := dec[uint8(p[0])].step(x0)
		y1, s1 := dec[uint8(p[1])].step(x1)
		y2, s2 := dec[uint8(p[2])].step(x2)
		y3, s3 := dec[uint8(p[3])].step(x3)
		if s0 == escaped || s1 == escaped || s2 == escaped || s3 == escaped {
			d.state, d.at = [lanes]uint64{x0, x1, x2, x3}, at
			for i := range lanes {
				d.one(k+i, i)
			}
			x0, x1, x2, x3 = d.state[0], d.state[1], d.state[2], d.state[3]
			at = d.at
			continue
		}
		if y0 < stateMin {
			y0 = y0<<wordBits | uint64(binary.LittleEndian.Uint32(src[at:]))
			at += wordBytes
		}
		if y1 < stateMin {
			y1 = y1<<wordBits | uint64(binary.LittleEndian.Uint32(src[at:]))
			at += wordBytes
		}
		if y2 < stateMin {
			y2 = y2<<wordBits | uint64(binary.LittleEndian.Uint32(src[at:]))
			at += wordBytes
		}
		if y3 < stateMin {
			y3 = y3<<wordBits | uint64(binary.LittleEndian.Uint32(src[at:]))
			at += wordBytes
		}
		x0, x1, x2, x3 = y0, y1, y2, y3
		sym[p[0]>>8], sym[p[1]>>8], sym[p[2]>>8], sym[p[3]>>8] = s0, s1, s2, s3
	}
	d.state, d.at = [lanes]uint64{x0, x1, x2, x3}, at
	return k
}

// single decodes symbols k to n-1 of the block in lane 0.
func (d *decoder) single(k, n int) {
	src, at, dec, sym := d.src, d.at, &d.ts.dec, d.sym
	block := d.block[:n]
	x := d.state[0]
	for ; k < len(block); k++ {
		p := block[k]
		y, s := dec[uint8(p)].step(x)
		if s == escaped {
			d.state[0], d.at = x, at
			d.one(k, 0)
			x, at = d.state[0], d.at
			continue
		}
		x = y
		if x < stateMin && len(src)-at >= wordBytes {
			x = x<<wordBits | uint64(binary.LittleEndian.Uint32(src[at:]))
			at += wordBytes
		}
		sym[p>>8] = s
	}
	d.state[0], d.at = x, at
}

// one decodes symbol k of the block with all care: escapes, and the join when
// the words end.
func (d *decoder) one(k, lane int) {
	p := d.block[k]
	t := uint8(p)
	if int(t) >= d.ts.Len() {
		d.err = fmt.Errorf("format: decode symbols: index %d: only %d tables", t, d.ts.Len())
		return
	}
	x, v := d.ts.dec[t].step(d.state[lane])
	d.set(lane, x)
	if v == escaped {
		v = d.escape(lane, d.ts.tables[t])
	}
	d.sym[p>>8] = v
}

// escape decodes what follows an escape: the side and the excess.
func (d *decoder) escape(lane int, t *Table) int32 {
	below := d.raw(lane, 1) == 1
	n := uint(0)
	for d.raw(lane, 1) == 0 {
		if n++; n == maxExcessBits {
			return d.corrupt("an escaped symbol is out of range")
		}
	}
	excess := int32(1<<n | d.rawLong(lane, n))
	v := t.Min() - excess
	if !below {
		v = t.Max() + excess
	}
	if v < -MaxSymbol || v > MaxSymbol {
		return d.corrupt("an escaped symbol is out of range")
	}
	return v
}

// raw decodes n bits, at most 16.
func (d *decoder) raw(lane int, n uint) uint32 {
	if !d.split {
		lane = 0
	}
	x := d.state[lane]
	rest := probBits - n
	v := uint32(x) & (probTotal - 1) >> rest
	d.set(lane, x>>probBits<<rest|x&(1<<rest-1))
	return v
}

// rawLong decodes n bits, at most 32, the highest first.
func (d *decoder) rawLong(lane int, n uint) uint32 {
	v := uint32(0)
	for n > 0 {
		m := (n-1)%16 + 1
		v = v<<m | d.raw(lane, m)
		n -= m
	}
	return v
}

// set stores state x of a lane after it has given a symbol, and refills it.
func (d *decoder) set(lane int, x uint64) {
	if x < stateMin && len(d.src)-d.at >= wordBytes {
		x = x<<wordBits | uint64(binary.LittleEndian.Uint32(d.src[d.at:]))
		d.at += wordBytes
		if d.split && d.at == len(d.src) {
			d.join(lane)
			lane = 0
		}
	}
	d.state[lane] = x
}

// join goes on in lane 0 alone, from the lane that has read the last word; the
// other lanes are back at their initial states, which are words.
func (d *decoder) join(lane int) {
	tail := make([]byte, 0, (lanes-1)*wordBytes)
	for i := lanes - 1; i >= 0; i-- {
		if i != lane {
			if d.state[i]-stateMin >= 1<<wordBits {
				d.corrupt("a lane's final state is wrong")
			}
			tail = binary.LittleEndian.AppendUint32(tail, uint32(d.state[i]-stateMin))
		}
	}
	d.src, d.at, d.split = tail, 0, false
}

// corrupt notes what is wrong; decoding goes on to the end of the block.
func (d *decoder) corrupt(cause string) int32 {
	d.err = fail(ErrCorrupt, "symbols", cause)
	return 0
}
