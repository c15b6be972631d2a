package codec

import (
	"image"
	"image/color"

	"github.com/aecodec/aecodec/kernels"
)

// raster is a picture as the codec reads it, row by row: 8 bits, colour not
// multiplied by alpha, step bytes per pixel of which the first three are red,
// green and blue (or the only one is gray). Whatever type a picture is of, it is
// never copied as a whole.
type raster struct {
	w, h, step int
	// row returns n pixels of row y from column x on: of the picture's memory, or
	// of buf, which it enlarges.
	row func(x, y, n int, buf *[]byte) []byte
	// alpha tells that the picture is not opaque; step is 4 then.
	alpha bool
}

// newRaster looks at m. Components of 16 bits lose their lower byte, as in
// color.NRGBAModel.
func newRaster(m image.Image) *raster {
	b := m.Bounds()
	r := &raster{w: b.Dx(), h: b.Dy(), step: 4}
	switch m := m.(type) {
	case *image.Gray:
		r.step, r.row = 1, inPlace(m.Pix, m.PixOffset(b.Min.X, b.Min.Y), m.Stride, 1)
		return r
	case *image.Gray16:
		r.step = 1
		r.row = func(x, y, n int, buf *[]byte) []byte {
			*buf = grow(*buf, n)
			row := m.Pix[m.PixOffset(b.Min.X+x, b.Min.Y+y):]
			for i := range *buf {
				(*buf)[i] = row[2*i]
			}
			return *buf
		}
		return r
	case *image.YCbCr:
		r.step = 3
		r.row = func(x, y, n int, buf *[]byte) []byte {
			*buf = grow(*buf, 3*n)
			out := *buf
			for i := range n {
				at, c := m.YOffset(b.Min.X+x+i, b.Min.Y+y), m.COffset(b.Min.X+x+i, b.Min.Y+y)
				out[3*i], out[3*i+1], out[3*i+2] = color.YCbCrToRGB(m.Y[at], m.Cb[c], m.Cr[c])
			}
			return out
		}
		return r
	case *image.NRGBA:
		r.row = inPlace(m.Pix, m.PixOffset(b.Min.X, b.Min.Y), m.Stride, 4)
	case *image.RGBA:
		if m.Opaque() {
			r.row = inPlace(m.Pix, m.PixOffset(b.Min.X, b.Min.Y), m.Stride, 4)
			return r
		}
	}
	if r.row == nil {
		r.row = func(x, y, n int, buf *[]byte) []byte {
			*buf = grow(*buf, 4*n)
			out := *buf
			for i := range n {
				c := color.NRGBAModel.Convert(m.At(b.Min.X+x+i, b.Min.Y+y)).(color.NRGBA)
				out[4*i], out[4*i+1], out[4*i+2], out[4*i+3] = c.R, c.G, c.B, c.A
			}
			return out
		}
	}
	if o, ok := m.(interface{ Opaque() bool }); ok && o.Opaque() {
		return r
	}
	var buf []byte
	for y := 0; y < r.h && !r.alpha; y++ {
		row := r.row(0, y, r.w, &buf)
		for x := 3; x < len(row); x += 4 {
			r.alpha = r.alpha || row[x] != 0xff
		}
	}
	return r
}

// latentSize returns the size of the picture's latent.
func (r *raster) latentSize() (h, w int) {
	return ceilDiv(r.h, LatentStride), ceilDiv(r.w, LatentStride)
}

// inPlace returns rows of pixels of step bytes, the first of which is at pix[at].
func inPlace(pix []byte, at, stride, step int) func(x, y, n int, buf *[]byte) []byte {
	return func(x, y, n int, _ *[]byte) []byte { return pix[at+y*stride+x*step:][:n*step] }
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

// load writes the pixels of row y from column x on to dst, three numbers each.
// Beyond the right and the bottom edge the last pixel is repeated, which costs the
// fewest bits of all simple ways to go on. buf is working memory.
func (r *raster) load(dst []float32, x, y int, buf *[]byte) {
	inside := min(len(dst)/3, r.w-x)
	src := r.row(x, min(y, r.h-1), inside, buf)
	if r.step == 1 {
		for i, v := range src {
			f := pixelValue[v]
			out := dst[3*i:][:3]
			out[0], out[1], out[2] = f, f, f
		}
	} else {
		step := r.step
		for i, out := 0, dst; i+2 < len(src); i, out = i+step, out[3:] {
			p := src[i:][:3]
			out[0], out[1], out[2] = pixelValue[p[0]], pixelValue[p[1]], pixelValue[p[2]]
		}
	}
	last := dst[3*inside-3 : 3*inside]
	for i := 3 * inside; i < len(dst); i += 3 {
		copy(dst[i:], last)
	}
}

// toByte is kernels.SampleBytes of one number.
func toByte(v float32) uint8 {
	p := float32(float32(v+0.5)*255) + 0.5
	if !(p >= 1) {
		return 0
	}
	return uint8(int32(min(p, 255)))
}

// canvas is the picture being decoded, or a rectangle of it.
type canvas struct {
	rect image.Rectangle // in pixels of the picture
	rgb  *image.NRGBA    // one of the two
	gray *image.Gray
}

func newCanvas(rect image.Rectangle, gray bool) *canvas {
	c := &canvas{rect: rect}
	if gray {
		c.gray = image.NewGray(rect)
	} else {
		c.rgb = image.NewNRGBA(rect)
	}
	return c
}

// latentArea returns the latent positions under the canvas.
func (c *canvas) latentArea() area {
	return area{
		c.rect.Min.X / LatentStride, c.rect.Min.Y / LatentStride,
		ceilDiv(c.rect.Max.X, LatentStride), ceilDiv(c.rect.Max.Y, LatentStride),
	}
}

// store draws pixels of row y from column x on, three numbers each, as far as they
// are on the canvas. Gray is the mean of the three. buf is working memory.
func (c *canvas) store(x, y int, src []float32, buf *[]byte) {
	x0, x1 := max(x, c.rect.Min.X), min(x+len(src)/3, c.rect.Max.X)
	if y < c.rect.Min.Y || y >= c.rect.Max.Y || x0 >= x1 {
		return
	}
	src = src[3*(x0-x) : 3*(x1-x)]
	if c.gray != nil {
		out := c.gray.Pix[c.gray.PixOffset(x0, y):][:x1-x0]
		for i := range out {
			sum := float32(src[3*i]+src[3*i+1]) + src[3*i+2]
			out[i] = toByte(sum / 3)
		}
		return
	}
	*buf = grow(*buf, len(src))
	kernels.SampleBytes(*buf, src)
	kernels.Opaque(c.rgb.Pix[c.rgb.PixOffset(x0, y):][:4*(x1-x0)], *buf)
}

// storeBytes is store for pixels that are bytes already. Gray is the mean of the
// three, halves up.
func (c *canvas) storeBytes(x, y int, src []uint8) {
	x0, x1 := max(x, c.rect.Min.X), min(x+len(src)/3, c.rect.Max.X)
	if y < c.rect.Min.Y || y >= c.rect.Max.Y || x0 >= x1 {
		return
	}
	src = src[3*(x0-x) : 3*(x1-x)]
	if c.gray != nil {
		out := c.gray.Pix[c.gray.PixOffset(x0, y):][:x1-x0]
		for i := range out {
			out[i] = uint8((2*(int(src[3*i])+int(src[3*i+1])+int(src[3*i+2])) + 3) / 6)
		}
		return
	}
	kernels.Opaque(c.rgb.Pix[c.rgb.PixOffset(x0, y):][:4*(x1-x0)], src)
}

// storeAlpha sets the alpha of row y of the picture.
func (c *canvas) storeAlpha(y int, alpha []byte) {
	if y < c.rect.Min.Y || y >= c.rect.Max.Y {
		return
	}
	out := c.rgb.Pix[c.rgb.PixOffset(c.rect.Min.X, y):]
	for i, a := range alpha[c.rect.Min.X:c.rect.Max.X] {
		out[4*i+3] = a
	}
}

func (c *canvas) image() image.Image {
	if c.gray != nil {
		return c.gray
	}
	return c.rgb
}

// squaredError returns the sum of the squared differences to r, in a rectangle
// that is on the canvas, of all colour components.
func (c *canvas) squaredError(r *raster, rect image.Rectangle) (sum int64) {
	var buf []byte
	for y := rect.Min.Y; y < rect.Max.Y; y++ {
		in := r.row(rect.Min.X, y, rect.Dx(), &buf)
		if c.gray != nil {
			for x, v := range c.gray.Pix[c.gray.PixOffset(rect.Min.X, y):][:rect.Dx()] {
				d := int64(v) - int64(in[x])
				sum += d * d
			}
			continue
		}
		out := c.rgb.Pix[c.rgb.PixOffset(rect.Min.X, y):][:4*rect.Dx()]
		for x, i := 0, 0; x < len(out); x, i = x+4, i+r.step {
			for k := range 3 {
				d := int64(out[x+k]) - int64(in[i+k])
				sum += d * d
			}
		}
	}
	return sum
}
