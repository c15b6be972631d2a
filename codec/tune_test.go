package codec

import (
	"bytes"
	"image"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/format"
)

// Every Tune has an embedded model of its own, whose files decode without being
// told which it is.
func TestTune(t *testing.T) {
	require.Equal(t, []string{"photo", "photo-ssim"}, EmbeddedModels())
	src := fixture(t, "kodim23-crop.png").SubImage(image.Rect(0, 0, 70, 50))
	for tune, model := range map[Tune]string{TunePSNR: "photo", TuneSSIM: "photo-ssim"} {
		parsed, err := ParseTune(tune.String())
		require.NoError(t, err)
		require.Equal(t, tune, parsed)
		m, err := TunedModel(tune)
		require.NoError(t, err)
		require.Equal(t, model, m.Name())
		require.Equal(t, tune == TuneSSIM, m.structural())
		data := encode(t, src, &Options{Tune: tune})
		info, err := NewDecoder(nil).DecodeInfo(bytes.NewReader(data))
		require.NoError(t, err)
		require.Equal(t, model, info.Header.Model)
		require.Equal(t, m.Fingerprint(), info.Header.Fingerprint)
		out, name, err := image.Decode(bytes.NewReader(data))
		require.NoError(t, err)
		require.Equal(t, "aec", name)
		require.Equal(t, src.Bounds().Size(), out.Bounds().Size())

		// A model is found whatever its file calls it.
		found, err := findEmbedded(&format.Header{Model: "renamed", Fingerprint: m.Fingerprint()})
		require.NoError(t, err)
		require.Equal(t, m.Fingerprint(), found.Fingerprint())
	}
	none, err := findEmbedded(&format.Header{Model: "photo"})
	require.NoError(t, err)
	require.Nil(t, none)

	_, err = ParseTune("eye")
	require.ErrorContains(t, err, "psnr or ssim")
	_, err = TunedModel(7)
	require.ErrorContains(t, err, "Tune(7)")
	_, err = NewEncoder(&Options{Tune: -1})
	require.ErrorContains(t, err, "Tune(-1)")
	_, err = NewEncoder(&Options{Tune: TuneSSIM, Model: smallModel()})
	require.ErrorContains(t, err, "both set")
	_, err = EmbeddedModel("none")
	require.ErrorContains(t, err, "photo and photo-ssim")
}

// Squared errors do not decide for a model that was trained for MS-SSIM: noise stays
// with the networks, and nothing is refined.
func TestStructuralChoices(t *testing.T) {
	kind := func(o *Options) int {
		c, err := NewDecoder(nil).read(bytes.NewReader(encode(t, noise(64, 64), o)))
		require.NoError(t, err)
		k, _, err := tileKind(c.tiles[0])
		require.NoError(t, err)
		return k
	}
	require.Equal(t, tileTransform, kind(&Options{Quality: 80}))
	require.Equal(t, tileLatents, kind(&Options{Quality: 80, Tune: TuneSSIM}))
	src := fixture(t, "kodim23-crop.png").SubImage(image.Rect(0, 0, 64, 48))
	require.Equal(t, encode(t, src, &Options{Tune: TuneSSIM, Effort: 3}), encode(t, src, &Options{Tune: TuneSSIM, Effort: 9}))
}
