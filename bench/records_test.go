package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec/record"
)

// waves are records of sines of any phase and size: three numbers describe each.
func waves(kind record.Kind, n int, shape ...int) *record.Set {
	s := record.NewSet(kind, n, shape...)
	for i := range n {
		a, phase := 1+float64(i*37%100)/50, float64(i*61%113)
		for k := range s.Record(i) {
			v := a * math.Sin(phase+float64(k)/3)
			if kind == record.Uint8 {
				v = math.Round(128 + 40*v)
			}
			s.Record(i)[k] = float32(v)
		}
	}
	return s
}

func TestRecordsOfSignals(t *testing.T) {
	d := recordData{
		"waves", func(string) (*record.Set, *record.Set, error) {
			s := waves(record.Float32, 300, 40)
			return s.Slice(0, 200), s.Slice(200, 300), nil
		}, 0, []recordModel{{"deep", 3, 60, 32}, {"pca", 2, 0, 0}},
	}
	s, err := d.measure(context.Background(), &RecordsOptions{Seed: 1, Threads: 1})
	require.NoError(t, err)
	require.Len(t, s.Own, 1)
	require.Len(t, s.Peers, 4)
	require.Len(t, s.Ratios, 4)
	for _, c := range append(s.Own, s.Peers...) {
		require.NotEmpty(t, c.Points, c.Codec)
		hull := c.hull()
		for i := range len(hull) - 1 {
			require.Less(t, hull[i].Rate, hull[i+1].Rate, c.Codec)
		}
	}
	require.Len(t, s.Bounded, 2)
	for _, b := range s.Bounded {
		require.LessOrEqual(t, b.Worst, b.MaxError)
		require.Positive(t, b.Worst)
	}
	require.Greater(t, s.Bounded[0].Bits, s.Bounded[1].Bits)
	pca := s.peer("pca-2")
	require.Greater(t, pca.Points[len(pca.Points)-1].PSNR, 30.0, "two directions are all there is")
	require.Positive(t, pca.Decoder)
	require.Greater(t, s.peer("prediction").Points[0].Bits, pca.Points[0].Bits)

	r := RecordsResult{Sets: []*RecordsSet{s}}
	var b bytes.Buffer
	require.NoError(t, r.WriteTable(&b))
	require.Contains(t, b.String(), "| deep-3 |")
	require.NoError(t, r.WritePNG(&b))
	b.Reset()
	require.NoError(t, r.WriteJSON(&b))
	require.True(t, json.Valid(b.Bytes()))
}

func TestRecordsOfPictures(t *testing.T) {
	for _, shape := range [][]int{{8, 8}, {8, 8, 3}} {
		s := waves(record.Uint8, 30, shape...)
		peers, err := codeAtlas(context.Background(), t.TempDir(), s, 7)
		require.NoError(t, err)
		require.Equal(t, "jpeg", peers[0].Codec)
		best := peers[0].Points[len(peers[0].Points)-1]
		require.Greater(t, best.PSNR, 20.0)
		require.Greater(t, best.Bits, peers[0].Points[0].Bits)
		for _, p := range peers {
			require.True(t, len(p.Points) > 0 || p.Missing != "", p.Codec)
		}
	}
}

func TestAtlas(t *testing.T) {
	for _, shape := range [][]int{{4, 6}, {4, 6, 3}} {
		s := waves(record.Uint8, 8, shape...)
		m := atlas(s, 3)
		require.Equal(t, 18, m.Bounds().Dx())
		require.Equal(t, 12, m.Bounds().Dy())
		require.Equal(t, s.Data, fromAtlas(m, s, 3))
	}
}

func TestCutTiles(t *testing.T) {
	s := waves(record.Uint8, 2, 9, 10, 3)
	tiles := cutTiles(s, 4)
	require.Equal(t, 2*2*2, tiles.N)
	d := tiles.Dims()
	for k := range 4 * 4 * 3 { // tile 5 is the second picture's, at the top right
		y, x := k/(4*3), k/3%4
		require.Equal(t, s.Record(1)[(y*10+4+x)*3+k%3], tiles.Record(5)[(y*d.W+x)*3+k%3])
	}
}

// TestPredictedBits: a parabola leaves nothing after its third difference.
func TestPredictedBits(t *testing.T) {
	const n = 64
	q := make([]int32, 2*n)
	for i := range n {
		q[i], q[n+i] = int32(i*i), int32(i%2)
	}
	// Numbers 0, 1, 2, 0, 0, ... for order 3: with Rice parameter 0 a unary code each,
	// of folded numbers 0, 2, and the first differences before.
	parabola := predictedBits(q[:n], n) - 7
	require.Less(t, parabola, int64(n+12))
	require.GreaterOrEqual(t, parabola, int64(n))
	require.Equal(t, parabola+7+7+n+n, predictedBits(q, n), "bits of 0 and 1: folded 0 and 2, one and three bits")
}

func TestCompareRecords(t *testing.T) {
	curve := func(name string, decoder int64, factor float64) *RecordCurve {
		c := &RecordCurve{Codec: name, Decoder: decoder}
		for _, psnr := range []float64{20, 25, 30, 35} {
			c.Points = append(c.Points, RecordPoint{Bits: factor * math.Exp2(psnr/5), PSNR: psnr})
		}
		return c
	}
	own, peer := curve("own", 1000, 0.5), curve("peer", 0, 1)
	r := compareRecords(own, peer, 100)
	require.InDelta(t, -50, r.Percent, 1e-9)
	require.InDelta(t, math.Exp2(27.5/5), r.PeerBits, 1e-9)
	require.InDelta(t, 100*((r.OwnBits+80)/r.PeerBits-1), r.Included, 1e-9)
	require.Equal(t, int(math.Ceil(8000/(r.PeerBits/2))), r.Pays)
	require.Zero(t, compareRecords(peer, own, 100).Pays)

	own.Points = append(own.Points, RecordPoint{Bits: 1e9, PSNR: 21})
	require.Len(t, own.hull(), 4, "worse in both")
	require.Equal(t, "not there", compareRecords(own, &RecordCurve{Missing: "not there"}, 1).Reason)
	own.Points = own.Points[:1]
	require.NotEmpty(t, compareRecords(own, peer, 1).Reason)

	_, err := Records(context.Background(), &RecordsOptions{Only: []string{"x"}})
	require.ErrorContains(t, err, "there are mnist")
}
