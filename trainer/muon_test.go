package trainer

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOrthogonalise(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, sides := range [][2]int{{16, 16}, {16, 40}, {48, 20}} {
		k, n := sides[0], sides[1]
		mm := newMuonMatrix(0, k, n, false)
		for i := range mm.u {
			// Columns of very different size: singular values over two decades.
			mm.u[i] = float32(rng.NormFloat64() * math.Pow(100, float64(i%n)/float64(n)))
		}
		was := append([]float32(nil), mm.u...)
		mm.orthogonalise()
		// Every direction of the shorter side keeps a length near 1.
		s, l := min(k, n), max(k, n)
		for range 100 {
			v := make([]float64, s)
			norm := 0.
			for i := range v {
				v[i] = rng.NormFloat64()
				norm += v[i] * v[i]
			}
			length := 0.
			for j := range l {
				sum := 0.
				for i := range s {
					if k <= n {
						sum += v[i] * float64(mm.u[i*n+j])
					} else {
						sum += v[i] * float64(mm.u[j*n+i])
					}
				}
				length += sum * sum
			}
			ratio := math.Sqrt(length / norm)
			require.Greater(t, ratio, 0.5, "%d x %d", k, n)
			require.Less(t, ratio, 1.3, "%d x %d", k, n)
		}
		dot := 0.
		for i, v := range mm.u {
			dot += float64(v) * float64(was[i])
		}
		require.Positive(t, dot) // the same way round
	}

	zero := newMuonMatrix(0, 16, 16, false)
	zero.orthogonalise()
	require.Equal(t, make([]float32, 16*16), zero.u)
}

func TestMuonSides(t *testing.T) {
	for name, shape := range map[string][]int{
		"synthesis.stem.bias":   {1, 1, 64, 64},
		"synthesis.lin.weight":  {1, 1, 64, 64},
		"synthesis.dw.weight":   {3, 3, 64},
		"synthesis.conv.weight": {3, 3, 64, 64},
		"synthesis.thin.weight": {1, 1, 64, 8},
		"scale.weight":          {64, 1024},
	} {
		_, _, ok := muonSides(name, shape)
		require.False(t, ok, name)
	}
	k, n, ok := muonSides("synthesis.stem.weight", []int{1, 1, 32, 64})
	require.True(t, ok)
	require.Equal(t, [2]int{32, 64}, [2]int{k, n})
}

func TestCooldown(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Steps, cfg.Cooldown, cfg.HardSteps, cfg.Warmup = 1000, 200, 100, 10
	require.Equal(t, cfg.LR, learningRate(cfg, 10))
	require.Equal(t, cfg.LR, learningRate(cfg, 800))
	require.InDelta(t, cfg.LR*(0.5*(1-cfg.LREnd)+cfg.LREnd), learningRate(cfg, 850), 1e-12)
	require.Less(t, learningRate(cfg, 999), 0.03*cfg.LR)

	// Before the end begins, runs of different length are the same run.
	longer := *cfg
	longer.Steps, longer.HardSteps = 2000, 300
	require.Empty(t, cfg.differences(&longer, 800))
	require.Equal(t, []string{"steps", "hard_steps"}, cfg.differences(&longer, 801))
	longer.LR = 1e-4
	require.Equal(t, []string{"lr"}, cfg.differences(&longer, 500))
}
