package record

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// ReadOptions say what files do not: each of the readers looks at its own. A nil
// pointer and the zero value mean the defaults.
type ReadOptions struct {
	// Format is that of the data; "" means to tell by content and name.
	Format Format

	// Columns of a CSV file with values: their names or numbers from 1 on; a
	// range of them is written a:b. Nil means all but Label.
	Columns []string
	// Label is the column of a CSV file with the record's label, a whole number;
	// "" for none.
	Label string

	// Window is the number of samples of a record that is cut from a series. In
	// a CSV file each row is a sample then, each column a channel; with 0 each
	// row is a record. WAV and raw samples need it.
	Window int
	// Stride is the distance of windows, 1 to Window; 0 means Window.
	Stride int

	// Raw samples: channels that are interleaved, samples a second, and what
	// turns a sample into a value. 0 channels and a gain of 0 mean 1.
	Channels int
	Rate     int
	Gain     float64
	Zero     int
}

// resolve returns the options with the defaults filled in.
func (o *ReadOptions) resolve() *ReadOptions {
	r := ReadOptions{}
	if o != nil {
		r = *o
	}
	if r.Channels == 0 {
		r.Channels = 1
	}
	if r.Gain == 0 {
		r.Gain = 1
	}
	return &r
}

func (o *ReadOptions) needWindow() error {
	if o.Window < 1 {
		return errors.New("a series needs a window: how many samples make a record")
	}
	return nil
}

// headLen is as much as Sniff looks at.
const headLen = 12

// Sniff tells the format of a file by its first 12 bytes and its name; ok is
// false where neither says. Text and raw samples are told by name only.
func Sniff(head []byte, name string) (f Format, ok bool) {
	switch {
	case bytes.HasPrefix(head, []byte(npyMagic)):
		return NPY, true
	case len(head) >= headLen && string(head[:4]) == "RIFF" && string(head[8:12]) == "WAVE":
		return WAV, true
	case len(head) >= 4 && head[0] == 0 && head[1] == 0 && head[2] >= 8 && head[2] <= 14 && head[3] <= MaxDims+1:
		return IDX, true
	case len(head) >= 2 && head[0] == 0x1f && head[1] == 0x8b:
		return IDX, true
	}
	return FormatOf(name)
}

// FormatOf tells the format of a file by the extension of its name: .npy, .idx,
// .csv, .tsv, .wav, .i16. Files of the MNIST kind end in -ubyte.
func FormatOf(name string) (f Format, ok bool) {
	name = strings.ToLower(strings.TrimSuffix(name, ".gz"))
	switch ext := filepath.Ext(name); {
	case ext == ".npy":
		return NPY, true
	case ext == ".idx" || strings.HasSuffix(name, "-ubyte"):
		return IDX, true
	case ext == ".csv" || ext == ".tsv":
		return CSV, true
	case ext == ".wav":
		return WAV, true
	case ext == ".i16":
		return Int16, true
	}
	return "", false
}

// Read reads records from a file, or the pictures of a folder. The error begins
// with the name.
func Read(name string, o *ReadOptions) (*Set, error) {
	s, err := read(name, o)
	if err != nil {
		var pathError *os.PathError
		if errors.As(err, &pathError) && pathError.Path == name {
			err = pathError.Err
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

func read(name string, o *ReadOptions) (*Set, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		return ReadPictures(name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadStream(f, name, o)
}

// ReadStream reads records from r. The name serves to tell the format where the
// content does not; it may be "".
func ReadStream(r io.Reader, name string, o *ReadOptions) (*Set, error) {
	br := bufio.NewReader(r)
	head, err := br.Peek(headLen)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if len(head) == 0 {
		return nil, errors.New("record: no data")
	}
	format, ok := Sniff(head, name)
	if o != nil && o.Format != "" {
		format, ok = o.Format, true
	}
	switch {
	case !ok:
		return nil, errors.New("record: unknown format: neither NPY, IDX nor WAV by its content, nor .csv, .tsv or .i16 by its name")
	case format == NPY:
		return ReadNPY(br)
	case format == IDX:
		return ReadIDX(br)
	case format == CSV:
		return ReadCSV(br, o)
	case format == WAV:
		return ReadWAV(br, o)
	case format == Int16:
		return ReadInt16(br, o)
	}
	return nil, fmt.Errorf("record: format %q cannot be read from a stream", format)
}

// Write writes records in a format other than Pictures.
func Write(w io.Writer, s *Set, f Format) error {
	switch f {
	case NPY:
		return WriteNPY(w, s)
	case IDX:
		return WriteIDX(w, s)
	case CSV:
		return WriteCSV(w, s)
	case WAV:
		return WriteWAV(w, s)
	case Int16:
		return WriteInt16(w, s)
	}
	return fmt.Errorf("record: format %q cannot be written to a stream", f)
}
