package codec

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/format"
	"github.com/stretchr/testify/require"
)

func TestPhotoArch(t *testing.T) {
	a := PhotoArch()
	enc, dec, err := a.MACs()
	require.NoError(t, err)
	t.Logf("%.2f kMAC per pixel to encode, %.2f to decode", enc/1000, dec/1000)
	require.Less(t, dec, 12000.)
	require.Less(t, enc, 16000.)

	data, err := json.Marshal(a)
	require.NoError(t, err)
	var back Arch
	require.NoError(t, json.Unmarshal(data, &back))
	require.Equal(t, a, &back)
	require.NoError(t, back.Validate())

	for name, spoil := range map[string]func(a *Arch){
		"no latent":    func(a *Arch) { a.M = 0 },
		"other latent": func(a *Arch) { a.M++ },
		"wide hyper":   func(a *Arch) { a.Z = 255 },
		"no anchors":   func(a *Arch) { a.Anchors = 0 },
		"lambda":       func(a *Arch) { a.LambdaMin = math.NaN() },
		"missing":      func(a *Arch) { a.Networks = a.Networks[1:] },
		"nil":          func(a *Arch) { a.Networks[0] = nil },
		"twice":        func(a *Arch) { a.Networks[0] = a.Networks[1] },
		"outputs":      func(a *Arch) { a.Network(HyperSynthesis).Outputs = a.Network(HyperSynthesis).Outputs[:1] },
		"unknown op":   func(a *Arch) { a.Network(Synthesis).Layers[0].Op = "magic" },
		"size":         func(a *Arch) { a.Network(Synthesis).Layers = a.Network(Synthesis).Layers[:3] },
	} {
		var b Arch
		require.NoError(t, json.Unmarshal(data, &b))
		spoil(&b)
		require.Error(t, b.Validate(), name)
	}
}

// With the network outputs at zero the two linear shortcuts are inverse to each
// other: what the basis spans comes back exactly.
func TestSetBasis(t *testing.T) {
	c := DefaultPhotoConfig()
	c.M = patchChannels
	a, err := c.Arch()
	require.NoError(t, err)
	p, err := a.Init(3)
	require.NoError(t, err)
	for _, name := range []string{"analysis.head.weight", "synthesis.head.weight"} {
		clear(p[name].Data)
	}
	analysis := newProgram(a.Network(Analysis), p, 1./LatentStride)
	synthesis := newProgram(a.Network(Synthesis), p, 1)
	r := newRaster(picture(32, 16))
	x := loadAll(r)
	y := runWhole(t, analysis, pixels(1, 2), x)
	require.InDeltaSlice(t, x, runWhole(t, synthesis, nn.Shape{H: 1, W: 2, C: c.M}, y), 1e-5)
	require.Error(t, a.SetBasis(p, make([][]float32, 3)))
	require.Error(t, a.SetBasis(nn.Params{}, nil))
}

func TestInitIsDeterministic(t *testing.T) {
	a, err := smallArch().Init(5)
	require.NoError(t, err)
	b, err := smallArch().Init(5)
	require.NoError(t, err)
	require.Equal(t, a, b)
	specs, err := smallArch().ParamSpecs()
	require.NoError(t, err)
	require.Len(t, a, len(specs))
}

func TestModelFile(t *testing.T) {
	m := smallModel()
	var full, dec, again bytes.Buffer
	require.NoError(t, m.Save(&full, false))
	require.NoError(t, m.Save(&dec, true))
	require.Less(t, dec.Len(), full.Len())

	a, err := LoadModel(bytes.NewReader(full.Bytes()))
	require.NoError(t, err)
	b, err := LoadModel(bytes.NewReader(dec.Bytes()))
	require.NoError(t, err)
	require.True(t, a.CanEncode())
	require.False(t, b.CanEncode())
	for _, l := range []*Model{a, b} {
		require.Equal(t, m.Fingerprint(), l.Fingerprint())
		require.Equal(t, "small", l.Name())
		require.Equal(t, m.Card(), l.Card())
	}
	require.NoError(t, a.Save(&again, false))
	require.Equal(t, full.Bytes(), again.Bytes())

	src := picture(60, 50)
	data := encode(t, src, &Options{Model: a})
	require.Equal(t, encode(t, src, &Options{Model: m}), data)
	require.Equal(t, decode(t, data, m), decode(t, data, b))

	// Damage: an error, whatever it is.
	raw := full.Bytes()
	rng := rand.New(rand.NewPCG(5, 6))
	for range 100 {
		bad := bytes.Clone(raw)
		bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
		_, err := LoadModel(bytes.NewReader(bad))
		require.Error(t, err)
		_, err = LoadModel(bytes.NewReader(raw[:rng.IntN(len(raw))]))
		require.Error(t, err)
	}
}

// Every tensor of a model is needed, and a wrong one is refused.
func TestForgedModels(t *testing.T) {
	m := smallModel()
	forge := func(edit func(f *format.ModelFile)) error {
		f := *m.file
		f.Decoder = append([]format.Tensor(nil), f.Decoder...)
		f.Encoder = append([]format.Tensor(nil), f.Encoder...)
		edit(&f)
		_, err := newModel(&f)
		return err
	}
	require.NoError(t, forge(func(*format.ModelFile) {}))
	for i, tensor := range m.file.Decoder {
		require.Error(t, forge(func(f *format.ModelFile) { f.Decoder = append(f.Decoder[:i], f.Decoder[i+1:]...) }), tensor.Name)
		require.Error(t, forge(func(f *format.ModelFile) {
			f.Decoder[i].Data = f.Decoder[i].Data[:len(tensor.Data)/2]
			f.Decoder[i].Shape = []int{1}
		}), tensor.Name)
	}
	for _, name := range []string{tensorHyperStep, tensorHyperLimit, tensorHyperFreq, tensorScaleShift, tensorScaleReach, tensorScaleFreq, GainEnc} {
		for i, tensor := range m.file.Decoder {
			if tensor.Name == name {
				require.Error(t, forge(func(f *format.ModelFile) {
					f.Decoder[i].Data = bytes.Repeat([]byte{0xff}, len(tensor.Data))
				}), name)
			}
		}
	}
	require.Error(t, forge(func(f *format.ModelFile) { f.Description = []byte("{") }))
	require.Error(t, forge(func(f *format.ModelFile) { f.Description = []byte("{}") }))
	require.Error(t, forge(func(f *format.ModelFile) { f.Record = []byte("[]") }))
	require.Error(t, forge(func(f *format.ModelFile) { f.Encoder = f.Encoder[:len(f.Encoder)-1] }))
	require.Error(t, forge(func(f *format.ModelFile) { f.Encoder = append(f.Encoder, f.Decoder[0]); f.Decoder = f.Decoder[1:] }))
}

func TestNewModelChecks(t *testing.T) {
	for name, spoil := range map[string]func(p nn.Params){
		"missing": func(p nn.Params) { delete(p, GainDec) },
		"nan":     func(p nn.Params) { p["context.mean.weight"].Data[3] = float32(math.NaN()) },
		"shape":   func(p nn.Params) { p[ScaleBias].Shape = []int{1} },
		"scale":   func(p nn.Params) { p[ScaleWeight].Data[0] = 1e9 },
		"prior":   func(p nn.Params) { p[PriorMean].Data[0] = 1000 },
	} {
		p, err := smallArch().Init(1)
		require.NoError(t, err)
		spoil(p)
		_, err = NewModel(smallArch(), p, nil, nil)
		require.Error(t, err, name)
	}
}

// A model made of a model's parameters computes the same scales and pixels.
func TestParamsRoundTrip(t *testing.T) {
	m := smallModel()
	again, err := NewModel(m.Arch(), m.Params(), nil, nil)
	require.NoError(t, err)
	require.Equal(t, m.scale.step, again.scale.step)
	require.Equal(t, m.gainEnc, again.gainEnc)
	// The precision of the scale map may be chosen otherwise.
	a, b := m.Params(), again.Params()
	for _, name := range []string{ScaleWeight, ScaleBias, ScaleOffset} {
		require.InDeltaSlice(t, a[name].Data, b[name].Data, 1./256, name)
	}
	for name, p := range m.params {
		require.Equal(t, p.Data, again.params[name].Data, name)
	}
	enc, dec := m.MACs()
	require.Positive(t, enc)
	require.Positive(t, dec)
}

func TestPriors(t *testing.T) {
	a := smallArch()
	pri := NewPriors(a)
	z := make([]int32, 200*a.Z)
	rng := rand.New(rand.NewPCG(7, 8))
	for anchor := range a.Anchors {
		for i := range z {
			switch i % a.Z {
			case 0:
				z[i] = 0
			case 1:
				z[i] = 300
			default:
				z[i] = int32(math.Round(rng.NormFloat64() * float64(i%a.Z)))
			}
		}
		pri.AddHyper(anchor, z, 20)
	}
	p, err := a.Init(1)
	require.NoError(t, err)
	fitted, err := NewModel(a, p, pri, nil)
	require.NoError(t, err)
	plain := smallModel()
	require.EqualValues(t, 0, fitted.prior.limit[0])
	require.EqualValues(t, HyperLimit, fitted.prior.limit[1])
	require.Less(t, fitted.prior.limit[2], int32(20))

	set, err := fitted.prior.sets[3]()
	require.NoError(t, err)
	index := make([]uint8, len(z))
	fitted.prior.indices(index, z, 20)
	for i := range z {
		z[i] = max(-HyperLimit, min(z[i], HyperLimit))
	}
	bits := set.Bits(index, z) / float64(len(z))
	plainSet, err := plain.prior.sets[3]()
	require.NoError(t, err)
	plain.prior.indices(index, z, 20)
	require.Less(t, bits, 0.75*plainSet.Bits(index, z)/float64(len(z)))

	mean, logSigma := fitted.prior.moments(2, 5)
	require.InDelta(t, 0, mean, 1)
	require.InDelta(t, math.Log(5), logSigma, 0.2)

	_, err = NewModel(a, p, &Priors{}, nil)
	require.Error(t, err)
	pri.Scale = pri.Scale[1:]
	_, err = NewModel(a, p, pri, nil)
	require.ErrorContains(t, err, "scale")
	pri.Scale = nil
	pri.Hyper[1] = pri.Hyper[1][1:]
	_, err = NewModel(a, p, pri, nil)
	require.Error(t, err)
}

// A channel whose symbols follow their neighbours gets tables by context and costs
// less than one table would take; one whose symbols do not keeps one.
func TestHyperContexts(t *testing.T) {
	a := smallArch()
	pri := NewPriors(a)
	rng := rand.New(rand.NewPCG(9, 10))
	const h, w = 40, 50
	z := make([]int32, h*w*a.Z)
	for i := range z {
		v := rng.NormFloat64()
		if k := i % a.Z; k == 1 && i > w*a.Z {
			v += 0.45 * float64(z[i-a.Z]+z[i-w*a.Z])
		}
		z[i] = int32(math.Round(v))
	}
	for anchor := range a.Anchors {
		pri.AddHyper(anchor, z, w)
	}
	p, err := a.Init(1)
	require.NoError(t, err)
	m, err := NewModel(a, p, pri, nil)
	require.NoError(t, err)
	tables := make([]int, a.Z)
	for _, k := range m.prior.channel {
		tables[k]++
	}
	require.Greater(t, tables[1], 3)
	for k, n := range tables {
		if k != 1 {
			require.Equal(t, 1, n, k)
		}
	}
	set, err := m.prior.sets[0]()
	require.NoError(t, err)
	index := make([]uint8, len(z))
	m.prior.indices(index, z, w)
	var all HyperCounts
	all.add(pri.Hyper[0][1])
	cost, entropy := 0., 0.
	for i, v := range z {
		if i%a.Z == 1 {
			cost += set.Table(int(index[i])).Bits(v)
			entropy -= math.Log2(float64(all[v+HyperLimit]) / (h * w))
		}
	}
	require.Less(t, cost, 0.85*entropy)

	// The decoder finds the same tables, symbol by symbol.
	coded, err := format.EncodeSymbols(nil, set, index, z)
	require.NoError(t, err)
	got := make([]int32, len(z))
	require.NoError(t, m.prior.decode(coded, set, got, w, make([]uint8, a.Z)))
	require.Equal(t, z, got)

	mean, logSigma := m.prior.moments(0, 1)
	fitted, _ := all.fit()
	require.InDelta(t, fitted.mean, mean, 0.2)
	require.InDelta(t, math.Log(fitted.sigma), logSigma, 0.3)

	for _, table := range [][]int16{{1, 1, 1}, {0, 2, 1}, {0, 1, -1}} {
		_, err := newHyperPrior([]int32{1}, 3, table, make([]uint16, 12), 1)
		require.ErrorContains(t, err, "follows on")
	}
	_, err = newHyperPrior([]int32{1, 1}, 1, []int16{0, 0}, make([]uint16, 4), 1)
	require.ErrorContains(t, err, "for channels 0 and 1")
}

// Tables of counted symbols code such symbols near their entropy, and those of
// levels that were never seen are the Gaussian's.
func TestScalePriors(t *testing.T) {
	const level = 20
	rng := rand.New(rand.NewPCG(3, 4))
	draw := func(tile *Tile) {
		for i := range tile.K {
			// Laplacian: a heavier tail than the Gaussian of the level.
			v := rng.ExpFloat64() * sigma(level) / math.Sqrt2
			if rng.Uint32()&1 == 0 {
				v = -v
			}
			tile.K[i], tile.Index[i] = int32(math.RoundToEven(v)), level
		}
		tile.Index[0] = format.Skip
	}
	tile := &Tile{K: make([]int32, 100_000), Index: make([]uint8, 100_000)}
	draw(tile)
	pri := NewPriors(smallArch())
	pri.AddLatent(tile)
	set := func(p *Priors) *format.TableSet {
		s, err := newScaleTables(scaleFreq(p))
		require.NoError(t, err)
		return s
	}
	counted, plain := set(pri), set(nil)
	draw(tile)
	histogram := map[int32]float64{}
	for _, k := range tile.K[1:] {
		histogram[k]++
	}
	entropy, n := 0., float64(len(tile.K)-1)
	for _, c := range histogram {
		entropy -= c * math.Log2(c/n)
	}
	bits := counted.Bits(tile.Index, tile.K)
	require.InEpsilon(t, entropy, bits, 0.003)
	require.Less(t, bits, 0.99*plain.Bits(tile.Index, tile.K))
	require.Greater(t, counted.Table(level).Max(), plain.Table(level).Max())
	for k := int32(-9); k <= 9; k++ {
		require.Equal(t, plain.Table(level+1).Bits(k), counted.Table(level+1).Bits(k))
	}
}

func TestDefaultModel(t *testing.T) {
	m, err := DefaultModel()
	require.NoError(t, err)
	again, err := DefaultModel()
	require.NoError(t, err)
	require.Same(t, m, again)
	require.True(t, m.CanEncode())
	require.Equal(t, "photo", m.Name())
	for _, e := range embedded {
		require.Less(t, len(e.file), 8<<20, e.name)
	}
}

// The symbols of a picture cost more bits the higher the quality is, and they
// are those of the file.
func TestAnalyze(t *testing.T) {
	m := smallModel()
	src := fixture(t, "kodim23-crop.png")
	last := 0.
	for _, q := range []float64{5, 50, 95} {
		l, err := m.Analyze(src, q)
		require.NoError(t, err)
		require.Len(t, l.Tiles, 1)
		require.Greater(t, l.YBits+l.ZBits, last)
		last = l.YBits + l.ZBits

		d := NewDecoder(&DecoderOptions{Models: []*Model{m}})
		c, err := d.read(bytes.NewReader(encode(t, src, &Options{Quality: q, Model: m, Effort: 2})))
		require.NoError(t, err)
		p, err := m.at(quality(c.header.Quality))
		require.NoError(t, err)
		kind, data, err := tileKind(c.tiles[0])
		require.NoError(t, err)
		require.Equal(t, tileLatents, kind)
		require.NoError(t, m.readTile(data, c.grid[0], p, new(tileScratch)))
		require.Equal(t, l.Tiles[0], c.grid[0])
	}
}

// Large layers keep 6 bits of mantissa, small ones and those without a bias 10, and
// what is rounded once does not change again.
func TestStoredWeights(t *testing.T) {
	require.Equal(t, float32(1.015625), roundMantissa(1.0078126, 6))
	require.Equal(t, float32(1), roundMantissa(1.0078125, 6)) // a tie, to even
	require.Equal(t, float32(-1.03125), roundMantissa(-1.0234375, 6))
	require.Equal(t, float32(2), roundMantissa(1.9999, 6))
	require.Zero(t, roundMantissa(0, 6))

	a := PhotoArch()
	p, err := a.Init(1)
	require.NoError(t, err)
	for _, s := range []string{"context.merge.weight", "synthesis.lin.weight", "synthesis.head.weight"} {
		for i := range p[s].Data {
			p[s].Data[i] = 0.1 + float32(i%1000)/1e4
		}
	}
	m, err := NewModel(a, p, nil, nil)
	require.NoError(t, err)
	again, err := NewModel(a, m.Params(), nil, nil)
	require.NoError(t, err)
	bits := map[string]uint{"context.merge.weight": 6, "synthesis.lin.weight": 10, "synthesis.head.weight": 10}
	second := again.Params()
	for name, w := range m.params {
		require.True(t, slices.Equal(w.Data, second[name].Data), name)
		if n := bits[name]; n != 0 {
			for i, v := range w.Data {
				require.Equal(t, roundMantissa(v, n), v)
				require.InEpsilon(t, p[name].Data[i], v, 1/float64(int(2)<<n))
			}
		}
	}
}
