package format

import "math"

// Limits bounds what a reader accepts. A field that is zero has the value it
// has in DefaultLimits; so has every field where a *Limits is nil.
type Limits struct {
	MaxPixels   int64 // width times height of an image
	MaxValues   int64 // values of all records of a file
	MaxChunk    int64 // bytes of one chunk of an .aec file
	MaxModel    int64 // bytes of all of a model file's contents, uncompressed
	MaxMetadata int64 // bytes of all metadata of an .aec file, uncompressed
}

// DefaultLimits fit photographs of any camera and models for a plain CPU.
var DefaultLimits = Limits{
	MaxPixels:   1 << 28,
	MaxValues:   1 << 28,
	MaxChunk:    1 << 28,
	MaxModel:    1 << 29,
	MaxMetadata: 1 << 24,
}

// resolve fills in what l leaves open.
func (l *Limits) resolve() Limits {
	r := DefaultLimits
	if l == nil {
		return r
	}
	for _, f := range []struct{ to, from *int64 }{
		{&r.MaxPixels, &l.MaxPixels},
		{&r.MaxValues, &l.MaxValues},
		{&r.MaxChunk, &l.MaxChunk},
		{&r.MaxModel, &l.MaxModel},
		{&r.MaxMetadata, &l.MaxMetadata},
	} {
		if *f.from != 0 {
			*f.to = min(*f.from, math.MaxInt)
		}
	}
	return r
}
