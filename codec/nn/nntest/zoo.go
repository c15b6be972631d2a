// Package nntest helps to test networks: a collection of networks that use
// every operation, and a slow evaluation of the definitions in float64.
package nntest

import (
	"fmt"
	"math/rand/v2"

	"github.com/aecodec/aecodec/codec/nn"
)

// Case is a network with the shapes of its inputs.
type Case struct {
	Net *nn.Network
	In  []nn.Shape
}

// Params returns random parameters, biases and gains included.
func (c Case) Params() nn.Params {
	p := nn.Params{}
	c.Net.Init(p, 1, c.In...)
	r := rand.New(rand.NewPCG(3, 4))
	for _, name := range p.Names() {
		if q := p[name]; len(q.Shape) == 1 {
			for i := range q.Data {
				q.Data[i] += r.Float32() - 0.5
			}
		}
	}
	return p
}

// Batch returns n samples of random inputs in -1..1.
func (c Case) Batch(n int) []*nn.Tensor {
	r := rand.New(rand.NewPCG(5, uint64(n)))
	var in []*nn.Tensor
	for _, s := range c.In {
		in = append(in, Random(r, n, s))
	}
	return in
}

// Random returns a tensor of random numbers in -1..1.
func Random(r *rand.Rand, n int, s nn.Shape) *nn.Tensor {
	t := nn.NewTensor(n, s.H, s.W, s.C)
	for i := range t.Data {
		t.Data[i] = 2*r.Float32() - 1
	}
	return t
}

// Zoo returns networks of networks that together use every operation, padding and
// fusion, with the shapes of their inputs.
func Zoo() []Case {
	build := func(b *nn.Builder, out ...string) *nn.Network {
		b.Output(out...)
		n, err := b.Build()
		if err != nil {
			panic(err)
		}
		return n
	}
	var list []Case
	add := func(n *nn.Network, in ...nn.Shape) { list = append(list, Case{n, in}) }

	b := nn.NewBuilder("blocks")
	x := b.Input("x", 20)
	x = b.Block("a", x, 0.1)
	x = b.Block("b", x, 0.1)
	add(build(b, x), nn.Shape{H: 4, W: 5, C: 20})

	// The shape of the photo synthesis: shuffles inside a group, a shortcut.
	b = nn.NewBuilder("synthesis")
	y := b.Input("y", 24)
	lin := b.Conv("lin", y, 48, nn.ConvOpts{NoBias: true})
	lin = b.Shuffle("linear", lin, 2)
	x = b.Conv("stem", y, 16, nn.ConvOpts{})
	x = b.Block("s", x, 0.1)
	x = b.Conv("up", x, 32, nn.ConvOpts{})
	x = b.Shuffle("up2", x, 2)
	x = b.Add("mixed", x, b.Conv("deblock", b.Conv("narrow", lin, 8, nn.ConvOpts{}), 8, nn.ConvOpts{}))
	x = b.Leaky("act", x, 0.1)
	x = b.HalfBlock("r", x, 0.1)
	x = b.Conv("head", x, 12, nn.ConvOpts{})
	x = b.Add("sum", x, lin)
	x = b.Shuffle("pixels", x, 2)
	add(build(b, x), nn.Shape{H: 6, W: 5, C: 24})

	b = nn.NewBuilder("analysis")
	x = b.Input("x", 3)
	lin = b.Conv("lin", b.Unshuffle("u8", x, 8), 24, nn.ConvOpts{NoBias: true})
	x = b.Conv("stem", b.Unshuffle("u4", x, 4), 16, nn.ConvOpts{})
	x = b.HalfBlock("b", x, 0.1)
	x = b.Conv("down", b.Unshuffle("u2", x, 2), 24, nn.ConvOpts{})
	x = b.Add("y", b.Conv("head", x, 24, nn.ConvOpts{}), lin)
	add(build(b, x), nn.Shape{H: 24, W: 40, C: 3})

	b = nn.NewBuilder("ops")
	x = b.Input("x", 6)
	z := b.Input("z", 6)
	s := b.Symlog("symlog", x)
	c := b.Concat("concat", s, z, x)
	g := b.Unary("gain", nn.OpChannelScale, b.Slice("slice", c, 3, 14))
	g = b.Unary("sigmoid", nn.OpSigmoid, g)
	g = b.Unary("softplus", nn.OpSoftplus, g)
	g = b.Unary("tanh", nn.OpTanh, g)
	d := b.Sub("sub", b.Mul("mul", x, z, x), z)
	d = b.Unary("same", nn.OpIdentity, d)
	d = b.Unary("relu", nn.OpReLU, d)
	e := b.Add("add3", d, x, z)
	e = b.Add("twice", e, e)
	u := b.Upsample("up", e, 2)
	add(build(b, g, u, d), nn.Shape{H: 4, W: 5, C: 6}, nn.Shape{H: 4, W: 5, C: 6})

	b = nn.NewBuilder("convs")
	x = b.Input("x", 5)
	x = b.Leaky("l1", b.Conv("c1", x, 8, nn.ConvOpts{Kernel: 3}), 0.2)
	x = b.Conv("c2", x, 12, nn.ConvOpts{Kernel: 3, Stride: 2})
	x = b.Unary("r2", nn.OpReLU, x)
	x = b.Conv("c3", x, 7, nn.ConvOpts{Kernel: 2, Padding: nn.PadValid, NoBias: true})
	p := b.Conv("c4", x, 7, nn.ConvOpts{Kernel: 5})
	x = b.Add("res", x, p)
	x = b.Depthwise("d5", x, 5)
	x = b.Unary("s5", nn.OpSigmoid, x)
	x = b.Deconv("t1", x, 6, nn.ConvOpts{Kernel: 3, Stride: 2})
	x = b.Leaky("l2", x, 0)
	x = b.Deconv("t2", x, 4, nn.ConvOpts{Kernel: 2, Stride: 2, Padding: nn.PadValid})
	x = b.Deconv("t3", x, 3, nn.ConvOpts{Kernel: 2, Stride: 3, Padding: nn.PadSame})
	add(build(b, x), nn.Shape{H: 11, W: 13, C: 5})

	b = nn.NewBuilder("classic")
	x = b.Input("x", 1)
	x = b.Unary("a1", nn.OpReLU, b.Conv("c1", x, 8, nn.ConvOpts{Kernel: 3}))
	x = b.MaxPool("p1", x, 2)
	x = b.Layer(nn.Layer{Name: "p2", Op: nn.OpMaxPool, Kernel: 3, Stride: 2, Padding: nn.PadSame}, x)
	a := b.AvgPool("p3", x, 2)
	a2 := b.Layer(nn.Layer{Name: "p4", Op: nn.OpAvgPool, Kernel: 3, Stride: 1, Padding: nn.PadSame}, x)
	f := b.Unary("flat", nn.OpFlatten, x)
	f = b.Unary("a2", nn.OpTanh, b.Dense("d1", f, 18))
	f = b.Reshape("grid", f, 3, 3, 2)
	f = b.Conv("c2", f, 3, nn.ConvOpts{Kernel: 3})
	f = b.Unary("a3", nn.OpSigmoid, b.Dense("d2", f, 10))
	add(build(b, f, a, a2), nn.Shape{H: 12, W: 12, C: 1})

	b = nn.NewBuilder("through")
	x = b.Input("x", 4)
	add(build(b, x, b.Unary("id", nn.OpIdentity, x), b.Conv("c", x, 4, nn.ConvOpts{})), nn.Shape{H: 3, W: 3, C: 4})
	return list
}

// Windows returns one-layer networks with every combination of kernel, stride
// and padding, on inputs that they fit badly.
func Windows() []Case {
	var list []Case
	for _, op := range []nn.Op{nn.OpConv, nn.OpDeconv, nn.OpMaxPool, nn.OpAvgPool, nn.OpDepthwise} {
		for _, kernel := range []int{1, 2, 3, 4, 5} {
			for _, stride := range []int{1, 2, 3} {
				for _, padding := range []string{nn.PadSame, nn.PadValid} {
					l := nn.Layer{Name: "l", Op: op, Kernel: kernel, Stride: stride, Padding: padding}
					switch op {
					case nn.OpConv, nn.OpDeconv:
						l.Out = 3
					case nn.OpDepthwise:
						if kernel%2 == 0 || stride > 1 || padding == nn.PadValid {
							continue
						}
					}
					b := nn.NewBuilder(fmt.Sprintf("%s-k%d-s%d-%s", op, kernel, stride, padding))
					b.Output(b.Layer(l, b.Input("x", 2)))
					n, err := b.Build()
					if err != nil {
						panic(err)
					}
					list = append(list, Case{n, []nn.Shape{{H: 5, W: 7, C: 2}}})
				}
			}
		}
	}
	return list
}
