// Package chart draws the plots of this module: panels of curves and dots side
// by side, as PNG. It sets the style; the drawing is go-chart's.
package chart

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"math"

	gochart "github.com/wcharczuk/go-chart/v2"
	"github.com/wcharczuk/go-chart/v2/drawing"
)

// Palette has eight colours that readers with any colour vision can tell apart (M.
// Okabe and K. Ito, "Color Universal Design", 2008), the yellow darkened for
// lines, and brown and gray to make up ten.
var Palette = []color.RGBA{
	{0x00, 0x72, 0xb2, 0xff}, {0xd5, 0x5e, 0x00, 0xff}, {0x00, 0x9e, 0x73, 0xff}, {0xcc, 0x79, 0xa7, 0xff}, {0xe6, 0x9f, 0x00, 0xff},
	{0x56, 0xb4, 0xe9, 0xff}, {0xbe, 0xb4, 0x28, 0xff}, {0x00, 0x00, 0x00, 0xff}, {0x8c, 0x56, 0x4b, 0xff}, {0x99, 0x99, 0x99, 0xff},
}

// Color returns a colour of the palette, from its start again after the last.
func Color(i int) color.RGBA { return Palette[i%len(Palette)] }

// Line is a series of points.
type Line struct {
	Name   string // in the legend; none if empty
	Points []Point
	Color  color.RGBA
	Width  float64 // of the line, in pixels; 0 for none
	Dashed bool
	Dot    float64 // radius of a dot at each point, in pixels; 0 for none
}

// Point is one of a Line's.
type Point struct{ X, Y float64 }

// Tick is a mark of an axis; its label may be empty.
type Tick struct {
	Value float64
	Label string
}

// Axis is one of a Panel's. Without a range it reaches as far as the points.
type Axis struct {
	Label    string
	Min, Max float64 // the range, unless both are 0
	Ticks    []Tick  // in place of automatic ones
	Slanted  bool    // labels are long
}

// Panel is one plot of a picture.
type Panel struct {
	Title string
	X, Y  Axis
	Lines []Line
}

// WritePNG writes a picture of width × height pixels, with rows of panels of equal
// size. Points that are not finite are left out, and a panel without any is blank
// but for its title.
func WritePNG(w io.Writer, rows [][]Panel, width, height int) error {
	out := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(out, out.Rect, image.White, image.Point{}, draw.Src)
	for i, row := range rows {
		y0, y1 := height*i/len(rows), height*(i+1)/len(rows)
		for k := range row {
			place := image.Rect(width*k/len(row), y0, width*(k+1)/len(row), y1)
			img, err := row[k].draw(place.Dx(), place.Dy())
			if err != nil {
				return fmt.Errorf("chart: %s: %w", row[k].Title, err)
			}
			draw.Draw(out, place, img, image.Point{}, draw.Over)
		}
	}
	return png.Encode(w, out)
}

const fontSize = 9

func (p *Panel) draw(width, height int) (image.Image, error) {
	text := gochart.Style{FontColor: drawing.ColorBlack, FontSize: fontSize}
	grid := gochart.Style{StrokeColor: drawing.ColorFromHex("d8d8d8"), StrokeWidth: 1}
	c := gochart.Chart{
		Title:      p.Title,
		TitleStyle: gochart.Style{FontSize: fontSize + 2, FontColor: drawing.ColorBlack},
		Width:      width, Height: height,
		Background: gochart.Style{Padding: gochart.Box{Top: 40, Left: 36, Right: 24, Bottom: 16}},
		XAxis:      gochart.XAxis{Name: p.X.Label, Style: text, NameStyle: text, GridMajorStyle: grid},
		YAxis:      gochart.YAxis{Style: gochart.Hidden()},
		// The secondary axis is the one on the left.
		YAxisSecondary: gochart.YAxis{Name: p.Y.Label, Style: text, NameStyle: text, GridMajorStyle: grid},
	}
	if p.X.Slanted {
		c.XAxis.TickStyle.TextRotationDegrees = 60
	}
	all := [2][]float64{}
	named := false
	for i := range p.Lines {
		l := &p.Lines[i]
		var x, y []float64
		for _, pt := range l.Points {
			if !math.IsNaN(pt.X+pt.Y) && !math.IsInf(pt.X+pt.Y, 0) {
				x, y = append(x, pt.X), append(y, pt.Y)
			}
		}
		if len(x) == 0 {
			continue
		}
		all[0], all[1] = append(all[0], x...), append(all[1], y...)
		named = named || l.Name != ""
		c.Series = append(c.Series, gochart.ContinuousSeries{
			Name: l.Name, Style: l.style(), YAxis: gochart.YAxisSecondary, XValues: x, YValues: y,
		})
	}
	if len(c.Series) == 0 { // nothing but the axes
		c.Series = []gochart.Series{gochart.ContinuousSeries{
			YAxis: gochart.YAxisSecondary, XValues: []float64{0, 1}, YValues: []float64{0, 1},
			Style: gochart.Style{StrokeWidth: gochart.Disabled, StrokeColor: drawing.ColorTransparent},
		}}
		all = [2][]float64{{0, 1}, {0, 1}}
	}
	x, y := p.X.scale(all[0]), p.Y.scale(all[1])
	c.XAxis.Ticks, c.YAxisSecondary.Ticks = x.ticks(), y.ticks()
	c.YAxis.Ticks = c.YAxisSecondary.Ticks // go-chart 2.1.2 takes the range of both from these
	if named {
		c.Elements = []gochart.Renderable{gochart.Legend(&c, gochart.Style{FontSize: fontSize, StrokeColor: drawing.ColorFromHex("d8d8d8")})}
	}
	var collected gochart.ImageWriter
	if err := c.Render(gochart.PNG, &collected); err != nil {
		return nil, err
	}
	return collected.Image()
}

func (l *Line) style() gochart.Style {
	c := drawing.ColorFromAlphaMixedRGBA(l.Color.RGBA())
	s := gochart.Style{StrokeColor: c, StrokeWidth: l.Width, DotColor: c, DotWidth: l.Dot}
	if l.Width == 0 {
		s.StrokeWidth = gochart.Disabled
	}
	if l.Dashed {
		s.StrokeDashArray = []float64{5, 3}
	}
	return s
}

// scale returns the axis with its range and ticks filled in: go-chart makes an
// axis reach from its first tick to its last.
func (a Axis) scale(values []float64) Axis {
	free := a.Min == 0 && a.Max == 0
	if free {
		a.Min, a.Max = math.Inf(1), math.Inf(-1)
		for _, v := range values {
			a.Min, a.Max = min(a.Min, v), max(a.Max, v)
		}
	}
	if a.Min >= a.Max {
		room := max(math.Abs(a.Min), 1) / 10
		a.Min, a.Max = a.Min-room, a.Max+room
	}
	if a.Ticks == nil {
		step := tickStep(a.Max - a.Min)
		digits := max(0, -int(math.Floor(math.Log10(step))))
		first, last := math.Ceil(a.Min/step-1e-9), math.Floor(a.Max/step+1e-9)
		if free {
			first, last = math.Floor(a.Min/step+1e-9), math.Ceil(a.Max/step-1e-9)
			a.Min, a.Max = first*step, last*step
		}
		for k := first; k <= last; k++ {
			a.Ticks = append(a.Ticks, Tick{k * step, label(k*step, digits)})
		}
	}
	if n := len(a.Ticks); n == 0 || a.Ticks[0].Value > a.Min+1e-9*(a.Max-a.Min) {
		a.Ticks = append([]Tick{{Value: a.Min}}, a.Ticks...)
	}
	if n := len(a.Ticks); a.Ticks[n-1].Value < a.Max-1e-9*(a.Max-a.Min) {
		a.Ticks = append(a.Ticks, Tick{Value: a.Max})
	}
	return a
}

// label prints a number with digits behind the point, very small ones with an
// exponent.
func label(v float64, digits int) string {
	if digits > 5 {
		return fmt.Sprintf("%.2g", v)
	}
	return fmt.Sprintf("%.*f", digits, v+0) // +0: no negative zero
}

// tickStep returns 1, 2 or 5 times a power of ten, of which a range holds 4 to 10.
func tickStep(span float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(span/4)))
	for _, f := range []float64{5, 2} {
		if span/(f*unit) >= 4 {
			return f * unit
		}
	}
	return unit
}

func (a *Axis) ticks() []gochart.Tick {
	out := make([]gochart.Tick, len(a.Ticks))
	for i, t := range a.Ticks {
		out[i] = gochart.Tick{Value: t.Value, Label: t.Label}
	}
	return out
}
