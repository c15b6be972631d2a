package explore

import (
	"bytes"
	"image/png"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/record"
	"github.com/aecodec/aecodec/trainer/fit"
	"github.com/aecodec/aecodec/trainer/recipes"
)

// model returns a model whose latent is the first two of three values, and that
// returns 0 for the third.
func model(t *testing.T, recipe string) *record.Model {
	build := func(name string, in, out int) *nn.Network {
		b := nn.NewBuilder(name)
		b.Output(b.Layer(nn.Layer{Name: "dense", Op: nn.OpDense, Out: out, NoBias: true}, b.Input("x", in)))
		n, err := b.Build()
		require.NoError(t, err)
		return n
	}
	train := record.NewSet(record.Float32, 8, 1, 1, 3)
	for i := range train.Data {
		train.Data[i] = float32(i%5) - 2
	}
	m := recipes.Model{
		Encoder: build("encoder", 3, 2), Decoder: build("decoder", 2, 3), Train: train, Scale: recipes.Scale{Gain: 1},
		Params: nn.Params{
			"encoder.dense.weight": {Name: "encoder.dense.weight", Shape: []int{3, 2}, Data: []float32{1, 0, 0, 1, 0, 0}},
			"decoder.dense.weight": {Name: "decoder.dense.weight", Shape: []int{2, 3}, Data: []float32{1, 0, 0, 0, 1, 0}},
		},
	}
	built, err := m.Build(recipe, record.Card{Name: "test"}, 1)
	require.NoError(t, err)
	return built
}

func set(v ...float32) *record.Set {
	s := record.NewSet(record.Float32, len(v)/3, 1, 1, 3)
	copy(s.Data, v)
	return s
}

func TestScores(t *testing.T) {
	m := model(t, "dense")
	s := set(1, 2, 0, 1, 2, 3, -1, 0, -6)
	scores, err := Scores(m, s, 2)
	require.NoError(t, err)
	require.Equal(t, []float64{0, 3, 12}, scores)
	back, err := Reconstruct(m, s, 1)
	require.NoError(t, err)
	require.Equal(t, []float32{1, 2, 0, 1, 2, 0, -1, 0, 0}, back.Data)
}

func TestNeighbors(t *testing.T) {
	rows := []float32{0, 0, 3, 4, 1, 0, 0, 0}
	near, distance := Neighbors(rows, 2, 0, 2)
	require.Equal(t, []int{3, 2}, near)
	require.Equal(t, []float64{0, 1}, distance)
	near, _ = Neighbors(rows, 2, 0, 99)
	require.Equal(t, []int{3, 2, 1}, near)
}

// TestKMeans: three clouds far apart are the clusters.
func TestKMeans(t *testing.T) {
	points := fit.Normals(60, nn.Shape{H: 1, W: 1, C: 2}, 1, 1, "points")
	var labels []int
	for i := range points.N {
		points.Image(i)[0] += float32(20 * (i % 3))
		labels = append(labels, 7-i%3)
	}
	c, err := KMeans(points.Data, 2, 3, 1, 2)
	require.NoError(t, err)
	require.Equal(t, []int{20, 20, 20}, c.Sizes)
	purity, nmi := Agreement(c.Of, labels)
	require.Equal(t, 1.0, purity)
	require.InDelta(t, 1, nmi, 1e-12)
	again, err := KMeans(points.Data, 2, 3, 1, 1)
	require.NoError(t, err)
	require.Equal(t, c, again)
	typical := c.Typical(points.Data, 2, c.Of[4], 5)
	require.Len(t, typical, 5)
	for _, i := range typical {
		require.Equal(t, 4%3, i%3)
	}
	for _, k := range []int{0, 61} {
		_, err = KMeans(points.Data, 2, k, 1, 1)
		require.ErrorContains(t, err, "clusters of 60 records")
	}
	// Clusters that know nothing of the labels.
	purity, nmi = Agreement([]int{0, 0, 1, 1}, []int{0, 1, 0, 1})
	require.Equal(t, 0.5, purity)
	require.InDelta(t, 0, nmi, 1e-12)
}

func TestProject(t *testing.T) {
	// On a line through space: all of it is in the first component.
	var rows []float32
	for i := range 10 {
		rows = append(rows, float32(i), float32(2*i), float32(-2*i))
	}
	points, err := Project(rows, 3, 1)
	require.NoError(t, err)
	for i, p := range points {
		require.InDelta(t, 3*math.Abs(float64(i)-4.5), math.Abs(p[0]), 1e-4)
		require.InDelta(t, 0, p[1], 1e-4)
	}
	_, err = Project(rows[:3], 3, 1)
	require.ErrorContains(t, err, "two or more records")
}

func TestSample(t *testing.T) {
	z, err := Sample(model(t, "vae"), nil, 4000, 1, 1)
	require.NoError(t, err)
	require.InDelta(t, 1, variance(z, 0), 0.1)
	_, err = Sample(model(t, "dense"), nil, 4, 1, 1)
	require.ErrorIs(t, err, ErrNoPrior)
	_, err = Sample(model(t, "vae"), nil, 0, 1, 1)
	require.ErrorContains(t, err, "0 samples")
	// Like given records: the second latent three times the first.
	var v []float32
	for i := range 100 {
		x := float32(i)/10 - 5
		v = append(v, x, 3*x, 0)
	}
	z, err = Sample(model(t, "dense"), set(v...), 2000, 1, 1)
	require.NoError(t, err)
	require.InEpsilon(t, 8.4, variance(z, 0), 0.15)
	for i := 0; i < len(z); i += 2 {
		require.InDelta(t, 3*z[i], z[i+1], 0.05)
	}
}

func variance(z []float32, at int) float64 {
	sum, n := 0.0, 0.0
	for i := at; i < len(z); i += 2 {
		sum += float64(z[i]) * float64(z[i])
		n++
	}
	return sum / n
}

func TestLatentArithmetic(t *testing.T) {
	path, err := Interpolate([]float32{0, 8}, []float32{4, 0}, 5)
	require.NoError(t, err)
	require.Equal(t, []float32{0, 8, 1, 6, 2, 4, 3, 2, 4, 0}, path)
	_, err = Interpolate(nil, nil, 1)
	require.ErrorContains(t, err, "1 steps")
	require.Equal(t, []float32{4, 3}, Blend([]float32{1, 2}, []float32{2, 2}, []float32{5, 3}))
	require.Equal(t, []float32{2, 4}, MeanRow([]float32{1, 2, 9, 9, 3, 6}, 2, []int{0, 2}))
}

func TestPictures(t *testing.T) {
	digits := record.NewSet(record.Uint8, 5, 3, 4)
	digits.Data[12] = 255 // the first pixel of the second record
	var b bytes.Buffer
	require.NoError(t, WriteSheet(&b, Montage(digits, 3)))
	img, err := png.Decode(&b)
	require.NoError(t, err)
	require.Equal(t, 3*(8+gap)+gap, img.Bounds().Dx(), "small pictures are drawn twice as large")
	require.Equal(t, 2*(6+gap)+gap, img.Bounds().Dy())
	level := func(x, y int) uint32 { r, _, _, _ := img.At(x, y).RGBA(); return r >> 8 }
	require.Equal(t, uint32(0), level(gap, gap))
	require.Equal(t, uint32(255), level(gap+8+gap, gap))
	require.Equal(t, uint32(255), level(0, 0), "the gap is white")

	waves := record.NewSet(record.Float32, 2, 30)
	waves.Data[7] = 1
	b.Reset()
	require.NoError(t, WriteSheet(&b, []*record.Set{waves}))
	img, err = png.Decode(&b)
	require.NoError(t, err)
	require.Equal(t, 2*(signalW+gap)+gap, img.Bounds().Dx())
	require.ErrorContains(t, WriteSheet(&b, nil), "no records")

	for _, write := range []func() error{
		func() error { return WriteMap(&b, "map", [][2]float64{{0, 1}, {2, 3}}, []int{4, 5}) },
		func() error { return WriteScores(&b, []float64{1, 2, 3}, []int{0, 0, 1}, 2.5) },
	} {
		b.Reset()
		require.NoError(t, write())
		_, err := png.Decode(&b)
		require.NoError(t, err)
	}
}
