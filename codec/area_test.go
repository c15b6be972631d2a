package codec

import (
	"bytes"
	"image"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/kernels"
)

// runWhole runs a program of one input and one output on a whole image.
func runWhole(t testing.TB, p *program, shape nn.Shape, in []float32) []float32 {
	compiled, err := p.compile()
	require.NoError(t, err)
	out, err := compiled.Run(nn.NewArena(), 1, &nn.Tensor{N: 1, H: shape.H, W: shape.W, C: shape.C, Data: in})
	require.NoError(t, err)
	return out[0].Data
}

// loadAll returns the pixels as the analysis sees them.
func loadAll(r *raster) []float32 {
	h, w := ceilDiv(r.h, LatentStride)*LatentStride, ceilDiv(r.w, LatentStride)*LatentStride
	x := make([]float32, h*w*3)
	var buf []byte
	for y := range h {
		r.load(x[y*w*3:][:w*3], 0, y, &buf)
	}
	return x
}

// holdLittle makes stripes and groups one tile wide and high.
func holdLittle(t *testing.T) {
	old := bufferBytes
	bufferBytes = 1
	t.Cleanup(func() { bufferBytes = old })
}

// Cut into jobs, analysis and synthesis give the bits of one run.
func TestJobs(t *testing.T) {
	m := smallModel()
	r := newRaster(picture(1000, 300))
	h, w := ceilDiv(r.h, LatentStride), ceilDiv(r.w, LatentStride)
	all := area{0, 0, w, h}
	var y latents
	y.reset(all, m.arch.M)
	cut := m.cutter(m.analysis, h, w)
	jobs := append(all.jobs(2), area{0, 0, 20, h}, area{20, 0, w, 1}, area{20, 1, w, h}, area{7, 3, 8, 9})
	for _, job := range jobs {
		require.NoError(t, m.analyse(&y, r, &cut, job))
	}
	require.True(t, equalBits(runWhole(t, m.analysis, pixels(h, w), loadAll(r)), y.data))

	x := runWhole(t, m.synthesis, nn.Shape{H: h, W: w, C: m.arch.M}, y.data)
	rect := image.Rect(0, 0, r.w, r.h)
	var buf []byte
	whole := newCanvas(rect, false)
	for i := range h * LatentStride {
		whole.store(0, i, x[i*w*LatentStride*3:][:w*LatentStride*3], &buf)
	}
	part := newCanvas(rect, false)
	cut = m.cutter(m.synthesis, h, w)
	for _, job := range jobs {
		require.NoError(t, m.synthesise(part, &y, &cut, job))
	}
	require.Equal(t, pixelHash(whole.rgb), pixelHash(part.rgb))
}

func TestJobsCover(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for range 200 {
		a := area{x0: rng.IntN(50), y0: rng.IntN(50)}
		a.x1, a.y1 = a.x0+1+rng.IntN(400), a.y0+1+rng.IntN(100)
		threads := 1 + rng.IntN(9)
		seen := map[[2]int]int{}
		jobs := a.jobs(threads)
		for _, j := range jobs {
			for y := j.y0; y < j.y1; y++ {
				for x := j.x0; x < j.x1; x++ {
					seen[[2]int{x, y}]++
				}
			}
		}
		require.Len(t, seen, (a.x1-a.x0)*(a.y1-a.y0))
		for _, n := range seen {
			require.Equal(t, 1, n)
		}
		if (a.y1-a.y0)/jobHeight >= threads {
			require.GreaterOrEqual(t, len(jobs), threads)
		}
	}
	require.Empty(t, area{3, 3, 3, 9}.jobs(2))
}

// In narrow stripes and low groups, files and pixels are the same.
func TestStripesAndGroups(t *testing.T) {
	if kernels.Active() == "generic" {
		t.Skip("slow, and no backend treats pieces differently")
	}
	src := picture(2085, 2100)
	o := &Options{Model: smallModel(), Threads: 2}
	data := encode(t, src, o)
	want := pixelHash(decode(t, data, smallModel()))
	holdLittle(t)
	require.Equal(t, data, encode(t, src, o))
	require.Equal(t, want, pixelHash(decode(t, data, smallModel())))
}

// The pixels of a region are those of the whole picture.
func TestDecodeRegion(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	translucent := picture(70, 1100)
	for y := range 1100 {
		translucent.Pix[translucent.PixOffset(y%70, y)+3] = uint8(y)
	}
	gray := image.NewGray(image.Rect(0, 0, 90, 60))
	for i := range gray.Pix {
		gray.Pix[i] = uint8(i * i)
	}
	for _, src := range []image.Image{picture(1090, 1061), translucent, gray} {
		data := encode(t, src, &Options{Model: smallModel()})
		for _, little := range []bool{false, true} {
			if little {
				holdLittle(t)
			}
			d := NewDecoder(&DecoderOptions{Models: []*Model{smallModel()}, Threads: 2})
			whole, err := d.Decode(bytes.NewReader(data))
			require.NoError(t, err)
			b := whole.Bounds()
			rects := []image.Rectangle{
				b, image.Rect(0, 0, 1, 1), image.Rect(b.Max.X-1, b.Max.Y-1, b.Max.X+9, b.Max.Y+9),
				image.Rect(b.Max.X-70, b.Max.Y-40, b.Max.X, b.Max.Y), image.Rect(15, 1000, 80, 1030), image.Rect(1008, 3, 1040, 20),
			}
			for range 6 {
				x, y := rng.IntN(b.Dx()), rng.IntN(b.Dy())
				rects = append(rects, image.Rect(x, y, x+1+rng.IntN(b.Dx()-x), y+1+rng.IntN(min(200, b.Dy()-y))))
			}
			for _, rect := range rects {
				if rect = rect.Intersect(b); rect.Empty() {
					continue
				}
				part, err := d.DecodeRegion(bytes.NewReader(data), rect)
				require.NoError(t, err)
				require.Equal(t, rect, part.Bounds())
				require.IsType(t, whole, part)
				for y := rect.Min.Y; y < rect.Max.Y; y++ {
					require.Equal(t, rowOf(whole, rect, y), rowOf(part, rect, y), "%v row %d", rect, y)
				}
			}
		}
	}
	d := NewDecoder(&DecoderOptions{Models: []*Model{smallModel()}})
	data := encode(t, gray, &Options{Model: smallModel()})
	for _, rect := range []image.Rectangle{{}, image.Rect(90, 0, 95, 5), image.Rect(-9, -9, 0, 0)} {
		_, err := d.DecodeRegion(bytes.NewReader(data), rect)
		require.EqualError(t, err, "codec: decode: the region is outside of the picture of 90x60 pixels")
	}
}

// rowOf returns the bytes of the columns of rect in row y.
func rowOf(m image.Image, rect image.Rectangle, y int) []byte {
	switch m := m.(type) {
	case *image.Gray:
		return m.Pix[m.PixOffset(rect.Min.X, y):][:rect.Dx()]
	case *image.NRGBA:
		return m.Pix[m.PixOffset(rect.Min.X, y):][:4*rect.Dx()]
	}
	panic("unexpected image type")
}
