package codec

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/aecodec/aecodec/format"
)

//go:embed models/photo.aem
var photoModel []byte

// embedded is the model `photo`. Until somebody encodes only its decoder is
// loaded, which takes a little more than half the time.
var embedded struct {
	sync.Mutex
	full, decoder *Model
}

// DefaultModel returns the embedded model `photo`. It is loaded on first use
// and shared from then on.
func DefaultModel() (*Model, error) {
	embedded.Lock()
	defer embedded.Unlock()
	if embedded.full == nil {
		m, err := loadModel(bytes.NewReader(photoModel), format.ReadModel)
		if err != nil {
			return nil, err
		}
		embedded.full, embedded.decoder = m, nil
	}
	return embedded.full, nil
}

// defaultDecoder returns the embedded model, perhaps without its encoder.
func defaultDecoder() (*Model, error) {
	embedded.Lock()
	defer embedded.Unlock()
	if embedded.full != nil {
		return embedded.full, nil
	}
	if embedded.decoder == nil {
		m, err := loadModel(bytes.NewReader(photoModel), format.ReadDecoder)
		if err != nil {
			return nil, err
		}
		embedded.decoder = m
	}
	return embedded.decoder, nil
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
// the embedded one, or one of the *.aem files in dirs, which is registered then.
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
	m, err := defaultDecoder()
	switch {
	case err != nil:
		unknown.Searched = append(unknown.Searched, fmt.Sprintf("embedded model (%v)", err))
	case m.print == h.Fingerprint:
		return m, nil
	default:
		unknown.Searched = append(unknown.Searched, fmt.Sprintf("embedded model %q", m.Name()))
	}
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
