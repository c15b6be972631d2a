package main

import (
	"encoding/json"
	"image"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/kernels"
	"github.com/aecodec/aecodec/trainer"
)

func TestInfo(t *testing.T) {
	workIn(t, "a.png")
	ok(t, "encode", "a.png", "-q", "12.5")
	text := ok(t, "info", "a.aec")
	for _, want := range []string{"a.aec", "40 x 24 pixels, colour, 1 tile", "quality   12.5", "model     photo"} {
		require.Contains(t, text, want)
	}
	var r codedReport
	require.NoError(t, json.Unmarshal([]byte(ok(t, "info", "--json", "a.aec")), &r))
	st, err := os.Stat("a.aec")
	require.NoError(t, err)
	require.Equal(t, st.Size(), r.Bytes)
	require.Equal(t, r.Bytes, r.LatentBytes+r.HyperBytes+r.AlphaBytes+int64(r.ICCBytes+r.EXIFBytes+r.XMPBytes)+r.OverheadBytes)
	require.True(t, r.ModelFound)
	require.Equal(t, 12.5, r.Quality)
	require.Less(t, r.OverheadBytes, int64(64))

	require.Contains(t, ok(t, "info", "a.png"), "40 x 24 pixels, png")
	text = ok(t, "info")
	require.Equal(t, 2, strings.Count(text, "embedded model"))
	require.Contains(t, text, "to decode hypersynthesis")
	first, second, found := strings.Cut(ok(t, "info", "--json"), "\n")
	require.True(t, found)
	require.Contains(t, second, `"photo-ssim"`)
	var m modelReport
	require.NoError(t, json.Unmarshal([]byte(first), &m))
	require.Equal(t, "photo", m.Name)
	require.True(t, m.CanEncode)
	require.Equal(t, r.Fingerprint, m.Fingerprint)
	sum := 0.
	for _, p := range m.Parts {
		if p.Decode {
			sum += p.MACs
		}
	}
	require.InDelta(t, m.DecodeMACs, sum, 1e-6)
	require.Less(t, m.DecodeMACs, 8000.)
}

// At equal size the model tuned for MS-SSIM is ahead by MS-SSIM and behind by PSNR.
func TestTune(t *testing.T) {
	workIn(t)
	whole, _ := readPicture(t, filepath.Join(repository, "testdata", "kodim23.png"))
	part := whole.(interface {
		SubImage(image.Rectangle) image.Image
	}).SubImage(image.Rect(120, 150, 304, 334))
	const source = "part.png"
	writePicture(t, source, part)
	type result struct {
		Result struct {
			BPP    float64
			PSNR   float64 `json:"psnr_rgb"`
			MSSSIM float64 `json:"ms_ssim"`
		}
	}
	code := func(tune, bpp string) (r result) {
		ok(t, "encode", source, "--tune", tune, "--target-bpp", bpp, "-o", "out.aec", "--force")
		require.NoError(t, json.Unmarshal([]byte(ok(t, "compare", "--json", source, "out.aec")), &r))
		return r
	}
	psnr, ssim := code("psnr", "0.3"), code("ssim", "0.3")
	require.InDelta(t, psnr.Result.BPP, ssim.Result.BPP, 0.02)
	require.Greater(t, psnr.Result.PSNR, ssim.Result.PSNR)
	require.Greater(t, ssim.Result.MSSSIM, psnr.Result.MSSSIM)
	require.Contains(t, ok(t, "info", "out.aec"), "photo-ssim")

	for _, args := range [][]string{
		{"encode", source, "--tune", "eye"}, {"encode", source, "--tune", "ssim", "--model", "photo"},
		{"bench", "rd", "--data", ".", "--tune", "eye"},
	} {
		require.Equal(t, exitUsage, aecodec(t, args...).code, args)
	}
}

func TestExport(t *testing.T) {
	workIn(t, "a.png")
	ok(t, "export", "-o", "decoder.aem")
	ok(t, "encode", "a.png")
	var whole, decoder modelReport
	require.NoError(t, json.Unmarshal([]byte(ok(t, "info", "--json", "--model", "photo")), &whole))
	require.NoError(t, json.Unmarshal([]byte(ok(t, "info", "--json", "decoder.aem")), &decoder))
	require.False(t, decoder.CanEncode)
	require.Equal(t, whole.Fingerprint, decoder.Fingerprint)
	require.Contains(t, ok(t, "info", "decoder.aem"), "cannot encode")
	ok(t, "decode", "a.aec", "--model", "decoder.aem", "-o", "b.png")
	r := aecodec(t, "encode", "a.png", "--model", "decoder.aem", "-o", "b.aec")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.errOut, "can only decode")
	requireFiles(t, ".", "a.aec", "a.png", "b.png", "decoder.aem")

	// A model in the user's folder goes by its name.
	dir, err := codec.ModelDir()
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(dir, 0o777))
	ok(t, "export", "-o", filepath.Join(dir, "mine.aem"))
	defer os.Remove(filepath.Join(dir, "mine.aem"))
	require.Contains(t, ok(t, "info", "--model", "mine"), "cannot encode")
}

func TestCompare(t *testing.T) {
	workIn(t)
	writePicture(t, "a.png", noisePicture(170, 165))
	writePicture(t, "small.png", testPicture(40, 24))
	ok(t, "encode", "a.png", "-q", "90")
	ok(t, "decode", "a.aec", "-o", "b.png")
	var r struct {
		Reference, Input string
		Result           struct {
			Bytes     int64
			BPP       float64
			PSNR      *float64 `json:"psnr_rgb"`
			MSSSIM    *float64 `json:"ms_ssim"`
			Identical bool
		}
	}
	lines := strings.Split(ok(t, "compare", "--json", "a.png", "a.aec", "b.png", "./a.png"), "\n")
	require.NoError(t, json.Unmarshal([]byte(lines[0]), &r))
	require.Equal(t, "a.png", r.Reference)
	require.Equal(t, "a.aec", r.Input)
	st, err := os.Stat("a.aec")
	require.NoError(t, err)
	require.Equal(t, st.Size(), r.Result.Bytes)
	require.InDelta(t, float64(st.Size())*8/(170*165), r.Result.BPP, 1e-9)
	require.Greater(t, *r.Result.PSNR, 15.)
	require.Greater(t, *r.Result.MSSSIM, 0.5)
	psnr := *r.Result.PSNR
	require.NoError(t, json.Unmarshal([]byte(lines[1]), &r))
	require.Equal(t, psnr, *r.Result.PSNR, "a file and its decoded picture are equally far")
	require.NoError(t, json.Unmarshal([]byte(lines[2]), &r))
	require.True(t, r.Result.Identical)

	require.Contains(t, ok(t, "compare", "a.png", "a.aec"), "PSNR")
	require.Contains(t, ok(t, "compare", "small.png", "small.png"), "not defined")
	result := aecodec(t, "compare", "a.png", "small.png", "a.aec")
	require.Equal(t, exitFailed, result.code)
	require.Contains(t, result.errOut, "aecodec: small.png: ")
	require.Contains(t, result.errOut, "aecodec: 1 of 2 files failed\n")
	require.Contains(t, result.out, "a.aec")
}

func TestVersion(t *testing.T) {
	text := ok(t, "version")
	require.Contains(t, text, runtime.Version())
	require.Contains(t, text, kernels.Active())
	var r versionReport
	require.NoError(t, json.Unmarshal([]byte(ok(t, "version", "--json")), &r))
	require.Equal(t, kernels.Active(), r.Kernels)
	require.Equal(t, kernels.Available(), r.Available)
	require.NotEmpty(t, r.Version)
	require.NotEmpty(t, r.CPU)
}

func TestDemo(t *testing.T) {
	t.Chdir(repository)
	if testing.Short() {
		require.Contains(t, ok(t, "demo", "testdata/kodim23-crop.png"), "bits per pixel")
		return
	}
	text := ok(t, "demo")
	for _, want := range []string{"kodim23.png, 768 x 512 pixels", "bits per pixel", "PSNR", "MS-SSIM", "encoding", "decoding", "Mpixel/s"} {
		require.Contains(t, text, want)
	}
	var r struct {
		Result struct {
			PSNR float64 `json:"psnr_rgb"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(ok(t, "demo", "--json", "-q", "90")), &r))
	require.Greater(t, r.Result.PSNR, 30., "the embedded model is a trained one")
}

func TestBench(t *testing.T) {
	workIn(t)
	require.NoError(t, os.Mkdir("data", 0o777))
	writePicture(t, filepath.Join("data", "a.png"), noisePicture(64, 48))
	out := ok(t, "bench", "rd", "--data", "data", "--qualities", "10,50,90", "--csv", "own.csv", "--plot", "own.png", "--keep", "kept")
	require.Contains(t, out, "quality")
	requireFiles(t, ".", "data", "kept", "own.csv", "own.png")
	requireFiles(t, "kept", "a.png.q10.aec", "a.png.q50.aec", "a.png.q90.aec")
	out = ok(t, "bench", "rd", "--data", "data", "--qualities", "5,40,95", "--anchors", "own.csv", "--name", "again")
	require.Contains(t, out, "aecodec", "the anchor's name")
	require.True(t, json.Valid([]byte(ok(t, "bench", "rd", "--data", "data", "--qualities", "50", "--json"))))
	fails(t, exitFailed, "aecodec: writing own.csv: exists already (--force replaces it)\n",
		"bench", "rd", "--data", "data", "--qualities", "50", "--csv", "own.csv")
	fails(t, exitFailed, "aecodec: no.csv: no such file or directory\n", "bench", "rd", "--data", "data", "--anchors", "no.csv")

	backend := kernels.Active()
	out = ok(t, "bench", "codec", "data/a.png", "--rounds", "1", "--kernels", backend, "-j", "1")
	require.Contains(t, out, backend)
	require.True(t, json.Valid([]byte(ok(t, "bench", "codec", "data/a.png", "--rounds", "1", "--kernels", backend, "--json"))))
	fails(t, exitFailed, "aecodec: no.png: no such file or directory\n", "bench", "codec", "no.png")
}

func TestTrain(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	workIn(t)
	require.NoError(t, os.Mkdir("data", 0o777))
	for _, name := range []string{"a.png", "b.png"} {
		writePicture(t, filepath.Join("data", name), noisePicture(160, 128))
	}
	config := trainer.DefaultConfig()
	arch, err := codec.PhotoConfig{
		M: 16, Z: 8, Anchors: 2, LambdaMin: 0.001, LambdaMax: 0.1,
		AnalysisWidth8: 16, AnalysisWidth16: 16, AnalysisBlocks8: 1, AnalysisBlocks16: 1,
		HyperWidth: 16, HyperExpand: 64, ContextKern: 5, SynthWidth16: 16, SynthWidth8: 16, SynthBlocks: 1, RenderBlocks: 1,
	}.Arch()
	require.NoError(t, err)
	config.Arch = arch
	config.Patches, config.PriorCrops, config.Crop, config.Batch, config.Name = 800, 2, 64, 1, "tiny"
	data, err := json.Marshal(config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile("settings.json", data, 0o666))

	args := []string{"train", "--config", "settings.json", "--data", "data", "--steps", "4", "--hard-steps", "1", "--checkpoint", "run", "-o", "tiny.aem"}
	r := aecodec(t, append(args, "--quiet")...)
	require.Equal(t, exitOK, r.code, r.errOut)
	require.Empty(t, r.out)
	var m modelReport
	require.NoError(t, json.Unmarshal([]byte(ok(t, "info", "--json", "tiny.aem")), &m))
	require.Equal(t, "tiny", m.Name)

	writePicture(t, "a.png", testPicture(40, 24))
	ok(t, "encode", "a.png", "--model", "tiny.aem")
	ok(t, "decode", "a.aec", "--model", "tiny.aem", "-o", "b.png")
	r = aecodec(t, "decode", "a.aec", "-o", "c.png")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.errOut, `"tiny"`)

	fails(t, exitUsage, "aecodec: tiny.aem exists already: --force replaces it (see aecodec train --help)\n", args...)
	require.NoError(t, os.Remove("tiny.aem"))
	require.NoError(t, os.Rename("tiny.json", "record.json"))
	require.NoError(t, os.Remove("tiny.md"))
	require.NoError(t, os.Remove("tiny.png"))
	r = aecodec(t, args...)
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.errOut, "run/checkpoint.safetensors exists")
	require.NoError(t, os.RemoveAll("run"))
	args[2] = "record.json" // the settings of the first model
	r = aecodec(t, append(args, "--json", "-j", "1", "--log-every", "1")...)
	require.Equal(t, exitOK, r.code, r.errOut)
	var again modelReport
	require.NoError(t, json.Unmarshal([]byte(ok(t, "info", "--json", "tiny.aem")), &again))
	require.Equal(t, m.Fingerprint, again.Fingerprint, "one thread or many, the same model")
	require.Equal(t, "aecodec train --config record.json --data data --steps 4 --hard-steps 1 --output tiny.aem --log-every 1", again.Card.Command)

	// The weights travel to other programs and back.
	ok(t, "model", "export", "--model", "tiny.aem", "-o", "weights.safetensors", "--arch", "arch.json")
	var a codec.Arch
	text, err := os.ReadFile("arch.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &a))
	require.Equal(t, arch, &a)
	r = aecodec(t, "model", "import", "weights.safetensors", "--config", "record.json", "--data", "data", "-o", "back.aem", "--quiet")
	require.Equal(t, exitOK, r.code, r.errOut)
	ok(t, "encode", "a.png", "--model", "back.aem", "-o", "back.aec")
	ok(t, "decode", "back.aec", "--model", "back.aem", "-o", "back.png")
	fails(t, exitUsage, "aecodec: name the file of weights (see aecodec model import --help)\n", "model", "import")
	fails(t, exitUsage, "aecodec: -o: name the file to write (see aecodec model export --help)\n", "model", "export")
	r = aecodec(t, "model", "import", "weights.safetensors", "--data", "data", "-o", "wrong.aem")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.errOut, "want [1 1 96 1024]", "the photo network is another one")
}
