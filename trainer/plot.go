package trainer

import (
	"fmt"
	"image/color"
	"io"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// Colours that stay apart for most colour-blind readers (Okabe and Ito, 2008).
var plotColors = []color.Color{
	color.RGBA{0x00, 0x72, 0xb2, 0xff}, color.RGBA{0xd5, 0x5e, 0x00, 0xff}, color.RGBA{0x00, 0x9e, 0x73, 0xff},
	color.RGBA{0xcc, 0x79, 0xa7, 0xff}, color.RGBA{0xe6, 0x9f, 0x00, 0xff},
}

// maxPoints bounds the points of a training curve.
const maxPoints = 300

// plotHistory draws loss, bits per pixel, PSNR and learning rate over the steps
// as a PNG file of 2x2 panels. Validation curves carry their quality.
func plotHistory(path string, h *history) error {
	if len(h.steps) == 0 {
		return nil
	}
	panels := [2][2]*plot.Plot{
		{newPanel("loss"), newPanel("bits per pixel")},
		{newPanel("PSNR, dB"), newPanel("learning rate")},
	}
	train := func(p *plot.Plot, name string, n int, value func(*StepStats) float64) {
		// Means over runs of entries: a curve, not a band of noise.
		run := (len(h.steps) + maxPoints - 1) / maxPoints
		var points plotter.XYs
		for at := 0; at < len(h.steps); at += run {
			entries := h.steps[at:min(at+run, len(h.steps))]
			var mean plotter.XY
			for i := range entries {
				mean.X += float64(entries[i].Step) / float64(len(entries))
				mean.Y += value(&entries[i]) / float64(len(entries))
			}
			points = append(points, mean)
		}
		addLine(p, name, points, n, false)
	}
	valid := func(p *plot.Plot, name string, n int, value func(*ValidStats) float64) {
		points := make(plotter.XYs, len(h.valid))
		for i := range h.valid {
			points[i] = plotter.XY{X: float64(h.valid[i].Step), Y: value(&h.valid[i])}
		}
		addLine(p, name, points, n, true)
	}
	train(panels[0][0], "training", 0, func(s *StepStats) float64 { return s.Loss })
	train(panels[0][1], "training", 0, func(s *StepStats) float64 { return s.BPP })
	train(panels[1][0], "training", 0, func(s *StepStats) float64 { return s.PSNR })
	train(panels[1][1], "", 0, func(s *StepStats) float64 { return s.LR })
	if len(h.valid) > 0 {
		valid(panels[0][0], "held-out", 1, func(v *ValidStats) float64 { return v.Loss })
		for i, point := range h.valid[0].Points {
			name := fmt.Sprintf("held-out, q %g", point.Quality)
			at := func(v *ValidStats) (p ValidPoint) {
				if i < len(v.Points) {
					p = v.Points[i]
				}
				return p
			}
			valid(panels[0][1], name, i+1, func(v *ValidStats) float64 { return at(v).BPP })
			valid(panels[1][0], name, i+1, func(v *ValidStats) float64 { return at(v).PSNR })
		}
	}
	canvas := vgimg.New(26*vg.Centimeter, 18*vg.Centimeter)
	tiles := draw.Tiles{Rows: 2, Cols: 2, PadX: vg.Centimeter / 2, PadY: vg.Centimeter / 2,
		PadTop: vg.Centimeter / 4, PadBottom: vg.Centimeter / 4, PadLeft: vg.Centimeter / 4, PadRight: vg.Centimeter / 4}
	grid := [][]*plot.Plot{panels[0][:], panels[1][:]}
	canvases := plot.Align(grid, tiles, draw.New(canvas))
	for i, row := range grid {
		for j, p := range row {
			p.Draw(canvases[i][j])
		}
	}
	err := writeFile(path, func(w io.Writer) error {
		_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(w)
		return err
	})
	if err != nil {
		return fmt.Errorf("trainer: curves: %w", err)
	}
	return nil
}

func newPanel(title string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	p.X.Label.Text = "step"
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	return p
}

func addLine(p *plot.Plot, name string, points plotter.XYs, n int, marks bool) {
	line, err := plotter.NewLine(points)
	if err != nil {
		return // no points, or one that is not finite: nothing to draw
	}
	line.Color = plotColors[n%len(plotColors)]
	line.Width = vg.Points(1.2)
	p.Add(line)
	if name != "" {
		p.Legend.Add(name, line)
	}
	if marks {
		if s, err := plotter.NewScatter(points); err == nil {
			s.GlyphStyle = draw.GlyphStyle{Color: line.Color, Radius: vg.Points(1.8), Shape: draw.CircleGlyph{}}
			p.Add(s)
		}
	}
}
