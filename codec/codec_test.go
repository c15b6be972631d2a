package codec

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/aecodec/aecodec/format"
	"github.com/aecodec/aecodec/kernels"
	"github.com/stretchr/testify/require"
)

// smallArch is photo with narrow networks, for tests that run on the portable
// kernels too.
var smallArch = sync.OnceValue(func() *Arch {
	a, err := PhotoConfig{
		M: 64, Z: 12, Anchors: 4, LambdaMin: 0.0004, LambdaMax: 0.4,
		AnalysisWidth8: 8, AnalysisWidth16: 12, AnalysisBlocks8: 1, AnalysisBlocks16: 1,
		HyperWidth: 12, HyperExpand: 64, ContextKern: 5,
		SynthWidth16: 12, SynthWidth8: 8, SynthBlocks: 1, RenderBlocks: 1,
	}.Arch()
	if err != nil {
		panic(err)
	}
	return a
})

var smallModel = sync.OnceValue(func() *Model {
	p, err := smallArch().Init(1)
	if err != nil {
		panic(err)
	}
	m, err := NewModel(smallArch(), p, nil, &Record{Name: "small"})
	if err != nil {
		panic(err)
	}
	return m
})

// fixture reads a picture of testdata.
func fixture(t testing.TB, name string) *image.NRGBA {
	t.Helper()
	f, err := os.Open("../testdata/" + name)
	require.NoError(t, err)
	defer f.Close()
	m, err := png.Decode(f)
	require.NoError(t, err)
	b := m.Bounds()
	out := image.NewNRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	for y := range b.Dy() {
		for x := range b.Dx() {
			out.Set(x, y, m.At(x, y))
		}
	}
	return out
}

// picture is a smooth colourful test picture with a few edges.
func picture(w, h int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.NRGBA{uint8(60 + x%150), uint8(200 - y%140), uint8((3*x + 2*y) / 4), 255}
			if (x/40+y/24)%3 == 0 {
				c.R, c.B = 220-c.R/2, 30
			}
			m.SetNRGBA(x, y, c)
		}
	}
	return m
}

func encode(t testing.TB, m image.Image, o *Options) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, Encode(&b, m, o))
	return b.Bytes()
}

func decode(t testing.TB, data []byte, models ...*Model) image.Image {
	t.Helper()
	m, err := NewDecoder(&DecoderOptions{Models: models, ModelDirs: []string{}}).Decode(bytes.NewReader(data))
	require.NoError(t, err)
	return m
}

// psnr compares the colours of two pictures of the same size.
func psnr(t testing.TB, a, b image.Image) float64 {
	t.Helper()
	ra, rb := newRaster(a), newRaster(b)
	require.Equal(t, [2]int{ra.w, ra.h}, [2]int{rb.w, rb.h})
	var sum, n float64
	var bufA, bufB []byte
	for y := range ra.h {
		rowA, rowB := ra.row(0, y, ra.w, &bufA), rb.row(0, y, rb.w, &bufB)
		at := func(r *raster, row []byte, x, c int) float64 { return float64(row[x*r.step+min(c, r.step-1)]) }
		for x := range ra.w {
			for c := range 3 {
				d := at(ra, rowA, x, c) - at(rb, rowB, x, c)
				sum += d * d
				n++
			}
		}
	}
	return 10 * math.Log10(255*255*n/max(sum, 1e-9))
}

func TestRoundTripSizes(t *testing.T) {
	m := smallModel()
	sides := []int{1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 47, 48, 49, 63, 64, 65, 70}
	for i, w := range sides {
		// Every pair of a side with 1, with itself, and with some other.
		for _, h := range []int{1, w, sides[(5*i+3)%len(sides)]} {
			for _, s := range [][2]int{{w, h}, {h, w}} {
				src := picture(s[0], s[1])
				data := encode(t, src, &Options{Quality: 90, Model: m})
				c, err := DecodeConfig(bytes.NewReader(data))
				require.NoError(t, err)
				require.Equal(t, image.Config{ColorModel: color.NRGBAModel, Width: s[0], Height: s[1]}, c)
				out := decode(t, data, m)
				require.IsType(t, &image.NRGBA{}, out)
				require.Equal(t, src.Rect, out.Bounds())
				require.Greater(t, psnr(t, src, out), 20., "%dx%d", s[0], s[1])
				require.True(t, out.(*image.NRGBA).Opaque())
			}
		}
	}
}

func TestQualities(t *testing.T) {
	src := fixture(t, "kodim23-crop.png")
	m := smallModel()
	size, quality := 0, 0.
	for _, q := range []float64{1, 10, 33.34, 50, 75, 100} {
		data := encode(t, src, &Options{Quality: q, Model: m})
		p := psnr(t, src, decode(t, data, m))
		require.Greater(t, len(data), size, "quality %g", q)
		require.Greater(t, p, quality, "quality %g", q)
		size, quality = len(data), p
	}
	require.Equal(t, encode(t, src, &Options{Model: m}), encode(t, src, &Options{Quality: DefaultQuality, Model: m}))
	for _, q := range []float64{-1, 0.5, 100.5, math.NaN(), math.Inf(1)} {
		require.ErrorContains(t, Encode(&bytes.Buffer{}, src, &Options{Quality: q, Model: m}), "quality")
	}
}

// sources are pictures of all kinds, most with an origin that is not (0, 0).
func sources(t testing.TB) map[string]image.Image {
	src := picture(75, 55)
	r := image.Rect(5, 5, 75, 55)
	out := map[string]image.Image{"nrgba": src.SubImage(r)}
	rgba, rgba64, nrgba64 := image.NewRGBA(r), image.NewRGBA64(r), image.NewNRGBA64(r)
	ycbcr, paletted := image.NewYCbCr(r, image.YCbCrSubsampleRatio420), image.NewPaletted(r, color.Palette{color.White, color.Black})
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			c := src.NRGBAAt(x, y)
			rgba.Set(x, y, c)
			rgba64.Set(x, y, c)
			nrgba64.Set(x, y, c)
			paletted.Set(x, y, c)
			ycbcr.Y[ycbcr.YOffset(x, y)], ycbcr.Cb[ycbcr.COffset(x, y)], ycbcr.Cr[ycbcr.COffset(x, y)] = color.RGBToYCbCr(c.R, c.G, c.B)
		}
	}
	out["rgba"], out["rgba64"], out["nrgba64"], out["ycbcr"], out["paletted"] = rgba, rgba64, nrgba64, ycbcr, paletted
	return out
}

func TestSources(t *testing.T) {
	m := smallModel()
	for name, src := range sources(t) {
		t.Run(name, func(t *testing.T) {
			out := decode(t, encode(t, src, &Options{Quality: 100, Model: m}), m)
			require.Equal(t, image.Rect(0, 0, 70, 50), out.Bounds())
			require.Greater(t, psnr(t, src, out), 20.)
		})
	}
	all := sources(t)
	want := encode(t, all["nrgba"], &Options{Model: m})
	for _, name := range []string{"rgba", "rgba64", "nrgba64"} {
		require.Equal(t, want, encode(t, all[name], &Options{Model: m}), name)
	}
}

func TestGray(t *testing.T) {
	m := smallModel()
	src := image.NewGray(image.Rect(-3, 2, 47, 42))
	wide := image.NewGray16(src.Rect)
	for y := src.Rect.Min.Y; y < src.Rect.Max.Y; y++ {
		for x := src.Rect.Min.X; x < src.Rect.Max.X; x++ {
			v := uint8(100 + 2*x - y)
			src.SetGray(x, y, color.Gray{v})
			wide.SetGray16(x, y, color.Gray16{uint16(v)<<8 | 0x7f})
		}
	}
	data := encode(t, src, &Options{Quality: 95, Model: m})
	require.Equal(t, data, encode(t, wide, &Options{Quality: 95, Model: m}))
	c, err := DecodeConfig(bytes.NewReader(data))
	require.NoError(t, err)
	require.Equal(t, color.GrayModel, c.ColorModel)
	out := decode(t, data, m)
	require.IsType(t, &image.Gray{}, out)
	require.Greater(t, psnr(t, src, out), 30.)
}

func TestAlpha(t *testing.T) {
	m := smallModel()
	rng := rand.New(rand.NewPCG(1, 2))
	for name, alpha := range map[string]func(x, y int) uint8{
		"ramp":  func(x, y int) uint8 { return uint8(2*x + y) },
		"noise": func(x, y int) uint8 { return uint8(rng.Uint32()) },
		"mask":  func(x, y int) uint8 { return uint8(x / 20 * y / 9 % 2 * 255) },
		"last":  func(x, y int) uint8 { return uint8(255 - x*y/(79*36)) },
		"clear": func(x, y int) uint8 { return 0 },
	} {
		t.Run(name, func(t *testing.T) {
			src := picture(80, 37)
			for y := range 37 {
				for x := range 80 {
					src.Pix[src.PixOffset(x, y)+3] = alpha(x, y)
				}
			}
			data := encode(t, src, &Options{Model: m})
			out := decode(t, data, m).(*image.NRGBA)
			for i := 3; i < len(src.Pix); i += 4 {
				require.Equal(t, src.Pix[i], out.Pix[i])
			}
			info, err := NewDecoder(&DecoderOptions{Models: []*Model{m}}).DecodeInfo(bytes.NewReader(data))
			require.NoError(t, err)
			require.True(t, info.Header.Alpha)
			require.Positive(t, info.AlphaBytes)
		})
	}
}

func TestMetadata(t *testing.T) {
	m := smallModel()
	o := &Options{Model: m, ICC: []byte("profile"), EXIF: []byte("exif data"), XMP: []byte("<xmp/>")}
	data := encode(t, picture(20, 20), o)
	info, err := NewDecoder(&DecoderOptions{Models: []*Model{m}}).DecodeInfo(bytes.NewReader(data))
	require.NoError(t, err)
	require.Equal(t, o.ICC, info.ICC)
	require.Equal(t, o.EXIF, info.EXIF)
	require.Equal(t, o.XMP, info.XMP)
	require.Same(t, m, info.Model)
	require.EqualValues(t, len(data), info.FileBytes)
	require.EqualValues(t, 22, info.MetadataBytes)
	require.Equal(t, 1, info.Tiles)
	require.Equal(t, "small", info.Header.Model)
	require.Less(t, info.FileBytes-info.HyperBytes-info.LatentBytes-info.PixelBytes-info.MetadataBytes, int64(100))
	decode(t, data, m)
}

func TestImagePackage(t *testing.T) {
	m := smallModel()
	RegisterModel(m)
	data := encode(t, picture(33, 21), &Options{Model: m})
	img, name, err := image.Decode(bytes.NewReader(data))
	require.NoError(t, err)
	require.Equal(t, "aec", name)
	require.Equal(t, image.Rect(0, 0, 33, 21), img.Bounds())
	c, name, err := image.DecodeConfig(bytes.NewReader(data))
	require.NoError(t, err)
	require.Equal(t, "aec", name)
	require.Equal(t, 33, c.Width)
}

func pixelHash(m image.Image) uint32 {
	switch m := m.(type) {
	case *image.NRGBA:
		return crc32.ChecksumIEEE(m.Pix)
	case *image.Gray:
		return crc32.ChecksumIEEE(m.Pix)
	}
	panic(fmt.Sprintf("%T", m))
}

// A file has the same bytes and decodes to the same pixels with every backend
// and number of threads, whichever encoded it.
func TestSameBits(t *testing.T) {
	defer func(name string) { require.NoError(t, kernels.Use(name)) }(kernels.Active())
	photo, err := DefaultModel()
	require.NoError(t, err)
	crop := fixture(t, "kodim23-crop.png")
	for _, c := range []struct {
		name  string
		model *Model
		src   image.Image
	}{
		{"small", smallModel(), crop},
		{"two tiles", smallModel(), picture(1061, 33)},
		{"photo", photo, crop.SubImage(image.Rect(20, 10, 71, 61))},
	} {
		t.Run(c.name, func(t *testing.T) {
			type run struct{ file, pixels uint32 }
			var first *run
			var files [][]byte
			for _, backend := range kernels.Available() {
				require.NoError(t, kernels.Use(backend))
				for threads := 1; threads <= 3; threads++ {
					if backend == "generic" && threads > 1 && c.model == photo {
						continue // the same code as with fewer; slow
					}
					data := encode(t, c.src, &Options{Quality: 40, Model: c.model, Threads: threads})
					out, err := NewDecoder(&DecoderOptions{Models: []*Model{c.model}, Threads: threads}).Decode(bytes.NewReader(data))
					require.NoError(t, err)
					got := run{crc32.ChecksumIEEE(data), pixelHash(out)}
					if first == nil {
						first = &got
					}
					require.Equal(t, *first, got, "%s with %d threads", backend, threads)
					files = append(files, data)
				}
			}
			// The last backend decodes what the first one encoded.
			require.Equal(t, first.pixels, pixelHash(decode(t, files[0], c.model)))
		})
	}
}

func TestCodedSize(t *testing.T) {
	m, err := DefaultModel()
	require.NoError(t, err)
	src, qualities := image.Image(fixture(t, "kodim23.png")), []float64{10, 50, 90}
	if kernels.Active() == "generic" { // slow
		src, qualities = src.(*image.NRGBA).SubImage(image.Rect(400, 100, 592, 260)), []float64{70}
	}
	for _, q := range qualities {
		l, err := m.Analyze(src, q)
		require.NoError(t, err)
		data := encode(t, src, &Options{Quality: q})
		info, err := NewDecoder(nil).DecodeInfo(bytes.NewReader(data))
		require.NoError(t, err)
		ideal := (l.ZBits + l.YBits) / 8
		t.Logf("quality %g: %d bytes, z %d of %.0f, y %d of %.0f", q, len(data), info.HyperBytes, l.ZBits/8, info.LatentBytes, l.YBits/8)
		require.InEpsilon(t, ideal, float64(info.HyperBytes+info.LatentBytes), 0.01, "quality %g", q)
		require.Less(t, float64(len(data)), ideal*1.01+64)
	}
}

func TestConcurrentUse(t *testing.T) {
	m := smallModel()
	e, err := NewEncoder(&Options{Model: m, Threads: 2})
	require.NoError(t, err)
	d := NewDecoder(&DecoderOptions{Models: []*Model{m}, Threads: 2})
	var wg sync.WaitGroup
	sizes := [][2]int{{40, 30}, {100, 20}, {64, 64}, {17, 90}}
	want := make([]uint32, len(sizes))
	for i, s := range sizes {
		want[i] = pixelHash(decode(t, encode(t, picture(s[0], s[1]), &Options{Model: m, Threads: 1}), m))
	}
	got := make([][]uint32, len(sizes))
	for i, s := range sizes {
		got[i] = make([]uint32, 5)
		wg.Go(func() {
			for k := range got[i] {
				var b bytes.Buffer
				if e.Encode(&b, picture(s[0], s[1])) != nil {
					return
				}
				if out, err := d.Decode(&b); err == nil {
					got[i][k] = pixelHash(out)
				}
			}
		})
	}
	wg.Wait()
	for i := range sizes {
		for _, h := range got[i] {
			require.Equal(t, want[i], h)
		}
	}
}

func TestEncodeErrors(t *testing.T) {
	m := smallModel()
	require.ErrorContains(t, Encode(&bytes.Buffer{}, image.NewNRGBA(image.Rectangle{}), &Options{Model: m}), "empty")
	huge := image.NewUniform(color.White) // 2e9 x 2e9 pixels
	require.ErrorIs(t, Encode(&bytes.Buffer{}, huge, &Options{Model: m}), format.ErrLimit)
	require.ErrorIs(t, Encode(brokenPipe{}, picture(9, 9), &Options{Model: m}), os.ErrClosed)

	require.ErrorIs(t, Encode(&bytes.Buffer{}, picture(9, 9), &Options{Model: m, XMP: make([]byte, 1<<24+1)}), format.ErrLimit)

	var b bytes.Buffer
	require.NoError(t, m.Save(&b, true))
	dec, err := LoadModel(&b)
	require.NoError(t, err)
	require.ErrorContains(t, Encode(&bytes.Buffer{}, picture(9, 9), &Options{Model: dec}), "only decode")
	_, err = dec.Analyze(picture(9, 9), 50)
	require.ErrorContains(t, err, "only decode")
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, os.ErrClosed }
