package fit

import (
	"context"
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/kernels"
)

// small returns an autoencoder of 12 numbers and what it trains on: points in a
// space of three dimensions.
func small(t *testing.T, s *Session) (Chain, *nn.Tensor) {
	build := func(name string, in, out int) *nn.Network {
		b := nn.NewBuilder(name)
		x := b.Input("x", in)
		b.Output(b.Dense("dense", x, out))
		n, err := b.Build()
		require.NoError(t, err)
		return n
	}
	e, err := s.Net("encoder", build("encoder", 12, 3), nil, nn.Shape{H: 1, W: 1, C: 12})
	require.NoError(t, err)
	d, err := s.Net("decoder", build("decoder", 3, 12), nil, nn.Shape{H: 1, W: 1, C: 3})
	require.NoError(t, err)
	x := nn.NewTensor(64, 1, 1, 12)
	mix := Normals(3, nn.Shape{H: 1, W: 1, C: 12}, 1, 1, "mix")
	points := Normals(64, nn.Shape{H: 1, W: 1, C: 3}, 1, 1, "points")
	for i := range x.N {
		for k, p := range points.Image(i) {
			kernels.AddScaled(x.Image(i), x.Image(i), mix.Image(k), p)
		}
	}
	return Chain{e, d}, x
}

func trainSmall(t *testing.T, s *Session) (Chain, []float64, error) {
	var losses []float64
	s.Progress = func(p Progress) { losses = append(losses, p.Loss) }
	if s.Context == nil {
		s.Context = context.Background()
	}
	nets, x := small(t, s)
	plan := Schedule{Epochs: 6, Batch: 16, LR: 1e-2, Decay: 1e-3}
	if err := s.Reconstruct("first", nets, x.N, MSE, plan, s.Same(x)); err != nil {
		return nets, losses, err
	}
	return nets, losses, s.Reconstruct("second", nets, x.N, MSE, plan, s.Same(x))
}

func requireSameWeights(t *testing.T, want, got Chain, what string) {
	t.Helper()
	for i := range want {
		for name, p := range want[i].Params {
			for k, v := range p.Data {
				require.Equal(t, math.Float32bits(v), math.Float32bits(got[i].Params[name].Data[k]), "%s: %s [%d]", what, name, k)
			}
		}
	}
}

// TestSameBits: weights depend on the seed, and on nothing else.
func TestSameBits(t *testing.T) {
	want, losses, err := trainSmall(t, &Session{Seed: 1, Threads: 1})
	require.NoError(t, err)
	require.Less(t, losses[len(losses)-1], losses[0]/2)
	restore := kernels.Active()
	for _, backend := range kernels.Available() {
		require.NoError(t, kernels.Use(backend))
		for _, threads := range []int{1, 2, 5} {
			got, _, err := trainSmall(t, &Session{Seed: 1, Threads: threads})
			require.NoError(t, err)
			requireSameWeights(t, want, got, backend)
		}
	}
	require.NoError(t, kernels.Use(restore))
	other, _, err := trainSmall(t, &Session{Seed: 2, Threads: 1})
	require.NoError(t, err)
	require.NotEqual(t, want[0].Params["encoder.dense.weight"].Data, other[0].Params["encoder.dense.weight"].Data)
}

// TestResume stops a run after every epoch and goes on, to the same weights.
func TestResume(t *testing.T) {
	want, _, err := trainSmall(t, &Session{Seed: 1, Threads: 1})
	require.NoError(t, err)
	dir := t.TempDir()
	var got Chain
	for stop := 0; ; stop++ {
		require.Less(t, stop, 20)
		ctx, cancel := context.WithCancel(context.Background())
		s := &Session{Context: ctx, Seed: 1, Threads: 1, Checkpoint: dir, Resume: true, Identity: "test"}
		s.Context = ctx
		nets, _, err := func() (Chain, []float64, error) {
			nets, x := small(t, s)
			s.Progress = func(Progress) { cancel() }
			plan := Schedule{Epochs: 6, Batch: 16, LR: 1e-2, Decay: 1e-3}
			err := s.Reconstruct("first", nets, x.N, MSE, plan, s.Same(x))
			if err == nil {
				err = s.Reconstruct("second", nets, x.N, MSE, plan, s.Same(x))
			}
			return nets, nil, err
		}()
		cancel()
		if err == nil {
			got = nets
			break
		}
		require.ErrorIs(t, err, ErrInterrupted)
	}
	requireSameWeights(t, want, got, "resumed")

	again := func(s *Session) error {
		s.Context, s.Threads, s.Checkpoint = context.Background(), 1, dir
		_, err := s.Net("encoder", want[0].Network, nil, want[0].In...)
		return err
	}
	require.ErrorContains(t, again(&Session{Seed: 1, Identity: "test"}), "is there already: resume, or remove it")
	require.ErrorContains(t, again(&Session{Seed: 2, Identity: "test", Resume: true}), "of test with seed 1, not of test with seed 2")
	require.ErrorContains(t, again(&Session{Seed: 1, Identity: "other", Resume: true}), "of test with seed 1, not of other")
	require.FileExists(t, filepath.Join(dir, checkpointName))
}

// TestNotFinite: a rate that is far too high is an error, not a model.
func TestNotFinite(t *testing.T) {
	s := &Session{Context: context.Background(), Seed: 1, Threads: 1}
	nets, x := small(t, s)
	x.Data[5] = float32(math.Inf(1))
	err := s.Reconstruct("stage", nets, x.N, MSE, Schedule{Epochs: 1, Batch: 16, LR: 1e-2}, s.Same(x))
	require.ErrorContains(t, err, "is not finite")
}

// TestFrozen: frozen parameters stay as they are.
func TestFrozen(t *testing.T) {
	s := &Session{Context: context.Background(), Seed: 1, Threads: 1}
	nets, x := small(t, s)
	nets[0].Frozen = func(name string) bool { return name == "encoder.dense.weight" }
	before := append([]float32{}, nets[0].Params["encoder.dense.weight"].Data...)
	require.NoError(t, s.Reconstruct("stage", nets, x.N, MSE, Schedule{Epochs: 1, Batch: 16, LR: 1e-2}, s.Same(x)))
	require.Equal(t, before, nets[0].Params["encoder.dense.weight"].Data)
	require.NotZero(t, kernels.MaxAbs(nets[0].Params["encoder.dense.bias"].Data))
}

func TestNormals(t *testing.T) {
	v := make([]float32, 100001)
	NewStream(1, "normals").Normals(v)
	mean, square, tail := 0.0, 0.0, 0.0
	for _, x := range v {
		mean += float64(x) / float64(len(v))
		square += float64(x) * float64(x) / float64(len(v))
		if x > 1.96 || x < -1.96 {
			tail += 1 / float64(len(v))
		}
	}
	require.InDelta(t, 0, mean, 0.01)
	require.InDelta(t, 1, square, 0.015)
	require.InDelta(t, 0.05, tail, 0.003)
	order := NewStream(1, "order").Order(1000)
	seen := map[int32]bool{}
	for _, i := range order {
		seen[i] = true
	}
	require.Len(t, seen, 1000)
	require.NotEqual(t, NewStream(1, "a", 1).Uint64(), NewStream(1, "a", 2).Uint64())
	require.NotEqual(t, NewStream(1, "a").Uint64(), NewStream(1, "b").Uint64())
}

// TestPCAOfLongSamples: found from the samples' products, the components are
// orthonormal, rebuild the samples, and have the variances of the coordinates.
func TestPCAOfLongSamples(t *testing.T) {
	x := Normals(7, nn.Shape{H: 1, W: 1, C: maxPCA + 10}, 1, 1, "long")
	p, err := NewPCA(x, 2)
	require.NoError(t, err)
	require.Len(t, p.Values, 6)
	n := x.C
	for i := range 6 {
		for k := range i + 1 {
			dot := 0.0
			for c := range n {
				dot += p.Basis[i*n+c] * p.Basis[k*n+c]
			}
			want := 0.0
			if i == k {
				want = 1
			}
			require.InDelta(t, want, dot, 1e-9)
		}
	}
	require.InDelta(t, 0, p.MSE(x, 6), 1e-4)
	y, variance := p.Project(x, 6), 0.0
	for i := range x.N {
		variance += float64(y.Image(i)[2]) * float64(y.Image(i)[2])
	}
	require.InEpsilon(t, p.Values[2], variance/6, 1e-4)

	_, err = NewPCA(nn.NewTensor(maxPCA+1, 1, 1, maxPCA+1), 1)
	require.ErrorContains(t, err, "4096")
}

// TestPCA: points of a space of three dimensions are rebuilt from three
// components, and not from two.
func TestPCA(t *testing.T) {
	_, x := small(t, &Session{Context: context.Background(), Threads: 1})
	p, err := NewPCA(x, 2)
	require.NoError(t, err)
	require.InDelta(t, 0, p.MSE(x, 3), 1e-5)
	require.InDelta(t, p.Values[2]*63/64/12, p.MSE(x, 2), 1e-4, "what is missing is the third variance")
	rows := make([]float32, 3*12)
	for i := range rows { // other vectors of the same space
		rows[i] = float32(p.Basis[i]) + 2*float32(p.Basis[(i+12)%36])
	}
	angle, err := p.Angle(rows, 3, 1)
	require.NoError(t, err)
	require.InDelta(t, 0, angle, 0.1)
	for i := range 12 { // the last one at right angles to the space
		rows[24+i] = float32(p.Basis[5*12+i])
	}
	angle, err = p.Angle(rows, 3, 1)
	require.NoError(t, err)
	require.InDelta(t, 90, angle, 0.1)
}
