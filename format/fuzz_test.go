package format

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/stretchr/testify/require"
)

// fuzzLimits keep single runs short.
var fuzzLimits = &Limits{MaxPixels: 1 << 24, MaxChunk: 1 << 20, MaxModel: 1 << 20, MaxMetadata: 1 << 16}

// fixChecksums returns file with the right checksum in every whole chunk, so
// that mutations get past them.
func fixChecksums(file []byte) []byte {
	file = bytes.Clone(file)
	for at := len(imageSignature); at < len(file) && file[at] != endMark; {
		length, n := binary.Uvarint(file[at+1:])
		if n <= 0 || length > uint64(len(file)) {
			break
		}
		end := at + 1 + n + int(length)
		if end+4 > len(file) {
			break
		}
		binary.LittleEndian.PutUint32(file[end:], crc32.Checksum(file[at:end], castagnoli))
		at = end + 4
	}
	return file
}

func FuzzReader(f *testing.F) {
	file := smallImage(f)
	f.Add(file)
	f.Add(file[:len(file)/2])
	f.Add(bytes.ReplaceAll(file, []byte("\r\n"), []byte("\n")))
	h := testHeader()
	h.Width, h.Height, h.Channels = 1, 1, 1
	f.Add(imageFile(f, h, "i", string(make([]byte, 5000)), "q", "?", "T", ""))
	f.Add([]byte(rawHeader(1, 1, 3, 0x47, 1<<31, 0, 5000, "m")))
	f.Add([]byte(rawHeader(1, 1, 3, 0x47, 10, 10, 5000, "m") + "T\xff\xff\xff\xff\x7f"))
	f.Add([]byte(rawHeader(1, 1, 3, 0x47, 10, 10, 5000, "m") + rawChunk('x', "\x01\x03zzzz")))
	f.Fuzz(func(t *testing.T, file []byte) {
		_, _, err := readImage(bytes.NewReader(file), fuzzLimits)
		if err != nil {
			require.ErrorIs(t, err, ErrFormat)
			requireOneLine(t, err)
		}
		file = fixChecksums(file)
		h, chunks, err := readImage(bytes.NewReader(file), fuzzLimits)
		if err != nil {
			require.ErrorIs(t, err, ErrFormat)
			requireOneLine(t, err)
			return
		}
		// What can be read can be written, and is then the same to a reader.
		var buf bytes.Buffer
		w, err := NewWriter(&buf, &h)
		require.NoError(t, err)
		for _, c := range chunks {
			require.NoError(t, w.WriteChunk(c.Type, c.Data))
		}
		require.NoError(t, w.Close())
		h2, chunks2, err := readImage(&buf, fuzzLimits)
		require.NoError(t, err)
		require.Equal(t, h, h2)
		require.Equal(t, len(chunks), len(chunks2))
		for i, c := range chunks {
			require.Equal(t, c.Type, chunks2[i].Type)
			require.Equal(t, c.Data, chunks2[i].Data)
		}
	})
}

func FuzzReadModel(f *testing.F) {
	file := modelBytes(f, testModel())
	f.Add(file)
	f.Add(file[:len(file)/2])
	f.Add(modelBytes(f, &ModelFile{Name: "m"}))
	f.Add([]byte(modelSignature + rawChunk('M', "\x01m") + tensorChunk("\x01w\x01\x01\xff\xff\x3f\x01\xff\xff\xff\x01\x28\xb5\x2f\xfd")))
	f.Add([]byte(modelSignature + rawChunk('M', "\x01m") + tensorChunk("\x01w\x04\x01\x04\x00abcd") + rawChunk('D', "\x00{}") + "\xae"))
	f.Fuzz(func(t *testing.T, file []byte) {
		_, err := ReadModel(bytes.NewReader(file), fuzzLimits)
		if err != nil {
			require.ErrorIs(t, err, ErrFormat)
			requireOneLine(t, err)
		}
		file = fixChecksums(file)
		m, err := ReadModel(bytes.NewReader(file), fuzzLimits)
		_, derr := ReadDecoder(bytes.NewReader(file), fuzzLimits)
		if err != nil {
			require.ErrorIs(t, err, ErrFormat)
			requireOneLine(t, err)
			return
		}
		require.NoError(t, derr)
		var buf bytes.Buffer
		require.NoError(t, WriteModel(&buf, m))
		again, err := ReadModel(&buf, nil)
		require.NoError(t, err)
		require.Equal(t, m.Fingerprint(), again.Fingerprint())
		require.Equal(t, len(m.Encoder), len(again.Encoder))
	})
}

// FuzzDecodeSymbols decodes arbitrary bytes. The first two bytes choose the
// tables and the length, so that all paths are in reach.
func FuzzDecodeSymbols(f *testing.F) {
	sets := []*TableSet{scaleTables(f), oddTables(f)}
	setup := func(mode, length byte) (*TableSet, []uint8) {
		ts := sets[mode&1]
		n := int(length) << (mode >> 1 & 7)
		index := make([]uint8, n)
		for i := range index {
			index[i] = uint8((i*7 + i>>3) % (ts.Len() + int(mode>>4)))
			if int(index[i]) >= ts.Len() {
				index[i] = Skip
			}
		}
		return ts, index
	}
	for _, mode := range []byte{0, 1, 0x0e, 0x0f, 0x3e, 0xff} {
		for _, length := range []byte{1, 40, 200} {
			ts, index := setup(mode, length)
			sym := make([]int32, len(index))
			for i, t := range index {
				if t != Skip {
					sym[i] = min(ts.tables[t].min+int32(i%50), MaxSymbol)
				}
			}
			b, err := EncodeSymbols([]byte{mode, length}, ts, index, sym)
			require.NoError(f, err)
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 2 {
			return
		}
		ts, index := setup(b[0], b[1])
		b = b[2:]
		sym := make([]int32, len(index))
		err := DecodeSymbols(b, ts, index, sym)
		pieces := make([]int32, len(index))
		piecewise := decodePieces(b, ts, index, pieces)
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			requireOneLine(t, err)
			require.ErrorIs(t, piecewise, ErrCorrupt)
			return
		}
		require.NoError(t, piecewise)
		require.Equal(t, sym, pieces)
		if len(index) <= 4096 {
			want, err := specDecode(b, ts, index)
			require.NoError(t, err)
			require.Equal(t, want, sym)
		}
		// A stream that decodes is the one that the encoder writes.
		again, err := EncodeSymbols(nil, ts, index, sym)
		require.NoError(t, err)
		require.True(t, bytes.Equal(b, again), "not canonical: %x, %x", b, again)
	})
}

// FuzzSymbols codes arbitrary symbols.
func FuzzSymbols(f *testing.F) {
	sets := []*TableSet{scaleTables(f), oddTables(f)}
	f.Add(false, uint16(1), []byte{1, 0, 0, 0, 0, 3, 255, 255, 255, 255, Skip})
	f.Add(true, uint16(20000), []byte{1, 0, 0, 0, 0, 3, 255, 255, 255, 255})
	f.Add(true, uint16(16384), []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, odd bool, pad uint16, b []byte) {
		ts := sets[0]
		if odd {
			ts = sets[1]
		}
		// Five bytes a symbol, after pad cheap ones.
		index, sym := make([]uint8, pad), make([]int32, pad)
		for ; len(b) >= 5; b = b[5:] {
			v := int32(binary.LittleEndian.Uint32(b[1:])) % (MaxSymbol + 1)
			if int(b[0]) < ts.Len() {
				index, sym = append(index, b[0]), append(sym, v)
			} else {
				index, sym = append(index, Skip), append(sym, 0)
			}
		}
		stream, err := EncodeSymbols(nil, ts, index, sym)
		require.NoError(t, err)
		got := make([]int32, len(sym))
		require.NoError(t, DecodeSymbols(stream, ts, index, got))
		require.Equal(t, sym, got)
		require.LessOrEqual(t, float64(len(stream)), ts.Bits(index, sym)/8*1.0001+5)
	})
}
