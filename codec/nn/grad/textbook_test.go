package grad_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/nn/grad"
	"github.com/aecodec/aecodec/kernels"
)

// strokes draws n images of 28x28 with one soft line each, a stand-in for
// handwritten digits.
func strokes(n int) *nn.Tensor {
	const side = 28
	r := rand.New(rand.NewPCG(1, 1))
	t := nn.NewTensor(n, side, side, 1)
	for i := range n {
		x0, y0 := 4+20*r.Float64(), 4+20*r.Float64()
		angle, length := math.Pi*r.Float64(), 4+8*r.Float64()
		dx, dy := math.Cos(angle), math.Sin(angle)
		img := t.Image(i)
		for y := range side {
			for x := range side {
				u, v := float64(x)-x0, float64(y)-y0
				along := min(max(u*dx+v*dy, -length), length)
				d := math.Hypot(u-along*dx, v-along*dy)
				img[y*side+x] = float32(min(max(2-d, 0), 1))
			}
		}
	}
	return t
}

// train makes steps of Adam on the mean squared error of reconstructing x, and
// returns the error before each.
func train(t *testing.T, n *nn.Network, x *nn.Tensor, steps int, lr float32) []float64 {
	p := nn.Params{}
	n.Init(p, 1, x.Shape())
	prog, err := nn.Compile(n, p)
	require.NoError(t, err)
	a := nn.NewArena()
	g, m, v := p.ZeroLike(), p.ZeroLike(), p.ZeroLike()
	var losses []float64
	for step := 1; step <= steps; step++ {
		tr, err := prog.Trace(a, 2, x)
		require.NoError(t, err)
		y := tr.Outputs()[0]
		losses = append(losses, float64(kernels.SumSquaredDiff(x.Data, y.Data))/float64(len(x.Data)))
		d := *y
		d.Data = make([]float32, len(y.Data))
		kernels.Sub(d.Data, y.Data, x.Data)
		kernels.Scale(d.Data, d.Data, 2/float32(len(y.Data)))
		for _, q := range g {
			clear(q.Data)
		}
		_, err = grad.Backward(tr, a, 2, []*nn.Tensor{&d}, g, false)
		require.NoError(t, err)
		adam := kernels.AdamParams{
			LR: lr, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, GradScale: 1,
			Correct1: float32(1 / (1 - math.Pow(0.9, float64(step)))),
			Correct2: float32(1 / (1 - math.Pow(0.99, float64(step)))),
		}
		for _, name := range p.Names() {
			kernels.AdamW(p[name].Data, g[name].Data, m[name].Data, v[name].Data, &adam)
		}
		prog.Refresh()
	}
	return losses
}

// patience and goal are the length of a training and the share of the error
// that may be left. The portable backend, which emulates every multiply-add,
// only shows that the error falls.
func patience(steps int) int {
	if kernels.Active() == "generic" {
		return 3
	}
	return steps
}

func goal(share float64) float64 {
	if kernels.Active() == "generic" {
		return 1
	}
	return share
}

// TestConvAutoencoder trains the convolutional autoencoder of every course:
// 28x28 pixels to a code of 4x4x8 and back.
func TestConvAutoencoder(t *testing.T) {
	b := nn.NewBuilder("conv")
	relu := func(name, x string, out int, padding string) string {
		x = b.Conv(name, x, out, nn.ConvOpts{Kernel: 3, Padding: padding})
		return b.Unary(name+".relu", nn.OpReLU, x)
	}
	pool := func(name, x string) string {
		return b.Layer(nn.Layer{Name: name, Op: nn.OpMaxPool, Padding: nn.PadSame}, x)
	}
	x := b.Input("image", 1)
	x = pool("pool1", relu("enc1", x, 16, ""))
	x = pool("pool2", relu("enc2", x, 8, ""))
	x = pool("code", relu("enc3", x, 8, ""))
	x = b.Upsample("up1", relu("dec1", x, 8, ""), 2)
	x = b.Upsample("up2", relu("dec2", x, 8, ""), 2)
	x = b.Upsample("up3", relu("dec3", x, 16, nn.PadValid), 2)
	x = b.Unary("sigmoid", nn.OpSigmoid, b.Conv("dec4", x, 1, nn.ConvOpts{Kernel: 3}))
	b.Output(x)
	n, err := b.Build()
	require.NoError(t, err)
	shapes, err := n.Infer(nn.Shape{H: 28, W: 28, C: 1})
	require.NoError(t, err)
	require.Equal(t, nn.Shape{H: 4, W: 4, C: 8}, shapes["code"])
	require.Equal(t, nn.Shape{H: 28, W: 28, C: 1}, shapes["sigmoid"])
	losses := train(t, n, strokes(16), patience(40), 1e-2)
	require.Less(t, losses[len(losses)-1], goal(0.4)*losses[0], "%v", losses)
}

// TestDenseAutoencoder trains 784-32-784.
func TestDenseAutoencoder(t *testing.T) {
	b := nn.NewBuilder("dense")
	x := b.Input("image", 1)
	x = b.Unary("flat", nn.OpFlatten, x)
	x = b.Unary("code", nn.OpReLU, b.Dense("encode", x, 32))
	x = b.Unary("sigmoid", nn.OpSigmoid, b.Dense("decode", x, 784))
	b.Output(b.Reshape("pixels", x, 28, 28, 1))
	n, err := b.Build()
	require.NoError(t, err)
	losses := train(t, n, strokes(64), patience(60), 1e-2)
	require.Less(t, losses[len(losses)-1], goal(0.2)*losses[0], "%v", losses)
}
