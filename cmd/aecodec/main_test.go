package main

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"github.com/aecodec/aecodec/codec/picture"
)

// asProgram makes the test binary be the program, for tests of what only a process of its own shows.
const asProgram = "AECODEC_TEST_AS_PROGRAM"

// repository is the root of the module.
var repository string

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	repository = filepath.Join(dir, "..", "..")
	config, err := os.MkdirTemp("", "aecodec-config-")
	if err != nil {
		panic(err)
	}
	os.Setenv("XDG_CONFIG_HOME", config) // without the models of whoever runs the tests
	code := m.Run()
	os.RemoveAll(config)
	os.Exit(code)
}

// result of one command line.
type outcome struct {
	code        int
	out, errOut string
}

// aecodec runs a command line in this process.
func aecodec(t *testing.T, args ...string) outcome {
	t.Helper()
	return aecodecFrom(t, strings.NewReader(""), args...)
}

func aecodecFrom(t *testing.T, stdin io.Reader, args ...string) outcome {
	t.Helper()
	var out, errOut bytes.Buffer
	code := run(args, stdin, &out, &errOut)
	return outcome{code, out.String(), errOut.String()}
}

// ok runs a command line that must succeed and returns what it printed.
func ok(t *testing.T, args ...string) string {
	t.Helper()
	r := aecodec(t, args...)
	require.Equal(t, exitOK, r.code, r.errOut)
	require.Empty(t, r.errOut)
	return r.out
}

// fails runs a command line that must fail with the code and exactly this on stderr.
func fails(t *testing.T, code int, errOut string, args ...string) {
	t.Helper()
	r := aecodec(t, args...)
	require.Equal(t, errOut, r.errOut)
	require.Equal(t, code, r.code)
}

// program prepares the program as a process of its own.
func program(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// workIn makes a new folder the working directory and puts pictures into it, in the format of their extension.
func workIn(t *testing.T, names ...string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, name := range names {
		writePicture(t, name, testPicture(40, 24))
	}
}

// testPicture is smooth, so that any codec should keep it recognisable.
func testPicture(w, h int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetNRGBA(x, y, color.NRGBA{uint8(60 + 3*x), uint8(200 - 4*y), uint8(80 + x + 2*y), 255})
		}
	}
	return m
}

func grayPicture(w, h int) *image.Gray {
	m := image.NewGray(image.Rect(0, 0, w, h))
	draw.Draw(m, m.Rect, testPicture(w, h), image.Point{}, draw.Src)
	return m
}

func writePicture(t *testing.T, name string, m image.Image) {
	t.Helper()
	var b bytes.Buffer
	var err error
	switch filepath.Ext(name) {
	case ".png":
		err = png.Encode(&b, m)
	case ".jpg":
		err = jpeg.Encode(&b, m, &jpeg.Options{Quality: 95})
	case ".tiff":
		err = tiff.Encode(&b, m, nil)
	case ".bmp":
		err = bmp.Encode(&b, m)
	case ".ppm":
		err = picture.Encode(&b, m, picture.PPM, nil)
	case ".pgm":
		err = picture.Encode(&b, m, picture.PGM, nil)
	case ".webp":
		data, readErr := os.ReadFile(filepath.Join(repository, "cmd", "aecodec", "testdata", "tiny.webp"))
		b.Write(data)
		err = readErr
	default:
		t.Fatalf("%s: no such test picture", name)
	}
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(name, b.Bytes(), 0o666))
}

func readPicture(t *testing.T, name string) (image.Image, picture.Format) {
	t.Helper()
	m, format, err := picture.ReadFile(name, nil)
	require.NoError(t, err)
	return m, format
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	return data
}
