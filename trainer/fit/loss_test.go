package fit

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec/nn"
)

// tensorOf returns n samples of the given numbers.
func tensorOf(n int, v ...float32) *nn.Tensor {
	return &nn.Tensor{N: n, H: 1, W: 1, C: len(v) / n, Data: v}
}

func random(r *rand.Rand, n, c int, lo, hi float32) *nn.Tensor {
	t := nn.NewTensor(n, 1, 1, c)
	for i := range t.Data {
		t.Data[i] = lo + (hi-lo)*r.Float32()
	}
	return t
}

// TestClosedForms compares losses with what can be computed on paper.
func TestClosedForms(t *testing.T) {
	half := func(v ...float32) float64 { return BCE(tensorOf(1, v...), tensorOf(1, 0.25, 1), nil, 1)[0] }
	require.InDelta(t, math.Ln2, half(0, 0), 1e-6, "a coin, whatever the target")
	// At the logit of the target the cross-entropy is the entropy.
	logit := func(p float64) float32 { return float32(math.Log(p / (1 - p))) }
	entropy := -0.25*math.Log(0.25) - 0.75*math.Log(0.75)
	require.InDelta(t, entropy/2, half(logit(0.25), 40), 1e-6)
	// Sure and wrong: the logit itself, with no infinity.
	require.InDelta(t, 80, BCE(tensorOf(1, -80), tensorOf(1, 1), nil, 1)[0], 1e-4)

	require.InDelta(t, (1.0+9)/2, MSE(tensorOf(1, 2, -1), tensorOf(1, 1, 2), nil, 1)[0], 1e-6)

	zero := tensorOf(1, 0, 0)
	require.Zero(t, KL(zero, zero, nil, nil, 1)[0], "the standard normal distribution itself")
	// ½(μ² + σ² - 1 - ln σ²), twice.
	want := 0.5*(1+4-1-math.Log(4)) + 0.5*(0.25+0.5-1-math.Log(0.5))
	got := KL(tensorOf(1, 1, -0.5), tensorOf(1, float32(math.Log(4)), float32(math.Log(0.5))), nil, nil, 1)[0]
	require.InDelta(t, want, got, 1e-6)

	require.InDelta(t, math.Log(3), CrossEntropy(tensorOf(1, 5, 5, 5), []int32{1}, nil)[0], 1e-6)
	require.InDelta(t, math.Log(1+math.Exp(-2)), CrossEntropy(tensorOf(1, 3, 1), []int32{0}, nil)[0], 1e-6)
	class, sure := Argmax(tensorOf(2, 3, 1, -400, 400))
	require.Equal(t, []int32{0, 1}, class)
	require.InDelta(t, 1/(1+math.Exp(-2)), sure[0], 1e-9)
	require.Equal(t, 0.5, Accuracy(tensorOf(2, 3, 1, -400, 400), []int32{0, 0}))
}

// checkGradient compares a gradient with central differences of a loss written
// down in float64.
func checkGradient(t *testing.T, x []float32, g []float32, loss func(x []float64) float64) {
	t.Helper()
	wide := make([]float64, len(x))
	for i, v := range x {
		wide[i] = float64(v)
	}
	const eps = 1e-5
	for i := range wide {
		at := wide[i]
		wide[i] = at + eps
		up := loss(wide)
		wide[i] = at - eps
		down := loss(wide)
		wide[i] = at
		require.InDelta(t, (up-down)/(2*eps), g[i], 1e-6, "number %d", i)
	}
}

func TestGradients(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const n, c = 3, 7
	y, target := random(r, n, c, -3, 3), random(r, n, c, 0, 1)
	for name, l := range map[string]struct {
		loss Loss
		at   func(y, t float64) float64
	}{
		"mse": {MSE, func(y, t float64) float64 { return (y - t) * (y - t) }},
		"bce": {BCE, func(y, t float64) float64 {
			p := 1 / (1 + math.Exp(-y))
			return -t*math.Log(p) - (1-t)*math.Log(1-p)
		}},
	} {
		d := nn.NewTensor(n, 1, 1, c)
		value := Mean(l.loss(y, target, d, 2))
		reference := func(y []float64) float64 {
			sum := 0.0
			for i, v := range y {
				sum += l.at(v, float64(target.Data[i]))
			}
			return sum / (n * c)
		}
		wide := make([]float64, n*c)
		for i, v := range y.Data {
			wide[i] = float64(v)
		}
		require.InDelta(t, reference(wide), value, 1e-6, name)
		checkGradient(t, y.Data, d.Data, reference)
	}

	labels := []int32{0, 6, 3}
	d := nn.NewTensor(n, 1, 1, c)
	CrossEntropy(y, labels, d)
	checkGradient(t, y.Data, d.Data, func(y []float64) float64 {
		sum := 0.0
		for i, l := range labels {
			all := 0.0
			for _, v := range y[i*c : (i+1)*c] {
				all += math.Exp(v)
			}
			sum += math.Log(all) - y[i*c+int(l)]
		}
		return sum / n
	})

	// KL adds to what is there.
	mean, logVar := random(r, n, c, -2, 2), random(r, n, c, -2, 1)
	dMean, dLogVar := nn.NewTensor(n, 1, 1, c), nn.NewTensor(n, 1, 1, c)
	for range 2 {
		KL(mean, logVar, dMean, dLogVar, 0.5)
	}
	divergence := func(mean, logVar []float64) float64 {
		sum := 0.0
		for i := range mean {
			sum += 0.5 * (mean[i]*mean[i] + math.Exp(logVar[i]) - 1 - logVar[i])
		}
		return sum / n
	}
	wide := func(t *nn.Tensor) []float64 {
		out := make([]float64, len(t.Data))
		for i, v := range t.Data {
			out[i] = float64(v)
		}
		return out
	}
	checkGradient(t, mean.Data, dMean.Data, func(m []float64) float64 { return divergence(m, wide(logVar)) })
	checkGradient(t, logVar.Data, dLogVar.Data, func(l []float64) float64 { return divergence(wide(mean), l) })
}
