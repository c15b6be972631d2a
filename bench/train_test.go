package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/kernels"
	"github.com/aecodec/aecodec/trainer"
)

func TestTrain(t *testing.T) {
	best := kernels.Available()[len(kernels.Available())-1]
	if best == "generic" {
		t.Skip("takes long")
	}
	cfg := trainer.DefaultConfig()
	cfg.Batch, cfg.Crop = 1, 64
	r, err := Train(context.Background(), &TrainOptions{Config: cfg, Backends: []string{best}, Threads: []int{1, 2}, Rounds: 2})
	require.NoError(t, err)
	require.Len(t, r.Lines, 2)
	require.Greater(t, r.FlopsPerPixel, 1e4)
	for i, l := range r.Lines {
		require.Equal(t, i+1, l.Threads)
		require.Positive(t, l.PixelsASecond.Median)
		require.GreaterOrEqual(t, l.PixelsASecond.Best, l.PixelsASecond.Median)
		require.Positive(t, l.ShareOfPeak.Best)
		require.InDelta(t, 1, l.ForwardShare+l.BackwardShare+l.OptimiserShare, 0.3)
	}
	var table, js bytes.Buffer
	require.NoError(t, r.WriteTable(&table))
	require.Contains(t, table.String(), best)
	require.NoError(t, r.WriteJSON(&js))
	var back TrainResult
	require.NoError(t, json.Unmarshal(js.Bytes(), &back))
	require.Equal(t, *r, back)
}

func TestTrainErrors(t *testing.T) {
	cfg := trainer.DefaultConfig()
	cfg.Crop = 65
	for _, o := range []TrainOptions{{Rounds: -1}, {Threads: []int{0}}, {Backends: []string{"abacus"}}, {Config: cfg}} {
		_, err := Train(context.Background(), &o)
		require.ErrorContains(t, err, "bench: train: ")
	}
}
