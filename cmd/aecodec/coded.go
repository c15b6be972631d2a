package main

import (
	"bufio"
	"fmt"
	"image"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/codec/picture"
)

// checkStdout refuses two outputs on standard output, and binary data on a terminal.
func (a *app) checkStdout(jobs []*job) error {
	for _, j := range jobs {
		switch {
		case j.err != nil || j.out != stdio:
		case a.json:
			return usagef("--json: standard output is taken by the picture")
		case a.stdoutTerminal:
			return usagef("standard output is a terminal: redirect it or use -o")
		}
	}
	return nil
}

// writeOutput writes to standard output or, all or nothing, to a file.
func (a *app) writeOutput(name string, force bool, fill func(io.Writer) error) (int64, error) {
	if name == stdio {
		return fillFile(a.stdout, "standard output", fill)
	}
	return a.files.write(name, force, fill)
}

// coded is a decoded .aec file.
type coded struct {
	image   image.Image
	size    image.Point // of the picture, of which image may be a part
	meta    picture.Metadata
	quality float64
	model   string
	seconds float64 // of decoding
	release func()  // gives back the reserved pixels
}

// readCoded decodes an input, or the part of it inside region unless that is empty, and reserves its share of the memory.
func (a *app) readCoded(in *input, d *codec.Decoder, region image.Rectangle) (*coded, error) {
	info, err := d.DecodeInfo(in)
	if err != nil {
		return nil, err
	}
	if err := in.rewind(); err != nil {
		return nil, err
	}
	h := info.Header
	size := image.Pt(int(h.Width), int(h.Height))
	part := image.Rectangle{Max: size}
	if !region.Empty() {
		if part = region.Intersect(part); part.Empty() {
			return nil, fmt.Errorf("--region is outside of the picture of %dx%d pixels", size.X, size.Y)
		}
	}
	release, err := a.reserve(part.Dx(), part.Dy())
	if err != nil {
		return nil, err
	}
	start := time.Now()
	m, err := d.DecodeRegion(in, part)
	if err != nil {
		release()
		return nil, err
	}
	return &coded{
		image:   m,
		size:    size,
		meta:    picture.Metadata{ICC: info.ICC, EXIF: info.EXIF, XMP: info.XMP},
		quality: qualityOf(h.Quality),
		model:   h.Model,
		seconds: time.Since(start).Seconds(),
		release: release,
	}, nil
}

// qualityOf turns the hundredths of a file's header into the number of -q.
func qualityOf(hundredths uint16) float64 { return float64(hundredths) / 100 }

// loadModel loads the model that --model names: an embedded one, a file, or a name in the user's model folder; "" is the
// embedded default.
func loadModel(name string) (*codec.Model, error) {
	if name == "" {
		return codec.DefaultModel()
	}
	if slices.Contains(codec.EmbeddedModels(), name) {
		return codec.EmbeddedModel(name)
	}
	path, err := modelPath(name)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, cause(err))
	}
	defer f.Close()
	m, err := codec.LoadModel(bufio.NewReader(f))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// modelPath returns the file of a model, by its name in the user's model folder or as it is.
func modelPath(name string) (string, error) {
	if filepath.Base(name) != name || filepath.Ext(name) != "" {
		return name, nil
	}
	dir, err := codec.ModelDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, name+modelExtension), nil
}

// tunedModel returns what names the model for --model and --tune, of which only one may be given.
func tunedModel(model, tune string) (string, error) {
	t, err := codec.ParseTune(tune)
	switch {
	case err != nil:
		return "", usagef("--tune %s: want psnr or ssim", tune)
	case t == codec.TunePSNR:
		return model, nil
	case model != "":
		return "", usagef("--tune and --model: only one of them can choose the model")
	}
	m, err := codec.TunedModel(t)
	if err != nil {
		return "", err
	}
	return m.Name(), nil
}

const tuneHelp = "what the picture is to be best at for its size: psnr, small errors, or ssim, a closer look to the eye"

// loadModels loads what --model names where it can be given several times.
func loadModels(names []string) ([]*codec.Model, error) {
	var models []*codec.Model
	for _, name := range names {
		m, err := loadModel(name)
		if err != nil {
			return nil, err
		}
		models = append(models, m)
	}
	return models, nil
}

func bitsPerPixel(bytes int64, width, height int) float64 {
	return 8 * float64(bytes) / (float64(width) * float64(height))
}

// byteCount writes a size for people.
func byteCount(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

// table lines up labels and values.
type table struct{ strings.Builder }

func (t *table) row(label, format string, args ...any) {
	if t.Len() > 0 {
		t.WriteByte('\n')
	}
	fmt.Fprintf(t, "%-12s", label)
	fmt.Fprintf(t, format, args...)
}
