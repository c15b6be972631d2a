package picture

import (
	"bufio"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"io"
	"math"
)

// The Netpbm formats PGM and PPM, as their manual pages define them
// (https://netpbm.sourceforge.net/doc/pgm.html and ppm.html): "P2" and "P3"
// plain, "P5" and "P6" raw; width, height and maxval in ASCII, separated by
// white space and comments; one white-space byte; then samples of one byte, or
// of two, most significant first, where maxval exceeds 255.

type pnmHeader struct {
	plain         bool
	channels      int // 1 or 3
	width, height int
	maxval        int
}

func (h *pnmHeader) wide() bool { return h.maxval > 255 }

func readPNMHeader(r *bufio.Reader) (h pnmHeader, err error) {
	var magic [2]byte
	if _, err := io.ReadFull(r, magic[:]); err != nil {
		return h, truncated(err)
	}
	switch string(magic[:]) {
	case "P2":
		h = pnmHeader{plain: true, channels: 1}
	case "P3":
		h = pnmHeader{plain: true, channels: 3}
	case "P5":
		h = pnmHeader{channels: 1}
	case "P6":
		h = pnmHeader{channels: 3}
	default:
		return h, errors.New("bad magic number")
	}
	for _, field := range []struct {
		name string
		dst  *int
		max  int
	}{{"width", &h.width, math.MaxInt32}, {"height", &h.height, math.MaxInt32}, {"maxval", &h.maxval, 65535}} {
		v, err := readPNMInt(r, field.max)
		if err != nil {
			return h, fmt.Errorf("header: %s: %w", field.name, err)
		}
		if v == 0 {
			return h, fmt.Errorf("header: %s is 0", field.name)
		}
		*field.dst = v
	}
	return h, nil
}

// readPNMInt skips white space and comments, reads a decimal number up to
// limit and consumes the one white-space byte after it (or the end of file).
func readPNMInt(r *bufio.Reader, limit int) (int, error) {
	v, digits := 0, false
	for {
		b, err := r.ReadByte()
		if err == io.EOF && digits {
			return v, nil
		}
		if err != nil {
			return 0, truncated(err)
		}
		switch {
		case b >= '0' && b <= '9':
			digits = true
			if v = 10*v + int(b-'0'); v > limit {
				return 0, fmt.Errorf("number above %d", limit)
			}
		case b == '#': // runs to the end of the line, which then ends a number too
			for b != '\n' && b != '\r' {
				if b, err = r.ReadByte(); err != nil {
					return 0, truncated(err)
				}
			}
			if digits {
				return v, nil
			}
		case isPNMSpace(b):
			if digits {
				return v, nil
			}
		default:
			return 0, fmt.Errorf("unexpected byte %q", b)
		}
	}
}

func isPNMSpace(b byte) bool {
	return b == ' ' || b >= '\t' && b <= '\r'
}

func truncated(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func configPNM(r io.Reader) (image.Config, error) {
	h, err := readPNMHeader(bufio.NewReader(r))
	if err != nil {
		return image.Config{}, err
	}
	c := image.Config{Width: h.width, Height: h.height}
	switch {
	case h.channels == 1 && h.wide():
		c.ColorModel = color.Gray16Model
	case h.channels == 1:
		c.ColorModel = color.GrayModel
	case h.wide():
		c.ColorModel = color.RGBA64Model
	default:
		c.ColorModel = color.RGBAModel
	}
	return c, nil
}

// decodePNM returns an *image.Gray, *image.RGBA, *image.Gray16 or
// *image.RGBA64. Samples are scaled from maxval to 255 or 65535.
func decodePNM(r io.Reader) (image.Image, error) {
	br := bufio.NewReader(r) // the same reader if it is buffered already
	h, err := readPNMHeader(br)
	if err != nil {
		return nil, err
	}
	rect := image.Rect(0, 0, h.width, h.height)
	var (
		m      image.Image
		pix    []byte // of m; big-endian where wide, like the file
		stride int
	)
	switch {
	case h.channels == 1 && h.wide():
		g := image.NewGray16(rect)
		m, pix, stride = g, g.Pix, g.Stride
	case h.channels == 1:
		g := image.NewGray(rect)
		m, pix, stride = g, g.Pix, g.Stride
	case h.wide():
		c := image.NewRGBA64(rect)
		m, pix, stride = c, c.Pix, c.Stride
	default:
		c := image.NewRGBA(rect)
		m, pix, stride = c, c.Pix, c.Stride
	}
	size := 1
	if h.wide() {
		size = 2
	}
	row := make([]byte, h.width*h.channels*size)
	for y := 0; y < h.height; y++ {
		if err := readPNMRow(br, row, &h); err != nil {
			return nil, fmt.Errorf("row %d: %w", y, err)
		}
		dst := pix[y*stride:][:stride]
		if h.channels == 1 {
			copy(dst, row)
			continue
		}
		for x, s := 0, 0; s < len(row); x, s = x+4*size, s+3*size {
			copy(dst[x:], row[s:s+3*size])
			dst[x+3*size], dst[x+4*size-1] = 0xff, 0xff
		}
	}
	return m, nil
}

// readPNMRow reads one row of samples and scales them to the full range.
func readPNMRow(r *bufio.Reader, row []byte, h *pnmHeader) error {
	if h.plain {
		if !h.wide() {
			for i := range row {
				v, err := readPNMInt(r, h.maxval)
				if err != nil {
					return err
				}
				row[i] = byte(v)
			}
		} else {
			for i := 0; i < len(row); i += 2 {
				v, err := readPNMInt(r, h.maxval)
				if err != nil {
					return err
				}
				row[i], row[i+1] = byte(v>>8), byte(v)
			}
		}
	} else if _, err := io.ReadFull(r, row); err != nil {
		return truncated(err)
	}
	switch {
	case h.maxval == 255 || h.maxval == 65535:
	case h.wide():
		for i := 0; i < len(row); i += 2 {
			v := int(row[i])<<8 | int(row[i+1])
			if v > h.maxval {
				return fmt.Errorf("sample %d above maxval %d", v, h.maxval)
			}
			v = (v*65535 + h.maxval/2) / h.maxval
			row[i], row[i+1] = byte(v>>8), byte(v)
		}
	default:
		for i, v := range row {
			if int(v) > h.maxval {
				return fmt.Errorf("sample %d above maxval %d", v, h.maxval)
			}
			row[i] = byte((int(v)*255 + h.maxval/2) / h.maxval)
		}
	}
	return nil
}

// encodePNM writes an opaque image as raw PGM or PPM with maxval 255, or 65535
// for images of 16 bits.
func encodePNM(w io.Writer, m image.Image, gray bool) error {
	b := m.Bounds()
	if b.Empty() {
		return fmt.Errorf("empty picture of %dx%d pixels", b.Dx(), b.Dy())
	}
	magic, maxval, size, channels := "P6", 255, 1, 3
	if gray {
		magic, channels = "P5", 1
	}
	if deep(m) {
		maxval, size = 65535, 2
	}
	if _, err := fmt.Fprintf(w, "%s\n%d %d\n%d\n", magic, b.Dx(), b.Dy(), maxval); err != nil {
		return err
	}
	// One row at a time through a row image keeps the memory small and lets
	// image/draw choose the fast way from whatever type m is.
	line := image.Rect(0, 0, b.Dx(), 1)
	var (
		dst draw.Image
		pix []byte
	)
	switch {
	case gray && size == 2:
		g := image.NewGray16(line)
		dst, pix = g, g.Pix
	case gray:
		g := image.NewGray(line)
		dst, pix = g, g.Pix
	case size == 2:
		c := image.NewRGBA64(line)
		dst, pix = c, c.Pix
	default:
		c := image.NewRGBA(line)
		dst, pix = c, c.Pix
	}
	packed := pix
	if !gray {
		packed = make([]byte, b.Dx()*channels*size)
	}
	own, _ := m.(*image.NRGBA) // what decoding gives, opaque: as in dst
	for y := b.Min.Y; y < b.Max.Y; y++ {
		if own != nil && !gray {
			pix = own.Pix[own.PixOffset(b.Min.X, y):][:4*b.Dx()]
		} else {
			draw.Draw(dst, line, m, image.Pt(b.Min.X, y), draw.Src)
		}
		switch {
		case gray:
		case size == 1:
			for x, s := packed, pix; len(x) >= 3 && len(s) >= 4; x, s = x[3:], s[4:] {
				x[0], x[1], x[2] = s[0], s[1], s[2]
			}
		default:
			for x, s := 0, 0; x < len(packed); x, s = x+3*size, s+4*size {
				copy(packed[x:x+3*size], pix[s:])
			}
		}
		if _, err := w.Write(packed); err != nil {
			return err
		}
	}
	return nil
}
