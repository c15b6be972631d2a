package picture

import (
	"bytes"
	"errors"
	"hash/adler32"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// pngPicture has a part for every filter: flat, steps to the right and downwards, a
// slope, noise.
func pngPicture(w, h int, alpha bool) *image.NRGBA {
	rng := rand.New(rand.NewPCG(1, 2))
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.NRGBA{0, 0, 1, 0xff}
			switch y * 6 / h {
			case 1:
				c.R = byte(rng.Uint32() & 3)
			case 2:
				c.R, c.G = byte(x*x), byte(x)
			case 3:
				c.G = byte(37 * y)
			case 4:
				c.R, c.G, c.B = byte(3*x+2*y), byte(2*y-x), byte(x+y)
			case 5:
				c.R, c.G, c.B = byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())
			}
			if alpha {
				c.A = byte(x)
			}
			m.SetNRGBA(x, y, c)
		}
	}
	return m
}

func TestWritePNG(t *testing.T) {
	gray := image.NewGray(image.Rect(0, 0, 300, 200))
	for i := range gray.Pix {
		gray.Pix[i] = byte(i * i >> 7)
	}
	for name, m := range map[string]image.Image{
		"opaque":       pngPicture(301, 130, false),
		"alpha":        pngPicture(301, 130, true),
		"bands":        pngPicture(700, 600, false),
		"part":         pngPicture(99, 98, false).SubImage(image.Rect(3, 5, 80, 91)),
		"wide":         pngPicture(100_000, 3, false),
		"one pixel":    pngPicture(1, 1, true),
		"gray":         gray,
		"part of gray": gray.SubImage(image.Rect(7, 9, 8, 150)),
	} {
		t.Run(name, func(t *testing.T) {
			var files [2][]byte
			for i, n := range []int{1, 4} {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(n))
				var b bytes.Buffer
				require.NoError(t, Encode(&b, m, PNG, nil))
				files[i] = b.Bytes()
			}
			require.True(t, bytes.Equal(files[0], files[1]), "the threads decide")
			got, err := png.Decode(bytes.NewReader(files[0]))
			require.NoError(t, err)
			require.Equal(t, m.Bounds().Size(), got.Bounds().Size())
			if _, ok := m.(*image.Gray); ok {
				require.IsType(t, m, got)
			}
			for y := range got.Bounds().Dy() {
				for x := range got.Bounds().Dx() {
					want := m.At(m.Bounds().Min.X+x, m.Bounds().Min.Y+y)
					if w, g := color.NRGBAModel.Convert(want), color.NRGBAModel.Convert(got.At(x, y)); w != g {
						require.Equal(t, w, g, "%d, %d", x, y)
					}
				}
			}
		})
	}
	l, ok := newPNGLayout(pngPicture(64, 60, false))
	require.True(t, ok)
	f := newPNGFilter(&l)
	used := map[byte]bool{}
	for i, raw := 0, f.band(0, 60); i < len(raw); i += 1 + 3*64 {
		used[raw[i]] = true
	}
	require.Equal(t, map[byte]bool{pngNone: true, pngSub: true, pngUp: true, pngPaeth: true}, used)

	_, ok = newPNGLayout(image.NewNRGBA(image.Rect(0, 0, 0, 5)))
	require.False(t, ok)
	for n := range 60 {
		err := Encode(&shortWriter{n}, pngPicture(3, 2, false), PNG, nil)
		require.ErrorIs(t, err, errShort)
	}
}

var errShort = errors.New("short")

// shortWriter fails after some bytes.
type shortWriter struct{ left int }

func (w *shortWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errShort
	}
	return len(p), nil
}

func TestAdlerCombine(t *testing.T) {
	data := make([]byte, 200_000)
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	for _, at := range []int{0, 1, 65520, 65521, 65522, 131042, len(data)} {
		got := adlerCombine(adler32.Checksum(data[:at]), adler32.Checksum(data[at:]), len(data)-at)
		require.Equal(t, adler32.Checksum(data), got, at)
	}
}

func BenchmarkWritePNG(b *testing.B) {
	m := pngPicture(1024, 768, false)
	for name, encode := range map[string]func(*bytes.Buffer) error{
		"this":      func(w *bytes.Buffer) error { return Encode(w, m, PNG, nil) },
		"image/png": func(w *bytes.Buffer) error { return png.Encode(w, m) },
	} {
		b.Run(name, func(b *testing.B) {
			var w bytes.Buffer
			for b.Loop() {
				w.Reset()
				if err := encode(&w); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(1024 * 768 * 3)
			b.ReportMetric(float64(w.Len()), "bytes")
		})
	}
}
