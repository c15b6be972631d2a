package codec

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/format"
	"github.com/aecodec/aecodec/kernels"
	"github.com/stretchr/testify/require"
)

func TestPosition(t *testing.T) {
	a := smallArch()
	last := -1
	for q := quality(100); q <= 10000; q++ {
		pos := q.position(a.Anchors)
		require.Greater(t, pos, last)
		last = pos
		require.InDelta(t, a.Position(float64(q)/100)*65536, float64(pos), 0.5001)
		b := newBlend(pos, a.Anchors)
		require.Less(t, b.hi, a.Anchors)
	}
	require.Equal(t, 0, quality(100).position(8))
	require.Equal(t, 7<<16, quality(10000).position(8))
	require.Equal(t, 0, quality(5000).position(1))
	require.Equal(t, blend{lo: 7, hi: 7}, newBlend(7<<16, 8))
	// A tie goes down.
	require.Equal(t, 2, blend{2, 3, 1 << 15}.nearest())
	require.Equal(t, 3, blend{2, 3, 1<<15 + 1}.nearest())
	for _, q := range []float64{1, 12.5, 100} {
		require.InDelta(t, q, a.QualityAt(a.Position(q)), 1e-9)
	}
	require.InDelta(t, a.LambdaMin, a.Lambda(0), 1e-12)
	require.InDelta(t, a.LambdaMax, a.Lambda(float64(a.Anchors-1)), 1e-9)
	require.InEpsilon(t, math.Sqrt(a.LambdaMin*a.LambdaMax), a.Lambda(float64(a.Anchors-1)/2), 1e-9)
}

func TestScaleConstants(t *testing.T) {
	require.InDelta(t, math.Log(SigmaMin), LogSigmaMin, 1e-15)
	require.InDelta(t, math.Log(SigmaMax/SigmaMin)/(ScaleLevels-1), LogSigmaStep, 1e-15)
	require.InEpsilon(t, SigmaMax, sigma(ScaleLevels-1), 1e-12)
}

func TestInterpolation(t *testing.T) {
	b := blend{0, 1, 0x4000}
	ints := make([]int32, 3)
	b.ints(ints, []int32{0, -8, math.MaxInt32, 4, 8, math.MaxInt32})
	require.Equal(t, []int32{1, -4, math.MaxInt32}, ints)
	floats := make([]float32, 2)
	smallArch().Interpolate(floats, []float32{0, 1, 2, 3, 4, 5, 6, 7}, 1.25)
	require.Equal(t, []float32{2.5, 3.5}, floats)
	smallArch().Interpolate(floats, []float32{0, 1, 2, 3, 4, 5, 6, 7}, 99)
	require.Equal(t, []float32{6, 7}, floats)
}

// The integer map gives the level that rounding the float map of training
// would, up to the rounding of its tables; the fast path equals plain integers.
func TestScaleMap(t *testing.T) {
	a := smallArch()
	rng := rand.New(rand.NewPCG(1, 1))
	p, err := a.Init(9)
	require.NoError(t, err)
	for _, name := range []string{ScaleWeight, ScaleBias, ScaleOffset, GainZ} {
		spread := map[string]float64{ScaleWeight: 0.4, ScaleBias: 3, ScaleOffset: 6, GainZ: 1}[name]
		for i := range p[name].Data {
			p[name].Data[i] = float32(rng.NormFloat64() * spread)
		}
		if name == ScaleOffset {
			for i := range p[name].Data {
				p[name].Data[i] += 30
			}
		}
	}
	priors := NewPriors(a)
	draw := func(z []int32) {
		for i := range z {
			z[i] = int32(math.Round(rng.NormFloat64() * 4))
		}
	}
	z := make([]int32, 500*a.Z)
	for anchor := range a.Anchors {
		draw(z)
		priors.AddHyper(anchor, z, 20)
	}
	m, err := NewModel(a, p, priors, nil)
	require.NoError(t, err)
	s := m.scale
	require.LessOrEqual(t, s.bound(), int64(exactBound))
	t.Logf("drop %d, shift %d, bound 2^%.1f", s.drop, s.shift, math.Log2(float64(s.bound())))

	const h, w = 14, 9
	hz, wz := ceilDiv(h, 4), ceilDiv(w, 4)
	z = z[:hz*wz*a.Z]
	levels := make([]uint8, h*w*a.M)
	var scratch scaleScratch
	var worst float64
	for _, q := range []quality{100, 4321, 7000, 10000} {
		draw(z)
		for i := range z {
			z[i] = max(-m.prior.limit[i%a.Z], min(z[i], m.prior.limit[i%a.Z]))
		}
		b := newBlend(q.position(a.Anchors), a.Anchors)
		step, bias := s.at(b)
		s.levels(levels, z, h, w, step, bias, &scratch)
		offset := make([]int32, a.M)
		b.ints(offset, s.offset)
		offsetFloat := make([]float32, a.M)
		a.Interpolate(offsetFloat, p[ScaleOffset].Data, a.Position(float64(q)/100))
		for i, got := range levels {
			y, x, c := i/a.M/w, i/a.M%w, i%a.M
			zs := z[(y/4*wz+x/4)*a.Z:][:a.Z]
			j := (y%4*4+x%4)*a.M + c
			sum := int64(s.bias[c]) + int64(offset[c])
			exact := float64(p[ScaleBias].Data[c]) + float64(offsetFloat[c])
			for k, v := range zs {
				sum += int64(s.weight[k*16*a.M+j]) * int64(s.coarse(v*step[k]))
				exact += float64(p[ScaleWeight].Data[k*16*a.M+j]) * float64(v) * float64(step[k]) / 256
			}
			level := min(max(sum>>s.shift, 0), ScaleLevels-1)
			if level == 0 {
				level = format.Skip
			}
			require.EqualValues(t, level, got)
			// How far the float map is from the interval that rounds to the level.
			clamped := min(max(exact, 0), ScaleLevels-1)
			if level == format.Skip {
				level = 0
			}
			worst = max(worst, math.Abs(clamped-float64(level))-0.5)
		}
	}
	t.Logf("float and integer map differ by up to %.3f levels", worst)
	require.Less(t, worst, 0.25)
}

func TestScaleMapRefusesOverflow(t *testing.T) {
	m := smallModel()
	s := *m.scale
	bias := append([]int32(nil), s.bias...)
	bias[3] = math.MinInt32
	_, err := newScaleMap(m.arch, s.drop, s.shift, s.weight, s.step, s.limit, bias, s.offset)
	require.ErrorContains(t, err, "sums reach")
	weight := append([]int16(nil), s.weight...)
	for i := range weight {
		weight[i] = math.MinInt16
	}
	_, err = newScaleMap(m.arch, s.drop, s.shift, weight, s.step, s.limit, s.bias, s.offset)
	require.ErrorContains(t, err, "sums reach")
	for _, shifts := range [][2]int{{-1, 8}, {9, 8}, {0, 7}, {0, 23}, {8, -1}} {
		_, err = newScaleMap(m.arch, shifts[0], shifts[1], s.weight, s.step, s.limit, s.bias, s.offset)
		require.ErrorContains(t, err, "shifts")
	}
}

func TestScaleTables(t *testing.T) {
	reach, freq := scaleFreq(nil)
	set, err := newScaleTables(reach, freq)
	require.NoError(t, err)
	require.Equal(t, ScaleLevels, set.Len())
	// A source with exactly the model's distribution costs its entropy.
	for level := 1; level < ScaleLevels; level++ {
		var cost, entropy float64
		table := set.Table(level)
		for k := -4 * reach[level]; k <= 4*reach[level]; k++ {
			p := gauss{0, sigma(level)}.probability(float64(k))
			if p > 0 {
				cost += p * table.Bits(k)
				entropy -= p * math.Log2(p)
			}
		}
		require.Less(t, cost-entropy, 0.002+0.002*entropy, "level %d", level)
	}
}

func TestMargin(t *testing.T) {
	a := PhotoArch()
	require.Equal(t, 6, margin(a.Network(Analysis), 1./LatentStride))
	require.Equal(t, 3, margin(a.Network(Synthesis), 1))
	for _, l := range []nn.Layer{
		{Name: "a", Op: nn.OpConv, Out: 3, Kernel: 3, Stride: 2},
		{Name: "a", Op: nn.OpConv, Out: 3, Kernel: 2},
		{Name: "a", Op: nn.OpConv, Out: 3, Kernel: 3, Padding: nn.PadValid},
		{Name: "a", Op: nn.OpMaxPool},
		{Name: "a", Op: nn.OpUnshuffle, Factor: 2},
		{Name: "a", Op: nn.OpFlatten},
	} {
		n := &nn.Network{Name: "n", Inputs: []nn.Port{{Name: "x", C: 3}}, Layers: []nn.Layer{l}, Outputs: []string{"a"}}
		require.Equal(t, -1, margin(n, 1), string(l.Op))
	}
}

func equalBits(a, b []float32) bool {
	for i, v := range a {
		if math.Float32bits(v) != math.Float32bits(b[i]) {
			return false
		}
	}
	return len(a) == len(b)
}

func TestToByte(t *testing.T) {
	for i := range 256 {
		require.EqualValues(t, i, toByte(pixelValue[i]))
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	require.EqualValues(t, 0, toByte(nan))
	require.EqualValues(t, 255, toByte(inf))
	require.EqualValues(t, 0, toByte(-inf))
	require.EqualValues(t, 255, toByte(math.MaxFloat32))

	// Gray is drawn with it, colours with the kernel.
	rng := rand.New(rand.NewPCG(8, 8))
	x, b := make([]float32, 10000), make([]byte, 10000)
	for i := range x {
		x[i] = 1.2*rng.Float32() - 0.6
	}
	kernels.SampleBytes(b, x)
	for i, v := range x {
		require.Equal(t, b[i], toByte(v))
	}
}

func TestNearest(t *testing.T) {
	for v, want := range map[float32]int32{0.5: 0, 1.5: 2, -2.5: -2, 1e30: 9, -1e30: -9, 8.7: 9} {
		require.Equal(t, want, nearest(v, 9))
	}
	require.EqualValues(t, 0, nearest(float32(math.NaN()), 9))
	require.EqualValues(t, 9, nearest(float32(math.Inf(1)), 9))
}

func TestParallel(t *testing.T) {
	for _, threads := range []int{0, 1, 2, 7} {
		seen := make([]int, 5)
		require.NoError(t, parallel(threads, 5, func(i, inner int) error {
			seen[i]++
			return nil
		}))
		require.Equal(t, []int{1, 1, 1, 1, 1}, seen)
		err := parallel(threads, 5, func(i, inner int) error {
			if i == 0 {
				return format.ErrCorrupt
			}
			return nil
		})
		require.ErrorIs(t, err, format.ErrCorrupt)
	}
}
