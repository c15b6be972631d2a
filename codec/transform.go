package codec

import "math/bits"

// Transform tiles: what is neither for the networks nor of few colours, such as
// noise and drawings with shading. They are coded much as JPEG does it, in blocks
// of 8×8 pixels, with one quantisation step for all frequencies, which serves the
// squared error best, and adaptive arithmetic coding. All of it is integer: the
// pixels are the same everywhere.

const (
	cosineBits = 13
	sampleBits = 5 // of the fraction of samples and coefficients
)

// cosines is the orthonormal DCT of 8 points in units of 2^-13, row u, with the
// rows exact to rounding: sqrt(2/8)·cos((2x+1)uπ/16), and sqrt(1/8) for u = 0.
var cosines = [8][8]int64{
	{2896, 2896, 2896, 2896, 2896, 2896, 2896, 2896},
	{4017, 3406, 2276, 799, -799, -2276, -3406, -4017},
	{3784, 1567, -1567, -3784, -3784, -1567, 1567, 3784},
	{3406, -799, -4017, -2276, 2276, 4017, 799, -3406},
	{2896, -2896, -2896, 2896, 2896, -2896, -2896, 2896},
	{2276, -4017, 799, 3406, -3406, -799, 4017, -2276},
	{1567, -3784, 3784, -1567, -1567, 3784, -3784, 1567},
	{799, -2276, 3406, -4017, 4017, -3406, 2276, -799},
}

// zigzag is the order of coefficients of JPEG (ITU-T T.81, figure 5).
var zigzag = [64]uint8{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
}

type block8 [64]int64

// forward replaces samples by coefficients, inverse the other way round.
func (b *block8) forward() { b.apply(func(u, x int) int64 { return cosines[u][x] }) }
func (b *block8) inverse() { b.apply(func(x, u int) int64 { return cosines[u][x] }) }

func (b *block8) apply(m func(i, k int) int64) {
	var t block8
	for y := range 8 {
		for i := range 8 {
			sum := int64(1 << (cosineBits - 1))
			for k := range 8 {
				sum += m(i, k) * b[y*8+k]
			}
			t[y*8+i] = sum >> cosineBits
		}
	}
	for x := range 8 {
		for i := range 8 {
			sum := int64(1 << (cosineBits - 1))
			for k := range 8 {
				sum += m(i, k) * t[k*8+x]
			}
			b[i*8+x] = sum >> cosineBits
		}
	}
}

// stepOf returns the quantisation step of a component in units of 2^-5: 16
// steps, equally wide, in every octave. The second component's is 5/4 as wide:
// an error there changes the pixels by 2/3 of what it does in the others.
func stepOf(index, component int) int64 {
	v := int64(16+index&15) << (index >> 4)
	if component == 1 {
		v += v >> 2
	}
	return v
}

const maxStepIndex = 127

// Symbols near one half usually go to the smaller one: that saves more bits than
// the error costs.
const (
	roundUnit    = 1024
	roundUsual   = 384
	roundNearest = 512
)

// transformCoder is the state of one tile: planes of bw×bh blocks of symbols, 64
// of one block together, in zigzag order.
type transformCoder struct {
	*binaryCoder
	bw, bh int

	dcZero []bit
	dc     []number
	last   []bit // [7][64]
	zero   []bit // [64][9]
	size   []number
}

func (c *transformCoder) reset() {
	c.dcZero, c.dc = newBits(4), newNumbers(4)
	c.last, c.zero, c.size = newBits(7*64), newBits(64*9), newNumbers(3*5)
}

// plane is the syntax of one component, in both directions.
func (c *transformCoder) plane(k []int32) {
	c.reset()
	ends := make([]int, c.bw*c.bh) // index of the last symbol of a block that is not 0
	var none [64]int32
	for i := range ends {
		left, above, corner := &none, &none, &none
		endLeft, endAbove := 0, 0
		if i%c.bw > 0 {
			left, endLeft = (*[64]int32)(k[(i-1)*64:]), ends[i-1]
		}
		if i >= c.bw {
			above, endAbove = (*[64]int32)(k[(i-c.bw)*64:]), ends[i-c.bw]
			if i%c.bw > 0 {
				corner = (*[64]int32)(k[(i-c.bw-1)*64:])
			}
		}
		ends[i] = c.block((*[64]int32)(k[i*64:]), left, above, corner, endLeft+endAbove)
	}
}

// block codes the symbols of a block, given those around it and the sum of the
// ends of the left and the upper one, and returns its own end.
func (c *transformCoder) block(k, left, above, corner *[64]int32, ends int) int {
	guess := int32(median(int(left[0]), int(above[0]), int(left[0])+int(above[0])-int(corner[0])))
	at := min(bits.Len(uint(abs(int(left[0]-corner[0]))+abs(int(above[0]-corner[0])))), 3)
	k[0] = clampSymbol(int(guess) + c.signed(&c.dcZero[at], &c.dc[at], int(k[0]-guess)))

	end := 0
	if !c.decoding {
		for end = 63; end > 0 && k[end] == 0; end-- {
		}
	}
	end = c.tree(c.last[bits.Len(uint(ends/2))*64:][:64], 6, end)
	for i := 1; i <= end; i++ {
		around := magnitude(left[i]) + magnitude(above[i])
		before := 0
		if i > 1 {
			before = magnitude(k[i-1])
		}
		if i > 2 {
			before += magnitude(k[i-2])
		}
		if i < end {
			nonzero := 0
			if k[i] != 0 {
				nonzero = 1
			}
			if c.decide(&c.zero[i*9+min(around, 2)*3+min(before, 2)], nonzero) == 0 {
				k[i] = 0
				continue
			}
		}
		negative := 0
		if k[i] < 0 {
			negative = 1
		}
		negative = c.flip(negative)
		band := 0
		if i > 5 {
			band = 1
		}
		if i > 20 {
			band = 2
		}
		m := c.number(&c.size[band*5+min(around+before, 4)], abs(int(k[i]))-1) + 1
		if negative == 1 {
			m = -m
		}
		k[i] = clampSymbol(m)
	}
	clear(k[end+1:])
	return end
}

// magnitude is |k|, at most 2.
func magnitude(k int32) int { return min(abs(int(k)), 2) }

// clampSymbol bounds symbols, far beyond what pixels need, so that damaged data
// cannot make sums overflow.
func clampSymbol(k int) int32 { return int32(min(max(k, -1<<16), 1<<16)) }

// toComponents turns a pixel into luminance and two colour differences, in units
// of 1/4.
func toComponents(v uint32) (y, co, cg int64) {
	r, g, b := int64(v>>16), int64(v>>8&0xff), int64(v&0xff)
	return r + 2*g + b, 2 * (r - b), 2*g - r - b
}

func fromComponents(y, co, cg int64) uint32 {
	return byteOf(y-cg+co)<<16 | byteOf(y+cg)<<8 | byteOf(y-cg-co)
}

// byteOf rounds a sample of sampleBits fractional bits to a byte.
func byteOf(v int64) uint32 {
	return uint32(min(max((v+1<<(sampleBits-1))>>sampleBits, 0), 255))
}

// encodeTransform appends a tile of w×h pixels; pix is as for encodeLossless.
// Pixels beyond the edges repeat those at the edges. Symbols but the mean's are
// rounded by adding round/roundUnit of a step, roundUsual to roundNearest.
func encodeTransform(dst []byte, pix []uint32, w, h, components, index, round int) []byte {
	dst = append(dst, byte(index))
	c := &transformCoder{binaryCoder: newBinaryEncoder(dst), bw: ceilDiv(w, 8), bh: ceilDiv(h, 8)}
	k := make([]int32, c.bw*c.bh*64)
	for component := range components {
		step := stepOf(index, component)
		for i := range c.bw * c.bh {
			var b block8
			for j := range b {
				x, y := min(i%c.bw*8+j%8, w-1), min(i/c.bw*8+j/8, h-1)
				v := pix[y*w+x]
				if components == 1 {
					b[j] = int64(v) << sampleBits
					continue
				}
				luma, co, cg := toComponents(v)
				b[j] = [...]int64{luma, co, cg}[component] << (sampleBits - 2)
			}
			b.forward()
			for j, at := range zigzag {
				half := step / 2
				if j > 0 {
					half = step * int64(round) / roundUnit
				}
				m := (max(b[at], -b[at]) + half) / step
				if b[at] < 0 {
					m = -m
				}
				k[i*64+j] = clampSymbol(int(m))
			}
		}
		c.plane(k)
	}
	return c.finish()
}

// decodeTransform fills in pix.
func decodeTransform(data []byte, pix []uint32, w, h, components int) error {
	if len(data) == 0 || data[0] > maxStepIndex {
		return corrupt("tile", "quantisation step")
	}
	index := int(data[0])
	c := &transformCoder{binaryCoder: newBinaryDecoder(data[1:]), bw: ceilDiv(w, 8), bh: ceilDiv(h, 8)}
	n := c.bw * c.bh * 64
	k := make([][]int32, components)
	for component := range k {
		k[component] = make([]int32, n)
		c.plane(k[component])
	}
	if err := c.check(); err != nil {
		return err
	}
	for i := range c.bw * c.bh {
		var b [3]block8
		for component := range k {
			step := stepOf(index, component)
			for j, at := range zigzag {
				b[component][at] = int64(k[component][i*64+j]) * step
			}
			b[component].inverse()
		}
		for j := range 64 {
			x, y := i%c.bw*8+j%8, i/c.bw*8+j/8
			if x >= w || y >= h {
				continue
			}
			if components == 1 {
				pix[y*w+x] = byteOf(b[0][j])
			} else {
				pix[y*w+x] = fromComponents(b[0][j], b[1][j], b[2][j])
			}
		}
	}
	return nil
}
