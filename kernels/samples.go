package kernels

// What the codec does to every sample of a picture beside the networks: symbols
// become latents, sums of the scale map table indices, results of the networks
// bytes, and bytes pixels. All functions work on flat slices that do not overlap.

// Dequantise computes dst[i] = (k[i] + mean[i]·scale[i]) · gain[i], every operation
// rounded to float32. Integers beyond 2^24 are rounded, too, ties to even.
func Dequantise(dst []float32, k []int32, mean, scale, gain []float32) {
	const op = "dequantise"
	n := len(dst)
	checkSame(op, "k", len(k), n)
	checkSame(op, "mean", len(mean), n)
	checkSame(op, "scale", len(scale), n)
	checkSame(op, "gain", len(gain), n)
	for len(dst) > chunk {
		active.dequantise(dst[:chunk], k[:chunk], mean[:chunk], scale[:chunk], gain[:chunk])
		dst, k, mean, scale, gain = dst[chunk:], k[chunk:], mean[chunk:], scale[chunk:], gain[chunk:]
	}
	if len(dst) > 0 {
		active.dequantise(dst, k, mean, scale, gain)
	}
}

// Levels computes level = x[i] >> shift, an arithmetic shift of numbers that must be
// integers of less than 2^31 in magnitude, and dst[i] = min(level, most) where that
// is above 0, 255 elsewhere. shift is at most 31, most at most 127.
func Levels(dst []uint8, x []float32, shift, most int) {
	const op = "levels"
	checkSame(op, "x", len(x), len(dst))
	checkRange(op, 0, shift, 31)
	checkRange(op, 0, most, 127)
	for len(dst) > chunk {
		active.levels(dst[:chunk], x[:chunk], shift, most)
		dst, x = dst[chunk:], x[chunk:]
	}
	if len(dst) > 0 {
		active.levels(dst, x, shift, most)
	}
}

// SampleBytes computes dst[i] = 255·(x[i] + 1/2), rounded to an integer, halves up:
// with every operation rounded to float32,
//
//	p = (x[i] + 1/2)·255 + 1/2
//	dst[i] = trunc(min(max(p, 0), 255))
//
// so that NaN becomes 0.
func SampleBytes(dst []uint8, x []float32) {
	checkSame("samplebytes", "x", len(x), len(dst))
	for len(dst) > chunk {
		active.sampleBytes(dst[:chunk], x[:chunk])
		dst, x = dst[chunk:], x[chunk:]
	}
	if len(dst) > 0 {
		active.sampleBytes(dst, x)
	}
}

// Opaque copies pixels of three bytes from src to pixels of four in dst, the last of
// which is 255.
func Opaque(dst, src []uint8) {
	const op = "opaque"
	checkSame(op, "src beyond whole pixels", len(src)%3, 0)
	checkSame(op, "dst", len(dst), len(src)/3*4)
	for len(src) > 3*chunk {
		active.opaque(dst[:4*chunk], src[:3*chunk])
		dst, src = dst[4*chunk:], src[3*chunk:]
	}
	if len(src) > 0 {
		active.opaque(dst, src)
	}
}
