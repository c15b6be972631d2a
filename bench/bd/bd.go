// Package bd computes Bjøntegaard deltas of the rate: how many per cent more or
// less one codec spends than another at equal quality, averaged over the range
// of qualities that both reach (G. Bjøntegaard, VCEG-M33, 2001; PCHIP in place
// of a cubic fit as in the JCT-VC and JVET common test conditions).
package bd

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/interp"
)

// Point is one operating point of a codec: a rate in any unit, as long as both
// curves use it, and a quality in dB. For MS-SSIM the quality is -10 log10(1-x).
type Point struct{ Rate, Quality float64 }

// Delta is the outcome of a comparison.
type Delta struct {
	// Percent is the difference of the rates at equal quality; negative where
	// the tested codec needs less than the anchor.
	Percent float64
	// Low and High are the ends of the range of quality it was averaged over.
	Low, High float64
}

var (
	// ErrCurve is returned for points that do not make a curve.
	ErrCurve = errors.New("bd: not a curve")
	// ErrOverlap is returned for curves without a common range of quality.
	ErrOverlap = errors.New("bd: no common range of quality")
)

// Rate compares test with anchor over the whole range of quality that both
// cover. Points may come in any order.
func Rate(anchor, test []Point) (Delta, error) {
	return RateWithin(anchor, test, math.Inf(-1), math.Inf(1))
}

// RateWithin compares within low and high only, or that part of it that both
// curves cover.
//
// The logarithm of the rate is interpolated as a function of quality by
// monotone piecewise cubics (PCHIP, Fritsch and Butland 1984, as in MATLAB and
// SciPy); the difference of the two integrals over the range, divided by its
// length, is the mean logarithm of the ratio of the rates. Nothing is ever
// extrapolated. Curves need at least two points with finite, distinct qualities
// and positive rates.
func RateWithin(anchor, test []Point, low, high float64) (Delta, error) {
	a, err := newCurve(anchor)
	if err != nil {
		return Delta{}, fmt.Errorf("%w: anchor: %w", ErrCurve, err)
	}
	t, err := newCurve(test)
	if err != nil {
		return Delta{}, fmt.Errorf("%w: test: %w", ErrCurve, err)
	}
	lo, hi := max(low, a.low(), t.low()), min(high, a.high(), t.high())
	if !(lo < hi) {
		return Delta{}, fmt.Errorf("%w: %.2f to %.2f dB and %.2f to %.2f dB", ErrOverlap, a.low(), a.high(), t.low(), t.high())
	}
	mean := (t.integral(lo, hi) - a.integral(lo, hi)) / (hi - lo)
	return Delta{Percent: 100 * math.Expm1(mean), Low: lo, High: hi}, nil
}

// curve is the natural logarithm of the rate over quality.
type curve struct {
	q     []float64
	cubic interp.FritschButland
}

func newCurve(points []Point) (*curve, error) {
	if len(points) < 2 {
		return nil, fmt.Errorf("%d of at least 2 points", len(points))
	}
	sorted := slices.SortedFunc(slices.Values(points), func(a, b Point) int { return cmp.Compare(a.Quality, b.Quality) })
	c := &curve{}
	var logs []float64
	for i, p := range sorted {
		switch {
		case math.IsNaN(p.Quality) || math.IsInf(p.Quality, 0):
			return nil, fmt.Errorf("quality %v", p.Quality)
		case !(p.Rate > 0) || math.IsInf(p.Rate, 0):
			return nil, fmt.Errorf("rate %v", p.Rate)
		case i > 0 && p.Quality == sorted[i-1].Quality:
			return nil, fmt.Errorf("two points with quality %v", p.Quality)
		}
		c.q = append(c.q, p.Quality)
		logs = append(logs, math.Log(p.Rate))
	}
	return c, c.cubic.Fit(c.q, logs)
}

func (c *curve) low() float64  { return c.q[0] }
func (c *curve) high() float64 { return c.q[len(c.q)-1] }

// integral is exact but for rounding: Simpson's rule integrates a cubic without
// error, and it is applied to each piece by itself.
func (c *curve) integral(lo, hi float64) float64 {
	sum := 0.0
	for i := range len(c.q) - 1 {
		a, b := max(lo, c.q[i]), min(hi, c.q[i+1])
		if a < b {
			sum += (b - a) / 6 * (c.cubic.Predict(a) + 4*c.cubic.Predict((a+b)/2) + c.cubic.Predict(b))
		}
	}
	return sum
}
