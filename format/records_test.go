package format

import (
	"bytes"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func testRecordHeader() *RecordHeader {
	return &RecordHeader{
		Values: ValuesFloat32, Shape: []uint32{28, 28, 3}, Count: 1000, Group: 400, Quality: 5025,
		Bounded: true, MaxError: 0.125, Step: 0.2, Model: "digits", Fingerprint: [16]byte{1, 2, 3},
	}
}

// recordFile writes a file of the given chunks: type, data, type, data, ...
func recordFile(t testing.TB, h *RecordHeader, chunks ...string) []byte {
	var buf bytes.Buffer
	w, err := NewRecordWriter(&buf, h)
	require.NoError(t, err)
	for i := 0; i < len(chunks); i += 2 {
		require.NoError(t, w.WriteChunk(ChunkType(chunks[i][0]), []byte(chunks[i+1])))
	}
	require.NoError(t, w.Close())
	return buf.Bytes()
}

func smallRecords(t testing.TB) []byte {
	return recordFile(t, testRecordHeader(), "l", "labels", "R", "the first group", "c", "comment", "R", "", "q", "unknown", "R", "last")
}

func readRecords(r io.Reader, lim *Limits) (RecordHeader, []Chunk, error) {
	rd, err := NewRecordReader(r, lim)
	if err != nil {
		return RecordHeader{}, nil, err
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

func TestRecordRoundTrip(t *testing.T) {
	origin := strings.Repeat("origin ", 500)
	for _, h := range []*RecordHeader{
		testRecordHeader(),
		{Values: ValuesUint8, Shape: []uint32{1}, Count: 1, Group: 1, Quality: 100, Model: "m"},
		{Values: ValuesUint8, Shape: []uint32{1 << 12, 1 << 12}, Count: 2, Group: 1, Quality: 10000, Model: strings.Repeat("m", 64)},
	} {
		chunks := []string{"o", origin, "l", ""}
		for range h.Groups() {
			chunks = append(chunks, "R", "group")
		}
		file := recordFile(t, h, chunks...)
		require.Less(t, len(file), 400, "the origin is compressed")
		back, got, err := readRecords(bytes.NewReader(file), &Limits{MaxValues: math.MaxInt64})
		require.NoError(t, err)
		require.Equal(t, *h, back)
		require.Len(t, got, 2+h.Groups())
		require.Equal(t, origin, string(got[0].Data))
		require.Equal(t, "group", string(got[2].Data))
		kind, ok := FileKind(file)
		require.True(t, ok)
		require.Equal(t, KindRecords, kind)
	}
	longest := &RecordHeader{
		Shape: []uint32{math.MaxUint32, math.MaxUint32, math.MaxUint32}, Count: math.MaxUint32, Group: math.MaxUint32,
		Bounded: true, Model: strings.Repeat("m", 64),
	}
	require.LessOrEqual(t, len(longest.append(nil)), maxHeaderBytes)
}

func TestFileKind(t *testing.T) {
	kind, ok := FileKind(smallImage(t))
	require.True(t, ok)
	require.Equal(t, KindImage, kind)
	for _, head := range []string{"", imageSignature, imageSignature + "H\x22\x01", "\x89PNG\r\n\x1a\nH\x22\x01\x02", imageSignature + "T\x22\x01\x02"} {
		_, ok := FileKind([]byte(head))
		require.False(t, ok)
	}
}

func TestRecordDamage(t *testing.T) {
	file := smallRecords(t)
	for n := range file {
		_, _, err := readRecords(bytes.NewReader(file[:n]), nil)
		require.ErrorIs(t, err, ErrTruncated, "%d bytes", n)
	}
	for i := range 8 * len(file) {
		damaged := bytes.Clone(file)
		damaged[i/8] ^= 1 << (i % 8)
		_, _, err := readRecords(bytes.NewReader(damaged), nil)
		require.ErrorIs(t, err, ErrFormat, "bit %d", i)
		requireOneLine(t, err)
	}
}

// rawRecordHeader makes a file's beginning by hand, so that it can be wrong.
func rawRecordHeader(change func(*RecordHeader)) string {
	h := testRecordHeader()
	change(h)
	return imageSignature + rawChunk('H', string(h.append(nil)))
}

func TestRecordHeaderErrors(t *testing.T) {
	raw := rawRecordHeader
	good := raw(func(*RecordHeader) {})
	_, err := NewRecordReader(strings.NewReader(good), nil)
	require.NoError(t, err)
	body := good[len(imageSignature)+2 : len(good)-4]
	for _, c := range []struct {
		file, want string
		kind       error
	}{
		{imageSignature + rawChunk('H', "\x02"+body[1:]), "version: version 2, this reader knows 1", ErrVersion},
		{imageSignature + rawChunk('H', "\x01\x01"+body[2:]), "kind: the file holds an image, not records", ErrUnsupported},
		{imageSignature + rawChunk('H', "\x01\x03"+body[2:]), "kind: unknown kind 3", ErrUnsupported},
		{imageSignature + rawChunk('H', "\x01\x02\x33"+body[3:]), "header: reserved flags 0x20 are set", ErrUnsupported},
		{imageSignature + rawChunk('H', body[:20]), "header: malformed", ErrCorrupt},
		{imageSignature + rawChunk('H', body+"x"), "header: malformed", ErrCorrupt},
		{imageSignature + rawChunk('H', ""), "header: malformed", ErrCorrupt},
		{imageSignature + rawChunk('R', ""), "header: the first chunk is not the header", ErrCorrupt},
		{raw(func(h *RecordHeader) { h.Values = 3 }), "values: unknown type 3", ErrUnsupported},
		{raw(func(h *RecordHeader) { h.Shape = nil }), "shape: 0 sides, not 1 to 3", ErrCorrupt},
		{raw(func(h *RecordHeader) { h.Shape = []uint32{1, 1, 1, 1} }), "shape: 4 sides, not 1 to 3", ErrCorrupt},
		{raw(func(h *RecordHeader) { h.Shape[1] = 0 }), "shape: [28 0 3]: not 1 to 16777216 values", ErrCorrupt},
		{raw(func(h *RecordHeader) { h.Shape[1] = math.MaxUint32 }), "shape: [28 4294967295 3]: not 1 to 16777216 values", ErrCorrupt},
		{raw(func(h *RecordHeader) { h.Count = 0 }), "records: 0 records, not 1 to 2147483647", ErrCorrupt},
		{raw(func(h *RecordHeader) { h.Count = math.MaxUint32 }), "records: 4294967295 records, not 1 to 2147483647", ErrCorrupt},
		{raw(func(h *RecordHeader) { h.Count = math.MaxInt32 }), "size: 2147483647 records of [28 28 3], limit 268435456 values", ErrLimit},
		{raw(func(h *RecordHeader) { h.Group = 0 }), "records: 0 records of [28 28 3] in a chunk", ErrCorrupt},
		{raw(func(h *RecordHeader) { h.Group = 7134 }), "records: 7134 records of [28 28 3] in a chunk", ErrCorrupt},
		{raw(func(h *RecordHeader) { h.Quality = 99 }), "quality: 99 hundredths, not 100 to 10000", ErrCorrupt},
		{raw(func(h *RecordHeader) { h.MaxError = -1 }), "error bound: -1", ErrCorrupt},
		{raw(func(h *RecordHeader) { h.MaxError = math.NaN() }), "error bound: NaN", ErrCorrupt},
		{raw(func(h *RecordHeader) { h.MaxError = math.Inf(1) }), "error bound: +Inf", ErrCorrupt},
		{raw(func(h *RecordHeader) { h.Step = 0 }), "error bound: step 0", ErrCorrupt},
		{raw(func(h *RecordHeader) { h.Step = float32(math.Inf(1)) }), "error bound: step +Inf", ErrCorrupt},
		{raw(func(h *RecordHeader) { h.Model = "" }), "model name: 0 bytes, not 1 to 64", ErrCorrupt},
	} {
		_, err := NewRecordReader(strings.NewReader(c.file), nil)
		require.EqualError(t, err, "format: "+c.want)
		require.ErrorIs(t, err, c.kind, c.want)
	}
	_, err = NewRecordWriter(io.Discard, &RecordHeader{})
	require.ErrorIs(t, err, ErrFormat)
}

func TestRecordChunkErrors(t *testing.T) {
	head := rawRecordHeader(func(h *RecordHeader) { h.Group = 1000 })
	group := rawChunk('R', "g")
	for file, want := range map[string]string{
		head + "\xae":                 "end mark: after 0 of 1 groups of records",
		head + group + group + "\xae": "chunk R: more than the 1 groups of the file",
		head + rawChunk('l', "\x00") + rawChunk('l', "\x00"): "chunk l: occurs twice",
		head + rawChunk('T', ""):                             "chunk T: unknown critical chunk",
		head + rawChunk('l', "\x01\xff\xff\xff\x0fzzzz"):     "chunk l: 33554431 bytes, limit 16777216",
		head + "R" + strings.Repeat("\xff", 9) + "\x01":      "chunk R: 18446744073709551615 bytes, limit 268435456",
	} {
		_, _, err := readRecords(strings.NewReader(file), nil)
		require.EqualError(t, err, "format: "+want)
	}
	w, err := NewRecordWriter(io.Discard, testRecordHeader())
	require.NoError(t, err)
	require.ErrorContains(t, w.WriteChunk('T', nil), "unknown critical chunk")
	require.ErrorContains(t, w.WriteChunk('1', nil), "not a letter")
	require.ErrorContains(t, w.Close(), "after 0 of 3 groups")
}

func FuzzRecordReader(f *testing.F) {
	file := smallRecords(f)
	f.Add(file)
	f.Add(file[:len(file)/2])
	f.Add(smallImage(f))
	f.Add([]byte(rawRecordHeader(func(h *RecordHeader) { h.Count, h.Bounded = math.MaxInt32, false })))
	f.Fuzz(func(t *testing.T, file []byte) {
		file = fixChecksums(file)
		h, chunks, err := readRecords(bytes.NewReader(file), fuzzLimits)
		if err != nil {
			require.ErrorIs(t, err, ErrFormat)
			requireOneLine(t, err)
			return
		}
		var buf bytes.Buffer
		w, err := NewRecordWriter(&buf, &h)
		require.NoError(t, err)
		for _, c := range chunks {
			require.NoError(t, w.WriteChunk(c.Type, c.Data))
		}
		require.NoError(t, w.Close())
		h2, chunks2, err := readRecords(&buf, fuzzLimits)
		require.NoError(t, err)
		require.Equal(t, h, h2)
		require.Equal(t, len(chunks), len(chunks2))
		for i, c := range chunks {
			require.Equal(t, c.Data, chunks2[i].Data)
		}
	})
}
