package record

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/aecodec/aecodec/format"
	"github.com/stretchr/testify/require"
)

// blobs are gray records of 12 by 10 with a smooth spot each, on black.
func blobs(n int) *Set {
	s := NewSet(Uint8, n, 12, 10)
	for i := range n {
		x, y := 2+math.Mod(float64(i)*1.7, 6), 3+math.Mod(float64(i)*2.3, 6)
		for j := range s.Record(i) {
			d := math.Pow(float64(j%10)-x, 2) + math.Pow(float64(j/10)-y, 2)
			s.Record(i)[j] = float32(math.Floor(255.9 * math.Exp(-d/4)))
		}
	}
	return s
}

func encode(t testing.TB, s *Set, o *Options) []byte {
	var buf bytes.Buffer
	require.NoError(t, Encode(&buf, s, o))
	return buf.Bytes()
}

func decode(t testing.TB, data []byte, m *Model) *Set {
	s, err := Decode(bytes.NewReader(data), &DecodeOptions{Models: []*Model{m}})
	require.NoError(t, err)
	require.NoError(t, s.Check())
	return s
}

func squaredError(a, b *Set) float64 {
	sum := 0.
	for i, v := range a.Data {
		sum += math.Pow(float64(v-b.Data[i]), 2)
	}
	return sum / float64(len(a.Data))
}

// A better quality is closer and takes more bytes; the decoder-only model gives
// what the full one does.
func TestQuality(t *testing.T) {
	for _, s := range []*Set{waves(300), blobs(300)} {
		m := linearModel(t, s, 8, map[Kind]float32{Uint8: 0.2, Float32: 0.4}[s.Kind])
		receiver := save(t, m, true)
		size, worse := 0, math.Inf(1)
		for _, q := range []float64{1, 20, 50, 72.5, 100} {
			data := encode(t, s, &Options{Model: m, Quality: q})
			back := decode(t, data, receiver)
			require.Equal(t, s.Shape, back.Shape)
			require.Equal(t, s.N, back.N)
			mse := squaredError(s, back)
			require.Less(t, mse, worse, "quality %g", q)
			require.Greater(t, len(data), size, "quality %g", q)
			size, worse = len(data), mse
		}
		require.Equal(t, encode(t, s, &Options{Model: m}), encode(t, s, &Options{Model: m, Quality: 50, Threads: 3}))
	}
}

// bounded checks every value against the bound.
func bounded(t testing.TB, s, back *Set, e float64) {
	t.Helper()
	require.Equal(t, len(s.Data), len(back.Data))
	for i, v := range s.Data {
		if !(math.Abs(float64(v)-float64(back.Data[i])) <= e) {
			require.Failf(t, "off by too much", "value %d: %v instead of %v, bound %g", i, back.Data[i], v, e)
		}
	}
}

func TestMaxError(t *testing.T) {
	s := blobs(100)
	m := linearModel(t, s, 6, 0.3)
	size := math.MaxInt32
	for _, e := range []float64{0, 0.9, 1, 2, 5, 20, 127, 255, 1000} {
		data := encode(t, s, &Options{Model: m, Quality: 30, Bounded: true, MaxError: e})
		require.LessOrEqual(t, len(data), size)
		size = len(data)
		back := decode(t, data, m)
		bounded(t, s, back, math.Floor(e))
	}
	f := waves(100)
	m = linearModel(t, f, 4, 0.3)
	size = math.MaxInt32
	for _, e := range []float64{1e-30, 1e-9, 1e-7, 1e-6, 1e-4, 1e-2, 0.3, 10, 1e30} {
		data := encode(t, f, &Options{Model: m, Quality: 30, Bounded: true, MaxError: e})
		require.LessOrEqual(t, len(data), size+16)
		size = len(data)
		bounded(t, f, decode(t, data, m), e)
	}
}

// Records unlike all of training: other scales, noise, spikes, steps, extremes.
func TestMaxErrorOnAnything(t *testing.T) {
	m := linearModel(t, waves(50), 4, 0.3)
	bytesModel := linearModel(t, blobs(50), 4, 0.3)
	r := rand.New(rand.NewPCG(3, 4))
	for round := range 30 {
		s := NewSet(Float32, 1+round, 48)
		scale := math.Pow(10, float64(r.IntN(70)-35))
		for i := range s.Data {
			s.Data[i] = float32(r.NormFloat64() * scale)
			if round%3 == 0 && r.IntN(20) == 0 {
				s.Data[i] = math.Float32frombits(r.Uint32())
			}
			if v := float64(s.Data[i]); math.IsNaN(v) || math.IsInf(v, 0) {
				s.Data[i] = math.MaxFloat32
			}
		}
		for _, e := range []float64{scale * 1e-5, scale * 0.01, scale, 0.01} {
			if newest := float32(e); newest < 1e-37 {
				continue
			}
			data := encode(t, s, &Options{Model: m, Bounded: true, MaxError: e})
			bounded(t, s, decode(t, data, m), e)
		}
		// And without a bound it is at least a valid set.
		decode(t, encode(t, s, &Options{Model: m}), m)

		b := NewSet(Uint8, 1+round, 12, 10)
		for i := range b.Data {
			b.Data[i] = float32(r.IntN(256))
			if round%2 == 0 {
				b.Data[i] = float32(255 * r.IntN(2))
			}
		}
		for _, e := range []float64{0, 3} {
			data := encode(t, b, &Options{Model: bytesModel, Bounded: true, MaxError: e})
			bounded(t, b, decode(t, data, bytesModel), e)
		}
	}
}

// Samples of 16 bits are kept by a bound of 0.
func TestSamplesWithoutLoss(t *testing.T) {
	m := linearModel(t, waves(50), 4, 0.3)
	for _, gain := range []float64{200, 32768, 0.3} {
		s := NewSet(Float32, 20, 48)
		s.Origin = &Origin{Format: Int16, Gain: gain, Zero: 1024}
		r := rand.New(rand.NewPCG(3, 4))
		for i := range s.Data {
			s.Data[i] = float32((float64(int16(r.Uint32())) - 1024) / gain)
		}
		back := decode(t, encode(t, s, &Options{Model: m, Bounded: true}), m)
		require.Equal(t, s.Origin, back.Origin)
		for i, v := range s.Data {
			require.Equal(t, math.Round(float64(v)*gain), math.Round(float64(back.Data[i])*gain))
		}
	}
}

func TestLabelsAndOrigin(t *testing.T) {
	s := blobs(3)
	m := linearModel(t, blobs(30), 4, 0.3)
	s.Labels = []int{math.MinInt, 0, math.MaxInt}
	s.Origin = &Origin{Format: Pictures, Files: []string{"a.png", "b.png", "ü.png"}}
	back := decode(t, encode(t, s, &Options{Model: m}), m)
	require.Equal(t, s.Labels, back.Labels)
	require.Equal(t, s.Origin, back.Origin)
}

// Many groups, of which the last is smaller, and more channels than one set of
// tables has.
func TestManyGroupsAndChannels(t *testing.T) {
	s := waves(3)
	wide := NewSet(Float32, 5, 300)
	for i := range wide.Data {
		wide.Data[i] = float32(math.Sin(float64(i*i) / 50))
	}
	m := linearModel(t, wide, 5, 0.3)
	require.Equal(t, 5, m.Latent().C)
	want := squaredError(wide, decode(t, encode(t, wide, &Options{Model: m, Quality: 100}), m))
	m = widen(t, m, 600)
	require.Equal(t, 600, m.Latent().C)
	back := decode(t, encode(t, wide, &Options{Model: m, Quality: 100}), m)
	require.InEpsilon(t, want, squaredError(wide, back), 0.02)

	m = linearModel(t, s, 3, 0.1)
	many := NewSet(Float32, 3*groupValues/48, 48)
	for i := range many.N {
		copy(many.Record(i), s.Record(i%3))
	}
	one := encode(t, many, &Options{Model: m, Bounded: true, MaxError: 0.2, Threads: 1})
	require.Equal(t, one, encode(t, many, &Options{Model: m, Bounded: true, MaxError: 0.2, Threads: 4}))
	info, err := DecodeInfo(bytes.NewReader(append(one, "more"...)), &DecodeOptions{Models: []*Model{m}})
	require.NoError(t, err)
	require.Equal(t, 4, info.Header.Groups())
	require.EqualValues(t, len(one), info.FileBytes)
	require.Equal(t, many.N, info.N)
	require.Same(t, m, info.Model)
	require.Positive(t, info.LatentBytes)
	require.Positive(t, info.ResidualBytes)
	bounded(t, many, decode(t, one, m), 0.2)
}

func TestEncodeErrors(t *testing.T) {
	s := waves(20)
	m := linearModel(t, s, 3, 0.1)
	nan := waves(20)
	nan.Data[50] = float32(math.NaN())
	for want, f := range map[string]func() error{
		"no model":                         func() error { return Encode(nil, s, nil) },
		"can only decode":                  func() error { return Encode(nil, s, &Options{Model: save(t, m, true)}) },
		"no records":                       func() error { return Encode(nil, &Set{Shape: []int{48}, Kind: Float32}, &Options{Model: m}) },
		"value 2 of record 1 is NaN":       func() error { return Encode(nil, nan, &Options{Model: m}) },
		"not for float32 of [3]":           func() error { return Encode(nil, NewSet(Float32, 1, 3), &Options{Model: m}) },
		"not for uint8 of [48]":            func() error { return Encode(nil, NewSet(Uint8, 1, 48), &Options{Model: m}) },
		"quality 101, want 1 to 100":       func() error { return Encode(nil, s, &Options{Model: m, Quality: 101}) },
		"quality NaN":                      func() error { return Encode(nil, s, &Options{Model: m, Quality: math.NaN()}) },
		"error bound 0 is for uint8":       func() error { return Encode(nil, s, &Options{Model: m, Bounded: true}) },
		"error bound -1":                   func() error { return Encode(nil, s, &Options{Model: m, Bounded: true, MaxError: -1}) },
		"error bound NaN":                  func() error { return Encode(nil, s, &Options{Model: m, Bounded: true, MaxError: math.NaN()}) },
		"error bound 1e-39 is beyond what": func() error { return Encode(nil, s, &Options{Model: m, Bounded: true, MaxError: 1e-39}) },
	} {
		require.ErrorContains(t, f(), want)
	}
	data := encode(t, s, &Options{Model: m})
	_, err := Decode(bytes.NewReader(data), &DecodeOptions{ModelDirs: []string{t.TempDir(), "/no/such"}})
	var unknown *UnknownModelError
	require.ErrorAs(t, err, &unknown)
	require.ErrorContains(t, err, `unknown model "linear" with fingerprint`)
	require.ErrorContains(t, err, "/no/such (no such folder)")
	info, err := DecodeInfo(bytes.NewReader(data), nil)
	require.NoError(t, err)
	require.Nil(t, info.Model)
	_, err = Decode(bytes.NewReader(data), &DecodeOptions{Models: []*Model{m}, Limits: format.Limits{MaxValues: 959}})
	require.ErrorIs(t, err, format.ErrLimit)
}

// Every value of the fixtures is within every bound.
func TestBoundOfFixtures(t *testing.T) {
	digits, err := Read("testdata/digits-idx3-ubyte.gz", nil)
	require.NoError(t, err)
	beats, err := Read("testdata/heartbeats.csv", &ReadOptions{Columns: []string{"t0:t139"}})
	require.NoError(t, err)
	for _, c := range []struct {
		set    *Set
		bounds []float64
	}{{digits, []float64{0, 1, 10}}, {beats, []float64{1e-6, 1e-3, 0.02, 0.5}}} {
		m := linearModel(t, c.set.Slice(0, 30), 12, 0.3)
		size := math.MaxInt32
		for _, e := range c.bounds {
			data := encode(t, c.set, &Options{Model: m, Bounded: true, MaxError: e})
			bounded(t, c.set, decode(t, data, m), e)
			require.Less(t, len(data), size)
			size = len(data)
			one := c.set.Slice(7, 8)
			bounded(t, one, decode(t, encode(t, one, &Options{Model: m, Bounded: true, MaxError: e}), m), e)
		}
	}
}
