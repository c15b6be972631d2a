package picture

import (
	"bytes"
	"encoding/binary"
	"hash/adler32"
	"hash/crc32"
	"image"
	"io"
	"runtime"
	"slices"
	"sync"

	"github.com/klauspost/compress/flate"
)

// Writing a PNG with package image/png takes longer than decoding the picture that
// is in it: it tries five filters on every row, on one thread. This writer serves
// the two types that decoders of this module return, tries four filters on some of
// the pixels, and compresses bands of rows side by side, as pigz does (Adler): the
// blocks of a band end at a byte, so bands follow each other in one zlib stream. The
// bytes do not depend on the number of threads.

const (
	// pngBand is about the number of bytes of a band: matches do not reach from one into
	// the next, which costs less than 0.1 % at this size.
	pngBand = 256 << 10

	// pngProbe is the distance of the pixels by which a filter is chosen.
	pngProbe = 3

	// pngLevel is where photographs of 512 x 512 take a quarter of image/png's time, on
	// two threads, and 4 % more bytes. Level 1 saves another third of the time for 9 %.
	pngLevel = 4
)

// pngLayout is how the pixels of a picture lie in a PNG.
type pngLayout struct {
	w, h   int
	size   int  // bytes of a pixel
	colour byte // colour type
	row    func(dst []byte, y int)
}

// newPNGLayout returns the layout, or false for pictures that image/png is left to.
func newPNGLayout(m image.Image) (pngLayout, bool) {
	b := m.Bounds()
	l := pngLayout{w: b.Dx(), h: b.Dy()}
	if b.Empty() {
		return l, false
	}
	switch m := m.(type) {
	case *image.Gray:
		l.size, l.colour = 1, 0
		l.row = func(dst []byte, y int) { copy(dst, m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):]) }
	case *image.NRGBA:
		l.size, l.colour = 4, 6
		l.row = func(dst []byte, y int) { copy(dst, m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):]) }
		if m.Opaque() {
			l.size, l.colour = 3, 2
			l.row = func(dst []byte, y int) {
				src := m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):]
				for i, k := 0, 0; i < len(dst); i, k = i+3, k+4 {
					p, q := src[k:k+3:k+3], dst[i:i+3:i+3]
					q[0], q[1], q[2] = p[0], p[1], p[2]
				}
			}
		}
	default:
		return l, false
	}
	return l, true
}

// pngPiece is a compressed band.
type pngPiece struct {
	data bytes.Buffer
	sum  uint32 // Adler-32 of the filtered rows
	n    int    // their bytes
	err  error
}

// writePNG writes the picture. A few bands are in work at a time.
func (l *pngLayout) writePNG(w io.Writer) error {
	head := binary.BigEndian.AppendUint32(nil, uint32(l.w))
	head = binary.BigEndian.AppendUint32(head, uint32(l.h))
	head = append(head, 8, l.colour, 0, 0, 0)
	if _, err := io.WriteString(w, pngSignature); err != nil {
		return err
	}
	if err := writePNGChunk(w, "IHDR", head); err != nil {
		return err
	}

	rows := max(1, pngBand/(l.w*l.size+1))
	bands := (l.h + rows - 1) / rows
	threads := min(runtime.GOMAXPROCS(0), bands)
	type job struct {
		band int
		done chan *pngPiece
	}
	jobs := make(chan job)
	var wg sync.WaitGroup
	for range threads {
		wg.Go(func() {
			f := newPNGFilter(l)
			z, err := flate.NewWriter(nil, pngLevel)
			for j := range jobs {
				piece := &pngPiece{err: err}
				if err == nil {
					raw := f.band(j.band*rows, min((j.band+1)*rows, l.h))
					piece.compress(z, raw, j.band == bands-1)
				}
				j.done <- piece
			}
		})
	}
	defer wg.Wait()
	defer close(jobs)

	sum := uint32(1)
	var waiting []chan *pngPiece // in the order of the bands
	for i, next := 0, 0; i < bands; i++ {
		for ; next < bands && next < i+2*threads; next++ {
			done := make(chan *pngPiece, 1)
			waiting = append(waiting, done)
			jobs <- job{next, done}
		}
		piece := <-waiting[0]
		waiting = waiting[1:]
		if piece.err != nil {
			return piece.err
		}
		sum = adlerCombine(sum, piece.sum, piece.n)
		var before, after []byte
		if i == 0 {
			before = []byte{0x78, 0x01} // zlib: deflate, a window of 32 KiB, fast
		}
		if i == bands-1 {
			after = binary.BigEndian.AppendUint32(nil, sum)
		}
		if err := writePNGChunk(w, "IDAT", before, piece.data.Bytes(), after); err != nil {
			return err
		}
	}
	return writePNGChunk(w, "IEND")
}

// compress compresses the filtered rows of a band.
func (p *pngPiece) compress(z *flate.Writer, raw []byte, last bool) {
	p.data.Grow(len(raw) / 2)
	z.Reset(&p.data)
	p.sum, p.n = adler32.Checksum(raw), len(raw)
	if _, p.err = z.Write(raw); p.err != nil {
		return
	}
	if last {
		p.err = z.Close()
	} else {
		p.err = z.Flush()
	}
}

func writePNGChunk(w io.Writer, kind string, parts ...[]byte) error {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	head := append(binary.BigEndian.AppendUint32(nil, uint32(n)), kind...)
	if _, err := w.Write(head); err != nil {
		return err
	}
	crc := crc32.ChecksumIEEE(head[4:])
	for _, p := range parts {
		if _, err := w.Write(p); err != nil {
			return err
		}
		crc = crc32.Update(crc, crc32.IEEETable, p)
	}
	_, err := w.Write(binary.BigEndian.AppendUint32(nil, crc))
	return err
}

// adlerCombine returns the Adler-32 of two runs of bytes, of which the second has n,
// from those of each: RFC 1950, section 8.2.
func adlerCombine(first, second uint32, n int) uint32 {
	const mod = 65521
	a1, b1 := uint64(first&0xffff), uint64(first>>16)
	a2, b2 := uint64(second&0xffff), uint64(second>>16)
	a := (a1 + a2 + mod - 1) % mod
	b := (b1 + b2 + uint64(n)%mod*(a1+mod-1)) % mod
	return uint32(b<<16 | a)
}

// pngFilter filters rows, see clause 9 of the PNG specification.
type pngFilter struct {
	l        *pngLayout
	now, up  []byte // rows, with a pixel of zeros before
	filtered []byte
}

func newPNGFilter(l *pngLayout) *pngFilter {
	n := (l.w + 1) * l.size
	return &pngFilter{l: l, now: make([]byte, n), up: make([]byte, n)}
}

// Filter types.
const (
	pngNone  = 0
	pngSub   = 1
	pngUp    = 2
	pngPaeth = 4
)

// band returns the filtered rows from lo to hi.
func (f *pngFilter) band(lo, hi int) []byte {
	size := f.l.size
	clear(f.up)
	if lo > 0 {
		f.l.row(f.up[size:], lo-1)
	}
	f.filtered = f.filtered[:0]
	row := len(f.now) - size
	for y := lo; y < hi; y++ {
		f.l.row(f.now[size:], y)
		kind := f.choose()
		n := len(f.filtered) + 1
		f.filtered = slices.Grow(append(f.filtered, kind), row)[:n+row]
		f.apply(kind, f.filtered[n:])
		f.now, f.up = f.up, f.now
	}
	return f.filtered
}

// choose returns the filter with the smallest sum of magnitudes, as the
// specification recommends, over some of the pixels.
func (f *pngFilter) choose() byte {
	size := f.l.size
	now, up := f.now, f.up
	var none, sub, above, paeth int
	for i := size; i < len(now); i += pngProbe * size {
		v, a, b, c := int(now[i]), int(now[i-size]), int(up[i]), int(up[i-size])
		none += magnitude(v)
		sub += magnitude(v - a)
		above += magnitude(v - b)
		paeth += magnitude(v - predictPaeth(a, b, c))
	}
	best, least := byte(pngNone), none
	for _, c := range []struct {
		kind byte
		sum  int
	}{{pngSub, sub}, {pngUp, above}, {pngPaeth, paeth}} {
		if c.sum < least {
			best, least = c.kind, c.sum
		}
	}
	return best
}

// magnitude is that of a difference of bytes, which wraps around.
func magnitude(d int) int {
	s := int(int8(d))
	return max(s, -s)
}

func predictPaeth(a, b, c int) int {
	pa, pb := b-c, a-c
	pc := pa + pb
	pa, pb, pc = max(pa, -pa), max(pb, -pb), max(pc, -pc)
	switch {
	case pa <= pb && pa <= pc:
		return a
	case pb <= pc:
		return b
	}
	return c
}

// apply filters the row into dst.
func (f *pngFilter) apply(kind byte, dst []byte) {
	size := f.l.size
	now, left, up, corner := f.now[size:][:len(dst)], f.now[:len(dst)], f.up[size:][:len(dst)], f.up[:len(dst)]
	switch kind {
	case pngNone:
		copy(dst, now)
	case pngSub:
		for i := range dst {
			dst[i] = now[i] - left[i]
		}
	case pngUp:
		for i := range dst {
			dst[i] = now[i] - up[i]
		}
	case pngPaeth:
		for i := range dst {
			dst[i] = now[i] - byte(predictPaeth(int(left[i]), int(up[i]), int(corner[i])))
		}
	}
}
