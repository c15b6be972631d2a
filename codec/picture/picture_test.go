package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
)

// photo is a small colourful picture without symmetries.
func photo(w, h int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := 0; y < h; y++ {
		for x := 0; x < w; x++ {
			m.SetNRGBA(x, y, color.NRGBA{byte(7*x + y), byte(11*y + 3), byte(5*x*y + 1), 255})
		}
	}
	return m
}

func encoded(t *testing.T, f func(io.Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, f(&b))
	return b.Bytes()
}

// stream hides every method of a reader but Read.
func stream(b []byte) io.Reader { return iotest.OneByteReader(bytes.NewReader(b)) }

func requireSame(t *testing.T, want, got image.Image) {
	t.Helper()
	require.Equal(t, want.Bounds().Size(), got.Bounds().Size())
	w, g := want.Bounds(), got.Bounds()
	for y := 0; y < w.Dy(); y++ {
		for x := 0; x < w.Dx(); x++ {
			wp := color.NRGBA64Model.Convert(want.At(w.Min.X+x, w.Min.Y+y))
			gp := color.NRGBA64Model.Convert(got.At(g.Min.X+x, g.Min.Y+y))
			require.Equal(t, wp, gp, "pixel %d,%d", x, y)
		}
	}
}

func TestLosslessFormats(t *testing.T) {
	want := photo(13, 9)
	files := map[Format][]byte{
		PNG:  encoded(t, func(w io.Writer) error { return Encode(w, want, PNG, nil) }),
		PPM:  encoded(t, func(w io.Writer) error { return Encode(w, want, PPM, nil) }),
		TIFF: encoded(t, func(w io.Writer) error { return tiff.Encode(w, want, &tiff.Options{Compression: tiff.Deflate}) }),
		BMP:  encoded(t, func(w io.Writer) error { return bmp.Encode(w, want) }),
	}
	for format, data := range files {
		t.Run(string(format), func(t *testing.T) {
			for _, r := range []io.Reader{bytes.NewReader(data), stream(data)} {
				m, f, err := Decode(r, nil)
				require.NoError(t, err)
				require.Equal(t, format, f)
				requireSame(t, want, m)
			}
			for _, r := range []io.Reader{bytes.NewReader(data), stream(data)} {
				c, f, err := DecodeConfig(r, nil)
				require.NoError(t, err)
				require.Equal(t, format, f)
				require.Equal(t, image.Pt(13, 9), image.Pt(c.Width, c.Height))
			}
			for n := range len(data) {
				if _, _, err := Decode(bytes.NewReader(data[:n]), nil); err == nil {
					// TIFF and BMP may end in padding that no pixel needs.
					require.Greater(t, n, len(data)*9/10)
				}
			}
		})
	}
}

func TestSeekableReaderStartsWhereItStands(t *testing.T) {
	want := photo(5, 4)
	for _, enc := range []func(io.Writer) error{
		func(w io.Writer) error { return png.Encode(w, want) },
		func(w io.Writer) error { return tiff.Encode(w, want, nil) },
	} {
		r := bytes.NewReader(append([]byte("prefix"), encoded(t, enc)...))
		_, err := r.Seek(6, io.SeekStart)
		require.NoError(t, err)
		m, _, err := Decode(r, nil)
		require.NoError(t, err)
		requireSame(t, want, m)
	}
}

func TestWebPColoursAreThoseOfLibwebp(t *testing.T) {
	// The .png files were made from the .webp files by dwebp 1.2.4.
	for _, name := range []string{"odd", "alpha"} {
		got, f, err := ReadFile(filepath.Join("testdata", name+".webp"), nil)
		require.NoError(t, err)
		require.Equal(t, WebP, f)
		want, _, err := ReadFile(filepath.Join("testdata", name+".png"), nil)
		require.NoError(t, err)
		requireSame(t, want, got)
	}
}

func TestContentDecidesNotTheName(t *testing.T) {
	name := filepath.Join(t.TempDir(), "photo.jpg")
	require.NoError(t, os.WriteFile(name, encoded(t, func(w io.Writer) error { return png.Encode(w, photo(3, 3)) }), 0o644))
	_, f, err := ReadFile(name, nil)
	require.NoError(t, err)
	require.Equal(t, PNG, f)
}

// exifJPEG inserts an APP1 segment with the given orientation after SOI.
func exifJPEG(t *testing.T, m image.Image, orientation uint16, bo binary.AppendByteOrder) []byte {
	data := encoded(t, func(w io.Writer) error { return jpeg.Encode(w, m, &jpeg.Options{Quality: 100}) })
	tiffHead := "II*\x00"
	if bo.String() == "BigEndian" {
		tiffHead = "MM\x00*"
	}
	exif := bo.AppendUint32([]byte("Exif\x00\x00"+tiffHead), 8)
	exif = bo.AppendUint16(exif, 2)
	exif = append(bo.AppendUint32(bo.AppendUint16(bo.AppendUint16(exif, 0x010f), 2), 1), 'x', 0, 0, 0)
	exif = append(bo.AppendUint16(bo.AppendUint32(bo.AppendUint16(bo.AppendUint16(exif, 0x0112), 3), 1), orientation), 0, 0)
	exif = bo.AppendUint32(exif, 0)
	xmp := []byte("http://ns.adobe.com/xap/1.0/\x00<x/>") // APP1 as well; to be passed over
	out := append([]byte{}, data[:2]...)
	for _, s := range [][]byte{xmp, exif} {
		out = append(out, 0xff, 0xff, 0xe1) // with a fill byte
		out = binary.BigEndian.AppendUint16(out, uint16(len(s)+2))
		out = append(out, s...)
	}
	return append(out, data[2:]...)
}

func TestOrientation(t *testing.T) {
	// A picture with one bright corner block, which moves as EXIF 2.3 says.
	const w, h = 48, 32
	colour := image.NewNRGBA(image.Rect(0, 0, w, h))
	gray := image.NewGray(colour.Rect)
	for y := range h {
		for x := range w {
			c := color.NRGBA{0, 0, 0, 255}
			if x < 16 && y < 16 {
				c = color.NRGBA{255, 255, 255, 255}
			} else if x < 16 {
				c = color.NRGBA{128, 128, 128, 255}
			}
			colour.Set(x, y, c)
			gray.Set(x, y, c)
		}
	}
	// Where the stored top left and bottom left corners end up.
	corners := map[uint16][2]image.Point{
		1: {{0, 0}, {0, 1}}, 2: {{1, 0}, {1, 1}}, 3: {{1, 1}, {1, 0}}, 4: {{0, 1}, {0, 0}},
		5: {{0, 0}, {1, 0}}, 6: {{1, 0}, {0, 0}}, 7: {{1, 1}, {0, 1}}, 8: {{0, 1}, {1, 1}},
	}
	for o, want := range corners {
		for _, src := range []image.Image{colour, gray} {
			for _, bo := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
				data := exifJPEG(t, src, o, bo)
				m, _, err := Decode(stream(data), nil)
				require.NoError(t, err)
				c, _, err := DecodeConfig(bytes.NewReader(data), nil)
				require.NoError(t, err)
				size := image.Pt(w, h)
				if o >= 5 {
					size = image.Pt(h, w)
				}
				require.Equal(t, size, m.Bounds().Size())
				require.Equal(t, size, image.Pt(c.Width, c.Height))
				at := func(p image.Point) uint8 {
					p = image.Pt(p.X*(size.X-1), p.Y*(size.Y-1))
					return color.GrayModel.Convert(m.At(p.X, p.Y)).(color.Gray).Y
				}
				require.InDelta(t, 255, at(want[0]), 4, "orientation %d", o)
				require.InDelta(t, 128, at(want[1]), 4, "orientation %d", o)
			}
		}
	}
}

func TestBrokenEXIFIsIgnored(t *testing.T) {
	data := exifJPEG(t, photo(16, 16), 6, binary.LittleEndian)
	for i := 2; i < 120; i++ {
		broken := bytes.Clone(data)
		broken[i] ^= 0x55
		_, _, _ = Decode(bytes.NewReader(broken), nil) // must not panic
	}
	for _, o := range []uint16{0, 9, 65535} {
		m, _, err := Decode(bytes.NewReader(exifJPEG(t, photo(20, 10), o, binary.BigEndian)), nil)
		require.NoError(t, err)
		require.Equal(t, image.Pt(20, 10), m.Bounds().Size())
	}
}

func TestLimit(t *testing.T) {
	data := encoded(t, func(w io.Writer) error { return png.Encode(w, photo(10, 10)) })
	_, _, err := Decode(bytes.NewReader(data), &DecodeOptions{MaxPixels: 100})
	require.NoError(t, err)
	_, _, err = Decode(bytes.NewReader(data), &DecodeOptions{MaxPixels: 99})
	require.ErrorIs(t, err, ErrTooLarge)
	require.EqualError(t, err, "picture: too large: 10x10 pixels, limit 99")
	for _, header := range []string{"P6 2147483647 2147483647 255\n", "P5 99999999 99999999 255\n"} {
		_, _, err = Decode(bytes.NewReader([]byte(header)), nil)
		require.ErrorIs(t, err, ErrTooLarge)
	}
}

func TestUnknownFormats(t *testing.T) {
	for _, s := range []string{"", "x", "hello world, this is text", "BM is how this text begins, not a bitmap", "P7\n", "GIF89a"} {
		_, _, err := Decode(stream([]byte(s)), nil)
		require.ErrorIs(t, err, ErrFormat, s)
	}
	_, _, err := Decode(iotest.ErrReader(errors.New("disk on fire")), nil)
	require.EqualError(t, err, "picture: read: disk on fire")
	_, _, err = ReadFile(filepath.Join(t.TempDir(), "none.png"), nil)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestFormatOf(t *testing.T) {
	for name, want := range map[string]Format{"a.png": PNG, "a.JPG": JPEG, "x/b.jpeg": JPEG, "c.ppm": PPM, "d.pgm": PGM} {
		f, err := FormatOf(name)
		require.NoError(t, err)
		require.Equal(t, want, f)
	}
	_, err := FormatOf("a.webp")
	require.EqualError(t, err, "picture: cannot write .webp: use .png, .jpg, .ppm or .pgm")
	_, err = FormatOf("a")
	require.Error(t, err)
}

func TestEncodeFlattensOnWhite(t *testing.T) {
	m := image.NewNRGBA(image.Rect(0, 0, 8, 8)) // black, fully transparent
	for _, f := range []Format{PPM, PGM, JPEG} {
		got, _, err := Decode(bytes.NewReader(encoded(t, func(w io.Writer) error { return Encode(w, m, f, nil) })), nil)
		require.NoError(t, err)
		require.Equal(t, color.Gray{255}, color.GrayModel.Convert(got.At(4, 4)), f)
	}
	got, _, err := Decode(bytes.NewReader(encoded(t, func(w io.Writer) error { return Encode(w, m, PNG, nil) })), nil)
	require.NoError(t, err)
	requireSame(t, m, got)
}

func TestEncodeErrors(t *testing.T) {
	require.Error(t, Encode(io.Discard, photo(2, 2), WebP, nil))
	require.Error(t, Encode(io.Discard, photo(2, 2), JPEG, &EncodeOptions{JPEGQuality: 101}))
	require.Error(t, Encode(io.Discard, image.NewRGBA(image.Rectangle{}), PPM, nil))
	require.Error(t, Encode(fullDisk{}, photo(2, 2), PPM, nil))
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestFind(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "sub"), 0o755))
	pic := encoded(t, func(w io.Writer) error { return png.Encode(w, photo(3, 3)) })
	for name, data := range map[string][]byte{"b.png": pic, "a.jpg": pic, "sub/c": pic, "README.md": []byte("text"), "empty": nil} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
	names, err := Find(dir)
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Join(dir, "a.jpg"), filepath.Join(dir, "b.png"), filepath.Join(dir, "sub", "c")}, names)
	_, err = Find(filepath.Join(dir, "missing"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("P3\n# c\n2 1\n15\n0 1 2 3 4 15\n"))
	f.Add([]byte("P5 1 1 65535\n\x12\x34"))
	for _, name := range []string{"odd.webp", "alpha.webp", "alpha.png"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(f, err)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o := &DecodeOptions{MaxPixels: 1 << 16}
		m, _, err := Decode(bytes.NewReader(data), o)
		c, _, cerr := DecodeConfig(stream(data), o)
		if err != nil {
			return
		}
		require.NoError(t, cerr)
		require.Equal(t, image.Pt(c.Width, c.Height), m.Bounds().Size())
	})
}
