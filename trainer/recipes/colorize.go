package recipes

import (
	"fmt"
	"math"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/record"
	"github.com/aecodec/aecodec/kernels"
	"github.com/aecodec/aecodec/trainer/fit"
)

// Colorize is the lecture's self-supervised pretext task (Zhang et al., ECCV
// 2016): from the gray version of a picture to its colours. Whoever can colour
// has to know sky from grass, so the encoder learns features without labels.
//
// The model is for colour pictures, gray ones too: its latent is the features
// and, untouched, the luma that they were computed from; what comes back has the
// luma of the input and the colours that the network thinks likely.
var Colorize = Recipe{
	Name:     "colorize",
	Summary:  "a pretext task: from gray to colour; the features serve other tasks",
	Wants:    "colour pictures of bytes whose sides are multiples of 16",
	Defaults: Settings{Schedule: fit.Schedule{Epochs: 20, Batch: 32, LR: 2e-3, Decay: 0.05}},
	run: func(j *Job) (*Result, error) {
		d := j.Train.Dims()
		if j.Train.Kind != record.Uint8 || d.C != 3 || d.H%16 != 0 || d.W%16 != 0 {
			return nil, fmt.Errorf("%v records of %v are no colour pictures of bytes with sides that are multiples of 16", j.Train.Kind, d)
		}
		gray := nn.Shape{H: d.H, W: d.W, C: 1}
		enc := colorEncoder()
		e, err := j.Net("encoder", enc, nil, gray)
		if err != nil {
			return nil, err
		}
		random, err := fit.NewNet(enc, j.Seed+1, j.Threads, gray)
		if err != nil {
			return nil, err
		}
		dec, err := j.Net("decoder", colorDecoder(), nil, nn.Shape{H: d.H / 8, W: d.W / 8, C: colorFeatures})
		if err != nil {
			return nil, err
		}
		luma, chroma := split(scaleOf(j.Train).apply(j.Train))
		nets := fit.Chain{e, dec}
		if err := j.Reconstruct("colours", nets, luma.N, fit.MSE, j.Schedule, j.mirrored(luma, chroma)); err != nil {
			return nil, err
		}
		res := &Result{Models: []Model{colorModel(e, dec, d, j.Train)}}
		if j.Test == nil {
			return res, nil
		}
		testLuma, testChroma := split(scaleOf(j.Test).apply(j.Test))
		y, err := nets.Run(testLuma)
		if err != nil {
			return nil, err
		}
		mean := meanColour(chroma, testChroma)
		own := psnr(fit.Mean(fit.MSE(y, testChroma, nil, j.Threads)), chromaGain)
		base := psnr(fit.Mean(fit.MSE(mean, testChroma, nil, j.Threads)), chromaGain)
		res.figure("chroma PSNR", own, "dB")
		res.figure("of the mean chroma", base, "dB")
		res.atLeast("gain", own-base, "dB", 1.5)
		learned, err := j.probe("learned features", e, luma, testLuma)
		if err != nil {
			return nil, err
		}
		drawn, err := j.probe("random features", random, luma, testLuma)
		if err != nil {
			return nil, err
		}
		res.figure("linear probe, random features", 100*drawn, "%")
		res.figure("linear probe, learned features", 100*learned, "%")
		res.atLeast("better by", 100*(learned-drawn), "points", 1)
		return res, nil
	},
}

const (
	colorFeatures = 64
	// chromaGain brings colour differences, most of which are small, to the
	// size of the networks' other values; without it they learn for epochs
	// that the mean is gray before they learn anything else.
	chromaGain = 8
)

func colorEncoder() *nn.Network {
	const relu = nn.OpReLU
	half := nn.ConvOpts{Kernel: 3, Stride: 2}
	return newStack("encoder", 1).
		conv(relu, 24, half).
		conv(relu, 48, half).
		conv(relu, colorFeatures, half).
		conv(relu, colorFeatures).
		build()
}

// colorModel wraps the networks for colour pictures in and out.
func colorModel(e, dec *fit.Net, d nn.Shape, train *record.Set) Model {
	const block = 8 // the features' stride
	wrap := func(name string, c int, build func(b *nn.Builder, x string) string) *nn.Network {
		b := nn.NewBuilder(name)
		b.Output(build(b, b.Input("x", c)))
		n, err := b.Build()
		if err != nil {
			panic(err)
		}
		return n
	}
	// inner appends the layers of a trained network, which keep their names.
	inner := func(b *nn.Builder, x string, n *nn.Network) string {
		for _, l := range n.Layers {
			l.In = nil
			x = b.Layer(l, x)
		}
		return x
	}
	enc := wrap("encoder", 3, func(b *nn.Builder, x string) string {
		luma := b.Conv("luma", x, 1, nn.ConvOpts{NoBias: true})
		return b.Concat("latent", inner(b, luma, e.Network), b.Unshuffle("gray", luma, block))
	})
	back := wrap("decoder", colorFeatures+block*block, func(b *nn.Builder, x string) string {
		luma := b.Shuffle("luma", b.Slice("gray", x, colorFeatures, colorFeatures+block*block), block)
		chroma := inner(b, b.Slice("features", x, 0, colorFeatures), dec.Network)
		return b.Conv("rgb", b.Concat("ycc", luma, chroma), 3, nn.ConvOpts{NoBias: true})
	})
	p := nn.Params{}
	for _, n := range []*fit.Net{e, dec} {
		for name, t := range n.Params {
			p[name] = t
		}
	}
	fixed := func(name string, shape []int, data ...float32) {
		p[name] = &nn.Param{Name: name, Shape: shape, Data: data}
	}
	fixed("encoder.luma.weight", []int{1, 1, 3, 1}, 0.299, 0.587, 0.114)
	fixed("decoder.rgb.weight", []int{1, 1, 3, 3},
		1, 1, 1, // of Y
		0, -0.344136/chromaGain, 1.772/chromaGain, // of Cb
		1.402/chromaGain, -0.714136/chromaGain, 0) // of Cr
	return Model{Encoder: enc, Decoder: back, Params: p, Scale: Scale{0, 1.0 / 255}, Train: train}
}

// colorDecoder returns Cb and Cr on a grid of 4x4 pixels, enlarged: eyes are not
// sharp for colour, nor is what can be guessed of it.
func colorDecoder() *nn.Network {
	const relu = nn.OpReLU
	return newStack("decoder", colorFeatures).
		conv(relu, 48).up().
		conv(relu, 32).
		conv("", 2).up().up().
		build()
}

// split turns RGB in 0..1 into luma and the two colour differences of JPEG
// (ITU-R BT.601 weights, full range), these about 0 and at most chromaGain/2.
func split(x *nn.Tensor) (luma, chroma *nn.Tensor) {
	luma, chroma = nn.NewTensor(x.N, x.H, x.W, 1), nn.NewTensor(x.N, x.H, x.W, 2)
	for i := range luma.Data {
		r, g, b := float64(x.Data[3*i]), float64(x.Data[3*i+1]), float64(x.Data[3*i+2])
		y := float64(0.299*r) + float64(0.587*g) + float64(0.114*b)
		luma.Data[i] = float32(y)
		chroma.Data[2*i] = float32((b - y) / 1.772 * chromaGain)
		chroma.Data[2*i+1] = float32((r - y) / 1.402 * chromaGain)
	}
	return luma, chroma
}

// mirrored shows half of the pictures with left and right exchanged.
func (j *Job) mirrored(luma, chroma *nn.Tensor) func(int, []int32) (in, target *nn.Tensor) {
	var a, b *nn.Tensor
	return func(e int, index []int32) (in, target *nn.Tensor) {
		a, b = fit.Gather(a, luma, index, j.Threads), fit.Gather(b, chroma, index, j.Threads)
		for i, k := range index {
			if fit.NewStream(j.Seed, "mirror", e, int(k)).Uint64()&1 == 0 {
				mirror(a.Image(i), a.W, 1)
				mirror(b.Image(i), b.W, 2)
			}
		}
		return a, b
	}
}

// mirror exchanges left and right of rows of w pixels of c channels.
func mirror(img []float32, w, c int) {
	for row := img; len(row) > 0; row = row[w*c:] {
		for x := range w / 2 {
			for k := range c {
				l, r := x*c+k, (w-1-x)*c+k
				row[l], row[r] = row[r], row[l]
			}
		}
	}
}

// meanColour is a set of the size of like in which every pixel is the mean of x.
func meanColour(x, like *nn.Tensor) *nn.Tensor {
	sum := make([]float64, x.C)
	for i, v := range x.Data {
		sum[i%x.C] += float64(v)
	}
	out := nn.NewTensor(like.N, like.H, like.W, like.C)
	for i := range out.Data {
		out.Data[i] = float32(sum[i%x.C] / float64(len(x.Data)/x.C))
	}
	return out
}

// probe trains a linear classifier on the features of an encoder to tell by how
// many quarter turns a picture was turned (Gidaris et al., arXiv 1803.07728),
// which takes no labels, and returns its accuracy on the test pictures.
func (j *Job) probe(name string, enc *fit.Net, train, test *nn.Tensor) (float64, error) {
	features := func(x *nn.Tensor) (*nn.Tensor, []int32, error) {
		turned, turns := quarterTurns(x, j.Threads)
		f, err := enc.Run(turned)
		return f, turns, err
	}
	const most = 1500 // pictures, each in four turns
	x, turns, err := features(fit.Window(train, 0, min(train.N, most)))
	if err != nil {
		return 0, err
	}
	// Features of a deviation of one for both, or the one with larger values
	// would learn faster.
	scale := Scale{Gain: 1 / max(rms(x.Data), 1e-9)}
	kernels.Scale(x.Data, x.Data, float32(scale.Gain))
	side := nn.Layer{Name: "pool", Op: nn.OpAvgPool, Kernel: 2, Padding: nn.PadSame}
	s := newStack("probe", x.C)
	s.at = s.Layer(side, s.at)
	net, err := j.Net("probe of "+name, s.op(nn.OpFlatten).dense("", 4).build(), nil, x.Shape())
	if err != nil {
		return 0, err
	}
	plan := fit.Schedule{Epochs: 15, Batch: 128, LR: 1e-3, Decay: 0.05}
	if err := j.Classify("probe of "+name, fit.Chain{net}, x, turns, plan); err != nil {
		return 0, err
	}
	x, turns, err = features(test)
	if err != nil {
		return 0, err
	}
	kernels.Scale(x.Data, x.Data, float32(scale.Gain))
	y, err := net.Run(x)
	if err != nil {
		return 0, err
	}
	return fit.Accuracy(y, turns), nil
}

// quarterTurns returns square pictures in all four turns.
func quarterTurns(x *nn.Tensor, threads int) (*nn.Tensor, []int32) {
	out, turns := nn.NewTensor(4*x.N, x.H, x.W, x.C), make([]int32, 4*x.N)
	kernels.For(threads, x.N, 16, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			copy(out.Image(4*i), x.Image(i))
			for t := 1; t < 4; t++ {
				turns[4*i+t] = int32(t)
				src, dst := out.Image(4*i+t-1), out.Image(4*i+t)
				for y := range x.H {
					for p := range x.W {
						dst[p*x.H+x.H-1-y] = src[y*x.W+p]
					}
				}
			}
		}
	})
	return out, turns
}

func rms(v []float32) float64 {
	return math.Sqrt(float64(kernels.SumSquares(v)) / float64(len(v)))
}
