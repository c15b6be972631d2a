package nn_test

import (
	"fmt"
	"testing"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/nn/nntest"
)

// BenchmarkBlock runs one depthwise block at the sizes of the reference
// network: training on 8 crops of 192x192, and decoding 1920x1080.
func BenchmarkBlock(b *testing.B) {
	for _, size := range []struct{ n, h, w, c int }{
		{8, 24, 24, 128}, {8, 12, 12, 192}, {8, 48, 48, 48}, {1, 135, 240, 96}, {1, 68, 120, 192}, {1, 270, 480, 48},
	} {
		bl := nn.NewBuilder("block")
		bl.Output(bl.Block("b", bl.Input("x", size.c), 0.1))
		n, err := bl.Build()
		if err != nil {
			b.Fatal(err)
		}
		c := nntest.Case{Net: n, In: []nn.Shape{{H: size.h, W: size.w, C: size.c}}}
		prog := compile(b, n, c.Params())
		in := c.Batch(size.n)
		macs, _, err := n.MACs(c.In...)
		if err != nil {
			b.Fatal(err)
		}
		a := nn.NewArena()
		run := func(name string, threads int, pass func() error) {
			b.Run(fmt.Sprintf("%dx%dx%dx%d/%s/threads=%d", size.n, size.h, size.w, size.c, name, threads), func(b *testing.B) {
				for b.Loop() {
					if err := pass(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(2*float64(macs)*float64(size.n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
		for threads := 1; threads <= 2; threads++ {
			run("run", threads, func() error { _, err := prog.Run(a, threads, in...); return err })
			run("trace", threads, func() error { _, err := prog.Trace(a, threads, in...); return err })
		}
	}
}
