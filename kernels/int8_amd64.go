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

func depthwise8AVX512(d *dw8Args) {
	depthwiseHalves(d, 1, depthwise8BlockAVX512, depthwise8BlockAVX2)
}

func depthwise16AVX512(d *dw8Args) {
	depthwiseHalves(d, 2, depthwise16BlockAVX512, depthwise16BlockAVX2)
}

// depthwiseHalves computes 32 channels at a time, or fewer, with an entry, and 16 with
// half, whose registers of 256 bits take less time, or no more.
func depthwiseHalves(d *dw8Args, size int, entry, half func(*dw8Args)) {
	const block = 32
	s := getScratch()
	t := &s.dw8
	*t = *d
	for c := 0; c < d.c; c += block {
		if d.channels(t, c, min(block, d.c-c), size); t.c == block/2 {
			half(t)
		} else {
			entry(t)
		}
	}
	s.release()
}

func depthwise8AVX2(d *dw8Args) {
	depthwiseBlocks(d, 1, depthwise8BlockAVX2, depthwise8Generic)
}

func depthwise16AVX2(d *dw8Args) {
	depthwiseBlocks(d, 2, depthwise16BlockAVX2, depthwise16Generic)
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
