package format

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

func testHeader() *Header {
	h := &Header{
		Kind: KindImage, Width: 1500, Height: 700, Channels: 3, Depth: 8,
		TileLog2: 10, Quality: 5025, Model: "photo",
	}
	for i := range h.Fingerprint {
		h.Fingerprint[i] = byte(17 * i)
	}
	return h
}

// imageFile writes a file of the given chunks: type, data, type, data, ...
func imageFile(t testing.TB, h *Header, chunks ...string) []byte {
	var buf bytes.Buffer
	w, err := NewWriter(&buf, h)
	require.NoError(t, err)
	for i := 0; i < len(chunks); i += 2 {
		require.NoError(t, w.WriteChunk(ChunkType(chunks[i][0]), []byte(chunks[i+1])))
	}
	require.NoError(t, w.Close())
	return buf.Bytes()
}

// readImage reads all of a file.
func readImage(r io.Reader, lim *Limits) (Header, []Chunk, error) {
	rd, err := NewReader(r, lim)
	if err != nil {
		return Header{}, nil, err
	}
	var chunks []Chunk
	for {
		c, err := rd.Next()
		if err == io.EOF {
			return rd.Header(), chunks, nil
		}
		if err != nil {
			return rd.Header(), chunks, err
		}
		chunks = append(chunks, c)
	}
}

func smallImage(t testing.TB) []byte {
	h := testHeader()
	h.Alpha = true
	return imageFile(t, h, "c", "a comment", "T", "the first tile", "A", "alpha", "T", "the second tile")
}

func TestImageRoundTrip(t *testing.T) {
	h := testHeader()
	h.Alpha = true
	profile := strings.Repeat("profile ", 1000)
	noise := make([]byte, 300000)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	file := imageFile(t, h, "i", profile, "e", "", "x", string(noise[:50]), "q", "unknown", "T", string(noise), "A", "alpha", "T", "")
	require.Less(t, len(file), len(noise)+300, "metadata are compressed")

	for name, r := range map[string]io.Reader{
		"bytes":       bytes.NewReader(file),
		"byte a time": iotest.OneByteReader(bytes.NewReader(file)),
		"data+error":  iotest.DataErrReader(bytes.NewReader(file)),
	} {
		got, chunks, err := readImage(r, nil)
		require.NoError(t, err, name)
		require.Equal(t, *h, got)
		require.Less(t, chunks[0].Stored, 100)
		chunks[0].Stored = 0
		require.Equal(t, []Chunk{
			{ChunkICC, []byte(profile), 0}, {ChunkEXIF, []byte{}, 1}, {ChunkXMP, noise[:50], 51}, {'q', []byte("unknown"), 7},
			{ChunkTile, noise, 300000}, {ChunkAlpha, []byte("alpha"), 5}, {ChunkTile, []byte{}, 0},
		}, chunks, name)
	}
}

// A photograph's file has one tile or few, and every byte counts.
func TestImageOverhead(t *testing.T) {
	h := testHeader()
	h.Width, h.Height = 768, 512
	require.Len(t, imageFile(t, h, "T", strings.Repeat("x", 4096)), 4096+54)
}

func TestReaderStopsAtEnd(t *testing.T) {
	r := strings.NewReader(string(smallImage(t)) + "more")
	rd, err := NewReader(r, nil)
	require.NoError(t, err)
	for err == nil {
		_, err = rd.Next()
	}
	require.Equal(t, io.EOF, err)
	_, err = rd.Next()
	require.Equal(t, io.EOF, err)
	rest, _ := io.ReadAll(r)
	require.Equal(t, "more", string(rest))
}

func TestImageTruncated(t *testing.T) {
	file := smallImage(t)
	for n := range file {
		_, _, err := readImage(bytes.NewReader(file[:n]), nil)
		require.ErrorIs(t, err, ErrTruncated, "%d bytes", n)
		require.ErrorIs(t, err, ErrFormat)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	}
}

func TestImageBitFlips(t *testing.T) {
	file := smallImage(t)
	for i := range 8 * len(file) {
		damaged := bytes.Clone(file)
		damaged[i/8] ^= 1 << (i % 8)
		_, _, err := readImage(bytes.NewReader(damaged), nil)
		require.ErrorIs(t, err, ErrFormat, "bit %d", i)
		requireOneLine(t, err)
	}
}

// Any two flipped bits are detected as well, and bursts; a sample.
func TestImageBursts(t *testing.T) {
	file := smallImage(t)
	rng := rand.New(rand.NewPCG(5, 5))
	for range 20000 {
		damaged := bytes.Clone(file)
		if i, j := rng.IntN(8*len(file)), rng.IntN(8*len(file)); i != j {
			damaged[i/8] ^= 1 << (i % 8)
			damaged[j/8] ^= 1 << (j % 8)
			_, _, err := readImage(bytes.NewReader(damaged), nil)
			require.ErrorIs(t, err, ErrFormat, "bits %d and %d", i, j)
		}
	}
}

func requireOneLine(t testing.TB, err error) {
	require.Regexp(t, `^format: [^\n\r]+$`, err.Error())
}

func TestImageSignature(t *testing.T) {
	file := string(smallImage(t))
	var model bytes.Buffer
	require.NoError(t, WriteModel(&model, &ModelFile{Name: "m"}))
	for _, c := range []struct {
		name, file, want string
		kind             error
	}{
		{"empty", "", "no data", ErrTruncated},
		{"short", file[:5], "data end too early", ErrTruncated},
		{"png", "\x89PNG\r\n\x1a\n????", "not an aecodec file (.aec)", ErrSignature},
		{"short text", "hi", "not an aecodec file (.aec)", ErrSignature},
		{"model", model.String(), "this is an aecodec model (.aem), not an aecodec file (.aec)", ErrSignature},
		{"crlf to lf", strings.ReplaceAll(file, "\r\n", "\n"), "damaged by a transfer as text (line ends were changed)", ErrSignature},
		{"lf to crlf", strings.ReplaceAll(file, "\n", "\r\n"), "damaged by a transfer as text (line ends were changed)", ErrSignature},
		{"lf to cr", strings.ReplaceAll(file, "\n", "\r"), "damaged by a transfer as text (line ends were changed)", ErrSignature},
		{"7 bit", "." + file[1:], "damaged by a 7-bit transfer (high bits were cleared)", ErrSignature},
		{"latin 1 to utf-8", "\xc2" + file, "damaged by a transfer as text (re-encoded as UTF-8)", ErrSignature},
		{"to valid utf-8", strings.ToValidUTF8(file, "\ufffd"), "damaged by a transfer as text (re-encoded as UTF-8)", ErrSignature},
	} {
		_, err := NewReader(strings.NewReader(c.file), nil)
		require.EqualError(t, err, "format: signature: "+c.want, c.name)
		require.ErrorIs(t, err, c.kind, c.name)
	}
	_, err := ReadModel(strings.NewReader(file), nil)
	require.EqualError(t, err, "format: signature: this is an aecodec file (.aec), not an aecodec model (.aem)")
}

// rawChunk makes a chunk by hand.
func rawChunk(typ byte, data string) string {
	b := binary.AppendUvarint([]byte{typ}, uint64(len(data)))
	b = append(b, data...)
	return string(binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)))
}

// rawHeader makes a header chunk by hand, so that it can be wrong.
func rawHeader(version, kind, layout, depth byte, width, height uint64, quality uint16, model string) string {
	b := []byte{version, kind, layout, depth}
	b = binary.AppendUvarint(b, width)
	b = binary.AppendUvarint(b, height)
	b = binary.LittleEndian.AppendUint16(b, quality)
	b = append(b, byte(len(model)))
	b = append(b, model...)
	return imageSignature + rawChunk('H', string(append(b, make([]byte, 16)...)))
}

func TestImageHeaderErrors(t *testing.T) {
	good := rawHeader(1, 1, 3, 0x47, 10, 10, 5000, "m")
	_, err := NewReader(strings.NewReader(good), nil)
	require.NoError(t, err)
	for _, c := range []struct {
		file, want string
		kind       error
	}{
		{rawHeader(2, 1, 3, 0x47, 10, 10, 5000, "m"), "version: version 2, this reader knows 1", ErrVersion},
		{rawHeader(0, 1, 3, 0x47, 10, 10, 5000, "m"), "version: version 0, this reader knows 1", ErrVersion},
		{rawHeader(1, 0, 3, 0x47, 10, 10, 5000, "m"), "kind: unknown kind 0", ErrUnsupported},
		{rawHeader(1, 2, 3, 0x47, 10, 10, 5000, "m"), "kind: the file holds records, not an image", ErrUnsupported},
		{rawHeader(1, 3, 3, 0x47, 10, 10, 5000, "m"), "kind: unknown kind 3", ErrUnsupported},
		{rawHeader(1, 1, 2, 0x47, 10, 10, 5000, "m"), "channels: 2 colour channels, not 1 or 3", ErrUnsupported},
		{rawHeader(1, 1, 0x23, 0x47, 10, 10, 5000, "m"), "header: reserved flags 0x20 are set", ErrUnsupported},
		{rawHeader(1, 1, 3, 0x49, 10, 10, 5000, "m"), "depth: 10 bits per channel, not 8", ErrUnsupported},
		{rawHeader(1, 1, 3, 0xb7, 10, 10, 5000, "m"), "tile size: 2^17 pixels, not 2^6 to 2^16", ErrCorrupt},
		{rawHeader(1, 1, 3, 0x47, 0, 10, 5000, "m"), "size: 0 x 10 pixels: no side can be zero", ErrCorrupt},
		{rawHeader(1, 1, 3, 0x47, 10, 0, 5000, "m"), "size: 10 x 0 pixels: no side can be zero", ErrCorrupt},
		{rawHeader(1, 1, 3, 0x47, 1<<31, 10, 5000, "m"), "size: 2147483648 x 10 pixels: no side can exceed 2147483647", ErrCorrupt},
		{rawHeader(1, 1, 3, 0x47, 10, 1<<63, 5000, "m"), "size: 10 x 9223372036854775808 pixels: no side can exceed 2147483647", ErrCorrupt},
		{rawHeader(1, 1, 3, 0x47, 1<<31-1, 1<<31-1, 5000, "m"), "size: 2147483647 x 2147483647 pixels, limit 268435456", ErrLimit},
		{rawHeader(1, 1, 3, 0x47, 10, 10, 99, "m"), "quality: 99 hundredths, not 100 to 10000", ErrCorrupt},
		{rawHeader(1, 1, 3, 0x47, 10, 10, 10001, "m"), "quality: 10001 hundredths, not 100 to 10000", ErrCorrupt},
		{rawHeader(1, 1, 3, 0x47, 10, 10, 5000, ""), "model name: 0 bytes, not 1 to 64", ErrCorrupt},
		{rawHeader(1, 1, 3, 0x47, 10, 10, 5000, strings.Repeat("m", 65)), "model name: 65 bytes, not 1 to 64", ErrCorrupt},
		{rawHeader(1, 1, 3, 0x47, 10, 10, 5000, "a\nb"), `model name: "a\nb" is not of letters, digits, '.', '-' and '_'`, ErrCorrupt},
		{imageSignature + rawChunk('H', ""), "header: malformed", ErrCorrupt},
		{imageSignature + rawChunk('H', "\x01\x01\x03\x47\x0a\x0a\x88"), "header: malformed", ErrCorrupt},
		{imageSignature + rawChunk('H', "\x01\x01\x03\x47\x8a\x00\x0a"+strings.Repeat("m", 30)), "header: malformed", ErrCorrupt},
		{imageSignature + rawChunk('H', good[10:len(good)-4]+"x"), "header: malformed", ErrCorrupt},
		{imageSignature + rawChunk('H', strings.Repeat("x", 200)), "header: 200 bytes, limit 128", ErrLimit},
		{imageSignature + rawChunk('T', ""), "header: the first chunk is not the header", ErrCorrupt},
		{imageSignature + string(rune(0)), "chunk 0x00: not a chunk type", ErrCorrupt},
		{imageSignature + "\xae", "header: the first chunk is not the header", ErrCorrupt},
	} {
		_, err := NewReader(strings.NewReader(c.file), nil)
		require.EqualError(t, err, "format: "+c.want)
		require.ErrorIs(t, err, c.kind, c.want)
		require.ErrorIs(t, err, ErrFormat)
	}
}

func TestImageChunkErrors(t *testing.T) {
	head := rawHeader(1, 1, 3, 0x47, 10, 10, 5000, "m")
	alpha := rawHeader(1, 1, 0x13, 0x47, 10, 10, 5000, "m")
	tile := rawChunk('T', "t")
	end := "\xae"
	for _, c := range []struct {
		file, want string
		kind       error
	}{
		{head + end, "end mark: after 0 of 1 tiles", ErrCorrupt},
		{head + tile + tile + end, "chunk T: more than the 1 tiles of the image", ErrCorrupt},
		{alpha + tile + end, "end mark: the alpha channel is missing", ErrCorrupt},
		{head + rawChunk('A', ""), "chunk A: the header announces no alpha channel", ErrCorrupt},
		{alpha + rawChunk('A', "") + rawChunk('A', ""), "chunk A: occurs twice", ErrCorrupt},
		{head + rawChunk('i', "\x00") + rawChunk('i', "\x00"), "chunk i: occurs twice", ErrCorrupt},
		{head + rawChunk('Q', ""), "chunk Q: unknown critical chunk", ErrUnsupported},
		{head + rawChunk('H', ""), "chunk H: unknown critical chunk", ErrUnsupported},
		{head + rawChunk('7', ""), "chunk 0x37: not a chunk type", ErrCorrupt},
		{head + "T\x81\x00", "chunk T: length is not a minimal uvarint", ErrCorrupt},
		{head + "T" + strings.Repeat("\xff", 9) + "\x02", "chunk T: length is not a minimal uvarint", ErrCorrupt},
		{head + "T" + strings.Repeat("\xff", 9) + "\x01", "chunk T: 18446744073709551615 bytes, limit 268435456", ErrLimit},
		{head + tile[:2] + "u" + tile[3:], "chunk T: checksum mismatch", ErrChecksum},
		{head + rawChunk('x', ""), "chunk x: malformed", ErrCorrupt},
		{head + rawChunk('x', "\x02abc"), "chunk x: unknown compression method 2", ErrUnsupported},
		{head + rawChunk('x', "\x01\xff\xff\xff\x07zzzz"), "chunk x: compressed data end too early", ErrCorrupt},
		{head + rawChunk('x', "\x01\xff\xff\xff\x0fzzzz"), "chunk x: 33554431 bytes, limit 16777216", ErrLimit},
		{head + rawChunk('x', "\x01\x03zzzz"), "chunk x: compressed data are malformed", ErrCorrupt},
		{head + rawChunk('x', "\x01\x05"+string(zstdEncoder().EncodeAll([]byte("data"), nil))), "chunk x: compressed data are malformed", ErrCorrupt},
		{head + rawChunk('x', "\x01\x03"+string(zstdEncoder().EncodeAll([]byte("data"), nil))), "chunk x: compressed data are malformed", ErrCorrupt},
	} {
		_, _, err := readImage(strings.NewReader(c.file), nil)
		require.EqualError(t, err, "format: "+c.want)
		require.ErrorIs(t, err, c.kind, c.want)
	}
}

func TestImageLimits(t *testing.T) {
	file := imageFile(t, testHeader(), "c", strings.Repeat("c", 1000), "q", "12345", "T", strings.Repeat("t", 500), "T", "")
	pass := &Limits{MaxPixels: 1500 * 700, MaxChunk: 500, MaxMetadata: 1005}
	_, _, err := readImage(bytes.NewReader(file), pass)
	require.NoError(t, err)
	for _, c := range []struct {
		change func(*Limits)
		want   string
	}{
		{func(l *Limits) { l.MaxPixels-- }, "format: size: 1500 x 700 pixels, limit 1049999"},
		{func(l *Limits) { l.MaxChunk-- }, "format: chunk T: 500 bytes, limit 499"},
		{func(l *Limits) { l.MaxMetadata-- }, "format: chunk q: 5 bytes, limit 4"},
		{func(l *Limits) { l.MaxMetadata = 999 }, "format: chunk c: 1000 bytes, limit 999"},
		{func(l *Limits) { l.MaxMetadata = -1 }, ""},
	} {
		lim := *pass
		c.change(&lim)
		_, _, err := readImage(bytes.NewReader(file), &lim)
		require.ErrorIs(t, err, ErrLimit)
		if c.want != "" {
			require.EqualError(t, err, c.want)
		}
	}
}

// A chunk that announces what it does not hold must not take memory for it.
func TestAnnouncedSizesAreNotAllocated(t *testing.T) {
	head := rawHeader(1, 1, 3, 0x47, 10, 10, 5000, "m")
	huge := head + "T" + string(binary.AppendUvarint(nil, 1<<30)) + "0123456789"
	lim := &Limits{MaxChunk: 1 << 31, MaxModel: 1 << 31}
	model := modelSignature + "M" + string(binary.AppendUvarint(nil, 1<<30)) + "0123456789"
	tensor := modelSignature + rawChunk('M', "\x01m") + rawChunk('W', "\x01t\x01\x01"+
		string(binary.AppendUvarint(nil, 1<<28))+"\x01"+string(binary.AppendUvarint(nil, 1<<30))+"\x28\xb5\x2f\xfd\xa0")
	require.Less(t, allocated(func() {
		_, _, err := readImage(iotest.DataErrReader(strings.NewReader(huge)), lim)
		require.ErrorIs(t, err, ErrTruncated)
		_, err = ReadModel(iotest.DataErrReader(strings.NewReader(model)), lim)
		require.ErrorIs(t, err, ErrTruncated)
		_, err = ReadModel(strings.NewReader(tensor), lim)
		require.EqualError(t, err, `format: tensor "t": compressed data end too early`)
	}), uint64(1<<20))
}

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestReaderPassesErrorsOn(t *testing.T) {
	broken := errors.New("disk on fire")
	file := smallImage(t)
	for _, n := range []int{0, 3, 8, 9, 30, 60, 80, len(file) - 1} {
		_, _, err := readImage(io.MultiReader(bytes.NewReader(file[:n]), iotest.ErrReader(broken)), nil)
		require.ErrorIs(t, err, broken, "%d bytes", n)
		require.NotErrorIs(t, err, ErrFormat)
		requireOneLine(t, err)
	}
}

func TestWriterErrors(t *testing.T) {
	h := testHeader()
	h.Width = 0
	_, err := NewWriter(io.Discard, h)
	require.EqualError(t, err, "format: size: 0 x 700 pixels: no side can be zero")

	w, err := NewWriter(io.Discard, testHeader())
	require.NoError(t, err)
	require.EqualError(t, w.WriteChunk('7', nil), "format: write chunk: type 0x37 is not a letter")
	require.EqualError(t, w.WriteChunk('Q', nil), "format: chunk Q: unknown critical chunk")
	require.EqualError(t, w.WriteChunk(ChunkAlpha, nil), "format: chunk A: the header announces no alpha channel")
	require.NoError(t, w.WriteChunk(ChunkTile, nil))
	require.EqualError(t, w.Close(), "format: end mark: after 1 of 2 tiles")
	require.NoError(t, w.WriteChunk(ChunkTile, nil))
	require.EqualError(t, w.WriteChunk(ChunkTile, nil), "format: chunk T: more than the 2 tiles of the image")

	w, err = NewWriter(io.Discard, testHeader())
	require.NoError(t, err)
	require.NoError(t, w.WriteChunk(ChunkTile, nil))
	require.NoError(t, w.WriteChunk(ChunkTile, nil))
	require.NoError(t, w.Close())
	require.EqualError(t, w.Close(), "format: write after close")
	require.EqualError(t, w.WriteChunk('c', nil), "format: write after close")

	full := errors.New("disk full")
	w, err = NewWriter(failingWriter{full}, testHeader())
	require.NoError(t, err)
	require.ErrorIs(t, w.WriteChunk(ChunkTile, make([]byte, 1<<16)), full)
	require.ErrorIs(t, w.WriteChunk(ChunkTile, nil), full)
	require.ErrorIs(t, w.Close(), full)
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestHeaderTiles(t *testing.T) {
	for _, c := range []struct {
		w, h          uint32
		log2          uint8
		columns, rows int
	}{
		{1, 1, 10, 1, 1}, {1024, 1025, 10, 1, 2}, {65, 64, 6, 2, 1}, {1<<31 - 1, 1<<31 - 1, 16, 32768, 32768},
	} {
		columns, rows := (&Header{Width: c.w, Height: c.h, TileLog2: c.log2}).Tiles()
		require.Equal(t, [2]int{c.columns, c.rows}, [2]int{columns, rows})
	}
}
