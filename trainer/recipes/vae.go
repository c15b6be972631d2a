package recipes

import (
	"fmt"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/record"
	"github.com/aecodec/aecodec/kernels"
	"github.com/aecodec/aecodec/trainer/fit"
)

// VAE is the variational autoencoder (Kingma and Welling, arXiv 1312.6114): the
// encoder returns means and logarithms of variances of the latents, and the loss
// has the divergence of these from the standard normal distribution.
var VAE = Recipe{
	Name:    "vae",
	Summary: "variational autoencoder: means and variances, binary cross-entropy plus KL; samples and augmentation",
	Wants:   "records of any shape; with labels also the gain of a classifier from generated records",
	Defaults: Settings{Schedule: fit.Schedule{Epochs: 10, Batch: 128, LR: 1.5e-3}, Latents: 20,
		Labels: 100, Seeds: 5},
	run: func(j *Job) (*Result, error) {
		d := j.Train.Dims()
		s := newStack("encoder", d.C).op(nn.OpFlatten).dense(nn.OpReLU, 512, 256)
		s.Output(s.Dense("mean", s.at, j.Latents))
		s.Output(s.Dense("logvar", s.at, j.Latents))
		enc, err := s.Build()
		if err != nil {
			return nil, err
		}
		dec := newStack("decoder", j.Latents).dense(nn.OpReLU, 256, 512).dense("", d.Len()).shape(d).build()
		v := &vae{Job: j, scale: scaleOf(j.Train), bytes: j.Train.Kind == record.Uint8}
		nets, err := j.pair("", enc, dec, d)
		if err != nil {
			return nil, err
		}
		v.enc, v.dec = nets[0], nets[1]
		x := v.scale.apply(j.Train)
		if err := v.train(x); err != nil {
			return nil, err
		}
		res := &Result{Models: []Model{j.model(nets, v.bytes, v.scale)}}
		if j.Test == nil {
			return res, nil
		}
		elbo, kl, err := v.elbo(v.scale.apply(j.Test))
		if err != nil {
			return nil, err
		}
		res.atMost("test ELBO (negative)", elbo, "nats", 105)
		res.figure("of it KL", kl, "nats")
		if j.Test.Labels == nil || j.Train.Labels == nil || j.Labels < 1 {
			return res, nil
		}
		plain, augmented, err := v.augment(x)
		if err != nil {
			return nil, err
		}
		res.figure(fmt.Sprintf("accuracy, %d labels", j.Labels), 100*plain, "%")
		res.figure("with generated records", 100*augmented, "%")
		res.atLeast("improvement", 100*(augmented-plain), "points", 0.5)
		return res, nil
	},
}

type vae struct {
	*Job
	enc, dec *fit.Net
	scale    Scale
	bytes    bool
}

// loss is summed over a record, as the divergence is: for bytes the binary
// cross-entropy, for other values half the squared error, which is the
// cross-entropy under a normal distribution of deviation 1, up to a constant.
func (v *vae) loss(y, target, d *nn.Tensor) []float64 {
	f, factor := fit.MSE, float64(y.Shape().Len())/2
	if v.bytes {
		f, factor = fit.BCE, 2*factor
	}
	out := f(y, target, d, v.Threads)
	for i := range out {
		out[i] *= factor
	}
	if d != nil {
		kernels.Scale(d.Data, d.Data, float32(factor))
	}
	return out
}

// sample draws latents: mean + e^(logVar/2)·noise.
func sample(z, mean, logVar, noise *nn.Tensor) {
	kernels.Scale(z.Data, logVar.Data, 0.5)
	kernels.Exp(z.Data, z.Data)
	kernels.Mul(z.Data, z.Data, noise.Data)
	kernels.Add(z.Data, z.Data, mean.Data)
}

// backSample computes the gradient with respect to logVar: z moves with it by
// half of its distance from the mean.
func backSample(dLogVar, z, mean, dz *nn.Tensor) {
	kernels.Sub(dLogVar.Data, z.Data, mean.Data)
	kernels.Mul(dLogVar.Data, dLogVar.Data, dz.Data)
	kernels.Scale(dLogVar.Data, dLogVar.Data, 0.5)
}

func (v *vae) train(x *nn.Tensor) error {
	var b, d *nn.Tensor
	return v.Stage("variational autoencoder", v.Schedule.Epochs, func(e int) (float64, error) {
		mean, err := v.Batches("vae", e, x.N, v.Batch, func(at int, index []int32) (float64, error) {
			b = fit.Gather(b, x, index, v.Threads)
			out, err := v.enc.Forward(b)
			if err != nil {
				return 0, err
			}
			mean, logVar := out[0], out[1]
			noise := fit.Normals(b.N, mean.Shape(), v.Threads, v.Seed, "latent noise", e, at)
			z := nn.NewTensor(b.N, mean.H, mean.W, mean.C)
			sample(z, mean, logVar, noise)
			y, err := v.dec.Forward(z)
			if err != nil {
				return 0, err
			}
			d = fit.Like(d, b.N, b.Shape())
			loss := fit.Mean(v.loss(y[0], b, d))
			dIn, err := v.dec.Backward([]*nn.Tensor{d}, true)
			if err != nil {
				return 0, err
			}
			dz := dIn[0] // z moves with the mean
			dLogVar := nn.NewTensor(z.N, z.H, z.W, z.C)
			backSample(dLogVar, z, mean, dz)
			loss += fit.Mean(fit.KL(mean, logVar, dz, dLogVar, 1))
			if _, err := v.enc.Backward([]*nn.Tensor{dz, dLogVar}, false); err != nil {
				return 0, err
			}
			rate := v.Schedule.Adam(e, at, x.N)
			v.enc.Step(rate)
			v.dec.Step(rate)
			return loss, nil
		})
		if err != nil {
			return 0, err
		}
		return mean, fit.Chain{v.enc, v.dec}.Finite()
	})
}

// posterior returns means and logarithms of variances of samples.
func (v *vae) posterior(x *nn.Tensor) (mean, logVar *nn.Tensor, err error) {
	out, err := v.enc.RunAll(x)
	if err != nil {
		return nil, nil, err
	}
	return out[0], out[1], nil
}

// elbo returns the mean of the negative evidence lower bound, one draw of the
// latents a sample, and the divergence in it.
func (v *vae) elbo(x *nn.Tensor) (elbo, kl float64, err error) {
	mean, logVar, err := v.posterior(x)
	if err != nil {
		return 0, 0, err
	}
	z := fit.Normals(x.N, mean.Shape(), v.Threads, v.Seed, "test latents")
	sample(z, mean, logVar, z)
	y, err := v.dec.Run(z)
	if err != nil {
		return 0, 0, err
	}
	kl = fit.Mean(fit.KL(mean, logVar, nil, nil, 0))
	return fit.Mean(v.loss(y, x, nil)) + kl, kl, nil
}

// augment trains classifiers on few labelled records, alone and with records
// generated from them, and returns their mean accuracies on the test set. The
// autoencoder has seen all training records, but no label.
func (v *vae) augment(x *nn.Tensor) (plain, augmented float64, err error) {
	all, err := labels(v.Train)
	if err != nil {
		return 0, 0, err
	}
	truth, err := labels(v.Test)
	if err != nil {
		return 0, 0, err
	}
	test := v.scale.apply(v.Test)
	classes := int(max(maxOf(all), maxOf(truth))) + 1
	for seed := range v.Seeds {
		index := balanced(fit.NewStream(v.Seed, "labelled", seed).Order(x.N), all, classes, v.Labels)
		few, label := fit.Gather(nil, x, index, v.Threads), fit.Pick(all, index)
		more, moreLabel, err := v.generate(few, label, seed)
		if err != nil {
			return 0, 0, err
		}
		for _, run := range []struct {
			name   string
			x      *nn.Tensor
			labels []int32
			mean   *float64
		}{{"plain", few, label, &plain}, {"augmented", more, moreLabel, &augmented}} {
			name := fmt.Sprintf("%s %d", run.name, seed)
			net, err := v.Net(name, newStack("classifier", x.C).op(nn.OpFlatten).dense(nn.OpReLU, 128).dense("", classes).build(), nil, x.Shape())
			if err != nil {
				return 0, 0, err
			}
			// The same number of steps for both.
			plan := fit.Schedule{Batch: 50, LR: 2e-3, Decay: 0.01}
			plan.Epochs = max(1, classifierSteps*plan.Batch/run.x.N)
			if err := v.Classify("classifier "+name, fit.Chain{net}, run.x, run.labels, plan); err != nil {
				return 0, 0, err
			}
			y, err := net.Run(test)
			if err != nil {
				return 0, 0, err
			}
			*run.mean += fit.Accuracy(y, truth) / float64(v.Seeds)
		}
	}
	return plain, augmented, nil
}

const classifierSteps = 1200

// generate returns the labelled records and, for each of them, others of its
// class: decoded from points between its latents and those of another record of
// the class, plus noise.
func (v *vae) generate(x *nn.Tensor, label []int32, seed int) (*nn.Tensor, []int32, error) {
	const copies = 20
	mean, logVar, err := v.posterior(x)
	if err != nil {
		return nil, nil, err
	}
	z := fit.Normals(x.N*copies, mean.Shape(), v.Threads, v.Seed, "generated latents", seed)
	r := fit.NewStream(v.Seed, "generated mixtures", seed)
	var out []int32
	for i := range z.N {
		a := i / copies
		b := r.IntN(x.N)
		for label[b] != label[a] {
			b = r.IntN(x.N)
		}
		t := float32(r.Float64()) / 2
		deviation := make([]float32, mean.C)
		kernels.Scale(deviation, logVar.Image(a), 0.5)
		kernels.Exp(deviation, deviation)
		point := z.Image(i)
		kernels.Mul(point, point, deviation)
		kernels.Add(point, point, mean.Image(a))
		kernels.Lerp(point, point, mean.Image(b), t)
		out = append(out, label[a])
	}
	y, err := v.dec.Run(z)
	if err != nil {
		return nil, nil, err
	}
	if v.bytes {
		sigmoid(y)
	}
	y.N += x.N
	y.Data = append(y.Data, x.Data...)
	return y, append(out, label...), nil
}

func maxOf(v []int32) int32 {
	m := v[0]
	for _, x := range v {
		m = max(m, x)
	}
	return m
}

// balanced takes n of the indices in order, as many of each class.
func balanced(order, label []int32, classes, n int) []int32 {
	left := make([]int, classes)
	for c := range left {
		left[c] = (n + classes - 1) / classes
	}
	var out []int32
	for _, i := range order {
		if c := label[i]; left[c] > 0 && len(out) < n {
			left[c]--
			out = append(out, i)
		}
	}
	return out
}
