package bench

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/bench/metric"
)

// What a row says is what the two files hold.
func TestRobustRow(t *testing.T) {
	m := image.NewRGBA(image.Rect(0, 0, 64, 48))
	for i := range m.Pix {
		m.Pix[i] = 0xff
	}
	for x := range 64 {
		m.SetRGBA(x, x/2, color.RGBA{A: 0xff}) // a line
	}
	dir := t.TempDir()
	row, err := (&RobustOptions{}).row(dir, m, 50)
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, jpeg.Encode(&b, m, &jpeg.Options{Quality: 50}))
	require.EqualValues(t, b.Len(), row.JPEGBytes)
	back, err := jpeg.Decode(&b)
	require.NoError(t, err)
	psnr, err := metric.PSNR(m, back)
	require.NoError(t, err)
	require.Equal(t, psnr, *row.JPEGPSNR)
	st, err := os.Stat(dir + "/a.aec")
	require.NoError(t, err)
	require.Equal(t, st.Size(), row.Bytes)
	require.LessOrEqual(t, row.Bytes, row.JPEGBytes)
	require.Nil(t, row.PSNR, "a line fits without loss")
	require.InDelta(t, LosslessPSNR-psnr, row.Gain, 1e-9)
	require.False(t, row.Short || row.OutOfReach)
}

func TestRobust(t *testing.T) {
	_, err := Robust(context.Background(), &RobustOptions{Qualities: []int{0}})
	require.ErrorContains(t, err, "JPEG quality 0")
	_, err = Robust(context.Background(), &RobustOptions{Data: "none"})
	require.ErrorContains(t, err, "none")

	// A transparent picture is measured as JPEG sees it.
	alpha := image.NewNRGBA(image.Rect(0, 0, 1, 1))
	alpha.SetNRGBA(0, 0, color.NRGBA{200, 100, 50, 10})
	require.Equal(t, color.RGBA{200, 100, 50, 0xff}, opaque{alpha}.At(0, 0))
	gray := image.NewGray(image.Rect(0, 0, 1, 1))
	require.Equal(t, color.GrayModel, opaque{gray}.ColorModel())
	require.Equal(t, color.Gray{}, opaque{gray}.At(0, 0))

	r := &RobustResult{Rows: []RobustRow{
		{Picture: "a", JPEGQuality: 10, Gain: 1.5}, {Picture: "a", JPEGQuality: 90, Gain: -0.25, Short: true},
		{Picture: "b", JPEGQuality: 10, Bytes: 700, JPEGBytes: 650, OutOfReach: true}, {Picture: "b", JPEGQuality: 90, Gain: 3},
	}}
	r.Worst = &r.Rows[1]
	b := new(bytes.Buffer)
	require.NoError(t, r.WriteTable(b))
	for _, want := range []string{"-0.25*", "(700 > 650 B)", "+1.50", "least gain: -0.25 dB, a at quality 90"} {
		require.Contains(t, b.String(), want)
	}
	for _, m := range madePictures() {
		require.False(t, m.make().Bounds().Empty(), m.name)
	}
}
