package main

import (
	"math"
	"runtime/debug"
	"sync"
)

// Go's collector lets as much garbage gather as there is live memory: beside a picture of 100 megapixels, 400 MB of it. So while
// large pictures are in work it is told when to begin instead.
const (
	largePixels = 16 << 20  // from here on a picture counts
	besidePixel = 100 << 20 // bytes that coding takes beside the pixels
	pixelBytes  = 4
)

// memoryLimit sets the limit that Go's collector heeds.
type memoryLimit struct {
	mu     sync.Mutex
	pixels int64 // of large pictures in work
}

// add counts pixels in or, negative, out, of a picture of so many.
func (l *memoryLimit) add(pixels int64) {
	if max(pixels, -pixels) < largePixels {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	limit := int64(math.MaxInt64)
	if l.pixels += pixels; l.pixels > 0 {
		limit = pixelBytes*l.pixels + besidePixel
	}
	debug.SetMemoryLimit(limit)
}
