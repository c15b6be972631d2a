package trainer

import (
	"fmt"
	"time"

	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/codec/nn"
)

// StepTimes is what the parts of one training step took.
type StepTimes struct {
	Forward   time.Duration // networks, quantisation, loss
	Backward  time.Duration // gradients
	Optimiser time.Duration // clearing and norm of the gradients, AdamW, averages, packing of the new weights
}

// Total is the time of the step.
func (t *StepTimes) Total() time.Duration { return t.Forward + t.Backward + t.Optimiser }

// Stepper makes training steps on noise instead of pictures, for benchmarks:
// the arithmetic is that of Train, but there is nothing to read, log or save.
type Stepper struct {
	cfg   Config
	state *state
	graph *graph
	x     *nn.Tensor
	t     []float64
}

// NewStepper prepares steps of the batch, crop, architecture and threads of cfg,
// from random weights. Data is not used.
func NewStepper(cfg *Config) (*Stepper, error) {
	s := &Stepper{cfg: *cfg}
	s.cfg.Data = []string{"noise"}
	if err := s.cfg.check(); err != nil {
		return nil, err
	}
	p, err := s.cfg.Arch.Init(s.cfg.Seed)
	if err != nil {
		return nil, fmt.Errorf("trainer: %w", err)
	}
	s.state = newState(p, s.cfg.Optimizer == OptimizerMuon)
	if s.graph, err = newGraph(s.cfg.Arch, s.state.weights.named, s.state.grads.named, s.cfg.Threads, s.cfg.Seed); err != nil {
		return nil, err
	}
	s.x = nn.NewTensor(s.cfg.Batch, s.cfg.Crop, s.cfg.Crop, 3)
	uniformNoise(s.x.Data, s.cfg.Seed, 0)
	s.t = make([]float64, s.cfg.Batch)
	for i := range s.t {
		s.t[i] = float64(i) / float64(len(s.t)) * float64(s.cfg.Arch.Anchors-1)
	}
	return s, nil
}

// Pixels is the number of pixels of one step.
func (s *Stepper) Pixels() int { return s.cfg.Batch * s.cfg.Crop * s.cfg.Crop }

// Step makes one training step. The first ones allocate memory and take longer.
func (s *Stepper) Step() (StepTimes, error) {
	var t StepTimes
	last := time.Now()
	lap := func(d *time.Duration) {
		now := time.Now()
		*d += now.Sub(last)
		last = now
	}
	s.state.clearGrads(s.cfg.Threads)
	lap(&t.Optimiser)
	if _, err := s.graph.evaluate(s.x, s.t, noisy, s.state.step); err != nil {
		return t, err
	}
	lap(&t.Forward)
	if err := s.graph.differentiate(); err != nil {
		return t, err
	}
	lap(&t.Backward)
	s.state.advance(&s.cfg, s.state.gradNorm(s.cfg.Threads))
	s.graph.refresh()
	lap(&t.Optimiser)
	return t, nil
}

// Arch is the architecture that is trained.
func (s *Stepper) Arch() *codec.Arch { return s.cfg.Arch }
