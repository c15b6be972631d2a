package codec

import (
	"github.com/aecodec/aecodec/format"
	"github.com/aecodec/aecodec/kernels"
)

// At the highest efforts the hyper-latent is refined too, a few times between the
// rounds. What another symbol there does to the levels of the latents below it is
// linear and local, so it is computed to the bit: 4×4 positions with all their
// channels, whatever the other positions of the hyper-latent become. Every symbol
// of a position is offered its two neighbours in turn. What they do to the means
// goes through networks, and is only guarded against by a price (the gradient was
// tried in its place, whole and in part, and made matters worse); the rounds that
// follow adapt the latents to the new means, and only the best state of all is
// kept.

const (
	// hyperPrice is what a step of a hyper-latent symbol has to save, in bits. Of 2, 5,
	// 8, 10 and 20, five was best.
	hyperPrice = 5
	// hyperRounds is from how many rounds on it is worth the time, that of several
	// rounds.
	hyperRounds = 50
)

// isHyperRound tells whether the hyper-latent is refined after round i.
func isHyperRound(i, rounds int) bool {
	return rounds >= hyperRounds && i > 0 && i%(rounds/12) == 0 && 3*i <= 2*rounds
}

// hyperBits returns the bits of the hyper-latent, and fills in w.zIndex.
func (w *window) hyperBits() float64 {
	_, wz := w.t.hyperSize()
	Z := w.model.arch.Z
	w.zIndex = grow(w.zIndex, len(w.t.Z))
	w.model.prior.indices(w.zIndex, w.t.Z, wz)
	sum := 0.
	for i, z := range w.t.Z {
		if table := w.zIndex[i]; table != format.Skip {
			sum += float64(w.p.rdo.hyper[table][z+w.model.prior.limit[i%Z]])
		}
	}
	return sum
}

// searchHyper offers every symbol of the hyper-latent its neighbours. Levels,
// features and means are those of the new symbols then; forward is to be called.
func (w *window) searchHyper() error {
	t, p, s := w.t, w.p, w.model.scale
	hz, wz := t.hyperSize()
	kernels.For(w.threads, hz*wz, 1, func(lo, hi int) {
		h := newHyperSearch(w)
		for at := lo; at < hi; at++ {
			h.position(at%wz, at/wz, w.zIndex[at*s.z:][:s.z], t.Z[at*s.z:][:s.z])
		}
	})
	s.levels(t.Index, t.Z, t.H, t.W, p.step, p.bias, &w.levelSums)
	for i, l := range t.Index {
		if l == format.Skip {
			w.k[i] = 0
		}
	}
	return w.model.refineHyper(t, p, w.refiner, w.threads)
}

// hyperSearch is the working memory of one thread, for one position of the
// hyper-latent at a time. Slices but q are by columns of the scale map.
type hyperSearch struct {
	*window
	q, acc  []float32
	sums    []int32 // of the scale map
	levels  []int32
	symbols []int32   // of the latent; outside beyond the tile
	now     []float32 // what they cost
}

// outside marks positions beyond the tile.
const outside = maxLatent + 1

func newHyperSearch(w *window) *hyperSearch {
	columns := scaleBlock * w.model.arch.M
	return &hyperSearch{
		window: w, q: make([]float32, w.model.arch.Z), acc: make([]float32, columns), sums: make([]int32, columns),
		levels: make([]int32, columns), symbols: make([]int32, columns), now: make([]float32, columns),
	}
}

// level is that of a sum.
func (h *hyperSearch) level(sum int32) int32 {
	return min(max(sum>>h.model.scale.shift, 0), ScaleLevels-1)
}

// position improves the symbols z of one position, given their tables.
func (h *hyperSearch) position(zx, zy int, tables []uint8, z []int32) {
	s, p, M := h.model.scale, h.p, h.model.arch.M
	columns := len(h.sums)
	for k, v := range z {
		h.q[k] = float32(s.coarse(v * p.step[k]))
	}
	kernels.GEMM(h.acc, columns, h.q, s.z, s.packed, 1, &kernels.Epilogue{Bias: p.bias})
	h.load(zx, zy)
	for k, v := range z {
		if tables[k] == format.Skip {
			continue
		}
		cost, limit := p.rdo.hyper[tables[k]], h.model.prior.limit[k]
		weights := s.weight[k*columns:][:columns]
		best, moved := float32(0), int32(0)
		for _, step := range [...]int32{-1, 1} {
			if v+step < -limit || v+step > limit {
				continue
			}
			more := cost[v+step+limit] - cost[v+limit] + hyperPrice
			move := s.coarse((v+step)*p.step[k]) - s.coarse(v*p.step[k])
			for j, weight := range weights {
				if l := h.level(h.sums[j] + int32(weight)*move); l != h.levels[j] && h.symbols[j] != outside {
					more += h.price(h.symbols[j], j%M, l) - h.now[j]
				}
			}
			if more < best {
				best, moved, z[k] = more, move, v+step
			}
		}
		if moved != 0 {
			for j, weight := range weights {
				h.sums[j] += int32(weight) * moved
				h.settle(j, j%M)
			}
		}
	}
}

// load takes the sums, the latent symbols below the position, and what they cost.
func (h *hyperSearch) load(zx, zy int) {
	t, M := h.t, h.model.arch.M
	for b := range scaleBlock {
		y, x := zy*HyperStride+b/HyperStride, zx*HyperStride+b%HyperStride
		inside := y < t.H && x < t.W
		for c := range M {
			j := b*M + c
			h.sums[j], h.symbols[j] = int32(h.acc[j]), outside
			if inside {
				h.symbols[j] = h.k[(y*t.W+x)*M+c]
			}
			h.settle(j, c)
		}
	}
}

// settle computes level and cost of column j, of channel c, from its sum.
func (h *hyperSearch) settle(j, c int) {
	if h.levels[j] = h.level(h.sums[j]); h.symbols[j] != outside {
		h.now[j] = h.price(h.symbols[j], c, h.levels[j])
	}
}

// price is what symbol k of channel c costs at a level: at the lowest one, where
// nothing is coded, the error of losing it.
func (h *hyperSearch) price(k int32, c int, level int32) float32 {
	if level == 0 {
		return float32(h.p.refine.weight[c] * float32(float32(k)*float32(k)))
	}
	return h.p.refine.savings[level].cost(k)
}

// tileState is all that a file holds of a tile.
type tileState struct {
	z, k  []int32
	index []uint8
}

// save takes the state of t, with other symbols.
func (s *tileState) save(t *Tile, k []int32) {
	s.z, s.k, s.index = append(s.z[:0], t.Z...), append(s.k[:0], k...), append(s.index[:0], t.Index...)
}

func (s *tileState) restore(t *Tile) {
	copy(t.Z, s.z)
	copy(t.K, s.k)
	copy(t.Index, s.index)
}
