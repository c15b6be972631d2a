package bench

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/aecodec/aecodec/bench/bd"
	"github.com/aecodec/aecodec/bench/metric"
)

// Measurement is one picture through one codec at one setting: a line of a
// rate-distortion file.
type Measurement struct {
	Codec   string
	Setting string  // the codec's own quality setting; empty in files of mean curves
	File    string  // the picture; empty where a line holds the mean over a data set
	Bytes   int64   // size of the coded file; 0 if not known
	BPP     float64 // bits per pixel
	PSNR    float64 // dB, RGB; NaN if not known
	MSSSIM  float64 // RGB; NaN if not known or not defined
}

// csvColumns is the heading of files written here.
var csvColumns = []string{"codec", "setting", "file", "bytes", "bpp", "psnr_rgb", "ms_ssim"}

// WriteCSV writes a heading and one line for each measurement, with empty
// fields for what is not known.
func WriteCSV(w io.Writer, rows []Measurement) error {
	c := csv.NewWriter(w)
	number := func(v float64, digits int) string {
		if math.IsNaN(v) {
			return ""
		}
		return strconv.FormatFloat(v, 'f', digits, 64)
	}
	_ = c.Write(csvColumns) // the writer keeps the first error
	for _, m := range rows {
		_ = c.Write([]string{
			m.Codec, m.Setting, m.File, strconv.FormatInt(m.Bytes, 10),
			number(m.BPP, 5), number(m.PSNR, 4), number(m.MSSSIM, 6),
		})
	}
	c.Flush()
	if err := c.Error(); err != nil {
		return fmt.Errorf("bench: csv: %w", err)
	}
	return nil
}

// ReadCSV reads measurements. Columns are found by their names: codec, bpp and
// psnr_rgb are needed; setting, file, bytes and ms_ssim are read where present.
// Without a file column every line is a point of a mean curve, and a column
// metric_opt, which says what such a codec was tuned for, becomes part of its
// name unless it is "-".
func ReadCSV(r io.Reader) ([]Measurement, error) {
	c := csv.NewReader(r)
	head, err := c.Read()
	if err == io.EOF {
		return nil, errors.New("bench: csv: empty file")
	}
	if err != nil {
		return nil, fmt.Errorf("bench: csv: %w", err)
	}
	for _, name := range []string{"codec", "bpp", "psnr_rgb"} {
		if !slices.Contains(head, name) {
			return nil, fmt.Errorf("bench: csv: no column %q", name)
		}
	}
	var rows []Measurement
	for {
		rec, err := c.Read()
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return nil, fmt.Errorf("bench: csv: %w", err)
		}
		m, err := parseMeasurement(head, rec)
		if err != nil {
			line, _ := c.FieldPos(0)
			return nil, fmt.Errorf("bench: csv: line %d: %w", line, err)
		}
		rows = append(rows, m)
	}
}

func parseMeasurement(head, rec []string) (m Measurement, err error) {
	m.PSNR, m.MSSSIM = math.NaN(), math.NaN()
	for i, s := range rec {
		if s == "" {
			continue
		}
		switch head[i] {
		case "codec":
			m.Codec = s + m.Codec
		case "metric_opt":
			if s != "-" {
				m.Codec += " (" + s + ")"
			}
		case "setting":
			m.Setting = s
		case "file":
			m.File = s
		case "bytes":
			m.Bytes, err = strconv.ParseInt(s, 10, 64)
		case "bpp":
			m.BPP, err = strconv.ParseFloat(s, 64)
		case "psnr_rgb":
			m.PSNR, err = strconv.ParseFloat(s, 64)
		case "ms_ssim":
			m.MSSSIM, err = strconv.ParseFloat(s, 64)
		}
		if err != nil {
			return m, fmt.Errorf("%s: %w", head[i], err)
		}
	}
	if m.Codec == "" {
		return m, errors.New("no codec name")
	}
	if !(m.BPP > 0) || math.IsInf(m.BPP, 0) {
		return m, fmt.Errorf("bpp: %v is no rate", m.BPP)
	}
	return m, nil
}

// Curve is the mean behaviour of one codec over a set of pictures.
type Curve struct {
	Codec  string
	Points []CurvePoint // in the order of the measurements
}

// CurvePoint is the mean of the pictures' values at one setting.
type CurvePoint struct {
	Setting           string
	Pictures          int // 0 for a published mean
	BPP, PSNR, MSSSIM float64
}

// Curves averages measurements over the pictures, codec by codec and setting by
// setting, in order of appearance. All settings of a codec must cover the same
// number of pictures, because their means could not make a curve otherwise.
func Curves(rows []Measurement) ([]Curve, error) {
	type key struct{ codec, setting string }
	var curves []Curve
	index := map[string]int{}
	point := map[key]int{}
	for _, m := range rows {
		ci, ok := index[m.Codec]
		if !ok {
			ci = len(curves)
			index[m.Codec] = ci
			curves = append(curves, Curve{Codec: m.Codec})
		}
		c := &curves[ci]
		if m.File == "" {
			c.Points = append(c.Points, CurvePoint{m.Setting, 0, m.BPP, m.PSNR, m.MSSSIM})
			continue
		}
		k := key{m.Codec, m.Setting}
		pi, ok := point[k]
		if !ok {
			pi = len(c.Points)
			point[k] = pi
			c.Points = append(c.Points, CurvePoint{Setting: m.Setting})
		}
		p := &c.Points[pi]
		p.Pictures++
		p.BPP += m.BPP
		p.PSNR += m.PSNR
		p.MSSSIM += m.MSSSIM
	}
	for _, c := range curves {
		for i := range c.Points {
			p := &c.Points[i]
			if p.Pictures != c.Points[0].Pictures {
				return nil, fmt.Errorf("bench: curves: %s: %d pictures at setting %s but %d at %s",
					c.Codec, p.Pictures, p.Setting, c.Points[0].Pictures, c.Points[0].Setting)
			}
			if n := float64(p.Pictures); n > 0 {
				p.BPP, p.PSNR, p.MSSSIM = p.BPP/n, p.PSNR/n, p.MSSSIM/n
			}
		}
	}
	return curves, nil
}

// psnrPoints and msssimPoints return a curve for package bd, without the points
// whose quality is not known.
func (c *Curve) psnrPoints() []bd.Point {
	return c.points(func(p CurvePoint) float64 { return p.PSNR })
}

func (c *Curve) msssimPoints() []bd.Point {
	return c.points(func(p CurvePoint) float64 { return metric.MSSSIMdB(p.MSSSIM) })
}

func (c *Curve) points(quality func(CurvePoint) float64) []bd.Point {
	var out []bd.Point
	for _, p := range c.Points {
		if q := quality(p); !math.IsNaN(q) {
			out = append(out, bd.Point{Rate: p.BPP, Quality: q})
		}
	}
	return out
}

// selectPictures keeps the measurements of the given pictures, so that a codec
// measured on some pictures is compared on the same ones. Lines of mean curves
// are kept as they are.
//
// Collections rename their files, so names are matched in three ways, the first
// that finds all pictures: the whole name, the name without its extension, and
// the number in it (kodim01.png is 1.png).
func selectPictures(rows []Measurement, pictures []string) ([]Measurement, error) {
	byFile := slices.DeleteFunc(slices.Clone(rows), func(m Measurement) bool { return m.File == "" })
	if len(byFile) == 0 {
		return rows, nil
	}
	missing := ""
	for _, key := range []func(string) string{path.Base, stem, number} {
		wanted := map[string]bool{}
		for _, p := range pictures {
			wanted[key(p)] = true
		}
		// Pictures, or lines, that a key cannot tell apart make it useless.
		distinct := !wanted[""] && len(wanted) == len(pictures)
		names := map[string]string{}
		for _, m := range byFile {
			k := key(m.File)
			if first, ok := names[k]; ok && first != m.File {
				distinct = false
			}
			names[k] = m.File
		}
		if !distinct {
			continue
		}
		i := slices.IndexFunc(pictures, func(p string) bool { _, ok := names[key(p)]; return !ok })
		if i < 0 {
			return slices.DeleteFunc(slices.Clone(rows), func(m Measurement) bool { return m.File != "" && !wanted[key(m.File)] }), nil
		}
		missing = pictures[i]
	}
	return nil, fmt.Errorf("bench: anchors: no measurement of %s: they cover other pictures", cmp.Or(missing, pictures[0]))
}

func stem(name string) string {
	name = path.Base(name)
	return strings.ToLower(strings.TrimSuffix(name, path.Ext(name)))
}

// number returns the last run of digits of a name without leading zeros, or "".
func number(name string) string {
	name = stem(name)
	end := strings.LastIndexAny(name, "0123456789") + 1
	begin := end
	for begin > 0 && name[begin-1] >= '0' && name[begin-1] <= '9' {
		begin--
	}
	return strings.TrimLeft(name[begin:end], "0")
}
