package format

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func sumFreq(freq []uint16) (sum int) {
	for _, f := range freq {
		sum += int(f)
	}
	return sum
}

func cost(p []float64, freq []uint16) (bits float64) {
	for i, f := range freq {
		if p[i] > 0 {
			bits -= p[i] * math.Log2(float64(f)/probTotal)
		}
	}
	return bits
}

func TestBuildFreqOptimal(t *testing.T) {
	// Two entries: against all 65535 choices.
	for _, p := range [][]float64{{.5, .5}, {1e-9, 1}, {.7, .3}, {1, 0}, {3, 1}} {
		n := p[0] + p[1]
		q := []float64{p[0] / n, p[1] / n}
		best := math.Inf(1)
		for f := 1; f < probTotal; f++ {
			best = min(best, cost(q, []uint16{uint16(f), uint16(probTotal - f)}))
		}
		require.InDelta(t, best, cost(q, BuildFreq(p)), 1e-12, "%v", p)
	}
	// More: the cost is convex, so a choice that no move of one unit improves is
	// the best.
	rng := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{2, 3, 7, 40, 300} {
		for _, shape := range []float64{0.3, 2, 12} {
			p := make([]float64, n)
			sum := 0.0
			for i := range p {
				p[i] = math.Exp(shape * rng.NormFloat64())
				sum += p[i]
			}
			freq := BuildFreq(p)
			require.Equal(t, probTotal, sumFreq(freq))
			for i := range freq {
				for j := range freq {
					if i == j || freq[j] == 1 || freq[i] == math.MaxUint16 {
						continue
					}
					gain := p[i]*math.Log1p(1/float64(freq[i])) - p[j]*math.Log1p(1/float64(freq[j]-1))
					require.LessOrEqual(t, gain/sum, 1e-15, "unit from %d to %d", j, i)
				}
			}
		}
	}
}

func TestBuildFreqOddInput(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		name string
		p    []float64
		want []uint16
	}{
		{"zeros", []float64{0, 0, 0, 0}, []uint16{16384, 16384, 16384, 16384}},
		{"certain", []float64{0, 1, 0}, []uint16{1, 65534, 1}},
		{"junk counts as zero", []float64{nan, 1, inf, -3, 1}, []uint16{1, 32766, 1, 1, 32767}},
		{"not normalised", []float64{30, 10}, []uint16{49152, 16384}},
		{"huge", []float64{1e308, 1e308, 1e308, 1e308}, []uint16{16384, 16384, 16384, 16384}},
		{"tiny", []float64{5e-324, 5e-324}, []uint16{32768, 32768}},
	} {
		require.Equal(t, c.want, BuildFreq(c.p), c.name)
	}
	most := BuildFreq(make([]float64, probTotal))
	require.Equal(t, probTotal, sumFreq(most))
	require.Panics(t, func() { BuildFreq([]float64{1}) })
	require.Panics(t, func() { BuildFreq(make([]float64, probTotal+1)) })
}

// Tables built on different machines must be the same tables.
func TestBuildFreqSameEverywhere(t *testing.T) {
	h := sha256.New()
	x := uint32(1)
	for n := 2; n < 200; n += 7 {
		p := make([]float64, n)
		for i := range p {
			x = x*1664525 + 1013904223
			p[i] = float64(x>>8) * float64(x>>20) / (1 << 36)
		}
		for _, f := range BuildFreq(p) {
			h.Write([]byte{byte(f), byte(f >> 8)})
		}
	}
	require.Equal(t, "25dd67182952a799", hex.EncodeToString(h.Sum(nil)[:8]))
}

func TestLogStep(t *testing.T) {
	for _, f := range []int{1, 2, 3, 10, 1000, 65535} {
		require.InEpsilon(t, math.Log1p(1/float64(f)), logStep(f), 1e-14)
	}
}
