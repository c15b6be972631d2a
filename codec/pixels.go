package codec

import (
	"image"
	"image/color"

	"github.com/aecodec/aecodec/kernels"
)

// raster is a picture as the codec reads it: 8 bits, colour not multiplied by
// alpha, step bytes per pixel of which the first three are red, green and blue
// (or the only one is gray).
type raster struct {
	w, h, stride, step int
	pix                []byte
	alpha              []byte // w·h, nil for an opaque picture
}

// newRaster looks at m without copying where its layout allows that.
// Components of 16 bits lose their lower byte, as in color.NRGBAModel.
func newRaster(m image.Image) *raster {
	b := m.Bounds()
	r := &raster{w: b.Dx(), h: b.Dy(), step: 4}
	switch m := m.(type) {
	case *image.Gray:
		r.step, r.stride, r.pix = 1, m.Stride, m.Pix[m.PixOffset(b.Min.X, b.Min.Y):]
		return r
	case *image.Gray16:
		r.step, r.stride, r.pix = 1, r.w, make([]byte, r.w*r.h)
		for y := range r.h {
			row := m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):]
			for x := range r.w {
				r.pix[y*r.w+x] = row[2*x]
			}
		}
		return r
	case *image.NRGBA:
		r.stride, r.pix = m.Stride, m.Pix[m.PixOffset(b.Min.X, b.Min.Y):]
	case *image.RGBA:
		if m.Opaque() {
			r.stride, r.pix = m.Stride, m.Pix[m.PixOffset(b.Min.X, b.Min.Y):]
			return r
		}
		r.convert(m)
	case *image.YCbCr:
		r.convertYCbCr(m)
		return r
	default:
		r.convert(m)
	}
	r.splitAlpha()
	return r
}

// convert goes through the colour model, pixel by pixel.
func (r *raster) convert(m image.Image) {
	b := m.Bounds()
	r.stride, r.pix = 4*r.w, make([]byte, 4*r.w*r.h)
	for y := range r.h {
		row := r.pix[y*r.stride:][:r.stride]
		for x := range r.w {
			c := color.NRGBAModel.Convert(m.At(b.Min.X+x, b.Min.Y+y)).(color.NRGBA)
			row[4*x], row[4*x+1], row[4*x+2], row[4*x+3] = c.R, c.G, c.B, c.A
		}
	}
}

func (r *raster) convertYCbCr(m *image.YCbCr) {
	b := m.Bounds()
	r.step, r.stride, r.pix = 3, 3*r.w, make([]byte, 3*r.w*r.h)
	for y := range r.h {
		row := r.pix[y*r.stride:][:r.stride]
		for x := range r.w {
			yi, ci := m.YOffset(b.Min.X+x, b.Min.Y+y), m.COffset(b.Min.X+x, b.Min.Y+y)
			row[3*x], row[3*x+1], row[3*x+2] = color.YCbCrToRGB(m.Y[yi], m.Cb[ci], m.Cr[ci])
		}
	}
}

// splitAlpha copies the alpha channel out unless it is opaque everywhere.
func (r *raster) splitAlpha() {
	opaque := true
	for y := 0; y < r.h && opaque; y++ {
		row := r.pix[y*r.stride:][:4*r.w]
		for x := 3; x < len(row); x += 4 {
			if row[x] != 0xff {
				opaque = false
				break
			}
		}
	}
	if opaque {
		return
	}
	r.alpha = make([]byte, r.w*r.h)
	for y := range r.h {
		row, alpha := r.pix[y*r.stride:][:4*r.w], r.alpha[y*r.w:][:r.w]
		for x := range alpha {
			alpha[x] = row[4*x+3]
		}
	}
}

// channels is 1 for gray, 3 for colour.
func (r *raster) channels() uint8 {
	if r.step == 1 {
		return 1
	}
	return 3
}

// pixelValue is what the networks see of a byte: byte/255 - 1/2.
var pixelValue = func() (v [256]float32) {
	for i := range v {
		v[i] = float32(float32(i)/255) - 0.5
	}
	return v
}()

// load writes the pixels of latent positions from.. to.. of b to dst
// [16·rows, 16·columns, 3]. Beyond the right and the bottom edge the last
// pixel is repeated, which costs the fewest bits of all simple ways to go on.
func (r *raster) load(dst []float32, b block, threads int) {
	width := (b.x.to - b.x.from) * LatentStride
	height := (b.y.to - b.y.from) * LatentStride
	x0, y0 := b.x.from*LatentStride, b.y.from*LatentStride
	inside := min(width, r.w-x0)
	kernels.For(threads, height, LatentStride, func(lo, hi int) {
		for y := lo; y < hi; y++ {
			src := r.pix[min(y0+y, r.h-1)*r.stride+x0*r.step:][:inside*r.step]
			out := dst[y*width*3:][:width*3]
			if r.step == 1 {
				for x, v := range src {
					f := pixelValue[v]
					out[3*x], out[3*x+1], out[3*x+2] = f, f, f
				}
			} else {
				for x, i := 0, 0; i+2 < len(src); x, i = x+3, i+r.step {
					out[x], out[x+1], out[x+2] = pixelValue[src[i]], pixelValue[src[i+1]], pixelValue[src[i+2]]
				}
			}
			last := out[3*inside-3 : 3*inside]
			for x := 3 * inside; x < len(out); x += 3 {
				copy(out[x:], last)
			}
		}
	})
}

// toByte is round(255·(v+1/2)), halves up, clamped; NaN becomes 0. The
// conversions keep the compiler from fusing, so that all machines agree.
func toByte(v float32) uint8 {
	p := float32(float32(v+0.5)*255) + 0.5
	if !(p >= 1) {
		return 0
	}
	return uint8(int32(min(p, 255)))
}

// canvas is the picture being decoded.
type canvas struct {
	w, h int
	rgb  *image.NRGBA // one of the two
	gray *image.Gray
}

func newCanvas(w, h int, gray bool) *canvas {
	c := &canvas{w: w, h: h}
	if gray {
		c.gray = image.NewGray(image.Rect(0, 0, w, h))
	} else {
		c.rgb = image.NewNRGBA(image.Rect(0, 0, w, h))
	}
	return c
}

// store writes the part of src [16·rows, 16·columns, 3] that belongs to latent
// positions lo..hi of b, as far as it is inside the picture. Gray is the mean
// of the three channels.
func (c *canvas) store(src []float32, b block, threads int) {
	width := (b.x.to - b.x.from) * LatentStride
	x0, x1 := b.x.lo*LatentStride, min(b.x.hi*LatentStride, c.w)
	y0, y1 := b.y.lo*LatentStride, min(b.y.hi*LatentStride, c.h)
	skipX, skipY := x0-b.x.from*LatentStride, y0-b.y.from*LatentStride
	kernels.For(threads, y1-y0, LatentStride, func(lo, hi int) {
		for y := lo; y < hi; y++ {
			in := src[((skipY+y)*width+skipX)*3:][:(x1-x0)*3]
			if c.gray != nil {
				out := c.gray.Pix[(y0+y)*c.gray.Stride+x0:][:x1-x0]
				for x := range out {
					sum := float32(in[3*x]+in[3*x+1]) + in[3*x+2]
					out[x] = toByte(sum / 3)
				}
				continue
			}
			out := c.rgb.Pix[(y0+y)*c.rgb.Stride+4*x0:][:4*(x1-x0)]
			for x, i := 0, 0; x+3 < len(out); x, i = x+4, i+3 {
				out[x], out[x+1], out[x+2], out[x+3] = toByte(in[i]), toByte(in[i+1]), toByte(in[i+2]), 0xff
			}
		}
	})
}

// image returns the picture; alpha [w·h] may be nil.
func (c *canvas) image(alpha []byte) image.Image {
	if c.gray != nil {
		return c.gray
	}
	for i, a := range alpha {
		c.rgb.Pix[4*i+3] = a
	}
	return c.rgb
}

// squaredError returns the sum of the squared differences to r of all colour
// components.
func (c *canvas) squaredError(r *raster) (sum int64) {
	for y := range c.h {
		in := r.pix[y*r.stride:][:r.w*r.step]
		if c.gray != nil {
			for x, v := range c.gray.Pix[y*c.gray.Stride:][:c.w] {
				d := int64(v) - int64(in[x])
				sum += d * d
			}
			continue
		}
		out := c.rgb.Pix[y*c.rgb.Stride:][:4*c.w]
		for x, i := 0, 0; x < len(out); x, i = x+4, i+r.step {
			for k := range 3 {
				d := int64(out[x+k]) - int64(in[i+k])
				sum += d * d
			}
		}
	}
	return sum
}
