package record

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/format"
	"github.com/stretchr/testify/require"
)

// smallFiles are files with every kind of chunk and of residual, and the model of
// both.
func smallFiles(t testing.TB) (m *Model, files [][]byte) {
	s := pattern(Float32, 5)
	m = convolutional(t, Float32)
	s.Labels = []int{1, -2, 3, 0, 5}
	s.Origin = &Origin{Format: NPY}
	files = append(files, encode(t, s, &Options{Model: m}))
	for _, e := range []float64{0.3, 1e-3, 1e-12} {
		files = append(files, encode(t, s, &Options{Model: m, Bounded: true, MaxError: e}))
	}
	spike := pattern(Float32, 2)
	spike.Data[77], spike.Data[5] = math.MaxFloat32, 1e-20
	return m, append(files, encode(t, spike, &Options{Model: m, Bounded: true, MaxError: 0.1}))
}

func tryDecode(data []byte, m *Model) (*Set, error) {
	return Decode(bytes.NewReader(data), &DecodeOptions{Models: []*Model{m}, Threads: 1})
}

func TestTruncation(t *testing.T) {
	m, files := smallFiles(t)
	for _, data := range files {
		_, err := tryDecode(data, m)
		require.NoError(t, err)
		for n := range data {
			_, err := tryDecode(data[:n], m)
			require.ErrorIs(t, err, format.ErrFormat, "%d of %d bytes", n, len(data))
			require.NotContains(t, err.Error(), "\n")
		}
	}
}

func TestBitFlips(t *testing.T) {
	m, files := smallFiles(t)
	for _, data := range files {
		for i := range 8 * len(data) {
			bad := bytes.Clone(data)
			bad[i/8] ^= 1 << (i % 8)
			_, err := tryDecode(bad, m)
			require.ErrorIs(t, err, format.ErrFormat, "bit %d", i)
		}
	}
}

// rebuild writes the file again with each chunk changed, so that checksums match.
func rebuild(t testing.TB, data []byte, change func(kind format.ChunkType, data []byte) []byte) []byte {
	r, err := format.NewRecordReader(bytes.NewReader(data), nil)
	require.NoError(t, err)
	h := r.Header()
	var out bytes.Buffer
	w, err := format.NewRecordWriter(&out, &h)
	require.NoError(t, err)
	for {
		c, err := r.Next()
		if err != nil {
			break
		}
		require.NoError(t, w.WriteChunk(c.Type, change(c.Type, c.Data)))
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

// Damage that checksums do not show gives an error or a valid set, in which
// every value is finite.
func TestDamageBehindChecksums(t *testing.T) {
	m, files := smallFiles(t)
	r := rand.New(rand.NewPCG(9, 9))
	failed := 0
	for i := range 1500 {
		data := rebuild(t, files[i%len(files)], func(kind format.ChunkType, data []byte) []byte {
			if kind != format.ChunkGroup && r.IntN(4) > 0 {
				return data
			}
			switch data = bytes.Clone(data); {
			case len(data) == 0 || r.IntN(8) == 0:
				data = append(data, byte(r.Uint32()))
			case r.IntN(4) == 0:
				data = data[:r.IntN(len(data))]
			default:
				at := r.IntN(len(data))
				if r.IntN(2) == 0 {
					at = r.IntN(min(len(data), 60)) // where the tables are
				}
				data[at] = byte(r.Uint32())
			}
			return data
		})
		s, err := tryDecode(data, m)
		if err != nil {
			require.ErrorIs(t, err, format.ErrFormat)
			require.NotContains(t, err.Error(), "\n")
			failed++
			continue
		}
		require.NoError(t, s.Check())
	}
	require.Greater(t, failed, 300)
}

func TestMistakenFiles(t *testing.T) {
	m, files := smallFiles(t)
	var model bytes.Buffer
	require.NoError(t, m.Save(&model, false))
	_, err := tryDecode(model.Bytes(), m)
	require.ErrorIs(t, err, format.ErrSignature)
	require.ErrorContains(t, err, "this is an aecodec model (.aem)")
	_, err = LoadModel(bytes.NewReader(files[0]))
	require.ErrorIs(t, err, format.ErrSignature)

	// A model of the same name and another shape never decodes: the fingerprint
	// is another one. If it does not help, the header is what is wrong.
	other := convolutional(t, Uint8)
	_, err = tryDecode(files[0], other)
	var unknown *UnknownModelError
	require.ErrorAs(t, err, &unknown)
	other.print = m.print
	_, err = tryDecode(files[0], other)
	require.ErrorIs(t, err, format.ErrCorrupt)
	require.ErrorContains(t, err, "is for uint8 of [10 9], not for float32 of [10 9]")
}

// rawFile is a file of one short group whose header says that there is more.
func rawFile(m *Model, count, group uint64) []byte {
	h := []byte{1, 2, byte(len(m.shape)), byte(m.kind)}
	for _, side := range m.shape {
		h = binary.AppendUvarint(h, uint64(side))
	}
	h = binary.AppendUvarint(binary.AppendUvarint(h, count), group)
	h = append(binary.LittleEndian.AppendUint16(h, 5000), byte(len(m.Name())))
	h = append(append(h, m.Name()...), m.print[:]...)
	file := append([]byte("\xaeAEC\r\n\x1a\nH"), byte(len(h)))
	file = append(append(file, h...), 0, 0, 0, 0)
	file = append(file, "R\x03abc\x00\x00\x00\x00\xae"...)
	return fixChecksums(file)
}

// Sizes in the header are refused before anything is allocated for them.
func TestHugeSizes(t *testing.T) {
	m, _ := smallFiles(t)
	_, err := tryDecode(rawFile(m, 1, 1), m)
	require.ErrorIs(t, err, format.ErrCorrupt) // it is read up to the group
	require.ErrorContains(t, err, "latents")
	_, err = tryDecode(rawFile(m, 1<<31-1, 1), m)
	require.ErrorIs(t, err, format.ErrLimit)
	before := allocated()
	_, err = tryDecode(rawFile(m, 1<<20, 1), m)
	require.ErrorContains(t, err, "after 1 of 1048576 groups")
	wide := widen(t, linearModel(t, waves(3), 3, 1), 4096)
	_, err = tryDecode(rawFile(wide, 1<<18, 1<<18), wide)
	require.ErrorIs(t, err, format.ErrLimit)
	require.ErrorContains(t, err, "262144 records with latents of 1x1x4096 in a chunk")
	require.Less(t, allocated()-before, uint64(64<<20))
}

// allocated returns the bytes that were ever allocated.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// FuzzDecode decodes arbitrary groups, behind a header that fits the model.
func FuzzDecode(f *testing.F) {
	m, files := smallFiles(f)
	for _, data := range files {
		r, err := format.NewRecordReader(bytes.NewReader(data), nil)
		require.NoError(f, err)
		h := r.Header()
		for {
			c, err := r.Next()
			if err != nil {
				break
			}
			if c.Type == format.ChunkGroup {
				f.Add(h.Bounded, byte(h.Count), c.Data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, bounded bool, n byte, data []byte) {
		if n = n%8 + 1; len(data) > 1<<16 {
			return
		}
		q, err := m.newQuantiser(5000)
		require.NoError(t, err)
		g := &groupCoder{model: m, quantiser: q}
		if bounded {
			g.bound = &bound{Float32, 0.3, 0.5}
		}
		s := NewSet(Float32, int(n), m.shape...)
		if err := g.decode(data, s.Data, s.N, 1); err != nil {
			require.ErrorIs(t, err, format.ErrFormat)
			require.NotContains(t, err.Error(), "\n")
			return
		}
		require.NoError(t, s.Check())
	})
}

// FuzzLoadModel reads arbitrary models; one that loads can decode.
func FuzzLoadModel(f *testing.F) {
	m, err := NewModel(denseSpec())
	require.NoError(f, err)
	var buf bytes.Buffer
	require.NoError(f, m.Save(&buf, false))
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := LoadModel(bytes.NewReader(fixChecksums(data)))
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		if encode, decode := m.MACs(); encode > 1e6 || decode > 1e6 || m.latent.Len() > 1e5 {
			return
		}
		s, err := m.Synthesize(make([]float32, m.latent.Len()), 1)
		if err == nil {
			finish(s.Kind, s.Data)
			require.NoError(t, s.Check())
		}
	})
}

// fixChecksums returns file with the right checksum in every whole chunk, so
// that mutations get past them.
func fixChecksums(file []byte) []byte {
	file = bytes.Clone(file)
	for at := 8; at < len(file) && file[at] != 0xae; {
		length, n := binary.Uvarint(file[at+1:])
		if n <= 0 || length > uint64(len(file)) {
			break
		}
		end := at + 1 + n + int(length)
		if end+4 > len(file) {
			break
		}
		binary.LittleEndian.PutUint32(file[end:], crc32.Checksum(file[at:end], crc32.MakeTable(crc32.Castagnoli)))
		at = end + 4
	}
	return file
}

// pattern are records of 10 by 9 made with integers alone: the same everywhere.
func pattern(kind Kind, n int) *Set {
	s := NewSet(kind, n, 10, 9)
	for i := range s.Data {
		record, row, column := i/90, i/9%10, i%9
		v := (row*row*(3+record%4)+column*7*(record%5)+i*i%11)*2%255 + 1
		if row < 2 || column > 6 {
			v = 0
		}
		s.Data[i] = float32(v)
		if kind == Float32 {
			s.Data[i] = float32(v)/32 - 3
		}
	}
	return s
}

// convolutional is a model with random weights of many kinds of layers for the
// records of pattern.
func convolutional(t testing.TB, kind Kind) *Model {
	b := nn.NewBuilder(EncoderName)
	x := b.Conv("c1", b.Input("x", 1), 4, nn.ConvOpts{Kernel: 3, Stride: 2})
	x = b.Leaky("a1", x, 0.1)
	x = b.Depthwise("dw", x, 3)
	b.Output(b.Conv("c2", x, 6, nn.ConvOpts{Kernel: 3, Stride: 2}))
	encoder, err := b.Build()
	require.NoError(t, err)
	b = nn.NewBuilder(DecoderName)
	x = b.Deconv("d1", b.Input("y", 6), 8, nn.ConvOpts{Kernel: 3, Stride: 2})
	x = b.Unary("a1", nn.OpTanh, x)
	x = b.Unary("flat", nn.OpFlatten, x)
	x = b.Dense("d2", x, 90)
	x = b.Unary("a2", nn.OpSigmoid, x)
	b.Output(b.Reshape("out", x, 10, 9, 1))
	decoder, err := b.Build()
	require.NoError(t, err)

	s := &Spec{
		Recipe: "test", Kind: kind, Shape: []int{10, 9}, Encoder: encoder, Decoder: decoder, Params: nn.Params{},
		Steps: []float32{0.1, 0.2, 0.1, 0.05, 0.1, 0.3}, Card: Card{Name: "test"},
	}
	if kind == Float32 {
		s.Mean, s.Scale = []float32{-2}, []float32{7}
	}
	encoder.Init(s.Params, 5, nn.Shape{H: 10, W: 9, C: 1})
	decoder.Init(s.Params, 5, nn.Shape{H: 3, W: 3, C: 6})
	for i := range 6 * 100 {
		s.Latents = append(s.Latents, float32(i*i%97)/40-1)
	}
	m, err := NewModel(s)
	require.NoError(t, err)
	return m
}
