package trainer

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// structurePair is a smooth picture and a distorted one, in -0.5..0.5.
func structurePair(h, w int) (x, y []float32) {
	rng := rand.New(rand.NewPCG(5, 6))
	x, y = make([]float32, h*w*3), make([]float32, h*w*3)
	for i := range x {
		px, py, c := i/3%w, i/3/w, i%3
		x[i] = float32(0.4 * math.Sin(float64(px)/7+float64(c)) * math.Cos(float64(py)/11))
		y[i] = 0.9*x[i] + float32(0.05*rng.NormFloat64())
	}
	return x, y
}

// msssim is the definition, in float64, without separating the window.
func msssim(x, y []float32, h, w int) float64 {
	a, b := make([]float64, len(x)), make([]float64, len(x))
	for i := range x {
		a[i], b[i] = float64(x[i])+0.5, float64(y[i])+0.5
	}
	product := [3]float64{1, 1, 1}
	windowSum := 0.
	for k := range 11 {
		windowSum += math.Exp(-float64((k-5)*(k-5)) / 4.5)
	}
	for scale := range structureScales {
		var contrast, both [3]float64
		n := float64((h - 10) * (w - 10))
		for py := range h - 10 {
			for px := range w - 10 {
				for c := range 3 {
					var ma, mb, aa, bb, ab float64
					for ky := range 11 {
						for kx := range 11 {
							g := math.Exp(-float64((ky-5)*(ky-5)+(kx-5)*(kx-5)) / 4.5)
							g /= windowSum * windowSum
							u, v := a[((py+ky)*w+px+kx)*3+c], b[((py+ky)*w+px+kx)*3+c]
							ma, mb = ma+g*u, mb+g*v
							aa, bb, ab = aa+g*u*u, bb+g*v*v, ab+g*u*v
						}
					}
					cs := (2*(ab-ma*mb) + structureC2) / (aa - ma*ma + bb - mb*mb + structureC2)
					contrast[c] += cs / n
					both[c] += cs * (2*ma*mb + structureC1) / (ma*ma + mb*mb + structureC1) / n
				}
			}
		}
		for c := range 3 {
			term := contrast[c]
			if scale == structureScales-1 {
				term = both[c]
			}
			product[c] *= math.Pow(term, structureWeights[scale])
		}
		half := func(p []float64) []float64 {
			out := make([]float64, h/2*(w/2)*3)
			for i := range out {
				px, py, c := i/3%(w/2), i/3/(w/2), i%3
				at := (2*py*w+2*px)*3 + c
				out[i] = (p[at] + p[at+3] + p[at+3*w] + p[at+3*w+3]) / 4
			}
			return out
		}
		a, b, h, w = half(a), half(b), h/2, w/2
	}
	return (product[0] + product[1] + product[2]) / 3
}

func TestStructure(t *testing.T) {
	const h, w = 176, 192
	x, y := structurePair(h, w)
	s := new(structure)
	require.InDelta(t, 1, s.similarity(x, x, h, w), 1e-6)
	value := s.similarity(x, y, h, w)
	require.InDelta(t, msssim(x, y, h, w), value, 1e-5)
	require.Less(t, value, 0.99)

	// Slope along random directions, by central differences.
	rng := rand.New(rand.NewPCG(7, 8))
	dy := make([]float32, len(y))
	const scale = 3.
	require.Equal(t, value, s.gradient(dy, x, y, h, w, scale))
	for range 4 {
		d := make([]float32, len(y))
		want, norm := 0., 0.
		for i := range d {
			// Near the gradient, or differences drown in rounding.
			d[i] = dy[i] + float32(rng.NormFloat64())*float32(math.Abs(float64(dy[i])))
			want += float64(d[i]) * float64(dy[i])
			norm += float64(d[i]) * float64(d[i])
		}
		step := float32(0.2 / math.Sqrt(norm))
		at := func(k float32) float64 {
			moved := make([]float32, len(y))
			for i := range moved {
				moved[i] = y[i] + k*d[i]
			}
			return s.similarity(x, moved, h, w)
		}
		require.InEpsilon(t, want, scale*(at(step)-at(-step))/(2*float64(step)), 0.01)
	}
}
