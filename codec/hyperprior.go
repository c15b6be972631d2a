package codec

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/aecodec/aecodec/format"
	"github.com/aecodec/aecodec/kernels"
)

// The symbols of the hyper-latent are coded with tables that are counted, one set
// for each anchor rate. Within a channel the table depends on the context: the sum of
// the symbols to the left and above, which are known by then. There are fewer tables
// than contexts: where neighbouring ones hardly differ they share one.
//
// With a table for each context, counted on 100 training crops, the hyper-latent of
// 12 crops of valid_cid22 took 10.5, 8.5, 6.6, 4.6 % fewer bytes at quality 5, 15, 35,
// 60 than with one for each channel: 1.4, 0.9, 0.4, 0.2 % of the files.

const (
	// HyperLimit is the largest magnitude of a hyper-latent symbol.
	HyperLimit = hyperLimit
	// HyperContexts is the number of contexts that are counted: the sum of two
	// neighbours from -6 to 6, larger ones clamped.
	HyperContexts = 2*6 + 1
)

// hyperContext is the context, of n, of a symbol next to those.
func hyperContext(left, up int32, n int) int {
	half := int32(n / 2)
	return int(min(max(left+up, -half), half) + half)
}

// HyperCounts is a histogram of one hyper-latent channel; the count of symbol
// zi is at index zi+HyperLimit.
type HyperCounts [2*HyperLimit + 1]uint32

// AddHyper counts the symbols of z [h, width, Z], coded at an anchor. Symbols
// beyond HyperLimit count as HyperLimit.
func (p *Priors) AddHyper(anchor int, z []int32, width int) {
	counts := p.Hyper[anchor]
	n := len(counts)
	for i, v := range z {
		left, up := int32(0), int32(0)
		if i/n%width > 0 {
			left = z[i-n]
		}
		if i >= n*width {
			up = z[i-n*width]
		}
		counts[i%n][hyperContext(left, up, HyperContexts)][min(max(v, -HyperLimit), HyperLimit)+HyperLimit]++
	}
}

// hyperPrior holds these tables. table[k·contexts+c] codes channel k in context c.
type hyperPrior struct {
	limit    []int32 // [Z] largest magnitude; channels of limit 0 are not coded
	contexts int
	table    []uint8 // [Z·contexts] format.Skip where nothing is coded
	channel  []int   // of each table, all of whose symbols are within its limit
	coded    int     // channels that are

	freq [][][]uint16                       // [A][table] of -limit..limit and the escape, which is never used
	sets []func() (*format.TableSet, error) // by anchor, prepared on first use
	bits []func() [][]float32               // by anchor and table, prepared for the first encoder
}

// newHyperPrior checks that each table belongs to one channel, and cuts freq, which
// holds those of all anchors one after the other.
func newHyperPrior(limit []int32, contexts int, table []int16, freq []uint16, anchors int) (*hyperPrior, error) {
	p := &hyperPrior{limit: limit, contexts: contexts, table: make([]uint8, len(table))}
	for i, t := range table {
		k := i / contexts
		p.table[i] = format.Skip
		switch {
		case limit[k] == 0:
			continue
		case i%contexts == 0:
			p.coded++
		}
		switch n := len(p.channel); {
		case t < 0 || int(t) > n || t == format.Skip:
			return nil, fmt.Errorf("codec: hyper-latent: table %d follows on table %d", t, n-1)
		case int(t) == n:
			p.channel = append(p.channel, k)
		case p.channel[t] != k:
			return nil, fmt.Errorf("codec: hyper-latent: table %d for channels %d and %d", t, p.channel[t], k)
		}
		p.table[i] = uint8(t)
	}
	reach := make([]int32, len(p.channel))
	for t, k := range p.channel {
		reach[t] = limit[k]
	}
	for range anchors {
		byTable, rest, err := cutFreq(freq, reach)
		if err != nil {
			return nil, fmt.Errorf("codec: hyper-latent tables: %w", err)
		}
		tables := make([]*format.Table, len(reach))
		for i, f := range byTable {
			if tables[i], err = format.NewTable(-reach[i], f); err != nil {
				return nil, fmt.Errorf("codec: hyper-latent table %d: %w", i, err)
			}
		}
		if len(tables) == 0 { // a set has at least one
			tables = append(tables, flatTable)
		}
		freq = rest
		p.freq = append(p.freq, byTable)
		p.sets = append(p.sets, sync.OnceValues(func() (*format.TableSet, error) { return format.NewTableSet(tables) }))
		p.bits = append(p.bits, sync.OnceValue(func() [][]float32 { return hyperBits(byTable) }))
	}
	if len(freq) > 0 {
		return nil, errors.New("codec: hyper-latent tables: too long")
	}
	return p, nil
}

// flatTable stands in where no channel is coded.
var flatTable = func() *format.Table {
	t, err := format.NewTable(0, []uint16{1 << 15, 1 << 15})
	if err != nil {
		panic(err)
	}
	return t
}()

// position writes the tables for the symbols of one position [Z], given those to the
// left and above, which are nil at the edge.
func (p *hyperPrior) position(dst []uint8, left, up []int32) {
	for k := range dst {
		l, u := int32(0), int32(0)
		if left != nil {
			l = left[k]
		}
		if up != nil {
			u = up[k]
		}
		dst[k] = p.table[k*p.contexts+hyperContext(l, u, p.contexts)]
	}
}

// neighbours returns the symbols at x, to the left and above; up is the row of y-1,
// nil for the first one.
func (p *hyperPrior) neighbours(row, up []int32, x int) (here, left, above []int32) {
	n := len(p.limit)
	if x > 0 {
		left = row[(x-1)*n:][:n]
	}
	if up != nil {
		above = up[x*n:][:n]
	}
	return row[x*n:][:n], left, above
}

// indices writes the table of each symbol of z [h, width, Z].
func (p *hyperPrior) indices(dst []uint8, z []int32, width int) {
	row := width * len(p.limit)
	var up []int32
	for y := 0; y < len(z); y += row {
		for x := range width {
			_, left, above := p.neighbours(z[y:][:row], up, x)
			p.position(dst[y+x*len(p.limit):][:len(p.limit)], left, above)
		}
		up = z[y:][:row]
	}
}

// decode decodes z [h, width, Z].
func (p *hyperPrior) decode(data []byte, tables *format.TableSet, z []int32, width int, index []uint8) error {
	n := len(p.limit)
	d, err := format.NewSymbolDecoder(data, tables, len(z)/n*p.coded)
	if err != nil {
		return err
	}
	index = index[:n]
	var up []int32
	for ; len(z) > 0; z = z[width*n:] {
		row := z[:width*n]
		for x := range width {
			here, left, above := p.neighbours(row, up, x)
			p.position(index, left, above)
			if err := d.Next(index, here); err != nil {
				return err
			}
			for k, v := range here {
				if l := p.limit[k]; v < -l || v > l {
					return corrupt("tile", "hyper-latent symbol %d beyond %d", v, l)
				}
			}
		}
		up = row
	}
	return d.Close()
}

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

// add adds the counts of other histograms.
func (h *HyperCounts) add(others []HyperCounts) {
	for i := range others {
		for v, n := range others[i] {
			h[v] += n
		}
	}
}

// smoothing is how many observations the fitted Gaussian counts for beside the
// counted symbols. It only matters to what was seen a few times or never.
const smoothing = 8

// fittedPrior is what fitHyperPrior makes, as it is stored.
type fittedPrior struct {
	limit    []int32
	contexts int
	table    []int16      // [Z, contexts] -1 where nothing is coded
	freq     []uint16     // see newHyperPrior
	marginal [][][]uint16 // [A][Z] tables over all contexts
}

// fitHyperPrior makes tables of histograms. Where nothing was counted, and
// everywhere if priors is nil, the Gaussian prior of training stands in.
func fitHyperPrior(a *Arch, priors *Priors, mean, logSigma []float32) (*fittedPrior, error) {
	f := &fittedPrior{limit: make([]int32, a.Z), contexts: 1}
	if priors != nil {
		if err := priors.check(a); err != nil {
			return nil, err
		}
		f.contexts = HyperContexts
	}
	for k := range f.limit {
		f.limit[k] = HyperLimit
		if priors != nil {
			f.limit[k] = priors.reach(k)
		}
	}
	// fallback is the Gaussian of training.
	fallback := func(anchor, k int) (gauss, error) {
		at := anchor*a.Z + k
		g := gauss{float64(mean[at]), kernels.Exp64(min(max(float64(logSigma[at]), -10), 10))}
		if !(math.Abs(g.mean) <= HyperLimit) || !(g.sigma > 0) {
			return g, fmt.Errorf("codec: prior of channel %d at anchor %d: mean %g, sigma %g", k, anchor, g.mean, g.sigma)
		}
		g.sigma = max(g.sigma, minHyperSigma)
		return g, nil
	}
	groups := priors.groups(f.limit)
	f.table = make([]int16, a.Z*f.contexts)
	for k := range f.limit {
		for c := range f.contexts {
			f.table[k*f.contexts+c] = -1
		}
	}
	for t, g := range groups {
		for c := g.from; c < g.to; c++ {
			f.table[g.channel*f.contexts+c] = int16(t)
		}
	}
	for anchor := range a.Anchors {
		f.marginal = append(f.marginal, make([][]uint16, a.Z))
		for k := range f.limit {
			g, err := fallback(anchor, k)
			if err != nil {
				return nil, err
			}
			f.marginal[anchor][k] = priors.freq(anchor, hyperGroup{channel: k, to: f.contexts}, g, f.limit[k])
		}
		for _, group := range groups {
			g, err := fallback(anchor, group.channel)
			if err != nil {
				return nil, err
			}
			f.freq = append(f.freq, priors.freq(anchor, group, g, f.limit[group.channel])...)
		}
	}
	return f, nil
}

// check reports histograms of another shape.
func (p *Priors) check(a *Arch) error {
	if len(p.Hyper) != a.Anchors {
		return fmt.Errorf("codec: priors: %d anchors, want %d", len(p.Hyper), a.Anchors)
	}
	if n := len(p.Scale); n != 0 && n != ScaleLevels {
		return fmt.Errorf("codec: priors: %d scale levels, want %d", n, ScaleLevels)
	}
	for i, channels := range p.Hyper {
		if len(channels) != a.Z {
			return fmt.Errorf("codec: priors: %d channels at anchor %d, want %d", len(channels), i, a.Z)
		}
		for k, contexts := range channels {
			if len(contexts) != HyperContexts {
				return fmt.Errorf("codec: priors: %d contexts of channel %d, want %d", len(contexts), k, HyperContexts)
			}
		}
	}
	return nil
}

// freq returns the table of the contexts of a group. Without counts it is g's.
func (p *Priors) freq(anchor int, group hyperGroup, g gauss, limit int32) []uint16 {
	var counts HyperCounts
	if p != nil {
		counts.add(p.Hyper[anchor][group.channel][group.from:group.to])
		if fitted, total := counts.fit(); total > 0 {
			g = fitted
		}
	}
	return hyperFreq(g, &counts, limit)
}

// reach returns the limit of channel k: a quarter and two symbols more than was
// ever counted. A channel that was always 0 is switched off.
func (p *Priors) reach(k int) int32 {
	var far, total int
	for a := range p.Hyper {
		var all HyperCounts
		all.add(p.Hyper[a][k])
		for i, n := range all {
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
		p[i] = float64(smoothing*g.probability(float64(v))) + float64(counts[v+HyperLimit])
	}
	return format.BuildFreq(p)
}

// hyperGroup is a run of contexts of a channel that share a table.
type hyperGroup struct {
	channel, from, to int

	at   int     // where to split it, 0 for nowhere
	gain float64 // the bits that this saves
}

// leastGain is what a further table has to save for each anchor, of the bits that
// were counted: less may be chance.
const leastGain = 64

// groups decides which contexts share a table: a channel's contexts are split where it
// saves most, over all channels, as long as there are tables left. Channels are in
// order, and the groups of a channel, too.
func (p *Priors) groups(limit []int32) []hyperGroup {
	var all []hyperGroup
	for k, l := range limit {
		switch {
		case l == 0:
		case p == nil:
			all = append(all, hyperGroup{channel: k, to: 1})
		default:
			all = append(all, p.bestSplit(hyperGroup{channel: k, to: HyperContexts}))
		}
	}
	for len(all) < format.Skip {
		best := 0
		for i := range all {
			if all[i].gain > all[best].gain {
				best = i
			}
		}
		if len(all) == 0 || all[best].at == 0 {
			break
		}
		g := all[best]
		all = append(all[:best+1], all[best:]...)
		all[best] = p.bestSplit(hyperGroup{channel: g.channel, from: g.from, to: g.at})
		all[best+1] = p.bestSplit(hyperGroup{channel: g.channel, from: g.at, to: g.to})
	}
	return all
}

// bestSplit fills in at and gain.
func (p *Priors) bestSplit(g hyperGroup) hyperGroup {
	whole := p.cost(g.channel, g.from, g.to)
	g.gain = float64(leastGain * len(p.Hyper))
	for at := g.from + 1; at < g.to; at++ {
		if gain := whole - p.cost(g.channel, g.from, at) - p.cost(g.channel, at, g.to); gain > g.gain {
			g.at, g.gain = at, gain
		}
	}
	if g.at == 0 {
		g.gain = 0
	}
	return g
}

// cost returns the bits of what was counted in a run of contexts, with a table of its own.
func (p *Priors) cost(channel, from, to int) (bits float64) {
	for a := range p.Hyper {
		var counts HyperCounts
		counts.add(p.Hyper[a][channel][from:to])
		g, total := counts.fit()
		for i, n := range counts {
			if n > 0 {
				q := (float64(n) + float64(smoothing*g.probability(float64(i-HyperLimit)))) / (total + smoothing)
				bits -= float64(float64(n) * float64(kernels.Log64(q)*(1/math.Ln2)))
			}
		}
	}
	return bits
}

// spread returns the root mean square of zf = zi·G/256 by channel over all
// anchors, as the tables have it.
func (f *fittedPrior) spread(step []int32) []float64 {
	out := make([]float64, len(f.limit))
	for a := range f.marginal {
		for k, freq := range f.marginal[a] {
			g := float64(step[a*len(f.limit)+k]) / (1 << stepBits)
			second := 0.0
			for i, n := range freq[:len(freq)-1] {
				v := float64(i-int(f.limit[k])) * g
				second += float64(v * v * float64(n) * tableUnit)
			}
			out[k] += second / float64(len(f.marginal))
		}
	}
	for k := range out {
		out[k] = math.Sqrt(out[k])
	}
	return out
}

// momentRounds is how often moments passes from neighbours to symbols: the
// correlation of neighbours is far from 1, and what is left is its power.
const momentRounds = 6

// moments returns the mean and the log of the standard deviation of the symbols of
// channel k at an anchor, to continue training from: those that come about, by the
// tables, next to neighbours that are like them and independent.
func (p *hyperPrior) moments(anchor, k int) (mean, logSigma float64) {
	limit := int(p.limit[k])
	if limit == 0 {
		return 0, kernels.Log64(minHyperSigma)
	}
	now := make([]float64, 2*limit+1)
	now[limit] = 1
	for range momentRounds {
		share := make([]float64, p.contexts)
		for l, pl := range now {
			for u, pu := range now {
				share[hyperContext(int32(l-limit), int32(u-limit), p.contexts)] += float64(pl * pu)
			}
		}
		next := make([]float64, len(now))
		for c, w := range share {
			for i := range next {
				n := p.freq[anchor][p.table[k*p.contexts+c]][i]
				next[i] += float64(w * float64(float64(n)*tableUnit))
			}
		}
		now = next
		if p.contexts == 1 {
			break
		}
	}
	var total, sum, squares float64
	for i, w := range now {
		v := float64(i - limit)
		total += w
		sum += float64(v * w)
		squares += float64(v * v * w)
	}
	mean = sum / total
	variance := squares/total - float64(mean*mean)
	return mean, kernels.Log64(math.Sqrt(max(variance, minHyperSigma*minHyperSigma)))
}
