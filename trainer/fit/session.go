package fit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/aecodec/aecodec/codec/nn"
)

// ErrInterrupted is wrapped by the error of a session whose context has ended.
var ErrInterrupted = errors.New("interrupted")

// Session is one run of a recipe: a fixed sequence of stages, each a number of
// epochs, that train the session's networks.
//
// After every epoch the state of all networks goes to the checkpoint folder, if
// there is one. A resumed session runs the same code: [Session.Net] finds the
// weights where the checkpoint left them, and [Session.Stage] skips what is
// done. For this to work, whatever the code between two stages does must depend
// on weights and seed only.
type Session struct {
	Context    context.Context
	Seed       uint64
	Threads    int
	Checkpoint string         // folder; empty: none
	Resume     bool           // go on from the checkpoint, if there is one
	Identity   string         // what a checkpoint must have been made with: recipe and settings
	Progress   func(Progress) // may be nil

	nets    []*Net
	names   []string
	stage   int
	started bool
	saved   *checkpoint // to resume from
}

// Progress is the state after an epoch.
type Progress struct {
	Stage   string
	Epoch   int // done
	Epochs  int
	Loss    float64 // mean over the epoch
	Seconds float64 // that the epoch took
}

// Net returns a network of the session. Its weights are those of start, where
// that has them, otherwise drawn from the seed; in a resumed session, those of
// the checkpoint.
func (s *Session) Net(name string, n *nn.Network, start nn.Params, in ...nn.Shape) (*Net, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	net, err := NewNet(n, NewStream(s.Seed, "weights "+name).Uint64(), s.Threads, in...)
	if err != nil {
		return nil, err
	}
	if err := net.CopyParams(start); err != nil {
		return nil, err
	}
	if s.saved != nil {
		if err := s.saved.restore(name, net); err != nil {
			return nil, err
		}
	}
	s.nets, s.names = append(s.nets, net), append(s.names, name)
	return net, nil
}

func (s *Session) begin() error {
	if s.started {
		return nil
	}
	s.started = true
	return s.openCheckpoint()
}

// Stage runs n epochs. epoch returns its mean loss.
func (s *Session) Stage(stage string, n int, epoch func(e int) (float64, error)) error {
	if err := s.begin(); err != nil {
		return err
	}
	first := 0
	if s.saved != nil {
		switch {
		case s.stage < s.saved.Stage:
			first = n
		case s.stage == s.saved.Stage:
			first = s.saved.Epoch
		}
	}
	for e := first; e < n; e++ {
		started := time.Now()
		loss, err := epoch(e)
		if err != nil {
			return err
		}
		if math.IsNaN(loss) || math.IsInf(loss, 0) {
			return fmt.Errorf("fit: %s: epoch %d: the loss is not finite: a lower learning rate may help", stage, e+1)
		}
		if err := s.save(e + 1); err != nil {
			return err
		}
		if s.Progress != nil {
			s.Progress(Progress{stage, e + 1, n, loss, time.Since(started).Seconds()})
		}
	}
	s.stage++
	return nil
}

// Batches calls step with the indices of batch random samples of n at a time,
// every sample once. purpose and epoch decide the order. The last batch is
// smaller if need be. It returns the mean of what step returns, by sample.
func (s *Session) Batches(purpose string, epoch, n, batch int, step func(at int, index []int32) (float64, error)) (float64, error) {
	order := NewStream(s.Seed, "order "+purpose, epoch).Order(n)
	sum := 0.0
	for at := 0; at < n; at += batch {
		if err := s.Context.Err(); err != nil {
			return 0, fmt.Errorf("fit: %w", ErrInterrupted)
		}
		index := order[at:min(at+batch, n)]
		loss, err := step(at/batch, index)
		if err != nil {
			return 0, err
		}
		sum += float64(loss * float64(len(index)))
	}
	return sum / float64(n), nil
}

// Schedule is a number of epochs of AdamW steps. The rate rises during the first
// hundredth of the steps and then falls linearly to zero, which leaves weights
// that need no averaging (Defazio et al., arXiv 2310.07831).
type Schedule struct {
	Epochs int     `json:"epochs"`
	Batch  int     `json:"batch"`
	LR     float64 `json:"lr"`
	Decay  float64 `json:"decay,omitempty"`
}

// Adam returns the settings of a step: the at-th batch of n samples in epoch e.
func (p Schedule) Adam(e, at, n int) Adam {
	perEpoch := (n + p.Batch - 1) / p.Batch
	step, steps := e*perEpoch+at, p.Epochs*perEpoch
	warm := steps/100 + 1
	lr := p.LR
	if step < warm {
		lr *= float64(step+1) / float64(warm)
	} else {
		lr *= float64(steps-step) / float64(steps-warm+1)
	}
	return Adam{LR: lr, Decay: p.Decay}
}

// Reconstruct trains networks to turn the inputs that fill returns for the
// samples of an index in an epoch into its targets; both tensors stay its own.
func (s *Session) Reconstruct(stage string, nets Chain, n int, loss Loss, plan Schedule,
	fill func(epoch int, index []int32) (in, target *nn.Tensor)) error {
	var d *nn.Tensor
	return s.supervise(stage, nets, n, plan, func(e int, index []int32) (float64, *nn.Tensor, error) {
		in, target := fill(e, index)
		y, err := nets.Forward(in)
		if err != nil {
			return 0, nil, err
		}
		d = Like(d, y.N, y.Shape())
		return Mean(loss(y, target, d, s.Threads)), d, nil
	})
}

// Classify trains networks whose outputs are the logits of classes.
func (s *Session) Classify(stage string, nets Chain, x *nn.Tensor, labels []int32, plan Schedule) error {
	var b, d *nn.Tensor
	return s.supervise(stage, nets, x.N, plan, func(_ int, index []int32) (float64, *nn.Tensor, error) {
		b = Gather(b, x, index, s.Threads)
		y, err := nets.Forward(b)
		if err != nil {
			return 0, nil, err
		}
		d = Like(d, y.N, y.Shape())
		return Mean(CrossEntropy(y, Pick(labels, index), d)), d, nil
	})
}

// supervise is the loop of Reconstruct and Classify. forward returns the loss of
// a batch and the gradient of the last output.
func (s *Session) supervise(stage string, nets Chain, n int, plan Schedule,
	forward func(epoch int, index []int32) (float64, *nn.Tensor, error)) error {
	return s.Stage(stage, plan.Epochs, func(e int) (float64, error) {
		mean, err := s.Batches(stage, e, n, plan.Batch, func(at int, index []int32) (float64, error) {
			loss, d, err := forward(e, index)
			if err != nil {
				return 0, err
			}
			if err := nets.Backward(d); err != nil {
				return 0, err
			}
			nets.Step(plan.Adam(e, at, n))
			return loss, nil
		})
		if err != nil {
			return 0, err
		}
		return mean, nets.Finite()
	})
}

// Same is the fill of an autoencoder that is shown what it has to return.
func (s *Session) Same(x *nn.Tensor) func(int, []int32) (in, target *nn.Tensor) {
	var b *nn.Tensor
	return func(_ int, index []int32) (in, target *nn.Tensor) {
		b = Gather(b, x, index, s.Threads)
		return b, b
	}
}

// Pick returns the elements of v with the given indices.
func Pick[T any](v []T, index []int32) []T {
	out := make([]T, len(index))
	for i, k := range index {
		out[i] = v[k]
	}
	return out
}

// Accuracy is the share of samples whose largest output is that of their label.
func Accuracy(y *nn.Tensor, labels []int32) float64 {
	class, _ := Argmax(y)
	right := 0
	for i, c := range class {
		if c == labels[i] {
			right++
		}
	}
	return float64(right) / float64(y.N)
}
