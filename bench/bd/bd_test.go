package bd

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

var anchor = []Point{{0.15, 26.1}, {0.31, 28.9}, {0.62, 31.7}, {1.1, 34.8}, {1.9, 38.2}, {3.2, 41.0}}

func scaled(points []Point, rate, quality float64) []Point {
	out := slices.Clone(points)
	for i := range out {
		out[i].Rate *= rate
		out[i].Quality += quality
	}
	return out
}

func TestSelfIsZero(t *testing.T) {
	d, err := Rate(anchor, anchor)
	require.NoError(t, err)
	require.Equal(t, Delta{Percent: 0, Low: 26.1, High: 41.0}, d)
}

func TestScaledRate(t *testing.T) {
	for _, f := range []float64{0.5, 0.9, 1.1, 3} {
		d, err := Rate(anchor, scaled(anchor, f, 0))
		require.NoError(t, err)
		require.InDelta(t, 100*(f-1), d.Percent, 1e-9)
	}
}

func TestOrderDoesNotMatter(t *testing.T) {
	test := scaled(anchor, 0.8, 0.3)
	want, err := Rate(anchor, test)
	require.NoError(t, err)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(test), func(i, j int) { test[i], test[j] = test[j], test[i] })
	got, err := Rate(anchor, test)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// Both directions multiply to one, because logarithms are averaged.
func TestReciprocal(t *testing.T) {
	test := []Point{{0.2, 27}, {0.5, 31.5}, {1.4, 36}, {2.5, 42}}
	ab, err := Rate(anchor, test)
	require.NoError(t, err)
	ba, err := Rate(test, anchor)
	require.NoError(t, err)
	require.InDelta(t, 1, (1+ab.Percent/100)*(1+ba.Percent/100), 1e-12)
}

// On straight lines in log rate the answer is known in closed form, also where
// the ranges overlap in part only.
func TestPartialOverlapOfLines(t *testing.T) {
	line := func(a, b float64, qs ...float64) (p []Point) {
		for _, q := range qs {
			p = append(p, Point{math.Exp(a + b*q), q})
		}
		return p
	}
	d, err := Rate(line(-7, 0.2, 25, 28, 33, 36), line(-7.3, 0.21, 30, 31, 35, 40, 44))
	require.NoError(t, err)
	require.Equal(t, 30.0, d.Low)
	require.Equal(t, 36.0, d.High)
	require.InDelta(t, 100*math.Expm1(-0.3+0.01*33), d.Percent, 1e-9)

	d, err = RateWithin(line(-7, 0.2, 25, 40), line(-7.3, 0.21, 24, 41), 27, 38)
	require.NoError(t, err)
	require.Equal(t, [2]float64{27, 38}, [2]float64{d.Low, d.High})
	require.InDelta(t, 100*math.Expm1(-0.3+0.01*32.5), d.Percent, 1e-9)
}

// The value was computed with scipy.interpolate.PchipInterpolator.
func TestAgainstSciPy(t *testing.T) {
	test := []Point{{0.12, 26.5}, {0.2, 28.1}, {0.55, 32.4}, {0.97, 35.1}, {2.4, 40.2}, {2.9, 40.9}}
	d, err := Rate(anchor, test)
	require.NoError(t, err)
	require.InDelta(t, -18.5419870799793, d.Percent, 1e-9)
}

func TestErrors(t *testing.T) {
	for name, test := range map[string][]Point{
		"none": nil, "one": anchor[:1], "rate 0": {{0, 30}, {1, 35}}, "negative rate": {{-1, 30}, {1, 35}},
		"not a number": {{1, math.NaN()}, {2, 33}}, "lossless": {{1, 30}, {9, math.Inf(1)}}, "same quality": {{1, 30}, {2, 30}, {3, 31}},
	} {
		_, err := Rate(anchor, test)
		require.ErrorIs(t, err, ErrCurve, name)
		_, err = Rate(test, anchor)
		require.ErrorIs(t, err, ErrCurve, name)
	}
	_, err := Rate(anchor, scaled(anchor, 1, 20))
	require.ErrorIs(t, err, ErrOverlap)
	_, err = RateWithin(anchor, anchor, 50, 60)
	require.ErrorIs(t, err, ErrOverlap)
}
