package metric

import (
	"image"
	"image/color"
	"image/draw"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// pair returns two deterministic pictures, the second with noise.
func pair(w, h int) (a, b *image.NRGBA) {
	a, b = image.NewNRGBA(image.Rect(0, 0, w, h)), image.NewNRGBA(image.Rect(0, 0, w, h))
	clip := func(v int) byte { return byte(min(max(v, 0), 255)) }
	for y := range h {
		for x := range w {
			c := [3]int{(x*x/31 + y*3) % 256, (x*5 + y*y/17) % 256, x * y / 13 % 256}
			n := int(int64(x*7919+y*104729)*2654435761>>16%33) - 16
			half := n >> 1 // floor, as in Python
			a.SetNRGBA(x, y, color.NRGBA{byte(c[0]), byte(c[1]), byte(c[2]), 255})
			b.SetNRGBA(x, y, color.NRGBA{clip(c[0] + n), clip(c[1] + half), clip(c[2] - n), 255})
		}
	}
	return a, b
}

// The wanted values were computed with pytorch-msssim 1.0.0 in float64.
func TestAgainstReference(t *testing.T) {
	for _, c := range []struct {
		w, h         int
		psnr, msssim float64
	}{
		{161, 161, 29.962792744050862, 0.987692203829177},
		{203, 170, 29.96098961764073, 0.9898911219695697},
		{256, 177, 29.95900401281005, 0.9916995947581162},
		{192, 176, 29.96245201484529, 0.9896492486581044},
	} {
		a, b := pair(c.w, c.h)
		p, err := PSNR(a, b)
		require.NoError(t, err)
		require.InDelta(t, c.psnr, p, 1e-9)
		m, err := MSSSIM(a, b)
		require.NoError(t, err)
		require.InDelta(t, c.msssim, m, 1e-6)
	}
}

func TestEqualPictures(t *testing.T) {
	a, _ := pair(170, 161)
	p, err := PSNR(a, a)
	require.NoError(t, err)
	require.True(t, math.IsInf(p, 1))
	m, err := MSSSIM(a, a)
	require.NoError(t, err)
	require.InDelta(t, 1, m, 1e-7)
}

func TestImageTypesAndOffsets(t *testing.T) {
	a, b := pair(180, 180)
	want, err := PSNR(a.SubImage(image.Rect(9, 7, 175, 178)), b.SubImage(image.Rect(9, 7, 175, 178)))
	require.NoError(t, err)
	wantMS, err := MSSSIM(a.SubImage(image.Rect(9, 7, 175, 178)), b.SubImage(image.Rect(9, 7, 175, 178)))
	require.NoError(t, err)
	for _, dst := range []draw.Image{
		image.NewRGBA(image.Rect(-3, -2, 163, 169)), image.NewNRGBA64(image.Rect(5, 5, 171, 176)),
	} {
		draw.Draw(dst, dst.Bounds(), a, image.Pt(9, 7), draw.Src)
		got, err := PSNR(dst, b.SubImage(image.Rect(9, 7, 175, 178)))
		require.NoError(t, err)
		require.Equal(t, want, got)
		got, err = MSSSIM(dst, b.SubImage(image.Rect(9, 7, 175, 178)))
		require.NoError(t, err)
		require.Equal(t, wantMS, got)
	}
	// A part of an *image.RGBA is used in place.
	whole := image.NewRGBA(a.Rect)
	draw.Draw(whole, whole.Rect, a, image.Point{}, draw.Src)
	got, err := PSNR(whole.SubImage(image.Rect(9, 7, 175, 178)), b.SubImage(image.Rect(9, 7, 175, 178)))
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestGrayAndAlpha(t *testing.T) {
	g, c := image.NewGray(image.Rect(0, 0, 2, 2)), image.NewNRGBA(image.Rect(0, 0, 2, 2))
	for i := range g.Pix {
		g.Pix[i] = 100
	}
	draw.Draw(c, c.Rect, image.NewUniform(color.NRGBA{110, 110, 110, 255}), image.Point{}, draw.Src)
	p, err := PSNR(g, c)
	require.NoError(t, err)
	require.InDelta(t, 10*math.Log10(255*255/100.0), p, 1e-12)

	// Colours under full transparency are not seen.
	x, y := image.NewNRGBA(c.Rect), image.NewNRGBA(c.Rect)
	draw.Draw(x, x.Rect, image.NewUniform(color.NRGBA{200, 10, 3, 255}), image.Point{}, draw.Src)
	for i := 3; i < len(x.Pix); i += 4 {
		x.Pix[i] = 0
	}
	p, err = PSNR(x, y)
	require.NoError(t, err)
	require.True(t, math.IsInf(p, 1))
}

func TestErrors(t *testing.T) {
	a, _ := pair(170, 161)
	b, _ := pair(161, 170)
	_, err := PSNR(a, b)
	require.ErrorIs(t, err, ErrSize)
	require.EqualError(t, err, "metric: sizes differ: 170x161 and 161x170 pixels")
	_, err = MSSSIM(a, b)
	require.ErrorIs(t, err, ErrSize)
	small, _ := pair(300, 160)
	_, err = MSSSIM(small, small)
	require.ErrorIs(t, err, ErrTooSmall)
	require.EqualError(t, err, "metric: picture too small for ms-ssim: 300x160 pixels, sides of at least 161 needed")
	empty := image.NewRGBA(image.Rectangle{})
	_, err = PSNR(empty, empty)
	require.Error(t, err)
}

func TestMSSSIMdB(t *testing.T) {
	require.InDelta(t, 20, MSSSIMdB(0.99), 1e-9)
}

func BenchmarkMSSSIM(b *testing.B) {
	x, y := pair(768, 512)
	b.SetBytes(768 * 512)
	for b.Loop() {
		if _, err := MSSSIM(x, y); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPSNR(b *testing.B) {
	x, y := pair(768, 512)
	b.SetBytes(768 * 512)
	for b.Loop() {
		if _, err := PSNR(x, y); err != nil {
			b.Fatal(err)
		}
	}
}
