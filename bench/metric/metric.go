// Package metric measures how far a picture is from its original: PSNR and
// MS-SSIM over RGB, 8 bit, as the literature on learned compression reports
// them.
//
// The arithmetic is the same on every machine, to the bit: element-wise float32
// operations without fusing, and float64 sums in a fixed order.
package metric

import (
	"errors"
	"fmt"
	"image"
	"image/draw"
	"math"
)

var (
	// ErrSize is returned for two pictures of different sizes.
	ErrSize = errors.New("metric: sizes differ")
	// ErrTooSmall is returned by MSSSIM for a picture with a side below
	// MinSide.
	ErrTooSmall = errors.New("metric: picture too small for ms-ssim")
)

// PSNR returns the peak signal-to-noise ratio of two pictures of one size in
// dB: 10 log10(255²/MSE), the mean taken over the pixels of all three channels.
// It is +Inf for equal pictures.
//
// Pictures are compared as 8-bit RGB: gray counts as three equal channels, 16
// bits lose the lower eight, and what is transparent counts as laid on black.
func PSNR(a, b image.Image) (float64, error) {
	pa, pb, err := bothRGBA(a, b)
	if err != nil {
		return 0, err
	}
	w, h := pa.Rect.Dx(), pa.Rect.Dy()
	var sum uint64
	for y := range h {
		ra, rb := pa.Pix[y*pa.Stride:][:4*w], pb.Pix[y*pb.Stride:][:4*w]
		var row uint64
		for i := 0; i+3 < len(ra) && i+3 < len(rb); i += 4 {
			r := int32(ra[i]) - int32(rb[i])
			g := int32(ra[i+1]) - int32(rb[i+1])
			b := int32(ra[i+2]) - int32(rb[i+2])
			row += uint64(r*r + g*g + b*b)
		}
		sum += row
	}
	if sum == 0 {
		return math.Inf(1), nil
	}
	mse := float64(sum) / (3 * float64(w) * float64(h))
	return 10 * math.Log10(255*255/mse), nil
}

// MSSSIMdB puts an MS-SSIM value on the scale on which curves are plotted and
// BD-rates computed, -10 log10(1-x), where equal steps look about equal.
func MSSSIMdB(x float64) float64 { return -10 * math.Log10(1-x) }

// bothRGBA checks the sizes and converts to 8-bit RGB with the alpha
// multiplied in, which image/draw does fast for every standard type.
func bothRGBA(a, b image.Image) (pa, pb *image.RGBA, err error) {
	sa, sb := a.Bounds().Size(), b.Bounds().Size()
	if sa != sb {
		return nil, nil, fmt.Errorf("%w: %dx%d and %dx%d pixels", ErrSize, sa.X, sa.Y, sb.X, sb.Y)
	}
	if sa.X <= 0 || sa.Y <= 0 {
		return nil, nil, fmt.Errorf("metric: empty picture of %dx%d pixels", sa.X, sa.Y)
	}
	return toRGBA(a), toRGBA(b), nil
}

// toRGBA returns m as an *image.RGBA whose Pix begins at its first pixel.
func toRGBA(m image.Image) *image.RGBA {
	b := m.Bounds()
	if p, ok := m.(*image.RGBA); ok {
		return &image.RGBA{Pix: p.Pix[p.PixOffset(b.Min.X, b.Min.Y):], Stride: p.Stride, Rect: b}
	}
	p := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(p, p.Rect, m, b.Min, draw.Src)
	return p
}
