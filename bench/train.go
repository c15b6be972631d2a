package bench

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"text/tabwriter"

	"github.com/aecodec/aecodec/kernels"
	"github.com/aecodec/aecodec/trainer"
)

// TrainOptions say what Train times.
type TrainOptions struct {
	Config   *trainer.Config // batch, crop and architecture; nil means trainer.DefaultConfig
	Backends []string        // of package kernels; nil means all that run here but generic
	Threads  []int           // nil means 1 and all of this machine
	Rounds   int             // timed steps of each combination; 0 means 7

	// Progress, if set, is called after every step.
	Progress func(done, total int)
}

// TrainResult is the outcome of Train.
type TrainResult struct {
	Machine Machine `json:"machine"`
	Batch   int     `json:"batch"`
	Crop    int     `json:"crop"`
	Rounds  int     `json:"rounds"`
	// FlopsPerPixel counts the multiply-accumulates of the networks, two each,
	// three times over: forward, and gradients of inputs and of weights.
	FlopsPerPixel float64     `json:"flops_per_pixel"`
	Lines         []TrainLine `json:"lines"`
}

// TrainLine is one backend with one number of threads, by the wall clock. The
// shares of the parts are those of the median step.
type TrainLine struct {
	Backend        string  `json:"backend"`
	Threads        int     `json:"threads"`
	PixelsASecond  Spread  `json:"pixels_per_second"`
	Peak           Spread  `json:"fma_gflops"` // of one core, measured between the steps
	ShareOfPeak    Spread  `json:"share_of_peak"`
	ForwardShare   float64 `json:"forward_share"`
	BackwardShare  float64 `json:"backward_share"`
	OptimiserShare float64 `json:"optimiser_share"`
}

// trainRun is one backend with one number of threads.
type trainRun struct {
	backend string
	threads int
	stepper *trainer.Stepper
	gauge   gauge
	times   []trainer.StepTimes
}

// Train times training steps on noise, the same arithmetic as on pictures, with
// every backend and number of threads. The combinations take turns in every
// round. It switches the backend of the whole process, so nothing else may use
// kernels meanwhile; the one that was active is restored.
func Train(ctx context.Context, o *TrainOptions) (*TrainResult, error) {
	fail := func(err error) (*TrainResult, error) { return nil, fmt.Errorf("bench: train: %w", err) }
	common, err := TimingOptions{Backends: o.Backends, Rounds: o.Rounds}.complete()
	if err != nil {
		return fail(err)
	}
	cfg := o.Config
	if cfg == nil {
		cfg = trainer.DefaultConfig()
	}
	threads := o.Threads
	if len(threads) == 0 {
		threads = slices.Compact([]int{1, runtime.GOMAXPROCS(0)})
	}
	if slices.Min(threads) < 1 {
		return fail(fmt.Errorf("%d threads", slices.Min(threads)))
	}
	defer kernels.Use(kernels.Active()) // it was in use, so it can be used
	var runs []*trainRun
	for _, b := range common.Backends {
		if err := kernels.Use(b); err != nil {
			return fail(err)
		}
		for _, t := range threads {
			own := *cfg
			own.Threads = t
			s, err := trainer.NewStepper(&own)
			if err != nil {
				return fail(err)
			}
			runs = append(runs, &trainRun{backend: b, threads: t, stepper: s, gauge: gauge{peaks: kernels.Peak()}})
		}
	}
	done, total := 0, len(runs)*(common.Rounds+1)
	for round := range common.Rounds + 1 {
		for _, run := range runs {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := run.step(round == 0); err != nil {
				return fail(err)
			}
			if done++; o.Progress != nil {
				o.Progress(done, total)
			}
		}
	}
	encode, decode, err := runs[0].stepper.Arch().MACs()
	if err != nil {
		return fail(err)
	}
	r := &TrainResult{Machine: ThisMachine(), Batch: cfg.Batch, Crop: cfg.Crop, Rounds: common.Rounds, FlopsPerPixel: 3 * 2 * (encode + decode)}
	for _, run := range runs {
		r.Lines = append(r.Lines, run.line(r.FlopsPerPixel))
	}
	return r, nil
}

func (r *trainRun) step(warmup bool) error {
	if err := kernels.Use(r.backend); err != nil {
		return err
	}
	unlock := lockClock()
	r.gauge.sampleFMA()
	unlock()
	t, err := r.stepper.Step()
	if err == nil && !warmup {
		r.times = append(r.times, t)
	}
	return err
}

func (r *trainRun) line(flopsPerPixel float64) TrainLine {
	l := TrainLine{Backend: r.backend, Threads: r.threads, Peak: r.gauge.result(r.backend).FMA}
	var total, forward, backward, optimiser []float64
	for _, t := range r.times {
		s := t.Total().Seconds()
		total = append(total, float64(r.stepper.Pixels())/s)
		forward = append(forward, t.Forward.Seconds()/s)
		backward = append(backward, t.Backward.Seconds()/s)
		optimiser = append(optimiser, t.Optimiser.Seconds()/s)
	}
	l.PixelsASecond = rateSpread(total)
	l.ForwardShare, l.BackwardShare, l.OptimiserShare = median(forward), median(backward), median(optimiser)
	if l.Peak.Median > 0 {
		flops := func(pixels float64) float64 { return pixels * flopsPerPixel / 1e9 / float64(r.threads) }
		l.ShareOfPeak = Spread{flops(l.PixelsASecond.Median) / l.Peak.Median, flops(l.PixelsASecond.Best) / l.Peak.Best}
	}
	return l
}

// WriteTable prints one line for each combination.
func (r *TrainResult) WriteTable(w io.Writer) error {
	e := &errWriter{w: w}
	fmt.Fprintf(e, "%s, %s, GOAMD64 %s\n%d crops of %dx%d a step, median of %d steps, %.1f kFLOP a pixel\n\n",
		r.Machine.CPU, r.Machine.Go, orDash(r.Machine.Level), r.Batch, r.Crop, r.Crop, r.Rounds, r.FlopsPerPixel/1e3)
	t := tabwriter.NewWriter(e, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "backend\tthreads\tMpixel/s\tbest\tof the peak\tforward\tbackward\toptimiser\t")
	for _, l := range r.Lines {
		fmt.Fprintf(t, "%s\t%d\t%.3f\t%.3f\t%s\t%.0f %%\t%.0f %%\t%.0f %%\t\n", l.Backend, l.Threads,
			l.PixelsASecond.Median/1e6, l.PixelsASecond.Best/1e6, positive(100*l.ShareOfPeak.Median, "%.0f %%"),
			100*l.ForwardShare, 100*l.BackwardShare, 100*l.OptimiserShare)
	}
	t.Flush()
	return e.err
}

// WriteJSON writes the result as one JSON object.
func (r *TrainResult) WriteJSON(w io.Writer) error { return writeJSON(w, r) }
