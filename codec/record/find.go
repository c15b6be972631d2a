package record

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aecodec/aecodec/format"
)

// UnknownModelError reports a file that needs a model that is not at hand.
type UnknownModelError struct {
	Name        string   // as the file gives it
	Fingerprint [16]byte // of the model
	Searched    []string // where it was looked for
}

func (e *UnknownModelError) Error() string {
	return fmt.Sprintf("record: unknown model %q with fingerprint %x (searched: %s)",
		e.Name, e.Fingerprint, strings.Join(e.Searched, ", "))
}

// maxModelFiles bounds how many files of a model folder are looked at.
const maxModelFiles = 256

// findModel returns the model of a file's header.
func findModel(h *format.RecordHeader, o *DecodeOptions) (*Model, error) {
	unknown := &UnknownModelError{Name: h.Model, Fingerprint: h.Fingerprint, Searched: []string{"the given models"}}
	for _, m := range o.Models {
		if m.print == h.Fingerprint {
			return m, nil
		}
	}
	for _, dir := range o.ModelDirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			unknown.Searched = append(unknown.Searched, dir+" (no such folder)")
			continue
		}
		entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool { return filepath.Ext(e.Name()) != ".aem" })
		// The file that is called like the model first.
		slices.SortStableFunc(entries, func(a, b os.DirEntry) int {
			name := h.Model + ".aem"
			switch {
			case a.Name() == name:
				return -1
			case b.Name() == name:
				return 1
			}
			return 0
		})
		entries = entries[:min(len(entries), maxModelFiles)]
		for _, e := range entries {
			if m := loadIf(filepath.Join(dir, e.Name()), h.Fingerprint); m != nil {
				return m, nil
			}
		}
		unknown.Searched = append(unknown.Searched, fmt.Sprintf("%s (%d models)", dir, len(entries)))
	}
	return nil, unknown
}

// loadIf returns the decoder of a model file if it has the fingerprint.
func loadIf(name string, fingerprint [16]byte) *Model {
	f, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	file, err := format.ReadDecoder(bufio.NewReader(f), nil)
	if err != nil || file.Fingerprint() != fingerprint {
		return nil
	}
	m, err := newModel(file)
	if err != nil {
		return nil
	}
	return m
}

// counter counts what is read, byte by byte, so that what follows a file is
// left alone.
type counter struct {
	r interface {
		io.Reader
		io.ByteReader
	}
	n int64
}

func newCounter(r io.Reader) *counter {
	if br, ok := r.(interface {
		io.Reader
		io.ByteReader
	}); ok {
		return &counter{r: br}
	}
	return &counter{r: bufio.NewReader(r)}
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func (c *counter) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}
