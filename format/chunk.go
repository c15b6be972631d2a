package format

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Both containers are a signature, chunks and an end mark. A chunk is
//
//	type    1 byte, a letter
//	length  uvarint
//	data    length bytes
//	crc     4 bytes, little endian: CRC-32C of type, length and data
//
// The end mark is one byte. It differs from every letter in two bits or more,
// so that no single flipped bit ends a file early.
const endMark = 0xAE

// castagnoli is the CRC-32C polynomial: amd64 and arm64 have it in hardware,
// and it detects more errors at these lengths than the one of zip and PNG.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Signatures, after PNG's: a byte that is not ASCII, a name, and line ends that
// do not survive a transfer as text.
const (
	imageSignature = "\xaeAEC\r\n\x1a\n"
	modelSignature = "\xaeAEM\r\n\x1a\n"
)

// ChunkType identifies a chunk by a letter. As in PNG, lower case means
// ancillary: a reader that does not know the type ignores the chunk.
type ChunkType byte

// Ancillary reports whether a reader may ignore chunks of type t.
func (t ChunkType) Ancillary() bool { return t&0x20 != 0 }

func (t ChunkType) valid() bool { return 'A' <= t&^0x20 && t&^0x20 <= 'Z' && t < 0x80 }

func (t ChunkType) String() string {
	if t.valid() {
		return string(rune(t))
	}
	return fmt.Sprintf("0x%02x", byte(t))
}

// chunkWriter writes signature, chunks and end mark. Its first error sticks.
type chunkWriter struct {
	w   *bufio.Writer
	err error
}

var errClosed = errors.New("format: write after close")

func newChunkWriter(w io.Writer, signature string) *chunkWriter {
	cw := &chunkWriter{w: bufio.NewWriter(w)}
	_, cw.err = cw.w.WriteString(signature)
	return cw
}

func (cw *chunkWriter) chunk(t ChunkType, data []byte) error {
	if cw.err != nil {
		return cw.err
	}
	head := binary.AppendUvarint([]byte{byte(t)}, uint64(len(data)))
	crc := crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, data)
	for _, b := range [][]byte{head, data, binary.LittleEndian.AppendUint32(nil, crc)} {
		if _, cw.err = cw.w.Write(b); cw.err != nil {
			return cw.err
		}
	}
	return nil
}

func (cw *chunkWriter) close() error {
	if cw.err != nil {
		return cw.err
	}
	if cw.err = cw.w.WriteByte(endMark); cw.err == nil {
		cw.err = cw.w.Flush()
	}
	if cw.err != nil {
		return cw.err
	}
	cw.err = errClosed
	return nil
}

type byteReader interface {
	io.Reader
	io.ByteReader
}

// chunkReader reads what chunkWriter writes.
type chunkReader struct {
	r byteReader
}

func newChunkReader(r io.Reader, signature string) (*chunkReader, error) {
	br, ok := r.(byteReader)
	if !ok {
		br = bufio.NewReader(r)
	}
	got := make([]byte, len(signature))
	n, err := io.ReadFull(br, got)
	if err != nil && !eof(err) {
		return nil, readError("signature", err)
	}
	if err := checkSignature(got[:n], signature); err != nil {
		return nil, err
	}
	return &chunkReader{br}, nil
}

// header is what precedes the data of a chunk.
type chunkHeader struct {
	t      ChunkType
	length uint64
	raw    []byte // as read, for the checksum
	what   string // for messages
}

// next reads the header of the next chunk; at the end mark it returns io.EOF.
func (cr *chunkReader) next() (chunkHeader, error) {
	b, err := cr.r.ReadByte()
	if err != nil {
		return chunkHeader{}, readError("end mark", err)
	}
	if b == endMark {
		return chunkHeader{}, io.EOF
	}
	h := chunkHeader{t: ChunkType(b), raw: []byte{b}, what: "chunk " + ChunkType(b).String()}
	if !h.t.valid() {
		return h, fail(ErrCorrupt, h.what, "not a chunk type")
	}
	for shift := 0; ; shift += 7 {
		if b, err = cr.r.ReadByte(); err != nil {
			return h, readError(h.what, err)
		}
		h.raw = append(h.raw, b)
		if shift == 63 && b > 1 || b == 0 && shift > 0 {
			return h, fail(ErrCorrupt, h.what, "length is not a minimal uvarint")
		}
		h.length |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return h, nil
		}
	}
}

// data reads and checks the data of a chunk, at most limit bytes.
func (cr *chunkReader) data(h chunkHeader, limit int64) ([]byte, error) {
	if h.length > uint64(max(limit, 0)) {
		return nil, fail(ErrLimit, h.what, "%d bytes, limit %d", h.length, limit)
	}
	data, err := cr.take(int(h.length))
	if err != nil {
		return nil, readError(h.what, err)
	}
	var crc [4]byte
	if _, err := io.ReadFull(cr.r, crc[:]); err != nil {
		return nil, readError(h.what, err)
	}
	want := crc32.Update(crc32.Checksum(h.raw, castagnoli), castagnoli, data)
	if binary.LittleEndian.Uint32(crc[:]) != want {
		return nil, fail(ErrChecksum, h.what, "checksum mismatch")
	}
	return data, nil
}

// Lender is a reader that may lend its bytes instead of copying them.
type Lender interface {
	io.Reader
	io.ByteReader
	// Lend returns the next n bytes, which are never written to afterwards, or nil
	// if there are not so many.
	Lend(n int) []byte
}

// take reads n bytes.
func (cr *chunkReader) take(n int) ([]byte, error) {
	if l, ok := cr.r.(Lender); ok {
		if data := l.Lend(n); data != nil {
			return data, nil
		}
	}
	// Memory grows with what has arrived, not with what was announced, unless
	// the reader is known to hold that much.
	data := make([]byte, min(n, 1<<16))
	if l, ok := cr.r.(interface{ Len() int }); ok && l.Len() >= n {
		data = make([]byte, n)
	}
	for at := 0; ; {
		m, err := io.ReadFull(cr.r, data[at:])
		if err != nil {
			return nil, err
		}
		if at += m; at == n {
			return data, nil
		}
		data = append(data, make([]byte, min(n-at, at))...)
	}
}

func eof(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// readError makes a FormatError of the end of the data and passes on what went
// wrong with the reader itself.
func readError(what string, err error) error {
	if eof(err) {
		return fail(ErrTruncated, what, "data end too early")
	}
	return fmt.Errorf("format: read %s: %w", what, err)
}
