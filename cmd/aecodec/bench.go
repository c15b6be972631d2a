package main

import (
	"bufio"
	"fmt"
	"io"
	"os"

	"github.com/aecodec/aecodec/bench"
	"github.com/aecodec/aecodec/cmd/aecodec/internal/cli"
	"github.com/aecodec/aecodec/codec"
)

func (a *app) benchCommand() *cli.Command {
	cmd := &cli.Command{
		Use:   "bench",
		Short: "Measure the codec: rate and distortion, speed",
		Run: func(cmd *cli.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown benchmark %q: use rd or codec", args[0])
			}
			return usagef("name a benchmark: rd or codec")
		},
	}
	cmd.AddCommand(a.benchRDCommand(), a.benchCodecCommand())
	return cmd
}

func (a *app) benchRDCommand() *cli.Command {
	var o bench.RDOptions
	var anchors, model, csv, plot string
	var force bool
	cmd := &cli.Command{
		Use:   "rd --data FOLDER",
		Short: "Rate and distortion on a folder of pictures, and BD-rate against other codecs",
		Long: `Encode a folder of pictures at several qualities to real files, decode them again, and show bits per pixel, RGB PSNR and
MS-SSIM (means of the pictures' values), and the BD-rate against every codec of the anchors: a CSV file with the columns
codec, bpp, psnr_rgb and, if known, setting, file and ms_ssim. A file written with --csv can be the anchor of another run.`,
		Example: `  aecodec bench rd --data kodak/ --anchors others.csv --plot kodak.png
  aecodec bench rd --data kodak/ --model mine.aem --csv mine.csv`,
		Args: atMost(0),
		Run: func(*cli.Command, []string) error {
			if o.Data == "" {
				return usagef("--data: name a folder of pictures")
			}
			for _, q := range o.Qualities {
				if !(q >= 1 && q <= 100) {
					return usagef("--qualities %g: quality is from 1 to 100", q)
				}
			}
			if err := checkEffort(o.Encode.Effort); err != nil {
				return err
			}
			if anchors != "" {
				rows, err := readAnchors(anchors)
				if err != nil {
					return fmt.Errorf("%s: %w", anchors, cause(err))
				}
				o.Anchors = rows
			}
			m, err := loadModel(model)
			if err != nil {
				return err
			}
			o.Encode.Model, o.Workers = m, a.threads
			done := a.countProgress("coding", &o.Progress)
			r, err := bench.RD(a.ctx, &o)
			done()
			if err != nil {
				return err
			}
			if csv != "" {
				if _, err := a.writeOutput(csv, force, func(w io.Writer) error { return bench.WriteCSV(w, r.Rows) }); err != nil {
					return err
				}
			}
			if plot != "" {
				if _, err := a.writeOutput(plot, force, r.WritePNG); err != nil {
					return err
				}
			}
			return a.showResult(r)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Data, "data", "", "folder of pictures, with its subfolders")
	f.StringVar(&anchors, "anchors", "", "CSV file of other codecs to compare with")
	f.Float64SliceVar(&o.Qualities, "qualities", bench.DefaultQualities(), "qualities to measure")
	f.IntVarP(&o.Encode.Effort, "effort", "e", 0, effortHelp)
	f.StringVar(&model, "model", "", "model file to measure (default: the embedded one)")
	f.StringVar(&o.Name, "name", "aecodec", "name of the codec in the results")
	f.StringVar(&csv, "csv", "", "file to write every measurement to")
	f.StringVar(&plot, "plot", "", "PNG file to draw the curves to")
	f.StringVar(&o.Keep, "keep", "", "folder to keep the coded files in")
	f.BoolVar(&force, "force", false, "replace existing files")
	return cmd
}

func readAnchors(name string) ([]bench.Measurement, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return bench.ReadCSV(bufio.NewReader(f))
}

func (a *app) benchCodecCommand() *cli.Command {
	var o bench.CodecOptions
	var model string
	cmd := &cli.Command{
		Use:   "codec [PICTURE...]",
		Short: "Time encoding and decoding, by kernels and threads",
		Long: `Time encoding and decoding in memory, with every set of kernels that runs here and with one and all threads (-j sets one
number), and check that all of them give the same bytes and pixels. Without a name it takes ` + demoPicture + `, which is in the
repository.`,
		Example: `  aecodec bench codec photo.png
  aecodec bench codec -q 80 --kernels avx2,avx512 -j 1 *.png`,
		Run: func(cmd *cli.Command, args []string) error {
			if !(o.Encode.Quality >= 1 && o.Encode.Quality <= 100) {
				return usagef("-q %g: quality is from 1 to 100", o.Encode.Quality)
			}
			if err := checkEffort(o.Encode.Effort); err != nil {
				return err
			}
			if len(args) == 0 {
				args = []string{demoPicture}
			}
			for _, j := range findInputs(args, pictureExtensions) {
				if j.err != nil {
					return fmt.Errorf("%s: %w", j.in, cause(j.err))
				}
				o.Pictures = append(o.Pictures, j.in)
			}
			if cmd.Flags().Changed("threads") {
				o.Threads = []int{a.threads}
			}
			m, err := loadModel(model)
			if err != nil {
				return err
			}
			o.Encode.Model = m
			done := a.countProgress("timing", &o.Progress)
			r, err := bench.Codec(a.ctx, &o)
			done()
			if err != nil {
				return err
			}
			return a.showResult(r)
		},
	}
	f := cmd.Flags()
	f.Float64VarP(&o.Encode.Quality, "quality", "q", codec.DefaultQuality, "quality, 1 to 100")
	f.IntVarP(&o.Encode.Effort, "effort", "e", 0, effortHelp)
	f.StringSliceVar(&o.Backends, "kernels", nil, "sets of kernels to time (default: all that run here)")
	f.IntVar(&o.Rounds, "rounds", 5, "timed runs of each combination")
	f.StringVar(&model, "model", "", "model file to time (default: the embedded one)")
	return cmd
}

// countProgress sets a benchmark's progress function to a bar, which done takes away.
func (a *app) countProgress(title string, progress *func(done, total int)) (done func()) {
	var b *bar
	*progress = func(_, total int) {
		if b == nil {
			b = a.newBar(total, title)
		}
		b.step()
	}
	return func() {
		if b != nil {
			b.close()
		}
	}
}

// showResult prints a benchmark's outcome.
func (a *app) showResult(r interface {
	WriteTable(io.Writer) error
	WriteJSON(io.Writer) error
}) error {
	if a.json {
		return r.WriteJSON(a.stdout)
	}
	return r.WriteTable(a.stdout)
}
