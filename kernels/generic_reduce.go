package kernels

// lanes is the number of accumulators of a reduction; see reduce.go.
const lanes = 64

// tree adds the accumulators pairwise: 64 to 32 to 16 … to 1.
func tree(acc *[lanes]float32) float32 {
	for n := lanes / 2; n > 0; n /= 2 {
		for j := range n {
			acc[j] += acc[j+n]
		}
	}
	return acc[0]
}

func sumGeneric(x []float32) float32 {
	var acc [lanes]float32
	for i, v := range x {
		acc[i%lanes] += v
	}
	return tree(&acc)
}

func sumSquaresGeneric(x []float32) float32 {
	var acc [lanes]float32
	for i, v := range x {
		acc[i%lanes] = FMA32(v, v, acc[i%lanes])
	}
	return tree(&acc)
}

func dotGeneric(a, b []float32) float32 {
	var acc [lanes]float32
	b = b[:len(a)]
	for i, v := range a {
		acc[i%lanes] = FMA32(v, b[i], acc[i%lanes])
	}
	return tree(&acc)
}

func sumSquaredDiffGeneric(a, b []float32) float32 {
	var acc [lanes]float32
	b = b[:len(a)]
	for i, v := range a {
		d := v - b[i]
		acc[i%lanes] = FMA32(d, d, acc[i%lanes])
	}
	return tree(&acc)
}

func maxAbsGeneric(x []float32) float32 {
	var m float32
	for _, v := range x {
		m = max32(abs32(v), m)
	}
	return m
}

func colSumGeneric(dst, x []float32, m, n int) {
	var acc [PanelWidth]float32
	for j := 0; j < n; j += PanelWidth {
		w := min(PanelWidth, n-j)
		clear(acc[:])
		for i := range m {
			for k, v := range x[i*n+j:][:w] {
				acc[k] += v
			}
		}
		for k, v := range acc[:w] {
			dst[j+k] += v
		}
	}
}
