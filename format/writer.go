package format

import (
	"fmt"
	"io"
)

// Writer writes an image file.
type Writer struct {
	cw     *chunkWriter
	header Header
	seen   contents
}

// NewWriter writes the signature and the header. Output is buffered until
// [Writer.Close].
func NewWriter(w io.Writer, h *Header) (*Writer, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	cw := newChunkWriter(w, imageSignature)
	if err := cw.chunk(chunkHead, h.append(nil)); err != nil {
		return nil, err
	}
	return &Writer{cw: cw, header: *h}, nil
}

// WriteChunk writes a chunk: data as they are, except that metadata are
// compressed where that makes them smaller. A chunk that the header rules out,
// one too many, and a critical chunk of unknown type are errors.
func (w *Writer) WriteChunk(t ChunkType, data []byte) error {
	if !t.valid() {
		return fmt.Errorf("format: write chunk: type %v is not a letter", t)
	}
	if w.cw.err != nil {
		return w.cw.err
	}
	if err := w.seen.add(t, &w.header); err != nil {
		return err
	}
	if t.metadata() {
		data = pack(nil, data)
	}
	return w.cw.chunk(t, data)
}

// Close ends the file, unless tiles or the alpha channel are missing. It does
// not close the underlying writer.
func (w *Writer) Close() error {
	if w.cw.err != nil {
		return w.cw.err
	}
	if err := w.seen.complete(&w.header); err != nil {
		return err
	}
	return w.cw.close()
}
