package codec

import (
	"image"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/format"
)

// windowOf analyses a picture and returns its first tile,
// ready to be refined.
func windowOf(t *testing.T, src image.Image) (*job, *Tile, *operatingPoint, *latents) {
	t.Helper()
	e, err := NewEncoder(&Options{Quality: 60, Effort: 5, Threads: 2})
	require.NoError(t, err)
	j, err := e.newJob(src)
	require.NoError(t, err)
	p, err := j.model.encodingPoint(6000, 5)
	require.NoError(t, err)
	back := new(latents)
	back.reset(j.y.area, j.model.arch.M)
	tiles, err := j.model.forTiles(j.raster, j.y, back, p, 2, func(_ int, tile *Tile, s *tileScratch) error {
		s.z, s.k, s.index = nil, nil, nil
		return nil
	})
	require.NoError(t, err)
	return j, tiles[0], p, back
}

// The latent that refinement leaves behind is what a decoder makes of the
// symbols, whatever the rounds did.
func TestRefinedLatentIsDecoded(t *testing.T) {
	crop := fixture(t, "kodim23-crop.png")
	for _, src := range []image.Image{crop.SubImage(image.Rect(0, 0, 60, 40)), toGray(crop.SubImage(image.Rect(5, 3, 36, 52)))} {
		j, tile, p, back := windowOf(t, src)
		before := append([]int32(nil), tile.K...)
		steps := 0
		require.NoError(t, j.refineTile(tile, p, back, 4, func() { steps++ }))
		require.Equal(t, 4, steps)
		require.NotEqual(t, before, tile.K)
		var want latents
		want.reset(back.area, back.m)
		require.NoError(t, j.model.reconstructTile(tile, p, 0, tile.H, 1, &want))
		require.True(t, equalBits(want.data, back.data))
	}
}

// The search of the hyper-latent only takes what is cheaper, by its own count, and
// leaves levels behind that are those of its symbols.
func TestHyperSearch(t *testing.T) {
	src := fixture(t, "kodim23-crop.png").SubImage(image.Rect(0, 0, 75, 60))
	j, tile, p, back := windowOf(t, src)
	require.NoError(t, j.refineTile(tile, p, back, 1, func() {})) // makes what the window needs
	r := new(refiner)
	w := &window{refiner: r, job: j, t: tile, p: p, h: j.y.y1, w: j.y.x1}
	r.k = append([]int32(nil), tile.K...)
	cost := func() float64 {
		sum := w.hyperBits()
		for i, level := range tile.Index {
			if level != format.Skip {
				sum += float64(p.refine.savings[level].cost(r.k[i]))
			}
		}
		return sum
	}
	before, z := cost(), append([]int32(nil), tile.Z...)
	require.NoError(t, w.searchHyper())
	require.NotEqual(t, z, tile.Z)
	steps := 0
	for i, v := range tile.Z {
		require.LessOrEqual(t, max(v-z[i], z[i]-v), int32(1))
		if v != z[i] {
			steps++
		}
	}
	// The tables of neighbours have changed too, which the search leaves out.
	require.Less(t, cost(), before-float64(hyperPrice*steps)/2)
	levels := make([]uint8, len(tile.Index))
	j.model.scale.levels(levels, tile.Z, tile.H, tile.W, p.step, p.bias, new(scaleScratch))
	require.Equal(t, levels, tile.Index)
	for i, level := range levels {
		require.True(t, level != format.Skip || r.k[i] == 0)
	}
}

// The gradient that the pixels' error sends into the decoder is that of the cost.
func TestDistortionGradient(t *testing.T) {
	for _, src := range []image.Image{picture(40, 30), toGray(picture(40, 30))} {
		j, tile, p, _ := windowOf(t, src)
		w := &window{refiner: new(refiner), job: j, t: tile, p: p, h: j.y.y1, w: j.y.x1}
		n := w.h * w.w * LatentStride * LatentStride * 3
		w.dx = make([]float32, n)
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(i%23)/40 - 0.3
		}
		x[7] = 3 // clipped
		w.distortion(x)
		grad := append([]float32(nil), w.dx...)
		const h = 0.1
		W := w.w * LatentStride * 3
		for _, i := range []int{0, 1, 2, 29*W + 5, 12*W + 119} {
			old := x[i]
			x[i] = old + h
			up := w.distortion(x)
			x[i] = old - h
			down := w.distortion(x)
			x[i] = old
			require.InEpsilon(t, (up-down)/(2*h), float64(grad[i]), 5e-3, "value %d", i)
		}
		for _, i := range []int{30 * W, 12*W + 120} {
			require.Zero(t, grad[i], "beyond the picture")
		}
	}
}

func TestProgress(t *testing.T) {
	var shares []float64
	encode(t, picture(1040, 20), &Options{Model: smallModel(), Effort: 4, Progress: func(s float64) { shares = append(shares, s) }})
	require.Len(t, shares, 2*refineRounds[4], "two tiles")
	require.IsIncreasing(t, shares)
	require.InDelta(t, 1, shares[len(shares)-1], 1e-9)
}

func TestTargetsWithRefinement(t *testing.T) {
	m := picture(90, 70)
	for _, size := range []int64{300, 450} {
		data, _ := encodeTo(t, m, &Options{Model: smallModel(), TargetSize: size, Effort: 5})
		require.LessOrEqual(t, int64(len(data)), size)
		require.GreaterOrEqual(t, float64(len(data)), 0.96*float64(size))
	}
}

func TestCostOfSymbols(t *testing.T) {
	m := smallModel()
	for l, s := range m.savings() {
		for k := -s.reach; k <= s.reach; k++ {
			// The outermost ones are escapes.
			require.InDelta(t, m.scaleTables.Table(l).Bits(k), s.cost(k), 1e-3)
			if k > -s.reach && k < s.reach {
				require.InDelta(t, (s.cost(k+1)-s.cost(k-1))/2, s.slope(k), 1e-6)
			}
		}
		require.Equal(t, s.cost(s.reach), s.cost(maxLatent))
		require.Zero(t, s.slope(maxLatent))
	}
}
