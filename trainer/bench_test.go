package trainer

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec/nn"
)

// BenchmarkStep is one training step of the photo network on 8 crops of
// 192×192, everything but the data. Pixels per second are what counts.
func BenchmarkStep(b *testing.B) {
	s, err := NewStepper(DefaultConfig())
	require.NoError(b, err)
	step := func() {
		_, err := s.Step()
		require.NoError(b, err)
	}
	step()
	b.ReportAllocs()
	for b.Loop() {
		step()
	}
	b.ReportMetric(float64(b.N*s.Pixels())/b.Elapsed().Seconds()/1e6, "Mpixel/s")
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
