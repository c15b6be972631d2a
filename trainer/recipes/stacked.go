package recipes

import (
	"fmt"
	"math"
	"strings"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/trainer/fit"
)

// Stacked initialises a deep network one layer at a time (Bengio et al., NIPS
// 2006): each layer becomes the encoder of an autoencoder of the values below
// it, whose decoder is thrown away. Then labels train the last layer alone, and
// after that the whole network. It is compared with the same network trained
// from random weights for as many steps.
var Stacked = Recipe{
	Name:    "stacked",
	Summary: "a deep sigmoid network, pre-trained layer by layer, against random initialisation; few labels",
	Wants:   "records with labels, for training and for testing",
	Defaults: Settings{Schedule: fit.Schedule{Epochs: 4, Batch: 256, LR: 3e-3}, Latents: 200,
		Labels: 1000, Seeds: 5},
	run: func(j *Job) (*Result, error) {
		if j.Test == nil {
			return nil, fmt.Errorf("it compares test errors: test records are needed")
		}
		all, err := labels(j.Train)
		if err != nil {
			return nil, fmt.Errorf("training data: %w", err)
		}
		truth, err := labels(j.Test)
		if err != nil {
			return nil, fmt.Errorf("test data: %w", err)
		}
		classes := int(max(maxOf(all), maxOf(truth))) + 1
		scale := scaleOf(j.Train)
		x, test := scale.apply(j.Train), scale.apply(j.Test)
		var random, stacked []float64
		for seed := range j.Seeds {
			index := balanced(fit.NewStream(j.Seed, "labelled", seed).Order(x.N), all, classes, j.Labels)
			few, label := fit.Gather(nil, x, index, j.Threads), fit.Pick(all, index)
			start, err := j.pretrain(x, seed)
			if err != nil {
				return nil, err
			}
			for _, run := range []struct {
				name  string
				start nn.Params
				error *[]float64
			}{{"random", nil, &random}, {"stacked", start, &stacked}} {
				y, err := j.fineTune(fmt.Sprintf("%s %d", run.name, seed), run.start, few, label, classes, test)
				if err != nil {
					return nil, err
				}
				*run.error = append(*run.error, 100*(1-fit.Accuracy(y, truth)))
			}
		}
		res := new(Result)
		r, rDev := meanDeviation(random)
		s, sDev := meanDeviation(stacked)
		res.figure("test error, random", r, "%")
		res.figure("its deviation", rDev, "points")
		res.figure("test error, stacked", s, "%")
		res.figure("its deviation", sDev, "points")
		res.atLeast("improvement", r-s, "points", 1)
		return res, nil
	},
}

// stackedLayers is the number of hidden layers.
const stackedLayers = 4

// pretrain returns the weights of the hidden layers, by the names that they have
// in the classifier.
func (j *Job) pretrain(x *nn.Tensor, seed int) (nn.Params, error) {
	start := nn.Params{}
	for layer := 1; layer <= stackedLayers; layer++ {
		d := x.Shape()
		enc := newStack("encoder", d.C).op(nn.OpFlatten).dense(nn.OpSigmoid, j.Latents).build()
		dec := newStack("decoder", j.Latents).dense("", d.Len()).shape(d).build()
		name := fmt.Sprintf("seed %d, layer %d", seed, layer)
		nets, err := j.pair(name+" ", enc, dec, d)
		if err != nil {
			return nil, err
		}
		// Values are in 0..1, those of the pixels and of the sigmoids above.
		if err := j.Reconstruct(name, nets, x.N, fit.BCE, j.Schedule, j.Same(x)); err != nil {
			return nil, err
		}
		for _, what := range []string{"weight", "bias"} {
			name := fmt.Sprintf("classifier.layer%d.%s", layer, what)
			start[name] = nets[0].Params["encoder.dense2."+what]
		}
		if x, err = nets[0].Run(x); err != nil {
			return nil, err
		}
	}
	return start, nil
}

// fineTune trains a classifier from the given weights, or random ones, and
// returns its outputs for the test records.
func (j *Job) fineTune(name string, start nn.Params, x *nn.Tensor, label []int32, classes int, test *nn.Tensor) (*nn.Tensor, error) {
	s := newStack("classifier", x.C).op(nn.OpFlatten)
	for layer := 1; layer <= stackedLayers; layer++ {
		s.at = s.Dense(fmt.Sprintf("layer%d", layer), s.at, j.Latents)
		s.op(nn.OpSigmoid)
	}
	s.at = s.Dense("last", s.at, classes)
	net, err := j.Net(name, s.build(), start, x.Shape())
	if err != nil {
		return nil, err
	}
	last := fit.Schedule{Epochs: 40, Batch: 50, LR: 3e-3}
	whole := fit.Schedule{Epochs: 60, Batch: 50, LR: 1e-3}
	if start == nil {
		whole.Epochs += last.Epochs
	} else {
		net.Frozen = func(p string) bool { return !strings.HasPrefix(p, "classifier.last.") }
		if err := j.Classify("last layer, "+name, fit.Chain{net}, x, label, last); err != nil {
			return nil, err
		}
		net.Frozen = nil
	}
	if err := j.Classify("all layers, "+name, fit.Chain{net}, x, label, whole); err != nil {
		return nil, err
	}
	return net.Run(test)
}

// meanDeviation returns the mean and the standard deviation of values.
func meanDeviation(v []float64) (mean, deviation float64) {
	mean = fit.Mean(v)
	for _, x := range v {
		deviation += (x - mean) * (x - mean)
	}
	return mean, math.Sqrt(deviation / float64(max(len(v)-1, 1)))
}
