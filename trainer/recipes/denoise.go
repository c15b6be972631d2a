package recipes

import (
	"fmt"
	"math"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/record"
	"github.com/aecodec/aecodec/kernels"
	"github.com/aecodec/aecodec/trainer/fit"
)

// Denoise trains on noisy inputs and clean targets (Vincent et al., ICML 2008).
var Denoise = Recipe{
	Name:    "denoise",
	Summary: "noisy inputs, clean targets; dense, deep and convolutional networks; pictures and signals",
	Wants:   "clean records: bytes get noise of a deviation (--noise), other values noise at a signal-to-noise ratio (--snr)",
	Defaults: Settings{Schedule: fit.Schedule{Epochs: 10, Batch: 128, LR: 3e-3}, Latents: 64,
		Network: "conv", Noise: 0.5, SNR: 10},
	run: func(j *Job) (*Result, error) {
		d := j.Train.Dims()
		var enc, dec *nn.Network
		switch {
		case j.Network == "dense":
			enc = newStack("encoder", d.C).op(nn.OpFlatten).dense(nn.OpReLU, j.Latents).build()
			dec = newStack("decoder", j.Latents).dense("", d.Len()).shape(d).build()
		case j.Network == "deep":
			enc = newStack("encoder", d.C).op(nn.OpFlatten).dense(nn.OpReLU, 4*j.Latents, 2*j.Latents).dense("", j.Latents).build()
			dec = newStack("decoder", j.Latents).dense(nn.OpReLU, 2*j.Latents, 4*j.Latents).dense("", d.Len()).shape(d).build()
		case j.Network != "conv":
			return nil, fmt.Errorf("unknown network %q: there are dense, deep and conv", j.Network)
		case d.H == 1:
			if d.W%signalPatch != 0 {
				return nil, fmt.Errorf("the convolutional network needs signals of a multiple of %d samples, not %d", signalPatch, d.W)
			}
			enc, dec = signalPair(d)
		default:
			if d.H%4 != 0 || d.W%4 != 0 {
				return nil, fmt.Errorf("the convolutional network needs pictures whose sides are multiples of 4, not %v", d)
			}
			const relu = nn.OpReLU
			enc = newStack("encoder", d.C).conv(relu, 16).pool().conv(relu, 32).pool().conv(relu, 16).build()
			dec = newStack("decoder", 16).conv(relu, 32).up().conv(relu, 16).up().conv("", d.C).build()
		}
		return j.denoise(enc, dec)
	},
}

// signalPatch is how many samples of a signal become channels.
const signalPatch = 4

// signalPair is a convolutional pair for signals: four samples are a pixel, and
// are described by two numbers.
func signalPair(d nn.Shape) (enc, dec *nn.Network) {
	const relu = nn.OpReLU
	w, c := d.W/signalPatch, d.C*signalPatch
	point := nn.ConvOpts{}
	enc = newStack("encoder", d.C).reshape(1, w, c).conv(relu, 32).conv(relu, 32).conv("", c/2, point).build()
	dec = newStack("decoder", c/2).conv(relu, 32).conv(relu, 32).conv("", c).shape(d).build()
	return enc, dec
}

// denoise trains a pair and measures how much closer to the clean records it
// brings noisy ones.
func (j *Job) denoise(enc, dec *nn.Network) (*Result, error) {
	scale := scaleOf(j.Train)
	loss, logits, goal := fit.MSE, false, 5.0
	if j.Train.Kind == record.Uint8 {
		loss, logits, goal = fit.BCE, true, 7
	}
	nets, err := j.pair("", enc, dec, j.Train.Dims())
	if err != nil {
		return nil, err
	}
	x := scale.apply(j.Train)
	var clean, noisy *nn.Tensor
	fill := func(e int, index []int32) (in, target *nn.Tensor) {
		clean = fit.Gather(clean, x, index, j.Threads)
		noisy = fit.Like(noisy, clean.N, clean.Shape())
		j.addNoise(noisy, clean, "training noise", e, index)
		return noisy, clean
	}
	if err := j.Reconstruct("denoising autoencoder", nets, x.N, loss, j.Schedule, fill); err != nil {
		return nil, err
	}
	res := &Result{Models: []Model{j.model(nets, logits, scale)}}
	if j.Test == nil {
		return res, nil
	}
	x = scale.apply(j.Test)
	noisy = nn.NewTensor(x.N, x.H, x.W, x.C)
	j.addNoise(noisy, x, "test noise", 0, identity(x.N))
	y, err := nets.Run(noisy)
	if err != nil {
		return nil, err
	}
	if logits {
		sigmoid(y)
	}
	before := fit.Mean(fit.MSE(noisy, x, nil, j.Threads))
	after := fit.Mean(fit.MSE(y, x, nil, j.Threads))
	if logits {
		res.figure("PSNR of the noisy", psnr(before, 1), "dB")
		res.figure("PSNR after", psnr(after, 1), "dB")
	}
	res.atLeast("gain", 10*math.Log10(before/after), "dB", goal)
	return res, nil
}

// addNoise adds Gaussian noise. That of bytes has deviation j.Noise and leaves
// them in 0..1, that of other values has j.SNR below the power of each record.
// The noise of a sample is that of its index and the epoch.
func (j *Job) addNoise(noisy, clean *nn.Tensor, purpose string, epoch int, index []int32) {
	n := clean.Shape().Len()
	share := math.Sqrt(kernels.Exp64(-j.SNR / 10 * math.Ln10))
	kernels.For(j.Threads, clean.N, 4, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			src, dst := clean.Image(i), noisy.Image(i)
			fit.NewStream(j.Seed, purpose, epoch, int(index[i])).Normals(dst)
			if j.Train.Kind == record.Uint8 {
				kernels.AddScaled(dst, src, dst, float32(j.Noise))
				kernels.Clamp(dst, dst, 0, 1)
			} else {
				power := float64(kernels.SumSquares(src)) / float64(n)
				kernels.AddScaled(dst, src, dst, float32(share*math.Sqrt(power)))
			}
		}
	})
}

// WithNoise returns records with Gaussian noise of a deviation in their own
// unit; bytes stay bytes.
func WithNoise(s *record.Set, deviation float64, seed uint64) *record.Set {
	out := s.Slice(0, s.N)
	out.Data = make([]float32, len(s.Data))
	out.Origin = s.Origin
	for i := range s.N {
		fit.NewStream(seed, "noise", i).Normals(out.Record(i))
	}
	kernels.AddScaled(out.Data, s.Data, out.Data, float32(deviation))
	if s.Kind == record.Uint8 {
		kernels.Clamp(out.Data, out.Data, 0, 255)
		kernels.Round(out.Data, out.Data)
	}
	return out
}
