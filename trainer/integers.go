package trainer

import (
	"fmt"

	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/codec/nn"
)

// Training for integers: the last steps, Config.IntegerSteps of them, round what the
// synthesis in integers will hold in bytes (nn.FakeQuantised), so that the networks
// learn to live with it. The steps of the bytes are measured once, when that begins,
// and are part of the checkpoint.

// calibrationBatches is how many batches the ranges of the values are taken from.
const calibrationBatches = 48

// beginIntegers makes the graphs round the synthesis.
func (r *run) beginIntegers() error {
	if r.state.byteSteps == nil {
		r.ui.Stage("measuring ranges for integers", 0)
		steps, err := r.byteSteps()
		if err != nil {
			return err
		}
		r.state.byteSteps = steps
		r.ui.Stage("training", r.cfg.Steps-r.state.step)
	}
	for _, g := range []*graph{r.graph, r.ema} {
		if g == nil {
			continue
		}
		if err := g.fakeQuantise(r.state.byteSteps); err != nil {
			return err
		}
	}
	return nil
}

// byteSteps measures the ranges of the synthesis's values on crops that training
// has not seen, at all rates alike.
func (r *run) byteSteps() (nn.Params, error) {
	cfg, g := r.cfg, r.graph
	net := cfg.Arch.Network(codec.Synthesis)
	c, err := newCalibration(net, g.params, cfg.Threads)
	if err != nil {
		return nil, fmt.Errorf("trainer: integers: %w", err)
	}
	s := newSampler(r.set, cfg.Seed, cfg.Batch, cfg.Crop, cfg.Arch.Anchors, 1, r.warn)
	b := &batch{x: nn.NewTensor(cfg.Batch, cfg.Crop, cfg.Crop, 3), t: make([]float64, cfg.Batch)}
	for i := range calibrationBatches {
		if s.fill(b, cfg.Steps+i); b.err != nil {
			return nil, b.err
		}
		for j := range b.t {
			k := i*cfg.Batch + j
			b.t[j] = float64(cfg.Arch.Anchors-1) * float64(k) / float64(calibrationBatches*cfg.Batch-1)
		}
		if _, err := g.evaluate(b.x, b.t, hard, cfg.Steps+i); err != nil {
			return nil, err
		}
		if err := c.add(g.yhat); err != nil {
			return nil, fmt.Errorf("trainer: integers: %w", err)
		}
	}
	steps, err := net.ByteSteps(g.params, c.ranges, integerOptions(net))
	if err != nil {
		return nil, fmt.Errorf("trainer: integers: %w", err)
	}
	return steps, nil
}

// fakeQuantise replaces the synthesis of the graph by one that rounds.
func (g *graph) fakeQuantise(steps nn.Params) error {
	net := g.arch.Network(codec.Synthesis)
	f, err := net.FakeQuantise(steps, integerOptions(net).Wide)
	if err != nil {
		return fmt.Errorf("trainer: integers: %w", err)
	}
	shadow, err := f.Shadow(g.params)
	if err != nil {
		return fmt.Errorf("trainer: integers: %w", err)
	}
	program, err := nn.Compile(f.Network, shadow)
	if err != nil {
		return fmt.Errorf("trainer: integers: %w", err)
	}
	g.nets[netSynthesis] = network{program: program, arena: nn.NewArena()}
	g.roundWeights = func() { f.RoundWeights(shadow, g.params) }
	return nil
}
