package recipes

import (
	"fmt"
	"math"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/record"
	"github.com/aecodec/aecodec/kernels"
	"github.com/aecodec/aecodec/trainer/fit"
)

// Swap is the structure behind face swapping: one encoder for two kinds of
// pictures, and a decoder for each. Every decoder only ever learns to draw its
// own kind; the encoder, which sees both bent, and bold or thin, at random, keeps
// what they have in common. Decoding with the other decoder changes the kind and keeps the rest.
//
// The two kinds here are styles of handwriting: the records as they are, and
// others, slanted and bold. No picture is there in both styles.
var Swap = Recipe{
	Name:     "swap",
	Summary:  "one encoder, two decoders: digits change their style and stay the same digit",
	Wants:    "gray pictures with labels; the second half is made slanted and bold first",
	Defaults: Settings{Schedule: fit.Schedule{Epochs: 6, Batch: 128, LR: 1.5e-3}, Latents: 32},
	run: func(j *Job) (*Result, error) {
		d := j.Train.Dims()
		if j.Train.Kind != record.Uint8 || d.C != 1 || d.H < 8 || d.W < 8 {
			return nil, fmt.Errorf("%v records of %v are no gray pictures of bytes", j.Train.Kind, d)
		}
		enc := newStack("encoder", 1).op(nn.OpFlatten).dense(nn.OpReLU, 512, 256).dense("", j.Latents).build()
		dec := newStack("decoder", j.Latents).dense(nn.OpReLU, 256, 512).dense("", d.Len()).shape(d).build()
		upright, err := j.pair("", enc, dec, d)
		if err != nil {
			return nil, err
		}
		second, err := j.Net("second decoder", dec, nil, nn.Shape{H: 1, W: 1, C: j.Latents})
		if err != nil {
			return nil, err
		}
		styles := [2]fit.Chain{upright, {upright[0], second}}

		scale := scaleOf(j.Train)
		x := scale.apply(j.Train)
		half := x.N / 2
		sets := [2]*nn.Tensor{fit.Window(x, 0, half), j.restyle(fit.Window(x, half, x.N))}
		if err := j.trainSwap(styles, sets); err != nil {
			return nil, err
		}
		model := func(k int, suffix string) Model {
			m := j.model(styles[k], true, scale)
			m.Suffix = suffix
			return m
		}
		res := &Result{Models: []Model{model(0, "-upright"), model(1, "-slanted")}}
		if j.Test == nil || j.Test.Labels == nil || j.Train.Labels == nil {
			return res, nil
		}
		return res, j.measureSwap(res, styles, sets)
	},
}

// How the second style differs from the first, and how far inputs are bent, in
// pixels sideways for each pixel up. Both ranges of bent inputs cover both
// styles.
const (
	slant   = 0.6
	bendMin = -0.3
	bendMax = 0.9
)

// restyle returns pictures in the second style.
func (j *Job) restyle(x *nn.Tensor) *nn.Tensor {
	out := nn.NewTensor(x.N, x.H, x.W, x.C)
	kernels.For(j.Threads, x.N, 16, func(lo, hi int) {
		bold := make([]float32, x.H*x.W)
		for i := lo; i < hi; i++ {
			embolden(bold, x.Image(i), x.W)
			shear(out.Image(i), bold, x.H, x.W, slant)
		}
	})
	return out
}

// embolden makes strokes a pixel wider, to the right and down.
func embolden(dst, src []float32, w int) {
	for at, v := range src {
		if at%w > 0 {
			v = max(v, src[at-1])
		}
		if at >= w {
			v = max(v, src[at-w])
		}
		dst[at] = v
	}
}

// thin makes strokes a pixel narrower, from the right and from below.
func thin(dst, src []float32, w int) {
	for at, v := range src {
		if at%w < w-1 {
			v = min(v, src[at+1])
		}
		if at+w < len(src) {
			v = min(v, src[at+w])
		}
		dst[at] = v
	}
}

// shear moves the rows of a picture to the right by by pixels for each row above
// the middle, interpolating between pixels.
func shear(dst, src []float32, h, w int, by float64) {
	for y := range h {
		shift := float64((float64(h-1)/2 - float64(y)) * by)
		whole := math.Floor(shift)
		part := float32(shift - whole)
		from := -int(whole)
		row, out := src[y*w:(y+1)*w], dst[y*w:(y+1)*w]
		at := func(x int) float32 {
			if x < 0 || x >= w {
				return 0
			}
			return row[x]
		}
		for x := range out {
			a, b := at(x+from), at(x+from-1)
			out[x] = float32(a*(1-part)) + float32(b*part)
		}
	}
}

func (j *Job) trainSwap(styles [2]fit.Chain, sets [2]*nn.Tensor) error {
	var target, bent, d *nn.Tensor
	n := min(sets[0].N, sets[1].N)
	otherStroke := [2]func(dst, src []float32, w int){embolden, thin}
	return j.Stage("two styles", j.Schedule.Epochs, func(e int) (float64, error) {
		mean, err := j.Batches("swap", e, n, j.Batch, func(at int, index []int32) (float64, error) {
			sum := 0.0
			rate := j.Schedule.Adam(e, at, n)
			for k, nets := range styles {
				target = fit.Gather(target, sets[k], index, j.Threads)
				bent = fit.Like(bent, target.N, target.Shape())
				kernels.For(j.Threads, target.N, 8, func(lo, hi int) {
					stroke := make([]float32, target.H*target.W)
					for i := lo; i < hi; i++ {
						r := fit.NewStream(j.Seed, "bend", e, k, int(index[i]))
						by := bendMin + float64((bendMax-bendMin)*r.Float64()) - float64(float64(k)*slant)
						src := target.Image(i)
						if r.Uint64()&1 == 0 { // strokes of the other style
							otherStroke[k](stroke, src, target.W)
							src = stroke
						}
						shear(bent.Image(i), src, target.H, target.W, by)
					}
				})
				y, err := nets.Forward(bent)
				if err != nil {
					return 0, err
				}
				d = fit.Like(d, y.N, y.Shape())
				sum += fit.Mean(fit.BCE(y, target, d, j.Threads)) / 2
				if err := nets.Backward(d); err != nil {
					return 0, err
				}
			}
			styles[0][0].Step(rate) // the encoder, with the gradients of both
			styles[0][1].Step(rate)
			styles[1][1].Step(rate)
			return sum, nil
		})
		if err != nil {
			return 0, err
		}
		return mean, fit.Chain{styles[0][0], styles[0][1], styles[1][1]}.Finite()
	})
}

// measureSwap swaps the styles of the test pictures and asks two classifiers,
// trained on the training pictures of both styles, for digit and style.
func (j *Job) measureSwap(res *Result, styles [2]fit.Chain, sets [2]*nn.Tensor) error {
	class, err := labels(j.Train)
	if err != nil {
		return err
	}
	truth, err := labels(j.Test)
	if err != nil {
		return err
	}
	both := &nn.Tensor{N: sets[0].N + sets[1].N, H: sets[0].H, W: sets[0].W, C: 1, Data: append(append([]float32{}, sets[0].Data...), sets[1].Data...)}
	style := make([]int32, both.N)
	for i := sets[0].N; i < both.N; i++ {
		style[i] = 1
	}
	judge := func(name string, of []int32, epochs int) (*fit.Net, error) {
		net, err := j.Net(name+" classifier", newStack("classifier", 1).op(nn.OpFlatten).dense(nn.OpReLU, 256).dense("", int(maxOf(of))+1).build(), nil, both.Shape())
		if err != nil {
			return nil, err
		}
		return net, j.Classify(name+" classifier", fit.Chain{net}, both, of, fit.Schedule{Epochs: epochs, Batch: 128, LR: 2e-3})
	}
	byClass, err := judge("digit", class, 4)
	if err != nil {
		return err
	}
	byStyle, err := judge("style", style, 1)
	if err != nil {
		return err
	}
	x := scaleOf(j.Test).apply(j.Test)
	kept, fooled := 0.0, 0.0
	for k, test := range []*nn.Tensor{x, j.restyle(x)} {
		swapped, err := styles[1-k].Run(test)
		if err != nil {
			return err
		}
		sigmoid(swapped)
		wanted := make([]int32, test.N)
		for i := range wanted {
			wanted[i] = int32(1 - k)
		}
		c, err := byClass.Run(swapped)
		if err != nil {
			return err
		}
		s, err := byStyle.Run(swapped)
		if err != nil {
			return err
		}
		own, err := byClass.Run(test)
		if err != nil {
			return err
		}
		res.figure(fmt.Sprintf("digit classifier on style %d", k+1), 100*fit.Accuracy(own, truth), "%")
		kept += 50 * fit.Accuracy(c, truth)
		fooled += 50 * fit.Accuracy(s, wanted)
	}
	res.atLeast("class kept", kept, "%", 85)
	res.atLeast("style classifier fooled", fooled, "%", 90)
	return nil
}
