package codec

import (
	"fmt"
	"math"

	"github.com/aecodec/aecodec/kernels"
)

// Qualities are real numbers from MinQuality to MaxQuality; a file holds them
// in hundredths.
const (
	MinQuality     = 1
	MaxQuality     = 100
	DefaultQuality = 50

	qualityScale = 100
)

// The 64 scales of the Gaussian entropy model are log-spaced; doubling the
// levels quarters what the spacing costs, which is about 0.5 % here.
const (
	ScaleLevels = 64
	SigmaMin    = 0.11
	SigmaMax    = 256
)

// LogSigmaMin and LogSigmaStep turn a level into a scale: the standard
// deviation of level s, in quantisation steps, is exp(LogSigmaMin +
// s·LogSigmaStep). They are ln(SigmaMin) and ln(SigmaMax/SigmaMin)/63.
//
// Training works with real s. The codec rounds s to the nearest level and
// clamps it to 0..63; at level 0 (s < 0.5, sigma < 0.1170) nothing is coded
// and the symbol is 0.
const (
	LogSigmaMin  = -2.2072749131897207
	LogSigmaStep = 0.12305479932808386
)

// quality is a quality in hundredths, as the file has it.
type quality uint16

// parseQuality checks and rounds a quality; 0 stands for DefaultQuality.
func parseQuality(q float64) (quality, error) {
	if q == 0 {
		q = DefaultQuality
	}
	if !(q >= MinQuality && q <= MaxQuality) {
		return 0, fmt.Errorf("codec: quality %g, want %d to %d", q, MinQuality, MaxQuality)
	}
	return quality(math.Round(q * qualityScale)), nil
}

// anchorBits is the precision of the position between two anchor rates.
const anchorBits = 16

// position returns where q lies on the line of anchors, 0 to anchors-1, in
// units of 2^-16, rounded to nearest. It decides table entries, so it is
// integer arithmetic; 9900·255·2^16 is far below 2^63.
func (q quality) position(anchors int) int {
	const span = (MaxQuality - MinQuality) * qualityScale
	d := int64(q) - MinQuality*qualityScale
	return int((d*int64(anchors-1)<<anchorBits + span/2) / span)
}

// blend is a position split into its two anchors: value = lo·(1-f) + hi·f,
// with f = frac/2^16. hi equals lo at the end of the line.
type blend struct{ lo, hi, frac int }

func newBlend(position, anchors int) blend {
	lo := position >> anchorBits
	return blend{lo: lo, hi: min(lo+1, anchors-1), frac: position & (1<<anchorBits - 1)}
}

// nearest is the anchor whose probability tables are used; a tie goes down.
func (b blend) nearest() int {
	if b.frac > 1<<(anchorBits-1) {
		return b.hi
	}
	return b.lo
}

// ints interpolates rows of an [anchors][n] integer table, rounding halves up.
// Values below 2^31 and a 16-bit fraction stay below 2^48.
func (b blend) ints(dst, table []int32) {
	n := len(dst)
	lo, hi := table[b.lo*n:][:n], table[b.hi*n:][:n]
	for i := range dst {
		v := int64(lo[i])*int64(1<<anchorBits-b.frac) + int64(hi[i])*int64(b.frac)
		dst[i] = int32((v + 1<<(anchorBits-1)) >> anchorBits)
	}
}

// floats interpolates rows of an [anchors][n] table: lo + f·(hi-lo), fused.
func (b blend) floats(dst, table []float32) {
	n := len(dst)
	kernels.Lerp(dst, table[b.lo*n:][:n], table[b.hi*n:][:n], float32(b.frac)/(1<<anchorBits))
}

// Position returns the place of a quality on the line of anchor rates: 0 at
// quality 1, Anchors-1 at quality 100. The codec rounds it to 2^-16.
func (a *Arch) Position(quality float64) float64 {
	return (quality - MinQuality) / (MaxQuality - MinQuality) * float64(a.Anchors-1)
}

// QualityAt is the inverse of Position.
func (a *Arch) QualityAt(t float64) float64 {
	if a.Anchors == 1 {
		return MaxQuality
	}
	return MinQuality + t*(MaxQuality-MinQuality)/float64(a.Anchors-1)
}

// Lambda is the weight of the distortion at position t: bits per pixel plus
// Lambda·65025·MSE of pixels in 0..1 is what training minimises.
func (a *Arch) Lambda(t float64) float64 {
	if a.Anchors == 1 {
		return a.LambdaMax
	}
	u := t / float64(a.Anchors-1)
	lo, hi := kernels.Log64(a.LambdaMin), kernels.Log64(a.LambdaMax)
	return kernels.Exp64(lo + float64(u*float64(hi-lo)))
}

// Interpolate writes row t, between 0 and Anchors-1, of a table [Anchors][n]
// to dst [n], linearly. Training interpolates the logarithms of gains and the
// scale offsets with it; the codec does the same at the rounded position.
func (a *Arch) Interpolate(dst, table []float32, t float64) {
	t = min(max(t, 0), float64(a.Anchors-1))
	newBlend(int(math.Round(t*(1<<anchorBits))), a.Anchors).floats(dst, table)
}
