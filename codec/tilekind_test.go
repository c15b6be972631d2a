package codec

import (
	"bytes"
	"image"
	"image/color"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/format"
)

// drawing is a picture of few colours and sharp edges, with a repeated glyph.
func drawing(w, h int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	const glyph uint64 = 0x3c66c3c3ff_c3c3
	for y := range h {
		for x := range w {
			v := [3]byte{250, 250, 245}
			switch {
			case (x/7+y/9)%5 == 0 && glyph>>(x%7+y%9*7)&1 == 1:
				v = [3]byte{10, 20, 90}
			case y > h/2 && x > w/2:
				v = [3]byte{200, byte(30 * (x / 40)), 0}
			}
			copy(m.Pix[m.PixOffset(x, y):], []byte{v[0], v[1], v[2], 255})
		}
	}
	return m
}

// noise is white noise.
func noise(w, h int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range m.Pix {
		m.Pix[i] = uint8(rng.Uint32()) | uint8(i%4/3*255)
	}
	return m
}

func TestBinaryCoder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const n = 20000
	code := func(c *binaryCoder, values []int) []int {
		skewed, tree, numbers, zero := newBits(1), newBits(64), newNumbers(1), newBits(1)
		for i, v := range values {
			switch i % 5 {
			case 0:
				values[i] = c.decide(&skewed[0], v)
			case 1:
				values[i] = c.tree(tree, 6, v)
			case 2:
				values[i] = c.number(&numbers[0], v)
			case 3:
				values[i] = c.signed(&zero[0], &numbers[0], v)
			case 4:
				values[i] = c.raw(11, v)
			}
		}
		return values
	}
	want := make([]int, n)
	for i := range want {
		switch i % 5 {
		case 0:
			want[i] = 1 - min(rng.IntN(1000), 1) // nearly always 0, so that carries have far to go
		case 1:
			want[i] = rng.IntN(64)
		case 2:
			want[i] = rng.IntN(1 << rng.IntN(17))
		case 3:
			want[i] = rng.IntN(2001) - 1000
		case 4:
			want[i] = rng.IntN(1 << 11)
		}
	}
	want[2], want[7] = 1<<17-2, 0
	e := newBinaryEncoder([]byte("x"))
	require.Equal(t, want, code(e, append([]int(nil), want...)), "encoding returns its input")
	data := e.finish()
	require.Equal(t, byte('x'), data[0])
	d := newBinaryDecoder(data[1:])
	require.Equal(t, want, code(d, make([]int, n)))
	require.NoError(t, d.check())
	d = newBinaryDecoder(append(data[1:len(data):len(data)], 0))
	code(d, make([]int, n))
	require.ErrorIs(t, d.check(), format.ErrCorrupt)
	d = newBinaryDecoder(data[1 : len(data)-1])
	code(d, make([]int, n))
	require.ErrorIs(t, d.check(), format.ErrCorrupt)
}

func TestBinaryCoderCompresses(t *testing.T) {
	e := newBinaryEncoder(nil)
	b := newBits(1)
	for i := range 10000 {
		v := 0
		if i%100 == 0 {
			v = 1
		}
		e.decide(&b[0], v)
	}
	require.Less(t, len(e.finish()), 10000/8/9, "the entropy is 0.081 bits")
}

func TestPixelTiles(t *testing.T) {
	for name, m := range map[string]image.Image{
		"drawing": drawing(61, 43), "noise": noise(33, 17), "picture": picture(50, 20), "dot": noise(1, 1),
		"row": drawing(40, 1), "column": noise(1, 30), "gray": toGray(picture(31, 40)), "grayDrawing": toGray(drawing(70, 33)),
	} {
		r := newRaster(m)
		tile := &Tile{W: ceilDiv(r.w, LatentStride), H: ceilDiv(r.h, LatentStride)}
		components := int(r.channels())
		pix, w, h := r.packed(tile)
		require.Equal(t, []int{r.w, r.h}, []int{w, h})
		data := encodeLossless(nil, pix, w, h, components)
		got := make([]uint32, w*h)
		require.NoError(t, decodeLossless(data, got, w, h, components), name)
		require.Equal(t, pix, got, name)

		last := int64(-1)
		for index := 0; index <= maxStepIndex; index += 16 {
			data := encodeTransform(nil, pix, w, h, components, index, roundUsual)
			require.NoError(t, decodeTransform(data, got, w, h, components), name)
			e := packedError(pix, got)
			require.GreaterOrEqual(t, 3*e, 2*last, "%s: steps of index %d", name, index)
			last = e
			if index == 0 {
				require.LessOrEqual(t, e, int64(w*h), "half a gray level")
			}
		}
	}
}

func TestSteps(t *testing.T) {
	require.EqualValues(t, 32, stepOf(16, 0), "one gray level")
	for i := range maxStepIndex {
		require.Greater(t, stepOf(i+1, 0), stepOf(i, 0))
		require.Equal(t, stepOf(i, 0), stepOf(i, 2))
		require.InEpsilon(t, 1.25, float64(stepOf(i, 1))/float64(stepOf(i, 0)), 0.04)
	}
	require.Equal(t, 0, stepFor(1e12))
	require.Equal(t, maxStepIndex, stepFor(0))
}

// Each kind of tile is chosen where it belongs, and files of several kinds
// decode to the same pixels however they are decoded.
func TestKindsOfTiles(t *testing.T) {
	model := smallModel()
	kinds := func(data []byte) (pixelTiles, tiles int) {
		info, err := NewDecoder(&DecoderOptions{Models: []*Model{model}}).DecodeInfo(bytes.NewReader(data))
		require.NoError(t, err)
		require.Equal(t, info.PixelTiles > 0, info.PixelBytes > 0)
		return info.PixelTiles, info.Tiles
	}
	// A photograph, then a drawing, in tiles of their own.
	m := image.NewNRGBA(image.Rect(0, 0, 1024+90, 60))
	crop, draw := fixture(t, "kodim23-crop.png"), drawing(90, 60)
	for y := range 60 {
		for x := range 1024 {
			copy(m.Pix[m.PixOffset(x, y):][:4], crop.Pix[crop.PixOffset(x%crop.Rect.Dx(), y%crop.Rect.Dy()):])
		}
		copy(m.Pix[m.PixOffset(1024, y):], draw.Pix[draw.PixOffset(0, y):][:4*90])
	}
	for _, effort := range []int{3, 4} {
		o := &Options{Model: model, Quality: 40, Effort: effort}
		data := encode(t, m, o)
		pixels, all := kinds(data)
		require.Equal(t, []int{1, 2}, []int{pixels, all})
		out := decode(t, data, model).(*image.NRGBA)
		for y := range 60 {
			require.Equal(t, m.Pix[m.PixOffset(1024, y):][:4*90], out.Pix[out.PixOffset(1024, y):][:4*90], "row %d", y)
		}
	}
	pixels, _ := kinds(encode(t, m, &Options{Model: model, Quality: 40, Effort: 2}))
	require.Zero(t, pixels, "only from effort 3 on")
	pixels, _ = kinds(encode(t, noise(64, 64), &Options{Model: model, Quality: 90}))
	require.Equal(t, 1, pixels)

	data, _ := encodeTo(t, noise(64, 64), &Options{Model: model, TargetPSNR: 30})
	require.GreaterOrEqual(t, psnr(t, noise(64, 64), decode(t, data, model)), 30.)
}

// Beside tiles of pixels the networks see zeros, and the pixels do not depend on
// how the picture is cut.
func TestKindsOfTilesInPieces(t *testing.T) {
	model := smallModel()
	const W, H = TileSide + 70, TileSide + 40
	m := image.NewNRGBA(image.Rect(0, 0, W, H))
	crop, drawn, noisy := fixture(t, "kodim23-crop.png"), drawing(70, TileSide), noise(TileSide, 40)
	for y := range H {
		for x := range W {
			from, fx, fy := crop, x%crop.Rect.Dx(), y%crop.Rect.Dy()
			switch {
			case x >= TileSide && y < TileSide:
				from, fx, fy = drawn, x-TileSide, y
			case x < TileSide && y >= TileSide:
				from, fx, fy = noisy, x, y-TileSide
			}
			copy(m.Pix[m.PixOffset(x, y):][:4], from.Pix[from.PixOffset(fx, fy):])
		}
	}
	data := encode(t, m, &Options{Model: model, Quality: 40, Threads: 2})
	// Doubtful tiles that are decoded from their payloads look the same.
	defer func(n int) { heldBytes = n }(heldBytes)
	heldBytes = 0
	require.Equal(t, data, encode(t, m, &Options{Model: model, Quality: 40, Threads: 2}))
	d := NewDecoder(&DecoderOptions{Models: []*Model{model}, Threads: 2})
	c, err := d.read(bytes.NewReader(data))
	require.NoError(t, err)
	p, err := model.at(4000)
	require.NoError(t, err)
	var kinds []int
	y := latents{area: area{0, 0, c.w, c.h}, m: model.arch.M, data: make([]float32, c.h*c.w*model.arch.M)}
	for i, tile := range c.grid {
		kind, _, err := tileKind(c.tiles[i])
		require.NoError(t, err)
		if kinds = append(kinds, kind); kind == tileLatents {
			require.NoError(t, model.decodeTile(c.tiles[i], tile, p, y.area, &y, 2))
		}
	}
	require.Equal(t, []int{tileLatents, tileLossless, tileTransform, tileLatents}, kinds)
	x := runWhole(t, model.synthesis, nn.Shape{H: c.h, W: c.w, C: y.m}, y.data)
	var buf []byte
	want := newCanvas(m.Rect, false)
	for row := range c.h * LatentStride {
		want.store(0, row, x[row*c.w*LatentStride*3:][:c.w*LatentStride*3], &buf)
	}
	for i, tile := range c.grid {
		require.NoError(t, want.paint(c.tiles[i], tile, W, H))
	}

	for _, little := range []bool{false, true} {
		if little {
			holdLittle(t)
		}
		require.Equal(t, pixelHash(want.rgb), pixelHash(decode(t, data, model)))
		for _, rect := range []image.Rectangle{
			image.Rect(1000, 1010, 1050, 1040), image.Rect(990, 5, 1024, 30), image.Rect(1024, 5, 1060, 30),
			image.Rect(3, 1005, 90, 1024), image.Rect(3, 1030, 90, 1064), image.Rect(1040, 1000, W, H),
			image.Rect(0, 0, 1, 1), image.Rect(1080, 10, W, 12),
		} {
			part, err := d.DecodeRegion(bytes.NewReader(data), rect)
			require.NoError(t, err)
			for y := rect.Min.Y; y < rect.Max.Y; y++ {
				require.Equal(t, rowOf(want.rgb, rect, y), rowOf(part, rect, y), "%v row %d", rect, y)
			}
		}
	}
	require.Equal(t, data, encode(t, m, &Options{Model: model, Quality: 40, Threads: 1}), "in stripes")
}

// Where nothing is lost, there is nothing left to aim for.
func TestTargetsWithoutLoss(t *testing.T) {
	m := drawing(100, 90)
	for _, o := range []Options{{TargetPSNR: 40}, {TargetSize: 1 << 20}, {TargetBPP: 24}} {
		o.Model = smallModel()
		data, _ := encodeTo(t, m, &o)
		require.Equal(t, m.Pix, decode(t, data, smallModel()).(*image.NRGBA).Pix)
	}
}

func TestDamagedPixelTiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, m := range []image.Image{drawing(48, 40), noise(24, 24)} {
		r := newRaster(m)
		tile := &Tile{W: ceilDiv(r.w, LatentStride), H: ceilDiv(r.h, LatentStride)}
		pix, w, h := r.packed(tile)
		for kind, data := range map[byte][]byte{
			tileLossless:  encodeLossless([]byte{tileLossless}, pix, w, h, 3),
			tileTransform: encodeTransform([]byte{tileTransform}, pix, w, h, 3, 30, roundUsual),
		} {
			c := newCanvas(image.Rect(0, 0, w, h), false)
			require.NoError(t, c.paint(data, tile, w, h))
			for range 60 {
				bad := bytes.Clone(data)
				switch rng.IntN(3) {
				case 0:
					bad = bad[:rng.IntN(len(bad))]
				case 1:
					bad[1+rng.IntN(len(bad)-1)] ^= 1 << rng.IntN(8)
				default:
					bad = append(bad, 1)
				}
				if err := c.paint(bad, tile, w, h); err != nil {
					require.ErrorIs(t, err, format.ErrCorrupt, "kind %d", kind)
				}
			}
			require.Error(t, c.paint(data[:len(data)-1], tile, w, h))
		}
	}
	_, _, err := tileKind([]byte{tileKinds})
	require.ErrorIs(t, err, format.ErrUnsupported)
	_, _, err = tileKind(nil)
	require.ErrorIs(t, err, format.ErrCorrupt)
}

func FuzzPixelTile(f *testing.F) {
	pix, w, h := newRaster(drawing(20, 12)).packed(&Tile{W: 2, H: 1})
	f.Add(encodeLossless([]byte{tileLossless}, pix, w, h, 3))
	f.Add(encodeTransform([]byte{tileTransform}, pix, w, h, 3, 40, roundUsual))
	f.Fuzz(func(t *testing.T, data []byte) {
		tile := &Tile{W: 2, H: 1}
		for _, gray := range []bool{false, true} {
			_ = newCanvas(image.Rect(0, 0, 20, 12), gray).paint(data, tile, 20, 12)
		}
	})
}

// A row of pixels is padded to 16 rows for the networks, which costs more than to
// code it in another way.
func TestNarrowPicture(t *testing.T) {
	m := image.NewNRGBA(image.Rect(0, 0, 400, 1))
	for x := range 400 {
		m.SetNRGBA(x, 0, color.NRGBA{byte(x), byte(255 - x), byte(2 * x), 0xff})
	}
	for _, quality := range []float64{10, 50, 70} {
		data := encode(t, m, &Options{Quality: quality})
		require.Less(t, len(data), 300)
		info, err := NewDecoder(nil).DecodeInfo(bytes.NewReader(data))
		require.NoError(t, err)
		require.Equal(t, 1, info.PixelTiles)
	}
}
