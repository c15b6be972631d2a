package codec

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unsafe"

	"github.com/aecodec/aecodec/format"
)

var (
	//go:embed models/photo.aem
	photoFile string
	//go:embed models/photo-ssim.aem
	photoSSIMFile string
)

// embeddedModel is a model that is part of the program. Until somebody encodes
// only its decoder is loaded, which takes a little more than half the time.
type embeddedModel struct {
	name string
	file string

	sync.Mutex
	full, decoder *Model
}

const defaultModel = "photo"

// embedded are these models, the default first.
var embedded = []*embeddedModel{
	{name: defaultModel, file: photoFile},
	{name: defaultModel + "-ssim", file: photoSSIMFile},
}

// lender reads a file that is part of the program, in place. Nobody can write to
// it.
type lender struct{ left string }

var _ format.Lender = (*lender)(nil)

func (l *lender) Read(p []byte) (int, error) {
	n := copy(p, l.left)
	l.left = l.left[n:]
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (l *lender) ReadByte() (byte, error) {
	if l.left == "" {
		return 0, io.EOF
	}
	b := l.left[0]
	l.left = l.left[1:]
	return b, nil
}

func (l *lender) Lend(n int) []byte {
	if n > len(l.left) {
		return nil
	}
	b := unsafe.Slice(unsafe.StringData(l.left), n)
	l.left = l.left[n:]
	return b
}

// read reads the model with one of format's functions. TestEmbeddedIntegers checks
// what is not checked here.
func (e *embeddedModel) read(read func(io.Reader, *format.Limits) (*format.ModelFile, error)) (*Model, error) {
	file, err := read(&lender{left: e.file}, nil)
	if err != nil {
		return nil, fmt.Errorf("codec: model: %w", err)
	}
	return openModel(file)
}

// load returns the model.
func (e *embeddedModel) load() (*Model, error) {
	e.Lock()
	defer e.Unlock()
	if e.full == nil {
		m, err := e.read(format.ReadModel)
		if err != nil {
			return nil, err
		}
		e.full, e.decoder = m, nil
	}
	return e.full, nil
}

// loadDecoder returns the model, perhaps without its encoder.
func (e *embeddedModel) loadDecoder() (*Model, error) {
	e.Lock()
	defer e.Unlock()
	if e.full != nil {
		return e.full, nil
	}
	if e.decoder == nil {
		m, err := e.read(format.ReadDecoder)
		if err != nil {
			return nil, err
		}
		e.decoder = m
		if m.integers != nil {
			go m.integers.program() // while the first latents are decoded
		}
	}
	return e.decoder, nil
}

// EmbeddedModels returns the names of the models that are part of the program,
// the default first.
func EmbeddedModels() []string {
	var names []string
	for _, e := range embedded {
		names = append(names, e.name)
	}
	return names
}

// EmbeddedModel returns the embedded model of that name. It is loaded on first
// use and shared from then on.
func EmbeddedModel(name string) (*Model, error) {
	for _, e := range embedded {
		if e.name == name {
			return e.load()
		}
	}
	return nil, fmt.Errorf("codec: no embedded model %q, there is %s", name, strings.Join(EmbeddedModels(), " and "))
}

// DefaultModel returns the embedded model `photo`, see EmbeddedModel.
func DefaultModel() (*Model, error) { return EmbeddedModel(defaultModel) }

// findEmbedded returns the embedded model with a fingerprint, nil if there is
// none. Names are tried first, so that no other model is loaded for nothing.
func findEmbedded(h *format.Header) (*Model, error) {
	var failed error
	for _, named := range []bool{true, false} {
		for _, e := range embedded {
			if (e.name == h.Model) != named {
				continue
			}
			m, err := e.loadDecoder()
			if err != nil {
				failed = err
			} else if m.print == h.Fingerprint {
				return m, nil
			}
		}
	}
	return nil, failed
}

// Tune says what an embedded model was trained for: what its files are best at
// for their size.
type Tune int

const (
	// TunePSNR is the model `photo`, trained for the mean squared error.
	TunePSNR Tune = iota
	// TuneSSIM is the model `photo-ssim`, trained for MS-SSIM (Wang, Simoncelli and
	// Bovik 2003), which is closer to what eyes see: textures stay where they are
	// faint, and noise goes.
	TuneSSIM
)

var tunes = [...]struct{ name, model string }{
	TunePSNR: {"psnr", defaultModel}, TuneSSIM: {"ssim", defaultModel + "-ssim"},
}

func (t Tune) String() string {
	if t < 0 || int(t) >= len(tunes) {
		return fmt.Sprintf("Tune(%d)", int(t))
	}
	return tunes[t].name
}

// ParseTune returns the Tune called psnr or ssim.
func ParseTune(name string) (Tune, error) {
	for t := range tunes {
		if tunes[t].name == name {
			return Tune(t), nil
		}
	}
	return 0, fmt.Errorf("codec: tune %q, want psnr or ssim", name)
}

// TunedModel returns the embedded model of a Tune, see EmbeddedModel.
func TunedModel(t Tune) (*Model, error) {
	if t < 0 || int(t) >= len(tunes) {
		return nil, fmt.Errorf("codec: %v is not known", t)
	}
	return EmbeddedModel(tunes[t].model)
}

// registered are the models that every decoder knows, by fingerprint.
var registered sync.Map // [16]byte -> *Model

// RegisterModel makes m known to all decoders of this process, including
// image.Decode.
func RegisterModel(m *Model) { registered.Store(m.print, m) }

// UnknownModelError reports a file that needs a model that is not at hand.
type UnknownModelError struct {
	Name        string   // as the file gives it
	Fingerprint [16]byte // of the model
	Searched    []string // where it was looked for
}

func (e *UnknownModelError) Error() string {
	return fmt.Sprintf("codec: unknown model %q with fingerprint %x (searched: %s)",
		e.Name, e.Fingerprint, strings.Join(e.Searched, ", "))
}

// ModelDir returns the user's model folder, aecodec/models under
// os.UserConfigDir. Decoders look for models there; it need not exist.
func ModelDir() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("codec: model folder: %w", err)
	}
	return filepath.Join(dir, "aecodec", "models"), nil
}

// maxModelFiles bounds how many files of a model folder are looked at.
const maxModelFiles = 256

// findModel returns the model of a file's header: one of own, a registered one,
// an embedded one, or one of the *.aem files in dirs, which is registered then.
func findModel(h *format.Header, own []*Model, dirs []string) (*Model, error) {
	unknown := &UnknownModelError{Name: h.Model, Fingerprint: h.Fingerprint}
	for _, m := range own {
		if m.print == h.Fingerprint {
			return m, nil
		}
	}
	if len(own) > 0 {
		unknown.Searched = append(unknown.Searched, "the given models")
	}
	if m, ok := registered.Load(h.Fingerprint); ok {
		return m.(*Model), nil
	}
	unknown.Searched = append(unknown.Searched, "registered models")
	m, err := findEmbedded(h)
	if m != nil {
		return m, nil
	}
	names := strings.Join(EmbeddedModels(), ", ")
	if err != nil {
		names += fmt.Sprintf(": %v", err)
	}
	unknown.Searched = append(unknown.Searched, fmt.Sprintf("embedded models (%s)", names))
	for _, dir := range dirs {
		m, note := findInDir(h, dir)
		if m != nil {
			RegisterModel(m)
			return m, nil
		}
		unknown.Searched = append(unknown.Searched, note)
	}
	return nil, unknown
}

// findInDir looks through a folder, the file called like the model first. note
// says what was there if it was not found.
func findInDir(h *format.Header, dir string) (m *Model, note string) {
	names, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*.aem"))
	if err != nil || len(names) == 0 {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return nil, dir + " (no such folder)"
		}
		return nil, dir + " (no *.aem files)"
	}
	for i, name := range names {
		if filepath.Base(name) == h.Model+".aem" {
			names[0], names[i] = names[i], names[0]
		}
	}
	names = names[:min(len(names), maxModelFiles)]
	bad := 0
	for _, name := range names {
		m, err := loadIf(name, h.Fingerprint)
		if err != nil {
			bad++
			continue
		}
		if m != nil {
			return m, ""
		}
	}
	note = fmt.Sprintf("%s (%d files", dir, len(names))
	if bad > 0 {
		note += fmt.Sprintf(", %d unreadable", bad)
	}
	return nil, note + ")"
}

// escapeGlob makes a folder's name match itself only.
func escapeGlob(dir string) string {
	if os.PathSeparator == '\\' {
		return dir // Glob has no escapes on Windows, and [ is rare there
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// loadIf loads the decoder of a model file if it has the fingerprint.
func loadIf(name string, fingerprint [16]byte) (*Model, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	file, err := format.ReadDecoder(f, nil)
	if err != nil {
		return nil, err
	}
	if file.Fingerprint() != fingerprint {
		return nil, nil
	}
	return newModel(file)
}
