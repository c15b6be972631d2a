package codec

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"math"
	"slices"

	"github.com/aecodec/aecodec/kernels"
)

// Targets. The quality is a monotonic handle on size and error, apart from
// ripples that the rounding of symbols causes, so a target is met by looking for
// a root: by secants, inside a bracket that shrinks at every step.

type targetKind int

const (
	noTarget targetKind = iota
	sizeTarget
	bppTarget
	psnrTarget
)

// target is what is to be met instead of a quality.
type target struct {
	kind  targetKind
	value float64 // bytes, bits per pixel or dB
}

const (
	// sizeSlack and psnrSlack are how far on the safe side of the target a
	// result may be, relative and in dB.
	sizeSlack = 0.02
	psnrSlack = 0.1
)

// TargetError is a target beyond what the lowest or the highest quality gives.
type TargetError struct {
	What    string  // "size", "bits per pixel" or "PSNR"
	Target  float64 // in bytes, bits per pixel or dB
	Reached float64 // the nearest possible, in the same unit
	Quality float64 // that gives it: MinQuality or MaxQuality
}

func (e *TargetError) Error() string {
	unit := map[string]string{"size": "%.0f bytes", "bits per pixel": "%.4g", "PSNR": "%.2f dB"}[e.What]
	return fmt.Sprintf("codec: target %s: "+unit+": out of reach, quality %g gives "+unit, e.What, e.Target, e.Quality, e.Reached)
}

// parseTarget checks the targets of o.
func parseTarget(o *Options) (target, error) {
	t, n := target{}, 0
	for _, c := range []target{
		{sizeTarget, float64(o.TargetSize)}, {bppTarget, o.TargetBPP}, {psnrTarget, o.TargetPSNR},
	} {
		if c.value == 0 {
			continue
		}
		if !(c.value > 0) || math.IsInf(c.value, 1) {
			return target{}, fmt.Errorf("codec: target %s: %g, want a positive number", c.kind, c.value)
		}
		t = c
		n++
	}
	switch {
	case n > 1:
		return target{}, errors.New("codec: target: more than one given")
	case n == 1 && o.Quality != 0:
		return target{}, fmt.Errorf("codec: target %s: quality %g given as well", t.kind, o.Quality)
	}
	return t, nil
}

func (k targetKind) String() string {
	return [...]string{"", "size", "bits per pixel", "PSNR"}[k]
}

// search finds the quality that meets the target.
//
// Efforts that refine take many times as long as those that do not and change
// size and error by a few per cent. So the quality is first looked for without,
// and the search proper, two or three codings, starts from there.
func (j *job) search() (*coded, error) {
	g := goal{target: j.target, start: DefaultQuality * qualityScale, slope: 0.03 / qualityScale}
	if j.target.kind == psnrTarget {
		g.slope = 0.16 / qualityScale
	}
	trial := func(effort int) func(q quality) (*coded, float64, error) {
		return func(q quality) (*coded, float64, error) {
			c, err := j.code(q, effort, j.target.kind == psnrTarget)
			if err != nil {
				return nil, 0, err
			}
			v, err := j.measure(c)
			return c, v, err
		}
	}
	if refineRounds[j.effort] > 0 {
		c, err := g.search(trial(defaultEffort))
		var far *TargetError
		switch {
		case errors.As(err, &far):
			g.start = quality(far.Quality * qualityScale)
		case err != nil:
			return nil, err
		default:
			g.start = c.quality
		}
	}
	c, err := g.search(trial(j.effort))
	if err != nil || j.target.kind == psnrTarget {
		return c, err
	}
	return j.fill(c, &g)
}

// fill makes use of what a size leaves. Where a tile changes its kind from one
// quality to the next the size jumps, and the target may lie in between. There are
// two ways to get there: to keep the kinds as they are and raise the quality all the
// same, or to code what changes by the block transform, whose steps do not depend on
// the quality. Of what meets the target the one with the smallest error is taken, and if
// nothing does, of what is smaller.
func (j *job) fill(c *coded, g *goal) (*coded, error) {
	value, err := j.measure(c)
	if err != nil {
		return nil, err
	}
	if d, least, _ := g.distance(value); d >= least || c.next == nil {
		return c, nil
	}
	kept, err := j.keepKinds(c, *g)
	if err != nil {
		return nil, err
	}
	finer, err := j.finerSteps(c, g)
	if err != nil {
		return nil, err
	}
	best, met, smallest := c, false, int64(math.MaxInt64)
	for _, c := range []*coded{c, kept, finer} {
		if c == nil {
			continue
		}
		value, err := j.measure(c)
		if err != nil {
			return nil, err
		}
		sse, err := j.decodedError(c)
		if err != nil {
			return nil, err
		}
		d, least, _ := g.distance(value)
		if meets := d >= least; meets && !met || meets == met && sse < smallest {
			best, met, smallest = c, meets, sse
		}
	}
	return best, nil
}

// keepKinds searches for the target with the kinds of the tiles of c. It returns
// nil if it is not met.
func (j *job) keepKinds(c *coded, g goal) (*coded, error) {
	frozen := *j
	frozen.kinds = make([]byte, len(c.tiles))
	for i, t := range c.tiles {
		frozen.kinds[i] = t[0]
	}
	g.start = c.quality
	kept, err := g.search(func(q quality) (*coded, float64, error) {
		c, err := frozen.code(q, j.effort, false)
		if err != nil {
			return nil, 0, err
		}
		v, err := j.measure(c)
		return c, v, err
	})
	var far *TargetError
	if errors.As(err, &far) {
		return nil, nil
	}
	return kept, err
}

// finerSteps codes those tiles of c by the block transform that are already, or that
// change their kind at the next quality, with the finest step that meets the target.
// It returns nil if none does.
func (j *job) finerSteps(c *coded, g *goal) (*coded, error) {
	grid := tileGrid(j.raster.latentSize())
	var open []int
	for i := range grid {
		if c.tiles[i][0] == tileTransform || c.next.tiles[i][0] != c.tiles[i][0] {
			open = append(open, i)
		}
	}
	if len(open) == 0 {
		return nil, nil
	}
	// try codes them, and returns nil if that is too large.
	try := func(step, round int) (*coded, error) {
		finer := &coded{quality: c.quality, tiles: slices.Clone(c.tiles)}
		for _, i := range open {
			pix, w, h := j.raster.packed(grid[i])
			finer.tiles[i] = encodeTransform([]byte{tileTransform}, pix, w, h, int(j.raster.channels()), step, round)
		}
		value, err := j.measure(finer)
		if err != nil {
			return nil, err
		}
		if d, _, most := g.distance(value); d > most {
			return nil, nil
		}
		return finer, nil
	}
	var best *coded
	step := maxStepIndex + 1
	for lo := 0; lo < step; {
		middle := (lo + step) / 2
		finer, err := try(middle, roundUsual)
		switch {
		case err != nil:
			return nil, err
		case finer != nil:
			best, step = finer, middle
		default:
			lo = middle + 1
		}
	}
	// Steps can be more than 2 % apart: what is left goes into rounding.
	for lo, hi := roundUsual+1, roundNearest+1; best != nil && lo < hi; {
		middle := (lo + hi) / 2
		finer, err := try(step, middle)
		switch {
		case err != nil:
			return nil, err
		case finer != nil:
			best, lo = finer, middle+1
		default:
			hi = middle
		}
	}
	return best, nil
}

// decodedError is the squared error of the bytes that a decoder makes of a coding.
func (j *job) decodedError(c *coded) (int64, error) {
	var file bytes.Buffer
	if err := j.write(&file, c); err != nil {
		return 0, err
	}
	read, err := NewDecoder(nil).read(&file)
	if err != nil {
		return 0, err
	}
	whole := image.Rect(0, 0, j.raster.w, j.raster.h)
	out, err := j.model.decodeColour(read, whole, j.threads)
	if err != nil {
		return 0, err
	}
	return out.squaredError(j.raster, whole), nil
}

// countingWriter counts what is written to it.
type countingWriter int64

func (w *countingWriter) Write(p []byte) (int, error) {
	*w += countingWriter(len(p))
	return len(p), nil
}

// measure returns what the target is compared with.
func (j *job) measure(c *coded) (float64, error) {
	pixels := float64(j.raster.w) * float64(j.raster.h)
	if j.target.kind == psnrTarget {
		samples := pixels * float64(j.raster.channels())
		// Not by package math: the quality found must be the same everywhere.
		return float64(10 / math.Ln10 * kernels.Log64(255*255*samples/max(float64(c.sse), 0.5))), nil
	}
	var size countingWriter
	if err := j.write(&size, c); err != nil {
		return 0, err
	}
	if j.target.kind == bppTarget {
		return 8 * float64(size) / pixels, nil
	}
	return float64(size), nil
}

// goal is a search for a target.
type goal struct {
	target
	start quality // first guess
	slope float64 // typical growth of distance for a step of the quality, in photographs
}

// distance tells how far a value is above the target, on a scale that is roughly
// linear in the quality, and the range of distances that meet the target.
func (g *goal) distance(v float64) (d, least, most float64) {
	if g.kind == psnrTarget {
		return v - g.value, 0, psnrSlack
	}
	return kernels.Log64(v / g.value), kernels.Log64(1 - sizeSlack), 0
}

// search calls trial, which codes at a quality and measures, until the target is
// met, and returns that coding. Where the steps of the quality are too coarse,
// it returns the closest one on the safe side: not too large, or not too bad.
func (g *goal) search(trial func(q quality) (*coded, float64, error)) (*coded, error) {
	const first, last = MinQuality * qualityScale, MaxQuality * qualityScale
	b := bracket{lo: point{q: first - 1}, hi: point{q: last + 1}, slope: g.slope}
	var safe, over *coded // the closest on either side
	for q := g.start; ; {
		c, value, err := trial(q)
		if err != nil {
			return nil, err
		}
		d, least, most := g.distance(value)
		switch {
		case d >= least && d <= most:
			return c, nil
		case q == last && d < least && c.lossless || q == first && d > most && most > 0:
			return c, nil // there is nothing to gain
		case d < least && q == last, d > most && q == first:
			return nil, &TargetError{What: g.kind.String(), Target: g.value, Reached: value, Quality: float64(q) / qualityScale}
		case d < least:
			b.lo = point{q, d}
			if most == 0 { // less than the target is safe
				safe = c
			}
		default:
			b.hi = point{q, d}
			if most > 0 {
				safe = c
			} else {
				over = c
			}
		}
		if b.hi.q-b.lo.q == 1 {
			safe.next = over
			return safe, nil
		}
		q = min(max(b.next((least+most)/2), first), last)
	}
}

// bracket holds the closest trials below and above a target. The ends that have
// not been tried lie one step outside of the qualities.
type bracket struct {
	lo, hi point
	slope  float64
	width  [2]quality // of the bracket, one and two trials ago
}

type point struct {
	q quality
	d float64 // distance; 0 where not tried, as no trial that goes on has that
}

// next returns the quality, inside the bracket, where aim is expected. A bracket
// that has not halved in two trials is halved.
func (b *bracket) next(aim float64) quality {
	width := b.hi.q - b.lo.q
	slow := b.width[1] != 0 && width > b.width[1]/2
	b.width = [2]quality{width, b.width[0]}
	var q float64
	switch {
	case slow:
		return b.lo.q + width/2
	case b.lo.d != 0 && b.hi.d != 0:
		q = float64(b.lo.q) + float64(width)*(aim-b.lo.d)/(b.hi.d-b.lo.d)
	case b.lo.d != 0:
		q = float64(b.lo.q) + (aim-b.lo.d)/b.slope
	default:
		q = float64(b.hi.q) + (aim-b.hi.d)/b.slope
	}
	return quality(min(max(math.Round(q), float64(b.lo.q+1)), float64(b.hi.q-1)))
}
