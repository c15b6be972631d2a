//go:build arm64 && !purego

package kernels

import (
	"unsafe"

	"github.com/klauspost/cpuid/v2"
)

// nativeTables returns the assembly backend for arm64. Advanced SIMD, with its
// multiply-add, is part of the architecture as Go requires it.
func nativeTables() []*table {
	if cpuid.CPU.Supports(cpuid.ASIMDDP) {
		neon.gemm8 = gemm8DotNEON
	}
	return []*table{&neon}
}

var neon = table{
	name: "neon",
	peak: Peaks{fma: peakFMANEON, fmaOps: 24 * 4 * 2, load: peakLoadNEON, loadWords: 16 * 4},

	gemm:             gemmNEON,
	depthwise3:       depthwise3NEON,
	depthwise:        depthwiseNEON,
	depthwise3Weight: depthwise3WeightNEON,

	add:       addNEON,
	sub:       subNEON,
	mul:       mulNEON,
	addScaled: addScaledNEON,
	scale:     scaleNEON,
	leaky:     leakyNEON,
	leakyGrad: leakyGradNEON,
	relu:      reluNEON,
	round:     roundNEON,
	clamp:     clampNEON,
	lerp:      lerpNEON,
	sqrt:      sqrtNEON,
	exp:       expNEON,
	log:       logNEON,
	sigmoid:   sigmoidNEON,
	tanh:      tanhNEON,
	softplus:  softplusNEON,
	symlog:    symlogNEON,
	mulRows:   mulRowsNEON,
	addRows:   addRowsNEON,
	fmaRows:   fmaRowsNEON,
	dotRows:   dotRowsNEON,
	adamW:     adamWNEON,

	gemm8:       gemm8NEON,
	gemm16:      gemm16NEON,
	depthwise8:  depthwise8NEON,
	depthwise16: depthwise16NEON,

	sum:            sumNEON,
	sumSquares:     sumSquaresNEON,
	dot:            dotNEON,
	sumSquaredDiff: sumSquaredDiffNEON,
	maxAbs:         maxAbsNEON,
	colSum:         colSumNEON,
}

// depthwiseNEON goes tap by tap over the whole piece.
func depthwiseNEON(d *dwWindowArgs) {
	depthwiseTaps(d, macRowsNEON, leakyNEON, reluNEON, addNEON)
}

// gemmTail is how many rows of a partial panel are computed at once: two tiles.
const gemmTail = 12

// gemmNEON computes whole panels in place. The columns of a partial one go
// through memory of 16 columns, so that the assembly need not know of them.
func gemmNEON(g *gemmArgs) {
	n := g.n % PanelWidth
	if n == 0 {
		gemmPanelsNEON(g)
		return
	}
	t := *g
	if full := g.n - n; full > 0 {
		t.n = full
		gemmPanelsNEON(&t)
		t.c = offset(g.c, full)
		if g.bias != nil {
			t.bias = offset(g.bias, full)
		}
		if g.residual != nil {
			t.residual = offset(g.residual, full)
		}
		if g.k > 0 {
			t.b = offset(g.b, full/PanelWidth*g.bps)
		}
	}
	var bias [PanelWidth]float32
	var c, residual [gemmTail * PanelWidth]float32
	if t.bias != nil {
		copy(bias[:], unsafe.Slice(t.bias, n))
		t.bias = &bias[0]
	}
	fromC, fromResidual := t.c, t.residual
	t.c, t.ldc, t.n = &c[0], PanelWidth, PanelWidth
	if fromResidual != nil {
		t.residual, t.ldr = &residual[0], PanelWidth
	}
	for i := 0; i < g.m; i += gemmTail {
		t.m = min(gemmTail, g.m-i)
		if g.k > 0 {
			t.a = offset(g.a, i*g.ars)
		}
		rows := unsafe.Slice(offset(fromC, i*g.ldc), (t.m-1)*g.ldc+n)
		if g.mode != gemmStore {
			copyRows(c[:], PanelWidth, rows, g.ldc, t.m, n)
		}
		if fromResidual != nil {
			copyRows(residual[:], PanelWidth, unsafe.Slice(offset(fromResidual, i*g.ldr), (t.m-1)*g.ldr+n), g.ldr, t.m, n)
		}
		gemmPanelsNEON(&t)
		copyRows(rows, g.ldc, c[:], PanelWidth, t.m, n)
	}
}

// gemmPanelsNEON computes a block of whole panels.
func gemmPanelsNEON(g *gemmArgs) {
	if g.aks == 1 {
		gemmNNEON(g)
	} else {
		gemmTNEON(g)
	}
}

func gemm8DotNEON(g *intGEMMArgs) { intPanelsWise(g, intGEMM8DotNEON) }
func gemm8NEON(g *intGEMMArgs)    { intPanelsWise(g, intGEMM8NEON) }
func gemm16NEON(g *intGEMMArgs)   { intPanelsWise(g, intGEMM16NEON) }

func depthwise8NEON(d *dw8Args) { depthwiseBlocks(d, 16, 1, intDepthwise8NEON, depthwise8Generic) }
func depthwise16NEON(d *dw8Args) {
	depthwiseBlocks(d, 16, 2, intDepthwise16NEON, depthwise16Generic)
}
