package kernels

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFakeQuantise(t *testing.T) {
	step, zero := []float32{0.5, 2}, []float32{0, 100}
	src := []float32{0.2, -199, 0.25, -201, 0.75, -200.9, 127.6, 310, -3, 311, float32(math.Inf(1)), 0.9}
	want := []float32{0, -200, 0, -200, 1, -200, 127.5, 310, 0, 310, 127.5, 0}
	dst := make([]float32, len(src))
	FakeQuantise(dst, src, step, zero)
	require.Equal(t, want, dst)

	dy, dx := make([]float32, len(src)), make([]float32, len(src))
	for i := range dy {
		dy[i] = float32(i + 1)
	}
	FakeQuantiseGrad(dx, dy, src, step, zero)
	require.Equal(t, []float32{1, 2, 3, 4, 5, 6, 7, 8, 0, 10, 0, 12}, dx)

	FakeQuantise(dst[:0], nil, nil, nil)
	require.Panics(t, func() { FakeQuantise(dst, src[:3], step, zero) })
}
