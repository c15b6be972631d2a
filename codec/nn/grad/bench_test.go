package grad_test

import (
	"fmt"
	"testing"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/nn/grad"
	"github.com/aecodec/aecodec/codec/nn/nntest"
)

// BenchmarkBlock traces one depthwise block at the sizes of training on 8
// crops of 192x192 and differentiates it: three times the work of the forward
// pass.
func BenchmarkBlock(b *testing.B) {
	for _, size := range []struct{ n, h, w, c int }{{8, 24, 24, 128}, {8, 12, 12, 192}, {8, 48, 48, 48}} {
		bl := nn.NewBuilder("block")
		bl.Output(bl.Block("b", bl.Input("x", size.c), 0.1))
		n, err := bl.Build()
		if err != nil {
			b.Fatal(err)
		}
		c := nntest.Case{Net: n, In: []nn.Shape{{H: size.h, W: size.w, C: size.c}}}
		prog, p, in, dOut := setup(b, c, size.n)
		macs, _, err := n.MACs(c.In...)
		if err != nil {
			b.Fatal(err)
		}
		g := p.ZeroLike()
		a := nn.NewArena()
		for threads := 1; threads <= 2; threads++ {
			b.Run(fmt.Sprintf("%dx%dx%dx%d/threads=%d", size.n, size.h, size.w, size.c, threads), func(b *testing.B) {
				for b.Loop() {
					tr, err := prog.Trace(a, threads, in...)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := grad.Backward(tr, a, threads, dOut, g); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(3*2*float64(macs)*float64(size.n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
