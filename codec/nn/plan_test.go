package nn

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFusion: the plans of the reference blocks are the intended ones.
func TestFusion(t *testing.T) {
	b := NewBuilder("blocks")
	x := b.Input("x", 20)
	b.Output(b.Block("b", b.Block("a", x, 0.1), 0.1))
	n, err := b.Build()
	require.NoError(t, err)
	p := Params{}
	n.Init(p, 1, Shape{1, 1, 20})
	prog, err := Compile(n, p)
	require.NoError(t, err)
	a := NewArena()
	in := NewTensor(1, 7, 9, 20)
	pl, err := a.plan(prog, false, []*Tensor{in})
	require.NoError(t, err)
	require.Len(t, pl.steps, 10) // five convolutions a block
	require.Len(t, pl.groups, 3) // cut only before depthwise
	require.Equal(t, 3*alignUp(7*9*20), pl.size, "the inputs of both depthwise layers and the residual between")
	small := &Arena{Limit: 8<<10 - 1}
	_, err = prog.Run(small, 1, in)
	require.EqualError(t, err, `nn: network "blocks": 15168 bytes for 1 samples of 7x9x20, limit is 8191`)
	require.Zero(t, small.Bytes())
	small.Limit = 15168
	_, err = prog.Run(small, 1, in)
	require.NoError(t, err)

	tr, err := a.plan(prog, true, []*Tensor{in})
	require.NoError(t, err)
	require.Len(t, tr.steps, 10)
	require.Len(t, tr.groups, 3)
}

// TestLayout allocates and frees at random and checks that live buffers never
// overlap and that everything merges again in the end.
func TestLayout(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var l Layout
	var live []span
	for range 2000 {
		if len(live) > 0 && r.IntN(2) == 0 {
			i := r.IntN(len(live))
			l.Free(live[i].off, live[i].n)
			live = append(live[:i], live[i+1:]...)
			continue
		}
		s := span{n: 1 + r.IntN(200)}
		s.off = l.Alloc(s.n)
		require.Zero(t, s.off%align)
		require.LessOrEqual(t, s.off+s.n, l.Size())
		for _, o := range live {
			require.True(t, s.off+s.n <= o.off || o.off+o.n <= s.off)
		}
		live = append(live, s)
	}
	for _, s := range live {
		l.Free(s.off, s.n)
	}
	require.Equal(t, []span{{0, l.Size()}}, l.free)
}
