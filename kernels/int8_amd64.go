//go:build amd64 && !purego

package kernels

func gemm8AVX2(g *intGEMMArgs)  { intPanelsWise(g, intGEMM8AVX2) }
func gemm16AVX2(g *intGEMMArgs) { intPanelsWise(g, intGEMM16AVX2) }

func gemm8AVX512(g *intGEMMArgs) {
	if g.n > PanelWidth {
		intGEMM8x2AVX512(g)
	} else {
		intGEMM8x1AVX512(g)
	}
}

func gemm16AVX512(g *intGEMMArgs) {
	if g.n > PanelWidth {
		intGEMM16x2AVX512(g)
	} else {
		intGEMM16x1AVX512(g)
	}
}

// For 16 channels registers of 256 bits take less time, or no more.
func depthwise8AVX512(d *dw8Args) {
	depthwiseBlocks(d, 32, 1, depthwise8BlockAVX2, depthwise8BlockAVX512)
}

func depthwise16AVX512(d *dw8Args) {
	depthwiseBlocks(d, 32, 2, depthwise16BlockAVX2, depthwise16BlockAVX512)
}

func depthwise8AVX2(d *dw8Args) {
	depthwiseBlocks(d, 16, 1, depthwise8BlockAVX2, depthwise8Generic)
}

func depthwise16AVX2(d *dw8Args) {
	depthwiseBlocks(d, 16, 2, depthwise16BlockAVX2, depthwise16Generic)
}

func quantiseAVX512(q *quantiseArgs) {
	if q.n%32 == 0 {
		quantiseRowsAVX512(q)
	} else {
		quantiseAVX2(q)
	}
}

func quantiseAVX2(q *quantiseArgs) {
	if q.n%16 == 0 {
		quantiseRowsAVX2(q)
	} else {
		quantiseGeneric(q)
	}
}
