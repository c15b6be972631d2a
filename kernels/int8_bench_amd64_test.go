//go:build amd64 && !purego

package kernels

import (
	"time"

	"github.com/klauspost/cpuid/v2"
)

// vnniPeak measures the 8-bit multiply-adds per nanosecond that a core does at
// most, 0 without VNNI.
func vnniPeak() float64 {
	if !cpuid.CPU.Supports(cpuid.AVX512F, cpuid.AVX512VNNI) {
		return 0
	}
	best := 0.0
	for range 20 {
		const iters = 20000
		start := time.Now()
		peakDotAVX512(iters)
		best = max(best, iters*12*64/float64(time.Since(start).Nanoseconds()))
	}
	return best
}
