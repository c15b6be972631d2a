package nn_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/nn/nntest"
)

// TestBand: the rows of a band, computed from its inputs alone, are those of
// the whole image.
func TestBand(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	cut := 0
	for _, c := range append(nntest.Zoo(), append(nntest.Windows(), tall())...) {
		in := c.Batch(1)
		out, err := compile(t, c.Net, c.Params()).Run(nn.NewArena(), 1, in...)
		require.NoError(t, err)
		if _, err := c.Net.Band(0, 1, c.In...); err != nil {
			continue
		}
		cut++
		prog := compile(t, c.Net, c.Params())
		for range 8 {
			y0 := r.IntN(out[0].H)
			y1 := y0 + 1 + r.IntN(out[0].H-y0)
			b, err := c.Net.Band(y0, y1, c.In...)
			require.NoError(t, err)
			part := make([]*nn.Tensor, len(in))
			for i, x := range in {
				row := x.W * x.C
				part[i] = &nn.Tensor{N: 1, H: b.InHi - b.InLo, W: x.W, C: x.C, Data: x.Data[b.InLo*row : b.InHi*row]}
			}
			got, err := prog.Run(nn.NewArena(), 1, part...)
			require.NoError(t, err, "%s %+v", c.Net.Name, b)
			for i, o := range out {
				row := o.W * o.C
				from := (y0 - b.OutLo) * row
				w, g := *o, *o
				w.H, w.Data = y1-y0, o.Data[y0*row:y1*row]
				g.H, g.Data = y1-y0, got[i].Data[from:from+len(w.Data)]
				requireSameBits(t, []*nn.Tensor{&w}, []*nn.Tensor{&g}, c.Net.Name)
			}
		}
	}
	require.Greater(t, cut, 40)
}

// TestBandOfTall: a band is not much more than what it is asked for.
func TestBandOfTall(t *testing.T) {
	c := tall()
	b, err := c.Net.Band(90, 100, c.In...)
	require.NoError(t, err)
	require.Equal(t, nn.Band{InLo: 88, InHi: 102, OutLo: 88}, b)
	_, err = c.Net.Band(90, 191, c.In...)
	require.EqualError(t, err, `nn: network "tall": band: rows 90 to 191 of 190`)
	classic := nntest.Zoo()[5]
	_, err = classic.Net.Band(0, 1, classic.In...)
	require.ErrorContains(t, err, "needs the whole image")
}
