package recipes

import (
	"fmt"
	"math"
	"slices"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/record"
	"github.com/aecodec/aecodec/kernels"
	"github.com/aecodec/aecodec/trainer/fit"
)

// GAN trains a generator against a critic that tells records from what it
// makes up (Goodfellow et al., NIPS 2014), or, with the network "wasserstein",
// that estimates how far the two distributions are apart (Arjovsky et al., arXiv
// 1701.07875). A penalty keeps the gradients of the one critic small, of the other
// close to one. A model needs an encoder: it is trained last, to find the latents
// of generated records.
var GAN = Recipe{
	Name:    "gan",
	Summary: "adversarial training, also Wasserstein: a generator of records",
	Wants:   "records of bytes; with labels also what a classifier thinks of the generated ones",
	Defaults: Settings{Schedule: fit.Schedule{Epochs: 11, Batch: 64, LR: 2e-3}, Latents: 64,
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
			dec.slopes(256, d.H*d.W*4).reshape(d.H/4, d.W/4, 64).halved(nn.OpDeconv, 64).leaky().halved(nn.OpDeconv, d.C)
			critic.halved(nn.OpConv, 32).leaky().halved(nn.OpConv, 64).leaky().reshape(pack, 1, d.H*d.W*4)
		} else {
			dec.slopes(256, 512).dense("", d.Len())
			critic.reshape(pack, 1, d.Len()).conv("", 512, nn.ConvOpts{Kernel: 1}).leaky()
		}
		draw := dec.op(nn.OpSigmoid).shape(d).build()
		// The records of a pack meet after this layer; until then they share weights.
		critic.conv("", 128, nn.ConvOpts{Kernel: 1}).leaky().op(nn.OpFlatten).slopes(256).dense("", 1)
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

// halved appends a 4x4 convolution of stride 2 or its transpose.
func (s *stack) halved(op nn.Op, out int) *stack {
	s.at = s.Layer(nn.Layer{Name: s.name(string(op)), Op: op, Out: out, Kernel: 4, Stride: 2, Padding: nn.PadSame}, s.at)
	return s
}

type gan struct {
	*Job
	generator, average, critic *fit.Net
}

const (
	// averaging is the share of the averaged generator that a step keeps.
	averaging = 0.999
	// pack is how many records the critic judges together, all real or all made.
	// So it sees when some kinds are too frequent (PacGAN: Lin, Khetan, Fanti and
	// Oh, NeurIPS 2018, arXiv 1712.04086).
	pack = 4
	// lazy is the number of steps from one penalty to the next (Karras et al.,
	// CVPR 2020, arXiv 1912.04958).
	lazy = 4
	// nudge is how far, in units of a pixel's range, a pack is moved to see how
	// steep the critic is.
	nudge = 0.1
)

// above returns a loss that falls as outputs a of the critic rise above outputs
// b, and fills in their gradients. The critic wants records above what is made,
// the generator the reverse. For an adversarial critic this is the cross-entropy
// of the difference of a pair (relativistic: Jolicoeur-Martineau, ICLR 2019, arXiv
// 1807.00734), for a Wasserstein critic the difference itself.
func (g *gan) above(a, b, dA, dB []float32) float64 {
	n := len(a)
	// The gradients are those of the lead of a over b.
	lead, d := nn.NewTensor(n, 1, 1, 1), nn.NewTensor(n, 1, 1, 1)
	kernels.Sub(lead.Data, a, b)
	loss := 0.0
	if g.Network == "adversarial" {
		one := nn.NewTensor(n, 1, 1, 1)
		kernels.Fill(one.Data, 1)
		loss = fit.Mean(fit.BCE(lead, one, d, g.Threads))
	} else {
		loss = -float64(kernels.Sum(lead.Data)) / float64(n)
		kernels.Fill(d.Data, -1/float32(n))
	}
	copy(dA, d.Data)
	kernels.Scale(dB, d.Data, -1)
	return loss
}

// penalise adds the gradients of a penalty on the critic,
//
//	strength/2 · (‖∇critic(x)‖ - slope)²
//
// summed over the means for real and for made packs x. With slope 0 training converges (Mescheder, Geiger and Nowozin,
// ICML 2018, arXiv 1801.04406; with pairs, and without normalisation: Huang et
// al., NeurIPS 2024, arXiv 2501.05441). With slope 1 the critic estimates the
// Wasserstein distance (Gulrajani et al., NIPS 2017, arXiv 1704.00028, who take x
// between real and made).
//
// The norm is taken as (critic(x+δ) - critic(x)) / |δ| for a short δ along the
// gradient, which takes no second derivatives. The difference itself decides how
// hard the penalty pulls. With the exact norm in that place nothing keeps the
// difference from going below zero; training blew up in its epochs 10 and 17.
func (g *gan) penalise(seen *nn.Tensor) error {
	strength, slope := 0.5, float32(0)
	if g.Network == "wasserstein" {
		strength, slope = 5, 1
	}
	y, err := g.critic.Forward(seen)
	if err != nil {
		return err
	}
	at, d := slices.Clone(y[0].Data), nn.NewTensor(seen.N, 1, 1, 1)
	kernels.Fill(d.Data, 1)
	grads, err := g.critic.Through([]*nn.Tensor{d})
	if err != nil {
		return err
	}
	moved := nn.NewTensor(seen.N, seen.H, seen.W, seen.C)
	for i := range seen.N {
		grad := grads[0].Image(i)
		norm := max(math.Sqrt(float64(kernels.SumSquares(grad))), 1e-6)
		kernels.AddScaled(moved.Image(i), seen.Image(i), grad, float32(nudge/norm))
	}
	if y, err = g.critic.Forward(moved); err != nil {
		return err
	}
	for i := range d.Data {
		steep := (y[0].Data[i]-at[i])/nudge - slope
		d.Data[i] = steep * float32(strength*lazy/(nudge*float64(seen.N/2)))
	}
	if _, err := g.critic.Backward([]*nn.Tensor{d}, false); err != nil {
		return err
	}
	if _, err := g.critic.Forward(seen); err != nil {
		return err
	}
	kernels.Scale(d.Data, d.Data, -1)
	_, err = g.critic.Backward([]*nn.Tensor{d}, false)
	return err
}

// packed is the shape of records one below the other.
func packed(s nn.Shape) nn.Shape { return nn.Shape{H: pack * s.H, W: s.W, C: s.C} }

// as looks at the numbers of t as n samples of a shape.
func as(t *nn.Tensor, n int, s nn.Shape) *nn.Tensor {
	return &nn.Tensor{N: n, H: s.H, W: s.W, C: s.C, Data: t.Data}
}

func (g *gan) train(x *nn.Tensor) error {
	return g.Stage("adversarial training", g.Schedule.Epochs, func(e int) (float64, error) {
		mean, err := g.Batches("gan", e, x.N, g.Batch, func(at int, index []int32) (float64, error) {
			index = index[:len(index)/pack*pack]
			if len(index) == 0 {
				return 0, nil
			}
			z := fit.Normals(len(index), g.generator.In[0], g.Threads, g.Seed, "generator input", e, at)
			rate := g.Schedule.Adam(e, at, x.N)
			rate.Beta1 = 0.5 // as Radford, Metz and Chintala
			return g.step(fit.Gather(nil, x, index, g.Threads), z, rate, at%lazy == 0)
		})
		if err != nil {
			return 0, err
		}
		g.average.Refresh()
		return mean, fit.Chain{g.generator, g.critic}.Finite()
	})
}

// step trains the critic, at half the rate, and then the generator, with records
// and latents. It returns the critic's loss without the penalty.
func (g *gan) step(records, z *nn.Tensor, rate fit.Adam, penalty bool) (float64, error) {
	n, packs := records.N, records.N/pack
	made, err := g.generator.Forward(z)
	if err != nil {
		return 0, err
	}
	seen := nn.NewTensor(2*packs, pack*records.H, records.W, records.C)
	copy(seen.Data[copy(seen.Data, records.Data):], made[0].Data)
	if penalty {
		if err := g.penalise(seen); err != nil {
			return 0, err
		}
	}
	y, err := g.critic.Forward(seen)
	if err != nil {
		return 0, err
	}
	ofReal, d := slices.Clone(y[0].Data[:packs]), nn.NewTensor(2*packs, 1, 1, 1)
	loss := g.above(ofReal, y[0].Data[packs:], d.Data[:packs], d.Data[packs:])
	if _, err := g.critic.Backward([]*nn.Tensor{d}, false); err != nil {
		return 0, err
	}
	slower := rate
	slower.LR /= 2
	g.critic.Step(slower)

	if y, err = g.critic.Forward(as(made[0], packs, packed(records.Shape()))); err != nil {
		return 0, err
	}
	d = nn.NewTensor(packs, 1, 1, 1)
	g.above(y[0].Data, ofReal, d.Data, make([]float32, packs))
	back, err := g.critic.Through([]*nn.Tensor{d})
	if err != nil {
		return 0, err
	}
	if _, err := g.generator.Backward([]*nn.Tensor{as(back[0], n, records.Shape())}, false); err != nil {
		return 0, err
	}
	g.generator.Step(rate)
	for name, p := range g.average.Params {
		kernels.Lerp(p.Data, p.Data, g.generator.Params[name].Data, 1-averaging)
	}
	return loss, nil
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
