package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"time"

	"github.com/aecodec/aecodec/bench"
	"github.com/aecodec/aecodec/cmd/aecodec/internal/cli"
	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/kernels"
)

// demoPicture is in the repository: number 23 of the Kodak Lossless True Color Image Suite, free for any use.
const demoPicture = "testdata/kodim23.png"

// demoRuns is how often the demo codes: the best of a few tells what the codec takes, without first-time costs.
const demoRuns = 3

// demoReport is what the demo found.
type demoReport struct {
	Input         string  `json:"input"`
	InputBytes    int64   `json:"input_bytes"`
	Quality       float64 `json:"quality"`
	Model         string  `json:"model"`
	Kernels       string  `json:"kernels"`
	Threads       int     `json:"threads"`
	EncodeSeconds float64 `json:"encode_seconds"`
	DecodeSeconds float64 `json:"decode_seconds"`

	Result *bench.Comparison `json:"result"`
}

func (r *demoReport) String() string {
	c := r.Result
	speed := func(seconds float64) string {
		return fmt.Sprintf("%.3f s, %.1f Mpixel/s", seconds, float64(c.Width)*float64(c.Height)/1e6/seconds)
	}
	var t table
	t.row("picture", "%s, %d x %d pixels, %s", r.Input, c.Width, c.Height, byteCount(r.InputBytes))
	t.row("codec", "model %s, quality %g, %s kernels, %s", r.Model, r.Quality, r.Kernels, count(r.Threads, "thread"))
	t.row("coded", "%s, %.3f bits per pixel", byteCount(c.Bytes), c.BPP)
	t.row("PSNR", "%.2f dB", c.PSNR)
	if !math.IsNaN(c.MSSSIM) {
		t.row("MS-SSIM", "%.4f", c.MSSSIM)
	}
	t.row("encoding", "%s (best of %d)", speed(r.EncodeSeconds), demoRuns)
	t.row("decoding", "%s (best of %d)", speed(r.DecodeSeconds), demoRuns)
	return t.String()
}

func (a *app) demoCommand() *cli.Command {
	quality := float64(codec.DefaultQuality)
	cmd := &cli.Command{
		Use:   "demo [PICTURE]",
		Short: "Code a photograph there and back and show size, quality and times",
		Long: `Code a photograph there and back with the embedded model, in memory, and show bits per pixel, PSNR, MS-SSIM and times.
Without a name it takes ` + demoPicture + `, which is in the repository.`,
		Args: atMost(1),
		Run: func(_ *cli.Command, args []string) error {
			if !(quality >= 1 && quality <= 100) {
				return usagef("-q %g: quality is from 1 to 100", quality)
			}
			name := demoPicture
			if len(args) == 1 {
				name = args[0]
			}
			r, err := a.demo(name, quality)
			if errors.Is(err, fs.ErrNotExist) && len(args) == 0 {
				return usagef("%s is not here: run this in a clone of the repository, or name a picture", name)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", inputName(name), cause(err))
			}
			return a.show(r)
		},
	}
	cmd.Flags().Float64VarP(&quality, "quality", "q", quality, "quality, 1 to 100")
	return cmd
}

func (a *app) demo(name string, quality float64) (*demoReport, error) {
	in, err := a.open(name)
	if err != nil {
		return nil, err
	}
	defer in.close()
	m, release, err := a.readPicture(in)
	if err != nil {
		return nil, err
	}
	defer release()
	model, err := codec.DefaultModel()
	if err != nil {
		return nil, err
	}
	e, err := codec.NewEncoder(&codec.Options{Quality: quality, Model: model, Threads: a.threads})
	if err != nil {
		return nil, err
	}
	d := codec.NewDecoder(&codec.DecoderOptions{Threads: a.threads})

	r := &demoReport{
		Input: name, InputBytes: in.size,
		Quality: quality, Model: model.Name(), Kernels: kernels.Active(), Threads: a.threads,
	}
	var file bytes.Buffer
	if r.EncodeSeconds, err = a.best(func() error {
		file.Reset()
		return e.Encode(&file, m)
	}); err != nil {
		return nil, err
	}
	decoded := m
	if r.DecodeSeconds, err = a.best(func() error {
		var err error
		decoded, err = d.Decode(bytes.NewReader(file.Bytes()))
		return err
	}); err != nil {
		return nil, err
	}
	if r.Result, err = bench.Compare(m, decoded, int64(file.Len())); err != nil {
		return nil, err
	}
	return r, nil
}

// best returns the shortest of demoRuns times of work, in seconds.
func (a *app) best(work func() error) (float64, error) {
	least := 0.
	for i := range demoRuns {
		if a.ctx.Err() != nil {
			return 0, errInterrupted
		}
		start := time.Now()
		if err := work(); err != nil {
			return 0, err
		}
		if s := time.Since(start).Seconds(); i == 0 || s < least {
			least = s
		}
	}
	return least, nil
}
