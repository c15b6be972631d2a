package trainer

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec/nn"
)

func ignore(error) {}

func TestUniformNoise(t *testing.T) {
	const n = 4096
	all := make([]float32, n)
	uniformNoise(all, 7, 0)
	part := make([]float32, 101)
	uniformNoise(part, 7, 200)
	require.Equal(t, all[200:301], part, "noise is a function of the index")
	var sum, squares float64
	for _, v := range all {
		require.GreaterOrEqual(t, v, float32(-0.5))
		require.Less(t, v, float32(0.5))
		sum += float64(v)
		squares += float64(v) * float64(v)
	}
	require.InDelta(t, 0, sum/n, 0.02)
	require.InDelta(t, 1./12, squares/n, 0.004)
	other := make([]float32, n)
	uniformNoise(other, key(1, purposeNoiseY, 2, 3), 0)
	require.NotEqual(t, all, other)
}

func TestPermute(t *testing.T) {
	order := make([]int32, 100)
	s := stream{3}
	s.permute(order)
	sorted := slices.Clone(order)
	slices.Sort(sorted)
	for i, v := range sorted {
		require.EqualValues(t, i, v)
	}
	require.False(t, slices.IsSorted(order))
}

func TestToFloat(t *testing.T) {
	const size = 3
	src := make([]byte, 3*size*size)
	for i := range src {
		src[i] = byte(i)
	}
	dst := make([]float32, len(src))
	for _, mirror := range []bool{false, true} {
		for _, transpose := range []bool{false, true} {
			toFloat(dst, src, size, mirror, transpose)
			for y := range size {
				for x := range size {
					u, v := x, y // where the pixel comes from
					if transpose {
						u, v = v, u
					}
					if mirror {
						u = size - 1 - u
					}
					for c := range 3 {
						require.Equal(t, pixelValue[src[3*(v*size+u)+c]], dst[3*(y*size+x)+c], "%v %v", mirror, transpose)
					}
				}
			}
		}
	}
}

func TestResampler(t *testing.T) {
	var r resampler
	flat := make([]byte, 3*40*40)
	for i := range flat {
		flat[i] = byte(10 + i%3)
	}
	dst := make([]byte, 3*23*23)
	r.scale(dst, flat, 3*40, 40, 23)
	for i, v := range dst {
		require.EqualValues(t, 10+i%3, v)
	}
	// A ramp stays a ramp away from the edges.
	for y := range 40 {
		for x := range 40 {
			flat[3*(40*y+x)] = byte(6 * x)
		}
	}
	r.scale(dst[:3*20*20], flat, 3*40, 40, 20)
	for x := 3; x < 17; x++ {
		require.InDelta(t, 6*(2*float64(x)+0.5), float64(dst[3*(20*10+x)]), 1)
	}
	for i := range 20 {
		sum := int32(0)
		for _, w := range r.weights[i*r.taps:][:r.taps] {
			sum += w
		}
		require.EqualValues(t, 1<<resampleBits, sum)
	}
}

func TestSamplerIsAFunctionOfTheStep(t *testing.T) {
	dir := writePictures(t, 3, 150, 90) // height below the crop's: reflected
	require.NoError(t, os.WriteFile(filepath.Join(dir, "no.png"), []byte("nothing"), 0o644))
	set, warnings, err := scanPictures([]string{dir}, 1<<20, 2)
	require.NoError(t, err)
	require.Len(t, warnings, 1)
	require.ErrorContains(t, warnings[0], "no.png")
	require.Len(t, set.list, 3)

	const batchSize, crop = 8, 128
	take := func(threads int, cache int64, steps ...int) []*batch {
		set, _, err := scanPictures([]string{dir}, cache, threads)
		require.NoError(t, err)
		s := newSampler(set, 5, batchSize, crop, 8, threads, ignore)
		var out []*batch
		for _, step := range steps {
			b := &batch{x: nn.NewTensor(batchSize, crop, crop, 3), t: make([]float64, batchSize)}
			s.fill(b, step)
			require.NoError(t, b.err)
			out = append(out, b)
		}
		return out
	}
	a, b := take(1, 1<<20, 0, 1, 2, 3), take(3, 0, 3, 1)
	require.Equal(t, a[3], b[0])
	require.Equal(t, a[1], b[1])
	require.NotEqual(t, a[0].x.Data, a[1].x.Data)
	for i, v := range a[2].t {
		require.GreaterOrEqual(t, v, float64(i)*7/8)
		require.Less(t, v, float64(i+1)*7/8)
	}
}

func TestLoader(t *testing.T) {
	dir := writePictures(t, 2, 70, 70)
	set, _, err := scanPictures([]string{dir}, 1<<20, 1)
	require.NoError(t, err)
	s := newSampler(set, 5, 2, 64, 8, 1, ignore)
	l := newLoader(t.Context(), s, 3, 10)
	for step := 3; step < 10; step++ {
		b, err := l.take(t.Context())
		require.NoError(t, err)
		require.Equal(t, step, b.step)
		l.release(b)
	}
	l.close()

	ctx, cancel := context.WithCancel(t.Context())
	l = newLoader(ctx, s, 0, 1000)
	cancel()
	for {
		if _, err := l.take(ctx); err != nil {
			require.ErrorIs(t, err, context.Canceled)
			break
		}
	}
	l.close()
}

func TestBrokenPictures(t *testing.T) {
	dir := writePictures(t, 2, 70, 70)
	name := filepath.Join(dir, "picture00.png")
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(name, data[:len(data)/2], 0o644)) // header fine, pixels not

	set, warnings, err := scanPictures([]string{dir}, 1<<20, 1)
	require.NoError(t, err)
	require.Empty(t, warnings)
	var warned []error
	s := newSampler(set, 5, 2, 64, 8, 1, func(err error) { warned = append(warned, err) })
	b := &batch{x: nn.NewTensor(2, 64, 64, 3), t: make([]float64, 2)}
	s.fill(b, 0)
	s.fill(b, 1)
	require.NoError(t, b.err)
	require.Len(t, warned, 1)
	require.ErrorContains(t, warned[0], "picture00.png")

	require.NoError(t, os.Remove(filepath.Join(dir, "picture01.png")))
	set, _, err = scanPictures([]string{dir}, 1<<20, 1)
	require.NoError(t, err)
	newSampler(set, 5, 2, 64, 8, 1, ignore).fill(b, 0)
	require.ErrorContains(t, b.err, "none of 1 pictures")

	_, _, err = scanPictures([]string{t.TempDir()}, 0, 1)
	require.ErrorContains(t, err, "no PNG, JPEG or WebP")
	_, _, err = scanPictures([]string{filepath.Join(dir, "missing")}, 0, 1)
	require.ErrorIs(t, err, os.ErrNotExist)
}
