package trainer

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/kernels"
)

// Names of the files in a checkpoint folder beside the checkpoint.
const (
	logName    = "log.jsonl"
	curvesName = "curves.png"
)

// Train runs the training that cfg describes, from its first or its last
// checkpointed step to the model file. ui may be nil.
//
// When ctx ends it saves a checkpoint and returns an error that wraps
// ErrInterrupted. A loss or gradient that is not finite ends it with a
// *NonFiniteError. Errors about the checkpoint wrap ErrCheckpoint.
func Train(ctx context.Context, cfg *Config, ui Progress) (err error) {
	if ui == nil {
		ui = silent{}
	}
	if err := kernels.SelectionError(); err != nil {
		return fmt.Errorf("trainer: %w", err)
	}
	own := *cfg
	if err := own.check(); err != nil {
		return err
	}
	r := &run{cfg: &own, ui: ui, warn: ui.Warn}
	if err := r.prepareFolders(); err != nil {
		return err
	}
	ui.Stage("reading pictures", 0)
	var warnings []error
	if r.set, warnings, err = scanPictures(own.Data, own.CacheBytes, own.Threads); err != nil {
		return err
	}
	for _, w := range warnings {
		ui.Warn(w)
	}
	if err := r.begin(); err != nil {
		return err
	}
	if r.log != nil {
		defer func() { err = errors.Join(err, r.log.close()) }()
	}
	if err := r.steps(ctx); err != nil {
		return err
	}
	if r.log != nil { // after the last validation there may have been more steps
		if err := r.plot(); err != nil {
			return err
		}
	}
	if own.Out == "" {
		return nil
	}
	ui.Stage("writing the model", 0)
	return r.export()
}

// run is one call of Train.
type run struct {
	cfg   *Config
	ui    Progress
	warn  func(error)
	set   *pictures
	state *state
	graph *graph // the one that trains
	ema   *graph // over the averages, made on first use
	valid *validation
	log   *logFile

	earlier float64 // seconds of training in earlier sessions
	started time.Time
	window  window
}

// window sums up the steps since the last log entry.
type window struct {
	steps                 int
	samples               int
	loss, bpp, bppZ, psnr float64
	pixels                int
	norm                  float64   // of the last step
	began                 time.Time // moved on by interruptions that do not count
}

func (r *run) logPath() string    { return filepath.Join(r.cfg.Checkpoint, logName) }
func (r *run) curvesPath() string { return filepath.Join(r.cfg.Checkpoint, curvesName) }

// prepareFolders fails on what would otherwise fail after hours.
func (r *run) prepareFolders() error {
	if r.cfg.Checkpoint != "" {
		if err := os.MkdirAll(r.cfg.Checkpoint, 0o777); err != nil {
			return fmt.Errorf("trainer: checkpoint: %w", err)
		}
		path := checkpointPath(r.cfg.Checkpoint)
		if _, err := os.Stat(path); err == nil && !r.cfg.Resume {
			return fmt.Errorf("trainer: checkpoint: %s exists: resume it or choose another folder", path)
		}
	}
	if r.cfg.Out == "" {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(r.cfg.Out), ".aecodec-*")
	if err != nil {
		return fmt.Errorf("trainer: output: %w", err)
	}
	f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return fmt.Errorf("trainer: output: %w", err)
	}
	return nil
}

// begin sets up the state, from a checkpoint, given weights or nothing.
func (r *run) begin() error {
	cfg := r.cfg
	resumed := false
	if cfg.Resume {
		err := r.resume()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		resumed = err == nil
	}
	if !resumed {
		var p nn.Params
		var err error
		if cfg.Init != "" {
			p, err = loadWeights(cfg.Init, cfg.Arch)
		} else {
			r.ui.Stage("principal components", 0)
			p, err = initialWeights(cfg, r.set, r.warn)
		}
		if err != nil {
			return err
		}
		r.state = newState(p, r.cfg.Optimizer == OptimizerMuon)
	}
	r.started = time.Now()
	var err error
	if r.graph, err = newGraph(cfg.Arch, r.state.weights.named, r.state.grads.named, cfg.Threads, cfg.Seed); err != nil {
		return err
	}
	r.graph.structural = cfg.Distortion == DistortionSSIM
	if r.state.byteSteps != nil {
		if err := r.beginIntegers(); err != nil {
			return err
		}
	}
	if cfg.Valid != "" {
		g, err := r.averages()
		if err != nil {
			return err
		}
		if r.valid, err = newValidation(cfg, g, r.warn); err != nil {
			return err
		}
	}
	if cfg.Checkpoint != "" {
		r.log, err = openLog(r.logPath(), r.state.step)
	}
	return err
}

// resume restores the state of the checkpoint.
func (r *run) resume() error {
	specs, err := r.cfg.Arch.ParamSpecs()
	if err != nil {
		return err
	}
	p := nn.Params{}
	for _, s := range specs {
		p[s.Name] = nn.NewParam(s.Name, s.Shape...)
	}
	s := newState(p, r.cfg.Optimizer == OptimizerMuon)
	info, err := loadCheckpoint(checkpointPath(r.cfg.Checkpoint), s)
	if err != nil {
		return err
	}
	r.cfg.Transpose = info.Config.Transpose
	if names := r.cfg.portable().differences(info.Config, s.step); len(names) > 0 {
		r.warn(fmt.Errorf("trainer: checkpoint: made with other settings (%v): the result will differ from an uninterrupted run", names))
	}
	if have := r.pictureHash(); have != info.Pictures {
		r.warn(errors.New("trainer: checkpoint: made with other pictures: the result will differ from an uninterrupted run"))
	}
	r.state, r.earlier = s, info.Seconds
	return nil
}

// pictureHash tells sets of pictures apart by names and sizes.
func (r *run) pictureHash() string {
	h := fnv.New64a()
	for _, p := range r.set.list {
		fmt.Fprintln(h, filepath.Base(p.path), p.width, p.height)
	}
	return fmt.Sprintf("%d files, %016x", len(r.set.list), h.Sum64())
}

func (r *run) seconds() float64 { return r.earlier + time.Since(r.started).Seconds() }

// averages is the graph of the averaged weights.
func (r *run) averages() (*graph, error) {
	if r.ema == nil {
		g, err := newGraph(r.cfg.Arch, r.state.ema.named, nil, r.cfg.Threads, r.cfg.Seed)
		if err != nil {
			return nil, err
		}
		g.structural = r.graph.structural
		if r.graph.roundWeights != nil {
			if err := g.fakeQuantise(r.state.byteSteps); err != nil {
				return nil, err
			}
		}
		r.ema = g
	}
	return r.ema, nil
}

// steps trains from the present step to the last.
func (r *run) steps(ctx context.Context) error {
	cfg := r.cfg
	r.ui.Stage("training", max(0, cfg.Steps-r.state.step))
	if r.state.step >= cfg.Steps {
		return nil
	}
	warnings := make(chan error, 64) // from the loader's goroutine to this one
	sampler := newSampler(r.set, cfg.Seed, cfg.Batch, cfg.Crop, cfg.Arch.Anchors, cfg.Threads, func(err error) {
		select {
		case warnings <- err:
		default: // one for each broken picture is kind, not vital
		}
	})
	sampler.transpose = cfg.Transpose
	loader := newLoader(ctx, sampler, r.state.step, cfg.Steps)
	defer loader.close()
	saved := r.state.step
	r.window = window{began: time.Now()}
	for r.state.step < cfg.Steps {
		if ctx.Err() != nil {
			return r.interrupted()
		}
		b, err := loader.take(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return r.interrupted()
			}
			return errors.Join(err, r.save())
		}
		if err := r.trainStep(b); err != nil {
			return err
		}
		loader.release(b)
		for len(warnings) > 0 {
			r.warn(<-warnings)
		}
		done := r.state.step
		last := done == cfg.Steps
		stats := r.stats()
		r.ui.Step(stats)
		if every(done, cfg.LogEvery) || last {
			if r.log != nil {
				if err := r.log.add(stats); err != nil {
					return err
				}
			}
			r.window = window{began: time.Now()}
		}
		pause := time.Now()
		if r.valid != nil && (every(done, cfg.ValidEvery) || last) {
			if err := r.validate(); err != nil {
				return err
			}
		}
		if every(done, cfg.SaveEvery) || last {
			if err := r.save(); err != nil {
				return err
			}
			saved = done
		}
		r.window.began = r.window.began.Add(time.Since(pause))
	}
	if saved != r.state.step {
		return r.save()
	}
	return nil
}

// every reports whether something that happens every n steps is due.
func every(step, n int) bool { return n > 0 && step%n == 0 }

// trainStep computes the gradients of one batch and updates the weights. When
// they are not finite it leaves the weights alone.
func (r *run) trainStep(b *batch) error {
	cfg, s, g := r.cfg, r.state, r.graph
	mode := noisy
	if b.step >= cfg.Steps-cfg.HardSteps {
		mode = hard
	}
	s.receiverOnly = mode == hard
	if b.step >= cfg.Steps-cfg.IntegerSteps && g.roundWeights == nil {
		if err := r.beginIntegers(); err != nil {
			return err
		}
	}
	s.clearGrads(cfg.Threads)
	loss, err := g.evaluate(b.x, b.t, mode, b.step)
	if err != nil {
		return err
	}
	if !finite(loss) {
		return &NonFiniteError{b.step, g.firstNonFinite("loss")}
	}
	if err := g.differentiate(); err != nil {
		return err
	}
	norm := s.gradNorm(cfg.Threads)
	if !finite(norm) {
		return &NonFiniteError{b.step, s.firstNonFinite()}
	}
	s.advance(cfg, norm)
	g.refresh()

	w := &r.window
	pixels := b.x.H * b.x.W
	w.steps++
	w.loss += loss
	for i := range g.samples {
		p := &g.samples[i]
		w.bpp += (p.bitsY + p.bitsZ) / float64(pixels)
		w.bppZ += p.bitsZ / float64(pixels)
		w.psnr += psnr(p.mse)
	}
	w.samples += len(g.samples)
	w.pixels += len(g.samples) * pixels
	w.norm = norm
	return nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func (r *run) stats() StepStats {
	w := &r.window
	n := float64(w.samples)
	return StepStats{
		Step: r.state.step, Loss: w.loss / float64(w.steps), BPP: w.bpp / n, BPPZ: w.bppZ / n, PSNR: w.psnr / n,
		LR: learningRate(r.cfg, r.state.step-1), Norm: w.norm,
		Speed: float64(w.pixels) / max(time.Since(w.began).Seconds(), 1e-9), Seconds: r.seconds(),
	}
}

func (r *run) validate() error {
	stats, err := r.valid.run(r.state.step)
	if err != nil {
		return err
	}
	r.ui.Valid(stats)
	if r.log == nil {
		return nil
	}
	if err := r.log.add(stats); err != nil {
		return err
	}
	return r.plot()
}

func (r *run) plot() error {
	h, err := readLog(r.logPath())
	if err != nil {
		return err
	}
	return plotHistory(r.curvesPath(), h)
}

func (r *run) save() error {
	if r.cfg.Checkpoint == "" {
		return nil
	}
	return saveCheckpoint(checkpointPath(r.cfg.Checkpoint), r.state, &checkpointInfo{
		Step: r.state.step, Seconds: r.seconds(), Pictures: r.pictureHash(), Config: r.cfg.portable(),
	})
}

// interrupted ends a run whose context has ended.
func (r *run) interrupted() error {
	if r.cfg.Checkpoint == "" {
		return fmt.Errorf("%w at step %d: nothing was saved: no checkpoint folder", ErrInterrupted, r.state.step)
	}
	if err := r.save(); err != nil {
		return errors.Join(ErrInterrupted, err)
	}
	return fmt.Errorf("%w at step %d: saved to %s", ErrInterrupted, r.state.step, checkpointPath(r.cfg.Checkpoint))
}

// silent is the Progress of a run that nobody watches.
type silent struct{}

func (silent) Stage(string, int) {}
func (silent) Step(StepStats)    {}
func (silent) Valid(ValidStats)  {}
func (silent) Warn(error)        {}
