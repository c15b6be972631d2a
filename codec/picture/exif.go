package picture

import (
	"bufio"
	"encoding/binary"
	"image"
	"image/draw"
	"io"
)

// jpegOrientation finds the EXIF orientation of a JPEG, 1 to 8, in the first
// APP1 segment before the image data. Anything missing or broken gives 1: bad
// metadata is no reason to refuse a good picture.
func jpegOrientation(r *bufio.Reader) int {
	var m [4]byte
	if _, err := io.ReadFull(r, m[:2]); err != nil || m[0] != 0xff || m[1] != 0xd8 {
		return 1
	}
	for {
		if _, err := io.ReadFull(r, m[:2]); err != nil || m[0] != 0xff {
			return 1
		}
		for m[1] == 0xff { // fill bytes (ITU-T T.81, B.1.1.2)
			b, err := r.ReadByte()
			if err != nil {
				return 1
			}
			m[1] = b
		}
		switch {
		case m[1] == 0x01 || m[1] >= 0xd0 && m[1] <= 0xd7: // no length
			continue
		case m[1] == 0xda || m[1] == 0xd9: // start of scan, end of image
			return 1
		}
		if _, err := io.ReadFull(r, m[2:4]); err != nil {
			return 1
		}
		n := int(binary.BigEndian.Uint16(m[2:4])) - 2
		if n < 0 {
			return 1
		}
		if m[1] != 0xe1 {
			if _, err := r.Discard(n); err != nil {
				return 1
			}
			continue
		}
		seg := make([]byte, n)
		if _, err := io.ReadFull(r, seg); err != nil {
			return 1
		}
		const id = "Exif\x00\x00"
		if n >= len(id) && string(seg[:len(id)]) == id { // XMP lives in APP1 as well
			return exifOrientation(seg[len(id):])
		}
	}
}

// exifOrientation reads tag 0x0112 of the first directory of a TIFF structure
// (EXIF 2.3, sections 4.5 and 4.6.4).
func exifOrientation(t []byte) int {
	if len(t) < 8 {
		return 1
	}
	var bo binary.ByteOrder
	switch string(t[:4]) {
	case "II*\x00":
		bo = binary.LittleEndian
	case "MM\x00*":
		bo = binary.BigEndian
	default:
		return 1
	}
	at := uint64(bo.Uint32(t[4:]))
	if at+2 > uint64(len(t)) {
		return 1
	}
	n := uint64(bo.Uint16(t[at:]))
	for e := at + 2; n > 0 && e+12 <= uint64(len(t)); e, n = e+12, n-1 {
		if bo.Uint16(t[e:]) != 0x0112 {
			continue
		}
		const short = 3
		if v := bo.Uint16(t[e+8:]); bo.Uint16(t[e+2:]) == short && v >= 1 && v <= 8 {
			return int(v)
		}
		return 1
	}
	return 1
}

// orient turns a picture upright. Orientation o says where the stored row 0 and
// column 0 belong (EXIF 2.3, 4.6.4): 1 upright, 2 mirrored, 3 turned by 180
// degrees, 4 flipped, 5 transposed, 6 to be turned clockwise, 7 transposed over
// the other diagonal, 8 to be turned anticlockwise.
func orient(m image.Image, o int) image.Image {
	if o <= 1 || o > 8 {
		return m
	}
	b := m.Bounds()
	w, h := b.Dx(), b.Dy()
	ow, oh := w, h
	if o >= 5 {
		ow, oh = h, w
	}
	// The stored pixel of output (x, y) is at x0 + x*dx, plus its like in y.
	var x0, y0 int         // stored position of the upright origin
	var xx, xy, yx, yy int // stored step for one step in x, and in y
	switch o {
	case 2:
		x0, xx, yy = w-1, -1, 1
	case 3:
		x0, y0, xx, yy = w-1, h-1, -1, -1
	case 4:
		y0, xx, yy = h-1, 1, -1
	case 5:
		xy, yx = 1, 1
	case 6:
		y0, xy, yx = h-1, -1, 1
	case 7:
		x0, y0, xy, yx = w-1, h-1, -1, -1
	case 8:
		x0, xy, yx = w-1, 1, -1
	}
	if g, ok := m.(*image.Gray); ok {
		dst := image.NewGray(image.Rect(0, 0, ow, oh))
		for y := 0; y < oh; y++ {
			row := dst.Pix[y*dst.Stride:][:ow]
			p := (y0+y*yy)*g.Stride + x0 + y*yx
			for x := range row {
				row[x] = g.Pix[p]
				p += xy*g.Stride + xx
			}
		}
		return dst
	}
	src := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(src, src.Rect, m, b.Min, draw.Src)
	dst := image.NewRGBA(image.Rect(0, 0, ow, oh))
	for y := 0; y < oh; y++ {
		row := dst.Pix[y*dst.Stride:][:4*ow]
		p := (y0+y*yy)*src.Stride + 4*(x0+y*yx)
		for x := 0; x < len(row); x += 4 {
			copy(row[x:x+4], src.Pix[p:p+4])
			p += xy*src.Stride + 4*xx
		}
	}
	return dst
}
