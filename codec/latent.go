package codec

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/format"
	"github.com/aecodec/aecodec/kernels"
)

// TileSide is the side of a tile in pixels. The entropy model does not look
// beyond its tile.
const (
	TileSide   = 1 << tileLog2
	tileLog2   = 10
	tileLatent = TileSide / LatentStride
)

// Latents are what a file holds of a picture, before entropy coding.
type Latents struct {
	Width, Height int // of the picture, in pixels
	Quality       float64
	Tiles         []*Tile // in raster order

	// ZBits and YBits are the cross-entropies of the hyper-latent and the
	// latent under the model's probability tables. Coding adds a few bytes per
	// tile.
	ZBits, YBits float64
}

// Tile is one tile of the latent. Channels are fastest, then columns.
type Tile struct {
	X, Y, W, H int     // in latent positions
	Z          []int32 // hyper-latent symbols [ceil(H/4), ceil(W/4), Arch.Z]
	K          []int32 // latent symbols [H, W, Arch.M]
	Index      []uint8 // scale level of each of K, or format.Skip where K is 0 and not coded
}

// area is the tile's place in the latent of the picture.
func (t *Tile) area() area { return area{t.X, t.Y, t.X + t.W, t.Y + t.H} }

// tileGrid cuts an h×w latent grid into tiles.
func tileGrid(h, w int) []*Tile {
	var tiles []*Tile
	for y := 0; y < h; y += tileLatent {
		for x := 0; x < w; x += tileLatent {
			tiles = append(tiles, &Tile{X: x, Y: y, W: min(tileLatent, w-x), H: min(tileLatent, h-y)})
		}
	}
	return tiles
}

// hyperSize returns the size of the tile's hyper-latent grid.
func (t *Tile) hyperSize() (h, w int) { return ceilDiv(t.H, HyperStride), ceilDiv(t.W, HyperStride) }

// operatingPoint is all that depends on the quality.
type operatingPoint struct {
	anchor int       // whose tables of the hyper-latent are used
	ge, gd []float32 // [M]
	step   []int32   // G [Z]
	bias   []float32 // of the scale map [16·M]
	tables *format.TableSet

	// Of an encoder.
	rdo     *rdo      // for the hyper-latent; nil rounds
	unit    float64   // bits that a squared error of one component of a pixel costs
	refine  *rdo      // symbols for refined latents; nil without refinement
	descent []float32 // [M] step in symbols by gradient of the latent
}

func (m *Model) at(q quality) (*operatingPoint, error) {
	b := newBlend(q.position(m.arch.Anchors), m.arch.Anchors)
	p := &operatingPoint{anchor: b.nearest(), ge: make([]float32, m.arch.M), gd: make([]float32, m.arch.M)}
	var err error
	if p.tables, err = m.prior.sets[p.anchor](); err != nil {
		return nil, fmt.Errorf("codec: hyper-latent tables: %w", err)
	}
	b.floats(p.ge, m.gainEnc)
	b.floats(p.gd, m.gainDec)
	kernels.Exp(p.ge, p.ge)
	kernels.Exp(p.gd, p.gd)
	p.step, p.bias = m.scale.at(b)
	return p, nil
}

// tileScratch is the working memory of a thread.
type tileScratch struct {
	k             []int32
	index, zIndex []uint8
	z             []int32
	scale         scaleScratch
	line          []byte // of pixels
	hyper         []byte // coded
	payload       []byte // of a chunk
}

// means runs the entropy model's networks over rows lo to hi of a tile whose Z is
// known. step is called twice for each of them, with the means of the latent
// there: first for the even positions (x+y even), with the anchors' means, then
// for the odd ones, with means that depend on the dequantised anchors around. The
// first call has to write these to ya [W, M], which holds 0 elsewhere.
//
// Rows are shared out to threads, which need some of each other's anchors: so step
// is called from several goroutines, and for even positions more than once, but
// with own set only once.
func (m *Model) means(t *Tile, p *operatingPoint, lo, hi, threads int, step func(y, parity int, own bool, mean, ya []float32)) error {
	parts := max(1, min(threads, (hi-lo)/jobHeight))
	if m.context.margin < 0 {
		parts = 1
	}
	return parallel(threads, parts, func(i, _ int) error {
		return m.meansOf(t, p, lo+(hi-lo)*i/parts, lo+(hi-lo)*(i+1)/parts, step)
	})
}

// meansOf is means for one thread.
func (m *Model) meansOf(t *Tile, p *operatingPoint, lo, hi int, step func(y, parity int, own bool, mean, ya []float32)) error {
	if lo >= hi {
		return nil
	}
	M, Z := m.arch.M, m.arch.Z
	hz, wz := t.hyperSize()
	padded := area{x1: wz * HyperStride, y1: hz * HyperStride}
	first := 0 // row that the context looks at
	if m.context.margin >= 0 {
		first = max(lo-m.context.margin, 0)
	}
	hyper, err := m.hyperSynthesis.start(
		[]nn.Shape{{H: hz, W: wz, C: Z}},
		[]nn.Shape{{H: padded.y1, W: padded.x1, C: m.features}, {H: padded.y1, W: padded.x1, C: M}},
		first, padded.y1,
		func(y int, dst [][]float32) {
			if dst[0] == nil {
				return
			}
			p.hyper(dst[0], t.Z[y*wz*Z:][:wz*Z])
		})
	if err != nil {
		return err
	}
	defer m.hyperSynthesis.end(hyper)
	ready := 0
	grid := func(c int) nn.Shape { return nn.Shape{H: t.H, W: t.W, C: c} }
	rows, err := m.context.start(
		[]nn.Shape{grid(m.features), grid(M), grid(M)}, []nn.Shape{grid(M)}, lo, hi,
		func(y int, dst [][]float32) {
			for y >= ready {
				_, ready = hyper.Next()
			}
			features, mean := hyper.Row(0, y), hyper.Row(1, y)[:t.W*M]
			copy(dst[0], features)
			clear(dst[1])
			step(y, 0, lo <= y && y < hi, mean, dst[1])
			copy(dst[2], mean)
		})
	if err != nil {
		return err
	}
	defer m.context.end(rows)
	for from, to := rows.Next(); from < to; from, to = rows.Next() {
		for y := from; y < to; y++ {
			step(y, 1, true, rows.Row(0, y), nil)
		}
	}
	return nil
}

// hyper writes the dequantised hyper-latent, channels fastest.
func (p *operatingPoint) hyper(dst []float32, z []int32) {
	for i, v := range z {
		// Below 2^24 in magnitude, see scaleMap: exact.
		dst[i] = float32(v*p.step[i%len(p.step)]) / (1 << stepBits)
	}
}

// dequantise writes yhat = (k + mean·ge)·gd.
func (p *operatingPoint) dequantise(dst []float32, k []int32, mean []float32) {
	kernels.Dequantise(dst, k[:len(dst)], mean[:len(dst)], p.ge[:len(dst)], p.gd[:len(dst)])
}

// maxLatent bounds the symbols that are written; it is far beyond the range of
// bytes at any quality, and float32 is exact there.
const maxLatent = 1 << 22

// quantise writes k = round(y·ge - mean·ge), and 0 where nothing is coded.
func (p *operatingPoint) quantise(k []int32, index []uint8, y, mean []float32) {
	for c := range k {
		k[c] = 0
		if index[c] == format.Skip {
			continue
		}
		k[c] = nearest((y[c]-mean[c])*p.ge[c], maxLatent)
	}
}

// nearest rounds v to the nearest integer, ties to even, within ±limit. NaN
// becomes 0: a network that overflows must not make the file undecodable.
func nearest(v float32, limit int32) int32 {
	r := math.RoundToEven(float64(v))
	switch {
	case r >= float64(limit):
		return limit
	case r <= -float64(limit):
		return -limit
	case r != r:
		return 0
	}
	return int32(r)
}

// analyseTile fills in t from its latent, which is in src, and writes the
// dequantised latent to its place in dst unless that is nil.
func (m *Model) analyseTile(t *Tile, src, dst *latents, p *operatingPoint, s *tileScratch, threads int) error {
	M, Z := m.arch.M, m.arch.Z
	hz, wz := t.hyperSize()
	padded := nn.Shape{H: hz * HyperStride, W: wz * HyperStride, C: M}
	row := func(y int) []float32 { return src.row(t.Y+y, t.X, t.X+t.W) }
	t.Z = grow(t.Z, hz*wz*Z)
	rows, err := m.hyperAnalysis.start([]nn.Shape{padded, padded}, []nn.Shape{{H: hz, W: wz, C: Z}}, 0, hz,
		func(y int, dst [][]float32) {
			for i, d := range dst {
				n := 0
				if y < t.H && d != nil {
					if n = copy(d, row(y)); i == 1 {
						kernels.MulChannels(d[:n], d[:n], p.ge)
					}
				}
				clear(d[n:])
			}
		})
	if err != nil {
		return err
	}
	s.zIndex = grow(s.zIndex, Z)
	index, up := s.zIndex, []int32(nil)
	for lo, hi := rows.Next(); lo < hi; lo, hi = rows.Next() {
		for y := lo; y < hi; y++ {
			z, values := t.Z[y*wz*Z:][:wz*Z], rows.Row(0, y)
			for x := range wz {
				here, left, above := m.prior.neighbours(z, up, x)
				m.prior.position(index, left, above)
				for k, v := range values[x*Z:][:Z] {
					v = v * (1 << stepBits) / float32(p.step[k])
					here[k] = nearest(v, m.prior.limit[k])
					if p.rdo != nil && index[k] != format.Skip {
						here[k] = p.rdo.hyperLatent(here[k], v, index[k])
					}
				}
			}
			up = z
		}
	}
	m.hyperAnalysis.end(rows)

	t.K, t.Index = grow(t.K, t.H*t.W*M), grow(t.Index, t.H*t.W*M)
	m.scale.levels(t.Index, t.Z, t.H, t.W, p.step, p.bias, &s.scale)
	return m.means(t, p, 0, t.H, threads, func(y, parity int, own bool, mean, ya []float32) {
		latent := row(y)
		var other []int32 // symbols that another thread writes to the tile
		if !own {
			other = make([]int32, M)
		}
		for x := (y + parity) & 1; x < t.W; x += 2 {
			at := (y*t.W + x) * M
			k := other
			if own {
				k = t.K[at:][:M]
			}
			p.quantise(k, t.Index[at:][:M], latent[x*M:][:M], mean[x*M:][:M])
			if ya != nil {
				p.dequantise(ya[x*M:][:M], k, mean[x*M:])
			}
			if own && dst != nil {
				p.dequantise(dst.row(t.Y+y, t.X+x, t.X+x+1), k, mean[x*M:])
			}
		}
	})
}

// hyperIndices writes the tables of the symbols of t.Z to s.zIndex.
func (m *Model) hyperIndices(t *Tile, s *tileScratch) {
	_, wz := t.hyperSize()
	s.zIndex = grow(s.zIndex, len(t.Z))
	m.prior.indices(s.zIndex, t.Z, wz)
}

// appendTile codes t: kind and length of the hyper-latent as uvarints, the
// hyper-latent, the latent.
func (m *Model) appendTile(dst []byte, t *Tile, p *operatingPoint, s *tileScratch) ([]byte, error) {
	m.hyperIndices(t, s)
	var err error
	s.hyper, err = format.EncodeSymbols(s.hyper[:0], p.tables, s.zIndex, t.Z)
	if err != nil {
		return nil, fmt.Errorf("codec: hyper-latent: %w", err)
	}
	dst = binary.AppendUvarint(dst, tileLatents)
	dst = binary.AppendUvarint(dst, uint64(len(s.hyper)))
	dst = append(dst, s.hyper...)
	dst, err = format.EncodeSymbols(dst, m.scaleTables, t.Index, t.K)
	if err != nil {
		return nil, fmt.Errorf("codec: latent: %w", err)
	}
	return dst, nil
}

// corrupt reports data whose checksums match and which make no sense.
func corrupt(what, cause string, args ...any) error {
	return &format.FormatError{What: what, Cause: fmt.Sprintf(cause, args...), Kind: format.ErrCorrupt}
}

// splitTile takes the payload of a tile of latents, without its kind, apart.
func splitTile(data []byte) (z, y []byte, err error) {
	size, n := binary.Uvarint(data)
	if n <= 0 || size > uint64(len(data)-n) {
		return nil, nil, corrupt("tile", "length of the hyper-latent")
	}
	data = data[n:]
	return data[:size], data[size:], nil
}

// readTile decodes a tile of latents, without its kind, into t.Z, t.Index and t.K,
// which it grows.
func (m *Model) readTile(data []byte, t *Tile, p *operatingPoint, s *tileScratch) error {
	z, y, err := splitTile(data)
	if err != nil {
		return err
	}
	hz, wz := t.hyperSize()
	t.Z = grow(t.Z, hz*wz*m.arch.Z)
	s.zIndex = grow(s.zIndex, m.arch.Z)
	if err := m.prior.decode(z, p.tables, t.Z, wz, s.zIndex); err != nil {
		return fmt.Errorf("codec: hyper-latent: %w", err)
	}
	n := t.H * t.W * m.arch.M
	t.Index, t.K = grow(t.Index, n), grow(t.K, n)
	m.scale.levels(t.Index, t.Z, t.H, t.W, p.step, p.bias, &s.scale)
	if err := format.DecodeSymbols(y, m.scaleTables, t.Index, t.K); err != nil {
		return fmt.Errorf("codec: latent: %w", err)
	}
	return nil
}

// reconstructTile writes rows lo to hi of the dequantised latent of t to its place
// in dst.
func (m *Model) reconstructTile(t *Tile, p *operatingPoint, lo, hi, threads int, dst *latents) error {
	M := m.arch.M
	return m.means(t, p, lo, hi, threads, func(y, parity int, own bool, mean, ya []float32) {
		for x := (y + parity) & 1; x < t.W; x += 2 {
			k := t.K[(y*t.W+x)*M:][:M]
			if ya != nil {
				p.dequantise(ya[x*M:][:M], k, mean[x*M:])
			}
			if own {
				out := dst.row(t.Y+y, t.X+x, t.X+x+1)
				if parity == 0 && ya != nil {
					copy(out, ya[x*M:])
				} else {
					p.dequantise(out, k, mean[x*M:])
				}
			}
		}
	})
}

// bits returns the cross-entropies documented at Latents.
func (m *Model) bits(t *Tile, p *operatingPoint, s *tileScratch) (z, y float64) {
	m.hyperIndices(t, s)
	return p.tables.Bits(s.zIndex, t.Z), m.scaleTables.Bits(t.Index, t.K)
}
