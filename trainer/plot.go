package trainer

import (
	"fmt"
	"io"

	"github.com/aecodec/aecodec/trainer/chart"
)

// maxPoints bounds the points of a training curve.
const maxPoints = 300

// plotHistory draws loss, bits per pixel, PSNR and learning rate over the steps
// as a PNG file of 2x2 panels. Validation curves carry their quality.
func plotHistory(path string, h *history) error {
	if len(h.steps) == 0 {
		return nil
	}
	loss, bpp := newPanel("loss"), newPanel("bits per pixel")
	psnr, rate := newPanel("PSNR, dB"), newPanel("learning rate")
	train := func(p *chart.Panel, name string, value func(*StepStats) float64) {
		// Means over runs of entries: a curve, not a band of noise.
		run := (len(h.steps) + maxPoints - 1) / maxPoints
		line := chart.Line{Name: name, Color: chart.Color(0), Width: 1.5}
		for at := 0; at < len(h.steps); at += run {
			entries := h.steps[at:min(at+run, len(h.steps))]
			var mean chart.Point
			for i := range entries {
				mean.X += float64(entries[i].Step) / float64(len(entries))
				mean.Y += value(&entries[i]) / float64(len(entries))
			}
			line.Points = append(line.Points, mean)
		}
		p.Lines = append(p.Lines, line)
	}
	valid := func(p *chart.Panel, name string, n int, value func(*ValidStats) float64) {
		line := chart.Line{Name: name, Color: chart.Color(n), Width: 1.5, Dot: 2}
		for i := range h.valid {
			line.Points = append(line.Points, chart.Point{X: float64(h.valid[i].Step), Y: value(&h.valid[i])})
		}
		p.Lines = append(p.Lines, line)
	}
	train(loss, "training", func(s *StepStats) float64 { return s.Loss })
	train(bpp, "training", func(s *StepStats) float64 { return s.BPP })
	train(psnr, "training", func(s *StepStats) float64 { return s.PSNR })
	train(rate, "", func(s *StepStats) float64 { return s.LR })
	if len(h.valid) > 0 {
		valid(loss, "held-out", 1, func(v *ValidStats) float64 { return v.Loss })
		for i, point := range h.valid[0].Points {
			name := fmt.Sprintf("held-out, q %g", point.Quality)
			at := func(v *ValidStats) (p ValidPoint) {
				if i < len(v.Points) {
					p = v.Points[i]
				}
				return p
			}
			valid(bpp, name, i+1, func(v *ValidStats) float64 { return at(v).BPP })
			valid(psnr, name, i+1, func(v *ValidStats) float64 { return at(v).PSNR })
		}
	}
	err := writeFile(path, func(w io.Writer) error {
		return chart.WritePNG(w, [][]chart.Panel{{*loss, *bpp}, {*psnr, *rate}}, 1100, 760)
	})
	if err != nil {
		return fmt.Errorf("trainer: curves: %w", err)
	}
	return nil
}

func newPanel(title string) *chart.Panel {
	return &chart.Panel{Title: title, X: chart.Axis{Label: "step"}}
}
