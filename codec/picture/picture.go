// Package picture reads and writes the picture files that surround the codec:
// PNG, JPEG, WebP, TIFF, BMP and the Netpbm formats PPM and PGM in, PNG, JPEG,
// PPM and PGM out.
//
// It exists because package image alone is not enough for a tool that people
// point at arbitrary folders: a file is recognised by its content and never by
// its name, its size is checked before any pixel is allocated, a JPEG is turned
// upright as its EXIF orientation asks, lossy WebP gets its real colours (see
// webp.go) and a decoder that panics on broken input returns an error instead.
//
// The package knows nothing of the codec and imports nothing of this module.
package picture

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"
)

// Format names a picture file format.
type Format string

// The formats that Decode reads. Encode writes PNG, JPEG, PPM and PGM.
const (
	PNG  Format = "png"
	JPEG Format = "jpeg"
	WebP Format = "webp"
	TIFF Format = "tiff"
	BMP  Format = "bmp"
	PPM  Format = "ppm" // P3 and P6
	PGM  Format = "pgm" // P2 and P5
)

// DefaultMaxPixels is the largest picture, in pixels, that is decoded when
// DecodeOptions do not say otherwise: 2^28, about 16384 by 16384.
const DefaultMaxPixels = 1 << 28

var (
	// ErrFormat is returned for content in none of the known formats.
	ErrFormat = errors.New("picture: unknown format")
	// ErrTooLarge is returned for a picture above DecodeOptions.MaxPixels.
	ErrTooLarge = errors.New("picture: too large")
)

// DecodeOptions limit what Decode accepts. A nil pointer and the zero value
// mean the defaults.
type DecodeOptions struct {
	// MaxPixels is the largest accepted width times height; 0 means
	// DefaultMaxPixels.
	MaxPixels int64
}

func (o *DecodeOptions) maxPixels() int64 {
	if o == nil || o.MaxPixels <= 0 {
		return DefaultMaxPixels
	}
	return o.MaxPixels
}

// sniffLen is the number of leading bytes Sniff needs for a certain answer.
const sniffLen = 18

// Sniff recognises a format by the first bytes of a file, of which it wants at
// least 18; ok is false for all others.
func Sniff(head []byte) (f Format, ok bool) {
	switch {
	case bytes.HasPrefix(head, []byte("\x89PNG\r\n\x1a\n")):
		return PNG, true
	case bytes.HasPrefix(head, []byte("\xff\xd8\xff")):
		return JPEG, true
	case len(head) >= 12 && string(head[:4]) == "RIFF" && string(head[8:12]) == "WEBP":
		return WebP, true
	case bytes.HasPrefix(head, []byte("II*\x00")), bytes.HasPrefix(head, []byte("MM\x00*")):
		return TIFF, true
	case len(head) >= sniffLen && string(head[:2]) == "BM" && isDIBHeaderSize(head[14:18]):
		// "BM" alone would take ordinary text for a bitmap.
		return BMP, true
	case len(head) >= 3 && head[0] == 'P' && (isPNMSpace(head[2]) || head[2] == '#'):
		switch head[1] {
		case '2', '5':
			return PGM, true
		case '3', '6':
			return PPM, true
		}
	}
	return "", false
}

// isDIBHeaderSize tells whether b is one of the seven sizes a BMP information
// header can have.
func isDIBHeaderSize(b []byte) bool {
	if b[1]|b[2]|b[3] != 0 {
		return false
	}
	switch b[0] {
	case 12, 40, 52, 56, 64, 108, 124:
		return true
	}
	return false
}

// coder is what the table below knows about one format. decode gets a buffered
// reader, or an io.ReaderAt for TIFF.
type coder struct {
	decode func(io.Reader) (image.Image, error)
	config func(io.Reader) (image.Config, error)
}

var coders = map[Format]coder{
	PNG:  {png.Decode, png.DecodeConfig},
	JPEG: {jpeg.Decode, jpeg.DecodeConfig},
	WebP: {decodeWebP, webp.DecodeConfig},
	TIFF: {tiff.Decode, tiff.DecodeConfig},
	BMP:  {bmp.Decode, bmp.DecodeConfig},
	PPM:  {decodePNM, configPNM},
	PGM:  {decodePNM, configPNM},
}

// Decode reads one picture in any of the formats, recognised by its content.
// The picture is upright: the EXIF orientation of a JPEG is applied. Eight-bit
// files give 8-bit images and 16-bit files 16-bit ones. The size is checked
// against the limit before anything is allocated for pixels. r is read once
// and need not be seekable.
//
// The error wraps ErrFormat, ErrTooLarge or the decoder's own error.
func Decode(r io.Reader, o *DecodeOptions) (image.Image, Format, error) {
	s, err := newSource(r, o.maxPixels())
	if err != nil {
		return nil, "", err
	}
	_, orientation, err := s.config()
	if err != nil {
		return nil, s.format, err
	}
	m, err := s.decode()
	if err != nil {
		return nil, s.format, err
	}
	return orient(m, orientation), s.format, nil
}

// DecodeConfig reads as much as it takes to know the size and colour model of a
// picture. The size is that of the upright picture.
func DecodeConfig(r io.Reader, o *DecodeOptions) (image.Config, Format, error) {
	s, err := newSource(r, o.maxPixels())
	if err != nil {
		return image.Config{}, "", err
	}
	c, orientation, err := s.config()
	if err != nil {
		return image.Config{}, s.format, err
	}
	if orientation >= 5 {
		c.Width, c.Height = c.Height, c.Width
	}
	return c, s.format, nil
}

// ReadFile decodes the named file; errors start with the name.
func ReadFile(name string, o *DecodeOptions) (image.Image, Format, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	m, format, err := Decode(f, o)
	if err != nil {
		return nil, format, fmt.Errorf("%s: %w", name, err)
	}
	return m, format, nil
}

// Find lists the pictures in a folder and its subfolders, recognised by their
// content, as paths in lexical order that start with dir. Other files are
// passed over; one that cannot be read is an error.
func Find(dir string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return nil
		}
		if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
			return err // pipes and devices would block; links to files are followed
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		var head [sniffLen]byte
		n, err := io.ReadFull(f, head[:])
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return err
		}
		if _, ok := Sniff(head[:n]); ok {
			names = append(names, name)
		}
		return nil
	})
	return names, err
}

// source is a picture file that can be read several times: by seeking where the
// reader can, by remembering what was read where it cannot.
type source struct {
	format    Format
	maxPixels int64

	r     io.Reader
	seek  io.Seeker // nil for a stream
	start int64     // where the picture begins in a seekable reader
	seen  bytes.Buffer
}

func newSource(r io.Reader, maxPixels int64) (*source, error) {
	s := &source{r: r, maxPixels: maxPixels}
	if sk, ok := r.(io.Seeker); ok {
		// A pipe is an *os.File too, but cannot seek.
		if at, err := sk.Seek(0, io.SeekCurrent); err == nil {
			s.seek, s.start = sk, at
		}
	}
	p, err := s.pass(true)
	if err != nil {
		return nil, err
	}
	var head [sniffLen]byte
	n, err := io.ReadFull(p, head[:])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, fmt.Errorf("picture: read: %w", err)
	}
	f, ok := Sniff(head[:n])
	if !ok {
		if n == 0 {
			return nil, fmt.Errorf("%w: empty file", ErrFormat)
		}
		return nil, ErrFormat
	}
	s.format = f
	if f == TIFF {
		return s, s.bufferTIFF()
	}
	return s, nil
}

// bufferTIFF makes a TIFF randomly readable, which its scattered directories
// need, with a bound on what a stream may cost.
func (s *source) bufferTIFF() error {
	if _, ok := s.r.(io.ReaderAt); ok && s.seek != nil && s.start == 0 {
		return nil
	}
	const overhead = 64 << 20
	bound := int64(math.MaxInt64)
	if s.maxPixels < (math.MaxInt64-overhead)/8 {
		bound = 8*s.maxPixels + overhead // 16-bit RGBA and metadata
	}
	p, err := s.pass(false)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(io.LimitReader(p, bound))
	if err != nil {
		return fmt.Errorf("picture: read: %w", err)
	}
	rd := bytes.NewReader(data)
	s.r, s.seek, s.start = rd, rd, 0
	return nil
}

// pass returns a reader at the beginning of the picture. With again set, what
// is read is kept so that another pass can follow.
func (s *source) pass(again bool) (io.Reader, error) {
	if s.seek != nil {
		if _, err := s.seek.Seek(s.start, io.SeekStart); err != nil {
			return nil, fmt.Errorf("picture: read: %w", err)
		}
		return s.r, nil
	}
	rest := s.r
	if again {
		rest = io.TeeReader(s.r, &s.seen)
	}
	return io.MultiReader(bytes.NewReader(bytes.Clone(s.seen.Bytes())), rest), nil
}

// config returns the size as stored, checked against the limit, and the EXIF
// orientation, 1 where there is none.
func (s *source) config() (c image.Config, orientation int, err error) {
	defer s.recoverPanic(&err)
	p, err := s.pass(true)
	if err != nil {
		return c, 0, err
	}
	c, err = coders[s.format].config(p)
	if err != nil {
		return c, 0, s.wrap(err)
	}
	if c.Width <= 0 || c.Height <= 0 {
		return c, 0, s.wrap(fmt.Errorf("empty picture of %dx%d pixels", c.Width, c.Height))
	}
	if int64(c.Width) > s.maxPixels/int64(c.Height) {
		return c, 0, fmt.Errorf("%w: %dx%d pixels, limit %d", ErrTooLarge, c.Width, c.Height, s.maxPixels)
	}
	orientation = 1
	if s.format == JPEG {
		if p, err = s.pass(true); err != nil {
			return c, 0, err
		}
		orientation = jpegOrientation(bufio.NewReader(p))
	}
	return c, orientation, nil
}

func (s *source) decode() (m image.Image, err error) {
	defer s.recoverPanic(&err)
	p, err := s.pass(false)
	if err != nil {
		return nil, err
	}
	if s.format != TIFF {
		p = bufio.NewReaderSize(p, 1<<16)
	}
	m, err = coders[s.format].decode(p)
	if err != nil {
		return nil, s.wrap(err)
	}
	return m, nil
}

func (s *source) wrap(err error) error {
	return fmt.Errorf("picture: decode %s: %w", s.format, err)
}

// recoverPanic turns a panic of a decoder into an error. The decoders of
// golang.org/x/image have had such defects (golang/go #10383), and one broken
// file must not end a batch.
func (s *source) recoverPanic(err *error) {
	if p := recover(); p != nil {
		*err = s.wrap(fmt.Errorf("broken file: %v", p))
	}
}
