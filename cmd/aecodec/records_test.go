package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/record"
)

// recordModel writes a model that averages every four values: enough of an autoencoder to tell inputs and outputs apart.
func recordModel(t *testing.T, name string, kind record.Kind, shape ...int) {
	t.Helper()
	s := record.NewSet(kind, 1, shape...)
	d, n := s.Dims(), s.Len()/4
	b := nn.NewBuilder(record.EncoderName)
	b.Output(b.Dense("in", b.Input("x", d.C), n))
	encoder, err := b.Build()
	require.NoError(t, err)
	b = nn.NewBuilder(record.DecoderName)
	b.Output(b.Reshape("shape", b.Dense("out", b.Input("y", n), s.Len()), d.H, d.W, d.C))
	decoder, err := b.Build()
	require.NoError(t, err)
	p := nn.Params{}
	for _, q := range []*nn.Param{
		nn.NewParam("encoder.in.weight", s.Len(), n), nn.NewParam("encoder.in.bias", n),
		nn.NewParam("decoder.out.weight", n, s.Len()), nn.NewParam("decoder.out.bias", s.Len()),
	} {
		p[q.Name] = q
	}
	for i := range n * 4 {
		p["encoder.in.weight"].Data[i*n+i/4] = 0.25
		p["decoder.out.weight"].Data[i/4*s.Len()+i] = 1
	}
	spec := &record.Spec{
		Recipe: "mean", Kind: kind, Shape: shape, Encoder: encoder, Decoder: decoder, Params: p,
		Latents: make([]float32, 2*n), Card: record.Card{Name: "mean", Description: "averages"},
	}
	for i := range n {
		spec.Steps = append(spec.Steps, 0.05)
		spec.Latents[i], spec.Latents[n+i] = -1, 1
	}
	m, err := record.NewModel(spec)
	require.NoError(t, err)
	var buf bytes.Buffer
	require.NoError(t, m.Save(&buf, false))
	require.NoError(t, os.WriteFile(name, buf.Bytes(), 0o666))
}

// inFolder changes to a folder of its own for the test.
func inFolder(t *testing.T) { t.Chdir(t.TempDir()) }

func recordFixture(name string) string {
	return filepath.Join(repository, "codec", "record", "testdata", name)
}

func succeed(t *testing.T, args ...string) outcome {
	t.Helper()
	r := aecodec(t, args...)
	require.Equal(t, exitOK, r.code, "%v: %s", args, r.errOut)
	return r
}

// Digits go through an .aec file without loss, into every format that holds them.
func TestRecordsOfDigits(t *testing.T) {
	inFolder(t)
	recordModel(t, "digits.aem", record.Uint8, 28, 28)
	digits := recordFixture("digits-idx3-ubyte.gz")
	want, err := record.Read(digits, nil)
	require.NoError(t, err)

	r := succeed(t, "encode", "--model", "digits.aem", "--max-error", "0", digits, "-o", "d.aec", "--json")
	var report recordReport
	require.NoError(t, json.Unmarshal([]byte(r.out), &report))
	require.Equal(t, []int{28, 28}, report.Shape)
	require.Equal(t, 120, report.Records)
	require.Equal(t, 0., *report.MaxError)
	require.Equal(t, "mean", report.Model)
	require.Equal(t, 50., report.Quality)

	for _, out := range []string{"d.npy", "d.idx"} {
		succeed(t, "decode", "--model", "digits.aem", "d.aec", "-o", out)
		got, err := record.Read(out, nil)
		require.NoError(t, err)
		require.Equal(t, want.Data, got.Data)
		require.Equal(t, want.Shape, got.Shape)
	}
	// A CSV file does not know that the values are bytes, nor rows.
	succeed(t, "decode", "--model", "digits.aem", "d.aec", "-o", "d.csv")
	got, err := record.Read("d.csv", nil)
	require.NoError(t, err)
	require.Equal(t, want.Data, got.Data)
	succeed(t, "encode", "--model", "digits.aem", "--max-error", "0", "d.csv", "-o", "c.aec")
	succeed(t, "decode", "--model", "digits.aem", "c.aec", "-o", "c.idx")
	a, err := os.ReadFile("d.idx")
	require.NoError(t, err)
	b, err := os.ReadFile("c.idx")
	require.NoError(t, err)
	require.Equal(t, a, b)

	// A folder: pictures, which are records again.
	succeed(t, "decode", "--model", "digits.aem", "d.aec", "-o", "pictures/")
	got, err = record.Read("pictures", nil)
	require.NoError(t, err)
	require.Equal(t, want.Data, got.Data)
	r = aecodec(t, "decode", "--model", "digits.aem", "d.aec", "-o", "pictures")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.errOut, "exists already")
	succeed(t, "encode", "--model", "digits.aem", "--max-error", "0", "pictures/") // pictures.aec
	succeed(t, "decode", "--model", "digits.aem", "pictures.aec", "-o", "again/")
	a, err = os.ReadFile("pictures/000007.png")
	require.NoError(t, err)
	b, err = os.ReadFile("again/000007.png")
	require.NoError(t, err)
	require.Equal(t, a, b)

	// --to, the name made up, and the user's folder for the decoder.
	succeed(t, "decode", "--model", "digits.aem", "--to", "idx", "d.aec", "pictures.aec", "-o", "many/")
	require.FileExists(t, "many/pictures.idx")
	config := os.Getenv("XDG_CONFIG_HOME")
	require.NoError(t, os.MkdirAll(filepath.Join(config, "aecodec", "models"), 0o777))
	installed := filepath.Join(config, "aecodec", "models", "mean.aem")
	succeed(t, "export", "--model", "digits.aem", "-o", installed)
	defer os.Remove(installed)
	succeed(t, "decode", "d.aec", "--force") // d.npy
	got, err = record.Read("d.npy", nil)
	require.NoError(t, err)
	require.Equal(t, want.Data, got.Data)

	// Through standard input and output.
	data, err := os.ReadFile("d.npy")
	require.NoError(t, err)
	r = aecodecFrom(t, bytes.NewReader(data), "encode", "--model", "digits.aem", "--max-error", "0", "-")
	require.Equal(t, exitOK, r.code, r.errOut)
	r = aecodecFrom(t, strings.NewReader(r.out), "decode", "--model", "digits.aem", "-")
	require.Equal(t, exitOK, r.code, r.errOut)
	require.Equal(t, string(data), r.out)

	r = succeed(t, "info", "d.aec")
	require.Contains(t, r.out, "120 records of 28x28, uint8, from idx, 1 group")
	require.Contains(t, r.out, "no value is off by more than 0")
	var info recordsInfo
	r = succeed(t, "info", "--json", "--model", "digits.aem", "d.aec")
	require.NoError(t, json.Unmarshal([]byte(r.out), &info))
	require.True(t, info.ModelFound)
	st, err := os.Stat("d.aec")
	require.NoError(t, err)
	require.Equal(t, st.Size(), info.Bytes)
	require.Equal(t, info.Bytes, info.LatentBytes+info.ResidualBytes+info.MetadataBytes+info.OverheadBytes)
	for _, args := range [][]string{{"info", "digits.aem"}, {"info", "--model", "digits.aem"}} {
		r = succeed(t, args...)
		require.Contains(t, r.out, "28x28, uint8; latents of 1x1x196")
		require.Contains(t, r.out, "averages")
	}
}

// A series is cut into windows as the model asks, and joined again.
func TestRecordsOfSeries(t *testing.T) {
	inFolder(t)
	recordModel(t, "mono.aem", record.Float32, 16)
	recordModel(t, "stereo.aem", record.Float32, 1, 16, 2)
	var samples []byte
	for i := range 2 * 333 {
		samples = binary.LittleEndian.AppendUint16(samples, uint16(int16(9000*math.Sin(float64(i)/9)+float64(i%7))))
	}
	require.NoError(t, os.WriteFile("ecg.i16", samples, 0o666))

	// Raw samples of known gain, without loss, overlapping windows too.
	for _, stride := range []string{"0", "5"} {
		succeed(t, "encode", "--model", "mono.aem", "--max-error", "0", "--gain", "200", "--zero", "1024", "--rate", "360", "--stride", stride, "ecg.i16", "--force")
		succeed(t, "decode", "--model", "mono.aem", "ecg.aec", "-o", "back.i16", "--force")
		back, err := os.ReadFile("back.i16")
		require.NoError(t, err)
		require.Equal(t, samples, back)
	}
	// The same as a WAV file, of two channels, and as text.
	succeed(t, "encode", "--model", "stereo.aem", "--max-error", "0", "--gain", "32768", "--rate", "8000", "ecg.i16", "-o", "s.aec")
	succeed(t, "decode", "--model", "stereo.aem", "s.aec", "-o", "s.wav")
	succeed(t, "encode", "--model", "stereo.aem", "--max-error", "0", "s.wav", "-o", "w.aec")
	succeed(t, "decode", "--model", "stereo.aem", "w.aec", "-o", "w.wav")
	a, err := os.ReadFile("s.wav")
	require.NoError(t, err)
	b, err := os.ReadFile("w.wav")
	require.NoError(t, err)
	require.Equal(t, a, b)
	require.Equal(t, samples, a[44:])

	const bound = 1e-4
	succeed(t, "decode", "--model", "stereo.aem", "w.aec", "-o", "w.csv")
	succeed(t, "encode", "--model", "stereo.aem", "--max-error", "1e-4", "--window", "16", "--columns", "1,2", "w.csv", "-o", "c.aec")
	succeed(t, "decode", "--model", "stereo.aem", "c.aec", "-o", "c.csv")
	o := &record.ReadOptions{Window: 16}
	want, err := record.Read("w.csv", o)
	require.NoError(t, err)
	got, err := record.Read("c.csv", o)
	require.NoError(t, err)
	require.Equal(t, want.N, got.N)
	for i, v := range want.Data {
		require.LessOrEqual(t, math.Abs(float64(v)-float64(got.Data[i])), bound)
	}
}

// Rows of a CSV file are records; the chosen columns come back by name.
func TestRecordsOfRows(t *testing.T) {
	inFolder(t)
	recordModel(t, "beats.aem", record.Float32, 140)
	beats := recordFixture("heartbeats.csv")
	succeed(t, "encode", "--model", "beats.aem", "--max-error", "0.05", "--columns", "t0:t139", "--label", "anomaly", beats, "-o", "b.aec")
	succeed(t, "decode", "--model", "beats.aem", "b.aec", "-o", "b.csv")
	want, err := record.Read(beats, &record.ReadOptions{Columns: []string{"t0:t139"}})
	require.NoError(t, err)
	got, err := record.Read("b.csv", nil)
	require.NoError(t, err)
	require.Equal(t, want.Origin.Columns, got.Origin.Columns)
	require.Equal(t, want.N, got.N)
	for i, v := range want.Data {
		require.LessOrEqual(t, math.Abs(float64(v)-float64(got.Data[i])), 0.05)
	}
}

// Each verb names what it was given instead.
func TestRecordsMistaken(t *testing.T) {
	inFolder(t)
	recordModel(t, "m.aem", record.Uint8, 28, 28)
	digits := recordFixture("digits-idx3-ubyte.gz")
	picture := filepath.Join(repository, "testdata", "kodim23-crop.png")
	succeed(t, "encode", "--model", "m.aem", digits, "-o", "d.aec")
	succeed(t, "encode", picture, "-o", "p.aec")
	require.NoError(t, os.WriteFile("x.csv", []byte("1,2\n"), 0o666))
	for line, want := range map[string]string{
		"encode " + digits + " -o x.aec":                "is no picture but holds records, which take a model for them (--model)",
		"encode --model m.aem " + picture + " -o x.aec": "record: unknown format",
		"encode --model m.aem d.aec -o x.aec":           "record: unknown format",
		"encode --model m.aem x.csv -o x.aec":           `record: model "mean" is for uint8 of [28 28], not for float32 of [2]`,
		"encode --model m.aem none.npy -o x.aec":        "no such file",
		"decode --model m.aem d.aec -o x.png":           "holds records: write them to .npy, .idx, .csv, .wav, .i16, or to a folder of pictures",
		"decode --model m.aem d.aec -o x.wav":           "record: wav: the number of samples a second is not known",
		"decode --model m.aem d.aec -o x.i16":           "come from no 16-bit samples",
		"decode p.aec -o x.npy":                         "holds a picture: write it to .png, .jpg, .jpeg, .ppm, .pgm",
		"decode d.aec -o x.npy":                         `record: unknown model "mean" with fingerprint`,
		"compare d.aec " + picture:                      "is no picture but an aecodec file",
		"compare " + picture + " p.aec --model m.aem":   `is for records, not for pictures`,
		"info " + digits:                                "holds records that are not coded",
	} {
		r := aecodec(t, strings.Fields(line)...)
		require.Equal(t, exitFailed, r.code, line)
		require.Contains(t, r.errOut, want, line)
		require.Equal(t, 1, strings.Count(r.errOut, "\n"), line)
	}
	for line, want := range map[string]string{
		"encode --window 5 " + picture:          "--window is for records",
		"encode --max-error 0 " + picture:       "--max-error is for records",
		"decode --to xyz d.aec":                 "--to xyz: use png, jpg, ppm or pgm; for records npy, idx, csv, wav or i16",
		"decode d.aec p.aec -o x.npy":           "one output cannot hold 2 inputs",
		"encode --model m.aem -q 101 " + digits: "quality is from 1 to 100",
	} {
		r := aecodec(t, strings.Fields(line)...)
		require.Equal(t, exitUsage, r.code, line)
		require.Contains(t, r.errOut, want, line)
	}
}
