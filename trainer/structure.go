package trainer

import (
	"github.com/aecodec/aecodec/kernels"
)

// MS-SSIM (Wang, Simoncelli and Bovik, Asilomar 2003) as a distortion: five
// scales, a Gaussian window of 11 taps and sigma 1.5 in its valid positions,
// K1 = 0.01 and K2 = 0.03, each colour channel by itself, then their mean, as
// pytorch-msssim computes it and bench/metric measures it. The arithmetic obeys
// the contract of package kernels, so gradients are the same everywhere.
const (
	structureScales = 5
	structureTaps   = 11
	structureC1     = 0.01 * 0.01
	structureC2     = 0.03 * 0.03
	colours         = 3

	// minStructureSide leaves one window at the last scale.
	minStructureSide = (structureTaps-1)<<(structureScales-1) + 1

	// structureScale makes 1-MS-SSIM comparable to 65025·MSE: CompressAI
	// pairs lambda 0.0018 to 0.18 for MSE with 2.4 to 220 for MS-SSIM.
	structureScale = 1300
	// structurePixels is the share of the squared error beside it: it keeps
	// colours and flat areas in place, which MS-SSIM hardly sees.
	structurePixels = 0.1

	// leastContrast bounds the contrast terms away from 0, where the power
	// has no slope.
	leastContrast = 1e-4
)

var structureWeights = [structureScales]float64{0.0448, 0.2856, 0.3001, 0.2363, 0.1333}

// structureWindow is the Gaussian window.
var structureWindow = func() (g [structureTaps]float32) {
	var w [structureTaps]float64
	sum := 0.
	for i := range w {
		d := float64(i - structureTaps/2)
		w[i] = kernels.Exp64(-float64(d*d) / (2 * 1.5 * 1.5))
		sum += w[i]
	}
	for i := range g {
		g[i] = float32(w[i] / sum)
	}
	return g
}()

// structure computes MS-SSIM and its gradient for one sample at a time.
type structure struct {
	scales [structureScales]structureLevel
	column []float32 // after the vertical filter
}

// structureLevel is one scale. Pictures are [h, w, 3], maps [h-10, w-10, 3].
type structureLevel struct {
	h, w                  int
	x, y, dy              []float32
	xx, yy, xy            []float32 // products of pixels
	mx, my, sxx, syy, sxy []float32 // filtered; then gradients
	contrast, both        [colours]float64
}

// similarity returns the MS-SSIM of y [h, w, 3] against x, both with the range
// of 1 around 0. Sides are at least minStructureSide and multiples of 16.
func (s *structure) similarity(x, y []float32, h, w int) float64 {
	for i := range s.scales {
		l := &s.scales[i]
		l.resize(h>>i, w>>i)
		if i == 0 {
			copy(l.x, x)
			copy(l.y, y)
		} else {
			halve(l.x, s.scales[i-1].x, l.h, l.w)
			halve(l.y, s.scales[i-1].y, l.h, l.w)
		}
		s.measure(l)
	}
	sum := 0.
	for c := range colours {
		sum += s.product(c)
	}
	return sum / colours
}

// term is the mean that scale i contributes to a channel: the contrast term, at
// the last scale times the luminance term.
func (s *structure) term(i, c int) float64 {
	if i == structureScales-1 {
		return max(s.scales[i].both[c], leastContrast)
	}
	return max(s.scales[i].contrast[c], leastContrast)
}

// product is the MS-SSIM of one channel.
func (s *structure) product(c int) float64 {
	sum := 0.
	for i := range s.scales {
		sum += float64(structureWeights[i] * kernels.Log64(s.term(i, c)))
	}
	return kernels.Exp64(sum)
}

// gradient is similarity, which it returns, and adds scale times its gradient
// to dy.
func (s *structure) gradient(dy, x, y []float32, h, w int, scale float64) float64 {
	value := s.similarity(x, y, h, w)
	for i := structureScales - 1; i >= 0; i-- {
		l := &s.scales[i]
		var contrast, both [colours]float64
		for c := range colours {
			slope := scale / colours * s.product(c) * structureWeights[i] / s.term(i, c)
			switch {
			case s.term(i, c) == leastContrast:
			case i == structureScales-1:
				both[c] = slope
			default:
				contrast[c] = slope
			}
		}
		clear(l.dy)
		s.backward(l, &contrast, &both)
		if i < structureScales-1 {
			unhalve(l.dy, s.scales[i+1].dy, s.scales[i+1].h, s.scales[i+1].w)
		}
	}
	kernels.Add(dy, dy, s.scales[0].dy)
	return value
}

func (l *structureLevel) resize(h, w int) {
	l.h, l.w = h, w
	for _, p := range []*[]float32{&l.x, &l.y, &l.dy, &l.xx, &l.yy, &l.xy} {
		*p = grow(*p, h*w*colours)
	}
	for _, p := range []*[]float32{&l.mx, &l.my, &l.sxx, &l.syy, &l.sxy} {
		*p = grow(*p, (h-structureTaps+1)*(w-structureTaps+1)*colours)
	}
}

// measure computes the filtered moments and the mean terms of a scale.
func (s *structure) measure(l *structureLevel) {
	kernels.Mul(l.xx, l.x, l.x)
	kernels.Mul(l.yy, l.y, l.y)
	kernels.Mul(l.xy, l.x, l.y)
	for _, p := range [...][2][]float32{{l.mx, l.x}, {l.my, l.y}, {l.sxx, l.xx}, {l.syy, l.yy}, {l.sxy, l.xy}} {
		s.filter(p[0], p[1], l.h, l.w)
	}
	var contrast, both [colours]float64
	for i := range l.mx {
		t := l.terms(i)
		cs := t.a / t.b
		contrast[i%colours] += float64(cs)
		both[i%colours] += float64(cs * (t.c / t.d))
	}
	n := float64(len(l.mx) / colours)
	for c := range colours {
		l.contrast[c], l.both[c] = contrast[c]/n, both[c]/n
	}
}

// structureTerms are the parts of SSIM = (a/b)·(c/d) at one position. Pixels are
// centred at 0, which keeps the differences of squares precise; the means that
// c and d are made of are of pixels from 0 to 1.
type structureTerms struct{ mx, my, a, b, c, d float32 }

func (l *structureLevel) terms(i int) structureTerms {
	mx, my := l.mx[i], l.my[i]
	sxx := l.sxx[i] - float32(mx*mx)
	syy := l.syy[i] - float32(my*my)
	sxy := l.sxy[i] - float32(mx*my)
	ux, uy := mx+0.5, my+0.5
	return structureTerms{
		mx: mx, my: my,
		a: float32(2*sxy) + structureC2, b: sxx + syy + structureC2,
		c: float32(2*float32(ux*uy)) + structureC1, d: float32(ux*ux) + float32(uy*uy) + structureC1,
	}
}

// backward adds the gradient of a scale's pixels to l.dy, from those of the
// mean contrast term and of the mean of both terms.
func (s *structure) backward(l *structureLevel, dContrast, dBoth *[colours]float64) {
	n := float64(len(l.mx) / colours)
	var gc, gb [colours]float32
	for c := range colours {
		gc[c], gb[c] = float32(dContrast[c]/n), float32(dBoth[c]/n)
	}
	for i := range l.mx {
		t := l.terms(i)
		c := i % colours
		cs, lum := t.a/t.b, t.c/t.d
		gcs := gc[c] + float32(gb[c]*lum)
		glum := gb[c] * cs
		gxy := 2 * gcs / t.b   // of E[xy]
		gyy := -gcs * cs / t.b // of E[yy]
		ux, uy := t.mx+0.5, t.my+0.5
		gm := float32(-gxy*t.mx) - float32(2*float32(gyy*t.my)) + float32(float32(2*glum)*(ux-float32(lum*uy)))/t.d
		l.my[i], l.syy[i], l.sxy[i] = gm, gyy, gxy
	}
	// x·Gᵀ(gxy) + 2y·Gᵀ(gyy) + Gᵀ(gm); the products' memory is free by now.
	s.unfilter(l.xy, l.sxy, l.h, l.w)
	s.unfilter(l.yy, l.syy, l.h, l.w)
	s.unfilter(l.xx, l.my, l.h, l.w)
	kernels.Mul(l.xy, l.xy, l.x)
	kernels.Mul(l.yy, l.yy, l.y)
	kernels.Add(l.dy, l.dy, l.xx)
	kernels.Add(l.dy, l.dy, l.xy)
	kernels.AddScaled(l.dy, l.dy, l.yy, 2)
}

// filter computes the windowed means of src [h, w, 3] at valid positions.
func (s *structure) filter(dst, src []float32, h, w int) {
	row, out := w*colours, (w-structureTaps+1)*colours
	s.column = grow(s.column, row)
	for y := range h - structureTaps + 1 {
		clear(s.column)
		for k, g := range structureWindow {
			kernels.AddScaled(s.column, s.column, src[(y+k)*row:][:row], g)
		}
		d := dst[y*out:][:out]
		clear(d)
		for k, g := range structureWindow {
			kernels.AddScaled(d, d, s.column[k*colours:][:out], g)
		}
	}
}

// unfilter is the transpose of filter.
func (s *structure) unfilter(dst, src []float32, h, w int) {
	row, out := w*colours, (w-structureTaps+1)*colours
	s.column = grow(s.column, row)
	clear(dst)
	for y := range h - structureTaps + 1 {
		clear(s.column)
		for k, g := range structureWindow {
			d := s.column[k*colours:][:out]
			kernels.AddScaled(d, d, src[y*out:][:out], g)
		}
		for k, g := range structureWindow {
			d := dst[(y+k)*row:][:row]
			kernels.AddScaled(d, d, s.column, g)
		}
	}
}

// halve writes the means of 2×2 pixels: dst is h×w.
func halve(dst, src []float32, h, w int) {
	row := 2 * w * colours
	for y := range h {
		a, b := src[2*y*row:][:row], src[(2*y+1)*row:][:row]
		d := dst[y*w*colours:][:w*colours]
		for i := range d {
			at := i/colours*2*colours + i%colours
			d[i] = 0.25 * (a[at] + a[at+colours] + (b[at] + b[at+colours]))
		}
	}
}

// unhalve adds the gradient of halve's argument: d is h×w, dsrc twice as high
// and wide.
func unhalve(dsrc, d []float32, h, w int) {
	row := 2 * w * colours
	for y := range 2 * h {
		to := dsrc[y*row:][:row]
		from := d[y/2*w*colours:][:w*colours]
		for i := range from {
			at := i/colours*2*colours + i%colours
			v := 0.25 * from[i]
			to[at] += v
			to[at+colours] += v
		}
	}
}
