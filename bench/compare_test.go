package bench

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/bench/metric"
)

func TestCompare(t *testing.T) {
	a, b := scene(180, 170, 1), scene(180, 170, 1)
	for i := range b.Pix {
		if i%4 != 3 {
			b.Pix[i] ^= 2
		}
	}
	c, err := Compare(a, b, 1000)
	require.NoError(t, err)
	require.InDelta(t, 8000.0/(180*170), c.BPP, 1e-12)
	var out bytes.Buffer
	require.NoError(t, c.WriteText(&out))
	require.Regexp(t, `^size     180x170\nbytes    1000\nbpp      0\.2614\nPSNR     42\.110 dB\nMS-SSIM  0\.\d{6} \(\d+\.\d\d dB\)\n$`, out.String())

	c, err = Compare(a, a, 0)
	require.NoError(t, err)
	out.Reset()
	require.NoError(t, c.WriteText(&out))
	require.Contains(t, out.String(), "infinite")
	require.NotContains(t, out.String(), "bpp")
	js, err := json.Marshal(c)
	require.NoError(t, err)
	require.Contains(t, string(js), `"bytes":null,"bpp":null,"identical":true,"psnr_rgb":null,"ms_ssim":1`)

	small := scene(20, 20, 1)
	c, err = Compare(small, small, 5)
	require.NoError(t, err)
	out.Reset()
	require.NoError(t, c.WriteText(&out))
	require.Contains(t, out.String(), "not defined for sides below 161 pixels")
	_, err = json.Marshal(c)
	require.NoError(t, err)

	_, err = Compare(a, small, 5)
	require.ErrorIs(t, err, metric.ErrSize)
	require.ErrorContains(t, c.WriteText(fullDisk{}), "no space")
}
