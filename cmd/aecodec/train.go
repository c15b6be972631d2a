package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aecodec/aecodec/cmd/aecodec/internal/cli"
	"github.com/aecodec/aecodec/trainer"
)

func (a *app) trainCommand() *cli.Command {
	cfg := trainer.DefaultConfig()
	var config string
	var force bool
	var recipe recipeFlags
	cmd := &cli.Command{
		Use:   "train --data FOLDER -o MODEL.aem",
		Short: "Train a codec on folders of pictures",
		Long: `Train a codec on folders of pictures and write it as a model file, with a card and a record beside it.

The same pictures, settings and seed give the same weights on every processor and with any number of threads. With
--checkpoint a run saves its state every now and then and on Ctrl-C; the same command with --resume goes on from there, to
the same weights as if it had never stopped. The folder also gets a log (JSON lines) and a plot of the curves.

With --recipe it trains on records of one shape instead: digits, windows of a signal, tiles. Each recipe is one use of an
autoencoder; trainer/recipes/README.md describes them.`,
		Example: `  aecodec train --data photos/ --valid held-out/ --checkpoint run/ -o mine.aem
  aecodec train --data photos/ --valid held-out/ --checkpoint run/ -o mine.aem --resume
  aecodec encode --model mine.aem picture.png
  aecodec train --recipe vae --data train-images-idx3-ubyte.gz --test t10k-images-idx3-ubyte.gz -o digits.aem`,
		Args: atMost(0),
		Run: func(cmd *cli.Command, _ []string) error {
			if config != "" {
				if err := readConfig(config, cfg, cmd.Flags()); err != nil {
					return err
				}
			}
			switch {
			case len(cfg.Data) == 0:
				return usagef("--data: name at least one folder of pictures")
			case cfg.Out == "":
				return usagef("-o: name the model file to write")
			case !hasExtension(cfg.Out, []string{modelExtension}):
				return usagef("-o %s: the name of a model ends in %s", cfg.Out, modelExtension)
			case cfg.Resume && cfg.Checkpoint == "":
				return usagef("--resume: name the folder with --checkpoint")
			}
			if !force && !cfg.Resume {
				if err := checkNew(cfg.Out); err != nil {
					return err
				}
			}
			if recipe.name != "" {
				return a.trainRecipe(cmd, &recipe, cfg, force)
			}
			if err := checkRecipeFlags(cmd.Flags()); err != nil {
				return err
			}
			if cfg.Card == nil {
				cfg.Card = &trainer.Card{}
			}
			cfg.Card.Command = portableCommand(cmd)
			cfg.Threads = a.threads
			progress := &trainProgress{app: a}
			err := trainer.Train(a.ctx, cfg, progress)
			progress.end()
			if errors.Is(err, trainer.ErrInterrupted) {
				if cfg.Checkpoint != "" {
					fmt.Fprintf(a.stderr, "aecodec: the state is in %s: --resume goes on from there\n", cfg.Checkpoint)
				}
				return errInterrupted
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&cfg.Data, "data", cfg.Data, "folder of training pictures (can be given several times)")
	f.StringVarP(&cfg.Out, "output", "o", "", "model file to write, *"+modelExtension)
	f.StringVar(&cfg.Valid, "valid", "", "folder of held-out pictures for validation")
	f.StringVar(&cfg.Checkpoint, "checkpoint", "", "folder for the checkpoint, the log and the curves")
	f.BoolVar(&cfg.Resume, "resume", false, "go on from the checkpoint if there is one")
	f.StringVar(&cfg.Init, "init", "", "weights to start from: a model or a checkpoint; default: principal components")
	f.BoolVar(&force, "force", false, "replace an existing model")
	f.StringVar(&config, "config", "", "JSON file of settings, or the record beside another model; flags take precedence")
	f.StringVar(&cfg.Name, "name", cfg.Name, "name of the model")
	f.Uint64Var(&cfg.Seed, "seed", cfg.Seed, "seed of all random numbers")
	f.IntVar(&cfg.Steps, "steps", cfg.Steps, "optimiser steps in all")
	f.IntVar(&cfg.HardSteps, "hard-steps", cfg.HardSteps, "how many of them, at the end, train on rounded latents")
	f.IntVar(&cfg.IntegerSteps, "integer-steps", cfg.IntegerSteps, "how many of them, at the end, train for a synthesis in integers; the model then has one")
	f.IntVar(&cfg.Batch, "batch", cfg.Batch, "crops in a step")
	f.IntVar(&cfg.Crop, "crop", cfg.Crop, "side of a crop in pixels, a multiple of 64")
	f.IntVar(&cfg.Cooldown, "cooldown", cfg.Cooldown, "steps at the end over which the rate falls; before, it is constant and the run can be prolonged; 0: cosine")
	f.StringVar(&cfg.Distortion, "distortion", cfg.Distortion, "what to trade the rate for: mse, or ms-ssim (and a little mse)")
	f.StringVar(&cfg.Optimizer, "optimizer", cfg.Optimizer, "muon (matrices by Muon, the rest by AdamW) or adamw")
	f.Float64Var(&cfg.MuonRate, "muon-rate", cfg.MuonRate, "learning rate of Muon, in units of --lr")
	f.Float64Var(&cfg.Momentum, "momentum", cfg.Momentum, "momentum of Muon")
	f.Float64Var(&cfg.LR, "lr", cfg.LR, "peak learning rate")
	f.IntVar(&cfg.Warmup, "warmup", cfg.Warmup, "steps of linear warm-up")
	f.Float64Var(&cfg.Clip, "clip", cfg.Clip, "bound of the gradient's norm")
	f.Float64Var(&cfg.EMA, "ema", cfg.EMA, "share of the weights' running average that a step keeps")
	f.IntVar(&cfg.ValidEvery, "valid-every", cfg.ValidEvery, "steps between validations")
	f.IntVar(&cfg.SaveEvery, "save-every", cfg.SaveEvery, "steps between checkpoints")
	f.IntVar(&cfg.LogEvery, "log-every", cfg.LogEvery, "steps between log entries")
	recipe.add(f)
	return cmd
}

const modelExtension = ".aem"

// readConfig lays the settings of a JSON file over the defaults and the flags that were given over both.
func readConfig(name string, cfg *trainer.Config, flags *cli.FlagSet) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return usagef("--config %s: %w", name, cause(err))
	}
	// Settings that come from flags are written back from their text; a slice is appended to after the first time.
	given := map[string][]string{}
	flags.Visit(func(f *cli.Flag) {
		if s, ok := f.Value.(cli.SliceValue); ok {
			given[f.Name] = s.GetSlice()
		} else {
			given[f.Name] = []string{f.Value.String()}
		}
	})
	var record struct{ Config json.RawMessage }
	if err := json.Unmarshal(data, &record); err == nil && record.Config != nil {
		data = record.Config
		cfg.Transpose, cfg.Optimizer = false, trainer.OptimizerAdamW // what records say that don't mention them
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(cfg); err != nil {
		return usagef("--config %s: %w", name, err)
	}
	for name, values := range given {
		v := flags.Lookup(name).Value
		if s, ok := v.(cli.SliceValue); ok {
			err = s.Replace(values)
		} else {
			err = v.Set(values[0])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkNew refuses to start where another run has left its model, which may have taken days.
func checkNew(out string) error {
	base := strings.TrimSuffix(out, filepath.Ext(out))
	for _, extension := range []string{modelExtension, ".json", ".md", ".png"} {
		if name := base + extension; exists(name) {
			return usagef("%s exists already: --force replaces it", name)
		}
	}
	return nil
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// portableCommand is the command line for a model's card: what decides the result, and no folders of this machine.
func portableCommand(cmd *cli.Command) string {
	words := []string{cmd.CommandPath()}
	cmd.Flags().Visit(func(f *cli.Flag) {
		value := f.Value.String()
		switch f.Name {
		case "checkpoint", "resume", "force", "threads", "quiet", "json":
			return
		case "data":
			names := f.Value.(cli.SliceValue).GetSlice()
			for i := range names {
				names[i] = filepath.Base(names[i])
			}
			value = strings.Join(names, ",")
		case "output", "valid", "init", "config", "labels", "test", "test-labels":
			value = filepath.Base(value)
		}
		words = append(words, "--"+f.Name, value)
	})
	return strings.Join(words, " ")
}

// trainProgress shows a run: as a bar on a terminal, otherwise as a line every now and then, or as JSON lines.
type trainProgress struct {
	*app
	bar  *bar
	last time.Time // of the last line
}

// lineEvery is the time between two lines of progress where there is no bar.
const lineEvery = 30 * time.Second

func (p *trainProgress) Stage(name string, steps int) {
	p.end()
	p.bar = p.newBar(steps, name)
	if !p.bar.shown() && !p.quiet {
		fmt.Fprintf(p.stderr, "%s\n", name)
	}
}

func (p *trainProgress) Step(s trainer.StepStats) {
	p.bar.describe(fmt.Sprintf("loss %.4f, %.3f bpp, %.2f dB, %.2f Mpixel/s", s.Loss, s.BPP, s.PSNR, s.Speed/1e6))
	p.bar.step()
	if p.quiet || p.bar.shown() && !p.json || time.Since(p.last) < lineEvery {
		return
	}
	p.last = time.Now()
	p.line(s, "step %d: loss %.4f, %.3f bpp, %.2f dB, %.2f Mpixel/s", s.Step, s.Loss, s.BPP, s.PSNR, s.Speed/1e6)
}

func (p *trainProgress) Valid(v trainer.ValidStats) {
	var points []string
	for _, q := range v.Points {
		points = append(points, fmt.Sprintf("q %g %.3f bpp %.2f dB", q.Quality, q.BPP, q.PSNR))
	}
	p.line(v, "step %d: held-out loss %.4f; %s", v.Step, v.Loss, strings.Join(points, "; "))
}

// line prints a report: as text, or as the JSON of value.
func (p *trainProgress) line(value any, format string, args ...any) {
	p.bar.above(func() {
		switch {
		case p.json:
			writeJSON(p.stdout, value)
		case !p.quiet:
			fmt.Fprintf(p.stdout, format+"\n", args...)
		}
	})
}

func (p *trainProgress) Warn(err error) {
	p.bar.above(func() { fmt.Fprintf(p.stderr, "aecodec: %v\n", err) })
}

func (p *trainProgress) end() {
	if p.bar != nil {
		p.bar.close()
	}
	p.bar = &bar{}
}
