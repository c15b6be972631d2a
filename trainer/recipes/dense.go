package recipes

import (
	"fmt"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/record"
	"github.com/aecodec/aecodec/trainer/fit"
)

// Dense is the simplest autoencoder: one hidden layer that is narrower than the
// record. The deep network has two wider ones on either side of it, and codes
// better for a larger decoder.
var Dense = Recipe{
	Name:    "dense",
	Summary: "one hidden layer: 784-32-784 for MNIST, ReLU and sigmoid, binary cross-entropy",
	Wants:   "records of any shape; binary cross-entropy for bytes, squared error for other values",
	Defaults: Settings{Schedule: fit.Schedule{Epochs: 50, Batch: 256, LR: 4e-3}, Latents: 32,
		Network: "single"},
	run: func(j *Job) (*Result, error) {
		d := j.Train.Dims()
		enc, dec := newStack("encoder", d.C).op(nn.OpFlatten), newStack("decoder", j.Latents)
		switch j.Network {
		case "single":
			enc.dense(nn.OpReLU, j.Latents)
		case "deep":
			enc.dense(nn.OpReLU, 4*j.Latents, 2*j.Latents).dense("", j.Latents)
			dec.dense(nn.OpReLU, 2*j.Latents, 4*j.Latents)
		default:
			return nil, fmt.Errorf("unknown network %q: there are single and deep", j.Network)
		}
		return j.autoencoder(enc.build(), dec.dense("", d.Len()).shape(d).build(), 0.0935)
	},
}

// autoencoder trains a pair to reproduce its records and measures it on the
// test set. goal is the BCE to reach.
func (j *Job) autoencoder(enc, dec *nn.Network, goal float64) (*Result, error) {
	scale := scaleOf(j.Train)
	loss, unit, logits := fit.MSE, "", false
	if j.Train.Kind == record.Uint8 {
		loss, unit, logits = fit.BCE, "nats per value", true
	}
	nets, err := j.pair("", enc, dec, j.Train.Dims())
	if err != nil {
		return nil, err
	}
	x := scale.apply(j.Train)
	if err := j.Reconstruct("autoencoder", nets, x.N, loss, j.Schedule, j.Same(x)); err != nil {
		return nil, err
	}
	m := j.model(nets, logits, scale)
	m.AnyBasis = true
	res := &Result{Models: []Model{m}}
	if j.Test == nil {
		return res, nil
	}
	x = scale.apply(j.Test)
	y, err := nets.Run(x)
	if err != nil {
		return nil, err
	}
	value := fit.Mean(loss(y, x, nil, j.Threads))
	if logits {
		res.atMost("test BCE", value, unit, goal)
		sigmoid(y)
		res.figure("test PSNR", psnr(fit.Mean(fit.MSE(y, x, nil, j.Threads)), 1), "dB")
	} else {
		res.figure("test MSE", value, "of the variance")
	}
	return res, nil
}
