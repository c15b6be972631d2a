package format

import (
	"container/heap"
	"math"
)

// probTotal is the sum of the frequencies of every table: probabilities have
// 16 bits. Finer than the 12 to 14 bits of most rANS coders because most
// latents of a learned codec cost a hundredth of a bit: with 12 bits nothing
// can cost less than 0.00035 bit, with 16 bits the floor is 0.00002.
const (
	probBits  = 16
	probTotal = 1 << probBits
)

// BuildFreq quantises a probability distribution to integer frequencies that
// sum to 65536, each at least 1, such that the cross-entropy
//
//	-Σ p[i]·log2(freq[i]/65536)
//
// is the least that any such frequencies reach. The last entry of p is the
// probability of the escape, as [NewTable] expects it.
//
// p need not be normalised; negative, infinite and NaN entries count as 0, and
// if nothing is left all entries are taken as equally likely. The result is the
// same on every machine: it uses only single-rounded float64 operations.
//
// BuildFreq panics when len(p) is not in 2..65536: one entry alone would need
// the frequency 65536, which 16 bits do not hold.
func BuildFreq(p []float64) []uint16 {
	if len(p) < 2 || len(p) > probTotal {
		panic("format: BuildFreq needs 2 to 65536 probabilities")
	}
	q := make([]float64, len(p))
	var sum float64
	for i, v := range p {
		if v > 0 && v <= math.MaxFloat64 {
			q[i] = v
			sum += v
		}
	}
	if sum == 0 || sum > math.MaxFloat64 {
		// Nothing usable, or a sum beyond float64: scale down and retry once.
		sum = 0
		for i := range q {
			if q[i] = float64(q[i] / probTotal); q[i] > 0 {
				sum += q[i]
			}
		}
		if sum == 0 {
			for i := range q {
				q[i] = 1
			}
			sum = float64(len(q))
		}
	}
	freq := make([]uint16, len(p))
	left := probTotal
	for i := range q {
		q[i] = float64(q[i] / sum)
		f := min(max(1, int(float64(q[i]*probTotal))), probTotal-len(q)+1)
		freq[i] = uint16(f)
		left -= f
	}

	// The cost is a sum of convex functions of one frequency each, so moving
	// single units to where they gain most reaches the optimum (marginal
	// allocation; Fox 1966). Two heaps hold the next unit's gain and the last
	// unit's loss of every entry.
	up := &unitHeap{q: q, freq: freq, sign: -1}
	down := &unitHeap{q: q, freq: freq, sign: 1}
	for i := range q {
		up.push(i)
		down.push(i)
	}
	heap.Init(up)
	heap.Init(down)
	move := func(h *unitHeap, by int) {
		i := h.items[0].i
		freq[i] = uint16(int(freq[i]) + by)
		up.update(i)
		down.update(i)
	}
	for ; left > 0; left-- {
		move(up, 1)
	}
	for ; left < 0; left++ {
		move(down, -1)
	}
	for up.items[0].key > down.items[0].key {
		move(up, 1)
		move(down, -1)
	}
	return freq
}

// unitHeap orders the entries of a distribution by what one unit of frequency
// is worth to them: the gain of one more (sign -1, best first) or the loss of
// one less (sign +1, least first).
type unitHeap struct {
	q     []float64
	freq  []uint16
	sign  float64
	items []unit
	at    []int // position of each entry in items
}

type unit struct {
	key float64
	i   int
}

func (h *unitHeap) worth(i int) float64 {
	f := int(h.freq[i])
	if h.sign < 0 {
		return float64(h.q[i] * logStep(f))
	}
	if f == 1 {
		return math.Inf(1) // every entry keeps at least one unit
	}
	return float64(h.q[i] * logStep(f-1))
}

func (h *unitHeap) push(i int) {
	h.items = append(h.items, unit{h.worth(i), i})
	h.at = append(h.at, i)
}

func (h *unitHeap) update(i int) {
	h.items[h.at[i]].key = h.worth(i)
	heap.Fix(h, h.at[i])
}

func (h *unitHeap) Len() int { return len(h.items) }

func (h *unitHeap) Less(a, b int) bool {
	x, y := h.items[a], h.items[b]
	if x.key != y.key {
		return float64(x.key*h.sign) < float64(y.key*h.sign)
	}
	return x.i < y.i // any fixed order will do; this one is the same everywhere
}

func (h *unitHeap) Swap(a, b int) {
	h.items[a], h.items[b] = h.items[b], h.items[a]
	h.at[h.items[a].i], h.at[h.items[b].i] = a, b
}

func (h *unitHeap) Push(any) { panic("format: unitHeap does not grow") }
func (h *unitHeap) Pop() any { panic("format: unitHeap does not shrink") }

// logStep returns ln((f+1)/f) for f >= 1. It is not math.Log1p because that
// may differ in the last bit between architectures: ln((f+1)/f) is
// 2·artanh(1/(2f+1)), a series that converges by a factor of at least 9 a term.
func logStep(f int) float64 {
	z := 1 / float64(2*f+1)
	z2 := float64(z * z)
	sum, pow := z, z
	for k := 3; k < 37; k += 2 {
		pow = float64(pow * z2)
		term := float64(pow / float64(k))
		if sum+term == sum {
			break
		}
		sum += term
	}
	return 2 * sum
}
