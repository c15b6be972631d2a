package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/kernels"
)

// A new kernel that nobody measures could be slow for years.
func TestKernelsCoverTheTable(t *testing.T) {
	var covered []string
	for _, c := range kernelCases() {
		require.Contains(t, kernels.Entries(), c.entry, "%s: no such entry", c.name)
		require.Positive(t, c.read, c.name)
		covered = append(covered, c.entry)
	}
	for _, e := range kernels.Entries() {
		require.Contains(t, covered, e, "no benchmark covers this entry: add a case to kernelCases")
	}
}

// Each case calls what it says without a panic.
func TestKernelCasesRun(t *testing.T) {
	if kernels.Active() == "generic" || testing.Short() {
		t.Skip("takes long")
	}
	for _, c := range kernelCases() {
		c.make()()
	}
}

// constant is work of a known length.
func constantWork(backend string, d time.Duration) *work {
	return &work{backend: backend, flops: 1e6, read: 1e3, bytes: 2e3, run: func() error {
		for start := threadTime(); threadTime()-start < d; {
		}
		return nil
	}}
}

// smallLoads leaves out the memory beyond the caches, until the test ends.
func smallLoads(t *testing.T) {
	before := loadSizes
	t.Cleanup(func() { loadSizes = before })
	loadSizes = loadSizes[:2]
}

func TestTimeAll(t *testing.T) {
	smallLoads(t)
	previous := kernels.Active()
	best := kernels.Available()[len(kernels.Available())-1]
	o, err := (&TimingOptions{Backends: slices.Compact([]string{"generic", best}), Rounds: 3, Time: time.Microsecond}).complete()
	require.NoError(t, err)
	calls := 0
	o.Progress = func(done, total int) {
		calls++
		require.Equal(t, calls, done)
		require.Equal(t, 8, total)
	}
	list := []*work{constantWork("generic", 100*time.Microsecond), constantWork(best, 200*time.Microsecond)}
	peaks, err := timeAll(context.Background(), &o, list)
	require.NoError(t, err)
	require.Equal(t, 8, calls)
	require.Equal(t, previous, kernels.Active())
	require.Len(t, peaks, len(o.Backends))
	for i, w := range list {
		require.Len(t, w.seconds, 3)
		m := w.timing(peaksOf(peaks, w.backend))
		require.GreaterOrEqual(t, m.Seconds.Best, float64(i+1)*1e-4)
		require.GreaterOrEqual(t, m.Seconds.Median, m.Seconds.Best)
		require.InEpsilon(t, 1e6/m.Seconds.Median/1e9, m.GFLOPS, 1e-9)
		if w.backend == "generic" {
			require.Zero(t, m.Share, "the portable backend has no peaks")
		} else {
			require.Positive(t, m.Share.Best)
		}
	}
}

func TestBound(t *testing.T) {
	of := func(s Spread) float64 { return s.Median }
	p := &Peaks{Load: []LoadLevel{{1000, Spread{Median: 50}}, {2000, Spread{Median: 10}}}}
	s, arithmetic := p.bound(&work{flops: 1e9, read: 500, bytes: 1000}, 100e9, of)
	require.InEpsilon(t, 1e-2, s, 1e-9)
	require.True(t, arithmetic)
	s, arithmetic = p.bound(&work{read: 500, bytes: 1000}, 100e9, of)
	require.InEpsilon(t, 500/50e9, s, 1e-9)
	require.False(t, arithmetic)
	s, _ = p.bound(&work{read: 500, bytes: 4000}, 100e9, of) // larger than all levels: the last
	require.InEpsilon(t, 500/10e9, s, 1e-9)
	s, _ = new(Peaks).bound(&work{flops: 1, read: 1, bytes: 1}, 1, of)
	require.Zero(t, s)
	s, _ = p.bound(&work{flops: 1, read: 1, bytes: 1}, 0, of)
	require.Zero(t, s)
	s, _ = p.bound(&work{dots: 1, read: 1, bytes: 1}, 1, of)
	require.Zero(t, s, "no peak of integers")
	p.Dot.Median = 200
	s, arithmetic = p.bound(&work{dots: 2e9, read: 1, bytes: 1}, 0, of)
	require.InEpsilon(t, 1e-2, s, 1e-9)
	require.True(t, arithmetic)
}

func TestTimingOptions(t *testing.T) {
	_, err := (&TimingOptions{Rounds: -1}).complete()
	require.ErrorContains(t, err, "-1 rounds")
	_, err = (&TimingOptions{Time: -1}).complete()
	require.Error(t, err)
	_, err = Kernels(context.Background(), &TimingOptions{Backends: []string{"abacus"}})
	require.ErrorContains(t, err, `bench: kernels: kernels "abacus" cannot run here`)
	_, err = Kernels(context.Background(), &TimingOptions{Only: "^no such"})
	require.ErrorContains(t, err, `bench: kernels: nothing matches "^no such"`)
	_, err = Kernels(context.Background(), &TimingOptions{Only: "("})
	require.Error(t, err)

	smallLoads(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = Kernels(ctx, &TimingOptions{})
	require.ErrorIs(t, err, context.Canceled)
}

func TestKernelsResult(t *testing.T) {
	r := &KernelsResult{Machine: ThisMachine(), Rounds: 2,
		Peaks: []Peaks{{Backend: "b", FMA: Spread{10, 11}, Load: []LoadLevel{{16 << 10, Spread{1, 2}}}}},
		Kernels: []KernelLine{{Entry: "gemm", Name: "GEMM", Shape: "1x2x3", Flops: 12, Read: 32, Bytes: 44,
			Timings: []Timing{{Backend: "b", Seconds: Spread{1, 1}, GFLOPS: 5, Bound: "arithmetic", Share: Spread{0.5, 0.64}}}}}}
	require.NotEmpty(t, r.Machine.Date)
	var table, js bytes.Buffer
	require.NoError(t, r.WriteTable(&table))
	require.Regexp(t, `GEMM +1x2x3 +b .* 50 % +64 %`, table.String())
	require.NoError(t, r.WriteJSON(&js))
	var back KernelsResult
	require.NoError(t, json.Unmarshal(js.Bytes(), &back))
	require.Equal(t, *r, back)
}
