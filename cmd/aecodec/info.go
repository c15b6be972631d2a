package main

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aecodec/aecodec/cmd/aecodec/internal/cli"
	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/codec/picture"
	"github.com/aecodec/aecodec/codec/record"
)

func (a *app) infoCommand() *cli.Command {
	var models []string
	cmd := &cli.Command{
		Use:   "info [FILE...]",
		Short: "Describe .aec files, models and pictures",
		Long: `Describe .aec files (size, quality, model, and what the bytes went to), models (.aem) and pictures.

Without a file it describes models: those of --model, or the embedded ones.`,
		Example: `  aecodec info photo.aec
  aecodec info --json *.aec
  aecodec info mine.aem`,
		Run: func(_ *cli.Command, args []string) error {
			if len(args) == 0 {
				if models == nil {
					models = codec.EmbeddedModels()
				}
				for _, name := range models {
					m, r, err := loadAnyModel(name)
					if err != nil {
						return err
					}
					var report fmt.Stringer
					if r != nil {
						report = newRecordModelReport(name, r)
					} else {
						report = newModelReport(name, m)
					}
					if err := a.show(report); err != nil {
						return err
					}
				}
				return nil
			}
			more, err := loadAnyModels(models)
			if err != nil {
				return err
			}
			jobs := findInputs(args, []string{codedExtension})
			return a.batch(jobs, "reading", func(j *job, _ int) (fmt.Stringer, error) { return a.describe(j.in, more) })
		},
	}
	cmd.Flags().StringSliceVar(&models, "model", nil, "model to describe, or to know besides the embedded one")
	return cmd
}

func (a *app) describe(name string, more *models) (fmt.Stringer, error) {
	in, err := a.open(name)
	if err != nil {
		return nil, err
	}
	defer in.close()
	switch in.kind {
	case codedKind, unknownKind:
		info, err := codec.NewDecoder(&codec.DecoderOptions{Models: more.images}).DecodeInfo(in)
		if err != nil {
			return nil, err
		}
		return newCodedReport(name, info), nil
	case recordsKind:
		info, err := record.DecodeInfo(in, more.recordOptions(0))
		if err != nil {
			return nil, err
		}
		return newRecordsInfo(name, info), nil
	case dataKind:
		return nil, errors.New("holds records that are not coded: aecodec encode --model takes them")
	case modelKind:
		r, err := record.LoadModel(bufio.NewReader(in))
		if !errors.Is(err, record.ErrModelKind) {
			if err != nil {
				return nil, err
			}
			return newRecordModelReport(name, r), nil
		}
		if err := in.rewind(); err != nil {
			return nil, err
		}
		m, err := codec.LoadModel(bufio.NewReader(in))
		if err != nil {
			return nil, err
		}
		return newModelReport(name, m), nil
	default:
		c, format, err := picture.DecodeConfig(in, nil)
		if err != nil {
			return nil, err
		}
		return &pictureReport{name, "picture", string(format), c.Width, c.Height, in.size, bitsPerPixel(in.size, c.Width, c.Height)}, nil
	}
}

// codedReport describes an .aec file.
type codedReport struct {
	Input         string  `json:"input"`
	Kind          string  `json:"kind"` // "aec"
	Width         int     `json:"width"`
	Height        int     `json:"height"`
	Channels      int     `json:"channels"` // of colour
	Alpha         bool    `json:"alpha"`
	Quality       float64 `json:"quality"`
	Model         string  `json:"model"`
	Fingerprint   string  `json:"fingerprint"`
	ModelFound    bool    `json:"model_found"`
	Bytes         int64   `json:"bytes"`
	BPP           float64 `json:"bpp"`
	Tiles         int     `json:"tiles"`
	LatentBytes   int64   `json:"latent_bytes"`
	HyperBytes    int64   `json:"hyper_bytes"`
	AlphaBytes    int64   `json:"alpha_bytes"`
	ICCBytes      int     `json:"icc_bytes"`
	EXIFBytes     int     `json:"exif_bytes"`
	XMPBytes      int     `json:"xmp_bytes"`
	OverheadBytes int64   `json:"overhead_bytes"`
}

func newCodedReport(name string, info *codec.Info) *codedReport {
	h := info.Header
	return &codedReport{
		Input: name, Kind: "aec",
		Width: int(h.Width), Height: int(h.Height), Channels: int(h.Channels), Alpha: h.Alpha,
		Quality: qualityOf(h.Quality), Model: h.Model, Fingerprint: hex.EncodeToString(h.Fingerprint[:]), ModelFound: info.Model != nil,
		Bytes: info.FileBytes, BPP: bitsPerPixel(info.FileBytes, int(h.Width), int(h.Height)), Tiles: info.Tiles,
		LatentBytes: info.LatentBytes, HyperBytes: info.HyperBytes, AlphaBytes: info.AlphaBytes,
		ICCBytes: len(info.ICC), EXIFBytes: len(info.EXIF), XMPBytes: len(info.XMP),
		OverheadBytes: info.FileBytes - info.LatentBytes - info.HyperBytes - info.AlphaBytes - info.MetadataBytes,
	}
}

func (r *codedReport) String() string {
	var t table
	t.row(r.Input, "")
	colour := "colour"
	if r.Channels == 1 {
		colour = "gray"
	}
	if r.Alpha {
		colour += " with alpha"
	}
	t.row("  picture", "%d x %d pixels, %s, %s", r.Width, r.Height, colour, count(r.Tiles, "tile"))
	t.row("  quality", "%g", r.Quality)
	found := ""
	if !r.ModelFound {
		found = ", not at hand"
	}
	t.row("  model", "%s, fingerprint %s%s", r.Model, r.Fingerprint, found)
	t.row("  size", "%d bytes, %.4f bits per pixel", r.Bytes, r.BPP)
	t.row("  of it", "latents %d, hyper-latents %d, alpha %d, ICC %d, EXIF %d, XMP %d, framing %d",
		r.LatentBytes, r.HyperBytes, r.AlphaBytes, r.ICCBytes, r.EXIFBytes, r.XMPBytes, r.OverheadBytes)
	return t.String()
}

// modelReport describes a model.
type modelReport struct {
	Input       string           `json:"input,omitempty"` // absent: embedded
	Kind        string           `json:"kind"`            // "aem"
	Name        string           `json:"name"`
	Fingerprint string           `json:"fingerprint"`
	CanEncode   bool             `json:"can_encode"`
	EncodeMACs  float64          `json:"encode_macs_per_pixel"`
	DecodeMACs  float64          `json:"decode_macs_per_pixel"`
	Parts       []codec.PartMACs `json:"parts"`
	Integers    bool             `json:"integer_synthesis"`
	Card        codec.Record     `json:"card"`
}

func newModelReport(name string, m *codec.Model) *modelReport {
	fingerprint := m.Fingerprint()
	encode, decode := m.MACs()
	parts, err := m.Arch().PartMACs()
	if err != nil {
		panic(err) // a Model's architecture passed the same computation
	}
	if slices.Contains(codec.EmbeddedModels(), name) {
		name = ""
	}
	return &modelReport{
		Input: name, Kind: "aem", Name: m.Name(), Fingerprint: hex.EncodeToString(fingerprint[:]),
		CanEncode: m.CanEncode(), EncodeMACs: encode, DecodeMACs: decode, Parts: parts,
		Integers: m.HasIntegerSynthesis(), Card: m.Card(),
	}
}

func (r *modelReport) String() string {
	var t table
	if r.Input == "" {
		t.row("embedded model", "")
	} else {
		t.row(r.Input, "")
	}
	t.row("  name", "%s", r.Name)
	t.row("  fingerprint", " %s", r.Fingerprint)
	if r.CanEncode {
		t.row("  cost", "%.1f thousand multiply-adds per pixel to encode, %.1f to decode", r.EncodeMACs/1e3, r.DecodeMACs/1e3)
	} else {
		t.row("  cost", "%.1f thousand multiply-adds per pixel to decode; cannot encode", r.DecodeMACs/1e3)
	}
	for _, side := range []struct {
		label string
		has   func(codec.PartMACs) bool
	}{
		{"  to encode", func(p codec.PartMACs) bool { return p.Encode && r.CanEncode }},
		{"  to decode", func(p codec.PartMACs) bool { return p.Decode }},
	} {
		var parts []string
		for _, p := range r.Parts {
			if side.has(p) {
				parts = append(parts, fmt.Sprintf("%s %.2f", p.Name, p.MACs/1e3))
			}
		}
		if parts != nil {
			t.row(side.label, "%s", strings.Join(parts, ", "))
		}
	}
	if r.Integers {
		t.row("  synthesis", "in exact integers")
	} else {
		t.row("  synthesis", "in floats")
	}
	for _, line := range []struct{ label, text string }{
		{"  about", r.Card.Description},
		{"  licence", r.Card.License},
		{"  data", strings.Join(r.Card.Data, "; ")},
		{"  command", r.Card.Command},
		{"  created", r.Card.Created},
	} {
		if line.text != "" {
			t.row(line.label, "%s", line.text)
		}
	}
	if r.Card.Steps > 0 {
		t.row("  training", "%s, %.1f hours", count(r.Card.Steps, "step"), r.Card.Seconds/3600)
	}
	return t.String()
}

// pictureReport describes any other picture.
type pictureReport struct {
	Input  string  `json:"input"`
	Kind   string  `json:"kind"` // "picture"
	Format string  `json:"format"`
	Width  int     `json:"width"`
	Height int     `json:"height"`
	Bytes  int64   `json:"bytes"`
	BPP    float64 `json:"bpp"`
}

func (r *pictureReport) String() string {
	var t table
	t.row(r.Input, "")
	t.row("  picture", "%d x %d pixels, %s", r.Width, r.Height, r.Format)
	t.row("  size", "%d bytes, %.4f bits per pixel", r.Bytes, r.BPP)
	return t.String()
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
