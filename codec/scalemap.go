package codec

import (
	"fmt"
	"math"

	"github.com/aecodec/aecodec/kernels"
)

// The scale map tells which of the 64 scales a latent symbol is coded with. If
// two machines disagreed about one of them, all that follows in the stream
// would be noise, so it is a linear map in integers on the hyper-latent alone
// (PULSE, arXiv 2609.18602: it costs 0.04 % of the rate):
//
//	z'    = zi·G(t)[k]                            8 fractional bits
//	q[k]  = (z' + 2^(d-1)) >> d                   8-d fractional bits, d = drop
//	acc   = Σ_k W[k][j]·q[k] + B[c] + O(t)[c]     j = (dy·4+dx)·M + c
//	level = clamp(acc >> shift, 0, 63)
//
// >> is arithmetic; W has shift-(8-d) fractional bits, B and O have shift of
// them, and B includes the half that makes the last shift round to nearest.
//
// G(t) and O(t) are interpolated between anchors by blend.ints, and a blend of
// two integers never leaves their range. So with |zi| <= limit[k],
//
//	|q[k]|  <= Q[k]  = (limit[k]·max_a G[a][k] + 2^(d-1)) >> d
//	|sums|  <= S     = max_j (Σ_k |W[k][j]|·Q[k] + |B[c]| + max_a |O[a][c]|)
//
// for every partial sum in any order. newScaleMap refuses a model unless
// S <= 2^24. Then nothing overflows 32 bits, and, since every integer up to
// 2^24 is a float32, the float32 matrix product gives the integer result
// exactly, whether or not multiply and add are fused and in whatever order:
// the fast path relies on IEEE 754 only.
type scaleMap struct {
	m, z        int
	drop, shift int
	step        []int32 // G [A, Z]
	limit       []int32 // [Z]
	bias        []int32 // B [M]
	offset      []int32 // O [A, M]
	weight      []int16 // W [Z, 16·M]
	packed      *kernels.Packed
}

const (
	stepBits    = 8 // fractional bits of G
	maxStep     = 1<<16 - 1
	hyperLimit  = 127     // largest |zi|
	exactBound  = 1 << 24 // float32 holds every integer up to here
	maxFracBits = 14      // of a weight
)

// newScaleMap checks the tables and proves the bounds above.
func newScaleMap(a *Arch, drop, shift int, weight []int16, step, limit, bias, offset []int32) (*scaleMap, error) {
	s := &scaleMap{
		m: a.M, z: a.Z, drop: drop, shift: shift,
		step: step, limit: limit, bias: bias, offset: offset, weight: weight,
	}
	frac := shift - (stepBits - drop) // fractional bits of W
	if drop < 0 || drop > stepBits || frac < 0 || frac > maxFracBits {
		return nil, fmt.Errorf("codec: scale map: shifts %d and %d", drop, shift)
	}
	for i, g := range step {
		if g < 1 || g > maxStep {
			return nil, fmt.Errorf("codec: scale map: step %d of entry %d, want 1 to %d", g, i, maxStep)
		}
	}
	for k, l := range limit {
		if l < 0 || l > hyperLimit {
			return nil, fmt.Errorf("codec: scale map: limit %d of channel %d, want 0 to %d", l, k, hyperLimit)
		}
	}
	if b := s.bound(); b > exactBound {
		return nil, fmt.Errorf("codec: scale map: sums reach %d, want at most %d", b, exactBound)
	}
	columns := scaleBlock * s.m
	s.packed = kernels.NewPacked(s.z, columns)
	w := make([]float32, len(weight))
	for i, v := range weight {
		w[i] = float32(v)
	}
	s.packed.Set(w, columns)
	return s, nil
}

// inputBound returns Q of the proof.
func (s *scaleMap) inputBound(k int) int64 {
	var g int32
	for i := k; i < len(s.step); i += s.z {
		g = max(g, s.step[i])
	}
	return int64(s.coarse(s.limit[k] * g))
}

// bound returns S of the proof. All terms are below 2^15·2^23, so the sum over
// 254 channels fits int64 by far.
func (s *scaleMap) bound() int64 {
	columns := scaleBlock * s.m
	sums := make([]int64, columns)
	for k := range s.z {
		q := s.inputBound(k)
		for j, w := range s.weight[k*columns:][:columns] {
			sums[j] += abs64(int64(w)) * q
		}
	}
	var most int64
	for j, sum := range sums {
		c := j % s.m
		var o int64
		for i := c; i < len(s.offset); i += s.m {
			o = max(o, abs64(int64(s.offset[i])))
		}
		most = max(most, sum+abs64(int64(s.bias[c]))+o)
	}
	return most
}

func abs64(v int64) int64 { return max(v, -v) }

// coarse drops the surplus fractional bits of z', rounding to nearest.
func (s *scaleMap) coarse(z int32) int32 {
	return (z + 1<<s.drop>>1) >> s.drop
}

// at returns, for one position between the anchors, G and the B+O of all 16·M
// columns as exact float32.
func (s *scaleMap) at(b blend) (step []int32, bias []float32) {
	step = make([]int32, s.z)
	b.ints(step, s.step)
	offset := make([]int32, s.m)
	b.ints(offset, s.offset)
	bias = make([]float32, scaleBlock*s.m)
	for j := range bias {
		bias[j] = float32(s.bias[j%s.m] + offset[j%s.m])
	}
	return step, bias
}

// levels writes to dst [h·w·M] the table index of every symbol of an h×w tile:
// the level, or format.Skip, which is the 255 of kernels.Levels, instead of 0. z
// holds the hyper-latent [ceil(h/4)·ceil(w/4)·Z], every |zi| at most its limit.
// scratch is grown and reused.
func (s *scaleMap) levels(dst []uint8, z []int32, h, w int, step []int32, bias []float32, scratch *scaleScratch) {
	hz, wz := ceilDiv(h, HyperStride), ceilDiv(w, HyperStride)
	columns := scaleBlock * s.m
	epilogue := kernels.Epilogue{Bias: bias}
	// Rows of z are taken together while that is good for the matrix product.
	batch := max(1, min(hz, 64/wz))
	scratch.q = grow(scratch.q, batch*wz*s.z)
	scratch.acc = grow(scratch.acc, batch*wz*columns)
	for zy := 0; zy < hz; zy += batch {
		n := min(batch, hz-zy) * wz
		for i := range n {
			for k, v := range z[(zy*wz+i)*s.z:][:s.z] {
				scratch.q[i*s.z+k] = float32(s.coarse(v * step[k]))
			}
		}
		kernels.GEMM(scratch.acc, columns, scratch.q, s.z, s.packed, n, &epilogue)
		for y := zy * HyperStride; y < min(h, (zy+batch)*HyperStride); y++ {
			acc := scratch.acc[(y/HyperStride-zy)*wz*columns:]
			for x := range w {
				from := acc[x/HyperStride*columns+(y%HyperStride*HyperStride+x%HyperStride)*s.m:][:s.m]
				kernels.Levels(dst[(y*w+x)*s.m:][:s.m], from, s.shift, ScaleLevels-1)
			}
		}
	}
}

type scaleScratch struct{ q, acc []float32 }

// sigma is the scale of a level.
func sigma(level int) float64 {
	return kernels.Exp64(LogSigmaMin + float64(float64(level)*LogSigmaStep))
}

// quantiseScaleMap converts the float map of training, s = Σ zf·w + b + o, to
// integers. limit bounds |zi|, spread is the typical size of zf, both by
// channel. Among the precisions for inputs and weights that keep the bound of
// scaleMap it takes the pair with the least expected error.
func quantiseScaleMap(a *Arch, weight, bias, offset []float32, step, limit []int32, spread []float64) (*scaleMap, error) {
	var top, power float64 // of the weights
	for i, w := range weight {
		if math.IsNaN(float64(w)) || math.IsInf(float64(w), 0) {
			return nil, fmt.Errorf("codec: scale map: weight %d is %v", i, w)
		}
		top = max(top, math.Abs(float64(w)))
		power += float64(float64(w) * float64(w))
	}
	power /= float64(len(weight))
	var energy float64 // of the inputs
	for _, v := range spread {
		energy += float64(v * v)
	}
	energy /= float64(len(spread))

	var best *scaleMap
	least := math.Inf(1)
	for drop := 0; drop <= stepBits; drop++ {
		for frac := maxFracBits; frac >= 0; frac-- {
			inputUnit, weightUnit := 1/float64(int(1)<<(stepBits-drop)), 1/float64(int(1)<<frac)
			if top/weightUnit > math.MaxInt16 {
				continue
			}
			// Rounding errors are uniform: variance unit²/12 each.
			loss := float64(inputUnit*inputUnit*power) + float64(weightUnit*weightUnit*energy)
			if loss >= least {
				break
			}
			s := roundScaleMap(a, drop, frac, weight, bias, offset, step, limit)
			if s.bound() <= exactBound {
				best, least = s, loss
				break
			}
		}
	}
	if best == nil {
		return nil, fmt.Errorf("codec: scale map: no precision keeps sums below %d (largest weight %g)", exactBound, top)
	}
	return newScaleMap(a, best.drop, best.shift, best.weight, best.step, best.limit, best.bias, best.offset)
}

func roundScaleMap(a *Arch, drop, frac int, weight, bias, offset []float32, step, limit []int32) *scaleMap {
	s := &scaleMap{
		m: a.M, z: a.Z, drop: drop, shift: stepBits - drop + frac, step: step, limit: limit,
		weight: make([]int16, len(weight)), bias: make([]int32, len(bias)), offset: make([]int32, len(offset)),
	}
	for i, w := range weight {
		s.weight[i] = int16(math.RoundToEven(float64(w) * float64(int(1)<<frac)))
	}
	half := int32(1<<s.shift) >> 1
	for i, b := range bias {
		s.bias[i] = fixed(b, s.shift) + half
	}
	for i, o := range offset {
		s.offset[i] = fixed(o, s.shift)
	}
	return s
}

// fixed rounds v to bits fractional bits. What is far outside the 64 levels is
// clamped, so that the result fits at any precision that is tried.
func fixed(v float32, bits int) int32 {
	const most = 1 << 8
	x := min(max(float64(v), -most), most)
	if x != x {
		x = 0
	}
	return int32(math.RoundToEven(x * float64(int(1)<<bits)))
}

// floats is the inverse of quantiseScaleMap.
func (s *scaleMap) floats(weight, bias, offset []float32) {
	unit := 1 / float64(int(1)<<(s.shift-stepBits+s.drop))
	for i, w := range s.weight {
		weight[i] = float32(float64(w) * unit)
	}
	unit = 1 / float64(int(1)<<s.shift)
	half := int32(1<<s.shift) >> 1
	for i, b := range s.bias {
		bias[i] = float32(float64(b-half) * unit)
	}
	for i, o := range s.offset {
		offset[i] = float32(float64(o) * unit)
	}
}
