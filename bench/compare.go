package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"text/tabwriter"

	"github.com/aecodec/aecodec/bench/metric"
)

// Comparison is how far a picture is from its original, and what it costs.
type Comparison struct {
	Width, Height int
	Bytes         int64   // size of the coded file; 0 if not known
	BPP           float64 // bits per pixel; 0 if Bytes is 0
	PSNR          float64 // dB, RGB; +Inf for equal pictures
	MSSSIM        float64 // RGB; NaN for a picture too small for it
}

// Compare measures a picture against its original. size is that of the file the
// picture came from, in bytes, for the bits per pixel; 0 leaves them out. The
// two must be of one size in pixels.
func Compare(original, other image.Image, size int64) (*Comparison, error) {
	s := original.Bounds().Size()
	c := &Comparison{Width: s.X, Height: s.Y, Bytes: size}
	var err error
	if c.PSNR, err = metric.PSNR(original, other); err != nil {
		return nil, err
	}
	c.MSSSIM, err = metric.MSSSIM(original, other)
	if errors.Is(err, metric.ErrTooSmall) {
		c.MSSSIM, err = math.NaN(), nil
	}
	c.BPP = 8 * float64(size) / (float64(s.X) * float64(s.Y))
	return c, err
}

// WriteText prints the comparison, one value a line.
func (c *Comparison) WriteText(w io.Writer) error {
	e := &errWriter{w: w}
	t := tabwriter.NewWriter(e, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "size\t%dx%d\n", c.Width, c.Height)
	if c.Bytes > 0 {
		fmt.Fprintf(t, "bytes\t%d\n", c.Bytes)
		fmt.Fprintf(t, "bpp\t%.4f\n", c.BPP)
	}
	if math.IsInf(c.PSNR, 1) {
		fmt.Fprintf(t, "PSNR\tinfinite: the pixels are equal\n")
	} else {
		fmt.Fprintf(t, "PSNR\t%.3f dB\n", c.PSNR)
	}
	switch {
	case math.IsNaN(c.MSSSIM):
		fmt.Fprintf(t, "MS-SSIM\tnot defined for sides below %d pixels\n", metric.MinSide)
	case c.MSSSIM < 1:
		fmt.Fprintf(t, "MS-SSIM\t%.6f (%.2f dB)\n", c.MSSSIM, metric.MSSSIMdB(c.MSSSIM))
	default:
		fmt.Fprintf(t, "MS-SSIM\t%.6f\n", c.MSSSIM)
	}
	t.Flush()
	return e.err
}

// MarshalJSON writes null for an infinite PSNR, which JSON cannot hold, and for
// what is not known; "identical" tells the first case.
func (c *Comparison) MarshalJSON() ([]byte, error) {
	v := struct {
		Width     int      `json:"width"`
		Height    int      `json:"height"`
		Bytes     *int64   `json:"bytes"`
		BPP       *float64 `json:"bpp"`
		Identical bool     `json:"identical"`
		PSNR      *float64 `json:"psnr_rgb"`
		MSSSIM    *float64 `json:"ms_ssim"`
	}{Width: c.Width, Height: c.Height, Identical: math.IsInf(c.PSNR, 1), PSNR: finite(c.PSNR), MSSSIM: finite(c.MSSSIM)}
	if c.Bytes > 0 {
		v.Bytes, v.BPP = &c.Bytes, &c.BPP
	}
	return json.Marshal(v)
}

// finite is a pointer to v, nil where JSON has no such number.
func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}
