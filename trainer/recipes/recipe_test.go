package recipes

import (
	"context"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/record"
	"github.com/aecodec/aecodec/kernels"
	"github.com/aecodec/aecodec/trainer/fit"
)

func digits(t *testing.T, n int) *record.Set {
	s, err := record.Read("testdata/digits-images-idx3-ubyte.gz", nil)
	require.NoError(t, err)
	f, err := os.Open("testdata/digits-labels-idx1-ubyte.gz")
	require.NoError(t, err)
	defer f.Close()
	s.Labels, err = record.ReadIDXLabels(f)
	require.NoError(t, err)
	return s.Slice(0, n)
}

func beats(t *testing.T, name string) *record.Set {
	s, err := record.Read("testdata/"+name, &record.ReadOptions{Label: "anomaly"})
	require.NoError(t, err)
	return s
}

// run carries out a recipe and returns its figures by name and the losses of
// the first stage's epochs.
func run(t *testing.T, r *Recipe, train, test *record.Set, change func(*Settings)) (*Result, map[string]float64, []float64) {
	t.Helper()
	j := &Job{Session: &fit.Session{Context: context.Background(), Seed: 1, Threads: 2}, Settings: r.Defaults, Train: train, Test: test}
	change(&j.Settings)
	first := ""
	var losses []float64
	j.Progress = func(p fit.Progress) {
		if first == "" {
			first = p.Stage
		}
		if p.Stage == first {
			losses = append(losses, p.Loss)
		}
	}
	res, err := r.Run(j)
	require.NoError(t, err)
	figures := map[string]float64{}
	for _, f := range res.Figures {
		require.False(t, math.IsNaN(f.Value) || math.IsInf(f.Value, 0), f.Name)
		figures[f.Name] = f.Value
	}
	return res, figures, losses
}

// slow tells whether the kernels emulate every multiply-add.
func slow() bool { return kernels.Active() == "generic" }

// TestAllRecipesLearn runs every recipe on a few records: the loss falls, and the
// models they hand over are whole.
func TestAllRecipesLearn(t *testing.T) {
	n := 96
	if slow() {
		n = 16
	}
	quick := func(s *Settings) {
		s.Epochs, s.Batch = 3, min(s.Batch, 16)
		if s.Labels > 0 {
			s.Labels, s.Seeds = 10, 1
		}
		if s.Latents > 32 {
			s.Latents = 32
		}
	}
	for _, r := range All() {
		t.Run(r.Name, func(t *testing.T) {
			if slow() && (r == &GAN || r == &Stacked || r == &Swap || r == &VAE) {
				t.Skip("minutes of emulation")
			}
			train := digits(t, n)
			test := train.Slice(0, min(20, n))
			if r == &Anomaly { // no digit is normal
				train.Labels, test = nil, nil
			}
			if r == &Colorize {
				train = colours(n / 4)
				test = train.Slice(0, 4)
			}
			if r == &VAE || r == &GAN { // their measurements train classifiers, which takes long
				test = test.Slice(0, min(20, n))
				test.Labels = nil
			}
			res, _, losses := run(t, r, train, test, quick)
			require.Len(t, losses, 3)
			if r != &GAN { // two players: neither's loss has to fall
				require.Less(t, losses[2], losses[0])
			}
			for _, m := range res.Models {
				built, err := m.Build(r.Name, record.Card{Name: "test"}, 2)
				require.NoError(t, err)
				z, err := built.Latents(train.Slice(0, 2), 1)
				require.NoError(t, err)
				back, err := built.Synthesize(z, 1)
				require.NoError(t, err)
				require.Equal(t, train.Shape, back.Shape)
				require.True(t, kernels.AllFinite(back.Data))
			}
			require.Equal(t, r == &Stacked, len(res.Models) == 0)
		})
	}
}

// colours returns pictures whose colour can be told from their brightness.
func colours(n int) *record.Set {
	s := record.NewSet(record.Uint8, n, 16, 16, 3)
	r := fit.NewStream(1, "colours")
	for i := range s.N {
		bright := float32(r.IntN(200))
		for k := 0; k < s.Len(); k += 3 {
			copy(s.Record(i)[k:], []float32{bright, bright, 255 - bright})
		}
	}
	return s
}

// TestLinearIsPCA: the textbook link, on points of few dimensions.
func TestLinearIsPCA(t *testing.T) {
	s := mixtures(512, 20, 5)
	_, figures, _ := run(t, &Linear, s.Slice(0, 448), s.Slice(448, 512), func(s *Settings) {
		s.Latents, s.Epochs, s.Batch, s.LR = 3, 120, 32, 1e-2
	})
	require.Less(t, figures["above PCA"], 0.5)
	require.Less(t, figures["largest principal angle"], 3.0)
}

func TestAnomalyFindsBeats(t *testing.T) {
	// A quarter of the training records is left out, being no normal ones.
	train, err := record.Concat(beats(t, "beats-normal.csv"), beats(t, "beats.csv").Slice(40, 80))
	require.NoError(t, err)
	_, figures, _ := run(t, &Anomaly, train, beats(t, "beats.csv"), func(s *Settings) {
		s.Epochs, s.Batch = 60, 16
	})
	require.Greater(t, figures["ROC AUC"], 0.95)
	require.Greater(t, figures["accuracy"], 0.8)
}

func TestDenoiseGains(t *testing.T) {
	if slow() {
		t.Skip("minutes of emulation")
	}
	_, figures, _ := run(t, &Denoise, digits(t, 180), digits(t, 200).Slice(180, 200), func(s *Settings) {
		s.Network, s.Epochs, s.Batch = "dense", 20, 16
	})
	require.Greater(t, figures["gain"], 2.0)
	_, figures, _ = run(t, &Denoise, beats(t, "beats-normal.csv"), beats(t, "beats-normal.csv"), func(s *Settings) {
		s.Epochs, s.Batch = 10, 8
	})
	require.Greater(t, figures["gain"], 0.0)
}

// TestSampleGradient: latents move with their mean, and with the logarithm of the
// variance by half of their distance from it.
func TestSampleGradient(t *testing.T) {
	const eps = 1e-3
	mean, logVar, noise := nn.NewTensor(1, 1, 1, 1), nn.NewTensor(1, 1, 1, 1), nn.NewTensor(1, 1, 1, 1)
	mean.Data[0], noise.Data[0] = 0.3, -1.2
	at := func(l float32) float64 {
		z := nn.NewTensor(1, 1, 1, 1)
		logVar.Data[0] = l
		sample(z, mean, logVar, noise)
		return float64(z.Data[0])
	}
	z := at(0.7)
	require.InDelta(t, 0.3-1.2*math.Exp(0.35), z, 1e-6)
	back := nn.NewTensor(1, 1, 1, 1)
	backSample(back, &nn.Tensor{N: 1, H: 1, W: 1, C: 1, Data: []float32{float32(z)}}, mean, &nn.Tensor{N: 1, H: 1, W: 1, C: 1, Data: []float32{2}})
	require.InDelta(t, 2*(at(0.7+eps)-at(0.7-eps))/(2*eps), back.Data[0], 1e-3)
}

// TestVAELossGradient: the loss of a record is a sum, and so is its gradient.
func TestVAELossGradient(t *testing.T) {
	j := &Job{Session: &fit.Session{Threads: 1}}
	for _, bytes := range []bool{false, true} {
		v := &vae{Job: j, bytes: bytes}
		y := &nn.Tensor{N: 1, H: 1, W: 1, C: 3, Data: []float32{0.5, -1, 2}}
		x := &nn.Tensor{N: 1, H: 1, W: 1, C: 3, Data: []float32{0.2, 0.9, 0.4}}
		d := nn.NewTensor(1, 1, 1, 3)
		value := v.loss(y, x, d)[0]
		want := 0.0
		for i, z := range y.Data {
			z, x := float64(z), float64(x.Data[i])
			if bytes {
				p := 1 / (1 + math.Exp(-z))
				want -= x*math.Log(p) + (1-x)*math.Log(1-p)
				require.InDelta(t, p-x, d.Data[i], 1e-6)
			} else {
				want += (z - x) * (z - x) / 2
				require.InDelta(t, z-x, d.Data[i], 1e-6)
			}
		}
		require.InDelta(t, want, value, 1e-5)
	}
}

func TestAUC(t *testing.T) {
	require.Equal(t, 1.0, AUC([]float64{1, 2, 3, 4}, []int{0, 0, 1, 1}))
	require.Equal(t, 0.0, AUC([]float64{1, 2, 3, 4}, []int{1, 1, 0, 0}))
	require.Equal(t, 0.5, AUC([]float64{5, 5, 5, 5}, []int{1, 0, 0, 1}))
	require.Equal(t, 0.75, AUC([]float64{1, 2, 3, 4}, []int{0, 1, 0, 1}))
	require.Equal(t, 3.0, Quantile([]float64{4, 1, 3, 2}, 0.5))
	c := CountOutliers([]float64{1, 5, 5, 1}, []int{0, 1, 0, 1}, 2)
	require.Equal(t, Outliers{True: 1, False: 1, Missed: 1, Normal: 1}, c)
	require.Equal(t, []float64{0.5, 0.5, 0.5}, []float64{c.Accuracy(), c.Precision(), c.Recall()})
}

func TestShear(t *testing.T) {
	src := []float32{0, 1, 0, 0, 1, 0, 0, 1, 0}
	dst := make([]float32, 9)
	shear(dst, src, 3, 3, 1)
	require.Equal(t, []float32{0, 0, 1, 0, 1, 0, 1, 0, 0}, dst)
	shear(dst, src, 3, 3, 0.5)
	require.Equal(t, []float32{0, 0.5, 0.5, 0, 1, 0, 0.5, 0.5, 0}, dst)
}

// TestColourModel: a colour picture that is gray comes back with its brightness.
func TestColourModel(t *testing.T) {
	luma, chroma := split(&nn.Tensor{N: 1, H: 1, W: 1, C: 3, Data: []float32{1, 0, 0}})
	require.InDelta(t, 0.299, luma.Data[0], 1e-6)
	require.InDelta(t, 0.5*chromaGain, chroma.Data[1], 1e-5, "the most red there is")
	turned, turns := quarterTurns(&nn.Tensor{N: 1, H: 2, W: 2, C: 1, Data: []float32{1, 2, 3, 4}}, 1)
	require.Equal(t, []float32{1, 2, 3, 4, 3, 1, 4, 2, 4, 3, 2, 1, 2, 4, 1, 3}, turned.Data)
	require.Equal(t, []int32{0, 1, 2, 3}, turns)
	row := []float32{1, 2, 3, 4, 5, 6}
	mirror(row, 3, 2)
	require.Equal(t, []float32{5, 6, 3, 4, 1, 2}, row)
}

// TestPenalty: the penalty alone brings the critic's gradients to the slope it
// is for.
func TestPenalty(t *testing.T) {
	shape := nn.Shape{H: pack, W: 1, C: 12}
	seen := fit.Normals(8, shape, 1, 1, "seen")
	for network, slope := range map[string]float64{"adversarial": 0, "wasserstein": 1} {
		j := &Job{Session: &fit.Session{Context: context.Background(), Seed: 1, Threads: 1}, Settings: Settings{Network: network}}
		critic, err := j.Net("critic", newStack("critic", shape.C).op(nn.OpFlatten).slopes(16).dense("", 1).build(), nil, shape)
		require.NoError(t, err)
		g := &gan{Job: j, critic: critic}
		for range 300 {
			require.NoError(t, g.penalise(seen))
			critic.Step(fit.Adam{LR: 1e-2})
		}
		_, err = critic.Forward(seen)
		require.NoError(t, err)
		one := nn.NewTensor(seen.N, 1, 1, 1)
		kernels.Fill(one.Data, 1)
		grads, err := critic.Through([]*nn.Tensor{one})
		require.NoError(t, err)
		for i := range seen.N {
			require.InDelta(t, slope, math.Sqrt(float64(kernels.SumSquares(grads[0].Image(i)))), 0.1, network)
		}
	}
}

// TestFlatGAN: records that are no pictures have a generator too.
func TestFlatGAN(t *testing.T) {
	for _, network := range []string{"adversarial", "wasserstein"} {
		res, _, _ := run(t, &GAN, record.NewSet(record.Uint8, 10, 9), nil, func(s *Settings) {
			s.Network, s.Epochs, s.Batch, s.Latents = network, 1, 5, 4
		})
		require.Len(t, res.Models, 1)
	}
}

func TestErrors(t *testing.T) {
	good := record.NewSet(record.Uint8, 4, 8, 8)
	oneNormal := good.Slice(0, 4)
	oneNormal.Labels = []int{0, 1, 2, 1}
	for name, c := range map[string]struct {
		recipe      *Recipe
		train, test *record.Set
		change      func(*Settings)
	}{
		"recipes: dense: training data: record: set: no records":                                                        {&Dense, &record.Set{Shape: []int{2}, Kind: record.Uint8}, nil, nil},
		"recipes: dense: one training record, want two or more":                                                         {&Dense, good.Slice(0, 1), nil, nil},
		"recipes: dense: test data are uint8 of [9], training data uint8 of [8 8]":                                      {&Dense, good, record.NewSet(record.Uint8, 1, 9), nil},
		"recipes: dense: 0 epochs of batches of 256, want one or more":                                                  {&Dense, good, nil, func(s *Settings) { s.Epochs = 0 }},
		"recipes: dense: learning rate NaN, want more than 0 and less than 10":                                          {&Dense, good, nil, func(s *Settings) { s.LR = math.NaN() }},
		"recipes: conv: records of 1x9x1 are too small to be pooled three times":                                        {&Conv, record.NewSet(record.Uint8, 4, 9), nil, nil},
		"recipes: conv: records of 9x9x1 come back as 16x16x1: this network does not fit them":                          {&Conv, record.NewSet(record.Uint8, 4, 9, 9), nil, nil},
		`recipes: denoise: unknown network "x": there are dense, deep and conv`:                                         {&Denoise, good, nil, func(s *Settings) { s.Network = "x" }},
		"recipes: denoise: the convolutional network needs signals of a multiple of 4 samples, not 7":                   {&Denoise, record.NewSet(record.Float32, 4, 7), nil, nil},
		"recipes: stacked: it compares test errors: test records are needed":                                            {&Stacked, good, nil, nil},
		"recipes: stacked: training data: the records have no labels":                                                   {&Stacked, good, good, nil},
		"recipes: anomaly: 1 of the training records are normal (label 0), want two or more":                            {&Anomaly, oneNormal, nil, nil},
		"recipes: anomaly: quantile 1, want more than 0 and less than 1":                                                {&Anomaly, good, nil, func(s *Settings) { s.Quant = 1 }},
		"recipes: swap: float32 records of 8x8x1 are no gray pictures of bytes":                                         {&Swap, record.NewSet(record.Float32, 4, 8, 8), nil, nil},
		"recipes: colorize: uint8 records of 8x8x1 are no colour pictures of bytes with sides that are multiples of 16": {&Colorize, good, nil, nil},
		"recipes: gan: float32 records, want bytes":                                                                     {&GAN, record.NewSet(record.Float32, 4, 8, 8), nil, nil},
	} {
		j := &Job{Session: &fit.Session{Context: context.Background(), Threads: 1}, Settings: c.recipe.Defaults, Train: c.train, Test: c.test}
		if c.change != nil {
			c.change(&j.Settings)
		}
		_, err := c.recipe.Run(j)
		require.EqualError(t, err, name)
	}
	_, err := Find("nothing")
	require.ErrorContains(t, err, `unknown recipe "nothing": there are [dense conv`)
}
