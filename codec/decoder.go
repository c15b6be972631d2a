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
// takes M/64 bytes a pixel for the latent (5 with the model `photo`) and working
// memory: with networks like those of `photo` 54 bytes a pixel up to 2.4
// megapixels, and about 100 MB for each thread beyond that. Sides count as
// rounded up to LatentStride. Limits.MaxPixels is checked before any of this is
// allocated; with rounded sides a picture may have twice as many, so a very
// narrow one is refused earlier.
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
	// Sizes in bytes of the hyper-latents, the latents, the alpha channel,
	// the metadata, and of all of the file; the rest is overhead.
	HyperBytes, LatentBytes, AlphaBytes, MetadataBytes, FileBytes int64
	Tiles                                                         int
	ICC, EXIF, XMP                                                []byte
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
	c, err := d.read(r)
	if err != nil {
		return nil, err
	}
	m, err := findModel(&c.header, d.models, d.dirs)
	if err != nil {
		return nil, err
	}
	img, err := m.decode(c, d.threads)
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

// decode turns chunks into pixels.
func (m *Model) decode(c *contents, threads int) (image.Image, error) {
	p, err := m.at(quality(c.header.Quality))
	if err != nil {
		return nil, err
	}
	M := m.arch.M
	width, height := int(c.header.Width), int(c.header.Height)
	yhat := make([]float32, c.h*c.w*M)
	err = parallel(threads, len(c.grid), func(i, threads int) error {
		t := c.grid[i]
		s := m.scratch()
		defer m.release(s)
		t.Z, t.K, t.Index = s.z, s.k, s.index
		err := m.decodeTile(c.tiles[i], t, p, s)
		s.z, s.k, s.index = t.Z, t.K, t.Index
		if err != nil {
			return err
		}
		s.yhat = grow(s.yhat, t.H*t.W*M)
		if err := m.reconstructTile(t, p, s, threads, s.yhat); err != nil {
			return err
		}
		copyRect(yhat, c.w, t.X, t.Y, s.yhat, t.W, 0, 0, t.H, t.W, M)
		return nil
	})
	if err != nil {
		return nil, err
	}
	var alpha []byte
	if c.header.Alpha {
		if alpha, err = decodeAlpha(c.alpha, width, height); err != nil {
			return nil, err
		}
	}
	out := newCanvas(width, height, c.header.Channels == 1)
	if err := m.synthesise(out, yhat, c.h, c.w, threads); err != nil {
		return nil, err
	}
	return out.image(alpha), nil
}

// synthesise runs the synthesis network over the whole latent [h, w, M].
func (m *Model) synthesise(dst *canvas, yhat []float32, h, w, threads int) error {
	M := m.arch.M
	bs := blocks(h, w, m.synthesis.margin)
	return parallel(threads, len(bs), func(i, threads int) error {
		b := bs[i]
		bh, bw := b.y.to-b.y.from, b.x.to-b.x.from
		in := tensor(yhat, h, w, M)
		if bh != h || bw != w {
			s := m.scratch()
			defer m.release(s)
			s.yhat = grow(s.yhat, bh*bw*M)
			copyRect(s.yhat, bw, 0, 0, yhat, w, b.x.from, b.y.from, bh, bw, M)
			in = tensor(s.yhat, bh, bw, M)
		}
		shape := nn.Shape{H: bh * LatentStride, W: bw * LatentStride, C: 3}
		return m.synthesis.run(threads, []*nn.Tensor{in}, []nn.Shape{shape}, func(out []*nn.Tensor) error {
			dst.store(out[0].Data, b, threads)
			return nil
		})
	})
}
