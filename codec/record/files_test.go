package record

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func write(t testing.TB, s *Set, f Format) []byte {
	var buf bytes.Buffer
	require.NoError(t, Write(&buf, s, f))
	return buf.Bytes()
}

func TestFixtures(t *testing.T) {
	digits, err := Read("testdata/digits-idx3-ubyte.gz", nil)
	require.NoError(t, err)
	require.Equal(t, Uint8, digits.Kind)
	require.Equal(t, []int{28, 28}, digits.Shape)
	require.Equal(t, 120, digits.N)
	beats, err := Read("testdata/heartbeats.csv", &ReadOptions{Columns: []string{"t0:t139"}, Label: "anomaly"})
	require.NoError(t, err)
	require.Equal(t, Float32, beats.Kind)
	require.Equal(t, []int{140}, beats.Shape)
	require.Equal(t, 48, beats.N)
	require.Equal(t, 0, beats.Labels[39])
	require.Equal(t, 1, beats.Labels[40])
	require.Equal(t, float32(-1.564357), beats.Data[0])
	require.Equal(t, "t139", beats.Origin.Columns[139])

	// The same columns by number.
	again, err := Read("testdata/heartbeats.csv", &ReadOptions{Columns: []string{"4:143"}, Label: "2"})
	require.NoError(t, err)
	require.Equal(t, beats, again)

	// Without a choice there is text among the values.
	_, err = Read("testdata/heartbeats.csv", nil)
	require.EqualError(t, err, `testdata/heartbeats.csv: record: csv: line 2, column 1: "train" is no number`)
}

// What is written is read back as it was, in every format.
func TestFilesRoundTrip(t *testing.T) {
	samples := func(gain float64, zero, c int) *Set {
		o := &Origin{Gain: gain, Zero: zero}
		v := make([]float32, 37*c)
		for i := range v {
			v[i] = o.value(int16(i * 2311))
		}
		s, err := cutWindows(v, c, 10, 4)
		require.NoError(t, err)
		o.Series = s.Origin.Series
		s.Origin = o
		return s
	}
	series := func(c int) *Set {
		v := make([]float32, 53*c)
		for i := range v {
			v[i] = float32(math.Sin(float64(i))) * 1e-3
		}
		s, err := cutWindows(v, c, 16, 16)
		require.NoError(t, err)
		return s
	}
	for _, c := range []struct {
		format Format
		set    *Set
		o      *ReadOptions
	}{
		{NPY, blobs(3), nil},
		{NPY, ramp(Float32, 3, 2, 5, 4), nil},
		{NPY, ramp(Uint8, 1, 7), nil},
		{NPY, &Set{Shape: []int{2}, Kind: Float32, N: 2, Data: []float32{-3, 4, math.MaxInt16, math.MinInt16}, Origin: &Origin{Gain: 1}}, nil},
		{IDX, blobs(3), nil},
		{IDX, ramp(Float32, 3, 2, 5, 4), nil},
		{IDX, &Set{Shape: []int{2}, Kind: Float32, N: 2, Data: []float32{-3, 4, math.MaxInt16, math.MinInt16}, Origin: &Origin{Gain: 1}}, nil},
		{CSV, waves(3), nil},
		{CSV, &Set{Shape: []int{2}, Kind: Float32, N: 1, Data: []float32{1e-40, math.MaxFloat32}, Origin: &Origin{Columns: []string{"a,b", "c\"d\ne"}}}, nil},
		{CSV, series(1), &ReadOptions{Window: 16}},
		{CSV, series(3), &ReadOptions{Window: 16}},
		{WAV, func() *Set { s := samples(wavGain, 0, 2); s.Origin.Rate = 44100; return s }(), &ReadOptions{Window: 10, Stride: 4}},
		{WAV, func() *Set { s := series(2); s.Origin.Rate = 8000; return s }(), &ReadOptions{Window: 16}},
		{Int16, func() *Set { s := samples(200, 1024, 1); s.Origin.Rate = 360; return s }(), &ReadOptions{Window: 10, Stride: 4, Gain: 200, Zero: 1024, Rate: 360}},
		{Int16, samples(1, 0, 3), &ReadOptions{Window: 10, Stride: 4, Channels: 3}},
	} {
		if c.set.Origin == nil {
			c.set.Origin = &Origin{}
		}
		c.set.Origin.Format = c.format
		require.NoError(t, c.set.Check())
		data := write(t, c.set, c.format)
		back, err := ReadStream(bytes.NewReader(data), "x."+string(c.format[:3]), withFormat(c.o, c.format))
		require.NoError(t, err, c.format)
		require.Equal(t, c.set, back, c.format)
		// By content or name, without being told.
		name := filepath.Join(t.TempDir(), "x."+map[Format]string{NPY: "x", IDX: "x", CSV: "csv", WAV: "x", Int16: "i16"}[c.format])
		require.NoError(t, os.WriteFile(name, data, 0o666))
		back, err = Read(name, c.o)
		require.NoError(t, err)
		require.Equal(t, c.set, back)
	}
}

func withFormat(o *ReadOptions, f Format) *ReadOptions {
	if o == nil {
		return &ReadOptions{Format: f}
	}
	with := *o
	with.Format = f
	return &with
}

// npy makes a file as NumPy writes it.
func npy(version byte, header, data string) string {
	header += strings.Repeat(" ", 20) + "\n"
	if version == 1 {
		return npyMagic + "\x01\x00" + string(binary.LittleEndian.AppendUint16(nil, uint16(len(header)))) + header + data
	}
	return npyMagic + string(rune(version)) + "\x00" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(header)))) + header + data
}

func TestNPY(t *testing.T) {
	for _, c := range []struct {
		descr, data string
		want        []float32
	}{
		{"|u1", "\x00\x01\xfe\xff", []float32{0, 1, 254, 255}},
		{"<i2", "\x00\x01\xfe\xff\x00\x80\xff\x7f", []float32{256, -2, -32768, 32767}},
		{">i2", "\x01\x00\xff\xfe\x80\x00\x7f\xff", []float32{256, -2, -32768, 32767}},
		{"<f4", "\x00\x00\x80\x3f\x00\x00\x00\xc0\x01\x00\x00\x00\xff\xff\x7f\x7f", []float32{1, -2, math.SmallestNonzeroFloat32, math.MaxFloat32}},
		{">f8", "\x3f\xf0\x00\x00\x00\x00\x00\x01\xc0\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x40\x09\x21\xfb\x54\x44\x2d\x18", []float32{1, -2, 0, math.Pi}},
	} {
		for version := byte(1); version <= 3; version++ {
			s, err := ReadNPY(strings.NewReader(npy(version, "{'descr': '"+c.descr+"', 'fortran_order': False, 'shape': (2, 2), }", c.data)))
			require.NoError(t, err)
			require.Equal(t, c.want, s.Data)
			require.Equal(t, []int{2}, s.Shape)
		}
		// One side is one record.
		s, err := ReadNPY(strings.NewReader(npy(1, "{'descr': '"+c.descr+"', 'fortran_order': False, 'shape': (4,), }", c.data)))
		require.NoError(t, err)
		require.Equal(t, 1, s.N)
		require.Equal(t, []int{4}, s.Shape)
	}
	head := func(descr, order, shape string) string {
		return "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': (" + shape + "), }"
	}
	for _, c := range []struct{ file, want string }{
		{"", "header: unexpected EOF"},
		{"\x93NUMPX\x01\x00\x00\x00", "no NPY file"},
		{npy(4, "", ""), "version 4, not 1 to 3"},
		{npyMagic + "\x02\x00\xff\xff\xff\xff", "header of 4294967295 bytes"},
		{npy(1, "{}", ""), "header: no type of plain numbers"},
		{npy(1, "{'descr': '<f4'}", ""), "header: no shape"},
		{npy(1, "{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (2,), }", ""), "header: no type of plain numbers"},
		{npy(1, head("<f4", "True", "2, 2"), ""), "Fortran order is not supported"},
		{npy(1, head("<f4", "False", ""), ""), "a single number"},
		{npy(1, head("<f4", "False", "0, 2"), ""), "no records"},
		{npy(1, head("<f4", "False", "2, 0"), ""), "records of shape [0]"},
		{npy(1, head("<f4", "False", "2, 2, 2, 2, 2"), ""), "records of 4 dimensions"},
		{npy(1, head("<f4", "False", "99999999999999999999, 2"), ""), "header: shape"},
		{npy(1, head("<f4", "False", "4294967296, 16777216"), ""), "more than 268435456 values"},
		{npy(1, head("<f2", "False", "2, 2"), ""), `elements of type "<f2"`},
		{npy(1, head("<c8", "False", "2, 2"), ""), `elements of type "<c8"`},
		{npy(1, head("|u1", "False", "2, 2"), "abc"), "3 of 4 values: unexpected EOF"},
		{npy(1, head("|u1", "False", "2, 2"), "abcde"), "more data than values"},
		{npy(1, head("<f4", "False", "1, 1"), "\x00\x00\xc0\x7f"), "value 0 of record 0 is NaN"},
		{npy(1, head("<f8", "False", "1, 1"), "\x00\x00\x00\x00\x00\x00\xe0\x7f"), "value 0 of record 0 is +Inf"},
	} {
		_, err := ReadNPY(strings.NewReader(c.file))
		require.ErrorContains(t, err, c.want)
		require.ErrorContains(t, err, "record: ")
	}
}

func TestIDX(t *testing.T) {
	labels, err := ReadIDXLabels(strings.NewReader("\x00\x00\x08\x01\x00\x00\x00\x03\x07\x02\xff"))
	require.NoError(t, err)
	require.Equal(t, []int{7, 2, 255}, labels)
	s, err := ReadIDX(strings.NewReader("\x00\x00\x0e\x02\x00\x00\x00\x01\x00\x00\x00\x01\x40\x09\x21\xfb\x54\x44\x2d\x18"))
	require.NoError(t, err)
	require.Equal(t, []float32{math.Pi}, s.Data)
	for _, c := range []struct{ file, want string }{
		{"", "header: unexpected EOF"},
		{"\x00\x01\x08\x02", "no IDX file"},
		{"\x1f\x8b", "unexpected EOF"},
		{"\x00\x00\x08\x05", "5 sides, at most 4"},
		{"\x00\x00\x08\x02\x00\x00\x00\x01", "header: unexpected EOF"},
		{"\x00\x00\x08\x01\x00\x00\x00\x01\x01", "1 sides: these are labels"},
		{"\x00\x00\x08\x02\xff\xff\xff\xff\x00\x00\x00\x01", "no records"},
		{"\x00\x00\x08\x02\x7f\xff\xff\xff\x00\x10\x00\x00", "more than 268435456 values"},
		{"\x00\x00\x0c\x02\x00\x00\x00\x01\x00\x00\x00\x01", "elements of type 0x0c"},
		{"\x00\x00\x08\x02\x00\x00\x00\x02\x00\x00\x00\x02abc", "3 of 4 values: unexpected EOF"},
		{"\x00\x00\x08\x02\x00\x00\x00\x02\x00\x00\x00\x02abcde", "more data than values"},
		{"\x00\x00\x0d\x02\x00\x00\x00\x01\x00\x00\x00\x01\xff\x80\x00\x00", "is -Inf"},
	} {
		_, err := ReadIDX(strings.NewReader(c.file))
		require.ErrorContains(t, err, c.want)
	}
	_, err = ReadIDXLabels(bytes.NewReader(write(t, blobs(2), IDX)))
	require.ErrorContains(t, err, "these are records")
	_, err = ReadIDXLabels(strings.NewReader("\x00\x00\x0d\x01\x00\x00\x00\x01\x00\x00\x00\x00"))
	require.ErrorContains(t, err, "labels are not bytes")
}

func TestCSV(t *testing.T) {
	for _, text := range []string{"1,2\n3,4\n", "1, 2\r\n3,4", "\ufeffa;b\n1;2\n3;4\n", "1\t2\n3\t4\n", "x,y\n\"1\",+2e0\n3.0,4"} {
		s, err := ReadCSV(strings.NewReader(text), nil)
		require.NoError(t, err)
		require.Equal(t, []float32{1, 2, 3, 4}, s.Data, text)
		require.Equal(t, []int{2}, s.Shape)
	}
	s, err := ReadCSV(strings.NewReader("time,a,class,b\nx,1,7,2\ny,3,-8,4\n"), &ReadOptions{Columns: []string{"b", "a"}, Label: "class"})
	require.NoError(t, err)
	require.Equal(t, []float32{2, 1, 4, 3}, s.Data)
	require.Equal(t, []int{7, -8}, s.Labels)
	require.Equal(t, []string{"b", "a"}, s.Origin.Columns)
	s, err = ReadCSV(strings.NewReader("1,2,0\n3,4,1\n"), &ReadOptions{Label: "3"})
	require.NoError(t, err)
	require.Equal(t, []int{2}, s.Shape)
	for _, c := range []struct {
		text, want string
		o          ReadOptions
	}{
		{"", "no data", ReadOptions{}},
		{"a,b\n", "no rows of values", ReadOptions{}},
		{"1,2\n3\n", "line 2: 1 columns, where the first row has 2", ReadOptions{}},
		{"1,2\n3,4,5\n", "line 2: 3 columns, where the first row has 2", ReadOptions{}},
		{"1,2\n\n3,NaN\n", "line 3, column 2: NaN is not finite", ReadOptions{}},
		{"1,2\n3,-inf\n", "line 2, column 2: -inf is not finite", ReadOptions{}},
		{"1,2\n3,1e39\n", "line 2, column 2: 1e39 is not finite", ReadOptions{}},
		{"1,2\n3,\n", "line 2, column 2: no value", ReadOptions{}},
		{"1,2\n3,4x\n", `line 2, column 2: "4x" is no number`, ReadOptions{}},
		{"1,2\n3,\"4\n", "quote", ReadOptions{}},
		{"1,2\n", `no column "x" among 2`, ReadOptions{Columns: []string{"x"}}},
		{"1,2\n", `no column "3" among 2`, ReadOptions{Columns: []string{"3"}}},
		{"1,2\n", `no column "0" among 2`, ReadOptions{Label: "0"}},
		{"1,2\n", `columns "2:1" go backwards`, ReadOptions{Columns: []string{"2:1"}}},
		{"1,2\n", "column 2 is used twice", ReadOptions{Columns: []string{"1:2"}, Label: "2"}},
		{"1\n", "no columns of values", ReadOptions{Label: "1"}},
		{"1,0.5\n", `line 1, column 2: label "0.5" is no whole number`, ReadOptions{Label: "2"}},
		{"1,2\n", "samples of a series have no label", ReadOptions{Label: "2", Window: 1}},
		{"1,2\n", "1 samples are less than one window of 2", ReadOptions{Window: 2}},
		{"1,2\n3,4\n", "stride of 3 samples", ReadOptions{Window: 2, Stride: 3}},
	} {
		_, err := ReadCSV(strings.NewReader(c.text), &c.o)
		require.ErrorContains(t, err, c.want, "%q", c.text)
	}
	_, err = ReadCSV(io.MultiReader(strings.NewReader("1,2"), endless{}), nil)
	require.ErrorContains(t, err, "a line of more than")
}

// endless is a line without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestWAV(t *testing.T) {
	form := func(tag, channels, bits int, rest string) string {
		le := binary.LittleEndian
		b := le.AppendUint16(le.AppendUint16(nil, uint16(tag)), uint16(channels))
		b = le.AppendUint32(le.AppendUint32(b, 8000), 0)
		b = le.AppendUint16(le.AppendUint16(b, 0), uint16(bits))
		return chunk("fmt ", string(b)+rest)
	}
	wav := func(chunks ...string) string { return "RIFF\x00\x00\x00\x00WAVE" + strings.Join(chunks, "") }
	pcm := form(wavPCM, 1, 16, "")
	o := &ReadOptions{Window: 2}
	for _, file := range []string{
		wav(pcm, chunk("data", "\x00\x40\x00\xc0")),
		wav(chunk("LIST", "odd"), pcm, chunk("fact", ""), chunk("data", "\x00\x40\x00\xc0")),
		wav(form(wavExtensible, 1, 16, "\x16\x00\x10\x00\x00\x00\x00\x00\x01\x00"+strings.Repeat("x", 14)), chunk("data", "\x00\x40\x00\xc0")),
		wav(form(wavFloat, 1, 32, "\x00\x00"), chunk("data", "\x00\x00\x00\x3f\x00\x00\x00\xbf")),
	} {
		s, err := ReadWAV(strings.NewReader(file), o)
		require.NoError(t, err)
		require.Equal(t, []float32{0.5, -0.5}, s.Data)
		require.Equal(t, 8000, s.Origin.Rate)
	}
	for _, c := range []struct{ file, want string }{
		{"", "header: unexpected EOF"},
		{"RIFX\x00\x00\x00\x00WAVE", "no WAV file"},
		{wav(pcm), "no samples: unexpected EOF"},
		{wav(chunk("data", "ab"), pcm), "samples before their format"},
		{wav("LIST\xff\xff\xff\xff"), `chunk "LIST": unexpected EOF`},
		{wav(chunk("fmt ", "short")), "format of 5 bytes"},
		{wav(form(wavPCM, 1, 8, ""), chunk("data", "ab")), "format 1 of 8 bits"},
		{wav(form(wavPCM, 1, 24, ""), chunk("data", "abc")), "format 1 of 24 bits"},
		{wav(form(wavPCM, 0, 16, ""), chunk("data", "ab")), "0 channels"},
		{wav(form(wavPCM, 2, 16, ""), chunk("data", "abcdef")), "6 bytes are no whole samples of 2 channels"},
		{wav(pcm, chunk("data", "")), "0 samples are less than one window"},
		{wav(pcm, "data\xfe\xff\xff\xff"), "at most"},
		{wav(pcm, "data\x10\x00\x00\x00abcd"), "2 of 8 values: unexpected EOF"},
		{wav(form(wavFloat, 1, 32, ""), chunk("data", "\x00\x00\x00\x00\x00\x00\xc0\x7f")), "is NaN"},
	} {
		_, err := ReadWAV(strings.NewReader(c.file), o)
		require.ErrorContains(t, err, c.want)
	}
	_, err := ReadWAV(strings.NewReader(wav(pcm)), nil)
	require.ErrorContains(t, err, "a series needs a window")
	require.ErrorContains(t, WriteWAV(nil, waves(1)), "samples a second is not known")
	s := blobs(1)
	s.Origin = &Origin{Rate: 1}
	require.ErrorContains(t, WriteWAV(nil, s), "are no samples")
}

// chunk is one of a RIFF file.
func chunk(id, data string) string {
	n := len(data)
	if n%2 == 1 {
		data += "\x00"
	}
	return id + string(binary.LittleEndian.AppendUint32(nil, uint32(n))) + data
}

func TestInt16(t *testing.T) {
	for _, c := range []struct {
		data, want string
		o          *ReadOptions
	}{
		{"abc", "half a sample", &ReadOptions{Window: 1}},
		{"abcdef", "3 numbers are no whole samples of 2 channels", &ReadOptions{Window: 1, Channels: 2}},
		{"ab", "a series needs a window", nil},
		{"ab", "gain -1 is not positive", &ReadOptions{Window: 1, Gain: -1}},
		{"ab", "-1 channels", &ReadOptions{Window: 1, Channels: -1}},
		{"ab", "a series needs a window", &ReadOptions{Window: -1}},
		{"ab", "zero at", &ReadOptions{Window: 1, Zero: math.MaxInt}},
		{"", "0 samples are less", &ReadOptions{Window: 1}},
	} {
		_, err := ReadInt16(strings.NewReader(c.data), c.o)
		require.ErrorContains(t, err, c.want)
	}
	require.ErrorContains(t, WriteInt16(nil, waves(1)), "come from no 16-bit samples")
}

func TestPictures(t *testing.T) {
	dir := t.TempDir()
	save := func(name string, m image.Image) {
		f, err := os.Create(filepath.Join(dir, name))
		require.NoError(t, err)
		defer f.Close()
		if strings.HasSuffix(name, ".jpg") {
			require.NoError(t, jpeg.Encode(f, m, nil))
			return
		}
		require.NoError(t, png.Encode(f, m))
	}
	_, err := ReadPictures(dir)
	require.ErrorContains(t, err, "no pictures in the folder")

	gray := blobs(2)
	for i := range 2 {
		m, err := gray.Picture(i)
		require.NoError(t, err)
		save(fmt.Sprintf("%c.png", 'b'-i), m)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".hidden"), []byte("no picture"), 0o666))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "sub"), 0o777))
	s, err := Read(dir, nil)
	require.NoError(t, err)
	require.Equal(t, gray.Select([]int{1, 0}).Data, s.Data)
	require.Equal(t, []int{12, 10}, s.Shape)
	require.Equal(t, "b.png", s.PictureName(1))

	// With a colour one among them all are in colour.
	colour := ramp(Uint8, 1, 12, 10, 3)
	m, err := colour.Picture(0)
	require.NoError(t, err)
	save("c.png", m)
	save("d.jpg", m)
	s, err = ReadPictures(dir)
	require.NoError(t, err)
	require.Equal(t, []int{12, 10, 3}, s.Shape)
	require.Equal(t, 4, s.N)
	require.Equal(t, colour.Data, s.Record(2))
	require.Equal(t, gray.Record(1)[7], s.Record(0)[22])
	require.Equal(t, "d.jpg.png", s.PictureName(3))
	require.Equal(t, "000002.png", colour.PictureName(2))

	clear := image.NewNRGBA(image.Rect(0, 0, 10, 12))
	clear.Set(3, 3, color.NRGBA{1, 2, 3, 254})
	save("e.png", clear)
	_, err = ReadPictures(dir)
	require.ErrorContains(t, err, "e.png: is transparent")
	save("e.png", image.NewGray(image.Rect(0, 0, 12, 10)))
	_, err = ReadPictures(dir)
	require.ErrorContains(t, err, "e.png: 12 x 10 pixels, where a.png has 10 x 12")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "e.png"), []byte("no picture"), 0o666))
	_, err = ReadPictures(dir)
	require.ErrorContains(t, err, "e.png: picture: unknown format")

	_, err = waves(1).Picture(0)
	require.ErrorContains(t, err, "float32 of [48] are none")
}

func TestReadErrors(t *testing.T) {
	_, err := Read(filepath.Join(t.TempDir(), "none.npy"), nil)
	require.ErrorContains(t, err, "none.npy: no such file")
	_, err = ReadStream(strings.NewReader(""), "", nil)
	require.EqualError(t, err, "record: no data")
	_, err = ReadStream(strings.NewReader("something"), "x.txt", nil)
	require.ErrorContains(t, err, "unknown format")
	_, err = ReadStream(strings.NewReader("something"), "", &ReadOptions{Format: "tar"})
	require.ErrorContains(t, err, `format "tar"`)
	require.ErrorContains(t, Write(nil, waves(1), Pictures), `format "pictures"`)
}

// FuzzRead reads anything as any format: what is read is valid, and written and
// read again the same.
func FuzzRead(f *testing.F) {
	for i, data := range []string{
		string(write(f, blobs(2), NPY)), string(write(f, blobs(2), IDX)), "a,b\n1,2\n3,4\n",
		"RIFF\x00\x00\x00\x00WAVE" + chunk("fmt ", "\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00") + chunk("data", "abcd"), "abcdefgh",
	} {
		f.Add(byte(i), []byte(data))
	}
	formats := []Format{NPY, IDX, CSV, WAV, Int16}
	f.Fuzz(func(t *testing.T, which byte, data []byte) {
		format := formats[int(which)%len(formats)]
		o := &ReadOptions{Format: format, Window: int(which) / len(formats) % 5, Stride: int(which) / 25 % 3}
		s, err := ReadStream(bytes.NewReader(data), "", o)
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		require.NoError(t, s.Check())
		if format == WAV && s.Origin.Rate == 0 {
			return
		}
		back, err := ReadStream(bytes.NewReader(write(t, s, format)), "", o)
		if format == CSV && err != nil { // a header that would be values without the rest
			return
		}
		require.NoError(t, err)
		require.Equal(t, s.N, back.N)
		require.Equal(t, len(s.Data), len(back.Data))
	})
}
