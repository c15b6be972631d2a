package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/aecodec/aecodec/bench/bd"
	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/codec/picture"
)

// DefaultQualities are the settings RD measures unless told otherwise: ten,
// from one end of the scale to the other.
func DefaultQualities() []float64 { return []float64{1, 5, 10, 20, 35, 50, 65, 80, 90, 100} }

// RDOptions say what RD measures.
type RDOptions struct {
	Data      string        // folder of pictures; subfolders are searched too
	Qualities []float64     // 1 to 100, distinct; nil means DefaultQualities
	Encode    codec.Options // everything but Quality and Threads, which RD sets
	Name      string        // of the codec in the results; empty means "aecodec"
	Anchors   []Measurement // codecs to compare with (see ReadCSV); may be empty
	Keep      string        // folder that keeps the coded files; empty means a temporary one
	Workers   int           // pictures in work at once; 0 means one for each thread of Go

	// Progress, if set, is called after every coded file, never concurrently.
	Progress func(done, total int)
}

// RDResult is the outcome of RD.
type RDResult struct {
	Data     string
	Pictures []string      // names within Data
	Rows     []Measurement // by quality, then by picture
	Curve    Curve         // the means of Rows
	Anchors  []Curve       // on the same pictures where the anchors list pictures
	Deltas   []RDDelta     // one for each anchor, in the same order
}

// RDDelta compares the codec with one anchor. Negative per cent: the codec needs
// less rate. A delta is nil if there is none, and the reason says why.
type RDDelta struct {
	Anchor       string
	PSNR         *bd.Delta
	PSNRReason   error
	MSSSIM       *bd.Delta // over -10 log10(1-x) of the mean values
	MSSSIMReason error
}

// RD encodes every picture of a folder at every quality to a file on disk,
// decodes it again from there and compares with the original: bits per pixel of
// the whole file, RGB PSNR and MS-SSIM. Pictures too small for MS-SSIM get none.
//
// Pictures run in parallel; the result does not depend on how many at once.
func RD(ctx context.Context, o *RDOptions) (*RDResult, error) {
	workers := o.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	enc := o.Encode
	enc.Threads = max(1, runtime.GOMAXPROCS(0)/workers)
	return rd(ctx, o, newCoder(enc), workers)
}

func rd(ctx context.Context, o *RDOptions, c *coder, workers int) (*RDResult, error) {
	qualities := o.Qualities
	if len(qualities) == 0 {
		qualities = DefaultQualities()
	}
	for i, q := range qualities {
		if !(q >= 1 && q <= 100) {
			return nil, fmt.Errorf("bench: rd: quality %v is not between 1 and 100", q)
		}
		if slices.Contains(qualities[:i], q) {
			return nil, fmt.Errorf("bench: rd: quality %v is given twice", q)
		}
	}
	r := &RDResult{Data: o.Data}
	files, err := picture.Find(o.Data)
	if err != nil {
		return nil, fmt.Errorf("bench: rd: %w", err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("bench: rd: %s: no pictures in this folder", o.Data)
	}
	for _, f := range files {
		name, err := filepath.Rel(o.Data, f)
		if err != nil {
			return nil, fmt.Errorf("bench: rd: %w", err)
		}
		r.Pictures = append(r.Pictures, filepath.ToSlash(name))
	}
	// The anchors come before the work, which takes minutes.
	anchors, err := selectPictures(o.Anchors, r.Pictures)
	if err != nil {
		return nil, err
	}
	if r.Anchors, err = Curves(anchors); err != nil {
		return nil, err
	}

	keep := o.Keep
	if keep == "" {
		if keep, err = os.MkdirTemp("", "aecodec-rd-"); err != nil {
			return nil, fmt.Errorf("bench: rd: %w", err)
		}
		defer os.RemoveAll(keep)
	}
	name := o.Name
	if name == "" {
		name = "aecodec"
	}

	r.Rows = make([]Measurement, len(files)*len(qualities))
	var (
		mu   sync.Mutex
		done int
	)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	for i, file := range files {
		g.Go(func() error {
			original, _, err := picture.ReadFile(file, nil)
			if err != nil {
				return fmt.Errorf("bench: rd: %w", err)
			}
			for j, q := range qualities {
				if err := ctx.Err(); err != nil {
					return err
				}
				setting := strconv.FormatFloat(q, 'f', -1, 64)
				coded := filepath.Join(keep, filepath.FromSlash(r.Pictures[i])+".q"+setting+c.ext)
				m, err := measure(c, original, coded, q)
				if err != nil {
					return fmt.Errorf("bench: rd: %s at quality %s: %w", file, setting, err)
				}
				m.Codec, m.Setting, m.File = name, setting, r.Pictures[i]
				r.Rows[j*len(files)+i] = m
				if o.Progress != nil {
					mu.Lock()
					done++
					o.Progress(done, len(r.Rows))
					mu.Unlock()
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}

	curves, err := Curves(r.Rows)
	if err != nil {
		return nil, err
	}
	r.Curve = curves[0]
	for _, a := range r.Anchors {
		d := RDDelta{Anchor: a.Codec}
		d.PSNR, d.PSNRReason = delta(a.psnrPoints(), r.Curve.psnrPoints())
		d.MSSSIM, d.MSSSIMReason = delta(a.msssimPoints(), r.Curve.msssimPoints())
		r.Deltas = append(r.Deltas, d)
	}
	return r, nil
}

func delta(anchor, test []bd.Point) (*bd.Delta, error) {
	d, err := bd.Rate(anchor, test)
	if err != nil {
		return nil, err
	}
	return &d, nil
}

// measure takes one picture to the file name and back.
func measure(c *coder, original image.Image, name string, quality float64) (m Measurement, err error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return m, err
	}
	var buf bytes.Buffer
	if err := c.encode(&buf, original, quality); err != nil {
		return m, err
	}
	if err := os.WriteFile(name, buf.Bytes(), 0o666); err != nil {
		return m, err
	}

	f, err := os.Open(name)
	if err != nil {
		return m, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return m, err
	}
	decoded, err := c.decode(bufio.NewReader(f))
	if err != nil {
		return m, err
	}
	d, err := Compare(original, decoded, info.Size())
	if err != nil {
		return m, err
	}
	m.Bytes, m.BPP, m.PSNR, m.MSSSIM = d.Bytes, d.BPP, d.PSNR, d.MSSSIM
	return m, nil
}
