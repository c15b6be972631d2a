package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// jpegCoder stands in for the codec: these tests are about the measuring.
var jpegCoder = &coder{
	ext: ".jpg",
	encode: func(w io.Writer, m image.Image, q float64) error {
		return jpeg.Encode(w, m, &jpeg.Options{Quality: int(q)})
	},
	decode: jpeg.Decode,
}

// scene is a smooth picture with some texture.
func scene(w, h, seed int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			f := math.Sin(float64(x+seed*17)/23) + math.Cos(float64(y-seed*5)/31)
			n := float64(int64(x*7919+y*104729+seed)*2654435761>>16%17) - 8
			m.SetNRGBA(x, y, color.NRGBA{byte(128 + 50*f + n), byte(128 - 40*f + n), byte(x * 255 / w), 255})
		}
	}
	return m
}

func writePNG(t testing.TB, name string, m image.Image) {
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o777))
	f, err := os.Create(name)
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, m))
	require.NoError(t, f.Close())
}

func testFolder(t *testing.T) string {
	dir := t.TempDir()
	writePNG(t, filepath.Join(dir, "im01.png"), scene(200, 170, 1))
	writePNG(t, filepath.Join(dir, "im02.png"), scene(161, 190, 2))
	writePNG(t, filepath.Join(dir, "more", "im03.png"), scene(170, 170, 3))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "README"), []byte("no picture"), 0o666))
	return dir
}

func TestRD(t *testing.T) {
	dir, keep := testFolder(t), t.TempDir()
	calls := 0
	o := &RDOptions{
		Data: dir, Qualities: []float64{10, 50, 90, 25}, Name: "test", Keep: keep,
		Progress: func(done, total int) { calls++; require.Equal(t, [2]int{calls, 12}, [2]int{done, total}) },
	}
	r, err := rd(context.Background(), o, jpegCoder, 3)
	require.NoError(t, err)
	require.Equal(t, 12, calls)
	require.Equal(t, []string{"im01.png", "im02.png", "more/im03.png"}, r.Pictures)
	require.Len(t, r.Rows, 12)

	// Sizes are those of the files, and the files are real.
	m := r.Rows[5]
	require.Equal(t, [3]string{"test", "50", "more/im03.png"}, [3]string{m.Codec, m.Setting, m.File})
	info, err := os.Stat(filepath.Join(keep, "more", "im03.png.q50.jpg"))
	require.NoError(t, err)
	require.Equal(t, info.Size(), m.Bytes)
	require.InDelta(t, 8*float64(m.Bytes)/(170*170), m.BPP, 1e-12)
	require.Greater(t, m.PSNR, 20.0)
	require.Greater(t, m.MSSSIM, 0.8)

	// The same with another number of workers, in a temporary folder.
	o2 := *o
	o2.Keep, o2.Progress = "", nil
	again, err := rd(context.Background(), &o2, jpegCoder, 1)
	require.NoError(t, err)
	require.Equal(t, r, again)

	// Against itself and against files 10 % larger, under other names.
	for _, row := range r.Rows {
		larger := row
		row.Codec, row.File = "same", number(row.File)+".ppm"
		larger.Codec, larger.File, larger.BPP = "larger", row.File, 1.1*larger.BPP
		o2.Anchors = append(o2.Anchors, row, larger)
	}
	o2.Anchors = append(o2.Anchors, Measurement{"far", "", "", 0, 1, 90, math.NaN()}, Measurement{"far", "", "", 0, 2, 95, math.NaN()})
	r, err = rd(context.Background(), &o2, jpegCoder, 2)
	require.NoError(t, err)
	require.Len(t, r.Deltas, 3)
	require.InDelta(t, 0, r.Deltas[0].PSNR.Percent, 1e-9)
	require.InDelta(t, 0, r.Deltas[0].MSSSIM.Percent, 1e-9)
	require.InDelta(t, 100*(1/1.1-1), r.Deltas[1].PSNR.Percent, 1e-9)
	require.InDelta(t, 100*(1/1.1-1), r.Deltas[1].MSSSIM.Percent, 1e-9)
	require.Nil(t, r.Deltas[2].PSNR)
	require.Error(t, r.Deltas[2].PSNRReason)

	var table, chart, js bytes.Buffer
	require.NoError(t, r.WriteTable(&table))
	for _, s := range []string{"test: ", "3 pictures", "-9.09 %", "+0.00 %", "far, PSNR: bd: no common range"} {
		require.Contains(t, table.String(), s)
	}
	require.NoError(t, r.WritePNG(&chart))
	c, err := png.DecodeConfig(&chart)
	require.NoError(t, err)
	require.Greater(t, c.Width, 1000)
	require.NoError(t, r.WriteJSON(&js))
	var back struct {
		Points  []struct{ BPP float64 }
		Against []struct {
			Anchor string
			BD     *struct{ Percent float64 } `json:"bd_rate_psnr"`
		}
	}
	require.NoError(t, json.Unmarshal(js.Bytes(), &back))
	require.Len(t, back.Points, 4)
	require.Nil(t, back.Against[2].BD)
	require.InDelta(t, -9.0909, back.Against[1].BD.Percent, 1e-3)
	require.ErrorContains(t, r.WriteTable(fullDisk{}), "no space")
	require.ErrorContains(t, r.WritePNG(fullDisk{}), "no space")
	require.ErrorContains(t, r.WriteJSON(fullDisk{}), "no space")
}

func TestRDOfSmallPictures(t *testing.T) {
	dir := t.TempDir()
	writePNG(t, filepath.Join(dir, "icon.png"), scene(32, 32, 1))
	r, err := rd(context.Background(), &RDOptions{Data: dir, Qualities: []float64{50, 90}}, jpegCoder, 1)
	require.NoError(t, err)
	require.True(t, math.IsNaN(r.Rows[0].MSSSIM))
	var out bytes.Buffer
	require.NoError(t, WriteCSV(&out, r.Rows))
	require.NoError(t, r.WriteTable(&out))
	require.NoError(t, r.WriteJSON(&out))
	require.NoError(t, r.WritePNG(io.Discard))
	require.NotContains(t, out.String(), "NaN")
}

func TestRDErrors(t *testing.T) {
	dir := testFolder(t)
	run := func(o RDOptions, c *coder) error {
		_, err := rd(context.Background(), &o, c, 2)
		return err
	}
	require.EqualError(t, run(RDOptions{Data: dir, Qualities: []float64{0.5}}, jpegCoder), "bench: rd: quality 0.5 is not between 1 and 100")
	require.EqualError(t, run(RDOptions{Data: dir, Qualities: []float64{math.NaN()}}, jpegCoder), "bench: rd: quality NaN is not between 1 and 100")
	require.EqualError(t, run(RDOptions{Data: dir, Qualities: []float64{5, 5}}, jpegCoder), "bench: rd: quality 5 is given twice")
	require.ErrorContains(t, run(RDOptions{Data: t.TempDir()}, jpegCoder), "no pictures in this folder")
	require.ErrorIs(t, run(RDOptions{Data: filepath.Join(dir, "missing")}, jpegCoder), os.ErrNotExist)
	require.ErrorContains(t, run(RDOptions{Data: dir, Anchors: []Measurement{{Codec: "a", File: "x.png"}}}, jpegCoder), "bench: anchors: no measurement of ")

	broken := *jpegCoder
	broken.encode = func(io.Writer, image.Image, float64) error { return errors.New("out of ink") }
	err := run(RDOptions{Data: dir, Qualities: []float64{7}}, &broken)
	require.ErrorContains(t, err, "at quality 7: out of ink")
	require.ErrorContains(t, err, ".png")

	cropping := *jpegCoder
	cropping.decode = func(io.Reader) (image.Image, error) { return scene(20, 20, 0), nil }
	require.ErrorContains(t, run(RDOptions{Data: dir}, &cropping), "sizes differ")

	data, err := os.ReadFile(filepath.Join(dir, "im01.png"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "im04.png"), data[:len(data)/2], 0o666))
	require.ErrorContains(t, run(RDOptions{Data: dir}, jpegCoder), "im04.png: picture: decode png: ")

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = rd(ctx, &RDOptions{Data: testFolder(t)}, jpegCoder, 2)
	require.ErrorIs(t, err, context.Canceled)
}

func TestDefaultQualities(t *testing.T) {
	require.Len(t, DefaultQualities(), 10)
}
