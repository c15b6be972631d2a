package codec

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"image"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/aecodec/aecodec/format"
	"github.com/aecodec/aecodec/kernels"
	"github.com/stretchr/testify/require"
)

// The costs are those of the entropy coder, two escapes included.
func TestSavings(t *testing.T) {
	for level, s := range smallModel().savings() {
		table := smallModel().scaleTables.Table(level)
		require.Equal(t, table.Max()+1, s.reach)
		require.Len(t, s.bits, int(2*s.reach+1))
		for k := -s.reach; k <= s.reach; k++ {
			next := k - min(max(k, -1), 1)
			require.InDelta(t, table.Bits(k)-table.Bits(next), s.bits[k+s.reach], 1e-5, "level %d, symbol %d", level, k)
		}
	}
	m := smallModel()
	p, err := m.encodingPoint(5000, defaultEffort)
	require.NoError(t, err)
	for table, cost := range p.rdo.hyper {
		limit := m.prior.limit[m.prior.channel[table]]
		require.Len(t, cost, int(2*limit+1))
		for i, bits := range cost {
			require.InDelta(t, p.tables.Table(table).Bits(int32(i)-limit), bits, 1e-5)
		}
	}
}

// A symbol chosen in refinement never has more bits plus weighted error than the rounded one,
// lies between it and 0, and no other symbol there has less.
func TestChoiceOfSymbols(t *testing.T) {
	m, err := DefaultModel()
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(3, 4))
	changed := 0
	for _, q := range []quality{100, 2500, 5000, 10000} {
		p, err := m.encodingPoint(q, 4)
		require.NoError(t, err)
		for range 30000 {
			c, level := rng.IntN(m.arch.M), uint8(1+rng.IntN(ScaleLevels/2))
			v := float32(rng.NormFloat64() * sigma(int(level)) * 1.3)
			sign := int32(1)
			if v < 0 {
				sign = -1
			}
			cost := func(k int32) float64 {
				e := float64(v) - float64(k)
				return m.scaleTables.Table(int(level)).Bits(k) + e*e*float64(p.refine.weight[c])
			}
			rounded := nearest(v, maxLatent)
			got := p.refine.latent(rounded, v, c, level)
			require.GreaterOrEqual(t, sign*got, int32(0))
			require.LessOrEqual(t, sign*got, sign*rounded)
			if got != rounded {
				changed++
			}
			tolerance := 1e-5 * (1 + math.Abs(cost(rounded)))
			require.LessOrEqual(t, cost(got), cost(rounded)+tolerance)
			if table := m.scaleTables.Table(int(level)); rounded <= table.Max() && rounded >= table.Min() {
				for k := rounded - sign; sign*k >= 0 && rounded-k < 4 && k-rounded < 4; k -= sign {
					require.LessOrEqual(t, cost(got), cost(k)+0.1) // rounding of the tables' tails makes dents
				}
			}
		}
		for range 10000 {
			table := rng.IntN(len(m.prior.channel))
			limit := m.prior.limit[m.prior.channel[table]]
			v := float32(rng.NormFloat64() * float64(limit) / 2)
			cost := func(z int32) float64 {
				e := float64(v) - float64(z)
				return p.tables.Table(table).Bits(z) + hyperWeight*e*e
			}
			rounded := nearest(v, limit)
			got := p.rdo.hyperLatent(rounded, v, uint8(table))
			require.LessOrEqual(t, max(got, -got), limit)
			require.LessOrEqual(t, cost(got), cost(rounded)+1e-5*(1+cost(rounded)))
		}
	}
	require.Greater(t, changed, 20) // how many depends on the model
}

// What a network that overflows gives does not stop the choice.
func TestChoiceOfOddSymbols(t *testing.T) {
	m := smallModel()
	p, err := m.encodingPoint(100, 4)
	require.NoError(t, err)
	inf := float32(math.Inf(1))
	for _, v := range []float32{inf, -inf, inf - inf, 1e30, -1e30, maxLatent} {
		for level := range uint8(ScaleLevels) {
			k := nearest(v, maxLatent)
			require.Equal(t, k, p.refine.latent(k, v, 0, level))
		}
		z := nearest(v, m.prior.limit[0])
		require.Equal(t, z, p.rdo.hyperLatent(z, v, 0))
	}
}

// Effort 1 is plain rounding; with the default size and error together are not
// worse, and with refinement they are better.
func TestEffort(t *testing.T) {
	m, err := DefaultModel()
	require.NoError(t, err)
	src := fixture(t, "kodim23-crop.png")
	for _, q := range []float64{5, 50, 95} {
		plain := encode(t, src, &Options{Quality: q, Effort: 1})
		best := encode(t, src, &Options{Quality: q, Effort: 2})
		require.Equal(t, best, encode(t, src, &Options{Quality: q}))
		lambda := m.arch.Lambda(m.arch.Position(q))
		cost := func(data []byte) float64 {
			mse := math.Pow(10, -psnr(t, src, decode(t, data, m))/10)
			return float64(8*len(data)) + lambda*65025*mse*float64(src.Rect.Dx()*src.Rect.Dy())
		}
		start := cost(best)
		require.Less(t, start, 1.01*cost(plain))
		least := start
		for _, effort := range []int{4, 6} {
			data := encode(t, src, &Options{Quality: q, Effort: effort})
			c := cost(data)
			t.Logf("effort %d: %d bytes, cost %.0f after %.0f", effort, len(data), c, least)
			require.LessOrEqual(t, c, 1.0001*least) // coding rounds to bytes
			least = c
		}
		require.Less(t, least, 0.99*start)
	}
	for _, effort := range []int{-1, 10} {
		err := Encode(&bytes.Buffer{}, src, &Options{Effort: effort})
		require.EqualError(t, err, fmt.Sprintf("codec: effort %d, want 0 to 9", effort))
	}
}

// Without rate-distortion optimisation every symbol is the nearest one.
func TestPlainRounding(t *testing.T) {
	p, err := smallModel().encodingPoint(7000, plainEffort)
	require.NoError(t, err)
	require.Nil(t, p.rdo)
	rng := rand.New(rand.NewPCG(5, 6))
	M := smallModel().arch.M
	y, mean, index := make([]float32, M), make([]float32, M), make([]uint8, M)
	for c := range y {
		y[c], mean[c] = float32(rng.NormFloat64()), float32(rng.NormFloat64())
		if index[c] = uint8(c); c%5 == 0 {
			index[c] = format.Skip
		}
	}
	k := make([]int32, M)
	p.quantise(k, index, y, mean)
	for c, got := range k {
		want := int32(math.RoundToEven(float64((y[c] - mean[c]) * p.ge[c])))
		if index[c] == format.Skip {
			want = 0
		}
		require.Equal(t, want, got)
	}
}

func TestEffortsSameBits(t *testing.T) {
	defer func(name string) { require.NoError(t, kernels.Use(name)) }(kernels.Active())
	for _, effort := range []int{1, 2, 4, 8} {
		src := image.Image(picture(1041, 33)) // two tiles
		if effort == 8 {
			src = picture(60, 40)
		}
		want := uint32(0)
		for _, backend := range kernels.Available() {
			require.NoError(t, kernels.Use(backend))
			for _, threads := range []int{1, 3} {
				got := crc32.ChecksumIEEE(encode(t, src, &Options{Quality: 70, Model: smallModel(), Threads: threads, Effort: effort}))
				if want == 0 {
					want = got
				}
				require.Equal(t, want, got, "effort %d on %s with %d threads", effort, backend, threads)
			}
		}
	}
}
