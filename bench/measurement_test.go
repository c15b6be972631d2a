package bench

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/bench/bd"
)

func TestCSVRoundTrip(t *testing.T) {
	const file = `codec,setting,file,bytes,bpp,psnr_rgb,ms_ssim
webp,5,1.png,12345,0.25116,28.1934,0.897879
webp,5,"a, b.png",99,1.00000,30.0000,
`
	rows, err := ReadCSV(strings.NewReader(file))
	require.NoError(t, err)
	require.Len(t, rows, 2)
	require.Equal(t, Measurement{"webp", "5", "1.png", 12345, 0.25116, 28.1934, 0.897879}, rows[0])
	require.Equal(t, "a, b.png", rows[1].File)
	require.True(t, math.IsNaN(rows[1].MSSSIM))
	var out bytes.Buffer
	require.NoError(t, WriteCSV(&out, rows))
	require.Equal(t, file, out.String())
}

func TestReadCSVOfMeans(t *testing.T) {
	rows, err := ReadCSV(strings.NewReader("codec,metric_opt,bpp,psnr_rgb,ms_ssim,source\nBPG,-,0.1,26,0.9,x\nnet,ms-ssim,0.2,25,0.95,y\nBPG,-,0.4,30,,x\n"))
	require.NoError(t, err)
	curves, err := Curves(rows)
	require.NoError(t, err)
	require.Len(t, curves, 2)
	require.Equal(t, "BPG", curves[0].Codec)
	require.Equal(t, "net (ms-ssim)", curves[1].Codec)
	require.Equal(t, []bd.Point{{Rate: 0.1, Quality: 26}, {Rate: 0.4, Quality: 30}}, curves[0].psnrPoints())
	require.Len(t, curves[0].msssimPoints(), 1)
	require.InDelta(t, 10, curves[0].msssimPoints()[0].Quality, 1e-9)
}

func TestReadCSVErrors(t *testing.T) {
	for file, want := range map[string]string{
		"":                               "bench: csv: empty file",
		"codec,bpp\n":                    `bench: csv: no column "psnr_rgb"`,
		"codec,bpp,psnr_rgb\nx,zero,3\n": "line 2: bpp: ",
		"codec,bpp,psnr_rgb\nx,0,3\n":    "line 2: bpp: 0 is no rate",
		"codec,bpp,psnr_rgb\nx,,3\n":     "line 2: bpp: 0 is no rate",
		"codec,bpp,psnr_rgb\n,1,3\n":     "line 2: no codec name",
		"codec,bpp,psnr_rgb\nx,1\n":      "wrong number of fields",
	} {
		_, err := ReadCSV(strings.NewReader(file))
		require.ErrorContains(t, err, want, file)
	}
}

func TestWriteCSVReportsFullDisk(t *testing.T) {
	require.ErrorContains(t, WriteCSV(fullDisk{}, []Measurement{{Codec: "x"}}), "no space left")
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestCurvesAreMeansOverPictures(t *testing.T) {
	rows := []Measurement{
		{"a", "1", "x", 0, 1, 30, 0.75}, {"a", "1", "y", 0, 2, 32, 0.5},
		{"a", "9", "x", 0, 3, 40, 0.99}, {"a", "9", "y", 0, 5, 41, math.NaN()},
		{"b", "1", "x", 0, 7, 50, 0.5},
	}
	c, err := Curves(rows)
	require.NoError(t, err)
	require.Equal(t, CurvePoint{"1", 2, 1.5, 31, 0.625}, c[0].Points[0])
	require.Equal(t, 4.0, c[0].Points[1].BPP)
	require.True(t, math.IsNaN(c[0].Points[1].MSSSIM), "a mean that lacks a picture is not known")
	require.Equal(t, "b", c[1].Codec)

	_, err = Curves(rows[:3])
	require.EqualError(t, err, "bench: curves: a: 1 pictures at setting 9 but 2 at 1")
}

func TestSelectPictures(t *testing.T) {
	kodak := []Measurement{
		{Codec: "a", File: "1.png"}, {Codec: "a", File: "2.png"}, {Codec: "a", File: "10.png"},
		{Codec: "b", File: "1.png"}, {Codec: "b", File: "2.png"}, {Codec: "b", File: "10.png"}, {Codec: "mean"},
	}
	files := func(pictures ...string) (out []string) {
		rows, err := selectPictures(kodak, pictures)
		require.NoError(t, err)
		for _, r := range rows {
			out = append(out, r.Codec+r.File)
		}
		return out
	}
	require.Equal(t, []string{"a2.png", "b2.png", "mean"}, files("2.png"))
	require.Equal(t, []string{"a2.png", "b2.png", "mean"}, files("2.PPM"))
	require.Equal(t, []string{"a2.png", "b2.png", "mean"}, files("set/kodim02.webp"))
	require.Equal(t, []string{"a1.png", "a10.png", "b1.png", "b10.png", "mean"}, files("kodim10.png", "kodim01.png"))

	for _, pictures := range [][]string{{"kodim01.png", "kodim03.png"}, {"lena.png"}, {"a/x1.png", "b/y1.png"}} {
		_, err := selectPictures(kodak, pictures)
		require.ErrorContains(t, err, "bench: anchors: no measurement of ", pictures)
	}
	only := []Measurement{{Codec: "mean"}}
	rows, err := selectPictures(only, []string{"any.png"})
	require.NoError(t, err)
	require.Equal(t, only, rows)
}
