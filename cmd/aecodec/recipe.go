package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/aecodec/aecodec/cmd/aecodec/internal/cli"
	"github.com/aecodec/aecodec/codec/record"
	"github.com/aecodec/aecodec/trainer"
	"github.com/aecodec/aecodec/trainer/fit"
	"github.com/aecodec/aecodec/trainer/recipes"
)

// recipeFlags are the flags of train that belong to recipes for records.
type recipeFlags struct {
	recordFlags
	name             string
	test, testLabels string
	settings         recipes.Settings
}

func (r *recipeFlags) add(f *cli.FlagSet) {
	var names []string
	for _, p := range recipes.All() {
		names = append(names, p.Name)
	}
	f.StringVar(&r.name, "recipe", "", "train on records instead of pictures: "+strings.Join(names, ", "))
	r.recordFlags.add(f)
	f.StringVar(&r.test, "test", "", "recipe: records to measure on, never trained on")
	f.StringVar(&r.testLabels, "test-labels", "", "recipe: IDX file of their labels")
	f.IntVar(&r.settings.Epochs, "epochs", 0, "recipe: passes over the records")
	f.IntVar(&r.settings.Latents, "latents", 0, "recipe: numbers that describe a record")
	f.StringVar(&r.settings.Network, "network", "", "recipe: which of its networks")
	f.Float64Var(&r.settings.Noise, "noise", 0, "recipe: deviation of the noise added to bytes, as a share of 255")
	f.Float64Var(&r.settings.SNR, "snr", 0, "recipe: signal-to-noise ratio of noise added to other values, in dB")
	f.Float64Var(&r.settings.Quant, "quantile", 0, "recipe: share of the normal records below the threshold")
	f.IntVar(&r.settings.Labels, "label-count", 0, "recipe: how many labels are used")
	f.IntVar(&r.settings.Seeds, "seeds", 0, "recipe: repetitions that figures are means of")
}

// photoFlags are those that only training on pictures knows.
var photoFlags = []string{"valid", "init", "config", "steps", "hard-steps", "integer-steps", "crop", "cooldown", "distortion", "optimizer", "muon-rate", "momentum", "warmup", "clip", "ema", "valid-every", "save-every", "log-every"}

// recipeOnly are those that only recipes know, and do not belong to reading.
var recipeOnly = []string{"labels", "test", "test-labels", "epochs", "latents", "network", "noise", "snr", "quantile", "label-count", "seeds"}

// merge puts the given flags over the recipe's defaults.
func (r *recipeFlags) merge(flags *cli.FlagSet, cfg *trainer.Config, p *recipes.Recipe) (recipes.Settings, error) {
	s := p.Defaults
	for _, name := range photoFlags {
		if flags.Changed(name) {
			return s, usagef("--%s: is not for recipes", name)
		}
	}
	given := func(name string, used bool, set func()) error {
		switch {
		case !flags.Changed(name):
		case !used:
			return usagef("--%s: recipe %s does not use it", name, p.Name)
		default:
			set()
		}
		return nil
	}
	return s, errors.Join(
		given("epochs", true, func() { s.Epochs = r.settings.Epochs }),
		given("batch", true, func() { s.Batch = cfg.Batch }),
		given("lr", true, func() { s.LR = cfg.LR }),
		given("latents", s.Latents > 0, func() { s.Latents = r.settings.Latents }),
		given("network", s.Network != "", func() { s.Network = r.settings.Network }),
		given("noise", s.Noise > 0, func() { s.Noise = r.settings.Noise }),
		given("snr", s.SNR > 0, func() { s.SNR = r.settings.SNR }),
		given("quantile", s.Quant > 0, func() { s.Quant = r.settings.Quant }),
		given("label-count", s.Labels > 0, func() { s.Labels = r.settings.Labels }),
		given("seeds", s.Seeds > 0, func() { s.Seeds = r.settings.Seeds }),
	)
}

// trainRecipe trains on records.
func (a *app) trainRecipe(cmd *cli.Command, r *recipeFlags, cfg *trainer.Config, force bool) error {
	p, err := recipes.Find(r.name)
	if err != nil {
		return usagef("--recipe %s: %w", r.name, err)
	}
	settings, err := r.merge(cmd.Flags(), cfg, p)
	if err != nil {
		return &cli.UsageError{Err: err}
	}
	if len(cfg.Data) != 1 {
		return usagef("--data: a recipe takes one file or folder of records")
	}
	train, err := r.read(cfg.Data[0], r.labels)
	if err != nil {
		return err
	}
	var test *record.Set
	if r.test != "" {
		if test, err = r.read(r.test, r.testLabels); err != nil {
			return err
		}
	}
	progress := &recipeProgress{app: a, bar: &bar{}}
	job := &recipes.Job{
		Session: &fit.Session{
			Context: a.ctx, Seed: cfg.Seed, Threads: a.threads,
			Checkpoint: cfg.Checkpoint, Resume: cfg.Resume, Progress: progress.epoch,
		},
		Settings: settings, Train: train, Test: test,
	}
	started := time.Now()
	result, err := p.Run(job)
	progress.bar.close()
	if errors.Is(err, fit.ErrInterrupted) || errors.Is(err, context.Canceled) {
		if cfg.Checkpoint != "" {
			fmt.Fprintf(a.stderr, "aecodec: the state is in %s: --resume goes on from there\n", cfg.Checkpoint)
		}
		return errInterrupted
	}
	if err != nil {
		return err
	}
	card := record.Card{
		Name: cfg.Name, Description: p.Summary, Command: portableCommand(cmd), Seconds: time.Since(started).Seconds(),
		Created: time.Now().UTC().Format(time.RFC3339), Results: map[string]any{},
	}
	if !cmd.Flags().Changed("name") {
		card.Name = p.Name
	}
	for _, f := range result.Figures {
		card.Results[f.Name] = f.Value
	}
	for _, m := range result.Models {
		built, err := m.Build(p.Name, card, a.threads)
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(cfg.Out, modelExtension) + m.Suffix + modelExtension
		if _, err := a.writeOutput(name, force || cfg.Resume, func(w io.Writer) error { return built.Save(w, false) }); err != nil {
			return err
		}
	}
	if len(result.Models) == 0 {
		fmt.Fprintf(a.stderr, "aecodec: recipe %s compares, it makes no model\n", p.Name)
	}
	return a.showFigures(result.Figures)
}

func (a *app) showFigures(figures []recipes.Figure) error {
	if a.json {
		return writeJSON(a.stdout, figures)
	}
	width := 0
	for _, f := range figures {
		width = max(width, len(f.Name))
	}
	for _, f := range figures {
		line := fmt.Sprintf("%-*s  %.5g %s", width, f.Name, f.Value, f.Unit)
		if _, err := fmt.Fprintln(a.stdout, strings.TrimRight(line, " ")); err != nil {
			return err
		}
	}
	return nil
}

// checkRecipeFlags refuses flags of recipes where there is none.
func checkRecipeFlags(flags *cli.FlagSet) error {
	i := slices.IndexFunc(recipeOnly, flags.Changed)
	if i >= 0 {
		return usagef("--%s: is for recipes: name one with --recipe", recipeOnly[i])
	}
	return nil
}

// recipeProgress shows the epochs of a recipe: as a bar for each stage, or as a
// line every now and then, or as JSON lines on standard error.
type recipeProgress struct {
	*app
	bar   *bar
	stage string
	last  time.Time
}

// runProgress shows the epochs of benchmarks that train for several runs, by name; done takes the bar away.
func (a *app) runProgress() (show func(run string, p fit.Progress), done func()) {
	progress := &recipeProgress{app: a, bar: &bar{}}
	return func(run string, p fit.Progress) {
		p.Stage = run + ": " + p.Stage
		progress.epoch(p)
	}, func() { progress.bar.close() }
}

func (p *recipeProgress) epoch(e fit.Progress) {
	if e.Stage != p.stage {
		p.bar.close()
		p.stage, p.bar = e.Stage, p.newBar(e.Epochs, e.Stage)
		for range e.Epoch - 1 {
			p.bar.step()
		}
	}
	p.bar.describe(fmt.Sprintf("%s: loss %.5f", e.Stage, e.Loss))
	p.bar.step()
	if p.quiet || p.bar.shown() || time.Since(p.last) < lineEvery && e.Epoch < e.Epochs {
		return
	}
	p.last = time.Now()
	fmt.Fprintf(p.stderr, "%s: epoch %d of %d: loss %.5f, %.2f s\n", e.Stage, e.Epoch, e.Epochs, e.Loss, e.Seconds)
}
