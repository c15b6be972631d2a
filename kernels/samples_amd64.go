//go:build amd64 && !purego

package kernels

// The assembly of samples.go does whole steps; what remains of a slice is left to
// the portable code.

const (
	sampleStep   = 16
	opaquePixels = 8
)

func levelsAVX2(dst []uint8, x []float32, shift, most int) {
	n := len(dst) &^ (sampleStep - 1)
	levelStepsAVX2(dst[:n], x[:n], shift, most)
	levelsGeneric(dst[n:], x[n:], shift, most)
}

func levelsAVX512(dst []uint8, x []float32, shift, most int) {
	n := len(dst) &^ (sampleStep - 1)
	levelStepsAVX512(dst[:n], x[:n], shift, most)
	levelsGeneric(dst[n:], x[n:], shift, most)
}

func sampleBytesAVX2(dst []uint8, x []float32) {
	n := len(dst) &^ (sampleStep - 1)
	sampleByteStepsAVX2(dst[:n], x[:n])
	sampleBytesGeneric(dst[n:], x[n:])
}

func sampleBytesAVX512(dst []uint8, x []float32) {
	n := len(dst) &^ (sampleStep - 1)
	sampleByteStepsAVX512(dst[:n], x[:n])
	sampleBytesGeneric(dst[n:], x[n:])
}

func opaqueAVX2(dst, src []uint8) {
	n := max(len(src)/3-2, 0) &^ (opaquePixels - 1) // a step reads beyond its pixels
	opaqueStepsAVX2(dst[:4*n], src[:3*n])
	opaqueGeneric(dst[4*n:], src[3*n:])
}
