package recipes

import (
	"fmt"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/record"
	"github.com/aecodec/aecodec/kernels"
	"github.com/aecodec/aecodec/trainer/fit"
)

// GAN trains a generator against a critic that tells records from what it
// makes up (Goodfellow et al., NIPS 2014), or, with the network "wasserstein",
// that estimates how far the two distributions are apart (Arjovsky et al., arXiv
// 1701.07875, with clipped weights). A model needs an encoder: it is trained
// last, to find the latents of generated records.
var GAN = Recipe{
	Name:    "gan",
	Summary: "adversarial training, also Wasserstein: a generator of records",
	Wants:   "records of bytes; with labels also what a classifier thinks of the generated ones",
	Defaults: Settings{Schedule: fit.Schedule{Epochs: 25, Batch: 64, LR: 2e-4}, Latents: 64,
		Network: "adversarial"},
	run: func(j *Job) (*Result, error) {
		d := j.Train.Dims()
		switch {
		case j.Train.Kind != record.Uint8:
			return nil, fmt.Errorf("%v records, want bytes", j.Train.Kind)
		case j.Network != "adversarial" && j.Network != "wasserstein":
			return nil, fmt.Errorf("unknown network %q: there are adversarial and wasserstein", j.Network)
		}
		z := nn.Shape{H: 1, W: 1, C: j.Latents}
		dec, critic := newStack("decoder", j.Latents), newStack("critic", d.C)
		if d.H%4 == 0 && d.W%4 == 0 && min(d.H, d.W) >= 8 {
			// Strided convolutions (Radford, Metz and Chintala, ICLR 2016), without
			// the normalisation, which networks here do not have.
			dec.slopes(d.H*d.W*4).reshape(d.H/4, d.W/4, 64).halved(nn.OpDeconv, 32).halved(nn.OpDeconv, 16).conv("", d.C)
			critic.halved(nn.OpConv, 32).halved(nn.OpConv, 64)
		} else {
			dec.slopes(256, 512).dense("", d.Len())
			critic.op(nn.OpFlatten).slopes(512)
		}
		draw := dec.op(nn.OpSigmoid).shape(d).build()
		critic.op(nn.OpFlatten).slopes(256).dense("", 1)
		enc := newStack("encoder", d.C).op(nn.OpFlatten).slopes(512, 256).dense("", j.Latents).build()
		g := &gan{Job: j}
		var err error
		if g.generator, err = j.Net("generator", draw, nil, z); err != nil {
			return nil, err
		}
		if g.average, err = j.Net("averaged generator", draw, g.generator.Params, z); err != nil {
			return nil, err
		}
		if g.critic, err = j.Net("critic", critic.build(), nil, packed(d)); err != nil {
			return nil, err
		}
		x := scaleOf(j.Train).apply(j.Train)
		if err := g.train(x); err != nil {
			return nil, err
		}
		e, err := j.Net("encoder", enc, nil, d)
		if err != nil {
			return nil, err
		}
		if err := g.invert(e, x.N); err != nil {
			return nil, err
		}
		res := &Result{Models: []Model{j.model(fit.Chain{e, g.average}, false, scaleOf(j.Train))}}
		if j.Train.Labels == nil || j.Test == nil || j.Test.Labels == nil {
			return res, nil
		}
		return res, g.judge(res, x)
	},
}

// slopes appends fully connected layers with leaky rectifiers.
func (s *stack) slopes(widths ...int) *stack {
	for _, w := range widths {
		s.dense("", w).leaky()
	}
	return s
}

// halved appends a 4x4 convolution of stride 2 or its transpose, with a leaky
// rectifier.
func (s *stack) halved(op nn.Op, out int) *stack {
	s.at = s.Layer(nn.Layer{Name: s.name(string(op)), Op: op, Out: out, Kernel: 4, Stride: 2, Padding: nn.PadSame}, s.at)
	return s.leaky()
}

type gan struct {
	*Job
	generator, average, critic *fit.Net
}

const (
	// averaging is the share of the averaged generator that a step keeps.
	averaging = 0.999
	// firstNoise falls to lastNoise: the deviation of noise on what the critic
	// sees. Without it the critic wins, because real records lie on a thin set
	// (Arjovsky and Bottou, arXiv 1701.04862).
	firstNoise, lastNoise = 0.2, 0.05
	// pack is how many records the critic judges together, all real or all made.
	// So it sees when some kinds are too frequent (PacGAN: Lin, Khetan, Fanti and
	// Oh, NeurIPS 2018, arXiv 1712.04086).
	pack = 4
	// clip bounds the weights of a Wasserstein critic.
	clip = 0.02
	// realTarget is the probability that a critic should give to what is real.
	realTarget = 0.9
)

// verdict is the loss of the critic's outputs: cross-entropy with a target
// probability, or for Wasserstein the mean itself with the sign of what is to
// fall. d gets the gradient.
func (g *gan) verdict(y, d *nn.Tensor, target float32) float64 {
	t := nn.NewTensor(y.N, 1, 1, 1)
	kernels.Fill(t.Data, target)
	if g.Network == "adversarial" {
		return fit.Mean(fit.BCE(y, t, d, g.Threads))
	}
	sign := float32(1)
	if target > 0.5 {
		sign = -1
	}
	kernels.Fill(d.Data, sign/float32(y.N))
	return float64(sign) * float64(kernels.Sum(y.Data)) / float64(y.N)
}

// packed is the shape of records one below the other.
func packed(s nn.Shape) nn.Shape { return nn.Shape{H: pack * s.H, W: s.W, C: s.C} }

// as looks at the numbers of t as n samples of a shape.
func as(t *nn.Tensor, n int, s nn.Shape) *nn.Tensor {
	return &nn.Tensor{N: n, H: s.H, W: s.W, C: s.C, Data: t.Data}
}

func (g *gan) train(x *nn.Tensor) error {
	d := nn.NewTensor(max(g.Batch/pack, 1), 1, 1, 1)
	var noisy, b *nn.Tensor
	return g.Stage("adversarial training", g.Schedule.Epochs, func(e int) (float64, error) {
		noise := firstNoise + (lastNoise-firstNoise)*float32(e)/float32(max(g.Schedule.Epochs-1, 1))
		mean, err := g.Batches("gan", e, x.N, g.Batch, func(at int, index []int32) (float64, error) {
			packs := len(index) / pack
			if packs == 0 {
				return 0, nil
			}
			index = index[:packs*pack]
			d = fit.Like(d, packs, nn.Shape{H: 1, W: 1, C: 1})
			rate := fit.Adam{LR: g.LR, Beta1: 0.5, Beta2: 0.999}
			see := func(what string, records *nn.Tensor) ([]*nn.Tensor, error) {
				noisy = fit.Like(noisy, records.N, records.Shape())
				fit.FillNormals(noisy, g.Threads, g.Seed, "critic noise "+what, e, at)
				kernels.AddScaled(noisy.Data, records.Data, noisy.Data, noise)
				return g.critic.Forward(as(noisy, packs, packed(records.Shape())))
			}
			b = fit.Gather(b, x, index, g.Threads)
			y, err := see("real", b)
			if err != nil {
				return 0, err
			}
			loss := g.verdict(y[0], d, realTarget)
			if _, err := g.critic.Backward([]*nn.Tensor{d}, false); err != nil {
				return 0, err
			}
			z := fit.Normals(len(index), g.generator.In[0], g.Threads, g.Seed, "generator input", e, at)
			made, err := g.generator.Forward(z)
			if err != nil {
				return 0, err
			}
			if y, err = see("made", made[0]); err != nil {
				return 0, err
			}
			loss += g.verdict(y[0], d, 0)
			if _, err := g.critic.Backward([]*nn.Tensor{d}, false); err != nil {
				return 0, err
			}
			g.critic.Step(rate)
			if g.Network == "wasserstein" {
				for _, p := range g.critic.Params {
					kernels.Clamp(p.Data, p.Data, -clip, clip)
				}
				g.critic.Refresh()
			}
			// The generator: what it made should pass for real.
			if y, err = see("made again", made[0]); err != nil {
				return 0, err
			}
			g.verdict(y[0], d, 1)
			back, err := g.critic.Through([]*nn.Tensor{d})
			if err != nil {
				return 0, err
			}
			back = []*nn.Tensor{as(back[0], made[0].N, made[0].Shape())}
			if _, err := g.generator.Backward(back, false); err != nil {
				return 0, err
			}
			g.generator.Step(rate)
			for name, p := range g.average.Params {
				kernels.Lerp(p.Data, p.Data, g.generator.Params[name].Data, 1-averaging)
			}
			return loss, nil
		})
		if err != nil {
			return 0, err
		}
		g.average.Refresh()
		return mean, fit.Chain{g.generator, g.critic}.Finite()
	})
}

// invert trains the encoder to find the latents of n generated records.
func (g *gan) invert(e *fit.Net, n int) error {
	plan := fit.Schedule{Epochs: 2, Batch: 128, LR: 1e-3}
	var z *nn.Tensor
	var failed error
	err := g.Reconstruct("encoder", fit.Chain{e}, n, fit.MSE, plan, func(epoch int, index []int32) (in, target *nn.Tensor) {
		z = fit.Normals(len(index), g.generator.In[0], g.Threads, g.Seed, "encoder latents", epoch, int(index[0]))
		made, err := g.average.Run(z)
		if err != nil {
			failed = err
			return nn.NewTensor(len(index), e.In[0].H, e.In[0].W, e.In[0].C), z
		}
		return made, z
	})
	if failed != nil {
		return failed
	}
	return err
}

// judge asks a classifier what the generated records are.
func (g *gan) judge(res *Result, x *nn.Tensor) error {
	label, err := labels(g.Train)
	if err != nil {
		return err
	}
	truth, err := labels(g.Test)
	if err != nil {
		return err
	}
	classes := int(max(maxOf(label), maxOf(truth))) + 1
	s := newStack("classifier", x.C)
	if x.H >= 8 && x.W >= 8 {
		s.conv(nn.OpReLU, 16).pool().conv(nn.OpReLU, 32).pool()
	}
	net, err := g.Net("classifier", s.op(nn.OpFlatten).dense(nn.OpReLU, 128).dense("", classes).build(), nil, x.Shape())
	if err != nil {
		return err
	}
	if err := g.Classify("classifier", fit.Chain{net}, x, label, fit.Schedule{Epochs: 3, Batch: 128, LR: 2e-3}); err != nil {
		return err
	}
	y, err := net.Run(scaleOf(g.Test).apply(g.Test))
	if err != nil {
		return err
	}
	res.atLeast("classifier on real records", 100*fit.Accuracy(y, truth), "%", 98.5)
	const samples = 10000
	made, err := g.average.Run(fit.Normals(samples, g.generator.In[0], g.Threads, g.Seed, "samples"))
	if err != nil {
		return err
	}
	if y, err = net.Run(made); err != nil {
		return err
	}
	class, sure := fit.Argmax(y)
	count, certain := make([]int, classes), 0
	for i, c := range class {
		count[c]++
		if sure[i] > 0.9 {
			certain++
		}
	}
	least, most := samples, 0
	for _, n := range count {
		least, most = min(least, n), max(most, n)
	}
	res.atLeast("sure of samples", 100*float64(certain)/samples, "%", 85)
	res.atLeast("rarest digit", 100*float64(least)/samples, "%", 5)
	res.atMost("most frequent digit", 100*float64(most)/samples, "%", 17)
	return nil
}
