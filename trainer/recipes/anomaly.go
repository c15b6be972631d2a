package recipes

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/trainer/fit"
)

// Anomaly trains on normal records only, so that a high reconstruction error
// marks those that are not.
var Anomaly = Recipe{
	Name:    "anomaly",
	Summary: "trained on normal records only; a high reconstruction error marks the others",
	Wants:   "normal records to train on; where there are labels, 0 is normal, and others are left out",
	Defaults: Settings{Schedule: fit.Schedule{Epochs: 60, Batch: 64, LR: 2e-3}, Latents: 8,
		Quant: 0.98},
	run: func(j *Job) (*Result, error) {
		if !(j.Quant > 0 && j.Quant < 1) {
			return nil, fmt.Errorf("quantile %g, want more than 0 and less than 1", j.Quant)
		}
		if err := j.keepNormal(); err != nil {
			return nil, err
		}
		d := j.Train.Dims()
		enc := newStack("encoder", d.C).op(nn.OpFlatten).dense(nn.OpReLU, 4*j.Latents, 2*j.Latents).dense("", j.Latents).build()
		dec := newStack("decoder", j.Latents).dense(nn.OpReLU, 2*j.Latents, 4*j.Latents).dense("", d.Len()).shape(d).build()
		nets, err := j.pair("", enc, dec, d)
		if err != nil {
			return nil, err
		}
		scale := scaleOf(j.Train)
		all := scale.apply(j.Train)
		// A tenth of the records sets the threshold: errors are smaller on
		// what a network has seen.
		order := fit.NewStream(j.Seed, "held out").Order(all.N)
		held := max(1, all.N/10)
		x := fit.Gather(nil, all, order[held:], j.Threads)
		if err := j.Reconstruct("autoencoder", nets, x.N, fit.MSE, j.Schedule, j.Same(x)); err != nil {
			return nil, err
		}
		res := &Result{Models: []Model{j.model(nets, false, scale)}}
		scores := func(x *nn.Tensor) ([]float64, error) {
			y, err := nets.Run(x)
			if err != nil {
				return nil, err
			}
			return fit.MSE(y, x, nil, j.Threads), nil
		}
		normal, err := scores(fit.Gather(nil, all, order[:held], j.Threads))
		if err != nil {
			return nil, err
		}
		threshold := Quantile(normal, j.Quant)
		res.figure("threshold", threshold, "")
		if j.Test == nil {
			return res, nil
		}
		if j.Test.Labels == nil {
			return nil, fmt.Errorf("the test records have no labels")
		}
		tested, err := scores(scale.apply(j.Test))
		if err != nil {
			return nil, err
		}
		c := CountOutliers(tested, j.Test.Labels, threshold)
		res.atLeast("accuracy", c.Accuracy(), "", 0.945)
		res.atLeast("precision", c.Precision(), "", 0.99)
		res.figure("recall", c.Recall(), "")
		res.atLeast("ROC AUC", AUC(tested, j.Test.Labels), "", 0.98)
		return res, nil
	},
}

// keepNormal leaves records out of training that are labelled as not normal.
func (j *Job) keepNormal() error {
	if j.Train.Labels == nil {
		return nil
	}
	var normal []int
	for i, l := range j.Train.Labels {
		if l == 0 {
			normal = append(normal, i)
		}
	}
	if len(normal) < 2 {
		return fmt.Errorf("%d of the training records are normal (label 0), want two or more", len(normal))
	}
	if len(normal) < j.Train.N {
		j.Train = j.Train.Select(normal)
	}
	return nil
}

// Quantile returns the smallest of the values that the share q of them does not
// exceed.
func Quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// Outliers counts what a threshold makes of records whose label is 0 if they are
// normal.
type Outliers struct{ True, False, Missed, Normal int }

// CountOutliers takes scores above the threshold for outliers.
func CountOutliers(scores []float64, labels []int, threshold float64) Outliers {
	var c Outliers
	for i, s := range scores {
		switch {
		case s > threshold && labels[i] != 0:
			c.True++
		case s > threshold:
			c.False++
		case labels[i] != 0:
			c.Missed++
		default:
			c.Normal++
		}
	}
	return c
}

// Accuracy is the share of the records that were taken for what they are.
func (c Outliers) Accuracy() float64 {
	return float64(c.True+c.Normal) / float64(c.True+c.Normal+c.False+c.Missed)
}

// Precision is the share of outliers among those taken for outliers.
func (c Outliers) Precision() float64 { return float64(c.True) / float64(max(c.True+c.False, 1)) }

// Recall is the share of the outliers that were found.
func (c Outliers) Recall() float64 { return float64(c.True) / float64(max(c.True+c.Missed, 1)) }

// AUC is the area under the receiver operating characteristic: the probability
// that an outlier (label not 0) scores higher than a normal record, ties
// counting half.
func AUC(scores []float64, labels []int) float64 {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(scores[a], scores[b]) })
	wins, normal, outliers := 0.0, 0, 0
	for at := 0; at < len(order); {
		end, n := at, 0
		for ; end < len(order) && scores[order[end]] == scores[order[at]]; end++ {
			if labels[order[end]] == 0 {
				n++
			}
		}
		o := end - at - n
		wins += float64(o) * (float64(normal) + float64(n)/2)
		normal, outliers, at = normal+n, outliers+o, end
	}
	return wins / (float64(normal) * float64(outliers))
}
