package codec

import (
	"errors"
	"fmt"
	"image"
	"io"
	"runtime"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/format"
)

// Options are the settings of Encode. A nil pointer and the zero value mean the
// defaults.
type Options struct {
	// Quality is between MinQuality and MaxQuality, continuous; it is rounded
	// to hundredths. 0 means DefaultQuality.
	Quality float64
	// Model is the model to encode with; nil means DefaultModel.
	Model *Model
	// Threads is the number of threads to use; 0 means GOMAXPROCS. The file
	// does not depend on it.
	Threads int
	// Effort is how much time is spent on a smaller file, 0 to 9. 1 rounds
	// latents to the nearest symbol. 2 and more choose symbols by what they
	// cost and what they do to the picture (rate-distortion-optimised
	// quantisation), which takes hardly longer. 0 means the default, 2; higher
	// efforts do the same so far. Decoders need not know.
	Effort int
	// ICC, EXIF and XMP are kept in the file as they are, 16 MB in all at most
	// (format.DefaultLimits).
	ICC, EXIF, XMP []byte
}

// Encode writes m to w in the .aec format. Gray pictures (image.Gray and
// image.Gray16) are written as gray, all others as RGB of 8 bits a component;
// transparency is kept without loss, unless the picture is opaque.
func Encode(w io.Writer, m image.Image, o *Options) error {
	e, err := NewEncoder(o)
	if err != nil {
		return err
	}
	return e.Encode(w, m)
}

// Encoder writes pictures with the same settings. It is safe for concurrent
// use. Working memory belongs to the model and is reused by all its encoders
// and decoders.
type Encoder struct {
	model   *Model
	quality quality
	threads int
	effort  int
	meta    []metadata
}

type metadata struct {
	kind format.ChunkType
	data []byte
}

// NewEncoder checks the options. The encoder keeps the metadata slices.
func NewEncoder(o *Options) (*Encoder, error) {
	if o == nil {
		o = &Options{}
	}
	e := &Encoder{model: o.Model, threads: threads(o.Threads)}
	var err error
	if e.effort, err = parseEffort(o.Effort); err != nil {
		return nil, err
	}
	if e.quality, err = parseQuality(o.Quality); err != nil {
		return nil, err
	}
	if e.model == nil {
		if e.model, err = DefaultModel(); err != nil {
			return nil, err
		}
	}
	if !e.model.CanEncode() {
		return nil, fmt.Errorf("codec: model %q can only decode", e.model.Name())
	}
	var size int64
	for _, m := range []metadata{{format.ChunkICC, o.ICC}, {format.ChunkEXIF, o.EXIF}, {format.ChunkXMP, o.XMP}} {
		if len(m.data) > 0 {
			e.meta = append(e.meta, m)
			size += int64(len(m.data))
		}
	}
	if size > format.DefaultLimits.MaxMetadata {
		return nil, fmt.Errorf("codec: %d bytes of metadata, which no decoder accepts: %w", size, format.ErrLimit)
	}
	return e, nil
}

// parseEffort checks an effort and applies the default.
func parseEffort(n int) (int, error) {
	switch {
	case n < minEffort || n > maxEffort:
		return 0, fmt.Errorf("codec: effort %d, want %d to %d", n, minEffort, maxEffort)
	case n == 0:
		return defaultEffort, nil
	}
	return n, nil
}

// threads applies the default.
func threads(n int) int {
	if n <= 0 {
		return runtime.GOMAXPROCS(0)
	}
	return n
}

// Encode writes one picture. Nothing is written before the whole picture is
// coded, except when w fails.
func (e *Encoder) Encode(w io.Writer, img image.Image) error {
	r, err := checkedRaster(img)
	if err != nil {
		return err
	}
	m := e.model
	p, err := m.encodingPoint(e.quality, e.effort)
	if err != nil {
		return err
	}
	payloads, err := m.encodeTiles(r, p, e.threads)
	if err != nil {
		return err
	}
	var alpha []byte
	if r.alpha != nil {
		if alpha, err = encodeAlpha(r.alpha, r.w, r.h); err != nil {
			return err
		}
	}
	fw, err := format.NewWriter(w, &format.Header{
		Kind: format.KindImage, Width: uint32(r.w), Height: uint32(r.h),
		Channels: r.channels(), Depth: 8, Alpha: alpha != nil, TileLog2: tileLog2,
		Quality: uint16(e.quality), Model: m.Name(), Fingerprint: m.print,
	})
	if err != nil {
		return fmt.Errorf("codec: encode: %w", err)
	}
	write := func(kind format.ChunkType, data []byte) {
		if err == nil {
			err = fw.WriteChunk(kind, data)
		}
	}
	for _, c := range e.meta {
		write(c.kind, c.data)
	}
	for _, data := range payloads {
		write(format.ChunkTile, data)
	}
	if alpha != nil {
		write(format.ChunkAlpha, alpha)
	}
	if err == nil {
		err = fw.Close()
	}
	if err != nil {
		return fmt.Errorf("codec: encode: %w", err)
	}
	return nil
}

// checkedRaster refuses pictures that no file can hold.
func checkedRaster(img image.Image) (*raster, error) {
	b := img.Bounds()
	if b.Empty() {
		return nil, errors.New("codec: encode: empty picture")
	}
	if int64(b.Dx()) > format.DefaultLimits.MaxPixels/int64(b.Dy()) {
		return nil, fmt.Errorf("codec: encode: %dx%d picture: %w", b.Dx(), b.Dy(), format.ErrLimit)
	}
	if err := checkArea(b.Dx(), b.Dy(), 0); err != nil {
		return nil, fmt.Errorf("codec: encode: %w", err)
	}
	return newRaster(img), nil
}

// analyse runs the analysis network over the whole picture and returns the
// latent [h, w, M].
func (m *Model) analyse(r *raster, threads int) (y []float32, h, w int, err error) {
	M := m.arch.M
	h, w = ceilDiv(r.h, LatentStride), ceilDiv(r.w, LatentStride)
	y = make([]float32, h*w*M)
	bs := blocks(h, w, m.analysis.margin)
	err = parallel(threads, len(bs), func(i, threads int) error {
		b := bs[i]
		s := m.scratch()
		defer m.release(s)
		bh, bw := b.y.to-b.y.from, b.x.to-b.x.from
		s.pixels = grow(s.pixels, bh*bw*LatentStride*LatentStride*3)
		r.load(s.pixels, b, threads)
		in := []*nn.Tensor{tensor(s.pixels, bh*LatentStride, bw*LatentStride, 3)}
		return m.analysis.run(threads, in, []nn.Shape{{H: bh, W: bw, C: M}}, func(out []*nn.Tensor) error {
			copyRect(y, w, b.x.lo, b.y.lo, out[0].Data, bw, b.x.lo-b.x.from, b.y.lo-b.y.from,
				b.y.hi-b.y.lo, b.x.hi-b.x.lo, M)
			return nil
		})
	})
	return y, h, w, err
}

// forTiles analyses r and calls use, concurrently, with each tile of its
// latents. The tile's slices are reused after use returns unless it takes them
// away.
func (m *Model) forTiles(r *raster, p *operatingPoint, threads int, use func(i int, t *Tile, s *tileScratch) error) ([]*Tile, error) {
	y, h, w, err := m.analyse(r, threads)
	if err != nil {
		return nil, err
	}
	tiles := tileGrid(h, w)
	err = parallel(threads, len(tiles), func(i, threads int) error {
		t := tiles[i]
		s := m.scratch()
		defer m.release(s)
		s.tile = grow(s.tile, t.H*t.W*m.arch.M)
		copyRect(s.tile, t.W, 0, 0, y, w, t.X, t.Y, t.H, t.W, m.arch.M)
		t.Z, t.K, t.Index = s.z, s.k, s.index
		err := m.analyseTile(t, p, s, threads)
		s.z, s.k, s.index = t.Z, t.K, t.Index
		if err != nil {
			return err
		}
		return use(i, t, s)
	})
	return tiles, err
}

// encodeTiles returns the payloads of the tile chunks.
func (m *Model) encodeTiles(r *raster, p *operatingPoint, threads int) ([][]byte, error) {
	payloads := make([][]byte, len(tileGrid(ceilDiv(r.h, LatentStride), ceilDiv(r.w, LatentStride))))
	_, err := m.forTiles(r, p, threads, func(i int, t *Tile, s *tileScratch) error {
		var err error
		payloads[i], err = m.appendTile(nil, t, p, s)
		return err
	})
	if err != nil {
		return nil, err
	}
	return payloads, nil
}

// Analyze returns what a file of the picture would hold at default effort, and
// its cross-entropy under the model, with as many threads as GOMAXPROCS. It
// serves to fit probability tables, to test and to experiment.
func (m *Model) Analyze(img image.Image, quality float64) (*Latents, error) {
	if !m.CanEncode() {
		return nil, fmt.Errorf("codec: model %q can only decode", m.Name())
	}
	q, err := parseQuality(quality)
	if err != nil {
		return nil, err
	}
	r, err := checkedRaster(img)
	if err != nil {
		return nil, err
	}
	p, err := m.encodingPoint(q, defaultEffort)
	if err != nil {
		return nil, err
	}
	l := &Latents{Width: r.w, Height: r.h, Quality: float64(q) / qualityScale}
	bits := make([][2]float64, len(tileGrid(ceilDiv(r.h, LatentStride), ceilDiv(r.w, LatentStride))))
	l.Tiles, err = m.forTiles(r, p, threads(0), func(i int, t *Tile, s *tileScratch) error {
		bits[i][0], bits[i][1] = m.bits(t, p, s)
		s.z, s.k, s.index = nil, nil, nil // they go with the tile
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, b := range bits {
		l.ZBits += b[0]
		l.YBits += b[1]
	}
	return l, nil
}
