package trainer

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/codec/nn"
)

// twin returns a function that runs the PyTorch twin. Tests with it are skipped
// where the interpreter of AECODEC_PYTHON (default python3) has no PyTorch.
func twin(t *testing.T) func(args ...string) {
	python := os.Getenv("AECODEC_PYTHON")
	if python == "" {
		python = "python3"
	}
	if err := exec.Command(python, "-c", "import torch, numpy").Run(); err != nil {
		t.Skipf("no PyTorch: %s: %v", python, err)
	}
	return func(args ...string) {
		out, err := exec.Command(python, append([]string{"-B", filepath.Join("torch", "aecodec_torch.py")}, args...)...).CombinedOutput()
		require.NoError(t, err, string(out))
	}
}

func writeTensors(t *testing.T, path string, p nn.Params) {
	f, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, WriteSafetensors(f, p, nil))
	require.NoError(t, f.Close())
}

func writeArch(t *testing.T, path string, a *codec.Arch) {
	text, err := json.Marshal(a)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text, 0o644))
}

// The same weights and the same input give the same loss and pixels.
func TestTwinParity(t *testing.T) {
	run := twin(t)
	g, s := testGraph(t, 1)
	x, at := testBatch()
	want, err := g.evaluate(x, at, hard, 0)
	require.NoError(t, err)

	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	writeArch(t, file("arch.json"), g.arch)
	writeTensors(t, file("weights.safetensors"), s.weights.named)
	input := nn.Params{"x": nn.NewParam("x", x.N, x.H, x.W, 3), "t": nn.NewParam("t", len(at))}
	copy(input["x"].Data, x.Data)
	for i, v := range at {
		input["t"].Data[i] = float32(v)
	}
	writeTensors(t, file("input.safetensors"), input)
	run("parity", "-arch", file("arch.json"), "-init", file("weights.safetensors"), "-input", file("input.safetensors"), "-out", file("output.safetensors"))

	f, err := os.Open(file("output.safetensors"))
	require.NoError(t, err)
	defer f.Close()
	got, _, err := ReadSafetensors(f)
	require.NoError(t, err)
	require.InEpsilon(t, want, got["loss"].Data[0], 1e-4)
	for i, b := range got["bpp"].Data {
		s := &g.samples[i]
		require.InEpsilon(t, (s.bitsY+s.bitsZ)/float64(x.H*x.W), b, 1e-4)
	}
	require.Len(t, got["xhat"].Data, len(g.xhat.Data))
	worst := 0.
	for i, v := range got["xhat"].Data {
		worst = max(worst, math.Abs(float64(v-g.xhat.Data[i])))
	}
	require.Less(t, worst, 1e-4)
}

// One step of the twin's training, and its weights come back.
func TestTwinTrains(t *testing.T) {
	run := twin(t)
	dir := t.TempDir()
	arch := tinyArch(t)
	writeArch(t, filepath.Join(dir, "arch.json"), arch)
	out := filepath.Join(dir, "out.safetensors")
	run("train", "-arch", filepath.Join(dir, "arch.json"), "-data", writePictures(t, 2, 96, 96), "-out", out,
		"-steps", "1", "-batch", "2", "-crop", "64", "-warmup", "0")
	p, err := loadWeights(out, arch)
	require.NoError(t, err)
	for name, v := range p {
		require.True(t, len(v.Data) > 0, name)
		for _, x := range v.Data {
			require.False(t, math.IsNaN(float64(x)), name)
		}
	}
}

// Steps with rounded latents leave the encoder alone, as they do here.
func TestTwinRoundedSteps(t *testing.T) {
	run := twin(t)
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	arch := tinyArch(t)
	writeArch(t, file("arch.json"), arch)
	before, err := arch.Init(3)
	require.NoError(t, err)
	writeTensors(t, file("in.safetensors"), before)
	run("train", "-arch", file("arch.json"), "-data", writePictures(t, 2, 96, 96), "-init", file("in.safetensors"),
		"-out", file("out.safetensors"), "-steps", "2", "-hard", "2", "-batch", "2", "-crop", "64", "-warmup", "0")
	after, err := loadWeights(file("out.safetensors"), arch)
	require.NoError(t, err)
	moved := 0
	for name, v := range before {
		if sendersOwn(name) {
			require.Equal(t, v.Data, after[name].Data, name)
		} else if !slices.Equal(v.Data, after[name].Data) {
			moved++
		}
	}
	require.Greater(t, moved, len(before)/4)
}
