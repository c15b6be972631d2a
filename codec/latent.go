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
	rdo    *rdo // of an encoder; nil rounds
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

// tileScratch is the working memory of one tile or block.
type tileScratch struct {
	pixels         []float32
	k              []int32
	index, zIndex  []uint8
	z              []int32
	y, ys          []float32 // padded to whole hyper-latent positions
	zf             []float32
	h, ma          []float32 // cropped
	ya, yhat, tile []float32
	scale          scaleScratch
}

// means runs the entropy model's networks over a tile whose Z is known. step
// is called twice for every row, with the means of the latent there: first for
// the even positions (x+y even) with the anchors' means, then for the odd ones
// with means that depend on the dequantised anchors, which the first round of
// calls has to write to s.ya [H, W, M]; elsewhere s.ya is 0.
func (m *Model) means(t *Tile, p *operatingPoint, s *tileScratch, threads int, step func(y, parity int, mean []float32)) error {
	hz, wz := t.hyperSize()
	s.zf = grow(s.zf, len(t.Z))
	for i, v := range t.Z {
		// Below 2^24 in magnitude, see scaleMap: exact.
		s.zf[i] = float32(v*p.step[i%m.arch.Z]) / (1 << stepBits)
	}
	padH, padW := hz*HyperStride, wz*HyperStride
	features := m.features
	in := []*nn.Tensor{tensor(s.zf, hz, wz, m.arch.Z)}
	shapes := []nn.Shape{{H: padH, W: padW, C: features}, {H: padH, W: padW, C: m.arch.M}}
	return m.hyperSynthesis.run(threads, in, shapes, func(out []*nn.Tensor) error {
		h, ma := out[0], out[1]
		if padH != t.H || padW != t.W {
			s.h, s.ma = grow(s.h, t.H*t.W*features), grow(s.ma, t.H*t.W*m.arch.M)
			copyRect(s.h, t.W, 0, 0, h.Data, padW, 0, 0, t.H, t.W, features)
			copyRect(s.ma, t.W, 0, 0, ma.Data, padW, 0, 0, t.H, t.W, m.arch.M)
			h, ma = tensor(s.h, t.H, t.W, features), tensor(s.ma, t.H, t.W, m.arch.M)
		}
		row := t.W * m.arch.M
		s.ya = grow(s.ya, t.H*row)
		clear(s.ya)
		kernels.For(threads, t.H, 4, func(lo, hi int) {
			for y := lo; y < hi; y++ {
				step(y, 0, ma.Data[y*row:][:row])
			}
		})
		in := []*nn.Tensor{h, tensor(s.ya, t.H, t.W, m.arch.M), ma}
		return m.context.run(threads, in, []nn.Shape{{H: t.H, W: t.W, C: m.arch.M}}, func(out []*nn.Tensor) error {
			kernels.For(threads, t.H, 4, func(lo, hi int) {
				for y := lo; y < hi; y++ {
					step(y, 1, out[0].Data[y*row:][:row])
				}
			})
			return nil
		})
	})
}

// dequantise writes yhat = (k + mean·ge)·gd.
func (p *operatingPoint) dequantise(dst []float32, k []int32, mean []float32) {
	ge, gd := p.ge[:len(dst)], p.gd[:len(dst)]
	k, mean = k[:len(dst)], mean[:len(dst)]
	for c := range dst {
		mu := float32(mean[c] * ge[c])
		dst[c] = (float32(k[c]) + mu) * gd[c]
	}
}

// maxLatent bounds the symbols that are written; it is far beyond the range of
// bytes at any quality, and float32 is exact there.
const maxLatent = 1 << 22

// quantise writes k = round(y·ge - mean·ge), or what is better, and 0 where
// nothing is coded.
func (p *operatingPoint) quantise(k []int32, index []uint8, y, mean []float32) {
	for c := range k {
		k[c] = 0
		if index[c] == format.Skip {
			continue
		}
		v := (y[c] - mean[c]) * p.ge[c]
		k[c] = nearest(v, maxLatent)
		if k[c] != 0 && p.rdo != nil {
			k[c] = p.rdo.latent(k[c], v, c, index[c])
		}
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

// analyseTile fills in t from the tile's latent, s.tile [H, W, M], and writes the
// dequantised latent to s.yhat.
func (m *Model) analyseTile(t *Tile, p *operatingPoint, s *tileScratch, threads int) error {
	M := m.arch.M
	hz, wz := t.hyperSize()
	padH, padW := hz*HyperStride, wz*HyperStride
	s.y, s.ys = grow(s.y, padH*padW*M), grow(s.ys, padH*padW*M)
	if padH != t.H || padW != t.W {
		clear(s.y)
	}
	copyRect(s.y, padW, 0, 0, s.tile, t.W, 0, 0, t.H, t.W, M)
	kernels.MulChannels(s.ys, s.y, p.ge)
	in := []*nn.Tensor{tensor(s.y, padH, padW, M), tensor(s.ys, padH, padW, M)}
	err := m.hyperAnalysis.run(threads, in, []nn.Shape{{H: hz, W: wz, C: m.arch.Z}}, func(out []*nn.Tensor) error {
		t.Z = grow(t.Z, len(out[0].Data))
		for i, v := range out[0].Data {
			k := i % m.arch.Z
			v = v * (1 << stepBits) / float32(p.step[k])
			t.Z[i] = nearest(v, m.prior.limit[k])
			if p.rdo != nil {
				t.Z[i] = p.rdo.hyperLatent(t.Z[i], v, k)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	n := t.H * t.W * M
	t.K, t.Index, s.yhat = grow(t.K, n), grow(t.Index, n), grow(s.yhat, n)
	m.scale.levels(t.Index, t.Z, t.H, t.W, p.step, p.bias, &s.scale)
	return m.means(t, p, s, threads, func(y, parity int, mean []float32) {
		for x := (y + parity) & 1; x < t.W; x += 2 {
			at := (y*t.W + x) * M
			p.quantise(t.K[at:][:M], t.Index[at:][:M], s.tile[at:][:M], mean[x*M:][:M])
			p.dequantise(s.yhat[at:][:M], t.K[at:], mean[x*M:])
			if parity == 0 {
				copy(s.ya[at:][:M], s.yhat[at:][:M])
			}
		}
	})
}

// tileKind tells what a tile chunk holds; there is one kind so far.
const tileLatents = 0

// appendTile codes t: kind and length of the hyper-latent as uvarints, the
// hyper-latent, the latent.
func (m *Model) appendTile(dst []byte, t *Tile, p *operatingPoint, s *tileScratch) ([]byte, error) {
	s.zIndex = grow(s.zIndex, len(t.Z))
	m.prior.indices(s.zIndex)
	z, err := format.EncodeSymbols(nil, p.tables, s.zIndex, t.Z)
	if err != nil {
		return nil, fmt.Errorf("codec: hyper-latent: %w", err)
	}
	dst = binary.AppendUvarint(dst, tileLatents)
	dst = binary.AppendUvarint(dst, uint64(len(z)))
	dst = append(dst, z...)
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

// splitTile takes the payload of a tile chunk apart.
func splitTile(data []byte) (z, y []byte, err error) {
	kind, n := binary.Uvarint(data)
	if n <= 0 {
		return nil, nil, corrupt("tile", "no kind")
	}
	if kind != tileLatents {
		return nil, nil, &format.FormatError{
			What: "tile", Cause: fmt.Sprintf("unknown kind %d", kind), Kind: format.ErrUnsupported}
	}
	data = data[n:]
	size, n := binary.Uvarint(data)
	if n <= 0 || size > uint64(len(data)-n) {
		return nil, nil, corrupt("tile", "length of the hyper-latent")
	}
	data = data[n:]
	return data[:size], data[size:], nil
}

// decodeTile decodes a tile chunk into t.Z, t.Index and t.K, which it grows.
func (m *Model) decodeTile(data []byte, t *Tile, p *operatingPoint, s *tileScratch) error {
	z, y, err := splitTile(data)
	if err != nil {
		return err
	}
	hz, wz := t.hyperSize()
	t.Z = grow(t.Z, hz*wz*m.arch.Z)
	s.zIndex = grow(s.zIndex, len(t.Z))
	m.prior.indices(s.zIndex)
	if err := format.DecodeSymbols(z, p.tables, s.zIndex, t.Z); err != nil {
		return fmt.Errorf("codec: hyper-latent: %w", err)
	}
	for i, v := range t.Z {
		if l := m.prior.limit[i%m.arch.Z]; v < -l || v > l {
			return corrupt("tile", "hyper-latent symbol %d beyond %d", v, l)
		}
	}
	n := t.H * t.W * m.arch.M
	t.Index, t.K = grow(t.Index, n), grow(t.K, n)
	m.scale.levels(t.Index, t.Z, t.H, t.W, p.step, p.bias, &s.scale)
	if err := format.DecodeSymbols(y, m.scaleTables, t.Index, t.K); err != nil {
		return fmt.Errorf("codec: latent: %w", err)
	}
	return nil
}

// reconstructTile writes the dequantised latent of t to yhat [H, W, M].
func (m *Model) reconstructTile(t *Tile, p *operatingPoint, s *tileScratch, threads int, yhat []float32) error {
	M := m.arch.M
	return m.means(t, p, s, threads, func(y, parity int, mean []float32) {
		for x := (y + parity) & 1; x < t.W; x += 2 {
			at := (y*t.W + x) * M
			p.dequantise(yhat[at:][:M], t.K[at:], mean[x*M:])
			if parity == 0 {
				copy(s.ya[at:][:M], yhat[at:][:M])
			}
		}
	})
}

// bits returns the cross-entropies documented at Latents.
func (m *Model) bits(t *Tile, p *operatingPoint, s *tileScratch) (z, y float64) {
	s.zIndex = grow(s.zIndex, len(t.Z))
	m.prior.indices(s.zIndex)
	return p.tables.Bits(s.zIndex, t.Z), m.scaleTables.Bits(t.Index, t.K)
}
