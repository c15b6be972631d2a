package trainer

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/codec/nn"
)

// testGraph is a graph over random weights, none of them special: all paths
// carry gradients of similar size.
func testGraph(t testing.TB, threads int) (*graph, *state) {
	arch := tinyArch(t)
	for _, net := range arch.Networks {
		for i := range net.Layers { // gentler kinks: differences want smoothness
			if l := &net.Layers[i]; l.Op == nn.OpLeaky {
				l.Slope = 0.9
			}
		}
	}
	p, err := arch.Init(1)
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(1, 2))
	for _, name := range p.Names() {
		data := p[name].Data
		switch {
		case strings.HasSuffix(name, ".bias") && name != codec.ScaleBias:
			for i := range data {
				data[i] = float32(r.NormFloat64()) * 0.03
			}
		}
	}
	for _, name := range []string{codec.GainEnc, codec.GainDec, codec.GainZ, codec.PriorMean, codec.PriorLogSigma, codec.ScaleWeight} {
		for i := range p[name].Data {
			p[name].Data[i] += float32(r.NormFloat64()) * 0.2
		}
	}
	for i := range p[codec.GainEnc].Data {
		p[codec.GainEnc].Data[i] -= 0.7
		// Inside the clamp, and no symbol so far out that its cost is at the
		// floor, where the gradient is not that of the value.
		p[codec.ScaleOffset].Data[i] = 36 + 2*float32(r.NormFloat64())
	}
	// Untrained networks distort: weigh that so that rate and distortion count
	// for about as much.
	arch.LambdaMin, arch.LambdaMax = 2e-6, 1e-5
	s := newState(p, true)
	g, err := newGraph(arch, s.weights.named, s.grads.named, threads, 9)
	require.NoError(t, err)
	return g, s
}

func testBatch() (*nn.Tensor, []float64) {
	r := rand.New(rand.NewPCG(3, 4))
	x := nn.NewTensor(2, 64, 128, 3)
	for i := range x.Data {
		p := i / 3
		x.Data[i] = float32(0.3*math.Sin(float64(p%128)/9)*math.Cos(float64(p/128)/7) + 0.1*r.NormFloat64())
	}
	return x, []float64{0.4, 1.7}
}

// TestGradients compares the derivative along random directions, parameter by
// parameter, with finite differences of the surrogate without rounding.
func TestGradients(t *testing.T) {
	g, s := testGraph(t, 2)
	x, at := testBatch()
	loss := func() float64 {
		g.refresh()
		v, err := g.evaluate(x, at, relaxed, 3)
		require.NoError(t, err)
		return v
	}
	value := loss()
	require.NoError(t, g.differentiate())
	r := rand.New(rand.NewPCG(5, 6))
	for _, name := range g.params.Names() {
		w, d := g.params[name].Data, s.grads.named[name].Data
		saved := append([]float32(nil), w...)
		// Along the gradient's signs, so that the difference stands out of
		// the rounding noise of float32, shuffled in size.
		direction := make([]float64, len(w))
		slope := 0.0
		for i := range w {
			direction[i] = math.Copysign(0.2+r.Float64(), float64(d[i]))
			slope += direction[i] * float64(d[i])
		}
		require.NotZero(t, slope, name)
		h := min(2e-3*value/slope, 0.05)
		move := func(by float64) float64 {
			for i := range w {
				w[i] = saved[i] + float32(by*direction[i])
			}
			return loss()
		}
		numeric := (8*(move(h)-move(-h)) - (move(2*h) - move(-2*h))) / (12 * h)
		copy(w, saved)
		// The loss itself is only good to about 1e-9 here.
		require.InDelta(t, numeric, slope, 0.15*slope+1e-9/h, name)
	}
}

// TestStraightThrough checks what the surrogate can't: that rounding changes
// values, not the shape of the gradients.
func TestStraightThrough(t *testing.T) {
	x, at := testBatch()
	for _, mode := range []rounding{noisy, hard} {
		g, s := testGraph(t, 1)
		_, err := g.evaluate(x, at, mode, 3)
		require.NoError(t, err)
		for i, v := range g.yhat.Data { // yhat = (integer + mu)·gd
			b, c := i/(g.h*g.w*g.arch.M), i%g.arch.M
			k := float64(v/g.gd[b*g.arch.M+c] - g.mu.Data[i])
			require.InDelta(t, math.RoundToEven(k), k, 1e-3)
		}
		require.NoError(t, g.differentiate())
		norm := s.gradNorm(1)
		require.Positive(t, norm)
		require.True(t, finite(norm))
		for _, name := range s.grads.named.Names() {
			var largest float32
			for _, v := range s.grads.named[name].Data {
				largest = max(largest, max(v, -v))
			}
			require.Positive(t, largest, name)
		}
	}
}

// TestThreads: gradients have the same bits with any number of threads.
func TestThreads(t *testing.T) {
	x, at := testBatch()
	var want uint64
	for _, threads := range []int{1, 2, 3, 5} {
		g, s := testGraph(t, threads)
		for range 2 { // the second pass reuses all buffers
			clear(s.grads.flat)
			_, err := g.evaluate(x, at, noisy, 3)
			require.NoError(t, err)
			require.NoError(t, g.differentiate())
		}
		if threads == 1 {
			want = hashWeights(s.grads.named)
		}
		require.Equal(t, want, hashWeights(s.grads.named), "%d threads", threads)
	}
}

// TestAllocations: a training step reuses its memory.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("pools allocate under the race detector")
	}
	g, s := testGraph(t, 1)
	x, at := testBatch()
	cfg := DefaultConfig()
	cfg.Threads = 1
	step := func() {
		clear(s.grads.flat)
		_, err := g.evaluate(x, at, noisy, 3)
		require.NoError(t, err)
		require.NoError(t, g.differentiate())
		s.advance(cfg, s.gradNorm(1))
		g.refresh()
	}
	step()
	require.Less(t, testing.AllocsPerRun(3, step), 300.) // closures and slice headers of some dozen layers
}
