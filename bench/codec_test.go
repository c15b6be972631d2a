package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/kernels"
)

func TestCodec(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.png")
	writePNG(t, name, scene(70, 50, 1))
	active, calls := kernels.Active(), 0
	r, err := Codec(context.Background(), &CodecOptions{
		Pictures: []string{name, name}, Encode: codec.Options{Quality: 30}, Threads: []int{1, 2}, Rounds: 2,
		Progress: func(done, total int) {
			calls++
			require.Equal(t, calls, done)
			require.Equal(t, 2*3*len(kernels.Available()), total)
		},
	})
	require.NoError(t, err)
	require.Equal(t, active, kernels.Active())
	require.Len(t, r.Speeds, 2*len(kernels.Available()))
	require.EqualValues(t, 2*70*50, r.Pixels)
	require.Positive(t, r.Bytes)
	require.NotEmpty(t, r.Model)
	for _, s := range r.Speeds {
		require.Positive(t, s.EncodeMpixel)
		switch s.Backend {
		case "generic":
			require.Nil(t, s.EncodeShare)
		case "avx2", "avx512":
			require.Positive(t, *s.EncodeShare)
			require.Positive(t, *s.DecodeShare)
		}
		require.Positive(t, s.DecodeMpixel)
		require.InEpsilon(t, float64(r.Pixels)/1e6, s.EncodeMpixel*s.EncodeSeconds, 1e-9)
	}
	var table, js bytes.Buffer
	require.NoError(t, r.WriteTable(&table))
	require.Contains(t, table.String(), "generic")
	require.NoError(t, r.WriteJSON(&js))
	var back CodecResult
	require.NoError(t, json.Unmarshal(js.Bytes(), &back))
	require.Equal(t, *r, back)
}

func TestCodecErrors(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.png")
	writePNG(t, name, scene(20, 20, 1))
	for _, o := range []CodecOptions{
		{},
		{Pictures: []string{name}, Rounds: -1},
		{Pictures: []string{name}, Threads: []int{0}},
		{Pictures: []string{name}, Backends: []string{"abacus"}},
		{Pictures: []string{name + ".missing"}},
	} {
		_, err := Codec(context.Background(), &o)
		require.ErrorContains(t, err, "bench: codec: ")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Codec(ctx, &CodecOptions{Pictures: []string{name}, Backends: []string{"generic"}})
	require.ErrorIs(t, err, context.Canceled)
}

func TestMedian(t *testing.T) {
	require.Equal(t, 2.0, median([]float64{9, 1, 2}))
	require.Equal(t, 2.5, median([]float64{9, 1, 2, 3}))
}
