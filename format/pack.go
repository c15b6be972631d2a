package format

import (
	"encoding/binary"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Packed data are a method byte, then for
//
//	methodStored  the data
//	methodZstd    the length of the data as a uvarint, then one zstd frame (RFC 8878)
const (
	methodStored = 0
	methodZstd   = 1
)

// A frame's window, and with it a decoder's memory, is at most this large; RFC
// 8878 recommends that decoders support it.
const zstdWindow = 8 << 20

// Of weights the higher levels make nothing smaller, only slower.
var zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression),
		zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow), zstd.WithEncoderCRC(false))
	if err != nil {
		panic(err) // the options are constants
	}
	return e
})

var zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic(err)
	}
	return d
})

// pack appends packed data to dst.
func pack(dst, data []byte) []byte {
	n := len(dst)
	dst = binary.AppendUvarint(append(dst, methodZstd), uint64(len(data)))
	dst = zstdEncoder().EncodeAll(data, dst)
	if len(dst)-n > len(data) {
		dst = append(append(dst[:n], methodStored), data...)
	}
	return dst
}

// packed is a parsed pack, with nothing allocated for its data yet.
type packed struct {
	method byte
	size   int // of the data
	body   []byte
	what   string // for messages
}

// parsePack reads the head of a pack whose data are at most limit bytes.
func parsePack(b []byte, what string, limit int64) (packed, error) {
	p := parser{data: b}
	pk := packed{method: p.byte(), what: what}
	n := uint64(len(p.data))
	if pk.method == methodZstd {
		n = p.uvarint()
	}
	switch {
	case p.short:
		return pk, fail(ErrCorrupt, what, "malformed")
	case pk.method > methodZstd:
		return pk, fail(ErrUnsupported, what, "unknown compression method %d", pk.method)
	case n > uint64(max(limit, 0)):
		return pk, fail(ErrLimit, what, "%d bytes, limit %d", n, limit)
	case pk.method == methodZstd && n/maxZstdBlock > uint64(len(p.data)/minZstdBlock):
		return pk, fail(ErrCorrupt, what, "compressed data end too early")
	}
	pk.size, pk.body = int(n), p.data
	return pk, nil
}

// A zstd block has at least 4 bytes and holds at most 128 KiB: that bounds what
// a pack can claim to hold.
const (
	minZstdBlock = 4
	maxZstdBlock = 128 << 10
)

// open returns the data, which may share memory with the pack.
func (pk packed) open() ([]byte, error) { return pk.openTo(nil) }

// openTo is open with memory for the data, if it is large enough.
func (pk packed) openTo(buf []byte) ([]byte, error) {
	if pk.method == methodStored {
		return pk.body, nil
	}
	if cap(buf) < pk.size {
		buf = make([]byte, 0, pk.size)
	}
	data, err := zstdDecoder().DecodeAll(pk.body, buf[:0:pk.size])
	if err != nil || len(data) != pk.size {
		return nil, fail(ErrCorrupt, pk.what, "compressed data are malformed")
	}
	return data, nil
}

// unpack returns the data of a pack, at most limit bytes.
func unpack(b []byte, what string, limit int64) ([]byte, error) {
	pk, err := parsePack(b, what, limit)
	if err != nil {
		return nil, err
	}
	return pk.open()
}
