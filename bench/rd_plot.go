package bench

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"path/filepath"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/aecodec/aecodec/bench/bd"
)

// The eight colours that readers with any colour vision can tell apart (M. Okabe
// and K. Ito, "Color Universal Design", 2008), black left to the codec itself.
var plotColors = []color.RGBA{
	{230, 159, 0, 255}, {86, 180, 233, 255}, {0, 158, 115, 255}, {213, 94, 0, 255},
	{0, 114, 178, 255}, {204, 121, 167, 255}, {190, 180, 40, 255},
}

// WritePNG draws all curves, PSNR on the left and MS-SSIM on the right, over
// bits per pixel as far as the codec itself reaches.
func (r *RDResult) WritePNG(w io.Writer) error {
	left, err := r.panel("PSNR, RGB (dB)", (*Curve).psnrPoints)
	if err != nil {
		return fmt.Errorf("bench: plot: %w", err)
	}
	right, err := r.panel("MS-SSIM, RGB (-10 log10(1-x), dB)", (*Curve).msssimPoints)
	if err != nil {
		return fmt.Errorf("bench: plot: %w", err)
	}
	canvas := vgimg.NewWith(vgimg.UseWH(14*vg.Inch, 6.5*vg.Inch), vgimg.UseDPI(120))
	dc := draw.New(canvas)
	plots := [][]*plot.Plot{{left, right}}
	tiles := draw.Tiles{
		Rows: 1, Cols: 2, PadX: 8 * vg.Millimeter,
		PadTop: 4 * vg.Millimeter, PadBottom: 4 * vg.Millimeter, PadLeft: 4 * vg.Millimeter, PadRight: 6 * vg.Millimeter,
	}
	for i, c := range plot.Align(plots, tiles, dc)[0] {
		plots[0][i].Draw(c)
	}
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(w); err != nil {
		return fmt.Errorf("bench: plot: %w", err)
	}
	return nil
}

func (r *RDResult) panel(label string, points func(*Curve) []bd.Point) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("%s, %d pictures", filepath.Base(r.Data), len(r.Pictures))
	p.X.Label.Text, p.Y.Label.Text = "bits per pixel", label
	p.Legend.YOffs, p.Legend.XOffs, p.Legend.Padding = 4*vg.Millimeter, -4*vg.Millimeter, vg.Millimeter
	p.Add(plotter.NewGrid())

	own := points(&r.Curve)
	limit := 0.5
	for _, pt := range own {
		limit = max(limit, 1.08*pt.Rate)
	}
	low, high := math.Inf(1), math.Inf(-1)
	add := func(name string, pts []bd.Point, c color.Color, width vg.Length, dashed bool) error {
		var xy plotter.XYs
		for _, pt := range pts {
			if math.IsInf(pt.Quality, 0) {
				continue
			}
			xy = append(xy, plotter.XY{X: pt.Rate, Y: pt.Quality})
			if pt.Rate <= limit {
				low, high = min(low, pt.Quality), max(high, pt.Quality)
			}
		}
		if len(xy) == 0 {
			return nil
		}
		line, dots, err := plotter.NewLinePoints(xy)
		if err != nil {
			return err
		}
		line.Color, line.Width = c, width
		if dashed {
			line.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
		}
		dots.Color, dots.Shape, dots.Radius = c, draw.CircleGlyph{}, vg.Points(2)
		p.Add(line, dots)
		p.Legend.Add(name, line, dots)
		return nil
	}
	if err := add(r.Curve.Codec, own, color.Black, vg.Points(2.5), false); err != nil {
		return nil, err
	}
	for i := range r.Anchors {
		c := plotColors[i%len(plotColors)]
		if err := add(r.Anchors[i].Codec, points(&r.Anchors[i]), c, vg.Points(1.2), i >= len(plotColors)); err != nil {
			return nil, err
		}
	}
	p.X.Min, p.X.Max = 0, limit
	if low <= high {
		p.Y.Min, p.Y.Max = math.Floor(low)-0.5, math.Ceil(high)+0.5
		p.Y.Tick.Marker = plot.TickerFunc(decibelTicks)
	}
	return p, nil
}

// decibelTicks marks every decibel and labels every second one.
func decibelTicks(low, high float64) (ticks []plot.Tick) {
	for v := math.Ceil(low); v <= high; v++ {
		t := plot.Tick{Value: v}
		if math.Mod(v, 2) == 0 {
			t.Label = strconv.Itoa(int(v))
		}
		ticks = append(ticks, t)
	}
	return ticks
}
