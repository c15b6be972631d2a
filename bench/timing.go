package bench

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aecodec/aecodec/kernels"
)

// Spread sums up what was measured in all rounds.
type Spread struct {
	Median float64 `json:"median"`
	Best   float64 `json:"best"` // the largest of rates, the smallest of times
}

func rateSpread(v []float64) Spread {
	if len(v) == 0 {
		return Spread{}
	}
	return Spread{median(v), slices.Max(v)}
}

func timeSpread(v []float64) Spread {
	if len(v) == 0 {
		return Spread{}
	}
	return Spread{median(v), slices.Min(v)}
}

// Peaks are the limits of one core with the vectors of one backend, measured in
// the same run as what is compared with them.
type Peaks struct {
	Backend string      `json:"backend"`
	FMA     Spread      `json:"fma_gflops"`                // float32 multiply-adds on registers
	Dot     Spread      `json:"dot_gops"`                  // integer dot products on registers
	DotWith string      `json:"dot_instruction,omitempty"` // that Dot runs
	Load    []LoadLevel `json:"load"`                      // by size, smallest first
}

// LoadLevel is the speed of reading a buffer in order, again and again: that of
// the nearest memory that holds it.
type LoadLevel struct {
	Bytes int    `json:"bytes"`
	Speed Spread `json:"gb_per_second"`
}

// loadSizes fit the caches of a present-day core: first level, second level where
// it is small or large, its share of the third, and none.
var loadSizes = []int{16 << 10, 256 << 10, 1 << 20, 8 << 20, 256 << 20}

// bytesPerSecond returns the speed of the memory that n bytes fit into; 0 if it
// is not known.
func (p *Peaks) bytesPerSecond(n float64, of func(Spread) float64) float64 {
	for i, l := range p.Load {
		if n <= float64(l.Bytes) || i == len(p.Load)-1 {
			return 1e9 * of(l.Speed)
		}
	}
	return 0
}

// bound returns the least seconds that work could take where multiply-adds go
// at the given rate, in operations a second, and whether it is the arithmetic
// that takes them; 0 if the limits are not known. Writing is not counted: caches
// do it beside reading.
func (p *Peaks) bound(w *work, fma float64, of func(Spread) float64) (seconds float64, arithmetic bool) {
	bandwidth, dot := p.bytesPerSecond(w.bytes, of), 1e9*of(p.Dot)
	if bandwidth == 0 || w.flops > 0 && fma == 0 || w.dots > 0 && dot == 0 {
		return 0, w.flops+w.dots > 0
	}
	compute, memory := 0.0, w.read/bandwidth
	if w.flops > 0 {
		compute += w.flops / fma
	}
	if w.dots > 0 {
		compute += w.dots / dot
	}
	return max(compute, memory), compute >= memory
}

// Timing is the outcome of one piece of work with one backend, on one thread.
//
// Bound says what limits it at best: "arithmetic" where the floating-point
// operations would take the core longer than reading the operands once would take
// the memory that all of the work's data fits into, else "memory". Share is the
// share of that limit which the work reaches, 0 where the limit is not known:
// the median over the rounds, each with the peak of multiply-adds just before and
// after it, and the best time against the best peaks.
type Timing struct {
	Backend string  `json:"backend"`
	Seconds Spread  `json:"seconds"` // of one run
	GFLOPS  float64 `json:"gflops"`  // median; of integers, operations as well
	GBPS    float64 `json:"gb_per_second"`
	Bound   string  `json:"bound"`
	Share   Spread  `json:"share"`

	Peers []PeerTiming `json:"peers,omitempty"`
}

// work is something to be timed with one backend.
type work struct {
	backend     string
	flops, dots float64 // of one run: operations on floats, on integers
	read, bytes float64 // bytes of the operands, and with those of the results
	run         func() error
	request     string // to a peer that shall do the same work, if there is a way to say it

	repeats int
	seconds []float64 // by round
	fma     []float64 // peak by round, operations a second
	peers   []*comparison
}

// timing compares the times with the peaks of the backend.
func (w *work) timing(p *Peaks) Timing {
	t := Timing{Backend: w.backend, Seconds: timeSpread(w.seconds), Bound: "memory"}
	t.GFLOPS, t.GBPS = (w.flops+w.dots)/t.Seconds.Median/1e9, w.bytes/t.Seconds.Median/1e9
	middle := func(s Spread) float64 { return s.Median }
	shares := make([]float64, len(w.seconds))
	for i, s := range w.seconds {
		least, _ := p.bound(w, w.fma[i], middle)
		shares[i] = least / s
	}
	least, arithmetic := p.bound(w, 1e9*p.FMA.Best, func(s Spread) float64 { return s.Best })
	if arithmetic {
		t.Bound = "arithmetic"
	}
	t.Share = Spread{median(shares), least / t.Seconds.Best}
	for _, c := range w.peers {
		if !c.unable {
			t.Peers = append(t.Peers, c.timing(w.seconds))
		}
	}
	return t
}

// gauge measures the peaks of a backend, a little in every round.
type gauge struct {
	peaks    kernels.Peaks
	buffer   []float32
	fma, dot []float64
	load     [][]float64
}

// peakTime is how long each peak is measured at a time.
const peakTime = 200 * time.Microsecond

// rate returns units a second of one operation, repeated for d.
func rate(d time.Duration, op func() int) float64 {
	start, units := threadTime(), 0
	for {
		units += op()
		if spent := threadTime() - start; spent >= d || units == 0 {
			return float64(units) / max(spent.Seconds(), 1e-9)
		}
	}
}

// sampleFMA adds one figure for the peak of multiply-adds and returns it. It is
// taken around every piece of work, because the clock of a core follows its load.
func (g *gauge) sampleFMA() float64 {
	v := rate(peakTime, g.peaks.FMA)
	if v > 0 {
		g.fma = append(g.fma, v)
	}
	return v
}

// sample adds one figure for each of the other peaks.
func (g *gauge) sample() {
	if v := rate(peakTime, g.peaks.Dot); v > 0 {
		g.dot = append(g.dot, v)
	}
	for i, size := range loadSizes {
		x := g.buffer[:size/4]
		g.peaks.Load(x) // into the cache
		// Asking for the time takes as long as reading some kilobytes.
		turns := max(1, 1<<20/size)
		all := func() (bytes int) {
			for range turns {
				bytes += g.peaks.Load(x)
			}
			return bytes
		}
		if v := rate(peakTime, all); v > 0 {
			g.load[i] = append(g.load[i], v)
		}
	}
}

func (g *gauge) result(backend string) Peaks {
	giga := func(v []float64) Spread {
		s := rateSpread(v)
		return Spread{s.Median / 1e9, s.Best / 1e9}
	}
	p := Peaks{Backend: backend, FMA: giga(g.fma), Dot: giga(g.dot), DotWith: g.peaks.DotInstruction}
	for i, v := range g.load {
		if len(v) > 0 {
			p.Load = append(p.Load, LoadLevel{loadSizes[i], giga(v)})
		}
	}
	return p
}

// TimingOptions are what the suites on one thread have in common.
type TimingOptions struct {
	Backends []string      // of package kernels; nil means all that run here but generic
	Rounds   int           // timed runs of each piece of work; 0 means 7
	Time     time.Duration // least time of each; 0 means 3 ms
	Peers    []string      // programs that do the same work; see bench/peers/layers
	Only     string        // regular expression that "name work" has to match; "" matches all

	// Progress, if set, is called after every piece of work.
	Progress func(done, total int)
}

// selected keeps what Only matches.
func selected[T any](o *TimingOptions, all []T, text func(T) string) ([]T, error) {
	re, err := regexp.Compile(o.Only)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(v T) bool { return !re.MatchString(text(v)) })
	if len(all) == 0 {
		return nil, fmt.Errorf("nothing matches %q", o.Only)
	}
	return all, nil
}

// complete fills in the defaults and reports unusable values.
func (o TimingOptions) complete() (TimingOptions, error) {
	if len(o.Backends) == 0 {
		o.Backends = kernels.Available()
		if len(o.Backends) > 1 {
			o.Backends = o.Backends[1:] // the portable one is a specification, and takes minutes
		}
	}
	if o.Rounds == 0 {
		o.Rounds = 7
	}
	if o.Time == 0 {
		o.Time = 3 * time.Millisecond
	}
	if o.Rounds < 0 {
		return o, fmt.Errorf("%d rounds", o.Rounds)
	}
	if o.Time < 0 {
		return o, errors.New("negative time")
	}
	for _, b := range o.Backends {
		if !slices.Contains(kernels.Available(), b) {
			return o, fmt.Errorf("kernels %q cannot run here (available: %s)", b, strings.Join(kernels.Available(), ", "))
		}
	}
	return o, nil
}

// timeAll times every piece of work and the peaks of all backends. Everything
// takes turns in every round, so that a machine that slows down or speeds up
// meanwhile does so for all alike; round 0 warms up and finds out how often to
// repeat what is quick. The backend that was active is restored.
func timeAll(ctx context.Context, o *TimingOptions, list []*work) ([]Peaks, error) {
	defer lockClock()()
	defer kernels.Use(kernels.Active()) // it was in use, so it can be used
	gauges := map[string]*gauge{}
	for _, b := range o.Backends {
		if err := kernels.Use(b); err != nil {
			return nil, err
		}
		gauges[b] = &gauge{peaks: kernels.Peak(), load: make([][]float64, len(loadSizes))}
	}
	buffer := make([]float32, slices.Max(loadSizes)/4)
	for i := range buffer { // untouched memory may be one page of zeros, many times
		buffer[i] = 1
	}
	for _, g := range gauges {
		g.buffer = buffer
	}
	for _, command := range o.Peers {
		for _, b := range o.Backends {
			p, err := startPeer(ctx, command, b)
			if err != nil {
				return nil, err
			}
			defer p.close()
			for _, w := range list {
				if w.backend == b && w.request != "" {
					w.peers = append(w.peers, &comparison{peer: p})
				}
			}
		}
	}
	done, total := 0, len(list)*(o.Rounds+1)
	for round := range o.Rounds + 1 {
		for _, b := range o.Backends {
			if err := kernels.Use(b); err != nil {
				return nil, err
			}
			gauges[b].sample()
		}
		for _, w := range list {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := kernels.Use(w.backend); err != nil {
				return nil, err
			}
			g := gauges[w.backend]
			before := g.sampleFMA()
			if err := w.time(o.Time, round == 0); err != nil {
				return nil, err
			}
			if after := g.sampleFMA(); round > 0 {
				w.fma = append(w.fma, (before+after)/2)
			}
			for _, c := range w.peers {
				if err := c.time(w.request, o.Time, round == 0); err != nil {
					return nil, err
				}
			}
			if done++; o.Progress != nil {
				o.Progress(done, total)
			}
		}
	}
	var peaks []Peaks
	for _, b := range o.Backends {
		peaks = append(peaks, gauges[b].result(b))
	}
	return peaks, nil
}

// time runs the work for at least d.
func (w *work) time(d time.Duration, warmup bool) error {
	if warmup {
		if err := w.run(); err != nil {
			return err
		}
		for w.repeats = 1; ; w.repeats *= 2 {
			spent, err := w.repeat()
			if err != nil {
				return err
			}
			if spent >= d || w.repeats >= 1<<20 {
				return nil
			}
		}
	}
	spent, err := w.repeat()
	w.seconds = append(w.seconds, max(spent.Seconds(), 1e-9)/float64(w.repeats))
	return err
}

func (w *work) repeat() (time.Duration, error) {
	start := threadTime()
	for range w.repeats {
		if err := w.run(); err != nil {
			return 0, err
		}
	}
	return threadTime() - start, nil
}

// peaksOf finds the peaks of a backend.
func peaksOf(peaks []Peaks, backend string) *Peaks {
	i := slices.IndexFunc(peaks, func(p Peaks) bool { return p.Backend == backend })
	return &peaks[i]
}
