package bench

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/record"
	"github.com/aecodec/aecodec/trainer/fit"
)

// TestVote compares with distances computed one by one.
func TestVote(t *testing.T) {
	shape := nn.Shape{H: 1, W: 1, C: 7}
	x, y := fit.Normals(5000, shape, 1, 1, "x"), fit.Normals(70, shape, 1, 1, "y")
	labels := make([]int, x.N)
	for i := range labels {
		labels[i] = i % 3
	}
	got := vote(x, y, labels, 1, 2)
	for i := range y.N {
		best, at := float32(1e9), 0
		for k := range x.N {
			d := float32(0)
			for c, v := range x.Image(k) {
				d += (v - y.Image(i)[c]) * (v - y.Image(i)[c])
			}
			if d < best {
				best, at = d, k
			}
		}
		require.Equal(t, labels[at], got[i], "row %d", i)
	}

	line := func(v ...float32) *nn.Tensor { return &nn.Tensor{N: len(v), H: 1, W: 1, C: 1, Data: v} }
	require.Equal(t, []int{1, 2}, vote(line(0, 1, 2, 3, 10), line(0.1, 9), []int{1, 2, 1, 2, 2}, 3, 1))
}

func TestEmbeddings(t *testing.T) {
	s := waves(record.Uint8, 2040, 6, 6)
	s.Labels = make([]int, s.N)
	for i := range s.N { // even columns are bright in one class, odd ones in the other
		s.Labels[i] = i % 2
		for k := range s.Record(i) {
			s.Record(i)[k] = float32(int(s.Record(i)[k])/4 + (k+s.Labels[i])%2*120)
		}
	}
	o := &EmbeddingsOptions{Seed: 1, Threads: 2, Epochs: 3}
	r, err := compareEmbeddings(context.Background(), o, s.Slice(0, 2000), s.Slice(2000, 2040), 4, 3)
	require.NoError(t, err)
	require.Len(t, r.Rows, 4)
	require.Equal(t, []int{36, 4, 4, 3}, []int{r.Rows[0].Numbers, r.Rows[1].Numbers, r.Rows[2].Numbers, r.Rows[3].Numbers})
	require.Equal(t, 1.0, r.Rows[0].KNN)
	require.Equal(t, 1.0, r.Rows[1].KNN)
	require.Greater(t, r.Rows[0].Probe, 0.9)
	var b bytes.Buffer
	require.NoError(t, r.WriteTable(&b))
	require.Contains(t, b.String(), "| PCA-4 | 4 | 100.00 % |")
	require.NoError(t, r.WriteJSON(&b))

	_, err = Embeddings(context.Background(), &EmbeddingsOptions{Data: t.TempDir()})
	require.ErrorContains(t, err, "bench: embeddings")
}
