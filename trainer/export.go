package trainer

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/kernels"
)

// priorSide is the least side of the crops in which hyper-latent symbols are
// counted: near the edges of a crop they have another distribution than in a
// picture, so crops should not be small.
const priorSide = 512

// countPriors counts the hyper-latent symbols of training crops around each
// anchor rate. The codec uses the tables of the nearest anchor, so rates up to
// half way to the next one count.
func countPriors(cfg *Config, g *graph, set *pictures, warn func(error)) (*codec.Priors, error) {
	g.refresh()
	priors := codec.NewPriors(cfg.Arch)
	side := max(cfg.Crop, priorSide)
	s := newSampler(set, cfg.Seed, 1, side, cfg.Arch.Anchors, 1, warn)
	b := &batch{x: nn.NewTensor(1, side, side, 3), t: make([]float64, 1)}
	var z []int32
	for step := range cfg.PriorCrops {
		// Past the training steps: crops that training has not seen.
		if s.fill(b, cfg.Steps*cfg.Batch+step); b.err != nil {
			return nil, b.err
		}
		err := g.hyperSymbols(b.x, func(anchor int, zs *nn.Tensor) {
			z = grow(z, len(zs.Data))
			for i, v := range zs.Data {
				z[i] = int32(math.RoundToEven(float64(min(max(v, -codec.HyperLimit), codec.HyperLimit))))
			}
			priors.AddHyper(anchor, z, zs.W)
		})
		if err != nil {
			return nil, err
		}
	}
	return priors, nil
}

// countScales counts the latent symbols of training crops at random rates, as
// the model codes them.
func countScales(cfg *Config, m *codec.Model, set *pictures, priors *codec.Priors, warn func(error)) error {
	clear(priors.Scale)
	side := max(cfg.Crop, priorSide)
	s := newSampler(set, cfg.Seed, 1, side, cfg.Arch.Anchors, 1, warn)
	b := &batch{x: nn.NewTensor(1, side, side, 3), t: make([]float64, 1)}
	img := image.NewNRGBA(image.Rect(0, 0, side, side))
	for step := range cfg.PriorCrops {
		if s.fill(b, cfg.Steps*cfg.Batch+step); b.err != nil {
			return b.err
		}
		for i := range side * side {
			p := img.Pix[4*i:][:4]
			for c, v := range b.x.Data[3*i:][:3] {
				p[c] = byte(toByte(v))
			}
			p[3] = 0xff
		}
		l, err := m.Analyze(img, cfg.Arch.QualityAt(b.t[0]))
		if err != nil {
			return err
		}
		for _, t := range l.Tiles {
			priors.AddLatent(t)
		}
	}
	return nil
}

// model makes the model of the averaged weights, with probability tables of
// counted symbols. Which latent symbols are coded depends on the tables, so
// they are counted twice.
func (r *run) model(g *graph, rec *codec.Record) (*codec.Model, error) {
	cfg := r.cfg
	priors, err := countPriors(cfg, g, r.set, r.warn)
	if err != nil {
		return nil, err
	}
	build := func() (*codec.Model, error) {
		m, err := codec.NewModel(cfg.Arch, r.state.ema.named, priors, rec)
		if err != nil {
			return nil, fmt.Errorf("trainer: export: %w", err)
		}
		return m, nil
	}
	m, err := build()
	for range scaleRounds {
		if err != nil {
			return nil, err
		}
		if err := countScales(cfg, m, r.set, priors, r.warn); err != nil {
			return nil, fmt.Errorf("trainer: export: counting symbols: %w", err)
		}
		m, err = build()
	}
	return m, err
}

const scaleRounds = 2

// hyperSymbols runs the encoder up to the hyper-latent, at three rates around
// every anchor, and hands out the scaled hyper-latents.
func (g *graph) hyperSymbols(x *nn.Tensor, use func(anchor int, zs *nn.Tensor)) error {
	g.resize(x.N, x.H, x.W)
	g.mode, g.x = hard, x
	out, err := g.forward(netAnalysis, x)
	if err != nil {
		return err
	}
	g.y = out[0]
	t := make([]float64, x.N)
	for i := range 3 * g.arch.Anchors {
		at := float64(i-1) / 3
		if at < 0 || at > float64(g.arch.Anchors-1) {
			continue
		}
		for j := range t {
			t[j] = at
		}
		g.prepare(t)
		kernels.For(g.threads, g.n*g.blocks, 1, g.passScaleY)
		if out, err = g.forward(netHyperAnalysis, g.y, g.ys); err != nil {
			return err
		}
		g.z = out[0]
		kernels.For(g.threads, g.n, 1, g.passZ)
		use(i/3, g.zs)
	}
	return nil
}

// record is the training record beside a model file.
type record struct {
	Config      *Config     `json:"config"`
	Steps       int         `json:"steps"`
	Seconds     float64     `json:"seconds"`
	Pictures    int         `json:"pictures"`
	Kernels     string      `json:"kernels"`
	Threads     int         `json:"threads"`
	Fingerprint string      `json:"fingerprint"`
	EncodeMACs  float64     `json:"encode_macs_per_pixel"`
	DecodeMACs  float64     `json:"decode_macs_per_pixel"`
	Valid       *ValidStats `json:"valid,omitempty"`
}

// export writes the averaged weights as a model file, with a card and a
// training record beside it.
func (r *run) export() error {
	cfg := r.cfg
	g, err := r.averages()
	if err != nil {
		return err
	}
	var valid *ValidStats
	if r.valid != nil {
		stats, err := r.valid.run(r.state.step)
		if err != nil {
			return err
		}
		valid = &stats
	}
	cfg = cfg.portable()
	rec := &codec.Record{
		Name: cfg.Name, Description: cfg.Card.Description, License: cfg.Card.License,
		Data: cfg.Card.Data, Command: cfg.Card.Command,
		Steps: r.state.step, Seconds: math.Round(r.seconds()), Distortion: cfg.Distortion,
		Created: time.Now().UTC().Format(time.RFC3339),
		Notes:   map[string]string{"recipe": recipe(cfg)},
	}
	if rec.Data == nil {
		rec.Data = cfg.Data
	}
	if cfg.Card.Limits != "" {
		rec.Notes["limits"] = cfg.Card.Limits
	}
	if valid != nil {
		rec.Results = map[string]any{"valid": valid.Points}
	}
	m, err := r.model(g, rec)
	if err != nil {
		return err
	}
	if cfg.IntegerSteps > 0 {
		if m, err = quantiseSynthesis(m, r.set, &QuantiseOptions{Threads: cfg.Threads}, r.state.byteSteps, r.warn); err != nil {
			return err
		}
	}
	print := m.Fingerprint()
	full := record{
		Config: cfg, Steps: r.state.step, Seconds: r.seconds(), Pictures: len(r.set.list),
		Kernels: kernels.Active(), Threads: cfg.Threads, Fingerprint: hex.EncodeToString(print[:]), Valid: valid,
	}
	if full.EncodeMACs, full.DecodeMACs, err = cfg.Arch.MACs(); err != nil {
		return err
	}
	text, err := json.MarshalIndent(&full, "", "  ")
	if err != nil {
		return fmt.Errorf("trainer: export: %w", err)
	}
	base := strings.TrimSuffix(cfg.Out, filepath.Ext(cfg.Out))
	type file struct {
		path  string
		write func(io.Writer) error
	}
	curves := r.curves()
	files := []file{
		{cfg.Out, func(w io.Writer) error { return m.Save(w, false) }},
		{base + ".json", func(w io.Writer) error { _, err := w.Write(append(text, '\n')); return err }},
		{base + ".md", func(w io.Writer) error { return writeCard(w, &full, rec, curves != nil) }},
	}
	if curves != nil {
		files = append(files, file{base + ".png", func(w io.Writer) error { _, err := w.Write(curves); return err }})
	}
	for _, f := range files {
		if err := writeFile(f.path, f.write); err != nil {
			return fmt.Errorf("trainer: export: %w", err)
		}
	}
	return nil
}

// curves is the PNG file of the training's curves, nil where no step has been
// logged.
func (r *run) curves() []byte {
	if r.log == nil {
		return nil
	}
	png, err := os.ReadFile(r.curvesPath())
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			r.warn(fmt.Errorf("trainer: export: curves: %w", err))
		}
		return nil
	}
	return png
}

// recipe says in a line how a model was trained.
func recipe(cfg *Config) string {
	start := "principal components"
	if cfg.Init != "" {
		start = cfg.Init
	}
	optimizer := fmt.Sprintf("AdamW %g/%g", cfg.Beta1, cfg.Beta2)
	if cfg.Optimizer == OptimizerMuon {
		optimizer = fmt.Sprintf("Muon %g for matrices with %g of the rate, %s for the rest", cfg.Momentum, cfg.MuonRate, optimizer)
	}
	fall := fmt.Sprintf("a cosine to %g of it", cfg.LREnd)
	if cfg.Cooldown > 0 {
		fall = fmt.Sprintf("falling over the last %d steps to %g of it", cfg.Cooldown, cfg.LREnd)
	}
	rounded := "rounded latents"
	if cfg.IntegerSteps > 0 {
		rounded += fmt.Sprintf(", the last %d with the synthesis as integers compute it", cfg.IntegerSteps)
	}
	return fmt.Sprintf("from %s; for %s; %d steps of %d crops of %d x %d, the last %d with %s; %s, "+
		"rate %g after %d steps of warm-up, %s; gradient norm clipped at %g; weights averaged with %g; seed %d",
		start, cfg.Distortion, cfg.Steps, cfg.Batch, cfg.Crop, cfg.Crop, cfg.HardSteps, rounded, optimizer,
		cfg.LR, cfg.Warmup, fall, cfg.Clip, cfg.EMA, cfg.Seed)
}

// writeCard writes the model card.
func writeCard(w io.Writer, r *record, rec *codec.Record, curves bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Model `%s`\n\nFingerprint %s, made %s.\n\n", rec.Name, r.Fingerprint, rec.Created)
	if rec.Description != "" {
		fmt.Fprintf(&b, "%s\n\n", rec.Description)
	}
	if rec.License != "" {
		fmt.Fprintf(&b, "- Licence: %s\n", rec.License)
	}
	fmt.Fprintf(&b, "- Data: %d pictures: %s\n", r.Pictures, strings.Join(rec.Data, "; "))
	fmt.Fprintf(&b, "- Training: %s\n", rec.Notes["recipe"])
	if rec.Command != "" {
		fmt.Fprintf(&b, "- Command: `%s`\n", rec.Command)
	}
	fmt.Fprintf(&b, "- Time: %d steps in %.2f hours, %d threads, %s kernels (other kernels and threads give the same weights)\n",
		r.Steps, r.Seconds/3600, r.Threads, r.Kernels)
	fmt.Fprintf(&b, "- Network: %d latent and %d hyper-latent channels; %.1f kMAC per pixel to encode, %.1f to decode\n",
		r.Config.Arch.M, r.Config.Arch.Z, r.EncodeMACs/1000, r.DecodeMACs/1000)
	if limits := rec.Notes["limits"]; limits != "" {
		fmt.Fprintf(&b, "- Limits: %s\n", limits)
	}
	if r.Valid != nil {
		b.WriteString("\nHeld-out pictures, by cross-entropy, means over the pictures:\n\n| quality | bits per pixel | RGB PSNR, dB |\n|---|---|---|\n")
		for _, p := range r.Valid.Points {
			fmt.Fprintf(&b, "| %g | %.3f | %.2f |\n", p.Quality, p.BPP, p.PSNR)
		}
	}
	if curves {
		b.WriteString("\nThe curves of the training are in the .png file of the same name, all settings in the .json file.\n")
	} else {
		b.WriteString("\nAll settings are in the .json file of the same name.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
