package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/aecodec/aecodec/bench"
	"github.com/aecodec/aecodec/cmd/aecodec/internal/cli"
	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/trainer"
)

func (a *app) benchCommand() *cli.Command {
	cmd := &cli.Command{
		Use:   "bench",
		Short: "Measure rate and distortion, and speed from kernels to training",
		Run: func(cmd *cli.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown benchmark %q: use rd, robust, codec, kernels, layers, train, recipes, records or embeddings", args[0])
			}
			return usagef("name a benchmark: rd, robust, codec, kernels, layers, train, recipes, records or embeddings")
		},
	}
	cmd.AddCommand(a.benchRDCommand(), a.benchRobustCommand(), a.benchCodecCommand(), a.benchKernelsCommand(), a.benchLayersCommand(),
		a.benchTrainCommand(), a.benchRecipesCommand(), a.benchRecordsCommand(), a.benchEmbeddingsCommand(), a.benchReportCommand())
	return cmd
}

func (a *app) benchRDCommand() *cli.Command {
	var o bench.RDOptions
	var anchors, model, tune, csv, plot string
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
			name, err := tunedModel(model, tune)
			if err != nil {
				return err
			}
			m, err := loadModel(name)
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
	f.StringVar(&tune, "tune", codec.TunePSNR.String(), tuneHelp)
	f.StringVar(&model, "model", "", "model to measure, a file or the name of one (default: the embedded one)")
	f.StringVar(&o.Name, "name", "aecodec", "name of the codec in the results")
	f.StringVar(&csv, "csv", "", "file to write every measurement to")
	f.StringVar(&plot, "plot", "", "PNG file to draw the curves to")
	f.StringVar(&o.Keep, "keep", "", "folder to keep the coded files in")
	f.BoolVar(&force, "force", false, "replace existing files")
	return cmd
}

func (a *app) benchRobustCommand() *cli.Command {
	var o bench.RobustOptions
	var model, tune string
	cmd := &cli.Command{
		Use:   "robust [--data FOLDER]",
		Short: "Compare with JPEG on pictures that the networks were not made for",
		Long: `Code pictures that are no photographs (noise, flat areas, lines, single pixels, which it makes itself, and those of a folder: screens,
drawings, text) with Go's image/jpeg and with this codec to the same size (--target-size), as real files, and show by how much the
PSNR differs.`,
		Example: `  aecodec bench robust --data screenshots/`,
		Args:    atMost(0),
		Run: func(*cli.Command, []string) error {
			for _, q := range o.Qualities {
				if q < 1 || q > 100 {
					return usagef("--qualities %d: quality is from 1 to 100", q)
				}
			}
			if err := checkEffort(o.Encode.Effort); err != nil {
				return err
			}
			name, err := tunedModel(model, tune)
			if err != nil {
				return err
			}
			if o.Encode.Model, err = loadModel(name); err != nil {
				return err
			}
			o.Encode.Threads = a.threads
			done := a.countProgress("coding", &o.Progress)
			r, err := bench.Robust(a.ctx, &o)
			done()
			if err != nil {
				return err
			}
			return a.showResult(r)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Data, "data", "", "folder of pictures, with its subfolders, beside those that it makes")
	f.IntSliceVar(&o.Qualities, "qualities", bench.DefaultJPEGQualities(), "qualities of JPEG to compare with")
	f.IntVarP(&o.Encode.Effort, "effort", "e", 0, effortHelp)
	f.StringVar(&tune, "tune", codec.TunePSNR.String(), tuneHelp)
	f.StringVar(&model, "model", "", "model to measure, a file or the name of one (default: the embedded one)")
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
	var model, save string
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
			return a.showAndSave(r, save)
		},
	}
	f := cmd.Flags()
	f.Float64VarP(&o.Encode.Quality, "quality", "q", codec.DefaultQuality, "quality, 1 to 100")
	f.IntVarP(&o.Encode.Effort, "effort", "e", 0, effortHelp)
	f.StringSliceVar(&o.Backends, "kernels", nil, "sets of kernels to time (default: all that run here)")
	f.IntVar(&o.Rounds, "rounds", 5, "timed runs of each combination")
	f.StringVar(&model, "model", "", "model file to time (default: the embedded one)")
	addSave(f, &save)
	return cmd
}

func (a *app) benchKernelsCommand() *cli.Command {
	var o bench.TimingOptions
	var save string
	var ms float64
	cmd := &cli.Command{
		Use:   "kernels",
		Short: "Time the arithmetic, function by function, as shares of the processor's peak",
		Long: `Measure what a core can do at most (multiply-adds, integer dot products, reading from the caches and from memory), and then every
kernel with every set of kernels that runs here, on one thread: GFLOP/s, GB/s, and the share of the limit. Where the system tells
(Linux), times are those of the thread, so that other programs disturb less.`,
		Example: `  aecodec bench kernels
  aecodec bench kernels --kernels avx2 --rounds 15 --save bench/results/my-machine.json`,
		Args: atMost(0),
		Run: func(*cli.Command, []string) error {
			o.Time = time.Duration(ms * float64(time.Millisecond))
			done := a.countProgress("timing", &o.Progress)
			r, err := bench.Kernels(a.ctx, &o)
			done()
			if err != nil {
				return err
			}
			return a.showAndSave(r, save)
		},
	}
	f := cmd.Flags()
	addTiming(f, &o, &ms)
	addSave(f, &save)
	return cmd
}

func (a *app) benchLayersCommand() *cli.Command {
	var o bench.LayersOptions
	var size, model, save string
	var ms float64
	cmd := &cli.Command{
		Use:   "layers",
		Short: "Time every layer of a model, as shares of the processor's peak",
		Long: `Time every layer of a model by itself, with the shapes it has on a picture of some size, with every set of kernels that runs here,
on one thread. Layers of the same work are timed once.`,
		Example: `  aecodec bench layers
  aecodec bench layers --size 1920x1080 --model mine.aem`,
		Args: atMost(0),
		Run: func(*cli.Command, []string) error {
			if _, err := fmt.Sscanf(size, "%dx%d", &o.Width, &o.Height); err != nil || min(o.Width, o.Height) < 1 {
				return usagef("--size %s: give width x height in pixels, such as 768x512", size)
			}
			m, err := loadModel(model)
			if err != nil {
				return err
			}
			o.Model = m
			o.Time = time.Duration(ms * float64(time.Millisecond))
			done := a.countProgress("timing", &o.Progress)
			r, err := bench.Layers(a.ctx, &o)
			done()
			if err != nil {
				return err
			}
			return a.showAndSave(r, save)
		},
	}
	f := cmd.Flags()
	f.StringVar(&size, "size", "768x512", "pixels of the picture")
	f.StringVar(&model, "model", "", "model file to time (default: the embedded one)")
	addTiming(f, &o.TimingOptions, &ms)
	addSave(f, &save)
	return cmd
}

func (a *app) benchTrainCommand() *cli.Command {
	var o bench.TrainOptions
	var save string
	cfg := trainer.DefaultConfig()
	cmd := &cli.Command{
		Use:   "train",
		Short: "Time training steps: pixels per second, and what the parts take",
		Long: `Time training steps of the default architecture on noise, with every set of kernels that runs here and with one and all threads
(-j sets one number).`,
		Args: atMost(0),
		Run: func(cmd *cli.Command, _ []string) error {
			if cmd.Flags().Changed("threads") {
				o.Threads = []int{a.threads}
			}
			o.Config = cfg
			done := a.countProgress("training", &o.Progress)
			r, err := bench.Train(a.ctx, &o)
			done()
			if err != nil {
				return err
			}
			return a.showAndSave(r, save)
		},
	}
	f := cmd.Flags()
	f.IntVar(&cfg.Batch, "batch", cfg.Batch, "crops of a step")
	f.IntVar(&cfg.Crop, "crop", cfg.Crop, "side of a crop, a multiple of 64")
	f.StringSliceVar(&o.Backends, "kernels", nil, kernelsHelp)
	f.IntVar(&o.Rounds, "rounds", 7, "timed steps of each combination")
	addSave(f, &save)
	return cmd
}

func (a *app) benchReportCommand() *cli.Command {
	return &cli.Command{
		Use:   "report FOLDER",
		Short: "Write README.md and speed.png from the records in a folder",
		Long: `Read the records that the benchmarks keep with --save, and the scripts in bench/peers, one .json file for each machine, and write
the tables (README.md) and the plot (speed.png) beside them, replacing those that are there.`,
		Example: `  aecodec bench report bench/results`,
		Args:    atLeast(1, "name the folder of the records"),
		Run: func(_ *cli.Command, args []string) error {
			if len(args) > 1 {
				return usagef("unexpected argument %q", args[1])
			}
			records, err := bench.ReadRecords(args[0])
			if err != nil {
				return err
			}
			picture := ""
			if slices.ContainsFunc(records, func(r *bench.Record) bool { return r.Layers != nil }) {
				picture = "speed.png"
				name := filepath.Join(args[0], picture)
				if _, err := a.writeOutput(name, true, func(w io.Writer) error { return bench.WriteReportPNG(w, records) }); err != nil {
					return err
				}
			}
			_, err = a.writeOutput(filepath.Join(args[0], "README.md"), true, func(w io.Writer) error {
				return bench.WriteReport(w, records, picture)
			})
			return err
		},
	}
}

const kernelsHelp = "sets of kernels to time (default: all that run here but generic, which takes minutes)"

func addTiming(f *cli.FlagSet, o *bench.TimingOptions, ms *float64) {
	f.StringSliceVar(&o.Backends, "kernels", nil, kernelsHelp)
	f.IntVar(&o.Rounds, "rounds", 7, "timed runs of each")
	f.StringVar(&o.Only, "only", "", "regular expression: time only what has a name and work that match")
	f.StringSliceVar(&o.Peers, "peer", nil, "program that does the same with another library, to compare with; see bench/peers")
	f.Float64Var(ms, "ms", 3, "least milliseconds of a run; what is quicker is repeated")
}

func addSave(f *cli.FlagSet, save *string) {
	f.StringVar(save, "save", "", "record (.json) to put the result into, beside those of other benchmarks on this machine")
}

// showAndSave prints a benchmark's outcome and puts it into a record, if one is named.
func (a *app) showAndSave(r benchResult, save string) error {
	if save != "" {
		record, err := bench.UpdateRecord(save, r)
		if err != nil {
			return err
		}
		if _, err := a.writeOutput(save, true, record.WriteJSON); err != nil {
			return err
		}
	}
	return a.showResult(r)
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

// benchResult is a benchmark's outcome.
type benchResult interface {
	WriteTable(io.Writer) error
	WriteJSON(io.Writer) error
}

// showResult prints a benchmark's outcome.
func (a *app) showResult(r benchResult) error {
	if a.json {
		return r.WriteJSON(a.stdout)
	}
	return r.WriteTable(a.stdout)
}
