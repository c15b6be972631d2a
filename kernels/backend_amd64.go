//go:build amd64 && !purego

package kernels

import "github.com/klauspost/cpuid/v2"

//go:generate go -C _asm run . ..

// nativeTables returns the assembly backends that this CPU and the operating
// system can run, lowest first.
func nativeTables() []*table {
	if !cpuid.CPU.Supports(cpuid.AVX2, cpuid.FMA3) {
		return nil
	}
	tables := []*table{&avx2}
	if cpuid.CPU.Supports(cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VL) {
		if cpuid.CPU.Supports(cpuid.AVX512VNNI) {
			avx512.gemm8, avx512.gemm16 = gemm8AVX512, gemm16AVX512
		}
		tables = append(tables, &avx512)
		if cpuid.CPU.Supports(cpuid.AVX512VNNI) {
			p := &avx512.peak
			p.dot, p.dotOps, p.DotInstruction = peakDotAVX512, 12*64*2, "VPDPBUSD"
		}
	}
	return tables
}

var avx2 = table{
	name: "avx2",
	peak: Peaks{
		fma: peakFMAAVX2, fmaOps: 12 * 8 * 2, load: peakLoadAVX2, loadWords: 8 * 8,
		dot: peakDotAVX2, dotOps: 12 * 16 * 2, DotInstruction: "VPMADDWD",
	},

	gemm:             gemmAVX2,
	pack:             packAVX2,
	packT:            packTAVX2,
	depthwise3:       depthwise3AVX2,
	depthwise:        depthwiseAVX2,
	depthwise3Weight: depthwise3WeightAVX2,

	add:       addAVX2,
	sub:       subAVX2,
	mul:       mulAVX2,
	addScaled: addScaledAVX2,
	scale:     scaleAVX2,
	leaky:     leakyAVX2,
	leakyGrad: leakyGradAVX2,
	relu:      reluAVX2,
	round:     roundAVX2,
	clamp:     clampAVX2,
	lerp:      lerpAVX2,
	sqrt:      sqrtAVX2,
	exp:       expAVX2,
	log:       logAVX2,
	sigmoid:   sigmoidAVX2,
	tanh:      tanhAVX2,
	softplus:  softplusAVX2,
	symlog:    symlogAVX2,
	mulRows:   mulRowsAVX2,
	addRows:   addRowsAVX2,
	fmaRows:   fmaRowsAVX2,
	dotRows:   dotRowsAVX2,
	adamW:     adamWAVX2,
	normal:    normalAVX2,

	gemm8:       gemm8AVX2,
	gemm16:      gemm16AVX2,
	depthwise8:  depthwise8AVX2,
	depthwise16: depthwise16AVX2,
	quantise:    quantiseAVX2,

	dequantise:  dequantiseAVX2,
	levels:      levelsAVX2,
	sampleBytes: sampleBytesAVX2,
	opaque:      opaqueAVX2,

	sum:            sumAVX2,
	sumSquares:     sumSquaresAVX2,
	dot:            dotAVX2,
	sumSquaredDiff: sumSquaredDiffAVX2,
	maxAbs:         maxAbsAVX2,
	colSum:         colSumAVX2,
}

var avx512 = table{
	name: "avx512",
	peak: Peaks{fma: peakFMAAVX512, fmaOps: 12 * 16 * 2, load: peakLoadAVX512, loadWords: 8 * 16},

	gemm:             gemmAVX512,
	pack:             packAVX512,
	depthwise3:       depthwise3AVX512,
	depthwise:        depthwiseAVX512,
	depthwise3Weight: depthwise3WeightAVX512,

	add:       addAVX512,
	sub:       subAVX512,
	mul:       mulAVX512,
	addScaled: addScaledAVX512,
	scale:     scaleAVX512,
	leaky:     leakyAVX512,
	leakyGrad: leakyGradAVX512,
	relu:      reluAVX512,
	round:     roundAVX512,
	clamp:     clampAVX512,
	lerp:      lerpAVX512,
	sqrt:      sqrtAVX512,
	exp:       expAVX512,
	log:       logAVX512,
	sigmoid:   sigmoidAVX512,
	tanh:      tanhAVX512,
	softplus:  softplusAVX512,
	symlog:    symlogAVX512,
	mulRows:   mulRowsAVX512,
	addRows:   addRowsAVX512,
	fmaRows:   fmaRowsAVX512,
	dotRows:   dotRowsAVX512,
	adamW:     adamWAVX512,
	normal:    normalAVX512,

	depthwise8:  depthwise8AVX512,
	depthwise16: depthwise16AVX512,
	quantise:    quantiseAVX512,

	dequantise:  dequantiseAVX512,
	levels:      levelsAVX512,
	sampleBytes: sampleBytesAVX512,

	sum:            sumAVX512,
	sumSquares:     sumSquaresAVX512,
	dot:            dotAVX512,
	sumSquaredDiff: sumSquaredDiffAVX512,
	maxAbs:         maxAbsAVX512,
	colSum:         colSumAVX512,
}

// The matrix kernels have one function for each layout of A, and with AVX-512
// for each number of panels.

func gemmAVX2(g *gemmArgs) {
	if g.aks == 1 {
		gemmNAVX2(g)
		gemmNTailAVX2(g)
	} else {
		gemmTAVX2(g)
		gemmTTailAVX2(g)
	}
}

func gemmAVX512(g *gemmArgs) {
	switch n := panels(g.n); {
	case n == 3 && g.aks == 1:
		gemm3NAVX512(g)
	case n == 3:
		gemm3TAVX512(g)
	case n == 2 && g.aks == 1:
		gemm2NAVX512(g)
	case n == 2:
		gemm2TAVX512(g)
	case g.aks == 1:
		gemm1NAVX512(g)
	default:
		gemm1TAVX512(g)
	}
}
