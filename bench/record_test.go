package bench

import (
	"bytes"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec/nn"
)

// save puts a result into a record, as the command does.
func save(t *testing.T, name string, result any) {
	r, err := UpdateRecord(name, result)
	require.NoError(t, err)
	var buf bytes.Buffer
	require.NoError(t, r.WriteJSON(&buf))
	require.NoError(t, os.WriteFile(name, buf.Bytes(), 0o666))
}

func TestRecords(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "lab.json")
	m := Machine{CPU: "Abacus 9000", Cores: 2, Go: "go1", Date: "2026-01-01"}
	peaks := []Peaks{{Backend: "b", FMA: Spread{10, 11}, Load: []LoadLevel{{16 << 10, Spread{1, 2}}}}}
	timings := []Timing{{Backend: "b", Seconds: Spread{1, 1}, GFLOPS: 5, Bound: "arithmetic", Share: Spread{0.5, 0.64}}}
	save(t, name, &KernelsResult{Machine: m, Peaks: peaks, Kernels: []KernelLine{{Name: "GEMM", Shape: "1x2x3", Timings: timings}}})
	save(t, name, &LayersResult{Machine: m, Model: "photo", Width: 8, Height: 9, Peaks: peaks, Layers: []LayerLine{
		{Names: []string{"net.a"}, Op: nn.OpConv, In: []nn.Shape{{H: 1, W: 1, C: 1}}, Flops: 2, Timings: timings},
		{Names: []string{"net.b"}, Op: nn.OpAdd, In: []nn.Shape{{H: 1, W: 1, C: 1}}, Timings: timings},
	}})
	save(t, name, &CodecResult{Machine: m, Pictures: []string{"/somebody/private/x.png"}, Speeds: []SpeedLine{{Backend: "b", Threads: 1}}})
	save(t, name, &TrainResult{Machine: m, Lines: []TrainLine{{Backend: "b", Threads: 1}}})
	save(t, name, &KernelsResult{Machine: m, Peaks: peaks, Rounds: 5}) // replaces the first

	list, err := ReadRecords(dir)
	require.NoError(t, err)
	require.Len(t, list, 1)
	r := list[0]
	require.Equal(t, "lab", r.Name)
	require.Equal(t, 5, r.Kernels.Rounds)
	require.Len(t, r.Layers.Layers, 2)
	require.Equal(t, []string{"x.png"}, r.Codec.Pictures)
	require.Equal(t, "Abacus 9000", r.machine().CPU)

	_, err = UpdateRecord(name, &KernelsResult{Machine: Machine{CPU: "another"}})
	require.ErrorContains(t, err, "was measured on another machine: Abacus 9000")
	_, err = UpdateRecord(name, 5)
	require.ErrorContains(t, err, "int is no result")

	var report, plot bytes.Buffer
	require.NoError(t, WriteReport(&report, list, "speed.png"))
	for _, want := range []string{"![Share of the limit, by layer](speed.png)", "## lab", "Abacus 9000", "| net.a | ", "50 % (64 %)", "### Training"} {
		require.Contains(t, report.String(), want)
	}
	require.NoError(t, WriteReportPNG(&plot, list))
	_, err = png.Decode(&plot)
	require.NoError(t, err)
	require.ErrorContains(t, WriteReportPNG(&plot, []*Record{{}}), "no record has layers")
}

func TestReportOfPeers(t *testing.T) {
	ratio := 1.5
	r := &Record{Name: "lab", Note: "it was raining",
		Kernels: &KernelsResult{Kernels: []KernelLine{{Name: "GEMM", Timings: []Timing{{Backend: "b",
			Peers: []PeerTiming{{Peer: "oneDNN 2", Ratio: Spread{1.25, 1.5}}}}}}}},
		PeerCodecs: &PeerCodecs{Lines: []PeerCodecLine{{Pictures: "set", Program: "djpeg", Action: "decode", Ratio: Spread{0.5, 0.75}}}},
		PeerTrain:  &PeerTrain{Torch: "2.9", Ours: []float64{3e6}, Theirs: []float64{2e6}, Ratio: &ratio},
	}
	var report bytes.Buffer
	require.NoError(t, WriteReport(&report, []*Record{r}, ""))
	for _, want := range []string{"\nit was raining\n", "oneDNN 2", "| 1.25 (1.50) |", "djpeg", "0.50 (0.75)", "PyTorch 2.9", "| 1.50 |"} {
		require.Contains(t, report.String(), want)
	}
	r.PeerTrain.Ratio = nil
	report.Reset()
	require.NoError(t, WriteReport(&report, []*Record{r}, ""))
	require.Contains(t, report.String(), "the machine was busy")
}

func TestRecordErrors(t *testing.T) {
	dir := t.TempDir()
	_, err := ReadRecords(dir)
	require.ErrorContains(t, err, "no records")
	name := filepath.Join(dir, "a.json")
	require.NoError(t, os.WriteFile(name, []byte("{"), 0o666))
	_, err = ReadRecords(dir)
	require.ErrorContains(t, err, "bench: record: ")
	_, err = UpdateRecord(name, &KernelsResult{})
	require.Error(t, err)
}
