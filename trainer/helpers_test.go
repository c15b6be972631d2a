package trainer

import (
	"fmt"
	"hash/fnv"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/kernels"
)

// tinyArch is small enough for the portable kernels.
func tinyArch(t testing.TB) *codec.Arch {
	a, err := codec.PhotoConfig{
		M: 8, Z: 3, Anchors: 3, LambdaMin: 0.001, LambdaMax: 0.1,
		AnalysisWidth8: 4, AnalysisWidth16: 6, AnalysisBlocks8: 1, AnalysisBlocks16: 1,
		HyperWidth: 6, HyperExpand: 32, ContextKern: 3, SynthWidth16: 6, SynthWidth8: 4, SynthBlocks: 1, RenderBlocks: 1,
	}.Arch()
	require.NoError(t, err)
	return a
}

// writePictures writes n pictures of smooth gradients, edges and texture.
func writePictures(t testing.TB, n, w, h int) string {
	dir := t.TempDir()
	for i := range n {
		m := image.NewNRGBA(image.Rect(0, 0, w, h))
		for y := range h {
			for x := range w {
				v := 128 + 60*math.Sin(float64(x*(i+1))/17) + 50*math.Cos(float64(y)/(9+float64(i)))
				if (x/23+y/31+i)%5 == 0 {
					v = 250 - v/2
				}
				c := color.NRGBA{byte(v), byte(v*0.7 + float64(y%16)), byte(255 - v*0.8), 255}
				m.SetNRGBA(x, y, c)
			}
		}
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("picture%02d.png", i)))
		require.NoError(t, err)
		require.NoError(t, png.Encode(f, m))
		require.NoError(t, f.Close())
	}
	return dir
}

// hashWeights identifies weights to the bit.
func hashWeights(p nn.Params) uint64 {
	h := fnv.New64a()
	for _, name := range p.Names() {
		fmt.Fprint(h, name)
		for _, v := range p[name].Data {
			b := math.Float32bits(v)
			h.Write([]byte{byte(b), byte(b >> 8), byte(b >> 16), byte(b >> 24)})
		}
	}
	return h.Sum64()
}

// withBackend runs a test under each backend of this machine.
func withBackend(t *testing.T, test func(t *testing.T, name string)) {
	active := kernels.Active()
	defer func() { require.NoError(t, kernels.Use(active)) }()
	for _, name := range kernels.Available() {
		require.NoError(t, kernels.Use(name))
		t.Run(name, func(t *testing.T) { test(t, name) })
	}
}
