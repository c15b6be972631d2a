package record

import (
	"fmt"
	"math"
	"slices"

	"github.com/aecodec/aecodec/format"
)

// The distribution of a latent channel is kept as quantiles, not as a table of
// symbols: whatever the quantisation step, the probability of a symbol is the
// difference of the distribution function at the ends of its interval, so one
// fit serves all qualities. Between two quantiles the density is constant. They
// are closer in the tails, where it varies most.

// knotProbability are the probabilities of the quantiles.
var knotProbability = func() (p [knots]float64) {
	at := 1
	for e := -12; e <= -5; e++ {
		p[at] = math.Ldexp(1, e)
		at++
	}
	for i := 1; i <= 8; i++ {
		p[at] = float64(i) / 16
		at++
	}
	for i := range knots / 2 {
		p[knots-1-i] = 1 - p[i]
	}
	return p
}()

const (
	knots      = 33
	middleKnot = knots / 2 // the median
)

// fitKnots returns the quantiles [channels, knots] of latents [..., channels].
func fitKnots(latents []float32, channels int) ([]float32, error) {
	n := len(latents) / channels
	if n == 0 || len(latents)%channels != 0 {
		return nil, fmt.Errorf("%d numbers in the latents of the training records, want a multiple of %d channels", len(latents), channels)
	}
	if err := checkFinite("latents of the training records", latents); err != nil {
		return nil, err
	}
	out := make([]float32, 0, channels*knots)
	v := make([]float32, n)
	for c := range channels {
		for i := range v {
			v[i] = latents[i*channels+c]
		}
		slices.Sort(v)
		for _, p := range knotProbability {
			at := float64(p * float64(n-1))
			i := int(at)
			lo, hi := float64(v[i]), float64(v[min(i+1, n-1)])
			out = append(out, float32(lo+float64(float64(at-float64(i))*float64(hi-lo))))
		}
	}
	return out, nil
}

func checkKnots(v []float32) error {
	for i := range v {
		if !(v[i] >= -1e30 && v[i] <= 1e30) {
			return fmt.Errorf("a quantile of channel %d is %g", i/knots, v[i])
		}
		if i%knots > 0 && v[i] < v[i-1] {
			return fmt.Errorf("quantiles of channel %d go down", i/knots)
		}
	}
	return nil
}

// distribution is the distribution function of the quantiles at x. It decides
// table entries, so every operation is rounded by itself.
func distribution(q []float32, x float64) float64 {
	i := 0
	for i < knots && float64(q[i]) <= x {
		i++
	}
	switch i {
	case 0:
		return 0
	case knots:
		return 1
	}
	lo, hi := float64(q[i-1]), float64(q[i])
	t := float64(float64(x-lo) / float64(hi-lo))
	p := knotProbability[i-1]
	return p + float64(t*float64(knotProbability[i]-p))
}

const (
	// maxReach bounds the symbols of a table; those beyond are escaped.
	maxReach = 1023
	// escapeProbability is that of a latent outside of all that was seen in
	// training. Rare, but what is to be noticed in records is just that.
	escapeProbability = 1. / 2048
)

// symbolTable makes the table of a channel with quantiles q at a step.
func symbolTable(q []float32, step float64) (*format.Table, error) {
	centre := float64(q[middleKnot])
	// One symbol more on both sides than training had.
	from := int(max(math.Floor(float64(float64(q[0])-centre)/step+0.5)-1, -maxReach))
	to := int(min(math.Floor(float64(float64(q[knots-1])-centre)/step+0.5)+1, maxReach))
	p := make([]float64, to-from+2)
	below := distribution(q, centre+float64((float64(from)-0.5)*step))
	left := 1.
	for i := range p[:len(p)-1] {
		above := distribution(q, centre+float64((float64(from+i)+0.5)*step))
		mass := max(above-below, 0)
		p[i] = float64(mass * (1 - escapeProbability))
		left -= p[i]
		below = above
	}
	p[len(p)-1] = max(left, escapeProbability)
	return format.NewTable(int32(from), format.BuildFreq(p))
}
