package codec

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"io"
	"runtime"
	"slices"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/format"
)

// Options are the settings of Encode. A nil pointer and the zero value mean the
// defaults.
type Options struct {
	// Quality is between MinQuality and MaxQuality, continuous; it is rounded
	// to hundredths. 0 means DefaultQuality.
	Quality float64
	// Model is the model to encode with; nil means the embedded one that Tune says.
	Model *Model
	// Tune chooses between the embedded models; the zero value is TunePSNR. With a
	// Model it must be zero.
	Tune Tune
	// Threads is the number of threads to use; 0 means GOMAXPROCS. The file
	// does not depend on it.
	Threads int
	// At most one of the targets may be set, and Quality not beside it. The
	// quality is then searched for, which takes a handful of codings but only one
	// analysis of the picture. A target that no quality reaches is a *TargetError.
	//
	// TargetSize is the size of the whole file in bytes, metadata included: the
	// file is never larger, and at most 2 % smaller as far as the steps of the
	// quality allow, or as there is no loss to undo. TargetBPP is the same in bits
	// per pixel.
	TargetSize int64
	TargetBPP  float64
	// TargetPSNR is the peak signal-to-noise ratio in dB, over the bytes of all
	// colour components: the decoded picture reaches it and exceeds it by 0.1 dB
	// at most, again as far as the steps of the quality allow. What even the
	// lowest quality exceeds is coded at that.
	TargetPSNR float64
	// Effort is how much time is spent on a smaller file, 1 to 9; 0 means the
	// default, 3. Decoders need not know, and do not take longer.
	//
	// 1 rounds latents and hyper-latents to the nearest symbol. 2 chooses those of the
	// hyper-latent by what they cost and what they do to the latent
	// (rate-distortion-optimised quantisation). 3 looks, beside, for tiles that the
	// networks do not suit, such as those of screenshots, and codes them otherwise;
	// this takes time only where there may be some. 4 to 9 go on to refine the latents
	// through the decoder's gradients, in 3, 6, 12, 25, 50 and 120 rounds, 8 and 9 the
	// hyper-latents too. A round takes about five times as long as decoding.
	// Refining holds the latents of the whole picture, before and after quantisation,
	// and needs about 300 bytes for each pixel of a tile beside.
	// It lowers squared errors, so with a model trained for MS-SSIM (TuneSSIM) 4 to 9
	// do the same as 3.
	Effort int
	// Progress, if set, is called with the share that is done, rising to 1, while
	// latents are refined. With a target it starts again for each coding.
	Progress func(share float64)
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
	target  target
	threads int
	effort  int
	meta    []metadata

	progress func(share float64) // nil: nobody wants to know
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
	e := &Encoder{model: o.Model, threads: threads(o.Threads), progress: o.Progress}
	var err error
	if e.effort, err = parseEffort(o.Effort); err != nil {
		return nil, err
	}
	if e.quality, err = parseQuality(o.Quality); err != nil {
		return nil, err
	}
	if e.target, err = parseTarget(o); err != nil {
		return nil, err
	}
	switch {
	case e.model == nil:
		if e.model, err = TunedModel(o.Tune); err != nil {
			return nil, err
		}
	case o.Tune != 0:
		return nil, fmt.Errorf("codec: Model and Tune (%v) are both set", o.Tune)
	}
	if !e.model.CanEncode() {
		return nil, fmt.Errorf("codec: model %q can only decode", e.model.Name())
	}
	if e.model.structural() {
		e.effort = min(e.effort, replaceEffort)
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
	_, err := e.EncodeQuality(w, img)
	return err
}

// EncodeQuality is Encode and returns the quality of the file: with a target, the
// one that was found.
func (e *Encoder) EncodeQuality(w io.Writer, img image.Image) (float64, error) {
	j, err := e.newJob(img)
	if err != nil {
		return 0, err
	}
	var c *coded
	if e.target.kind == noTarget {
		c, err = j.code(e.quality, e.effort, false)
	} else {
		c, err = j.search()
	}
	if err != nil {
		return 0, err
	}
	return float64(c.quality) / qualityScale, j.write(w, c)
}

// job is a picture in work: all that does not depend on the quality.
type job struct {
	*Encoder
	raster *raster
	y      *latents // of the whole picture, nil where it is coded only once and not refined
	alpha  []byte   // its chunk, nil if there is none
	kinds  []byte   // of the tiles; nil chooses them
}

// coded is a picture at one quality.
type coded struct {
	quality quality
	tiles   [][]byte // payloads of the tile chunks
	sse     int64    // squared error of the decoded bytes, where it was asked for

	lossless bool // all tiles are of that kind

	next *coded // at the next quality, which is beyond the target; nil if the target is met
}

// newJob does what is done once, whatever the quality.
func (e *Encoder) newJob(img image.Image) (*job, error) {
	r, err := checkedRaster(img)
	if err != nil {
		return nil, err
	}
	j := &job{Encoder: e, raster: r}
	if e.target.kind != noTarget || refineRounds[e.effort] > 0 {
		if j.y, err = e.model.analyseAll(r, e.threads); err != nil {
			return nil, err
		}
	}
	if r.alpha {
		if j.alpha, err = encodeAlpha(r); err != nil {
			return nil, err
		}
	}
	return j, nil
}

// code codes the picture at a quality and, if asked for, measures the error.
func (j *job) code(q quality, effort int, measure bool) (*coded, error) {
	m := j.model
	p, err := m.encodingPoint(q, effort)
	if err != nil {
		return nil, err
	}
	h, w := j.raster.latentSize()
	grid := tileGrid(h, w)
	refine := refineRounds[effort] > 0
	c := &coded{quality: q, tiles: make([][]byte, len(grid))}
	doubts, err := j.doubts(grid, p, effort)
	if err != nil {
		return nil, err
	}
	anyDoubt := slices.ContainsFunc(doubts, func(d doubt) bool { return d != noDoubt })
	// Doubtful tiles of large pictures are drawn from their payloads instead, see replace.
	cut := m.cutter(m.synthesis, h, w)
	held := cut.whole || h*w <= heldBytes/(4*m.arch.M)
	var back *latents
	if measure || refine || anyDoubt && held {
		back = m.buffer()
		defer m.buffers.Put(back)
		back.reset(area{0, 0, w, h}, m.arch.M)
	}
	tiles, err := m.forTiles(j.raster, j.y, back, p, j.threads, func(i int, t *Tile, s *tileScratch) error {
		var err error
		if !refine || doubts[i] != noDoubt {
			s.payload, err = m.appendTile(s.payload[:0], t, p, s)
			c.tiles[i] = bytes.Clone(s.payload)
		}
		if refine {
			s.z, s.k, s.index = nil, nil, nil // they go with the tile
		}
		return err
	})
	if err == nil && anyDoubt {
		err = j.replace(c, tiles, doubts, p, back)
	}
	if err == nil && refine {
		err = j.refine(c, tiles, p, back, refineRounds[effort])
	}
	if err != nil || !measure {
		return c, err
	}
	whole := image.Rect(0, 0, j.raster.w, j.raster.h)
	out, err := j.draw(whole, back)
	if err != nil {
		return nil, err
	}
	for i, t := range tiles {
		if err := out.paint(c.tiles[i], t, j.raster.w, j.raster.h); err != nil {
			return nil, err
		}
	}
	c.sse = out.squaredError(j.raster, whole)
	return c, nil
}

// heldBytes bounds the dequantised latents of a picture that are held as a whole only
// to look at single tiles. A variable only so that tests can do without them.
var heldBytes = 64 << 20

// draw returns the pixels that the networks make, inside rect, of the dequantised
// latents of the whole picture.
func (j *job) draw(rect image.Rectangle, back *latents) (*canvas, error) {
	out := newCanvas(rect, j.raster.step == 1)
	cut := j.model.cutter(j.model.synthesis, back.y1, back.x1)
	jobs := cut.jobs(out.latentArea(), j.threads)
	return out, parallel(j.threads, len(jobs), func(i, _ int) error {
		return j.model.synthesise(out, back, &cut, jobs[i])
	})
}

// refine refines the tiles that hold latents, and codes them. back holds the dequantised latents of
// the whole picture.
func (j *job) refine(c *coded, tiles []*Tile, p *operatingPoint, back *latents, rounds int) error {
	s := j.model.scratch()
	defer j.model.release(s)
	latents := func(i int) bool { return len(c.tiles[i]) == 0 || c.tiles[i][0] == tileLatents }
	done, total := 0, 0
	for i, t := range tiles {
		if latents(i) {
			total += rounds * t.H * t.W
		}
	}
	for i, t := range tiles {
		if !latents(i) {
			continue
		}
		err := j.refineTile(t, p, back, rounds, func() {
			if done += t.H * t.W; j.progress != nil {
				j.progress(float64(done) / float64(total))
			}
		})
		if err != nil {
			return err
		}
		if s.payload, err = j.model.appendTile(s.payload[:0], t, p, s); err != nil {
			return err
		}
		c.tiles[i] = bytes.Clone(s.payload)
		t.Z, t.K, t.Index = nil, nil, nil // not needed any more
	}
	return nil
}

// write writes the file.
func (j *job) write(w io.Writer, c *coded) error {
	m, r := j.model, j.raster
	fw, err := format.NewWriter(w, &format.Header{
		Kind: format.KindImage, Width: uint32(r.w), Height: uint32(r.h),
		Channels: r.channels(), Depth: 8, Alpha: j.alpha != nil, TileLog2: tileLog2,
		Quality: uint16(c.quality), Model: m.Name(), Fingerprint: m.print,
	})
	if err != nil {
		return fmt.Errorf("codec: encode: %w", err)
	}
	write := func(kind format.ChunkType, data []byte) {
		if err == nil {
			err = fw.WriteChunk(kind, data)
		}
	}
	for _, c := range j.meta {
		write(c.kind, c.data)
	}
	for _, data := range c.tiles {
		write(format.ChunkTile, data)
	}
	if j.alpha != nil {
		write(format.ChunkAlpha, j.alpha)
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

// analyse computes the latents of a job.
func (m *Model) analyse(dst *latents, r *raster, cut *cutter, job area) error {
	x0, x1 := cut.columns(job)
	in := []nn.Shape{pixels(cut.h, x1-x0)}
	out := []nn.Shape{{H: cut.h, W: x1 - x0, C: m.arch.M}}
	s := m.scratch()
	defer m.release(s)
	rows, err := m.analysis.start(in, out, job.y0, job.y1, func(y int, dst [][]float32) {
		r.load(dst[0], x0*LatentStride, y, &s.line)
	})
	if err != nil {
		return err
	}
	defer m.analysis.end(rows)
	for lo, hi := rows.Next(); lo < hi; lo, hi = rows.Next() {
		for y := lo; y < hi; y++ {
			copy(dst.row(y, job.x0, job.x1), rows.Row(0, y)[(job.x0-x0)*dst.m:])
		}
	}
	return nil
}

// analyseAll returns the latents of the whole picture.
func (m *Model) analyseAll(r *raster, threads int) (*latents, error) {
	h, w := r.latentSize()
	cut := m.cutter(m.analysis, h, w)
	y := new(latents)
	y.reset(area{0, 0, w, h}, m.arch.M)
	jobs := cut.jobs(y.area, threads)
	return y, parallel(threads, len(jobs), func(i, _ int) error { return m.analyse(y, r, &cut, jobs[i]) })
}

// forTiles calls use, concurrently, with each tile of the picture's latents: of y,
// or analysed piece by piece where that is nil; see area.go for the order. The
// dequantised latents go to back unless that is nil. The tile's slices are gone
// after use returns, unless it takes them from the scratch.
func (m *Model) forTiles(r *raster, y, back *latents, p *operatingPoint, threads int, use func(i int, t *Tile, s *tileScratch) error) ([]*Tile, error) {
	h, w := r.latentSize()
	cut := m.cutter(m.analysis, h, w)
	tiles := tileGrid(h, w)
	across, down := ceilDiv(w, tileLatent), ceilDiv(h, tileLatent)
	buf := m.buffer()
	defer m.buffers.Put(buf)
	for tx, step := 0, cut.stripe(across); tx < across; tx += step {
		width := min(step, across-tx)
		held := area{x0: tx * tileLatent, x1: min((tx+width)*tileLatent, w)}
		high := cut.group(held.x1 - held.x0)
		for ty := 0; ty < down; ty += high {
			bottom := min(ty+high, down)
			held.y0, held.y1 = ty*tileLatent, min(bottom*tileLatent, h)
			src := y
			if src == nil {
				src = buf
				buf.reset(held, m.arch.M)
				jobs := cut.jobs(held, threads)
				err := parallel(threads, len(jobs), func(i, _ int) error { return m.analyse(buf, r, &cut, jobs[i]) })
				if err != nil {
					return nil, err
				}
			}
			err := parallel(threads, width*(bottom-ty), func(i, threads int) error {
				at := (ty+i/width)*across + tx + i%width
				t := tiles[at]
				s := m.scratch()
				defer m.release(s)
				t.Z, t.K, t.Index = s.z, s.k, s.index
				err := m.analyseTile(t, src, back, p, s, threads)
				s.z, s.k, s.index = t.Z, t.K, t.Index
				if err != nil {
					return err
				}
				err = use(at, t, s)
				if s.k != nil { // still the scratch's, which the tile must not keep alive
					t.Z, t.K, t.Index = nil, nil, nil
				}
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return tiles, nil
}

// Analyze returns what a file of the picture would hold at effort 2, and
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
	bits := make([][2]float64, len(tileGrid(r.latentSize())))
	l.Tiles, err = m.forTiles(r, nil, nil, p, threads(0), func(i int, t *Tile, s *tileScratch) error {
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
