//go:build arm64 && !purego

package kernels

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every arm64 processor has the vector instructions, so the backend must be
// there: the suite cannot pass by leaving it out.
func TestAvailableMatchesCPU(t *testing.T) {
	require.Equal(t, []string{"generic", "neon"}, Available())
}

// Products that underflow make accumulators of -0, which those that a short last
// piece does not reach have to keep.
func TestReduceNegativeZero(t *testing.T) {
	eachEntry(t, func(t *testing.T, b *table) {
		mem := newArena(t, 32)
		for n := 64; n <= 200; n++ {
			mem.reset()
			x, y := mem.floats(n), mem.floats(n)
			Fill(x, 0x1p-100)
			Fill(y, -0x1p-100)
			want := generic.dot(x, y)
			require.True(t, want == 0 && math.Signbit(float64(want)))
			requireSame(t, []float32{want}, []float32{b.dot(x, y)}, "n=%d", n)
			mem.check(t)
		}
	})
}
