package codec

// Tiles that the networks do not suit are coded by adaptive binary arithmetic
// coding: every decision has a probability that follows what was decided under
// the same circumstances before. The coder is the carry-propagating range coder
// of LZMA (Igor Pavlov, public domain) with probabilities of 12 bits, each the
// mean of a fast and a slow estimate. Everything is integer.

// bit is the adaptive probability of a decision to be 0, in units of 2^-16:
// two estimates, of which one adapts fast and the other one slowly.
type bit struct{ fast, slow uint16 }

const (
	fastRate = 4
	slowRate = 7
	even     = 1 << 15 // a probability of one half
)

func newBits(n int) []bit {
	b := make([]bit, n)
	for i := range b {
		b[i] = bit{even, even}
	}
	return b
}

// binaryCoder encodes decisions or, with the same calls, decodes them: whoever
// describes a syntax does it once for both directions.
type binaryCoder struct {
	decoding bool
	span     uint32 // width of the interval

	low     uint64 // of an encoder: the interval's start,
	cache   byte   // the last byte that a carry may change,
	pending int    // and the number of bytes from it on
	out     []byte

	code uint32 // of a decoder: the position in the interval,
	in   []byte // and what has not been read
	over int    // bytes read beyond the end
}

func newBinaryEncoder(dst []byte) *binaryCoder {
	return &binaryCoder{span: 1<<32 - 1, pending: 1, out: dst}
}

func newBinaryDecoder(data []byte) *binaryCoder {
	c := &binaryCoder{decoding: true, span: 1<<32 - 1, in: data}
	for range 5 {
		c.code = c.code<<8 | uint32(c.next())
	}
	return c
}

// next is the decoder's next byte, 0 beyond the end.
func (c *binaryCoder) next() byte {
	if len(c.in) == 0 {
		c.over++
		return 0
	}
	v := c.in[0]
	c.in = c.in[1:]
	return v
}

// decide encodes v, 0 or 1, under the circumstances b, or decodes and returns it.
func (c *binaryCoder) decide(b *bit, v int) int {
	p := min(max((uint32(b.fast)+uint32(b.slow))>>5, 1), 1<<12-1)
	v = c.split(c.span>>12*p, v)
	if v == 0 {
		b.fast += (1<<16 - 1 - b.fast) >> fastRate
		b.slow += (1<<16 - 1 - b.slow) >> slowRate
	} else {
		b.fast -= b.fast >> fastRate
		b.slow -= b.slow >> slowRate
	}
	return v
}

// flip is decide for both results being equally likely.
func (c *binaryCoder) flip(v int) int { return c.split(c.span>>1, v) }

// split codes v where the first bound of the interval's span means 0.
func (c *binaryCoder) split(bound uint32, v int) int {
	if c.decoding {
		if v = 0; c.code >= bound {
			v = 1
		}
	}
	if v == 0 {
		c.span = bound
	} else {
		c.span -= bound
		c.low += uint64(bound)
		c.code -= bound
	}
	for c.span < 1<<24 {
		c.span <<= 8
		if c.decoding {
			c.code = c.code<<8 | uint32(c.next())
		} else {
			c.shift()
		}
	}
	return v
}

// shift writes the top byte of low, when no carry can reach it any more.
func (c *binaryCoder) shift() {
	if c.low < 0xff000000 || c.low >= 1<<32 {
		carry := byte(c.low >> 32)
		for ; c.pending > 0; c.pending-- {
			c.out = append(c.out, c.cache+carry)
			c.cache = 0xff
		}
		c.cache = byte(c.low >> 24)
	}
	c.pending++
	c.low = c.low << 8 & (1<<32 - 1)
}

// finish returns the encoder's bytes.
func (c *binaryCoder) finish() []byte {
	for range 5 {
		c.shift()
	}
	return c.out
}

// check tells whether the decoder has read exactly what there was.
func (c *binaryCoder) check() error {
	switch {
	case len(c.in) > 0:
		return corrupt("tile", "%d bytes after the last decision", len(c.in))
	case c.over > 0:
		return corrupt("tile", "data ends early")
	}
	return nil
}

// tree codes v of n bits, the highest first, each with the probability that
// belongs to those before it; b has 2^n entries.
func (c *binaryCoder) tree(b []bit, n, v int) int {
	node := 1
	for i := n - 1; i >= 0; i-- {
		node = node<<1 | c.decide(&b[node], v>>i&1)
	}
	return node - 1<<n
}

// raw codes v of n bits that follow no pattern.
func (c *binaryCoder) raw(n, v int) int {
	out := 0
	for i := n - 1; i >= 0; i-- {
		out = out<<1 | c.flip(v>>i&1)
	}
	return out
}

// number is the statistics of integers from 0 up.
type number struct{ length, top [numberBits + 1]bit }

// numberBits bounds them to 2^(numberBits+1) - 2.
const numberBits = 16

func newNumbers(n int) []number {
	s := make([]number, n)
	for i := range s {
		for k := range s[i].length {
			s[i].length[k], s[i].top[k] = bit{even, even}, bit{even, even}
		}
	}
	return s
}

// number codes v as an Exp-Golomb code: the length of v+1 in unary, then what
// follows its leading bit, of which the first has a probability of its own.
func (c *binaryCoder) number(s *number, v int) int {
	n := 0
	for n < numberBits {
		more := 0
		if !c.decoding && (v+1)>>(n+1) > 0 {
			more = 1
		}
		if c.decide(&s.length[n], more) == 0 {
			break
		}
		n++
	}
	if n == 0 {
		return 0
	}
	out := 2 | c.decide(&s.top[n], (v+1)>>(n-1)&1)
	return (out<<(n-1) | c.raw(n-1, (v+1)&(1<<(n-1)-1))) - 1
}

// signed codes an integer of either sign: 0, or a sign and a magnitude.
func (c *binaryCoder) signed(zero *bit, s *number, v int) int {
	nonzero := 0
	if v != 0 {
		nonzero = 1
	}
	if c.decide(zero, nonzero) == 0 {
		return 0
	}
	negative := 0
	if v < 0 {
		negative = 1
	}
	if c.flip(negative) == 1 {
		return -1 - c.number(s, -v-1)
	}
	return 1 + c.number(s, v-1)
}
