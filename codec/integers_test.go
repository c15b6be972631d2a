package codec

import (
	"bytes"
	"image"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/format"
)

// integerModel is smallModel with a synthesis in integers that has the ranges of
// the latents y [h, w, M].
func integerModel(t *testing.T, y []float32, h, w int) *Model {
	m := smallModel()
	all := *m.arch.Network(Synthesis)
	output := all.Outputs[0]
	all.Outputs = valueNames(&all)
	compiled, err := nn.Compile(&all, m.params)
	require.NoError(t, err)
	out, err := compiled.Run(nn.NewArena(), 1, &nn.Tensor{N: 1, H: h, W: w, C: m.arch.M, Data: y})
	require.NoError(t, err)
	ranges := map[string]*nn.Range{}
	for i, name := range all.Outputs {
		ranges[name] = new(nn.Range)
		ranges[name].Extend(out[i])
	}
	q, err := m.arch.Network(Synthesis).Quantise(m.params, ranges, nn.QuantiseOptions{
		Wide:    map[string]bool{"lin": true},
		Outputs: map[string]nn.ByteScale{output: {Step: 1. / 255, Zero: 127.5}},
	})
	require.NoError(t, err)
	integers, err := m.WithIntegerSynthesis(q, "integers")
	require.NoError(t, err)
	return integers
}

// However a picture is cut, in jobs and regions, the pixels in integers are those
// of one run.
func TestIntegerJobsAndRegions(t *testing.T) {
	src := picture(400, 1200)
	r := newRaster(src)
	h, w := r.latentSize()
	var y latents
	y.reset(area{0, 0, w, h}, smallModel().arch.M)
	cut := smallModel().cutter(smallModel().analysis, h, w)
	require.NoError(t, smallModel().analyse(&y, r, &cut, y.area))
	m := integerModel(t, y.data, h, w)
	rows := new(nn.IntRows)
	program, err := m.integers.program()
	require.NoError(t, err)
	require.NoError(t, rows.Start(program, []nn.Shape{{H: h, W: w, C: y.m}}, 0, h*LatentStride, func(i int, dst [][]float32) {
		copy(dst[0], y.row(i, 0, w))
	}))
	want := newCanvas(image.Rect(0, 0, r.w, r.h), false)
	for lo, hi := rows.Next(); lo < hi; lo, hi = rows.Next() {
		for i := lo; i < hi; i++ {
			want.storeBytes(0, i, rows.Row8(0, i))
		}
	}
	cut = m.cutter(m.synthesis, h, w)
	for _, jobs := range [][]area{
		{y.area},
		{{0, 0, 7, h}, {7, 0, w, 1}, {7, 1, w, 20}, {7, 20, w, h}},
	} {
		got := newCanvas(want.rect, false)
		for _, job := range jobs {
			require.NoError(t, m.synthesise(got, &y, &cut, job))
		}
		require.Equal(t, pixelHash(want.rgb), pixelHash(got.rgb))
	}
	cut.margin, cut.whole = 0, true
	got := newCanvas(want.rect, false)
	require.NoError(t, m.synthesise(got, &y, &cut, y.area))
	require.Equal(t, pixelHash(want.rgb), pixelHash(got.rgb))

	gray := image.NewGray(image.Rect(0, 0, 90, 60))
	for i := range gray.Pix {
		gray.Pix[i] = uint8(i * i)
	}
	for _, src := range []image.Image{src, gray} {
		data := encode(t, src, &Options{Model: m})
		d := NewDecoder(&DecoderOptions{Models: []*Model{m}, Threads: 2})
		whole, err := d.Decode(bytes.NewReader(data))
		require.NoError(t, err)
		for _, rect := range []image.Rectangle{image.Rect(20, 30, 33, 57), image.Rect(300, 1000, 390, 1100)} {
			if rect = rect.Intersect(whole.Bounds()); rect.Empty() {
				continue
			}
			part, err := d.DecodeRegion(bytes.NewReader(data), rect)
			require.NoError(t, err)
			for y := rect.Min.Y; y < rect.Max.Y; y++ {
				require.Equal(t, rowOf(whole, rect, y), rowOf(part, rect, y), "%v row %d", rect, y)
			}
		}
	}
}

// TestEmbeddedIntegers checks all of the models in the program, of which an encoder or
// a decoder opens what it needs.
func TestEmbeddedIntegers(t *testing.T) {
	for _, e := range embedded {
		for _, read := range []func(io.Reader, *format.Limits) (*format.ModelFile, error){format.ReadModel, format.ReadDecoder} {
			m, err := e.read(read)
			require.NoError(t, err)
			require.NotNil(t, m.integers, e.name)
			require.NoError(t, m.integers.check(m.CanEncode()), e.name)
		}
	}
}
