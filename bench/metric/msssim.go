package metric

import (
	"fmt"
	"image"
	"math"
	"sync"

	"github.com/viterin/vek/vek32"
)

// The constants of MS-SSIM: Wang, Simoncelli and Bovik, "Multiscale structural
// similarity for image quality assessment", Asilomar 2003.
var scaleWeights = [...]float64{0.0448, 0.2856, 0.3001, 0.2363, 0.1333}

const (
	taps  = 11
	sigma = 1.5
	c1    = (0.01 * 255) * (0.01 * 255)
	c2    = (0.03 * 255) * (0.03 * 255)

	// MinSide is the smallest side MS-SSIM is defined for: four halvings must
	// leave at least one full window.
	MinSide = (taps-1)<<(len(scaleWeights)-1) + 1
)

// gauss is half of the symmetric window, the centre last.
var gauss = func() (g [taps/2 + 1]float32) {
	var w [taps]float64
	sum := 0.0
	for i := range w {
		d := float64(i - taps/2)
		w[i] = math.Exp(-d * d / (2 * sigma * sigma))
		sum += w[i]
	}
	for i := range g {
		g[i] = float32(w[i] / sum)
	}
	return g
}()

// MSSSIM returns the multiscale structural similarity of two pictures of one
// size, 1 for equal ones: five scales, Gaussian window of 11 taps and sigma
// 1.5, valid windows only, K1 = 0.01, K2 = 0.03, computed for each channel of
// RGB and averaged. Pictures are reduced to 8-bit RGB as in PSNR.
//
// The next scale is a 2x2 mean; an odd side is padded with one zero at its
// beginning, negative terms count as 0. All of this is what the PyTorch package
// pytorch-msssim computes, which most papers on learned compression report, and
// the values agree with its float64 ones to about six digits.
//
// A picture with a side below MinSide (161) has no MS-SSIM: the value of fewer
// scales would look like one and could be compared with none. It gives
// ErrTooSmall.
func MSSSIM(a, b image.Image) (float64, error) {
	pa, pb, err := bothRGBA(a, b)
	if err != nil {
		return 0, err
	}
	w, h := pa.Rect.Dx(), pa.Rect.Dy()
	if w < MinSide || h < MinSide {
		return 0, fmt.Errorf("%w: %dx%d pixels, sides of at least %d needed", ErrTooSmall, w, h, MinSide)
	}
	var values [3]float64
	var wg sync.WaitGroup
	for c := range values {
		wg.Go(func() {
			values[c] = msssimPlane(newPlane(pa, c), newPlane(pb, c))
		})
	}
	wg.Wait()
	return (values[0] + values[1] + values[2]) / 3, nil
}

// shift is subtracted from all samples: variances do not change, and float32
// loses less when it subtracts squares of smaller numbers.
const shift = 128

// plane is one channel, shifted.
type plane struct {
	w, h int
	pix  []float32
}

func newPlane(m *image.RGBA, c int) plane {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	p := plane{w, h, make([]float32, w*h)}
	for y := range h {
		src, dst := m.Pix[y*m.Stride:][:4*w], p.pix[y*w:][:w]
		for x := range dst {
			dst[x] = float32(src[4*x+c]) - shift
		}
	}
	return p
}

func (p plane) row(y int) []float32 { return p.pix[y*p.w:][:p.w] }

// half averages blocks of 2x2. An odd side starts with half a block of black
// (0 before the shift), as avg_pool2d with padding does, and drops nothing.
func (p plane) half() plane {
	q := plane{w: p.w/2 + p.w%2, h: p.h/2 + p.h%2}
	q.pix = make([]float32, q.w*q.h)
	black := make([]float32, p.w)
	for x := range black {
		black[x] = -shift
	}
	for y := range q.h {
		upper, lower := black, p.row(2*y+1-p.h%2)
		if y > 0 || p.h%2 == 0 {
			upper = p.row(2*y - p.h%2)
		}
		dst, x := q.row(y), 0
		if p.w%2 == 1 {
			dst[0] = 0.25 * ((-shift + upper[0]) + (-shift + lower[0]))
			dst, x = dst[1:], 1
		}
		for i := range dst {
			u, l := upper[x+2*i:][:2], lower[x+2*i:][:2]
			dst[i] = 0.25 * ((u[0] + u[1]) + (l[0] + l[1]))
		}
	}
	return q
}

func msssimPlane(a, b plane) float64 {
	result := 1.0
	for i, weight := range scaleWeights {
		ssim, cs := ssimPlane(a, b)
		if i == len(scaleWeights)-1 {
			cs = ssim // the luminance term counts on the coarsest scale only
		} else {
			a, b = a.half(), b.half()
		}
		result *= math.Pow(max(cs, 0), weight)
	}
	return result
}

// ssimPlane returns the means over all windows of SSIM and of its
// contrast-structure term.
//
// Rows are filtered horizontally into rings of 11 rows, which the vertical
// filter then sums, so that everything stays in the cache. Only the sum of the
// two variances is needed, hence four filtered signals and not five.
func ssimPlane(a, b plane) (ssim, cs float64) {
	n := a.w - taps + 1
	var rings [4][taps][]float32
	var out [4][]float32
	for s := range rings {
		out[s] = make([]float32, n)
		for r := range rings[s] {
			rings[s][r] = make([]float32, n)
		}
	}
	squares, products, tmp := make([]float32, a.w), make([]float32, a.w), make([]float32, a.w)
	for y := range a.h {
		ra, rb := a.row(y), b.row(y)
		vek32.Mul_Into(squares, ra, ra)
		vek32.Mul_Into(tmp, rb, rb)
		vek32.Add_Inplace(squares, tmp)
		vek32.Mul_Into(products, ra, rb)
		for s, src := range [4][]float32{ra, rb, squares, products} {
			filter(rings[s][y%taps], tmp[:n], func(k int) []float32 { return src[k : k+n] })
		}
		if y < taps-1 {
			continue
		}
		for s := range rings {
			filter(out[s], tmp[:n], func(k int) []float32 { return rings[s][(y+1+k)%taps] })
		}
		rowSSIM, rowCS := ssimRow(out[0], out[1], out[2], out[3])
		ssim += rowSSIM
		cs += rowCS
	}
	windows := float64(n) * float64(a.h-taps+1)
	return ssim / windows, cs / windows
}

// filter sets dst to the window's weighted sum of the eleven slices tap(0) to
// tap(10), all of the length of dst and tmp.
func filter(dst, tmp []float32, tap func(k int) []float32) {
	vek32.MulNumber_Into(dst, tap(taps/2), gauss[taps/2])
	for k := range taps / 2 {
		vek32.Add_Into(tmp, tap(k), tap(taps-1-k))
		vek32.MulNumber_Inplace(tmp, gauss[k])
		vek32.Add_Inplace(dst, tmp)
	}
}

// ssimRow sums both terms over one row of windows, given the weighted means of
// a, b, a²+b² and ab.
func ssimRow(ma, mb, mss, mab []float32) (ssim, cs float64) {
	mb, mss, mab = mb[:len(ma)], mss[:len(ma)], mab[:len(ma)]
	for i := range ma {
		// The conversions keep the products from being fused into the sums.
		xy := float32(ma[i] * mb[i])
		xx := float32(ma[i]*ma[i]) + float32(mb[i]*mb[i])
		contrast := (float32(2*(mab[i]-xy)) + c2) / ((mss[i] - xx) + c2)
		x, y := ma[i]+shift, mb[i]+shift
		luminance := (float32(2*float32(x*y)) + c1) / ((float32(x*x) + float32(y*y)) + c1)
		cs += float64(contrast)
		ssim += float64(float32(luminance * contrast))
	}
	return ssim, cs
}
