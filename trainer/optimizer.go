package trainer

import (
	"math"
	"slices"
	"strings"

	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/kernels"
)

// state is everything that training changes. Weights, gradients, moments and
// averages are one long slice each; the optimiser does not care for layers.
type state struct {
	weights, grads, m, v, ema tensors
	groups                    []group
	matrices                  []*muonMatrix
	step                      int  // steps done
	receiverOnly              bool // the step leaves alone what is sendersOwn

	byteSteps nn.Params // of the synthesis in integers, see beginIntegers; nil before

	squares               []float32 // of each group, see gradNorm
	params                kernels.AdamParams
	rate, decay           float32
	blend                 float32 // share of the new weights in the average
	beta, muonRate        float32 // momentum and learning rate of the matrices
	update, measure, zero func(lo, hi int)
	turn                  func(lo, hi int)
}

// tensors is a flat slice in the order of the names and windows into it.
type tensors struct {
	flat  []float32
	named nn.Params
}

// newTensors returns zeros of the names and shapes of p.
func newTensors(p nn.Params) tensors {
	total := 0
	for _, t := range p {
		total += len(t.Data)
	}
	out := tensors{make([]float32, total), make(nn.Params, len(p))}
	at := 0
	for _, name := range p.Names() {
		n := len(p[name].Data)
		out.named[name] = &nn.Param{Name: name, Shape: slices.Clone(p[name].Shape), Data: out.flat[at : at+n : at+n]}
		at += n
	}
	return out
}

// group is a run of weights that are updated alike.
type group struct {
	lo, hi int
	decay  bool    // weight decay
	matrix bool    // belongs to a matrix, which Muon updates
	sender bool    // only the encoder has it, see sendersOwn
	rate   float32 // multiplies the learning rate
	params kernels.AdamParams
}

// groupLen bounds a group, to share out the work evenly.
const groupLen = 1 << 15

// newState copies p; moments are zero, averages start at the weights.
func newState(p nn.Params, muon bool) *state {
	s := &state{weights: newTensors(p), grads: newTensors(p), m: newTensors(p), v: newTensors(p), ema: newTensors(p)}
	at := 0
	for _, name := range p.Names() {
		copy(s.weights.named[name].Data, p[name].Data)
		g := group{rate: 1, sender: sendersOwn(name)}
		switch name {
		case codec.ScaleWeight, codec.ScaleBias, codec.ScaleOffset:
			// Levels are steps of log sigma. Adam moves a parameter by about
			// the learning rate whatever its unit, so this makes the scales
			// move as fast as log sigma would.
			g.rate = 1 / codec.LogSigmaStep
		default:
			g.decay = strings.HasSuffix(name, ".weight")
			if k, n, ok := muonSides(name, p[name].Shape); ok && muon {
				g.matrix = true
				s.matrices = append(s.matrices, newMuonMatrix(at, k, n, g.sender))
			}
		}
		for end := at + len(p[name].Data); at < end; at = g.hi {
			g.lo, g.hi = at, min(at+groupLen, end)
			s.groups = append(s.groups, g)
		}
	}
	copy(s.ema.flat, s.weights.flat)
	s.squares = make([]float32, len(s.groups))
	s.update, s.measure, s.zero = s.updateGroups, s.measureGroups, s.clearGroups
	s.turn = s.turnMatrices
	return s
}

// sendersOwn tells whether a parameter decides which symbols are sent. With rounded
// latents such parameters are left alone: through the rounding only a
// straight-through estimate of their gradients comes, and a symbol of zero, at the
// peak of its density, pulls nothing towards zero. Held-out loss rose by 1.2 % in
// 2,500 steps with them (trainer/EXPERIMENTS.md, 17).
func sendersOwn(name string) bool {
	return strings.HasPrefix(name, codec.Analysis+".") || strings.HasPrefix(name, codec.HyperAnalysis+".") ||
		name == codec.GainEnc || name == codec.GainZ
}

// held tells whether a parameter of a group stays as it is in this step.
func (s *state) held(sender bool) bool { return sender && s.receiverOnly }

// clearGrads sets the gradients to zero.
func (s *state) clearGrads(threads int) { kernels.For(threads, len(s.groups), 1, s.zero) }

func (s *state) clearGroups(lo, hi int) { clear(s.grads.flat[s.groups[lo].lo:s.groups[hi-1].hi]) }

// gradNorm is the global norm of the gradients: the squares of each group in
// the order of kernels.SumSquares, the groups in their order.
func (s *state) gradNorm(threads int) float64 {
	kernels.For(threads, len(s.groups), 1, s.measure)
	sum := 0.0
	for _, v := range s.squares {
		sum += float64(v)
	}
	return math.Sqrt(sum)
}

func (s *state) measureGroups(lo, hi int) {
	for i, g := range s.groups[lo:hi] {
		s.squares[lo+i] = 0
		if !s.held(g.sender) {
			s.squares[lo+i] = kernels.SumSquares(s.grads.flat[g.lo:g.hi])
		}
	}
}

// advance makes one step of AdamW on gradients of the given norm, clipped, and
// of the average.
func (s *state) advance(cfg *Config, norm float64) {
	t := s.step + 1
	s.params = kernels.AdamParams{
		Beta1: float32(cfg.Beta1), Beta2: float32(cfg.Beta2), Eps: float32(cfg.Eps),
		Correct1:  float32(1 / (1 - powInt(cfg.Beta1, t))),
		Correct2:  float32(1 / (1 - powInt(cfg.Beta2, t))),
		GradScale: float32(min(1, cfg.Clip/max(norm, 1e-30))),
	}
	s.rate, s.decay = float32(learningRate(cfg, s.step)), float32(cfg.Decay)
	s.blend = float32(1 - emaDecay(cfg, s.step))
	s.beta, s.muonRate = float32(cfg.Momentum), float32(learningRate(cfg, s.step)*cfg.MuonRate)
	kernels.For(cfg.Threads, len(s.matrices), 1, s.turn)
	kernels.For(cfg.Threads, len(s.groups), 1, s.update)
	s.step = t
}

func (s *state) updateGroups(lo, hi int) {
	for i := range s.groups[lo:hi] {
		g := &s.groups[lo+i]
		g.params = s.params
		g.params.LR = s.rate * g.rate
		if g.decay {
			g.params.Decay = s.decay
		}
		w := s.weights.flat[g.lo:g.hi]
		if !g.matrix && !s.held(g.sender) {
			kernels.AdamW(w, s.grads.flat[g.lo:g.hi], s.m.flat[g.lo:g.hi], s.v.flat[g.lo:g.hi], &g.params)
		}
		kernels.Lerp(s.ema.flat[g.lo:g.hi], s.ema.flat[g.lo:g.hi], w, s.blend)
	}
}
