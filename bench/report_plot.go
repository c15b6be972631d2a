package bench

import (
	"errors"
	"fmt"
	"io"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// WriteReportPNG draws, for every record that has layers, the share of its limit
// that each kind of layer with arithmetic reaches, a bar for each backend.
func WriteReportPNG(w io.Writer, records []*Record) error {
	var plots [][]*plot.Plot
	for _, r := range records {
		if r.Layers == nil {
			continue
		}
		p, err := r.layersPlot()
		if err != nil {
			return fmt.Errorf("bench: plot: %w", err)
		}
		plots = append(plots, []*plot.Plot{p})
	}
	if len(plots) == 0 {
		return errors.New("bench: plot: no record has layers")
	}
	canvas := vgimg.NewWith(vgimg.UseWH(13*vg.Inch, vg.Length(len(plots))*6.5*vg.Inch), vgimg.UseDPI(100))
	dc := draw.New(canvas)
	tiles := draw.Tiles{
		Rows: len(plots), Cols: 1, PadY: 8 * vg.Millimeter,
		PadTop: 4 * vg.Millimeter, PadBottom: 4 * vg.Millimeter, PadLeft: 4 * vg.Millimeter, PadRight: 6 * vg.Millimeter,
	}
	for i, row := range plot.Align(plots, tiles, dc) {
		plots[i][0].Draw(row[0])
	}
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(w); err != nil {
		return fmt.Errorf("bench: plot: %w", err)
	}
	return nil
}

func (r *Record) layersPlot() (*plot.Plot, error) {
	var labels []string
	values := map[string]plotter.Values{}
	for i := range r.Layers.Layers {
		l := &r.Layers.Layers[i]
		if l.Flops == 0 {
			continue
		}
		labels = append(labels, l.Label())
		for _, m := range l.Timings {
			values[m.Backend] = append(values[m.Backend], 100*m.Share.Median)
		}
	}
	p := plot.New()
	p.Title.Text = fmt.Sprintf("%s: model %s on %dx%d, one thread", r.Name, r.Layers.Model, r.Layers.Width, r.Layers.Height)
	p.Y.Label.Text = "share of the limit (%)"
	p.Y.Min, p.Y.Max = 0, 110
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	n := len(r.Layers.Peaks)
	width := vg.Points(min(700/float64(max(n*len(labels), 1)), 14))
	for i, peak := range r.Layers.Peaks {
		v := values[peak.Backend]
		if len(v) == 0 {
			continue
		}
		bars, err := plotter.NewBarChart(v, width)
		if err != nil {
			return nil, err
		}
		bars.Color, bars.LineStyle.Width = plotColors[i%len(plotColors)], 0
		bars.Offset = width * vg.Length(float64(i)-float64(n-1)/2)
		p.Add(bars)
		p.Legend.Add(peak.Backend, bars)
	}
	p.NominalX(labels...)
	p.X.Tick.Label.Rotation = math.Pi / 3
	p.X.Tick.Label.XAlign = draw.XRight
	return p, nil
}
