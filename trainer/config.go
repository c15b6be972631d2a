package trainer

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"

	"github.com/aecodec/aecodec/codec"
)

// Config describes a training run. Start from [DefaultConfig]. Fields with a
// JSON name decide the weights and are kept in checkpoints and in the model's
// training record; the others don't change a bit of the result.
type Config struct {
	Name string      `json:"name"` // name of the model
	Card *Card       `json:"card,omitempty"`
	Arch *codec.Arch `json:"arch"` // nil: codec.PhotoArch()

	Data []string `json:"data"`           // folders or files: PNG, JPEG, WebP
	Init string   `json:"init,omitempty"` // weights to start from: .safetensors (also a checkpoint) or .aem; empty: principal components

	// Distortion is what the rate is weighed against: DistortionMSE, or
	// DistortionSSIM, MS-SSIM and a little MSE, for crops of 192 and more.
	Distortion string `json:"distortion,omitempty"`

	Seed  uint64 `json:"seed"`
	Steps int    `json:"steps"` // optimiser steps in all
	Batch int    `json:"batch"` // crops a step
	Crop  int    `json:"crop"`  // side of a crop in pixels, a multiple of 64

	// Transpose also shows half of the crops with rows and columns exchanged,
	// as half of them are mirrored anyway. A run that is resumed goes on as its
	// checkpoint says; those from before this setting say no.
	Transpose bool `json:"transpose"`

	Optimizer string  `json:"optimizer,omitempty"` // OptimizerAdamW, or OptimizerMuon: Muon for matrices, AdamW for the rest
	Momentum  float64 `json:"momentum,omitempty"`  // of Muon
	LR        float64 `json:"lr"`                  // peak learning rate
	MuonRate  float64 `json:"muon_rate,omitempty"` // learning rate of Muon, in units of LR
	LREnd     float64 `json:"lr_end"`              // rate of the last step, as a share of LR
	Cooldown  int     `json:"cooldown,omitempty"`  // steps at the end over which the rate falls; 0: a cosine over all steps
	Warmup    int     `json:"warmup"`              // steps of linear warm-up
	Beta1     float64 `json:"beta1"`               // AdamW
	Beta2     float64 `json:"beta2"`               // AdamW
	Eps       float64 `json:"eps"`                 // AdamW
	Decay     float64 `json:"decay"`               // AdamW weight decay, of convolution weights only
	Clip      float64 `json:"clip"`                // bound of the gradient's global norm
	EMA       float64 `json:"ema"`                 // share of the old weights average kept each step
	HardSteps int     `json:"hard_steps"`          // last steps, in which the rate is that of rounded latents instead of noisy ones

	// IntegerSteps is how many of the last steps train for a synthesis that is
	// computed in integers, which the model then has, as from QuantiseSynthesis.
	// 0 leaves it in floats.
	IntegerSteps int `json:"integer_steps,omitempty"`

	Patches    int `json:"patches"`     // 16x16 patches for the principal components
	PriorCrops int `json:"prior_crops"` // crops to count hyper-latent symbols in, for the entropy tables of the model

	Valid      string `json:"-"` // folder of held-out pictures; empty: no validation
	ValidMax   int    `json:"-"` // pictures of it to use, evenly spread
	ValidEvery int    `json:"-"` // steps between validations

	Out        string `json:"-"` // model file to write (.aem); a card (.md) and a record (.json) are put beside it
	Checkpoint string `json:"-"` // folder of checkpoint, log and curves; empty: no resume, no log
	SaveEvery  int    `json:"-"` // steps between checkpoints
	LogEvery   int    `json:"-"` // steps between log entries
	Resume     bool   `json:"-"` // continue from the checkpoint if there is one

	Threads    int   `json:"-"` // 0: as many as Go uses
	CacheBytes int64 `json:"-"` // limit for decoded pictures kept in memory
}

// Distortions, see Config.Distortion.
const (
	DistortionMSE  = codec.DistortionMSE
	DistortionSSIM = codec.DistortionSSIM
)

// Optimisers, see Config.Optimizer.
const (
	OptimizerAdamW = "adamw"
	OptimizerMuon  = "muon"
)

// Card is what people should know of a model and no program can tell. It goes
// into the model's card and record and has no influence on the weights.
type Card struct {
	Description string   `json:"description,omitempty"`
	License     string   `json:"license,omitempty"`
	Data        []string `json:"data,omitempty"`    // training sets with their licences and credits; default: the names of the folders
	Command     string   `json:"command,omitempty"` // what trained it
	Limits      string   `json:"limits,omitempty"`  // what it is not good at
}

// DefaultConfig returns the recipe of the embedded photo model for a run of
// some hours on a few cores. Data and Out are left to the caller.
func DefaultConfig() *Config {
	return &Config{
		Name: "photo", Distortion: DistortionMSE,
		Seed: 1, Steps: 20000, Batch: 8, Crop: 192, Transpose: true,
		LR: 8e-4, LREnd: 0.02, Warmup: 300, Optimizer: OptimizerMuon, Momentum: 0.95, MuonRate: 2, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, Clip: 1, EMA: 0.999, HardSteps: 2000,
		Patches: 32768, PriorCrops: 256,
		ValidMax: 16, ValidEvery: 1000, SaveEvery: 500, LogEvery: 20,
		CacheBytes: 4 << 30,
	}
}

// maxCrops bounds the crops of a run, whose numbers are ints.
const maxCrops = min(1<<40, math.MaxInt/2)

// check fills in what may be left out and reports the first unusable value.
func (c *Config) check() error {
	if c.Arch == nil {
		c.Arch = codec.PhotoArch()
	}
	if c.Card == nil {
		c.Card = new(Card)
	}
	if c.Threads <= 0 {
		c.Threads = runtime.GOMAXPROCS(0)
	}
	positive := func(v float64) bool { return v > 0 && !math.IsInf(v, 0) }
	share := func(v float64) bool { return v >= 0 && v < 1 }
	const side = codec.LatentStride * codec.HyperStride
	switch {
	case len(c.Data) == 0:
		return errors.New("trainer: config: no training data given")
	case !c.Arch.HasEncoder():
		return errors.New("trainer: config: the architecture has no encoder")
	case c.Arch.Anchors < 2:
		return errors.New("trainer: config: the architecture has fewer than two anchor rates")
	case c.Steps < 0 || c.Steps > maxCrops/max(c.Batch, 1):
		return fmt.Errorf("trainer: config: %d steps", c.Steps)
	case c.Batch < 1 || c.Batch > 1<<16:
		return fmt.Errorf("trainer: config: batch of %d", c.Batch)
	case c.Crop < side || c.Crop%side != 0 || c.Crop > 1<<13:
		return fmt.Errorf("trainer: config: crop of %d pixels, want a multiple of %d", c.Crop, side)
	case !positive(c.LR) || c.LREnd < 0 || c.LREnd > 1:
		return fmt.Errorf("trainer: config: learning rate %g, last rate %g of it", c.LR, c.LREnd)
	case c.Warmup < 0 || c.HardSteps < 0 || c.IntegerSteps < 0 || c.Cooldown < 0:
		return fmt.Errorf("trainer: config: %d warm-up steps, %d hard steps, %d for integers, %d steps of cool-down", c.Warmup, c.HardSteps, c.IntegerSteps, c.Cooldown)
	case !(share(c.Beta1) && share(c.Beta2) && share(c.EMA) && positive(c.Eps) && c.Decay >= 0):
		return fmt.Errorf("trainer: config: beta1 %g, beta2 %g, eps %g, decay %g, ema %g", c.Beta1, c.Beta2, c.Eps, c.Decay, c.EMA)
	case c.Distortion != DistortionMSE && c.Distortion != DistortionSSIM:
		return fmt.Errorf("trainer: config: distortion %q, want %s or %s", c.Distortion, DistortionMSE, DistortionSSIM)
	case c.Distortion == DistortionSSIM && c.Crop < minStructureSide:
		return fmt.Errorf("trainer: config: crop of %d pixels, MS-SSIM needs at least %d", c.Crop, minStructureSide)
	case c.Optimizer != OptimizerAdamW && c.Optimizer != OptimizerMuon:
		return fmt.Errorf("trainer: config: optimizer %q, want %s or %s", c.Optimizer, OptimizerAdamW, OptimizerMuon)
	case !share(c.Momentum) || c.MuonRate < 0:
		return fmt.Errorf("trainer: config: momentum %g, muon rate %g", c.Momentum, c.MuonRate)
	case !positive(c.Clip):
		return fmt.Errorf("trainer: config: gradient clip at %g", c.Clip)
	case c.Resume && c.Checkpoint == "":
		return errors.New("trainer: config: resume without a checkpoint folder")
	case c.Patches < 1 || c.PriorCrops < 0:
		return fmt.Errorf("trainer: config: %d patches, %d crops for priors", c.Patches, c.PriorCrops)
	}
	return nil
}

// portable returns c with files reduced to their names: where they lie is
// nobody else's business and does not matter to the result.
func (c *Config) portable() *Config {
	out := *c
	out.Data = make([]string, len(c.Data))
	for i, path := range c.Data {
		out.Data[i] = filepath.Base(path)
	}
	if c.Init != "" {
		out.Init = filepath.Base(c.Init)
	}
	return &out
}

// differences names the deciding fields in which two configurations differ,
// once some steps are done.
func (c *Config) differences(o *Config, done int) []string {
	var names []string
	// What only decides the end does not matter before it.
	open := c.steady(done) && o.steady(done)
	a, b := reflect.ValueOf(c).Elem(), reflect.ValueOf(o).Elem()
	for i := range a.NumField() {
		tag, _, _ := strings.Cut(a.Type().Field(i).Tag.Get("json"), ",")
		if tag == "-" || tag == "card" || open && (tag == "steps" || tag == "hard_steps" || tag == "integer_steps" || tag == "cooldown") {
			continue
		}
		x, _ := json.Marshal(a.Field(i).Interface())
		y, _ := json.Marshal(b.Field(i).Interface())
		if string(x) != string(y) {
			names = append(names, tag)
		}
	}
	return names
}

// ErrInterrupted is returned, wrapped, by [Train] when its context ends. The
// state is in the checkpoint; a run with Resume set goes on from there.
var ErrInterrupted = errors.New("trainer: interrupted")

// NonFiniteError says that a loss or gradient became infinite or no number.
// The checkpoint on disk, if any, is from before.
type NonFiniteError struct {
	Step  int    // the step that was not applied
	Where string // the first value or gradient that is not finite
}

func (e *NonFiniteError) Error() string {
	return fmt.Sprintf("trainer: step %d: %s is not finite: a lower learning rate or a stronger clip may help; resume goes back to the last checkpoint", e.Step, e.Where)
}

// Progress is told how a run goes. Methods are called from one goroutine.
type Progress interface {
	// Stage begins a part of the run, such as "training"; steps is how many
	// calls of Step it will make, 0 if it makes none.
	Stage(name string, steps int)
	// Step follows every training step.
	Step(s StepStats)
	// Valid follows every validation.
	Valid(v ValidStats)
	// Warn reports what does not stop the run: a broken picture, say.
	Warn(err error)
}

// StepStats describes the training since the last log entry.
type StepStats struct {
	Step    int     `json:"step"` // steps done
	Loss    float64 `json:"loss"`
	BPP     float64 `json:"bpp"`   // bits per pixel in all
	BPPZ    float64 `json:"bpp_z"` // bits per pixel of the hyper-latent
	PSNR    float64 `json:"psnr"`  // dB, mean of the crops
	LR      float64 `json:"lr"`
	Norm    float64 `json:"grad_norm"`         // before clipping
	Speed   float64 `json:"pixels_per_second"` // by the clock on the wall, without validation and checkpoints
	Seconds float64 `json:"seconds"`           // training time so far, earlier sessions included
}

// ValidStats is the quality of the averaged weights on held-out pictures.
type ValidStats struct {
	Step   int          `json:"step"`
	Loss   float64      `json:"loss"` // mean over the points
	Points []ValidPoint `json:"valid"`
}

// ValidPoint is one rate: means over the pictures of bits per pixel, by
// cross-entropy of the rounded latents, and RGB PSNR of 8-bit pixels.
type ValidPoint struct {
	Quality float64 `json:"quality"`
	BPP     float64 `json:"bpp"`
	PSNR    float64 `json:"psnr"`
	SSIM    float64 `json:"ms_ssim,omitempty"` // MS-SSIM, if it is trained for
}
