package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/codec/picture"
	"github.com/aecodec/aecodec/format"
)

func TestRoundTrip(t *testing.T) {
	workIn(t, "a.png", "a.jpg", "a.webp", "a.tiff", "a.bmp", "a.ppm", "a.pgm")
	for _, in := range []string{"a.png", "a.jpg", "a.webp", "a.tiff", "a.bmp", "a.ppm", "a.pgm"} {
		ok(t, "encode", in, "-o", in+".aec")
		coded, err := os.Open(in + ".aec")
		require.NoError(t, err)
		want, err := codec.Decode(coded)
		require.NoError(t, err)
		coded.Close()
		require.Equal(t, image.Pt(40, 24), want.Bounds().Size())
		_, gray := want.(*image.Gray)
		require.Equal(t, in == "a.pgm", gray)
		for _, out := range []string{"b.png", "b.ppm", "b.jpg", "b.pgm"} {
			ok(t, "decode", in+".aec", "-o", out, "--force")
			got, format := readPicture(t, out)
			wanted, err := picture.FormatOf(out)
			require.NoError(t, err)
			require.Equal(t, wanted, format)
			require.Equal(t, image.Pt(40, 24), got.Bounds().Size())
			if out != "b.png" && (out != "b.ppm" || gray) {
				continue
			}
			for _, at := range []image.Point{{0, 0}, {39, 0}, {13, 23}, {39, 23}} {
				require.Equal(t, color.RGBAModel.Convert(want.At(at.X, at.Y)), color.RGBAModel.Convert(got.At(at.X, at.Y)), "%s %s", in, out)
			}
		}
	}
}

func TestRegion(t *testing.T) {
	workIn(t, "a.png")
	ok(t, "encode", "a.png")
	ok(t, "decode", "a.aec", "-o", "whole.png")
	whole, _ := readPicture(t, "whole.png")
	for region, want := range map[string]image.Rectangle{"5,3,20,10": image.Rect(5, 3, 25, 13), "33, 0, 99, 99": image.Rect(33, 0, 40, 24)} {
		for _, name := range []string{"part.png", "part.ppm"} {
			var r codingReport
			require.NoError(t, json.Unmarshal([]byte(ok(t, "decode", "--region", region, "a.aec", "-o", name, "--force", "--json")), &r))
			require.Equal(t, [2]int{want.Dx(), want.Dy()}, [2]int{r.Width, r.Height})
			st, err := os.Stat("a.aec")
			require.NoError(t, err)
			require.Equal(t, bitsPerPixel(st.Size(), 40, 24), r.BPP, "of the file")
			part, _ := readPicture(t, name)
			require.Equal(t, want.Size(), part.Bounds().Size())
			for y := range want.Dy() {
				for x := range want.Dx() {
					require.Equal(t, color.RGBAModel.Convert(whole.At(want.Min.X+x, want.Min.Y+y)), color.RGBAModel.Convert(part.At(x, y)))
				}
			}
		}
	}
	fails(t, exitFailed, "aecodec: a.aec: --region is outside of the picture of 40x24 pixels\n", "decode", "--region", "40,0,5,5", "a.aec", "-o", "none.png")
	for _, region := range []string{"1,2,3", "1,2,3,4,5", "a,0,1,1", "-1,0,5,5", "0,0,0,4", "0,0,4,99999999999"} {
		require.Equal(t, exitUsage, aecodec(t, "decode", "--region", region, "a.aec", "-o", "none.png").code, region)
	}
	require.NoFileExists(t, "none.png")
}

// The name never decides what a file holds.
func TestPNGNamedJPG(t *testing.T) {
	workIn(t, "a.png")
	require.NoError(t, os.Rename("a.png", "a.jpg"))
	ok(t, "encode", "a.jpg")
	ok(t, "decode", "a.aec")
	m, _ := readPicture(t, "a.png")
	require.Equal(t, image.Pt(40, 24), m.Bounds().Size())
}

func TestQuality(t *testing.T) {
	workIn(t)
	writePicture(t, "a.png", noisePicture(96, 64))
	size := func(q string) int64 {
		ok(t, "encode", "a.png", "--force", "-q", q)
		st, err := os.Stat("a.aec")
		require.NoError(t, err)
		return st.Size()
	}
	require.Less(t, size("1"), size("50.25"))
	require.Less(t, size("50.25"), size("100"))
	var r codingReport
	require.NoError(t, json.Unmarshal([]byte(ok(t, "encode", "a.png", "--force", "--json", "-q", "33.333")), &r))
	require.Equal(t, 33.33, r.Quality, "of the file")
	require.NoError(t, json.Unmarshal([]byte(ok(t, "decode", "a.aec", "-o", "b.png", "--json")), &r))
	require.Equal(t, 33.33, r.Quality, "files keep hundredths")
}

func TestEffort(t *testing.T) {
	workIn(t)
	writePicture(t, "a.png", noisePicture(96, 64))
	for _, e := range []string{"0", "1", "9"} {
		ok(t, "encode", "a.png", "-e", e, "-o", e+".aec")
		ok(t, "decode", e+".aec", "-o", "b.png", "--force")
	}
	require.NotEqual(t, readFile(t, "1.aec"), readFile(t, "9.aec"))
}

// noisePicture has something to code at any quality.
func noisePicture(w, h int) *image.NRGBA {
	m := testPicture(w, h)
	state := uint32(1)
	for i := range m.Pix {
		if i%4 != 3 {
			state = state*1664525 + 1013904223
			m.Pix[i] += uint8(state >> 27)
		}
	}
	return m
}

func TestAlpha(t *testing.T) {
	workIn(t)
	m := testPicture(40, 24)
	for i := 3; i < len(m.Pix); i += 4 {
		m.Pix[i] = uint8(i)
	}
	writePicture(t, "a.png", m)
	ok(t, "encode", "a.png")
	ok(t, "decode", "a.aec", "-o", "b.png")
	got, _ := readPicture(t, "b.png")
	n, isNRGBA := got.(*image.NRGBA)
	require.True(t, isNRGBA)
	for i := 3; i < len(m.Pix); i += 4 {
		require.Equal(t, m.Pix[i], n.Pix[i], "alpha is kept without loss")
	}
	ok(t, "decode", "a.aec", "-o", "b.jpg") // laid on white
}

func TestStdinStdout(t *testing.T) {
	workIn(t, "a.png")
	ok(t, "encode", "a.png")
	coded := readFile(t, "a.aec")
	ok(t, "decode", "a.aec", "-o", "b.png")
	decoded := readFile(t, "b.png")

	r := aecodecFrom(t, bytes.NewReader(readFile(t, "a.png")), "encode", "-")
	require.Equal(t, outcome{exitOK, string(coded), ""}, r)
	r = aecodecFrom(t, bytes.NewReader(coded), "decode", "-")
	require.Equal(t, outcome{exitOK, string(decoded), ""}, r)
	r = aecodecFrom(t, bytes.NewReader(coded), "decode", "-", "--to", "ppm")
	require.True(t, strings.HasPrefix(r.out, "P6"))
	require.Equal(t, outcome{exitOK, string(coded), ""}, aecodec(t, "encode", "a.png", "-o", "-"))

	r = aecodecFrom(t, bytes.NewReader(coded), "decode", "-", "-o", "c.png")
	require.Equal(t, exitOK, r.code)
	require.Equal(t, decoded, readFile(t, "c.png"))

	fails(t, exitFailed, "aecodec: standard input: empty file\n", "encode", "-")
	fails(t, exitUsage, "aecodec: --json: standard output is taken by the picture (see aecodec encode --help)\n", "encode", "-", "--json")
	// An endless stream of something else is not read to its end.
	r = aecodecFrom(t, zeros{}, "encode", "-")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.errOut, "aecodec: standard input: is no picture")
	r = aecodecFrom(t, zeros{}, "decode", "-")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.errOut, "aecodec: standard input: codec: ")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestManyFiles(t *testing.T) {
	workIn(t, "a.png", "b.png", "c.jpg")
	require.NoError(t, os.WriteFile("bad.png", []byte("this is no picture"), 0o666))

	r := aecodec(t, "encode", "*.png", "missing.png", "c.jpg", "-o", "out", "-j", "3")
	require.Equal(t, exitFailed, r.code)
	require.Equal(t, ""+
		"aecodec: bad.png: is no picture: neither PNG, JPEG, WebP, TIFF, BMP, PPM nor PGM\n"+
		"aecodec: missing.png: no such file or directory\n"+
		"aecodec: 2 of 5 files failed\n", r.errOut)
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	require.Len(t, lines, 3)
	for i, name := range []string{"a", "b", "c"} {
		require.Contains(t, lines[i], filepath.Join("out", name+".aec")+"  40x24", "in the order of the command line")
	}
	requireFiles(t, "out", "a.aec", "b.aec", "c.aec")

	require.Empty(t, ok(t, "decode", "out", "-o", "back/", "--to", "jpg", "--quiet"))
	requireFiles(t, "back", "a.jpg", "b.jpg", "c.jpg")
}

func TestNeverOverwrites(t *testing.T) {
	workIn(t, "a.png")
	require.NoError(t, os.WriteFile("a.aec", []byte("precious"), 0o666))
	fails(t, exitFailed, "aecodec: a.png: writing a.aec: exists already (--force replaces it)\n", "encode", "a.png")
	requireContent(t, "a.aec", "precious")
	ok(t, "encode", "a.png", "--force")
	before := readFile(t, "a.png")
	fails(t, exitFailed, "aecodec: a.aec: writing a.png: exists already (--force replaces it)\n", "decode", "a.aec")
	require.Equal(t, before, readFile(t, "a.png"))
	fails(t, exitUsage, "aecodec: a.png: would be written over an input (see aecodec encode --help)\n",
		"encode", "a.png", "-o", "a.png", "--force")
	requireFiles(t, ".", "a.aec", "a.png")
}

func TestJSON(t *testing.T) {
	workIn(t, "a.png", "b.png")
	r := aecodec(t, "encode", "--json", "-q", "70", "a.png", "missing.png", "b.png")
	require.Equal(t, exitFailed, r.code)
	d := json.NewDecoder(strings.NewReader(r.out))
	d.DisallowUnknownFields()
	var first, last codingReport
	var failed struct{ Input, Error string }
	require.NoError(t, d.Decode(&first))
	require.NoError(t, d.Decode(&failed))
	require.NoError(t, d.Decode(&last))
	require.ErrorIs(t, d.Decode(&last), io.EOF)
	require.Equal(t, "missing.png", failed.Input)
	require.Equal(t, "no such file or directory", failed.Error)

	st, err := os.Stat("a.aec")
	require.NoError(t, err)
	in, err := os.Stat("a.png")
	require.NoError(t, err)
	require.Positive(t, first.Seconds)
	first.Seconds = 0
	require.Equal(t, codingReport{
		Input: "a.png", Output: "a.aec", Width: 40, Height: 24, InputBytes: in.Size(), OutputBytes: st.Size(),
		BPP: float64(st.Size()) * 8 / (40 * 24), Quality: 70, Model: "photo",
	}, first)
	require.Equal(t, "b.aec", last.Output)

	require.NoError(t, json.Unmarshal([]byte(ok(t, "decode", "--json", "a.aec", "-o", "c.png")), &last))
	require.Positive(t, last.Seconds)
	require.Equal(t, first.BPP, last.BPP)
	require.Equal(t, st.Size(), last.InputBytes)
}

func TestDamagedFiles(t *testing.T) {
	workIn(t, "a.png")
	ok(t, "encode", "a.png")
	whole := readFile(t, "a.aec")
	try := func(data []byte) string {
		require.NoError(t, os.WriteFile("b.aec", data, 0o666))
		r := aecodec(t, "decode", "b.aec", "-o", "b.png")
		require.Equal(t, exitFailed, r.code)
		require.True(t, strings.HasPrefix(r.errOut, "aecodec: b.aec: "), r.errOut)
		require.Equal(t, 1, strings.Count(r.errOut, "\n"), "one line")
		require.NoFileExists(t, "b.png")
		return r.errOut
	}
	for n := range whole {
		try(whole[:n])
	}
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 1 << (i % 8)
		try(damaged)
	}
	require.Contains(t, try(nil), "empty file")
	require.Contains(t, try(readFile(t, "a.png")), "signature")
	requireFiles(t, ".", "a.aec", "a.png", "b.aec")
}

func TestOtherModel(t *testing.T) {
	workIn(t)
	f, err := os.Create("a.aec")
	require.NoError(t, err)
	w, err := format.NewWriter(f, &format.Header{
		Kind: format.KindImage, Width: 16, Height: 16, Channels: 3, Depth: 8, TileLog2: 10, Quality: 5000,
		Model: "satellite", Fingerprint: [16]byte{0xab, 0xcd, 15: 0xef},
	})
	require.NoError(t, err)
	require.NoError(t, w.WriteChunk(format.ChunkTile, []byte{0, 0}))
	require.NoError(t, w.Close())
	require.NoError(t, f.Close())
	r := aecodec(t, "decode", "a.aec")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.errOut, `"satellite"`)
	require.Contains(t, r.errOut, "abcd00000000000000000000000000ef")
	require.Contains(t, r.errOut, filepath.Join("aecodec", "models"), "where it looked")
	requireFiles(t, ".", "a.aec")

	var info codedReport
	require.NoError(t, json.Unmarshal([]byte(ok(t, "info", "--json", "a.aec")), &info))
	require.Equal(t, "satellite", info.Model)
	require.False(t, info.ModelFound)
	require.Contains(t, ok(t, "info", "a.aec"), "not at hand")
}

func TestBadInputs(t *testing.T) {
	workIn(t, "a.png")
	ok(t, "encode", "a.png")
	require.NoError(t, os.Mkdir("empty", 0o777))
	require.NoError(t, os.WriteFile("file", nil, 0o666))
	require.NoError(t, os.WriteFile("huge.ppm", []byte("P6 2147483648 2147483648 255\n"), 0o666))
	require.NoError(t, os.WriteFile("none.pgm", []byte("P5 0 10 255\n"), 0o666))
	require.NoError(t, os.WriteFile("cut.png", readFile(t, "a.png")[:60], 0o666))
	for args, want := range map[string]string{
		"encode empty":                "aecodec: empty: no .png, .jpg, .jpeg, .webp, .tif, .tiff, .bmp, .ppm, .pgm file in this folder\n",
		"encode file":                 "aecodec: file: empty file\n",
		"encode file/x.png":           "aecodec: file/x.png: not a directory\n",
		"encode a.aec -o b":           "aecodec: a.aec: is no picture but an aecodec file\n",
		"encode a.png -o file/x.aec":  "aecodec: a.png: writing file/x.aec: not a directory\n",
		"encode a.png -o file/x/":     "aecodec: file/x/: not a directory\n",
		"encode a.png -o no/x.aec":    "aecodec: a.png: writing no/x.aec: no such file or directory\n",
		"encode a.png --model no.aem": "aecodec: no.aem: no such file or directory\n",
		"encode *.gif":                "aecodec: *.gif: no file matches\n",
		"compare no.png a.png":        "aecodec: no.png: no such file or directory\n",
		"info no.aec":                 "aecodec: no.aec: no such file or directory\n",
	} {
		fails(t, exitFailed, want, strings.Fields(args)...)
	}
	for _, name := range []string{"huge.ppm", "none.pgm", "cut.png"} {
		r := aecodec(t, "encode", name)
		require.Equal(t, exitFailed, r.code)
		require.True(t, strings.HasPrefix(r.errOut, "aecodec: "+name+": picture: "), r.errOut)
	}
}

func TestUnreadableFolder(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root reads everything")
	}
	workIn(t, "a.png")
	require.NoError(t, os.Mkdir("locked", 0o000))
	fails(t, exitFailed, "aecodec: locked: permission denied\n", "encode", "locked")
	fails(t, exitFailed, "aecodec: a.png: writing locked/a.aec: permission denied\n", "encode", "a.png", "-o", "locked/")
}

func TestUsageErrors(t *testing.T) {
	workIn(t, "a.png", "b.png")
	for args, want := range map[string]string{
		"decod a.aec":                      `unknown command "decod"`,
		"encode":                           "name at least one file, or - for standard input",
		"encode --qality 5 a.png":          "unknown flag: --qality",
		"encode -q 0.5 a.png":              "-q 0.5: quality is from 1 to 100",
		"encode -q 100.1 a.png":            "-q 100.1: quality is from 1 to 100",
		"encode -q NaN a.png":              "-q NaN: quality is from 1 to 100",
		"encode -e 10 a.png":               "-e 10: effort is from 1 to 9, or 0 for the default",
		"encode -q 5 --target-bpp 1 a.png": "--quality and --target-bpp: only one of them can be met",
		"encode --target-size 20x a.png":   `--target-size: "20x" is not a size: want bytes, or a number with k, M or G`,
		"encode --target-bpp -1 a.png":     "--target-bpp: -1 is not a positive number",
		"encode --target-psnr NaN a.png":   "--target-psnr: NaN is not a positive number",
		"bench codec -e -1":                "-e -1: effort is from 1 to 9, or 0 for the default",
		"encode -j -1 a.png":               "-j -1: threads cannot be negative",
		"encode a.png b.png -o x.aec":      "-o x.aec: one output cannot hold 2 inputs",
		"decode a.aec -o x.gif":            "-o x.gif: picture: cannot write .gif: use .png, .jpg, .ppm or .pgm",
		"decode a.aec --to gif":            "--to gif: use png, jpg, ppm or pgm",
		"decode a.aec -o x.png --to jpg":   "-o x.png and --to jpg disagree",
		"decode a.aec --jpeg-quality 0":    "--jpeg-quality 0: quality is from 1 to 100",
		"compare a.png":                    "name an original and at least one picture to measure",
		"compare - -":                      "standard input cannot be both pictures",
		"version now":                      `unexpected argument "now"`,
		"bench":                            "name a benchmark: rd, robust, codec, kernels, layers, train, recipes, records or embeddings",
		"bench speed":                      `unknown benchmark "speed": use rd, robust, codec, kernels, layers, train, recipes, records or embeddings`,
		"bench rd":                         "--data: name a folder of pictures",
		"bench rd --data . --qualities 0":  "--qualities 0: quality is from 1 to 100",
		"bench layers --size 10":           "--size 10: give width x height in pixels",
		"bench records":                    "--data: name the folder of the data",
		"bench embeddings":                 "--data: name the folder of the data",
		"bench report":                     "name the folder of the records",
		"bench codec -q 200":               "-q 200: quality is from 1 to 100",
		"train -o x.aem":                   "--data: name at least one folder of pictures",
		"train --data .":                   "-o: name the model file to write",
		"train --data . -o x":              "-o x: the name of a model ends in .aem",
		"train --data . -o x.aem --resume": "--resume: name the folder with --checkpoint",
		"train --config no.json":           "--config no.json: no such file or directory",
		"export":                           "-o: name the model file to write",
		"demo":                             "testdata/kodim23.png is not here: run this in a clone of the repository, or name a picture",
	} {
		r := aecodec(t, strings.Fields(args)...)
		require.Equal(t, exitUsage, r.code, args)
		require.True(t, strings.HasPrefix(r.errOut, "aecodec: "+want), "%s: %s", args, r.errOut)
		require.Equal(t, 1, strings.Count(r.errOut, "\n"), args)
		require.Empty(t, r.out)
	}
	requireFiles(t, ".", "a.png", "b.png")
}

func TestHelp(t *testing.T) {
	for _, args := range []string{"", "--help", "encode --help", "help decode", "bench rd -h"} {
		out := ok(t, strings.Fields(args)...)
		require.Contains(t, out, "Exit codes: 0 all done", args)
		require.Contains(t, out, "Usage:", args)
	}
}

type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// A reader that went away gets no message and no file is left half-written.
func TestClosedPipe(t *testing.T) {
	workIn(t, "a.png", "b.png", "c.png")
	for _, args := range []string{"encode - -o -", "encode a.png b.png c.png", "version", "encode --json a.png -o d.aec"} {
		stdin := bytes.NewReader(readFile(t, "a.png"))
		var errOut bytes.Buffer
		require.Equal(t, exitPipe, run(strings.Fields(args), stdin, closedPipe{}, &errOut), args)
		require.Empty(t, errOut.String())
	}
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	for _, e := range entries {
		require.NotContains(t, e.Name(), ".tmp")
	}
}

type fullDisk struct{}

var errFull = errors.New("no space left on device")

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

func TestFullStdout(t *testing.T) {
	workIn(t, "a.png")
	var errOut bytes.Buffer
	require.Equal(t, exitFailed, run([]string{"encode", "a.png", "-o", "-"}, nil, fullDisk{}, &errOut))
	require.Equal(t, "aecodec: a.png: writing standard output: no space left on device\n", errOut.String())
}

func TestMetadata(t *testing.T) {
	workIn(t)
	icc := make([]byte, 400)
	binary.BigEndian.PutUint32(icc, 400)
	copy(icc[16:], "RGB ")
	copy(icc[36:], "acsp")
	meta := picture.Metadata{
		ICC:  icc,
		EXIF: []byte("II*\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
		XMP:  []byte("<x:xmpmeta/>"),
	}
	writeWith := func(name string, m image.Image, meta picture.Metadata) {
		var b bytes.Buffer
		if filepath.Ext(name) == ".png" {
			require.NoError(t, png.Encode(meta.PNGWriter(&b), m))
		} else {
			w, err := meta.JPEGWriter(&b)
			require.NoError(t, err)
			require.NoError(t, jpeg.Encode(w, m, nil))
		}
		require.NoError(t, os.WriteFile(name, b.Bytes(), 0o666))
	}
	metadataOf := func(name string) picture.Metadata {
		m, err := picture.ReadMetadata(readFile(t, name))
		require.NoError(t, err)
		return *m
	}
	for _, in := range []string{"a.png", "a.jpg"} {
		writeWith(in, testPicture(40, 24), meta)
		ok(t, "encode", in, "-o", "a.aec", "--force")
		for _, out := range []string{"b.png", "b.jpg"} {
			ok(t, "decode", "a.aec", "-o", out, "--force")
			require.Equal(t, meta, metadataOf(out))
			ok(t, "decode", "a.aec", "-o", out, "--force", "--strip")
			require.True(t, new(metadataOf(out)).Empty())
		}
		ok(t, "decode", "a.aec", "-o", "b.ppm", "--force")
		ok(t, "encode", in, "-o", "a.aec", "--force", "--strip")
		ok(t, "decode", "a.aec", "-o", "b.png", "--force")
		require.True(t, new(metadataOf("b.png")).Empty())
	}

	// A profile for other colours than those decoded is worse than none.
	writeWith("gray.png", grayPicture(40, 24), meta)
	r := aecodec(t, "encode", "gray.png", "-o", "gray.aec")
	require.Equal(t, exitOK, r.code)
	require.Equal(t, "aecodec: gray.png: RGB colour profile does not fit a picture read as GRAY, left out\n", r.errOut)
	ok(t, "decode", "gray.aec", "-o", "gray-back.png")
	require.Empty(t, metadataOf("gray-back.png").ICC)
	require.Equal(t, meta.XMP, metadataOf("gray-back.png").XMP)

	// What JPEG cannot hold is not dropped silently.
	writeWith("long.png", testPicture(40, 24), picture.Metadata{XMP: make([]byte, 70_000)})
	ok(t, "encode", "long.png")
	fails(t, exitFailed, "aecodec: long.aec: picture: xmp of 70000 bytes is too long for a jpeg file; --strip leaves it out\n",
		"decode", "long.aec", "-o", "long.jpg")
	require.NoFileExists(t, "long.jpg")
}

// The file must not depend on how many threads there are.
func TestThreads(t *testing.T) {
	workIn(t)
	writePicture(t, "a.png", noisePicture(200, 150))
	for _, j := range []string{"1", "2", "5"} {
		ok(t, "encode", "a.png", "-j", j, "-o", fmt.Sprintf("%s.aec", j))
		ok(t, "decode", "1.aec", "-j", j, "-o", fmt.Sprintf("%s.ppm", j))
	}
	for _, j := range []string{"2", "5"} {
		require.Equal(t, readFile(t, "1.aec"), readFile(t, j+".aec"))
		require.Equal(t, readFile(t, "1.ppm"), readFile(t, j+".ppm"))
	}
}

func TestTargets(t *testing.T) {
	workIn(t)
	writePicture(t, "a.png", noisePicture(96, 64))
	writePicture(t, "b.png", noisePicture(80, 80))
	// Effort 2, since the other kinds of tiles make the size jump.
	ok(t, "encode", "a.png", "b.png", "--target-size", "2.5k", "--effort", "2")
	for _, name := range []string{"a.aec", "b.aec"} {
		st, err := os.Stat(name)
		require.NoError(t, err)
		require.LessOrEqual(t, st.Size(), int64(2500))
		require.GreaterOrEqual(t, st.Size(), int64(2450))
	}
	var r codingReport
	require.NoError(t, json.Unmarshal([]byte(ok(t, "encode", "a.png", "--force", "--json", "--target-bpp", "2")), &r))
	require.LessOrEqual(t, r.BPP, 2.)
	require.GreaterOrEqual(t, r.BPP, 1.96)
	ok(t, "encode", "a.png", "--force", "--target-psnr", "18")
	out := aecodec(t, "encode", "a.png", "--force", "--target-size", "1M")
	require.Equal(t, exitFailed, out.code)
	require.Contains(t, out.errOut, "a.png: codec: target size: 1000000 bytes: out of reach, quality 100 gives ")
}

func TestParseBytes(t *testing.T) {
	for s, want := range map[string]int64{"1": 1, "800": 800, "20k": 20000, "1.5M": 1500000, "2G": 2000000000, "1e3": 1000} {
		n, err := parseBytes(s)
		require.NoError(t, err, s)
		require.Equal(t, want, n, s)
	}
	for _, s := range []string{"", "k", "0", "-5", "0.5", "NaN", "Inf", "1e16", "20 k", "20kB"} {
		_, err := parseBytes(s)
		require.Error(t, err, s)
	}
}
