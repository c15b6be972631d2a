package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/aecodec/aecodec/bench/metric"
	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/codec/picture"
)

// RobustOptions say what Robust measures.
type RobustOptions struct {
	Data      string        // folder of pictures beside the made ones; may be empty
	Qualities []int         // of JPEG, 1 to 100; nil means DefaultJPEGQualities
	Encode    codec.Options // everything but Quality and targets, which Robust sets

	// Progress, if set, is called after every coded file.
	Progress func(done, total int)
}

// DefaultJPEGQualities are the settings of JPEG that Robust compares with.
func DefaultJPEGQualities() []int { return []int{10, 30, 50, 75, 90, 95} }

// RobustRow is one picture, coded by JPEG at a quality and by this codec to at
// most the same size.
type RobustRow struct {
	Picture     string   `json:"picture"`
	JPEGQuality int      `json:"jpeg_quality"`
	JPEGBytes   int64    `json:"jpeg_bytes"`
	JPEGPSNR    *float64 `json:"jpeg_psnr_rgb"` // null if all pixels are equal
	Bytes       int64    `json:"bytes"`
	PSNR        *float64 `json:"psnr_rgb"`
	Gain        float64  `json:"gain_db"` // PSNR less that of JPEG, both at most LosslessPSNR

	// OutOfReach is set where no file of this codec is as small; it is coded at the
	// lowest quality then, and the gain is out of the count.
	OutOfReach bool `json:"out_of_reach,omitempty"`
	// Short is set where the file is more than 2 % smaller than the target although
	// it is not lossless.
	Short bool `json:"short,omitempty"`
}

// LosslessPSNR stands for the PSNR of equal pictures in a gain: beyond it a few
// values in thousands are off by one.
const LosslessPSNR = 70.

// RobustResult is the outcome of Robust.
type RobustResult struct {
	Rows  []RobustRow `json:"rows"`
	Worst *RobustRow  `json:"worst"` // of the least gain, among those in reach
}

// Robust codes pictures that the networks were not made for, those of a folder
// and some that it makes, by image/jpeg and by this codec to the same size, to files
// on disk, and decodes them again from there.
func Robust(ctx context.Context, o *RobustOptions) (*RobustResult, error) {
	qualities := o.Qualities
	if qualities == nil {
		qualities = DefaultJPEGQualities()
	}
	for _, q := range qualities {
		if q < 1 || q > 100 {
			return nil, fmt.Errorf("bench: robust: JPEG quality %d is not between 1 and 100", q)
		}
	}
	var files []string
	if o.Data != "" {
		var err error
		if files, err = picture.Find(o.Data); err != nil {
			return nil, fmt.Errorf("bench: robust: %w", err)
		}
	}
	dir, err := os.MkdirTemp("", "aecodec-robust-")
	if err != nil {
		return nil, fmt.Errorf("bench: robust: %w", err)
	}
	defer os.RemoveAll(dir)

	r := &RobustResult{}
	made := madePictures()
	total := len(qualities) * (len(files) + len(made))
	measure := func(name string, m image.Image) error {
		for _, q := range qualities {
			if err := ctx.Err(); err != nil {
				return err
			}
			row, err := o.row(dir, m, q)
			if err != nil {
				return fmt.Errorf("bench: robust: %s: %w", name, err)
			}
			row.Picture = name
			r.Rows = append(r.Rows, *row)
			if o.Progress != nil {
				o.Progress(len(r.Rows), total)
			}
		}
		return nil
	}
	for _, m := range made {
		if err := measure(m.name, m.make()); err != nil {
			return nil, err
		}
	}
	for _, f := range files {
		m, _, err := picture.ReadFile(f, nil)
		if err != nil {
			return nil, fmt.Errorf("bench: robust: %w", err)
		}
		name, err := filepath.Rel(o.Data, f)
		if err != nil {
			return nil, fmt.Errorf("bench: robust: %w", err)
		}
		if err := measure(filepath.ToSlash(name), opaque{m}); err != nil {
			return nil, err
		}
	}
	for i := range r.Rows {
		if row := &r.Rows[i]; !row.OutOfReach && (r.Worst == nil || row.Gain < r.Worst.Gain) {
			r.Worst = row
		}
	}
	return r, nil
}

// opaque hides the alpha channel, which JPEG does not have.
type opaque struct{ image.Image }

func (o opaque) ColorModel() color.Model {
	if m := o.Image.ColorModel(); m == color.GrayModel || m == color.Gray16Model {
		return m
	}
	return color.RGBAModel
}

func (o opaque) At(x, y int) color.Color {
	c := o.Image.At(x, y)
	if g, ok := c.(color.Gray); ok {
		return g
	}
	n := color.NRGBAModel.Convert(c).(color.NRGBA)
	return color.RGBA{n.R, n.G, n.B, 0xff}
}

// row codes one picture both ways.
func (o *RobustOptions) row(dir string, m image.Image, quality int) (*RobustRow, error) {
	row := &RobustRow{JPEGQuality: quality}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: quality}); err != nil {
		return nil, err
	}
	back, size, err := throughFile(filepath.Join(dir, "a.jpg"), b.Bytes(), jpeg.Decode)
	if err != nil {
		return nil, err
	}
	row.JPEGBytes = size
	theirs, err := metric.PSNR(m, back)
	if err != nil {
		return nil, err
	}

	options := o.Encode
	options.TargetSize = size
	b.Reset()
	err = codec.Encode(&b, m, &options)
	var far *codec.TargetError
	lossless := false
	if errors.As(err, &far) {
		// Either even the lowest quality is larger, or the highest one smaller.
		row.OutOfReach = far.Quality == codec.MinQuality
		lossless = !row.OutOfReach
		options.TargetSize, options.Quality = 0, far.Quality
		b.Reset()
		err = codec.Encode(&b, m, &options)
	}
	if err != nil {
		return nil, err
	}
	decoder := codec.NewDecoder(&codec.DecoderOptions{Models: models(options.Model)})
	if back, size, err = throughFile(filepath.Join(dir, "a.aec"), b.Bytes(), decoder.Decode); err != nil {
		return nil, err
	}
	row.Bytes = size
	ours, err := metric.PSNR(m, back)
	if err != nil {
		return nil, err
	}
	row.JPEGPSNR, row.PSNR = finite(theirs), finite(ours)
	row.Gain = min(ours, LosslessPSNR) - min(theirs, LosslessPSNR)
	row.Short = float64(row.Bytes) < 0.98*float64(row.JPEGBytes) && !lossless && !math.IsInf(ours, 1)
	return row, nil
}

// throughFile writes data to a file and decodes them from there.
func throughFile(name string, data []byte, decode func(io.Reader) (image.Image, error)) (image.Image, int64, error) {
	if err := os.WriteFile(name, data, 0o600); err != nil {
		return nil, 0, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	m, err := decode(f)
	return m, st.Size(), err
}

// madePicture is a picture that needs no file.
type madePicture struct {
	name string
	make func() image.Image
}

// madePictures are extremes: of size, of detail and of the lack of it.
func madePictures() []madePicture {
	paint := func(w, h int, at func(x, y int, r *rand.Rand) color.RGBA) func() image.Image {
		return func() image.Image {
			r := rand.New(rand.NewPCG(1, 2))
			m := image.NewRGBA(image.Rect(0, 0, w, h))
			for y := range h {
				for x := range w {
					m.SetRGBA(x, y, at(x, y, r))
				}
			}
			return m
		}
	}
	gray := func(v int) color.RGBA { return color.RGBA{byte(v), byte(v), byte(v), 0xff} }
	either := func(on bool) color.RGBA {
		if on {
			return gray(255)
		}
		return gray(0)
	}
	return []madePicture{
		{"made: one pixel", paint(1, 1, func(int, int, *rand.Rand) color.RGBA { return color.RGBA{200, 30, 90, 0xff} })},
		{"made: one row", paint(400, 1, func(x, _ int, _ *rand.Rand) color.RGBA { return color.RGBA{byte(x), byte(255 - x), byte(2 * x), 0xff} })},
		{"made: flat", paint(512, 384, func(int, int, *rand.Rand) color.RGBA { return color.RGBA{37, 142, 190, 0xff} })},
		{"made: gradient", paint(512, 384, func(x, y int, _ *rand.Rand) color.RGBA {
			return color.RGBA{byte(x / 2), byte(y / 2), byte((x + y) / 4), 0xff}
		})},
		{"made: white noise", paint(512, 384, func(_, _ int, r *rand.Rand) color.RGBA {
			return color.RGBA{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), 0xff}
		})},
		{"made: gray noise", paint(512, 384, func(_, _ int, r *rand.Rand) color.RGBA { return gray(int(r.Uint32() & 255)) })},
		{"made: salt and pepper", paint(512, 384, func(_, _ int, r *rand.Rand) color.RGBA {
			switch r.IntN(20) {
			case 0:
				return gray(0)
			case 1:
				return gray(255)
			}
			return gray(128)
		})},
		{"made: checkerboard", paint(512, 384, func(x, y int, _ *rand.Rand) color.RGBA { return either((x+y)&1 == 0) })},
		{"made: lines", paint(512, 384, func(x, y int, _ *rand.Rand) color.RGBA { return either(x%7 == 0 || (x+2*y)%31 == 0) })},
		{"made: circles", paint(512, 384, func(x, y int, _ *rand.Rand) color.RGBA {
			x, y = x-256, y-192
			return either((x*x+y*y)>>8&1 == 0)
		})},
	}
}

// WriteJSON writes the rows, and the worst of them.
func (r *RobustResult) WriteJSON(w io.Writer) error { return writeJSON(w, r) }

// WriteTable prints a line for each picture, the gains by quality of JPEG, and the
// least of all.
func (r *RobustResult) WriteTable(w io.Writer) error {
	e := &errWriter{w: w}
	t := tabwriter.NewWriter(e, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "gain in dB over JPEG of quality\t")
	for i := range r.Rows {
		if i > 0 && r.Rows[i].Picture != r.Rows[0].Picture {
			break
		}
		fmt.Fprintf(t, "%d\t", r.Rows[i].JPEGQuality)
	}
	last := ""
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Picture != last {
			fmt.Fprintf(t, "\n%s\t", row.Picture)
			last = row.Picture
		}
		mark := ""
		if row.Short {
			mark = "*"
		}
		if row.OutOfReach {
			fmt.Fprintf(t, "(%d > %d B)\t", row.Bytes, row.JPEGBytes)
			continue
		}
		fmt.Fprintf(t, "%+.2f%s\t", row.Gain, mark)
	}
	fmt.Fprintln(t)
	t.Flush()
	if r.Worst != nil {
		fmt.Fprintf(e, "\nleast gain: %+.2f dB, %s at quality %d of JPEG, %d bytes against %d\n",
			r.Worst.Gain, r.Worst.Picture, r.Worst.JPEGQuality, r.Worst.Bytes, r.Worst.JPEGBytes)
	}
	fmt.Fprintf(e, "(* more than 2 %% smaller than asked for; a PSNR counts up to %g dB; in brackets: not as small at the lowest quality)\n", LosslessPSNR)
	return e.err
}
