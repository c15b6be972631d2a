package kernels

// PanelWidth is the number of columns of one panel of a packed matrix.
const PanelWidth = 16

// Packed is a K×N matrix laid out for GEMM: ceil(N/PanelWidth) panels, each of
// K rows of PanelWidth consecutive columns, the last one padded with +0. Row k
// of panel p is Data[(p*K+k)*PanelWidth:][:PanelWidth]. The layout is the same
// for every backend, so a matrix packed once stays valid after Use.
type Packed struct {
	K, N int
	Data []float32 // ceil(N/PanelWidth)*K*PanelWidth elements
}

// NewPacked returns a k×n matrix of zeros.
func NewPacked(k, n int) *Packed {
	if k < 0 || n < 0 {
		panic("kernels: packed: negative size")
	}
	return &Packed{K: k, N: n, Data: make([]float32, panels(n)*k*PanelWidth)}
}

// Pack packs the row-major k×n matrix b whose rows are ldb elements apart.
func Pack(k, n int, b []float32, ldb int) *Packed {
	p := NewPacked(k, n)
	p.Set(b, ldb)
	return p
}

// Set replaces the contents of p by the row-major K×N matrix b whose rows are
// ldb elements apart.
func (p *Packed) Set(b []float32, ldb int) {
	checkMatrix("pack", "b", b, p.K, p.N, ldb)
	packPanels(p.Data, b, ldb, p.K, p.N)
}

// SetTransposed replaces the contents of p by the transpose of the row-major
// N×K matrix b whose rows are ldb elements apart.
func (p *Packed) SetTransposed(b []float32, ldb int) {
	checkMatrix("pack", "b", b, p.N, p.K, ldb)
	if p.K == 0 {
		return
	}
	done := p.K &^ (packTRows - 1)
	for j := 0; j < p.N; j += packTRows {
		panel := p.Data[j/PanelWidth*p.K*PanelWidth+j%PanelWidth:]
		k := 0
		if j+packTRows <= p.N && done > 0 {
			for ; k < done; k += packRows {
				active.packT(&panel[k*PanelWidth], &b[j*ldb+k], ldb, min(packRows, done-k))
			}
			k = done
		}
		for ; k < p.K; k++ {
			for i := range min(packTRows, p.N-j) {
				panel[k*PanelWidth+i] = b[(j+i)*ldb+k]
			}
		}
	}
}

// panels returns the number of panels that n columns take.
func panels(n int) int { return (n + PanelWidth - 1) / PanelWidth }

// packRows bounds the rows of one call of the pack entries. A matrix with more is
// packed panel by panel, because the rows of a single panel follow each other.
const packRows = 1 << 12

// packPanels writes the k×n matrix b into panels, padding the last with zeros.
func packPanels(dst, b []float32, ldb, k, n int) {
	if k == 0 {
		return
	}
	if k > packRows {
		for j := 0; j < n; j += PanelWidth {
			for i := 0; i < k; i += packRows {
				active.pack(&dst[j*k+i*PanelWidth], &b[i*ldb+j], ldb, min(packRows, k-i), min(PanelWidth, n-j))
			}
		}
		return
	}
	for j := 0; j < n; j += packMaxN {
		active.pack(&dst[j*k], &b[j], ldb, k, min(packMaxN, n-j))
	}
}
