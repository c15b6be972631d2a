package bench

import (
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strconv"

	"github.com/aecodec/aecodec/bench/bd"
	"github.com/aecodec/aecodec/trainer/chart"
)

// WritePNG draws all curves, PSNR on the left and MS-SSIM on the right, over
// bits per pixel as far as the codec itself reaches.
func (r *RDResult) WritePNG(w io.Writer) error {
	panels := []chart.Panel{
		r.panel("PSNR, RGB (dB)", (*Curve).psnrPoints),
		r.panel("MS-SSIM, RGB (-10 log10(1-x), dB)", (*Curve).msssimPoints),
	}
	if err := chart.WritePNG(w, [][]chart.Panel{panels}, 1680, 780); err != nil {
		return fmt.Errorf("bench: plot: %w", err)
	}
	return nil
}

func (r *RDResult) panel(label string, points func(*Curve) []bd.Point) chart.Panel {
	p := chart.Panel{
		Title: fmt.Sprintf("%s, %d pictures", filepath.Base(r.Data), len(r.Pictures)),
		X:     chart.Axis{Label: "bits per pixel"}, Y: chart.Axis{Label: label},
	}
	own := points(&r.Curve)
	limit := 0.5
	for _, pt := range own {
		limit = max(limit, 1.08*pt.Rate)
	}
	low, high := math.Inf(1), math.Inf(-1)
	add := func(name string, pts []bd.Point, l chart.Line) {
		l.Name, l.Dot = name, 2.5
		for _, pt := range pts {
			// What lies beyond is not drawn; the curves end at their last point within.
			if math.IsInf(pt.Quality, 0) || pt.Rate > limit {
				continue
			}
			l.Points = append(l.Points, chart.Point{X: pt.Rate, Y: pt.Quality})
			low, high = min(low, pt.Quality), max(high, pt.Quality)
		}
		p.Lines = append(p.Lines, l)
	}
	add(r.Curve.Codec, own, chart.Line{Color: black, Width: 3})
	for i := range r.Anchors {
		c := anchorColors[i%len(anchorColors)]
		add(r.Anchors[i].Codec, points(&r.Anchors[i]), chart.Line{Color: c, Width: 1.5, Dashed: i >= len(anchorColors)})
	}
	p.X.Max = limit
	if low <= high {
		p.Y.Min, p.Y.Max = math.Floor(low)-0.5, math.Ceil(high)+0.5
		p.Y.Ticks = decibelTicks(p.Y.Min, p.Y.Max)
	}
	return p
}

// Black is left to the codec itself.
var (
	anchorColors = chart.Palette[:7]
	black        = chart.Palette[7]
)

// decibelTicks marks every second decibel.
func decibelTicks(low, high float64) (ticks []chart.Tick) {
	for v := 2 * math.Ceil(low/2); v <= high; v += 2 {
		ticks = append(ticks, chart.Tick{Value: v, Label: strconv.Itoa(int(v))})
	}
	return ticks
}
