// Package recipes holds everything that autoencoders are taught for, a file
// each: compression, dimension reduction, denoising, pre-training, anomaly
// detection, generation, and the pretext task of colouring. A recipe says which
// networks it trains on which loss, and measures what it promises.
//
// The lecture in question is "Autoencoders" of the course Machine Learning
// (T-MachLe, Master of Science in Engineering; J. Hennebert and A. Perez Uribe).
package recipes

import (
	"fmt"
	"math"
	"slices"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/record"
	"github.com/aecodec/aecodec/trainer/fit"
)

// Recipe is a way to train networks on records.
type Recipe struct {
	Name     string
	Summary  string
	Wants    string // what Train and Test have to be
	Defaults Settings
	run      func(*Job) (*Result, error)
}

// Settings are what a user may change. Those that a recipe does not use are
// zero in its Defaults.
type Settings struct {
	fit.Schedule
	Latents int     `json:"latents,omitempty"` // numbers that describe a record
	Network string  `json:"network,omitempty"` // which of a recipe's networks
	Noise   float64 `json:"noise,omitempty"`   // deviation of added noise, in units of the networks' input
	SNR     float64 `json:"snr,omitempty"`     // or: signal-to-noise ratio in dB
	Quant   float64 `json:"quantile,omitempty"`
	Labels  int     `json:"labels,omitempty"` // training records whose labels are used
	Seeds   int     `json:"seeds,omitempty"`  // repetitions that figures are means of
}

// Job is one run of a recipe.
type Job struct {
	*fit.Session
	Settings
	Train *record.Set
	Test  *record.Set // only measured on; nil: no figures
}

// Result is what a run made and found out.
type Result struct {
	Models  []Model
	Figures []Figure
}

// Figure is a measurement, with what the recipe promises for the data it was
// made for.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit,omitempty"`
	// Sign is -1 where Goal is an upper bound, 1 where it is a lower one, 0
	// where nothing is promised.
	Sign int     `json:"sign,omitempty"`
	Goal float64 `json:"goal,omitempty"`
}

// Reached tells whether the figure is as promised.
func (f Figure) Reached() bool { return float64(f.Sign)*(f.Value-f.Goal) >= 0 }

// Bound writes the promise as in ">= 7".
func (f Figure) Bound() string {
	switch {
	case f.Sign < 0:
		return fmt.Sprintf("<= %g", f.Goal)
	case f.Sign > 0:
		return fmt.Sprintf(">= %g", f.Goal)
	}
	return ""
}

func (r *Result) figure(name string, value float64, unit string) {
	r.Figures = append(r.Figures, Figure{Name: name, Value: value, Unit: unit})
}

func (r *Result) atMost(name string, value float64, unit string, goal float64) {
	r.Figures = append(r.Figures, Figure{name, value, unit, -1, goal})
}

func (r *Result) atLeast(name string, value float64, unit string, goal float64) {
	r.Figures = append(r.Figures, Figure{name, value, unit, 1, goal})
}

// All returns the recipes in the order in which they are best read.
func All() []*Recipe {
	return []*Recipe{&Dense, &Conv, &Linear, &Denoise, &Anomaly, &VAE, &Stacked, &Swap, &Colorize, &GAN}
}

// Find returns the recipe of a name.
func Find(name string) (*Recipe, error) {
	var names []string
	for _, r := range All() {
		if r.Name == name {
			return r, nil
		}
		names = append(names, r.Name)
	}
	return nil, fmt.Errorf("recipes: unknown recipe %q: there are %v", name, names)
}

// Run checks the data and carries the recipe out.
func (r *Recipe) Run(j *Job) (*Result, error) {
	if err := j.Train.Check(); err != nil {
		return nil, fmt.Errorf("recipes: %s: training data: %w", r.Name, err)
	}
	if j.Test != nil {
		if err := j.Test.Check(); err != nil {
			return nil, fmt.Errorf("recipes: %s: test data: %w", r.Name, err)
		}
		if !slices.Equal(j.Test.Shape, j.Train.Shape) || j.Test.Kind != j.Train.Kind {
			return nil, fmt.Errorf("recipes: %s: test data are %v of %v, training data %v of %v",
				r.Name, j.Test.Kind, j.Test.Shape, j.Train.Kind, j.Train.Shape)
		}
	}
	switch {
	case j.Train.N < 2:
		return nil, fmt.Errorf("recipes: %s: one training record, want two or more", r.Name)
	case j.Epochs < 1 || j.Batch < 1:
		return nil, fmt.Errorf("recipes: %s: %d epochs of batches of %d, want one or more", r.Name, j.Epochs, j.Batch)
	case !(j.LR > 0 && j.LR < 10):
		return nil, fmt.Errorf("recipes: %s: learning rate %g, want more than 0 and less than 10", r.Name, j.LR)
	}
	j.Identity = fmt.Sprintf("%s %+v on %d records of %v", r.Name, j.Settings, j.Train.N, j.Train.Shape)
	res, err := r.run(j)
	if err != nil {
		return nil, fmt.Errorf("recipes: %s: %w", r.Name, err)
	}
	return res, nil
}

// labels returns the labels of a set, as classes from 0.
func labels(s *record.Set) ([]int32, error) {
	if s.Labels == nil {
		return nil, fmt.Errorf("the records have no labels")
	}
	out := make([]int32, s.N)
	for i, l := range s.Labels {
		if l < 0 || l > 1<<10 {
			return nil, fmt.Errorf("label %d of record %d, want classes from 0", l, i)
		}
		out[i] = int32(l)
	}
	return out, nil
}

// Scale turns the values of records into what networks see:
// (value - Offset)·Gain.
type Scale struct{ Offset, Gain float64 }

// scaleOf is 1/255 for bytes; other values get mean 0 and deviation 1.
func scaleOf(s *record.Set) Scale {
	if s.Kind == record.Uint8 {
		return Scale{0, 1.0 / 255}
	}
	sum, squares := 0.0, 0.0
	for _, v := range s.Data {
		sum += float64(v)
	}
	mean := sum / float64(len(s.Data))
	for _, v := range s.Data {
		d := float64(v) - mean
		squares += float64(d * d)
	}
	deviation := math.Sqrt(squares / float64(len(s.Data)))
	if deviation == 0 {
		deviation = 1
	}
	return Scale{mean, 1 / deviation}
}

// apply returns the records as networks see them.
func (c Scale) apply(s *record.Set) *nn.Tensor {
	d := s.Dims()
	t := nn.NewTensor(s.N, d.H, d.W, d.C)
	for i, v := range s.Data {
		t.Data[i] = float32((float64(v) - c.Offset) * c.Gain)
	}
	return t
}
