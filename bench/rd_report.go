package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"text/tabwriter"

	"github.com/aecodec/aecodec/bench/bd"
	"github.com/aecodec/aecodec/bench/metric"
)

// WriteTable prints the means at every quality and the BD-rates.
func (r *RDResult) WriteTable(w io.Writer) error {
	e := &errWriter{w: w}
	fmt.Fprintf(e, "%s: %s, %d pictures, means of their values\n\n", r.Curve.Codec, r.Data, len(r.Pictures))
	t := tabwriter.NewWriter(e, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "quality\tbpp\tPSNR dB\tMS-SSIM\tdB\t")
	for _, p := range r.Curve.Points {
		fmt.Fprintf(t, "%s\t%.4f\t%s\t%s\t%s\t\n", p.Setting, p.BPP,
			known(p.PSNR, "%.3f"), known(p.MSSSIM, "%.5f"), known(metric.MSSSIMdB(p.MSSSIM), "%.3f"))
	}
	t.Flush()
	if len(r.Deltas) > 0 {
		fmt.Fprintf(e, "\nBD-rate against the codecs of the anchors (negative: %s needs less)\n\n", r.Curve.Codec)
		t = tabwriter.NewWriter(e, 0, 0, 3, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, "anchor\tPSNR\trange dB\tMS-SSIM\trange dB\t")
		for _, d := range r.Deltas {
			p, pr := deltaText(d.PSNR)
			m, mr := deltaText(d.MSSSIM)
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t\n", d.Anchor, p, pr, m, mr)
		}
		t.Flush()
		for _, d := range r.Deltas {
			if d.PSNRReason != nil {
				fmt.Fprintf(e, "%s, PSNR: %v\n", d.Anchor, d.PSNRReason)
			}
			if d.MSSSIMReason != nil {
				fmt.Fprintf(e, "%s, MS-SSIM: %v\n", d.Anchor, d.MSSSIMReason)
			}
		}
	}
	return e.err
}

func deltaText(d *bd.Delta) (percent, span string) {
	if d == nil {
		return "-", "-"
	}
	return fmt.Sprintf("%+.2f %%", d.Percent), fmt.Sprintf("%.1f to %.1f", d.Low, d.High)
}

func known(v float64, format string) string {
	if math.IsNaN(v) {
		return "-"
	}
	return fmt.Sprintf(format, v)
}

// WriteJSON writes the curve, the deltas and the machine as one JSON object;
// what is not known is null.
func (r *RDResult) WriteJSON(w io.Writer) error {
	type point struct {
		Setting string   `json:"setting"`
		BPP     *float64 `json:"bpp"`
		PSNR    *float64 `json:"psnr_rgb"`
		MSSSIM  *float64 `json:"ms_ssim"`
	}
	type compared struct {
		Percent float64 `json:"percent"`
		Low     float64 `json:"low_db"`
		High    float64 `json:"high_db"`
	}
	type against struct {
		Anchor string    `json:"anchor"`
		PSNR   *compared `json:"bd_rate_psnr"`
		MSSSIM *compared `json:"bd_rate_ms_ssim"`
	}
	out := struct {
		Machine  Machine   `json:"machine"`
		Codec    string    `json:"codec"`
		Pictures []string  `json:"pictures"`
		Points   []point   `json:"points"`
		Against  []against `json:"against"`
	}{Machine: ThisMachine(), Codec: r.Curve.Codec, Pictures: r.Pictures}
	for _, p := range r.Curve.Points {
		out.Points = append(out.Points, point{p.Setting, finite(p.BPP), finite(p.PSNR), finite(p.MSSSIM)})
	}
	convert := func(d *bd.Delta) *compared {
		if d == nil {
			return nil
		}
		return &compared{d.Percent, d.Low, d.High}
	}
	for _, d := range r.Deltas {
		out.Against = append(out.Against, against{d.Anchor, convert(d.PSNR), convert(d.MSSSIM)})
	}
	return writeJSON(w, out)
}

// writeJSON writes v indented, as result files are also read by people.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("bench: json: %w", err)
	}
	return nil
}

// errWriter keeps the first error of many small writes.
type errWriter struct {
	w   io.Writer
	err error
}

func (e *errWriter) Write(p []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	n, err := e.w.Write(p)
	e.err = err
	return n, err
}
