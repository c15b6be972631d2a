package kernels

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPackEntry(t *testing.T) {
	eachEntry(t, func(t *testing.T, b *table) {
		mem := newArena(t, 15)
		for n := 1; n <= packMaxN; n++ {
			for k := 1; k <= 40; k++ {
				mem.reset()
				ldb := n + mem.rng.IntN(5)
				src := mem.random((k-1)*ldb+n, special)
				want := mem.random(panels(n)*k*PanelWidth, plain)
				got := mem.clone(want)
				generic.pack(&want[0], &src[0], ldb, k, n)
				b.pack(&got[0], &src[0], ldb, k, n)
				requireSame(t, want, got, "k=%d n=%d ldb=%d", k, n, ldb)
				mem.check(t)
			}
		}
	})
}

func TestPackTEntry(t *testing.T) {
	eachEntry(t, func(t *testing.T, b *table) {
		mem := newArena(t, 16)
		for k := packTRows; k <= 80; k += packTRows {
			mem.reset()
			ldb := k + mem.rng.IntN(5)
			src := mem.random((packTRows-1)*ldb+k, special)
			want := mem.random((k-1)*PanelWidth+packTRows, plain)
			got := mem.clone(want)
			generic.packT(&want[0], &src[0], ldb, k)
			b.packT(&got[0], &src[0], ldb, k)
			requireSame(t, want, got, "k=%d ldb=%d", k, ldb)
			mem.check(t)
		}
	})
}

func TestPack(t *testing.T) {
	mem := newArena(t, 4)
	for k := range 20 {
		for n := range 40 {
			mem.reset()
			ldb := n + mem.rng.IntN(3)
			b := mem.random(max((k-1)*ldb+n, 0), special)
			p := Pack(k, n, b, ldb)
			require.Len(t, p.Data, (n+15)/16*k*16)
			transposed := mem.floats(n * k)
			for i := range k {
				for j := range n {
					transposed[j*k+i] = b[i*ldb+j]
				}
			}
			q := NewPacked(k, n)
			q.SetTransposed(transposed, k)
			for i, v := range p.Data {
				panel, row, col := i/(k*16), i/16%k, i%16
				want := float32(0)
				if j := panel*16 + col; j < n {
					want = b[row*ldb+j]
				}
				requireSame(t, []float32{want, want}, []float32{v, q.Data[i]}, "k=%d n=%d", k, n)
			}
			mem.check(t)
		}
	}
}

// Set replaces the padding as well.
func TestPackPadding(t *testing.T) {
	p := NewPacked(2, 3)
	Fill(p.Data, 7)
	p.Set([]float32{1, 2, 3, 4, 5, 6}, 3)
	want := make([]float32, 32)
	copy(want, []float32{1, 2, 3})
	copy(want[16:], []float32{4, 5, 6})
	require.Equal(t, want, p.Data)
}
