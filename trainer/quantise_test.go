package trainer

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec"
)

// A model of principal components, quantised, saved and read again, decodes the
// same bytes on every backend and close to what floats give.
func TestQuantiseSynthesis(t *testing.T) {
	arch := tinyArch(t)
	params, err := arch.Init(1)
	require.NoError(t, err)
	m, err := codec.NewModel(arch, params, nil, &codec.Record{Name: "tiny"})
	require.NoError(t, err)
	dir := writePictures(t, 3, 96, 80)
	q, err := QuantiseSynthesis(m, &QuantiseOptions{Data: []string{dir}, Pictures: 2, Threads: 1, Name: "tiny-int8"})
	require.NoError(t, err)
	require.True(t, q.HasIntegerSynthesis())
	require.False(t, m.HasIntegerSynthesis())
	require.NotEqual(t, m.Fingerprint(), q.Fingerprint())

	var file bytes.Buffer
	require.NoError(t, q.Save(&file, true))
	receiver, err := codec.LoadModel(&file)
	require.NoError(t, err)
	require.True(t, receiver.HasIntegerSynthesis())
	require.Equal(t, q.Fingerprint(), receiver.Fingerprint())

	f, err := os.Open(filepath.Join(dir, "picture00.png"))
	require.NoError(t, err)
	defer f.Close()
	img, err := png.Decode(f)
	require.NoError(t, err)
	code := func(from *codec.Model) []byte {
		var b bytes.Buffer
		require.NoError(t, codec.Encode(&b, img, &codec.Options{Model: from, Quality: 90}))
		return b.Bytes()
	}
	decode := func(data []byte, m *codec.Model, threads int) *image.NRGBA {
		out, err := codec.NewDecoder(&codec.DecoderOptions{Models: []*codec.Model{m}, ModelDirs: []string{}, Threads: threads}).Decode(bytes.NewReader(data))
		require.NoError(t, err)
		return out.(*image.NRGBA)
	}
	float := decode(code(m), m, 1)
	data := code(q)
	var first []byte
	withBackend(t, func(t *testing.T, _ string) {
		for _, threads := range []int{1, 3} {
			got := decode(data, receiver, threads)
			if first == nil {
				first = got.Pix
			}
			require.Equal(t, first, got.Pix)
		}
	})
	noise := 0.0
	for i, v := range float.Pix {
		d := float64(v) - float64(first[i])
		noise += d * d
	}
	require.Less(t, noise/float64(len(first)), 1.)

	_, err = QuantiseSynthesis(m, &QuantiseOptions{Data: []string{t.TempDir()}})
	require.ErrorContains(t, err, "no PNG, JPEG or WebP pictures")
	_, err = QuantiseSynthesis(receiver, &QuantiseOptions{Data: []string{dir}, Threads: 1})
	require.ErrorContains(t, err, "can only decode")
}
