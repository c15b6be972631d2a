package codec

import (
	"bytes"
	"image"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// encodeTo encodes with a target and returns the file and its quality.
func encodeTo(t *testing.T, m image.Image, o *Options) ([]byte, float64) {
	t.Helper()
	e, err := NewEncoder(o)
	require.NoError(t, err)
	var b bytes.Buffer
	q, err := e.EncodeQuality(&b, m)
	require.NoError(t, err)
	return b.Bytes(), q
}

// Effort 2, since the other kinds of tiles make the curves jump.
func TestTargets(t *testing.T) {
	m := fixture(t, "kodim23-crop.png")
	model := smallModel()
	least := len(encode(t, m, &Options{Model: model, Effort: 2, Quality: MinQuality}))
	most := len(encode(t, m, &Options{Model: model, Effort: 2, Quality: MaxQuality}))
	pixels := float64(m.Rect.Dx() * m.Rect.Dy())
	exif := make([]byte, 300)
	for _, part := range []float64{0.1, 0.5, 0.9} {
		size := math.Floor(float64(least) * math.Pow(float64(most)/float64(least), part))
		data, q := encodeTo(t, m, &Options{Model: model, Effort: 2, TargetSize: int64(size)})
		require.LessOrEqual(t, float64(len(data)), size)
		require.GreaterOrEqual(t, float64(len(data)), 0.98*size)
		require.Equal(t, encode(t, m, &Options{Model: model, Effort: 2, Quality: q}), data, "the file is that of the quality")

		data, _ = encodeTo(t, m, &Options{Model: model, Effort: 2, TargetBPP: 8 * size / pixels})
		require.LessOrEqual(t, float64(len(data)), size+1e-6)
		require.GreaterOrEqual(t, float64(len(data)), 0.98*size)

		data, _ = encodeTo(t, m, &Options{Model: model, Effort: 2, TargetSize: int64(size), EXIF: exif})
		require.LessOrEqual(t, float64(len(data)), size, "metadata counts")
	}
	for _, gray := range []bool{false, true} {
		var img image.Image = m
		if gray {
			img = toGray(m)
		}
		lo := psnr(t, img, decode(t, encode(t, img, &Options{Model: model, Effort: 2, Quality: MinQuality}), model))
		hi := psnr(t, img, decode(t, encode(t, img, &Options{Model: model, Effort: 2, Quality: MaxQuality}), model))
		want := (lo + hi) / 2
		data, _ := encodeTo(t, img, &Options{Model: model, Effort: 2, TargetPSNR: want})
		got := psnr(t, img, decode(t, data, model))
		require.GreaterOrEqual(t, got, want-1e-9)
		require.LessOrEqual(t, got, want+psnrSlack+1e-9)
	}
}

func toGray(m image.Image) *image.Gray {
	g := image.NewGray(m.Bounds())
	for y := m.Bounds().Min.Y; y < m.Bounds().Max.Y; y++ {
		for x := m.Bounds().Min.X; x < m.Bounds().Max.X; x++ {
			g.Set(x, y, m.At(x, y))
		}
	}
	return g
}

func TestTargetsOutOfReach(t *testing.T) {
	m := picture(50, 40)
	for _, c := range []struct {
		o       Options
		what    string
		quality float64
	}{
		{Options{TargetSize: 1}, "size", MinQuality},
		{Options{TargetSize: 1 << 40}, "size", MaxQuality},
		{Options{TargetBPP: 1e-3}, "bits per pixel", MinQuality},
		{Options{TargetBPP: 1e3}, "bits per pixel", MaxQuality},
		{Options{TargetPSNR: 200}, "PSNR", MaxQuality},
	} {
		c.o.Model = smallModel()
		var b bytes.Buffer
		err := Encode(&b, m, &c.o)
		var target *TargetError
		require.ErrorAs(t, err, &target)
		require.Equal(t, c.what, target.What)
		require.Equal(t, c.quality, target.Quality)
		require.ErrorContains(t, err, "out of reach")
		require.Empty(t, b.Bytes())
	}
	for want, o := range map[string]Options{
		"codec: target size: -3, want a positive number":            {TargetSize: -3},
		"codec: target bits per pixel: NaN, want a positive number": {TargetBPP: math.NaN()},
		"codec: target PSNR: +Inf, want a positive number":          {TargetPSNR: math.Inf(1)},
		"codec: target: more than one given":                        {TargetSize: 3, TargetPSNR: 30},
		"codec: target size: quality 50 given as well":              {TargetSize: 3, Quality: 50},
	} {
		_, err := NewEncoder(&o)
		require.EqualError(t, err, want)
	}
}

// TestTargetSearch gives the search curves that are not those of pictures.
func TestTargetSearch(t *testing.T) {
	for name, c := range map[string]struct {
		kind  targetKind
		value float64
		curve func(q float64) float64
		want  func(v float64) bool
	}{
		"steep":    {sizeTarget, 1000, func(q float64) float64 { return math.Exp(q) }, func(v float64) bool { return v > 980 && v <= 1000 }},
		"flat":     {sizeTarget, 1000, func(q float64) float64 { return 990 + q/1e4*20 }, func(v float64) bool { return v > 980 && v <= 1000 }},
		"late":     {sizeTarget, 1000, func(q float64) float64 { return 100 + math.Pow(q/40, 8) }, func(v float64) bool { return v > 980 && v <= 1000 }},
		"jump":     {sizeTarget, 1000, func(q float64) float64 { return 500 + 1000*math.Floor(q/33.33) }, func(v float64) bool { return v == 500 }},
		"psnrJump": {psnrTarget, 30, func(q float64) float64 { return 25 + 10*math.Floor(q/77.77) }, func(v float64) bool { return v == 35 }},
	} {
		g := goal{target: target{c.kind, c.value}, start: 5000, slope: 0.0003}
		trials, got := 0, 0.
		found, err := g.search(func(q quality) (*coded, float64, error) {
			trials++
			require.GreaterOrEqual(t, q, quality(100), name)
			require.LessOrEqual(t, q, quality(10000), name)
			v := c.curve(float64(q) / 100)
			return &coded{quality: q}, v, nil
		})
		require.NoError(t, err, name)
		got = c.curve(float64(found.quality) / 100)
		require.True(t, c.want(got), "%s: %g at %d", name, got, found.quality)
		require.Less(t, trials, 30, name)
	}
}

// Where tiles change their kind from one quality to the next a size is met all the
// same, by finer steps of the transform.
func TestTargetBetweenKinds(t *testing.T) {
	m := noise(192, 128)
	below := func(q float64) int64 { return int64(len(encode(t, m, &Options{Quality: q, Model: smallModel()}))) }
	// The jump: bisection for the largest step of the size.
	lo, hi := 1., 100.
	for hi-lo > 0.015 {
		mid := math.Round((lo+hi)/2*100) / 100
		if below(mid)-below(lo) > below(hi)-below(mid) {
			hi = mid
		} else {
			lo = mid
		}
	}
	small, large := below(lo), below(hi)
	t.Logf("%d bytes at quality %.2f, %d at %.2f", small, lo, large, hi)
	require.Greater(t, float64(large), 1.1*float64(small), "no jump: the test says nothing")
	for _, share := range []float64{0.3, 0.6, 0.9} {
		want := small + int64(share*float64(large-small))
		data, _ := encodeTo(t, m, &Options{TargetSize: want, Model: smallModel()})
		require.LessOrEqual(t, int64(len(data)), want)
		require.Greater(t, float64(len(data)), 0.98*float64(want))
		_, err := NewDecoder(&DecoderOptions{Models: []*Model{smallModel()}}).Decode(bytes.NewReader(data))
		require.NoError(t, err)
	}
}
