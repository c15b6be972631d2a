package codec

import "slices"

// Lossless tiles: screenshots, text, line art and other pictures of few colours.
// What comes next there mostly repeats what was seen, exactly: the colour of a
// neighbour, or the one that followed the same six neighbours before (glyphs,
// patterns). So a pixel is coded as the first of a few guesses that is right,
// each decision under the circumstances in which the guess was made (compare
// Ausbeck, "The piecewise-constant image model", Proc. IEEE 88, 2000). Colours
// that nobody guesses are an entry of a palette or, in tiles of many colours,
// differences to a prediction.

const (
	memoryBits = 16
	maxPalette = 256
)

// seen is a colour that followed certain neighbours and how often it did in a
// row, at most maxTrust times.
type seen struct {
	colour uint32
	trust  uint8
}

const maxTrust = 7

// losslessCoder is the state of one tile of w×h pixels. Colours are packed as
// red·2^16 + green·2^8 + blue, or are gray values.
type losslessCoder struct {
	*binaryCoder
	w, h, components int
	palette          []uint32 // sorted; nil if there are too many colours

	memory  []seen
	repeats []bit    // [maxTrust+1][4]
	guesses []bit    // [4][64]
	index   []bit    // [maxPalette]
	zero    []bit    // [3][5]
	size    []number // [3][5]
}

func newLosslessCoder(c *binaryCoder, w, h, components int) *losslessCoder {
	return &losslessCoder{
		binaryCoder: c, w: w, h: h, components: components,
		memory: make([]seen, 1<<memoryBits), guesses: newBits(4 * 64), repeats: newBits(4 * (maxTrust + 1)),
		index: newBits(maxPalette), zero: newBits(3 * 5), size: newNumbers(3 * 5),
	}
}

// encodeLossless appends a tile.
func encodeLossless(dst []byte, pix []uint32, w, h, components int) []byte {
	c := newLosslessCoder(newBinaryEncoder(dst), w, h, components)
	c.palette = paletteOf(pix)
	c.code(pix)
	return c.finish()
}

// decodeLossless fills in pix.
func decodeLossless(data []byte, pix []uint32, w, h, components int) error {
	c := newLosslessCoder(newBinaryDecoder(data), w, h, components)
	c.code(pix)
	return c.check()
}

// paletteOf returns the colours of a tile, or nil if there are too many.
func paletteOf(pix []uint32) []uint32 {
	found := make(map[uint32]struct{}, maxPalette+1)
	last := ^uint32(0)
	for _, v := range pix {
		if v != last {
			if found[v] = struct{}{}; len(found) > maxPalette {
				return nil
			}
			last = v
		}
	}
	palette := make([]uint32, 0, len(found))
	for v := range found {
		palette = append(palette, v)
	}
	slices.Sort(palette)
	return palette
}

// code is the syntax of a tile, in both directions.
func (c *losslessCoder) code(pix []uint32) {
	n := c.raw(9, len(c.palette)) // 0: none
	if c.decoding && n > 0 {
		c.palette = make([]uint32, min(n, maxPalette))
	}
	for i := range c.palette {
		c.palette[i] = uint32(c.raw(8*c.components, int(c.palette[i])))
	}
	for y := range c.h {
		for x := range c.w {
			c.pixel(pix, x, y)
		}
	}
}

// neighbours of a pixel: left, above, above left, above right, two to the left,
// two above; 0 beyond the tile.
type neighbours struct{ w, n, nw, ne, ww, nn uint32 }

func (c *losslessCoder) neighbours(pix []uint32, x, y int) (v neighbours) {
	at := y*c.w + x
	if x > 0 {
		v.w = pix[at-1]
		if x > 1 {
			v.ww = pix[at-2]
		}
	}
	if y > 0 {
		v.n = pix[at-c.w]
		if x > 0 {
			v.nw = pix[at-c.w-1]
		}
		if x+1 < c.w {
			v.ne = pix[at-c.w+1]
		}
		if y > 1 {
			v.nn = pix[at-2*c.w]
		}
	}
	return v
}

// slot is where the memory keeps what follows these neighbours.
func (v *neighbours) slot() uint32 {
	h := uint32(0)
	for _, colour := range [...]uint32{v.w, v.n, v.nw, v.ne, v.ww, v.nn} {
		h = (h + colour + 1) * 0x9e3779b1
		h ^= h >> 15
	}
	return h >> (32 - memoryBits)
}

// pattern tells which neighbours are equal.
func (v *neighbours) pattern() int {
	p := 0
	for i, equal := range [...]bool{v.w == v.n, v.n == v.ne, v.nw == v.w, v.nw == v.n, v.ww == v.w, v.nn == v.n} {
		if equal {
			p |= 1 << i
		}
	}
	return p
}

func (c *losslessCoder) pixel(pix []uint32, x, y int) {
	p := &pix[y*c.w+x]
	v := c.neighbours(pix, x, y)
	memory := &c.memory[v.slot()]
	if c.guess(p, &v, memory) {
		if memory.colour == *p {
			memory.trust = min(memory.trust+1, maxTrust)
			return
		}
	} else if c.palette != nil {
		c.entry(p)
	} else {
		c.difference(p, &v)
	}
	*memory = seen{*p, 1}
}

// guess tries the memory, then the neighbours, and tells whether one was right.
func (c *losslessCoder) guess(p *uint32, v *neighbours, memory *seen) bool {
	right := func(b *bit, guess uint32) bool {
		wrong := 1
		if *p == guess {
			wrong = 0
		}
		if c.decide(b, wrong) == 1 {
			return false
		}
		*p = guess
		return true
	}
	tried := [5]uint32{}
	n := 0
	if memory.trust > 0 {
		at := int(memory.trust) * 4
		if memory.colour == v.w {
			at++
		}
		if memory.colour == v.n {
			at += 2
		}
		if right(&c.repeats[at], memory.colour) {
			return true
		}
		tried[n] = memory.colour
		n++
	}
	pattern := v.pattern()
	for i, guess := range [...]uint32{v.w, v.n, v.ne, v.nw} {
		if slices.Contains(tried[:n], guess) {
			continue
		}
		if right(&c.guesses[i*64+pattern], guess) {
			return true
		}
		tried[n] = guess
		n++
	}
	return false
}

// entry codes a colour of the palette.
func (c *losslessCoder) entry(p *uint32) {
	i := 0
	if !c.decoding {
		i, _ = slices.BinarySearch(c.palette, *p)
	}
	i = c.tree(c.index, 8, i)
	*p = c.palette[min(i, len(c.palette)-1)]
}

// difference codes a colour by its components, green first, each as the
// difference to a prediction from three neighbours, to which that of green is
// added for red and blue.
func (c *losslessCoder) difference(p *uint32, v *neighbours) {
	var out uint32
	green := 0
	for i := range c.components {
		shift := [...]int{8, 16, 0}[i]
		if c.components == 1 {
			shift = 0
		}
		w, n, nw := int(v.w>>shift&0xff), int(v.n>>shift&0xff), int(v.nw>>shift&0xff)
		guess := median(w, n, w+n-nw) + green
		d := int(int8(int(*p>>shift&0xff) - guess))
		activity := 0
		for a := abs(w-nw) + abs(n-nw); activity < 4 && a > [...]int{1, 5, 15, 40}[activity]; {
			activity++
		}
		at := i*5 + activity
		d = c.signed(&c.zero[at], &c.size[at], d)
		out |= uint32(uint8(guess+d)) << shift
		if i == 0 && c.components == 3 {
			green = d
		}
	}
	*p = out
}

// median returns the middle one of three numbers.
func median(a, b, c int) int { return max(min(a, b), min(max(a, b), c)) }
