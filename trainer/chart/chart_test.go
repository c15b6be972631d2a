package chart

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTickStep(t *testing.T) {
	for span, want := range map[float64]float64{1: 0.2, 4: 1, 7: 1, 8: 2, 20: 5, 39: 5, 40: 10, 0.012: 0.002} {
		require.InEpsilon(t, want, tickStep(span), 1e-9, "%g", span)
		n := span / tickStep(span)
		require.True(t, n >= 4-1e-9 && n < 10, "%g", span)
	}
}

func TestScale(t *testing.T) {
	a := Axis{}.scale([]float64{0, 3, 1})
	require.Equal(t, []Tick{{0, "0.0"}, {0.5, "0.5"}, {1, "1.0"}, {1.5, "1.5"}, {2, "2.0"}, {2.5, "2.5"}, {3, "3.0"}}, a.Ticks)
	a = Axis{}.scale([]float64{7, 7}) // no span
	require.Less(t, a.Min, 7.)
	require.Greater(t, a.Max, 7.)
	a = Axis{}.scale([]float64{0.3, 9.8}) // out to whole steps
	require.Equal(t, Tick{0, "0"}, a.Ticks[0])
	require.Equal(t, Tick{10, "10"}, a.Ticks[len(a.Ticks)-1])
	a = Axis{Min: -1, Max: 1, Ticks: []Tick{{0, "zero"}}}.scale([]float64{100})
	require.Equal(t, Axis{Min: -1, Max: 1, Ticks: []Tick{{-1, ""}, {0, "zero"}, {1, ""}}}, a)
}

// The picture has its size, the panels are in their places, and a line is drawn
// in its colour where its points are.
func TestWritePNG(t *testing.T) {
	red := color.RGBA{0xff, 0, 0, 0xff}
	left := Panel{Title: "left", X: Axis{Label: "x"}, Y: Axis{Label: "y"},
		Lines: []Line{{Name: "flat", Points: []Point{{0, 1}, {math.NaN(), 2}, {10, 1}}, Color: red, Width: 3}}}
	right := Panel{Title: "right: nothing", Lines: []Line{{Name: "lost", Points: []Point{{0, math.Inf(1)}}, Color: red, Width: 3}}}
	dots := Panel{X: Axis{Min: 0, Max: 2, Ticks: []Tick{{0, "none"}, {1, "one"}, {2, "two"}}, Slanted: true},
		Lines: []Line{{Points: []Point{{1, 1}}, Color: red, Dot: 4}}}
	var b bytes.Buffer
	require.NoError(t, WritePNG(&b, [][]Panel{{left, right}, {dots, {}}}, 800, 600))
	img, err := png.Decode(&b)
	require.NoError(t, err)
	require.Equal(t, image.Rect(0, 0, 800, 600), img.Bounds())
	count := func(r image.Rectangle) (n int) {
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				if c := color.RGBAModel.Convert(img.At(x, y)).(color.RGBA); c == red {
					n++
				}
			}
		}
		return n
	}
	require.Greater(t, count(image.Rect(0, 0, 400, 300)), 500)
	require.Zero(t, count(image.Rect(400, 0, 800, 300)))
	require.Greater(t, count(image.Rect(0, 300, 400, 600)), 20)
	require.Zero(t, count(image.Rect(400, 300, 800, 600)))
}
