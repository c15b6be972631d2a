package trainer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/kernels"
)

// watcher records what a run reports and may end it after some steps.
type watcher struct {
	steps    []StepStats
	valid    []ValidStats
	warnings []error
	stopAt   int
	stop     context.CancelFunc
}

func (w *watcher) Stage(string, int) {}
func (w *watcher) Step(s StepStats) {
	w.steps = append(w.steps, s)
	if s.Step == w.stopAt {
		w.stop()
	}
}
func (w *watcher) Valid(v ValidStats) { w.valid = append(w.valid, v) }
func (w *watcher) Warn(err error)     { w.warnings = append(w.warnings, err) }

// tinyConfig is a whole run that takes about a second.
func tinyConfig(t testing.TB) *Config {
	cfg := DefaultConfig()
	cfg.Name = "tiny"
	cfg.Arch = tinyArch(t)
	cfg.Data = []string{writePictures(t, 3, 96, 80)}
	cfg.Steps, cfg.Batch, cfg.Crop, cfg.Warmup, cfg.HardSteps = 50, 2, 64, 5, 10
	cfg.LR, cfg.EMA = 4e-3, 0.9
	cfg.PriorCrops, cfg.Patches = 1, 256
	cfg.LogEvery, cfg.SaveEvery, cfg.ValidEvery = 5, 20, 25
	cfg.Threads = 1
	cfg.Init = filepath.Join(t.TempDir(), "init.safetensors") // spares the principal components
	p, err := cfg.Arch.Init(1)
	require.NoError(t, err)
	f, err := os.Create(cfg.Init)
	require.NoError(t, err)
	require.NoError(t, WriteSafetensors(f, p, nil))
	require.NoError(t, f.Close())
	return cfg
}

// trainedHash runs cfg in a fresh folder and identifies everything in the
// final checkpoint.
func trainedHash(t *testing.T, cfg Config) uint64 {
	cfg.Checkpoint = t.TempDir()
	require.NoError(t, Train(t.Context(), &cfg, nil))
	return checkpointHash(t, &cfg)
}

func checkpointHash(t *testing.T, cfg *Config) uint64 {
	all, info, err := readCheckpoint(checkpointPath(cfg.Checkpoint))
	require.NoError(t, err)
	require.Equal(t, cfg.Steps, info.Step)
	return hashWeights(all)
}

// TestSameWeightsEverywhere is the promise of the package: 50 steps give the
// same state, to the bit, on every backend, with any number of threads, and
// with an interruption on the way.
func TestSameWeightsEverywhere(t *testing.T) {
	for _, integers := range []bool{false, true} {
		cfg := tinyConfig(t)
		if integers {
			cfg.IntegerSteps = cfg.Steps / 2
		}
		requireSameWeights(t, cfg)
	}
}

func requireSameWeights(t *testing.T, cfg *Config) {
	var want uint64
	withBackend(t, func(t *testing.T, name string) {
		for _, threads := range []int{1, 2} {
			c := *cfg
			c.Threads = threads
			hash := trainedHash(t, c)
			if want == 0 {
				want = hash
			}
			require.Equal(t, want, hash, "%d threads", threads)
		}
	})
	for _, stopAt := range []int{23, 44} { // before and in the hard phase
		c := *cfg
		c.Checkpoint = t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		err := Train(ctx, &c, &watcher{stopAt: stopAt, stop: cancel})
		require.ErrorIs(t, err, ErrInterrupted)
		c.Resume, c.Threads = true, 2
		require.NoError(t, Train(t.Context(), &c, nil))
		require.Equal(t, want, checkpointHash(t, &c), "interrupted at %d", stopAt)
	}
}

// TestTrain: a run learns, and leaves everything it should.
func TestTrain(t *testing.T) {
	cfg := tinyConfig(t)
	cfg.Init = "" // principal components
	cfg.Valid = cfg.Data[0]
	cfg.Card = &Card{License: "CC0", Limits: "everything but gradients"}
	cfg.Checkpoint = t.TempDir()
	out := t.TempDir()
	cfg.Out = filepath.Join(out, "tiny.aem")
	w := new(watcher)
	require.NoError(t, Train(t.Context(), cfg, w))
	require.Empty(t, w.warnings)
	require.Len(t, w.steps, cfg.Steps)
	require.Len(t, w.valid, 2)
	first, last := w.steps[4], w.steps[cfg.Steps-1]
	require.Less(t, last.Loss, 0.9*first.Loss)
	require.Positive(t, last.Speed)

	h, err := readLog(filepath.Join(cfg.Checkpoint, logName))
	require.NoError(t, err)
	require.Len(t, h.steps, 10)
	require.Equal(t, w.valid, h.valid)
	for _, name := range []string{filepath.Join(cfg.Checkpoint, curvesName), filepath.Join(out, "tiny.png")} {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		require.True(t, bytes.HasPrefix(data, []byte("\x89PNG")))
	}
	card, err := os.ReadFile(filepath.Join(out, "tiny.md"))
	require.NoError(t, err)
	require.Contains(t, string(card), "50 steps of 2 crops of 64 x 64")
	require.Contains(t, string(card), "everything but gradients")
	require.FileExists(t, filepath.Join(out, "tiny.json"))

	f, err := os.Open(cfg.Out)
	require.NoError(t, err)
	defer f.Close()
	m, err := codec.LoadModel(f)
	require.NoError(t, err)
	require.Equal(t, "tiny", m.Name())
	left, err := os.ReadDir(out)
	require.NoError(t, err)
	require.Len(t, left, 4, "no temporary files")

	// The model, the checkpoint and its averages can all be started from.
	for _, path := range []string{cfg.Out, checkpointPath(cfg.Checkpoint)} {
		p, err := loadWeights(path, cfg.Arch)
		require.NoError(t, err)
		specs, err := cfg.Arch.ParamSpecs()
		require.NoError(t, err)
		require.Len(t, p, len(specs))
	}

	require.Contains(t, string(card), ".png")

	// A finished run that is resumed only writes the model again.
	cfg.Resume = true
	require.NoError(t, os.Remove(cfg.Out))
	require.NoError(t, Train(t.Context(), cfg, nil))
	require.FileExists(t, cfg.Out)
}

// TestExportOnly: weights from elsewhere become a model without any training.
func TestExportOnly(t *testing.T) {
	cfg := tinyConfig(t)
	cfg.Steps = 0
	cfg.Out = filepath.Join(t.TempDir(), "twin.aem")
	for _, checkpoint := range []string{"", t.TempDir()} {
		cfg.Checkpoint = checkpoint
		w := new(watcher)
		require.NoError(t, Train(t.Context(), cfg, w))
		require.Empty(t, w.warnings)
		require.NoFileExists(t, strings.TrimSuffix(cfg.Out, ".aem")+".png")
	}
	p, err := loadWeights(cfg.Out, cfg.Arch)
	require.NoError(t, err)
	want, err := loadWeights(cfg.Init, cfg.Arch)
	require.NoError(t, err)
	name := "synthesis.lin.weight"
	require.InDeltaSlice(t, want[name].Data, p[name].Data, 1e-3, "rounded to half precision")
}

// TestShortRun: without a validation or a whole interval of the log there are
// curves all the same.
func TestShortRun(t *testing.T) {
	cfg := tinyConfig(t)
	cfg.Steps, cfg.HardSteps = 3, 0
	cfg.Checkpoint = t.TempDir()
	cfg.Out = filepath.Join(t.TempDir(), "short.aem")
	w := new(watcher)
	require.NoError(t, Train(t.Context(), cfg, w))
	require.Empty(t, w.warnings)
	require.FileExists(t, strings.TrimSuffix(cfg.Out, ".aem")+".png")
}

// TestRoundedStepsLeaveTheEncoderAlone: what decides on the symbols learns as long as
// there is noise, the rest to the end.
func TestRoundedStepsLeaveTheEncoderAlone(t *testing.T) {
	cfg := tinyConfig(t)
	cfg.Steps, cfg.HardSteps = 4, 4
	cfg.Checkpoint = t.TempDir()
	require.NoError(t, Train(t.Context(), cfg, nil))
	rounded, _, err := readCheckpoint(checkpointPath(cfg.Checkpoint))
	require.NoError(t, err)
	cfg.HardSteps, cfg.Checkpoint = 0, t.TempDir()
	require.NoError(t, Train(t.Context(), cfg, nil))
	noisy, _, err := readCheckpoint(checkpointPath(cfg.Checkpoint))
	require.NoError(t, err)
	start, err := loadWeights(cfg.Init, cfg.Arch)
	require.NoError(t, err)
	for name, p := range start {
		if sendersOwn(name) {
			require.Equal(t, p.Data, rounded[name].Data, name)
			require.NotEqual(t, p.Data, noisy[name].Data, name)
		} else {
			require.NotEqual(t, p.Data, rounded[name].Data, name)
		}
	}
}

// TestTrainForIntegers: a run with the rounding of integers learns, keeps what it
// measured, and writes a model that has them.
func TestTrainForIntegers(t *testing.T) {
	cfg := tinyConfig(t)
	cfg.Steps, cfg.HardSteps, cfg.Cooldown, cfg.EMA = 60, 60, 60, 0.9
	cfg.IntegerSteps = 60
	cfg.Valid, cfg.ValidEvery = cfg.Data[0], 1
	cfg.Checkpoint = t.TempDir()
	cfg.Out = filepath.Join(t.TempDir(), "integers.aem")
	w := new(watcher)
	require.NoError(t, Train(t.Context(), cfg, w))
	require.Less(t, w.valid[cfg.Steps-1].Loss, w.valid[0].Loss)
	f, err := os.Open(cfg.Out)
	require.NoError(t, err)
	defer f.Close()
	m, err := codec.LoadModel(f)
	require.NoError(t, err)
	require.True(t, m.HasIntegerSynthesis())

	// The measured steps decide the result, so a checkpoint keeps them.
	all, _, err := readCheckpoint(checkpointPath(cfg.Checkpoint))
	require.NoError(t, err)
	kept := 0
	for name := range all {
		if strings.HasPrefix(name, prefixBytes) {
			kept++
		}
	}
	require.Positive(t, kept)
}

// TestResumeTranspose: a resumed run sees crops as its checkpoint says, which
// may be from before there was a choice.
func TestResumeTranspose(t *testing.T) {
	cfg := tinyConfig(t)
	cfg.Steps, cfg.HardSteps = 6, 0
	require.True(t, cfg.Transpose)
	transposed := trainedHash(t, *cfg)
	cfg.Transpose = false
	upright := trainedHash(t, *cfg)
	require.NotEqual(t, transposed, upright)

	cfg.Checkpoint = t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	require.ErrorIs(t, Train(ctx, cfg, &watcher{stopAt: 3, stop: cancel}), ErrInterrupted)
	cfg.Resume, cfg.Transpose = true, true
	w := new(watcher)
	require.NoError(t, Train(t.Context(), cfg, w))
	require.Empty(t, w.warnings)
	require.Equal(t, upright, checkpointHash(t, cfg))

	old := new(Config)
	require.NoError(t, json.Unmarshal([]byte(`{"crop":192}`), old))
	require.False(t, old.Transpose)
}

func TestNonFinite(t *testing.T) {
	cfg := tinyConfig(t)
	cfg.Checkpoint = t.TempDir()
	cfg.LR, cfg.Clip, cfg.Warmup, cfg.SaveEvery = 1e6, 1e30, 0, 1
	err := Train(t.Context(), cfg, nil)
	var e *NonFiniteError
	require.ErrorAs(t, err, &e)
	require.NotEmpty(t, e.Where)
	all, info, err := readCheckpoint(checkpointPath(cfg.Checkpoint))
	require.NoError(t, err)
	require.Equal(t, e.Step, info.Step)
	for name, p := range all {
		require.True(t, kernels.AllFinite(p.Data), name)
	}
}

func TestNonFiniteNames(t *testing.T) {
	g, s := testGraph(t, 1)
	x, at := testBatch()
	nan := float32(math.NaN())
	evaluate := func() {
		g.refresh()
		loss, err := g.evaluate(x, at, noisy, 0)
		require.NoError(t, err)
		require.False(t, finite(loss))
	}
	b := g.params["context.merge.bias"].Data
	old := b[0]
	b[0] = nan
	evaluate()
	require.Equal(t, "parameter context.merge.bias", g.firstNonFinite("loss"))
	b[0] = old
	w := g.params["hypersynthesis.mix2.weight"].Data
	for i := range w {
		w[i] = math.MaxFloat32
	}
	evaluate()
	require.Contains(t, g.firstNonFinite("loss"), "hypersynthesis.")
	s.grads.named["synthesis.stem.bias"].Data[2] = nan
	require.Equal(t, "the gradient of synthesis.stem.bias", s.firstNonFinite())
}

func TestDamagedCheckpoint(t *testing.T) {
	cfg := tinyConfig(t)
	cfg.Checkpoint = t.TempDir()
	cfg.Steps = 2
	require.NoError(t, Train(t.Context(), cfg, nil))
	path := checkpointPath(cfg.Checkpoint)
	require.ErrorContains(t, Train(t.Context(), cfg, nil), "exists")
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	cfg.Resume = true
	for name, data := range map[string][]byte{
		"empty": {}, "truncated": good[:len(good)-9], "noise": bytes.Repeat([]byte("noise"), 1000),
	} {
		require.NoError(t, os.WriteFile(path, data, 0o644))
		require.ErrorIs(t, Train(t.Context(), cfg, nil), ErrCheckpoint, name)
	}
	for at := 0; at < len(good); at += len(good)/97 + 1 {
		bad := bytes.Clone(good)
		bad[at] ^= 0x10
		require.NoError(t, os.WriteFile(path, bad, 0o644))
		require.ErrorIs(t, Train(t.Context(), cfg, nil), ErrCheckpoint, "byte %d", at)
	}
	require.NoError(t, os.WriteFile(path, good, 0o644))
	other := *cfg
	c := codec.DefaultPhotoConfig()
	c.M = 16
	other.Arch, err = c.Arch()
	require.NoError(t, err)
	require.ErrorContains(t, Train(t.Context(), &other, nil), "another architecture")
	require.NoError(t, Train(t.Context(), cfg, nil))
}

func TestResumeSaysWhatChanged(t *testing.T) {
	cfg := tinyConfig(t)
	cfg.Checkpoint = t.TempDir()
	cfg.Steps = 2
	require.NoError(t, Train(t.Context(), cfg, nil))
	cfg.Resume, cfg.Steps, cfg.LR = true, 3, 1e-4
	cfg.Data = []string{writePictures(t, 2, 64, 64)}
	w := new(watcher)
	require.NoError(t, Train(t.Context(), cfg, w))
	require.Len(t, w.warnings, 2)
	require.ErrorContains(t, w.warnings[0], "[data steps lr]")
	require.ErrorContains(t, w.warnings[1], "other pictures")
	require.Len(t, w.steps, 1)
}

func TestConfigErrors(t *testing.T) {
	for name, change := range map[string]func(c *Config){
		"no training data": func(c *Config) { c.Data = nil },
		"crop of 100":      func(c *Config) { c.Crop = 100 },
		"batch of 0":       func(c *Config) { c.Batch = 0 },
		"learning rate":    func(c *Config) { c.LR = math.NaN() },
		"beta1":            func(c *Config) { c.Beta1 = 1 },
		"clip":             func(c *Config) { c.Clip = 0 },
		"resume without":   func(c *Config) { c.Resume = true },
		"no such file":     func(c *Config) { c.Init = "missing.safetensors" },
		"output":           func(c *Config) { c.Out = "missing/folder/x.aem" },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := tinyConfig(t)
			change(cfg)
			err := Train(t.Context(), cfg, nil)
			require.ErrorContains(t, err, name)
		})
	}
}

func TestInterruptWithoutCheckpoint(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	err := Train(ctx, tinyConfig(t), &watcher{stopAt: 3, stop: cancel})
	require.ErrorIs(t, err, ErrInterrupted)
	require.ErrorContains(t, err, "step")
	require.False(t, errors.Is(err, ErrCheckpoint))
}

func TestSchedule(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Steps, cfg.Warmup, cfg.LR, cfg.LREnd = 1100, 100, 1, 0.02
	require.InDelta(t, 0.01, learningRate(cfg, 0), 1e-12)
	require.InDelta(t, 1, learningRate(cfg, 99), 1e-12)
	require.InDelta(t, 1, learningRate(cfg, 100), 1e-12)
	require.InDelta(t, 0.51, learningRate(cfg, 600), 1e-12)
	require.InDelta(t, 0.02, learningRate(cfg, 1100), 1e-12)
	for x := 0.0; x <= 1; x += 1. / 64 {
		require.InDelta(t, math.Cos(math.Pi*x), cosPi(x), 1e-15)
	}
	require.InDelta(t, math.Pow(0.99, 300), powInt(0.99, 300), 1e-14)
}
