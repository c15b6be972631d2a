package format

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

func testModel() *ModelFile {
	return &ModelFile{
		Name:        "photo-1.0",
		Description: []byte(`{"networks":[]}`),
		Decoder: []Tensor{
			NewFloat16("synthesis.stem.weight", []int{2, 3}, []float32{0, -1, 2.5, 1e-7, 65504, 1.0 / 3}),
			NewFloat32("synthesis.stem.bias", []int{2}, []float32{math.MaxFloat32, -1e-45}),
			NewInt16("scale.weight", []int{1, 1, 3}, []int16{-32768, 0, 32767}),
			NewInt32("scale.bias", nil, []int32{-123456789}),
			NewUint16("prior.freq", []int{2}, []uint16{65535, 1}),
			NewInt8("light.weight", []int{5}, []int8{-128, -1, 0, 1, 127}),
		},
		Encoder: []Tensor{NewFloat16("analysis.stem.weight", []int{400}, make([]float32, 400))},
		Record:  []byte(`{"steps":1000}`),
	}
}

func modelBytes(t testing.TB, m *ModelFile) []byte {
	var buf bytes.Buffer
	require.NoError(t, WriteModel(&buf, m))
	return buf.Bytes()
}

func TestModelRoundTrip(t *testing.T) {
	m := testModel()
	file := modelBytes(t, m)
	require.Less(t, len(file), 600)
	for _, r := range []bool{false, true} {
		got, err := ReadModel(bytes.NewReader(file), nil)
		if r {
			got, err = ReadModel(iotest.OneByteReader(bytes.NewReader(file)), nil)
		}
		require.NoError(t, err)
		require.Equal(t, m, got)
	}

	receiver, err := ReadDecoder(bytes.NewReader(file), nil)
	require.NoError(t, err)
	require.Nil(t, receiver.Encoder)
	require.Equal(t, m.Decoder, receiver.Decoder)
	require.Equal(t, m.Fingerprint(), receiver.Fingerprint())

	// A decoder-only file.
	again, err := ReadModel(bytes.NewReader(modelBytes(t, receiver)), nil)
	require.NoError(t, err)
	require.Equal(t, receiver, again)

	least := &ModelFile{Name: "m", Description: []byte{}}
	again, err = ReadModel(bytes.NewReader(modelBytes(t, least)), nil)
	require.NoError(t, err)
	require.Equal(t, least, again)
}

func TestModelLarge(t *testing.T) {
	// Weights as trained: the tensor is larger than zstd's window.
	rng := rand.New(rand.NewPCG(1, 1))
	w := make([]float32, 5<<20)
	for i := range w {
		w[i] = float32(0.05 * rng.NormFloat64())
	}
	m := &ModelFile{Name: "large", Description: []byte("{}"), Decoder: []Tensor{NewFloat16("w", []int{5, 1 << 20}, w)}}
	file := modelBytes(t, m)
	require.Less(t, float64(len(file)), 0.87*float64(len(m.Decoder[0].Data)), "planes compress")
	got, err := ReadModel(bytes.NewReader(file), nil)
	require.NoError(t, err)
	require.True(t, bytes.Equal(m.Decoder[0].Data, got.Decoder[0].Data))
}

func TestModelDamage(t *testing.T) {
	file := modelBytes(t, testModel())
	for _, read := range []func(b []byte) error{
		func(b []byte) error { _, err := ReadModel(bytes.NewReader(b), nil); return err },
		func(b []byte) error { _, err := ReadDecoder(bytes.NewReader(b), nil); return err },
	} {
		for n := range file {
			require.ErrorIs(t, read(file[:n]), ErrTruncated, "%d bytes", n)
		}
		for i := range 8 * len(file) {
			damaged := bytes.Clone(file)
			damaged[i/8] ^= 1 << (i % 8)
			err := read(damaged)
			require.ErrorIs(t, err, ErrFormat, "bit %d", i)
			requireOneLine(t, err)
		}
	}
}

// tensorChunk makes a decoder tensor by hand.
func tensorChunk(data string) string { return rawChunk('W', data) }

func TestModelErrors(t *testing.T) {
	head := modelSignature + rawChunk('M', "\x01m")
	description := rawChunk('D', "\x00{}")
	end := "\xae"
	for _, c := range []struct {
		file, want string
		kind       error
	}{
		{modelSignature + end, "end mark: the description is missing", ErrCorrupt},
		{head + end, "end mark: the description is missing", ErrCorrupt},
		{modelSignature + description, "chunk D: the first chunk, and only that, is the model's head", ErrCorrupt},
		{head + rawChunk('M', "\x01m"), "chunk M: the first chunk, and only that, is the model's head", ErrCorrupt},
		{modelSignature + rawChunk('M', "\x02m") + end, "version: version 2, this reader knows 1", ErrVersion},
		{modelSignature + rawChunk('M', "") + description + end, "model name: 0 bytes, not 1 to 64", ErrCorrupt},
		{head + description + description, "chunk D: occurs twice", ErrCorrupt},
		{head + rawChunk('r', "\x00") + rawChunk('r', "\x00"), "chunk r: occurs twice", ErrCorrupt},
		{head + rawChunk('Q', ""), "chunk Q: unknown critical chunk", ErrUnsupported},
		{head + rawChunk('D', ""), "chunk D: malformed", ErrCorrupt},
		{head + tensorChunk(""), "tensor: malformed head", ErrCorrupt},
		{head + tensorChunk("\x01"), "tensor: malformed head", ErrCorrupt},
		{head + tensorChunk("\x01w\x01\x02\x01"), "tensor: malformed head", ErrCorrupt},
		{head + tensorChunk("\x01w\x01\x01\x01"), `tensor "w": malformed`, ErrCorrupt},
		{head + tensorChunk("\x00\x01\x00\x00aaaa"), `tensor "": a name has 1 to 255 bytes`, ErrCorrupt},
		{head + tensorChunk("\x01\n\x09\x00\x00aaaa"), `tensor "\n": unknown element type 9`, ErrUnsupported},
		{head + tensorChunk("\x01w\x00\x00\x00aaaa"), `tensor "w": unknown element type 0`, ErrUnsupported},
		{head + tensorChunk("\x01w\x01\x00\x00aaa"), `tensor "w": 3 bytes of data for shape [] of f32`, ErrCorrupt},
		{head + tensorChunk("\x01w\x02\x01\x03\x00aaaaa"), `tensor "w": 5 bytes of data for shape [3] of f16`, ErrCorrupt},
		{head + tensorChunk("\x01w\x04\x02\x03\x00\x00"), `tensor "w": impossible shape [3 0]`, ErrCorrupt},
		{head + tensorChunk("\x01w\x04\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02\x00"), fmt.Sprintf(`tensor "w": impossible shape [%d 2]`, math.MaxInt), ErrCorrupt},
		{head + tensorChunk("\x01w\x04\x09"+strings.Repeat("\x01", 9)+"\x00a"), `tensor "w": 9 sides, at most 8`, ErrCorrupt},
		{head + description + tensorChunk("\x01w\x04\x00\x00a") + tensorChunk("\x01w\x04\x00\x00b") + end, `model: two tensors are named "w"`, ErrCorrupt},
	} {
		_, err := ReadModel(strings.NewReader(c.file), nil)
		require.EqualError(t, err, "format: "+c.want)
		require.ErrorIs(t, err, c.kind, c.want)
	}
	// Unknown ancillary chunks are passed over.
	_, err := ReadModel(strings.NewReader(head+description+rawChunk('z', "?")+end), nil)
	require.NoError(t, err)
}

func TestModelLimits(t *testing.T) {
	m := &ModelFile{Name: "m", Description: make([]byte, 1000)}
	for _, name := range []string{"a", "b", "c"} {
		m.Decoder = append(m.Decoder, NewFloat32(name, []int{1000}, make([]float32, 1000)))
	}
	file := modelBytes(t, m)
	require.Less(t, len(file), 300)
	need := int64(1000 + 3*(4000+1+8))
	_, err := ReadModel(bytes.NewReader(file), &Limits{MaxModel: need})
	require.NoError(t, err)
	_, err = ReadModel(bytes.NewReader(file), &Limits{MaxModel: need - 10})
	require.ErrorIs(t, err, ErrLimit)
	require.EqualError(t, err, `format: tensor "c": 4000 bytes, limit 3999`)
}

func TestWriteModelErrors(t *testing.T) {
	for _, c := range []struct {
		change func(*ModelFile)
		want   string
	}{
		{func(m *ModelFile) { m.Name = "a b" }, `format: model name: "a b" is not of letters, digits, '.', '-' and '_'`},
		{func(m *ModelFile) { m.Encoder[0].Shape = []int{3} }, `format: tensor "analysis.stem.weight": 800 bytes of data for shape [3] of f16`},
		{func(m *ModelFile) { m.Decoder[1].Name = m.Decoder[0].Name }, `format: model: two tensors are named "synthesis.stem.weight"`},
	} {
		m := testModel()
		c.change(m)
		var buf bytes.Buffer
		require.EqualError(t, WriteModel(&buf, m), c.want)
		require.Zero(t, buf.Len())
	}
}

func TestFingerprint(t *testing.T) {
	f := testModel().Fingerprint()
	require.Equal(t, "8fffc3843a6ffed39b6bf041a39ec241", hex.EncodeToString(f[:]))

	// What does not decide a decoded bit does not count.
	m := testModel()
	m.Name, m.Encoder, m.Record = "other", nil, nil
	m.Decoder[0], m.Decoder[3] = m.Decoder[3], m.Decoder[0]
	require.Equal(t, f, m.Fingerprint())

	seen := map[[16]byte]bool{f: true}
	for _, change := range []func(*ModelFile){
		func(m *ModelFile) { m.Description = append(m.Description, ' ') },
		func(m *ModelFile) { m.Decoder = m.Decoder[1:] },
		func(m *ModelFile) { m.Decoder = nil },
		func(m *ModelFile) { m.Decoder[0].Name += "x" },
		func(m *ModelFile) { m.Decoder[0].Data[3] ^= 1 },
		func(m *ModelFile) { m.Decoder[0].Shape = []int{3, 2} },
		func(m *ModelFile) { m.Decoder[0].DType = I16 },
	} {
		m := testModel()
		change(m)
		require.False(t, seen[m.Fingerprint()])
		seen[m.Fingerprint()] = true
	}
}

func TestTensorAccess(t *testing.T) {
	m := testModel()
	f16, err := m.Decoder[0].Float32s()
	require.NoError(t, err)
	require.Equal(t, []float32{0, -1, 2.5, 1.1920929e-07, 65504, 0.33325195}, f16)
	f32, err := m.Decoder[1].Float32s()
	require.NoError(t, err)
	require.Equal(t, []float32{math.MaxFloat32, -1e-45}, f32)
	i16, err := m.Decoder[2].Int16s()
	require.NoError(t, err)
	require.Equal(t, []int16{-32768, 0, 32767}, i16)
	i32, err := m.Decoder[3].Int32s()
	require.NoError(t, err)
	require.Equal(t, []int32{-123456789}, i32)
	u16, err := m.Decoder[4].Uint16s()
	require.NoError(t, err)
	require.Equal(t, []uint16{65535, 1}, u16)
	i8, err := m.Decoder[5].Int8s()
	require.NoError(t, err)
	require.Equal(t, []int8{-128, -1, 0, 1, 127}, i8)

	_, err = m.Decoder[0].Int16s()
	require.EqualError(t, err, `format: tensor "synthesis.stem.weight": elements are f16, not i16`)
	m.Decoder[0].Data = m.Decoder[0].Data[1:]
	_, err = m.Decoder[0].Float32s()
	require.EqualError(t, err, `format: tensor "synthesis.stem.weight": 11 bytes of data for shape [2 3] of f16`)
}

func TestPlanes(t *testing.T) {
	require.Equal(t, []byte{1, 3, 5, 2, 4, 6}, toPlanes([]byte{1, 2, 3, 4, 5, 6}, 2))
	for _, size := range []int{1, 2, 4} {
		for n := range 20 {
			data := make([]byte, n*size)
			for i := range data {
				data[i] = byte(i + 1)
			}
			require.Equal(t, data, fromPlanes(toPlanes(data, size), size))
		}
	}
}

func TestFloat16(t *testing.T) {
	value := func(h uint16) float64 { // by the definition
		e, m := int(h>>10&31), float64(h&0x3ff)
		v := math.Ldexp(1024+m, e-25)
		if e == 0 {
			v = math.Ldexp(m, -24)
		}
		if h>>15 == 1 {
			v = -v
		}
		return v
	}
	for i := range 0x10000 {
		h := uint16(i)
		f := Float16FromBits(h)
		switch h & 0x7fff {
		case 0x7c00:
			require.True(t, math.IsInf(float64(f), 1-2*int(h>>15)))
			require.Equal(t, h, Float16Bits(f))
			continue
		}
		if h&0x7fff > 0x7c00 {
			require.True(t, f != f)
			require.Equal(t, h|0x200, Float16Bits(f))
			continue
		}
		require.Equal(t, value(h), float64(f), "%04x", h)
		require.Equal(t, h, Float16Bits(f))
		if h&0x7fff == 0x7bff {
			continue
		}
		// The midpoint to the next number goes to the even one, its neighbours
		// to the nearer one.
		mid := float32((value(h) + value(h+1)) / 2)
		require.Equal(t, h+h&1, Float16Bits(mid), "%04x", h)
		require.Equal(t, h, Float16Bits(math.Float32frombits(math.Float32bits(mid)-1)), "%04x", h)
		require.Equal(t, h+1, Float16Bits(math.Float32frombits(math.Float32bits(mid)+1)), "%04x", h)
	}
	for f, h := range map[float32]uint16{
		65519.996: 0x7bff, 65520: 0x7c00, -65520: 0xfc00, math.MaxFloat32: 0x7c00,
		1 << 16: 0x7c00, 5e-8: 1, 2.9802322e-08: 0, 2.9802326e-08: 1, 1e-45: 0,
		float32(math.Copysign(0, -1)): 0x8000,
	} {
		require.Equal(t, h, Float16Bits(f), "%g", f)
	}
	x := []float32{1.0 / 3, -65520}
	RoundFloat16(x)
	require.Equal(t, []float32{0.33325195, float32(math.Inf(-1))}, x)
}

// Concurrent readers and writers share the compressors.
func TestModelConcurrent(t *testing.T) {
	m := testModel()
	file := modelBytes(t, m)
	done := make(chan error)
	n := 2 * runtime.GOMAXPROCS(0)
	for range n {
		go func() {
			var err error
			for range 20 {
				var got *ModelFile
				if got, err = ReadModel(bytes.NewReader(file), nil); err != nil {
					break
				}
				var buf bytes.Buffer
				if err = WriteModel(&buf, got); err != nil {
					break
				}
			}
			done <- err
		}()
	}
	for range n {
		require.NoError(t, <-done)
	}
}
