package bench

import (
	"errors"
	"fmt"
	"io"

	"github.com/aecodec/aecodec/trainer/chart"
)

// WriteReportPNG draws, for every record that has layers, the share of its limit
// that each kind of layer with arithmetic reaches, a dot for each backend.
func WriteReportPNG(w io.Writer, records []*Record) error {
	var rows [][]chart.Panel
	for _, r := range records {
		if r.Layers != nil {
			rows = append(rows, []chart.Panel{r.layersPanel()})
		}
	}
	if len(rows) == 0 {
		return errors.New("bench: plot: no record has layers")
	}
	if err := chart.WritePNG(w, rows, 1300, 650*len(rows)); err != nil {
		return fmt.Errorf("bench: plot: %w", err)
	}
	return nil
}

func (r *Record) layersPanel() chart.Panel {
	p := chart.Panel{
		Title: fmt.Sprintf("%s: model %s on %dx%d, one thread", r.Name, r.Layers.Model, r.Layers.Width, r.Layers.Height),
		X:     chart.Axis{Slanted: true}, Y: chart.Axis{Label: "share of the limit (%)", Max: 110},
	}
	points := map[string][]chart.Point{}
	n := 0
	for i := range r.Layers.Layers {
		l := &r.Layers.Layers[i]
		if l.Flops == 0 {
			continue
		}
		p.X.Ticks = append(p.X.Ticks, chart.Tick{Value: float64(n), Label: l.Label()})
		for _, m := range l.Timings {
			points[m.Backend] = append(points[m.Backend], chart.Point{X: float64(n), Y: 100 * m.Share.Median})
		}
		n++
	}
	p.X.Min, p.X.Max = -0.5, float64(n)-0.5
	for i, peak := range r.Layers.Peaks {
		if v := points[peak.Backend]; len(v) > 0 {
			p.Lines = append(p.Lines, chart.Line{Name: peak.Backend, Points: v, Color: chart.Color(i), Dot: 4})
		}
	}
	return p
}
