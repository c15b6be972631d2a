package codec

import (
	"bufio"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/format"
)

// signature is that of format/SPEC.md.
const signature = "\xaeAEC\r\n\x1a\n"

func init() {
	image.RegisterFormat("aec", signature, Decode, DecodeConfig)
}

// Decode reads a picture in the .aec format: an *image.Gray if it was encoded
// from a gray picture, otherwise an *image.NRGBA, opaque or not. The models of
// RegisterModel, the embedded one and those in the user's model folder are at
// hand; limits are format.DefaultLimits.
func Decode(r io.Reader) (image.Image, error) { return NewDecoder(nil).Decode(r) }

// DecodeConfig returns the colour model and size of a picture without decoding
// it. No model is needed.
func DecodeConfig(r io.Reader) (image.Config, error) {
	fr, err := openImage(r, nil)
	if err != nil {
		return image.Config{}, err
	}
	h := fr.Header()
	c := image.Config{ColorModel: color.NRGBAModel, Width: int(h.Width), Height: int(h.Height)}
	if h.Channels == 1 {
		c.ColorModel = color.GrayModel
	}
	return c, nil
}

// DecoderOptions are the settings of a Decoder. A nil pointer and the zero
// value mean the defaults.
type DecoderOptions struct {
	// Models are tried before the registered, the embedded and the user's.
	Models []*Model
	// ModelDirs are the folders to look for *.aem files in. nil means the
	// user's, ModelDir; an empty slice means none.
	ModelDirs []string
	// Threads is the number of threads to use; 0 means GOMAXPROCS. The
	// pixels do not depend on it.
	Threads int
	// Limits bound what is accepted before memory is allocated; the zero
	// value means format.DefaultLimits. See Decoder for what a pixel takes.
	Limits format.Limits
}

// Decoder reads pictures with the same settings. It is safe for concurrent use.
//
// Beside the result (4 bytes a pixel, 1 for gray) and the file's chunks, decoding
// takes the latents of some tiles, 24 MB at most with networks like those of
// `photo`, and about 15 MB for each thread, or 17 MB while it
// decodes a tile of pixels; networks with layers that look at the
// whole picture take memory for all of it. Limits.MaxPixels is checked before any
// of this is allocated. Sides count as rounded up to LatentStride, so that a very
// narrow picture is refused earlier.
type Decoder struct {
	models  []*Model
	dirs    []string
	threads int
	limits  format.Limits
}

// NewDecoder returns a decoder; o may be nil.
func NewDecoder(o *DecoderOptions) *Decoder {
	if o == nil {
		o = &DecoderOptions{}
	}
	d := &Decoder{models: o.Models, dirs: o.ModelDirs, threads: threads(o.Threads), limits: o.Limits}
	if d.dirs == nil {
		if dir, err := ModelDir(); err == nil {
			d.dirs = []string{dir}
		}
	}
	return d
}

// Info describes a file.
type Info struct {
	Header format.Header
	// Sizes in bytes of the hyper-latents, the latents, tiles coded as pixels, the
	// alpha channel, the metadata, and of all of the file; the rest is overhead.
	HyperBytes, LatentBytes, PixelBytes, AlphaBytes, MetadataBytes, FileBytes int64
	// Tiles is the number of tiles, PixelTiles that of those coded as pixels.
	Tiles, PixelTiles int
	ICC, EXIF, XMP    []byte
	// Model is the model to decode with; nil if it is not at hand.
	Model *Model
}

// openImage reads the header and checks that it is one of a picture.
func openImage(r io.Reader, limits *format.Limits) (*format.Reader, error) {
	fr, err := format.NewReader(r, limits)
	if err != nil {
		return nil, fmt.Errorf("codec: decode: %w", err)
	}
	// What a file may be and this codec has no use for; the rest was checked.
	h, cause := fr.Header(), ""
	switch {
	case h.TileLog2 != tileLog2:
		cause = fmt.Sprintf("tiles of 2^%d pixels, not 2^%d", h.TileLog2, tileLog2)
	case h.Channels == 1 && h.Alpha:
		cause = "gray with an alpha channel"
	}
	if cause != "" {
		return nil, fmt.Errorf("codec: decode: %w",
			&format.FormatError{What: "header", Cause: cause, Kind: format.ErrUnsupported})
	}
	return fr, nil
}

// contents are the chunks of a picture.
type contents struct {
	header         format.Header
	grid           []*Tile
	h, w           int // of the latent
	tiles          [][]byte
	alpha          []byte
	icc, exif, xmp []byte
	size           int64
}

// read reads all chunks. The reader has seen to it that they are those that the
// header announces, each once.
func (d *Decoder) read(r io.Reader) (*contents, error) {
	counter := newCountingReader(r)
	fr, err := openImage(counter, &d.limits)
	if err != nil {
		return nil, err
	}
	c := &contents{header: fr.Header()}
	if err := checkArea(int(c.header.Width), int(c.header.Height), d.limits.MaxPixels); err != nil {
		return nil, fmt.Errorf("codec: decode: %w", err)
	}
	for {
		chunk, err := fr.Next()
		if err == io.EOF { // itself, not an error that wraps it
			break
		}
		if err != nil {
			return nil, fmt.Errorf("codec: decode: %w", err)
		}
		switch chunk.Type {
		case format.ChunkTile:
			c.tiles = append(c.tiles, chunk.Data)
		case format.ChunkAlpha:
			c.alpha = chunk.Data
		case format.ChunkICC:
			c.icc = chunk.Data
		case format.ChunkEXIF:
			c.exif = chunk.Data
		case format.ChunkXMP:
			c.xmp = chunk.Data
		}
	}
	c.h = ceilDiv(int(c.header.Height), LatentStride)
	c.w = ceilDiv(int(c.header.Width), LatentStride)
	c.grid = tileGrid(c.h, c.w)
	c.size = counter.n
	return c, nil
}

// checkArea bounds the picture that the networks see, whose sides are rounded
// up: a picture one pixel wide takes as much memory as one of 16.
func checkArea(width, height int, maxPixels int64) error {
	if maxPixels <= 0 {
		maxPixels = format.DefaultLimits.MaxPixels
	}
	const negligible = 1 << 20
	area := int64(ceilDiv(width, LatentStride)) * int64(ceilDiv(height, LatentStride)) * LatentStride * LatentStride
	if area > max(negligible, 2*maxPixels) {
		return &format.FormatError{What: "size", Kind: format.ErrLimit,
			Cause: fmt.Sprintf("%d x %d pixels are too narrow for the limit of %d", width, height, maxPixels)}
	}
	return nil
}

// countingReader counts what is read, byte by byte.
type countingReader struct {
	r interface {
		io.Reader
		io.ByteReader
	}
	n int64
}

func newCountingReader(r io.Reader) *countingReader {
	c := new(countingReader)
	var ok bool
	if c.r, ok = r.(interface {
		io.Reader
		io.ByteReader
	}); !ok {
		c.r = bufio.NewReader(r)
	}
	return c
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func (c *countingReader) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// Decode reads a picture; see the function Decode. Errors of damaged files are
// format.ErrFormat, one of a model that is not at hand is *UnknownModelError.
func (d *Decoder) Decode(r io.Reader) (image.Image, error) {
	return d.decode(r, func(whole image.Rectangle) image.Rectangle { return whole })
}

// DecodeRegion reads the part of a picture that is inside rect: the same pixels as
// Decode gives there, in an image whose bounds are the part. Only the tiles that
// these pixels depend on are decoded, and of them only the rows and columns, so
// time and memory are those of a picture of that size. A rect outside of the
// picture is an error.
func (d *Decoder) DecodeRegion(r io.Reader, rect image.Rectangle) (image.Image, error) {
	return d.decode(r, rect.Intersect)
}

func (d *Decoder) decode(r io.Reader, part func(whole image.Rectangle) image.Rectangle) (image.Image, error) {
	c, err := d.read(r)
	if err != nil {
		return nil, err
	}
	whole := image.Rect(0, 0, int(c.header.Width), int(c.header.Height))
	rect := part(whole)
	if rect.Empty() {
		return nil, fmt.Errorf("codec: decode: the region is outside of the picture of %dx%d pixels", whole.Max.X, whole.Max.Y)
	}
	m, err := findModel(&c.header, d.models, d.dirs)
	if err != nil {
		return nil, err
	}
	img, err := m.decode(c, rect, d.threads)
	if err != nil {
		return nil, fmt.Errorf("codec: decode: %w", err)
	}
	return img, nil
}

// DecodeInfo describes a file without decoding it. The chunks are read and
// their checksums verified.
func (d *Decoder) DecodeInfo(r io.Reader) (*Info, error) {
	c, err := d.read(r)
	if err != nil {
		return nil, err
	}
	info := &Info{
		Header: c.header, Tiles: len(c.tiles), ICC: c.icc, EXIF: c.exif, XMP: c.xmp,
		AlphaBytes:    int64(len(c.alpha)),
		MetadataBytes: int64(len(c.icc) + len(c.exif) + len(c.xmp)),
		FileBytes:     c.size,
	}
	for _, data := range c.tiles {
		kind, data, err := tileKind(data)
		if err != nil {
			return nil, fmt.Errorf("codec: decode: %w", err)
		}
		if kind != tileLatents {
			info.PixelTiles++
			info.PixelBytes += int64(len(data))
			continue
		}
		z, y, err := splitTile(data)
		if err != nil {
			return nil, fmt.Errorf("codec: decode: %w", err)
		}
		info.HyperBytes += int64(len(z))
		info.LatentBytes += int64(len(y))
	}
	var unknown *UnknownModelError
	info.Model, err = findModel(&c.header, d.models, d.dirs)
	if err != nil && !errors.As(err, &unknown) {
		return nil, err
	}
	return info, nil
}

// decode turns chunks into the pixels of a rectangle of the picture.
func (m *Model) decode(c *contents, rect image.Rectangle, threads int) (image.Image, error) {
	out, err := m.decodeColour(c, rect, threads)
	if err != nil {
		return nil, err
	}
	if c.header.Alpha {
		if err := decodeAlpha(c.alpha, int(c.header.Width), int(c.header.Height), out.storeAlpha); err != nil {
			return nil, err
		}
	}
	return out.image(), nil
}

// decodeColour is decode without the alpha channel.
func (m *Model) decodeColour(c *contents, rect image.Rectangle, threads int) (*canvas, error) {
	p, err := m.at(quality(c.header.Quality))
	if err != nil {
		return nil, err
	}
	out := newCanvas(rect, c.header.Channels == 1)
	if err := m.decodeTiles(c, p, out, threads); err != nil {
		return nil, err
	}
	// After all that the networks draw: some of it comes a margin late.
	err = parallel(threads, len(c.grid), func(i, _ int) error {
		return out.paint(c.tiles[i], c.grid[i], int(c.header.Width), int(c.header.Height))
	})
	return out, err
}

// decodeTiles decodes the tiles that the pixels of dst depend on and draws them.
// See area.go for the order. Between two groups of tiles, and between two stripes,
// lies what is a margin away from the tiles that are still missing: the pixels
// there are drawn with those tiles, and the latents they need are kept.
func (m *Model) decodeTiles(c *contents, p *operatingPoint, dst *canvas, threads int) error {
	cut := m.cutter(m.synthesis, c.h, c.w)
	all := area{0, 0, c.w, c.h}
	want := dst.latentArea()
	if cut.whole {
		want = all
	}
	need := want.grow(cut.margin).intersect(all)
	keep := 2 * cut.margin
	tiles := area{need.x0 / tileLatent, need.y0 / tileLatent, ceilDiv(need.x1, tileLatent), ceilDiv(need.y1, tileLatent)}
	buf := m.buffer()
	defer m.buffers.Put(buf)
	left := m.buffer() // the last columns of the stripe before
	defer m.buffers.Put(left)

	across := ceilDiv(c.w, tileLatent)
	for tx, step := tiles.x0, cut.stripe(tiles.x1-tiles.x0); tx < tiles.x1; tx += step {
		end := min(tx+step, tiles.x1)
		held := area{x0: tx * tileLatent, x1: min(end*tileLatent, c.w)}
		draw := area{x0: want.x0, x1: want.x1}
		if tx > tiles.x0 {
			held.x0 -= keep
			draw.x0 = max(draw.x0, held.x0+cut.margin)
		}
		if end < tiles.x1 {
			draw.x1 = min(draw.x1, held.x1-cut.margin)
		}
		high := cut.group(held.x1 - held.x0)
		for ty := tiles.y0; ty < tiles.y1; ty += high {
			bottom := min(ty+high, tiles.y1)
			held.y0, held.y1 = ty*tileLatent, min(bottom*tileLatent, c.h)
			draw.y0, draw.y1 = want.y0, want.y1
			if ty == tiles.y0 {
				buf.reset(held, m.arch.M)
			} else {
				held.y0 -= keep
				draw.y0 = max(draw.y0, held.y0+cut.margin)
				buf.slide(held.y0, held.y1)
			}
			if bottom < tiles.y1 {
				draw.y1 = min(draw.y1, held.y1-cut.margin)
			}
			rows := area{y0: ty * tileLatent, y1: held.y1}
			if tx > tiles.x0 {
				for y := rows.y0; y < rows.y1; y++ {
					copy(buf.row(y, held.x0, held.x0+keep), left.row(y, left.x0, left.x1))
				}
			}
			width := end - tx
			err := parallel(threads, width*(bottom-ty), func(i, threads int) error {
				at := (ty+i/width)*across + tx + i%width
				return m.decodeTile(c.tiles[at], c.grid[at], p, need, buf, threads)
			})
			if err != nil {
				return err
			}
			if end < tiles.x1 {
				if tx == tiles.x0 && ty == tiles.y0 {
					left.reset(area{0, tiles.y0 * tileLatent, keep, min(tiles.y1*tileLatent, c.h)}, m.arch.M)
				}
				for y := rows.y0; y < rows.y1; y++ {
					copy(left.row(y, left.x0, left.x1), buf.row(y, held.x1-keep, held.x1))
				}
			}
			jobs := cut.jobs(draw, threads)
			err = parallel(threads, len(jobs), func(i, _ int) error { return m.synthesise(dst, buf, &cut, jobs[i]) })
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// decodeTile decodes a tile and writes its dequantised latent, as far as it is in
// need, to buf: 0 where it is coded as pixels, which paint draws.
func (m *Model) decodeTile(data []byte, t *Tile, p *operatingPoint, need area, buf *latents, threads int) error {
	kind, data, err := tileKind(data)
	if err != nil {
		return err
	}
	if kind != tileLatents {
		buf.clear(t.area())
		return nil
	}
	s := m.scratch()
	defer m.release(s)
	tile := *t
	tile.Z, tile.K, tile.Index = s.z, s.k, s.index
	err = m.readTile(data, &tile, p, s)
	s.z, s.k, s.index = tile.Z, tile.K, tile.Index
	if err != nil {
		return err
	}
	return m.reconstructTile(&tile, p, max(need.y0-t.Y, 0), min(need.y1-t.Y, t.H), threads, buf)
}

// synthesise draws the pixels of a job.
func (m *Model) synthesise(dst *canvas, src *latents, cut *cutter, job area) error {
	if m.integers != nil {
		return m.integers.synthesise(dst, src, cut, job)
	}
	x0, x1 := cut.columns(job)
	in := []nn.Shape{{H: cut.h, W: x1 - x0, C: m.arch.M}}
	out := []nn.Shape{pixels(cut.h, x1-x0)}
	rows, err := m.synthesis.start(in, out, job.y0*LatentStride, job.y1*LatentStride, func(y int, dst [][]float32) {
		copy(dst[0], src.row(y, x0, x1))
	})
	if err != nil {
		return err
	}
	defer m.synthesis.end(rows)
	s := m.scratch()
	defer m.release(s)
	from, to := (job.x0-x0)*LatentStride*3, (job.x1-x0)*LatentStride*3
	for lo, hi := rows.Next(); lo < hi; lo, hi = rows.Next() {
		for y := lo; y < hi; y++ {
			dst.store(job.x0*LatentStride, y, rows.Row(0, y)[from:to], &s.line)
		}
	}
	return nil
}
