package kernels

import (
	"math"
	"unsafe"
)

// gemmGeneric is the specification of the gemm entry: one row of one panel at
// a time, the accumulators in an array. Emulating the multiply-add dominates
// so far that no larger tile is faster.
func gemmGeneric(g *gemmArgs) {
	for j := 0; j < g.n; j += PanelWidth {
		n := min(PanelWidth, g.n-j)
		var b []float32
		if g.k > 0 {
			b = unsafe.Slice(offset(g.b, j/PanelWidth*g.bps), g.k*PanelWidth)
		}
		for i := range g.m {
			var acc [PanelWidth]float32
			c := unsafe.Slice(offset(g.c, i*g.ldc+j), n)
			switch {
			case g.mode == gemmFromC:
				copy(acc[:], c)
			case g.mode == gemmStore && g.bias != nil:
				copy(acc[:], unsafe.Slice(offset(g.bias, j), n))
			}
			if g.k > 0 {
				gemmRow(&acc, unsafe.Slice(offset(g.a, i*g.ars), (g.k-1)*g.aks+1), g.aks, b)
			}
			if g.mode == gemmAddTo {
				for x, v := range acc[:n] {
					c[x] += v
				}
				continue
			}
			for x, v := range acc[:n] {
				acc[x] = activate(v, g.act, g.slope)
			}
			if g.residual != nil {
				r := unsafe.Slice(offset(g.residual, i*g.ldr+j), n)
				for x, v := range acc[:n] {
					acc[x] = v + r[x]
				}
			}
			copy(c, acc[:n])
		}
	}
}

// gemmRow adds a[k*aks]*b[k][j] to acc[j] for k ascending, with FMA32 written
// out as in fmaSlice.
func gemmRow(acc *[PanelWidth]float32, a []float32, aks int, b []float32) {
	for len(b) >= PanelWidth {
		av := float64(a[0])
		for j, bv := range (*[PanelWidth]float32)(b) {
			z := float64(acc[j])
			p := float64(av * float64(bv))
			s := p + z
			if u := math.Float64bits(s); u&tieMask == tieBits || u&^signBit64 < minNormal {
				s = roundToOdd(p, z, s)
			}
			acc[j] = float32(s)
		}
		b = b[PanelWidth:]
		a = a[min(aks, len(a)):]
	}
}

// activate applies the activation of an epilogue.
func activate(v float32, act Activation, slope float32) float32 {
	switch act {
	case ActLeaky:
		return max32(v, float32(v*slope))
	case ActReLU:
		return max32(v, 0)
	}
	return v
}

// max32 and min32 have the semantics of MAXPS and MINPS: the second operand
// where the operands are equal (zeros of different sign) or either is NaN.
func max32(a, b float32) float32 {
	if a > b {
		return a
	}
	return b
}

func min32(a, b float32) float32 {
	if a < b {
		return a
	}
	return b
}

// offset returns a pointer to the i-th element after p.
func offset(p *float32, i int) *float32 {
	return (*float32)(unsafe.Add(unsafe.Pointer(p), uintptr(i)*unsafe.Sizeof(*p)))
}

// packGeneric is the specification of the pack entry.
func packGeneric(dst, b *float32, ldb, k, n int) {
	from := unsafe.Slice(b, (k-1)*ldb+n)
	to := unsafe.Slice(dst, panels(n)*k*PanelWidth)
	for j := 0; j < n; j += PanelWidth {
		w := min(PanelWidth, n-j)
		for i := range k {
			row := to[(j*k + i*PanelWidth):][:PanelWidth]
			clear(row[copy(row, from[i*ldb+j:][:w]):])
		}
	}
}

// packTGeneric is the specification of the packT entry.
func packTGeneric(dst, b *float32, ldb, k int) {
	for j := range packTRows {
		row := unsafe.Slice(offset(b, j*ldb), k)
		column := unsafe.Slice(dst, (k-1)*PanelWidth+packTRows)[j:]
		for i, v := range row {
			column[i*PanelWidth] = v
		}
	}
}
