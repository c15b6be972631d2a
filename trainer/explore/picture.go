package explore

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/record"
	"github.com/aecodec/aecodec/trainer/chart"
)

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
	p := chart.Panel{Title: title, X: chart.Axis{Label: "first component"}, Y: chart.Axis{Label: "second component"}}
	groups := map[int][]chart.Point{}
	every := (len(points) + maxMapPoints - 1) / maxMapPoints
	for i, at := range points {
		if i%every != 0 {
			continue
		}
		class := 0
		if classes != nil {
			class = classes[i]
		}
		groups[class] = append(groups[class], chart.Point{X: at[0], Y: at[1]})
	}
	names := slices.Sorted(maps.Keys(groups))
	for i, class := range names {
		l := chart.Line{Points: groups[class], Color: chart.Color(i), Dot: 2}
		if classes != nil && len(names) <= 20 {
			l.Name = fmt.Sprint(class)
		}
		p.Lines = append(p.Lines, l)
	}
	return writePanel(w, p)
}

// WriteScores writes a plot of scores: sorted, by label where there are any, with
// the threshold.
func WriteScores(w io.Writer, scores []float64, labels []int, threshold float64) error {
	p := chart.Panel{
		Title: "reconstruction errors",
		X:     chart.Axis{Label: "share of the records", Max: 1}, Y: chart.Axis{Label: "mean squared error"},
	}
	groups := map[int][]float64{}
	for i, s := range scores {
		label := 0
		if labels != nil {
			label = labels[i]
		}
		groups[label] = append(groups[label], s)
	}
	for i, label := range slices.Sorted(maps.Keys(groups)) {
		l := chart.Line{Color: chart.Color(i), Width: 1.5}
		if labels != nil {
			l.Name = fmt.Sprintf("label %d", label)
		}
		group := groups[label]
		slices.Sort(group)
		for k, s := range group {
			l.Points = append(l.Points, chart.Point{X: (float64(k) + 0.5) / float64(len(group)), Y: s})
		}
		p.Lines = append(p.Lines, l)
	}
	p.Lines = append(p.Lines, chart.Line{
		Name: "threshold", Color: color.RGBA{A: 0xff}, Width: 1, Dashed: true,
		Points: []chart.Point{{X: 0, Y: threshold}, {X: 1, Y: threshold}},
	})
	return writePanel(w, p)
}

func writePanel(w io.Writer, p chart.Panel) error {
	if err := chart.WritePNG(w, [][]chart.Panel{{p}}, 700, 550); err != nil {
		return fmt.Errorf("explore: plot: %w", err)
	}
	return nil
}
