package picture

import (
	"bytes"
	"image"
	"image/color"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPNMDecode(t *testing.T) {
	for _, c := range []struct {
		name, file string
		want       image.Image
	}{
		{"plain gray", "P2\n# a comment\n3 1 # another\n255\n0 7 255\n", &image.Gray{Pix: []byte{0, 7, 255}, Stride: 3, Rect: image.Rect(0, 0, 3, 1)}},
		{"plain gray scaled, no final newline", "P2 2 1 3 1 2", &image.Gray{Pix: []byte{85, 170}, Stride: 2, Rect: image.Rect(0, 0, 2, 1)}},
		{"plain colour", "P3 1 1 255 1 2 3", &image.RGBA{Pix: []byte{1, 2, 3, 255}, Stride: 4, Rect: image.Rect(0, 0, 1, 1)}},
		{"plain wide", "P2 1 1 65535\n4660", &image.Gray16{Pix: []byte{0x12, 0x34}, Stride: 2, Rect: image.Rect(0, 0, 1, 1)}},
		{"raw gray, a sample that looks like white space", "P5\n2 1\n255\n\n ", &image.Gray{Pix: []byte{10, 32}, Stride: 2, Rect: image.Rect(0, 0, 2, 1)}},
		{"raw colour", "P6 1 2 255\nabcdef", &image.RGBA{Pix: []byte("abc\xffdef\xff"), Stride: 4, Rect: image.Rect(0, 0, 1, 2)}},
		{"raw colour scaled", "P6 1 1 100\n\x00\x32\x64", &image.RGBA{Pix: []byte{0, 128, 255, 255}, Stride: 4, Rect: image.Rect(0, 0, 1, 1)}},
		{"raw wide gray", "P5 1 1 1023\n\x03\xff", &image.Gray16{Pix: []byte{255, 255}, Stride: 2, Rect: image.Rect(0, 0, 1, 1)}},
		{"raw wide colour", "P6 1 1 65535\n\x01\x02\x03\x04\x05\x06", &image.RGBA64{Pix: []byte{1, 2, 3, 4, 5, 6, 255, 255}, Stride: 8, Rect: image.Rect(0, 0, 1, 1)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, _, err := Decode(strings.NewReader(c.file), nil)
			require.NoError(t, err)
			require.Equal(t, c.want, m)
			cfg, _, err := DecodeConfig(strings.NewReader(c.file), nil)
			require.NoError(t, err)
			require.Equal(t, c.want.ColorModel(), cfg.ColorModel)
		})
	}
}

func TestPNMErrors(t *testing.T) {
	for file, want := range map[string]string{
		"P5 0 1 255\n":            "header: width is 0",
		"P5 1 -1 255\n":           "header: height: unexpected byte '-'",
		"P5 1 1 65536\n\x00\x00":  "header: maxval: number above 65535",
		"P5 99999999999 1 255\n":  "header: width: number above 2147483647",
		"P5 1":                    "header: height: unexpected EOF",
		"P6 2 2 255\n12345":       "row 0: unexpected EOF",
		"P5 1 1 9\n\xff":          "row 0: sample 255 above maxval 9",
		"P5 1 1 999\n\xff\xff":    "row 0: sample 65535 above maxval 999",
		"P2 1 1 9\n10":            "row 0: number above 9",
		"P2 2 1 255\n1 x":         "row 0: unexpected byte 'x'",
		"P3 1 2 255\n1 2 3\n1 2 ": "row 1: unexpected EOF",
	} {
		_, f, err := Decode(strings.NewReader(file), nil)
		require.EqualError(t, err, "picture: decode "+string(f)+": "+want, file)
	}
}

func TestPNMRoundTrip(t *testing.T) {
	rgba64 := image.NewRGBA64(image.Rect(2, 3, 9, 8))
	gray16 := image.NewGray16(rgba64.Rect)
	gray := image.NewGray(rgba64.Rect)
	for y := rgba64.Rect.Min.Y; y < rgba64.Rect.Max.Y; y++ {
		for x := rgba64.Rect.Min.X; x < rgba64.Rect.Max.X; x++ {
			rgba64.SetRGBA64(x, y, color.RGBA64{uint16(9999 * x), uint16(7777 * y), uint16(123 * x * y), 65535})
			gray16.SetGray16(x, y, color.Gray16{uint16(5431 * x * y)})
			gray.SetGray(x, y, color.Gray{uint8(31 * x * y)})
		}
	}
	for _, c := range []struct {
		m image.Image
		f Format
	}{{photo(7, 5), PPM}, {photo(7, 5).SubImage(image.Rect(1, 2, 6, 4)), PPM}, {rgba64, PPM}, {gray16, PGM}, {gray, PGM}, {gray, PPM}} {
		data := encoded(t, func(w io.Writer) error { return Encode(w, c.m, c.f, nil) })
		got, f, err := Decode(bytes.NewReader(data), nil)
		require.NoError(t, err)
		require.Equal(t, c.f, f)
		requireSame(t, c.m, got)
	}
}
