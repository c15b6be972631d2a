package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"os"

	"github.com/aecodec/aecodec/codec/picture"
	"github.com/aecodec/aecodec/codec/record"
	"github.com/aecodec/aecodec/format"
)

const codedExtension = ".aec"

// maxStream bounds what is read from standard input or a pipe, where no file size says in advance what is to come.
const maxStream = min(2<<30, math.MaxInt/2)

// kind is what a file holds, by its first bytes.
type kind int

const (
	unknownKind kind = iota
	pictureKind      // any of the formats of package picture
	codedKind        // .aec
	modelKind        // .aem
	recordsKind      // .aec, of records
	dataKind         // records in a format of package record that is told by its content
)

// input is a file that can be read several times.
type input struct {
	io.ReadSeeker
	close func() error
	kind  kind
	size  int64

	format picture.Format // of a picture, once it is read
}

// open opens a file, or standard input. It tells what it is by the first bytes, so that a stream of something else is not read
// to its end.
func (a *app) open(name string) (*input, error) {
	if name == stdio {
		return openStream(a.stdin)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() { // a pipe, say
		defer f.Close()
		return openStream(f)
	}
	in := &input{ReadSeeker: f, close: f.Close}
	if err == nil {
		in.size = st.Size()
		in.kind, err = sniff(bufio.NewReaderSize(f, headSize))
	}
	if err == nil {
		err = in.rewind()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return in, nil
}

// openStream reads a stream into memory; of one that is nothing known, the beginning.
func openStream(r io.Reader) (*input, error) {
	buffered := bufio.NewReaderSize(r, headSize)
	in := &input{close: func() error { return nil }}
	var err error
	if in.kind, err = sniff(buffered); err != nil {
		return nil, err
	}
	limit := int64(maxStream)
	if in.kind == unknownKind {
		limit = headSize
	}
	data, err := io.ReadAll(io.LimitReader(buffered, limit+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxStream:
		return nil, fmt.Errorf("more than %d MiB in a stream", maxStream>>20)
	}
	in.ReadSeeker, in.size = bytes.NewReader(data), int64(len(data))
	return in, nil
}

// headSize is enough for sniff.
const headSize = 32

func sniff(r *bufio.Reader) (kind, error) {
	head, err := r.Peek(headSize)
	if err != nil && err != io.EOF {
		return 0, err
	}
	switch {
	case len(head) == 0:
		return 0, errors.New("empty file")
	case bytes.HasPrefix(head, []byte("\xaeAEC")): // what follows tells damage, which the decoder names
		if k, ok := format.FileKind(head); ok && k == format.KindRecords {
			return recordsKind, nil
		}
		return codedKind, nil
	case bytes.HasPrefix(head, []byte("\xaeAEM")):
		return modelKind, nil
	}
	if _, ok := picture.Sniff(head); ok {
		return pictureKind, nil
	}
	if _, ok := record.Sniff(head, ""); ok {
		return dataKind, nil
	}
	return unknownKind, nil
}

func (in *input) rewind() error {
	_, err := in.Seek(0, io.SeekStart)
	return err
}

// readPicture decodes the picture of an input and reserves its share of the memory; release gives it back.
func (a *app) readPicture(in *input) (m image.Image, release func(), err error) {
	switch in.kind {
	case recordsKind:
		return nil, nil, errors.New("is no picture but an aecodec file of records")
	case codedKind, modelKind:
		return nil, nil, errors.New("is no picture but an aecodec file")
	case dataKind:
		return nil, nil, errors.New("is no picture but holds records, which take a model for them (--model)")
	case unknownKind:
		return nil, nil, errors.New("is no picture: neither PNG, JPEG, WebP, TIFF, BMP, PPM nor PGM")
	}
	config, _, err := picture.DecodeConfig(in, nil)
	if err != nil {
		return nil, nil, err
	}
	if err := in.rewind(); err != nil {
		return nil, nil, err
	}
	if release, err = a.reserve(config.Width, config.Height); err != nil {
		return nil, nil, err
	}
	if m, in.format, err = picture.Decode(in, nil); err != nil {
		release()
		return nil, nil, err
	}
	return m, release, nil
}

// reserve waits until the pixels of a picture fit into those that may be in work at once.
func (a *app) reserve(width, height int) (release func(), err error) {
	n := min(int64(width)*int64(height), maxPixels)
	if err := a.pixels.Acquire(a.ctx, n); err != nil {
		return nil, errInterrupted
	}
	a.memory.add(n)
	return func() {
		a.memory.add(-n)
		a.pixels.Release(n)
	}, nil
}
