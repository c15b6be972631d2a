package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/aecodec/aecodec/trainer/chart"
)

// WriteTable writes a Markdown table for each set.
func (r *RecordsResult) WriteTable(w io.Writer) error {
	e := &errWriter{w: w}
	for _, s := range r.Sets {
		fmt.Fprintf(e, "### %s\n\n%d records of %s to train on, %d to test\n\n", s.Name, s.Train, shapeText(s.Shape), s.Test)
		for _, c := range s.Peers {
			if c.Missing != "" {
				fmt.Fprintf(e, "%s: %s\n", c.Codec, c.Missing)
			}
		}
		for _, b := range s.Bounded {
			fmt.Fprintf(e, "%s, no value off by more than %.4g: %.1f bits per record, the worst is off by %.4g\n",
				s.Own[0].Codec, b.MaxError, b.Bits, b.Worst)
		}
		fmt.Fprint(e, "\n| model | decoder | against | bits at equal PSNR | between | bits per record, in the middle | "+
			"with the decoder sent once | pays from |\n|---|---|---|---|---|---|---|---|\n")
		for _, q := range s.Ratios {
			switch {
			case s.peer(q.Peer).Missing != "":
			case q.Reason != "":
				fmt.Fprintf(e, "| %s | %s | %s | - | %s | | | |\n", q.Own, kilobytes(s.own(q.Own).Decoder), q.Peer, q.Reason)
			default:
				pays := "never"
				if q.Pays > 0 {
					pays = fmt.Sprintf("%d records", q.Pays)
				}
				fmt.Fprintf(e, "| %s | %s | %s | %+.1f %% | %.1f to %.1f dB | %.0f, %.0f | %+.1f %% | %s |\n", q.Own,
					kilobytes(s.own(q.Own).Decoder), q.Peer, q.Percent, q.Low, q.High, q.OwnBits, q.PeerBits, q.Included, pays)
			}
		}
		fmt.Fprintln(e)
	}
	return e.err
}

func kilobytes(n int64) string { return fmt.Sprintf("%.1f kB", float64(n)/1000) }

func shapeText(shape []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(shape), " ", "x"), "[]")
}

func (s *RecordsSet) own(name string) *RecordCurve  { return curveOf(s.Own, name) }
func (s *RecordsSet) peer(name string) *RecordCurve { return curveOf(s.Peers, name) }

func curveOf(curves []RecordCurve, name string) *RecordCurve {
	for i := range curves {
		if curves[i].Codec == name {
			return &curves[i]
		}
	}
	return &RecordCurve{}
}

// WriteJSON writes the result as JSON.
func (r *RecordsResult) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WritePNG draws PSNR over bits per record, a panel for each set.
func (r *RecordsResult) WritePNG(w io.Writer) error {
	const columns = 2
	var rows [][]chart.Panel
	for i, s := range r.Sets {
		if i%columns == 0 {
			rows = append(rows, nil)
		}
		p := chart.Panel{
			Title: fmt.Sprintf("%s, %d test records of %s", s.Name, s.Test, shapeText(s.Shape)),
			X:     chart.Axis{Label: "bits per record, decoder not counted"}, Y: chart.Axis{Label: "PSNR (dB)"},
		}
		// As far as twice the most that a model of ours takes.
		limit := 0.0
		for _, c := range s.Own {
			for _, pt := range c.Points {
				limit = max(limit, 2*pt.Bits)
			}
		}
		for k, c := range append(s.Own[:len(s.Own):len(s.Own)], s.Peers...) {
			l := chart.Line{Name: c.Codec, Color: chart.Color(k), Width: 1.5, Dot: 2.5, Dashed: k >= len(s.Own)}
			if k < len(s.Own) {
				l.Width = 3
			}
			for _, pt := range c.hull() {
				if pt.Rate <= limit {
					l.Points = append(l.Points, chart.Point{X: pt.Rate, Y: pt.Quality})
				}
			}
			if len(l.Points) > 0 {
				p.Lines = append(p.Lines, l)
			}
		}
		rows[len(rows)-1] = append(rows[len(rows)-1], p)
	}
	if last := len(rows) - 1; last > 0 && len(rows[last]) < columns {
		rows[last] = append(rows[last], chart.Panel{})
	}
	if err := chart.WritePNG(w, rows, 1600, 620*len(rows)); err != nil {
		return fmt.Errorf("bench: plot: %w", err)
	}
	return nil
}
