package trainer

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/codec/nn"
)

// BenchmarkStep is one training step of the photo network on 8 crops of
// 192×192, everything but the data. Pixels per second are what counts.
func BenchmarkStep(b *testing.B) {
	arch := codec.PhotoArch()
	p, err := arch.Init(1)
	require.NoError(b, err)
	cfg := DefaultConfig()
	cfg.Threads = runtime.GOMAXPROCS(0)
	s := newState(p, true)
	g, err := newGraph(arch, s.weights.named, s.grads.named, cfg.Threads, 1)
	require.NoError(b, err)
	x := nn.NewTensor(cfg.Batch, cfg.Crop, cfg.Crop, 3)
	uniformNoise(x.Data, 1, 0)
	t := make([]float64, cfg.Batch)
	for i := range t {
		t[i] = float64(i) / float64(len(t)) * float64(arch.Anchors-1)
	}
	step := func() {
		s.clearGrads(cfg.Threads)
		_, err := g.evaluate(x, t, noisy, s.step)
		require.NoError(b, err)
		require.NoError(b, g.differentiate())
		s.advance(cfg, s.gradNorm(cfg.Threads))
		g.refresh()
	}
	step()
	b.ReportAllocs()
	for b.Loop() {
		step()
	}
	b.ReportMetric(float64(b.N*cfg.Batch*cfg.Crop*cfg.Crop)/b.Elapsed().Seconds()/1e6, "Mpixel/s")
}

// BenchmarkSample is the preparation of one crop from a cached picture.
func BenchmarkSample(b *testing.B) {
	set, _, err := scanPictures([]string{writePictures(b, 2, 700, 600)}, 1<<30, 1)
	require.NoError(b, err)
	s := newSampler(set, 1, 1, 192, 8, 1, ignore)
	batch := &batch{x: nn.NewTensor(1, 192, 192, 3), t: make([]float64, 1)}
	step := 0
	for b.Loop() {
		s.fill(batch, step)
		step++
	}
}
