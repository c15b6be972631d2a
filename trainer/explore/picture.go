package explore

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/record"
)

// Colours that stay apart for most colour-blind readers (Okabe and Ito, 2008),
// and gray and black to make up ten.
var palette = []color.RGBA{
	{0x00, 0x72, 0xb2, 0xff}, {0xd5, 0x5e, 0x00, 0xff}, {0x00, 0x9e, 0x73, 0xff}, {0xcc, 0x79, 0xa7, 0xff}, {0xe6, 0x9f, 0x00, 0xff},
	{0x56, 0xb4, 0xe9, 0xff}, {0xf0, 0xe4, 0x42, 0xff}, {0x99, 0x99, 0x99, 0xff}, {0x00, 0x00, 0x00, 0xff}, {0x8c, 0x56, 0x4b, 0xff},
}

// Size of the curve of a signal on a contact sheet, and the gap between tiles.
const (
	signalW = 140
	signalH = 60
	gap     = 2
	// maxSheet bounds the pixels of a contact sheet.
	maxSheet = 1 << 26
)

// WriteSheet writes rows of records as a PNG contact sheet: pictures as they are,
// small ones twice as large, other records as curves. All rows must be sets of
// records of one shape and kind.
func WriteSheet(w io.Writer, rows []*record.Set) error {
	if len(rows) == 0 {
		return fmt.Errorf("explore: contact sheet: no records")
	}
	d := rows[0].Dims()
	picture := d.H > 1 && (d.C == 1 || d.C == 3)
	factor := 1
	if d.W <= 64 {
		factor = 2
	}
	tileW, tileH := d.W*factor, d.H*factor
	if !picture {
		tileW, tileH = signalW, signalH
	}
	columns := 0
	lo, hi := float32(math.Inf(1)), float32(math.Inf(-1))
	for _, s := range rows {
		columns = max(columns, s.N)
		lo, hi = min(lo, slices.Min(s.Data)), max(hi, slices.Max(s.Data))
	}
	if rows[0].Kind == record.Uint8 && picture {
		lo, hi = 0, 255
	}
	if hi == lo {
		hi = lo + 1
	}
	width, height := columns*(tileW+gap)+gap, len(rows)*(tileH+gap)+gap
	if width > maxSheet/height {
		return fmt.Errorf("explore: contact sheet: %d rows of %d records of %v are too large", len(rows), columns, d)
	}
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for i := range img.Pix {
		img.Pix[i] = 0xff
	}
	for y, s := range rows {
		for x := range s.N {
			at := image.Pt(gap+x*(tileW+gap), gap+y*(tileH+gap))
			if picture {
				drawPicture(img, at, s.Record(x), d, factor, lo, hi)
			} else {
				drawCurve(img, at, s.Record(x), lo, hi)
			}
		}
	}
	return png.Encode(w, img)
}

func drawPicture(img *image.NRGBA, at image.Point, v []float32, d nn.Shape, factor int, lo, hi float32) {
	level := func(x float32) uint8 { return uint8(255*(x-lo)/(hi-lo) + 0.5) }
	for y := range d.H * factor {
		for x := range d.W * factor {
			p := v[(y/factor*d.W+x/factor)*d.C:][:d.C]
			c := color.NRGBA{level(p[0]), level(p[0]), level(p[0]), 0xff}
			if d.C == 3 {
				c.G, c.B = level(p[1]), level(p[2])
			}
			img.SetNRGBA(at.X+x, at.Y+y, c)
		}
	}
}

// drawCurve draws the numbers of a record from left to right.
func drawCurve(img *image.NRGBA, at image.Point, v []float32, lo, hi float32) {
	row := func(x int) int {
		i := x * (len(v) - 1) / (signalW - 1)
		return signalH - 1 - int(float32(signalH-1)*(v[i]-lo)/(hi-lo)+0.5)
	}
	last := row(0)
	for x := range signalW {
		for y := range signalH {
			img.SetNRGBA(at.X+x, at.Y+y, color.NRGBA{0xf2, 0xf2, 0xf2, 0xff})
		}
		y := row(x)
		for k := min(y, last); k <= max(y, last); k++ {
			img.SetNRGBA(at.X+x, at.Y+k, color.NRGBA{0x00, 0x72, 0xb2, 0xff})
		}
		last = y
	}
}

// Montage arranges the records of a set in rows of columns, for WriteSheet.
func Montage(s *record.Set, columns int) []*record.Set {
	var rows []*record.Set
	for at := 0; at < s.N; at += columns {
		rows = append(rows, s.Slice(at, min(at+columns, s.N)))
	}
	return rows
}

// maxMapPoints is as many points as a map shows before they hide one another.
const maxMapPoints = 2000

// WriteMap writes a scatter plot of points, coloured by class; classes may be
// nil. Of more than 2000 points it shows some, evenly spread.
func WriteMap(w io.Writer, title string, points [][2]float64, classes []int) error {
	p := plot.New()
	p.Title.Text = title
	p.X.Label.Text, p.Y.Label.Text = "first component", "second component"
	groups := map[int]plotter.XYs{}
	every := (len(points) + maxMapPoints - 1) / maxMapPoints
	for i, at := range points {
		if i%every != 0 {
			continue
		}
		class := 0
		if classes != nil {
			class = classes[i]
		}
		groups[class] = append(groups[class], plotter.XY{X: at[0], Y: at[1]})
	}
	var names []int
	for class := range groups {
		names = append(names, class)
	}
	slices.Sort(names)
	for i, class := range names {
		s, err := plotter.NewScatter(groups[class])
		if err != nil {
			return fmt.Errorf("explore: map: %w", err)
		}
		s.GlyphStyle = draw.GlyphStyle{Color: palette[i%len(palette)], Radius: vg.Points(1.5), Shape: draw.CircleGlyph{}}
		p.Add(s)
		if classes != nil && len(names) <= 20 {
			p.Legend.Add(fmt.Sprint(class), s)
		}
	}
	return writePlot(w, p)
}

// WriteScores writes a plot of scores: sorted, by label where there are any, with
// the threshold.
func WriteScores(w io.Writer, scores []float64, labels []int, threshold float64) error {
	p := plot.New()
	p.Title.Text = "reconstruction errors"
	p.X.Label.Text, p.Y.Label.Text = "share of the records", "mean squared error"
	groups := map[int][]float64{}
	for i, s := range scores {
		label := 0
		if labels != nil {
			label = labels[i]
		}
		groups[label] = append(groups[label], s)
	}
	var names []int
	for label := range groups {
		names = append(names, label)
	}
	slices.Sort(names)
	for i, label := range names {
		slices.Sort(groups[label])
		var line plotter.XYs
		for k, s := range groups[label] {
			line = append(line, plotter.XY{X: (float64(k) + 0.5) / float64(len(groups[label])), Y: s})
		}
		l, err := plotter.NewLine(line)
		if err != nil {
			return fmt.Errorf("explore: scores: %w", err)
		}
		l.Color = palette[i%len(palette)]
		l.Width = vg.Points(1.2)
		p.Add(l)
		if labels != nil {
			p.Legend.Add(fmt.Sprintf("label %d", label), l)
		}
	}
	limit, err := plotter.NewLine(plotter.XYs{{X: 0, Y: threshold}, {X: 1, Y: threshold}})
	if err != nil {
		return fmt.Errorf("explore: scores: %w", err)
	}
	limit.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
	p.Add(limit)
	p.Legend.Add("threshold", limit)
	p.Legend.Top, p.Legend.Left = true, true
	return writePlot(w, p)
}

func writePlot(w io.Writer, p *plot.Plot) error {
	canvas := vgimg.New(14*vg.Centimeter, 11*vg.Centimeter)
	p.Draw(draw.New(canvas))
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(w); err != nil {
		return fmt.Errorf("explore: plot: %w", err)
	}
	return nil
}
