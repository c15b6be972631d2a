package codec

import (
	"fmt"
	"math"
	"sync"

	"github.com/aecodec/aecodec/format"
	"github.com/aecodec/aecodec/kernels"
)

// HyperLimit is the largest magnitude of a hyper-latent symbol.
const HyperLimit = hyperLimit

// HyperCounts is a histogram of one hyper-latent channel; the count of symbol
// zi is at index zi+HyperLimit.
type HyperCounts [2*HyperLimit + 1]uint32

// ScaleCounts is a histogram of the magnitudes of the latent symbols of one
// scale level. The last entry counts what is larger, too.
type ScaleCounts [8 * SigmaMax]uint32

// Priors counts symbols, for NewModel to make probability tables of.
type Priors struct {
	Hyper [][]HyperCounts // hyper-latent by anchor rate and channel [Anchors][Z]
	Scale []ScaleCounts   // latent by level [ScaleLevels]; nil: Gaussians
}

// NewPriors returns empty histograms.
func NewPriors(a *Arch) *Priors {
	p := &Priors{Hyper: make([][]HyperCounts, a.Anchors), Scale: make([]ScaleCounts, ScaleLevels)}
	for i := range p.Hyper {
		p.Hyper[i] = make([]HyperCounts, a.Z)
	}
	return p
}

// AddLatent counts the coded symbols of a tile's latent.
func (p *Priors) AddLatent(t *Tile) {
	for i, level := range t.Index {
		if level == format.Skip {
			continue
		}
		counts := &p.Scale[level]
		counts[min(max(t.K[i], -t.K[i]), int32(len(counts)-1))]++
	}
}

// AddHyper counts the symbols of z, channels fastest, as coded at an anchor.
// Symbols beyond HyperLimit count as HyperLimit.
func (p *Priors) AddHyper(anchor int, z []int32) {
	counts := p.Hyper[anchor]
	for i, v := range z {
		counts[i%len(counts)][min(max(v, -HyperLimit), HyperLimit)+HyperLimit]++
	}
}

// tableUnit is one unit of a stored probability.
const tableUnit = 1. / (1 << 16)

// hyperPrior holds the tables of the hyper-latent: freq[a][k] codes channel k
// at anchor a, over -limit[k]..limit[k] and the escape, which is never used.
// Channels of limit 0 are not coded.
type hyperPrior struct {
	limit []int32
	freq  [][][]uint16
	sets  []func() (*format.TableSet, error) // by anchor, prepared on first use
	bits  []func() [][]float32               // by anchor, prepared for the first encoder
}

func newHyperPrior(limit []int32, freq [][][]uint16) (*hyperPrior, error) {
	p := &hyperPrior{
		limit: limit, freq: freq,
		sets: make([]func() (*format.TableSet, error), len(freq)), bits: make([]func() [][]float32, len(freq)),
	}
	for a := range freq {
		tables := make([]*format.Table, len(limit))
		for k, f := range freq[a] {
			var err error
			if tables[k], err = format.NewTable(-limit[k], f); err != nil {
				return nil, fmt.Errorf("codec: hyper-latent table of channel %d at anchor %d: %w", k, a, err)
			}
		}
		p.sets[a] = sync.OnceValues(func() (*format.TableSet, error) { return format.NewTableSet(tables) })
		p.bits[a] = sync.OnceValue(func() [][]float32 { return hyperBits(freq[a]) })
	}
	return p, nil
}

// indices writes the table of each symbol of z, channels fastest.
func (p *hyperPrior) indices(dst []uint8) {
	for i := range dst {
		k := i % len(p.limit)
		dst[i] = uint8(k)
		if p.limit[k] == 0 {
			dst[i] = format.Skip
		}
	}
}

// gauss is a Gaussian over the symbols of one hyper-latent channel.
type gauss struct{ mean, sigma float64 }

// minHyperSigma keeps a Gaussian that was fitted to equal symbols usable.
const minHyperSigma = 0.15

// fit returns the Gaussian of a histogram's mean and variance.
func (h *HyperCounts) fit() (g gauss, total float64) {
	var sum, squares float64
	for i, n := range h {
		v := float64(i - HyperLimit)
		total += float64(n)
		sum += float64(v * float64(n))
		squares += float64(v * v * float64(n))
	}
	if total == 0 {
		return gauss{0, 1}, 0
	}
	g.mean = sum / total
	g.sigma = math.Sqrt(max(squares/total-float64(g.mean*g.mean), minHyperSigma*minHyperSigma))
	return g, total
}

// probability is the mass of symbol v.
func (g gauss) probability(v float64) float64 {
	hi, lo := (v+0.5-g.mean)/g.sigma, (v-0.5-g.mean)/g.sigma
	return max(kernels.Phi(hi)-kernels.Phi(lo), 0)
}

// smoothing is how many observations the fitted Gaussian counts for beside the
// counted symbols. It only matters to what was seen a few times or never.
const smoothing = 8

// fitHyperPrior makes tables of histograms. Where nothing was counted, and
// everywhere if priors is nil, the Gaussian prior of training stands in.
func fitHyperPrior(a *Arch, priors *Priors, mean, logSigma []float32) (*hyperPrior, error) {
	if priors != nil {
		if len(priors.Hyper) != a.Anchors {
			return nil, fmt.Errorf("codec: priors: %d anchors, want %d", len(priors.Hyper), a.Anchors)
		}
		if n := len(priors.Scale); n != 0 && n != ScaleLevels {
			return nil, fmt.Errorf("codec: priors: %d scale levels, want %d", n, ScaleLevels)
		}
		for i, c := range priors.Hyper {
			if len(c) != a.Z {
				return nil, fmt.Errorf("codec: priors: %d channels at anchor %d, want %d", len(c), i, a.Z)
			}
		}
	}
	limit := make([]int32, a.Z)
	for k := range limit {
		limit[k] = HyperLimit
		if priors != nil {
			limit[k] = priors.reach(k)
		}
	}
	freq := make([][][]uint16, a.Anchors)
	for i := range freq {
		freq[i] = make([][]uint16, a.Z)
		for k := range freq[i] {
			at := i*a.Z + k
			g := gauss{float64(mean[at]), kernels.Exp64(min(max(float64(logSigma[at]), -10), 10))}
			if !(math.Abs(g.mean) <= HyperLimit) || !(g.sigma > 0) {
				return nil, fmt.Errorf("codec: prior of channel %d at anchor %d: mean %g, sigma %g", k, i, g.mean, g.sigma)
			}
			g.sigma = max(g.sigma, minHyperSigma)
			var counts *HyperCounts
			if priors != nil {
				counts = &priors.Hyper[i][k]
				if fitted, total := counts.fit(); total > 0 {
					g = fitted
				}
			}
			freq[i][k] = hyperFreq(g, counts, limit[k])
		}
	}
	return newHyperPrior(limit, freq)
}

// reach returns the limit of channel k: a quarter and two symbols more than was
// ever counted. A channel that was always 0 is switched off.
func (p *Priors) reach(k int) int32 {
	var far, total int
	for a := range p.Hyper {
		for i, n := range p.Hyper[a][k] {
			if n > 0 {
				far = max(far, i-HyperLimit, HyperLimit-i)
				total++
			}
		}
	}
	switch {
	case total == 0:
		return HyperLimit
	case far == 0:
		return 0
	}
	return int32(min(far+far/4+2, HyperLimit))
}

// hyperFreq quantises counts smoothed by g to a table over -limit..limit.
func hyperFreq(g gauss, counts *HyperCounts, limit int32) []uint16 {
	p := make([]float64, 2*limit+2)
	for i := range p[:2*limit+1] {
		v := i - int(limit)
		p[i] = float64(smoothing * g.probability(float64(v)))
		if counts != nil {
			p[i] += float64(counts[v+HyperLimit])
		}
	}
	return format.BuildFreq(p)
}

// spread returns the root mean square of zf = zi·G/256 by channel over all
// anchors, as the tables have it.
func (p *hyperPrior) spread(step []int32) []float64 {
	out := make([]float64, len(p.limit))
	for a := range p.freq {
		for k, f := range p.freq[a] {
			g := float64(step[a*len(p.limit)+k]) / (1 << stepBits)
			second := 0.0
			for i, n := range f[:len(f)-1] {
				v := float64(i-int(p.limit[k])) * g
				second += float64(v * v * float64(n) * tableUnit)
			}
			out[k] += second / float64(len(p.freq))
		}
	}
	for k := range out {
		out[k] = math.Sqrt(out[k])
	}
	return out
}

// moments returns the mean and the log of the standard deviation of table
// (anchor, k), to continue training from.
func (p *hyperPrior) moments(anchor, k int) (mean, logSigma float64) {
	var counts HyperCounts
	f := p.freq[anchor][k]
	for i, n := range f[:len(f)-1] {
		counts[i-int(p.limit[k])+HyperLimit] = uint32(n)
	}
	g, _ := counts.fit()
	return g.mean, kernels.Log64(g.sigma)
}

// scaleTails is how far the tables of the scales reach: symbols that are less
// likely than one unit of a 16-bit probability are left to the escape.
const scaleTails = 4.17

// scaleFreq returns the probability tables of the 64 scales: symbols
// -reach[s]..reach[s], then the escape. They are made once, when a model is,
// and stored in it: decoding never evaluates a distribution.
//
// A level stands for many true scales, as the hyper-latent can only tell so
// much, so what is coded with it has more zeros and longer tails than the
// Gaussian that training assumes: tables of counted symbols save 1.6 to 2.7 %
// of the latent's rate (valid_cid22, quality 5 to 85). Where little was counted,
// and everywhere if priors is nil, the Gaussian stands in.
func scaleFreq(priors *Priors) (reach []int32, freq [][]uint16) {
	reach, freq = make([]int32, ScaleLevels), make([][]uint16, ScaleLevels)
	var none ScaleCounts
	for s := range freq {
		counts := &none
		if priors != nil && len(priors.Scale) > 0 {
			counts = &priors.Scale[s]
		}
		reach[s], freq[s] = counts.table(gauss{0, sigma(s)})
	}
	return reach, freq
}

// table makes a table of the counts and of some observations of g beside them:
// as many as there are symbols in the table, because where that many were not
// counted, counts are mostly chance.
func (n *ScaleCounts) table(g gauss) (reach int32, freq []uint16) {
	r := int(scaleTails*g.sigma) + 1
	var total float64
	for _, v := range n {
		total += float64(v)
	}
	// Long tails want a longer table, as far as an escape every 2^15 symbols.
	for beyond, k := 0., len(n)-1; k > r; k-- {
		if beyond += float64(n[k]); beyond*(1<<15) > total {
			r = min(k, 4*r)
			break
		}
	}
	p := make([]float64, 2*r+2)
	weight := float64(smoothing * len(p))
	inside, counted := 0., 0.
	for k := range r + 1 {
		q := g.probability(-float64(k)) // lower tail: no cancellation
		v := float64(n[k])
		if k > 0 {
			v /= 2
		}
		for _, at := range []int{r - k, r + k} {
			p[at] = float64(weight*q) + v
		}
		inside += q
		if k > 0 {
			inside += q
		}
		counted += float64(n[k])
	}
	p[2*r+1] = float64(weight*max(1-inside, 0)) + (total - counted)
	return int32(r), format.BuildFreq(p)
}

// newScaleTables prepares the tables of the 64 scales for coding.
func newScaleTables(reach []int32, freq [][]uint16) (*format.TableSet, error) {
	tables := make([]*format.Table, len(freq))
	for s, f := range freq {
		t, err := format.NewTable(-reach[s], f)
		if err != nil {
			return nil, fmt.Errorf("codec: table of scale %d: %w", s, err)
		}
		tables[s] = t
	}
	set, err := format.NewTableSet(tables)
	if err != nil {
		return nil, fmt.Errorf("codec: tables of the scales: %w", err)
	}
	return set, nil
}
