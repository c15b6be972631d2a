package kernels

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPeaks(t *testing.T) {
	previous := Active()
	defer func() { require.NoError(t, Use(previous)) }()
	mem := newArena(t, 70)
	for _, name := range Available() {
		require.NoError(t, Use(name))
		p := Peak()
		if name == "generic" {
			require.Zero(t, p.FMA()+p.Dot()+p.Load(make([]float32, 1000)))
			continue
		}
		require.Positive(t, p.FMA(), name)
		require.Equal(t, p.DotInstruction != "", p.Dot() > 0, name)
		require.Zero(t, p.Load(nil), name)
		// All but a rest shorter than a turn is read, and nothing behind it.
		for _, n := range []int{1, 100, 127, 128, 1000, 3*peakLoadWords + 5} {
			mem.reset()
			bytes := p.Load(mem.floats(n))
			require.LessOrEqual(t, bytes, 4*n, name)
			require.Less(t, 4*n-bytes, 4*128, name)
		}
	}
}

func TestEntries(t *testing.T) {
	require.Contains(t, Entries(), "gemm")
	require.NotContains(t, Entries(), "name")
}
