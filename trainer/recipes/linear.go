package recipes

import (
	"fmt"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/trainer/fit"
)

// Linear shows that a linear autoencoder finds the subspace of the principal
// components (Baldi and Hornik, Neural Networks 2, 1989), though not the
// components themselves.
var Linear = Recipe{
	Name:     "linear",
	Summary:  "linear activations: as good as PCA, and the same subspace",
	Wants:    "records of any shape; of those of more than 4096 values, at most as many",
	Defaults: Settings{Schedule: fit.Schedule{Epochs: 30, Batch: 256, LR: 2e-3}, Latents: 32},
	run: func(j *Job) (*Result, error) {
		d := j.Train.Dims()
		enc := newStack("encoder", d.C).op(nn.OpFlatten).dense("", j.Latents).build()
		dec := newStack("decoder", j.Latents).dense("", d.Len()).shape(d).build()
		nets, err := j.pair("", enc, dec, d)
		if err != nil {
			return nil, err
		}
		scale := scaleOf(j.Train)
		x := scale.apply(j.Train)
		if err := j.Reconstruct("autoencoder", nets, x.N, fit.MSE, j.Schedule, j.Same(x)); err != nil {
			return nil, err
		}
		m := j.model(nets, false, scale)
		m.AnyBasis = true
		res := &Result{Models: []Model{m}}
		if j.Test == nil {
			return res, nil
		}
		p, err := fit.NewPCA(x, j.Threads)
		if err != nil {
			return nil, err
		}
		if len(p.Values) < j.Latents {
			return nil, fmt.Errorf("%d records have %d principal components, fewer than %d", j.Train.N, len(p.Values), j.Latents)
		}
		x = scale.apply(j.Test)
		y, err := nets.Run(x)
		if err != nil {
			return nil, err
		}
		own, best := fit.Mean(fit.MSE(y, x, nil, j.Threads)), p.MSE(x, j.Latents)
		angle, err := p.Angle(nets[1].Params["decoder.dense1.weight"].Data, j.Latents, j.Threads)
		if err != nil {
			return nil, err
		}
		res.figure("test MSE", own, "")
		res.figure("test MSE of PCA", best, "")
		res.atMost("above PCA", 100*(own/best-1), "%", 0.5)
		res.figure("largest principal angle", angle, "degrees")
		return res, nil
	},
}
