package picture

import (
	"image"
	"io"

	"golang.org/x/image/webp"
)

// decodeWebP decodes with golang.org/x/image/webp and repairs the colours of
// lossy files. VP8 stores limited-range BT.601, which that package hands out as
// an image.YCbCr, whose conversion is full-range: black becomes 16 and white
// 235 (golang/go #40173). The conversion and the chroma interpolation here are
// those of libwebp (src/dsp/yuv.h, src/dsp/upsampling.c), to the bit.
func decodeWebP(r io.Reader) (image.Image, error) {
	m, err := webp.Decode(r)
	if err != nil {
		return nil, err
	}
	switch m := m.(type) {
	case *image.YCbCr:
		dst := image.NewRGBA(image.Rect(0, 0, m.Rect.Dx(), m.Rect.Dy()))
		vp8RGB(dst.Pix, dst.Stride, m)
		return dst, nil
	case *image.NYCbCrA:
		b := m.Rect
		dst := image.NewNRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
		vp8RGB(dst.Pix, dst.Stride, &m.YCbCr)
		for y := 0; y < b.Dy(); y++ {
			a := m.A[m.AOffset(b.Min.X, b.Min.Y+y):]
			row := dst.Pix[y*dst.Stride:][:4*b.Dx()]
			for x := 0; x < b.Dx(); x++ {
				row[4*x+3] = a[x]
			}
		}
		return dst, nil
	}
	return m, nil // lossless files hold RGB
}

// vp8RGB converts a 4:2:0 limited-range image to opaque RGBA bytes. Chroma
// samples lie between the pixels of a 2x2 block; each pixel takes 9/16, 3/16,
// 3/16 and 1/16 of the four around it, with the borders repeated.
func vp8RGB(dst []byte, stride int, m *image.YCbCr) {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	cw, ch := (w+1)/2, (h+1)/2
	chroma := func(plane []byte, row int) []byte {
		return plane[m.COffset(m.Rect.Min.X, m.Rect.Min.Y)+min(max(row, 0), ch-1)*m.CStride:][:cw]
	}
	u, v := make([]byte, w), make([]byte, w)
	for y := 0; y < h; y++ {
		near := y / 2
		far := near + 1
		if y%2 == 0 {
			far = near - 1
		}
		upsample(u, chroma(m.Cb, near), chroma(m.Cb, far))
		upsample(v, chroma(m.Cr, near), chroma(m.Cr, far))
		luma := m.Y[m.YOffset(m.Rect.Min.X, m.Rect.Min.Y+y):][:w]
		row := dst[y*stride:][:4*w]
		for x, yy := range luma {
			l := int(yy) * 19077 >> 8
			cb, cr := int(u[x]), int(v[x])
			row[4*x+0] = clip6(l + cr*26149>>8 - 14234)
			row[4*x+1] = clip6(l - cb*6419>>8 - cr*13320>>8 + 8708)
			row[4*x+2] = clip6(l + cb*33050>>8 - 17685)
			row[4*x+3] = 255
		}
	}
}

// upsample doubles one row of chroma to len(dst) samples. near is the row of
// the pixel's own block and far the row on its other side. The two-step
// rounding is libwebp's.
func upsample(dst, near, far []byte) {
	n, f := int(near[0]), int(far[0])
	dst[0] = byte((3*n + f + 2) >> 2)
	for i := 1; 2*i-1 < len(dst); i++ {
		if i == len(near) { // even width: the last pixel has no right neighbour
			dst[2*i-1] = byte((3*n + f + 2) >> 2)
			return
		}
		n1, f1 := int(near[i]), int(far[i])
		sum := n + n1 + f + f1 + 8
		dst[2*i-1] = byte(((sum+2*(n1+f))>>3 + n) >> 1)
		if 2*i < len(dst) {
			dst[2*i] = byte(((sum+2*(n+f1))>>3 + n1) >> 1)
		}
		n, f = n1, f1
	}
}

// clip6 drops the six fractional bits of libwebp's fixed point and clips.
func clip6(v int) byte {
	return byte(min(max(v>>6, 0), 255))
}
