package kernels

import "math"

// Every loop runs over dst; the drivers have checked that the operands are as
// long. Products are converted to float32 before they are added, which forbids
// the compiler to fuse the two where the machine could.

func addGeneric(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] + b[i]
	}
}

func subGeneric(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] - b[i]
	}
}

func mulGeneric(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] * b[i]
	}
}

func addScaledGeneric(dst, a, b []float32, s float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = FMA32(b[i], s, a[i])
	}
}

func scaleGeneric(dst, a []float32, s float32) {
	a = a[:len(dst)]
	for i := range dst {
		dst[i] = a[i] * s
	}
}

func leakyGeneric(dst, x []float32, slope float32) {
	x = x[:len(dst)]
	for i := range dst {
		v := x[i]
		dst[i] = max32(v, float32(v*slope))
	}
}

func leakyGradGeneric(dx, dy, y []float32, slope float32) {
	dy, y = dy[:len(dx)], y[:len(dx)]
	for i := range dx {
		if v := dy[i]; y[i] > 0 {
			dx[i] = v
		} else {
			dx[i] = v * slope
		}
	}
}

func reluGeneric(dst, x []float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = max32(x[i], 0)
	}
}

func roundGeneric(dst, x []float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = round32(x[i])
	}
}

func clampGeneric(dst, x []float32, lo, hi float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = min32(max32(x[i], lo), hi)
	}
}

func lerpGeneric(dst, a, b []float32, t float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = FMA32(t, b[i]-a[i], a[i])
	}
}

func sqrtGeneric(dst, x []float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = sqrt32(x[i])
	}
}

func expGeneric(dst, x []float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = exp32(x[i])
	}
}

func logGeneric(dst, x []float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = log32(x[i])
	}
}

func sigmoidGeneric(dst, x []float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = sigmoid32(x[i])
	}
}

func tanhGeneric(dst, x []float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = tanh32(x[i])
	}
}

func softplusGeneric(dst, x []float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = softplus32(x[i])
	}
}

func symlogGeneric(dst, x []float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = symlog32(x[i])
	}
}

func mulRowsGeneric(dst, x, v []float32) {
	for n := len(v); len(dst) > 0; dst, x = dst[n:], x[n:] {
		mulGeneric(dst[:n], x, v)
	}
}

func addRowsGeneric(dst, x, v []float32) {
	for n := len(v); len(dst) > 0; dst, x = dst[n:], x[n:] {
		addGeneric(dst[:n], x, v)
	}
}

func fmaRowsGeneric(dst, x, v, u []float32) {
	for n := len(v); len(dst) > 0; dst, x = dst[n:], x[n:] {
		fmaSlice(dst[:n], x, v, u)
	}
}

func macRowsGeneric(dst, x, v []float32) {
	for n := len(v); len(dst) > 0; dst, x = dst[n:], x[n:] {
		fmaSlice(dst[:n], x, v, dst)
	}
}

func dotRowsGeneric(acc, x, y []float32) {
	for n := len(acc); len(x) > 0; x, y = x[n:], y[n:] {
		fmaSlice(acc, x, y, acc)
	}
}

func adamWGeneric(w, g, m, v []float32, p *AdamParams) {
	g, m, v = g[:len(w)], m[:len(w)], v[:len(w)]
	c1, c2 := 1-p.Beta1, 1-p.Beta2
	for i := range w {
		gi := float32(g[i] * p.GradScale)
		mi := FMA32(c1, gi-m[i], m[i])
		vi := FMA32(c2, float32(gi*gi)-v[i], v[i])
		m[i], v[i] = mi, vi
		den := sqrt32(vi*p.Correct2) + p.Eps
		u := float32(mi*p.Correct1) / den
		u = FMA32(p.Decay, w[i], u)
		w[i] = FMA32(-p.LR, u, w[i])
	}
}

// round32 rounds to the nearest integer, halves to even, keeping the sign of
// zeros. float64 holds every float32 and every result exactly.
func round32(x float32) float32 { return float32(math.RoundToEven(float64(x))) }

// sqrt32 is the IEEE square root: rounding the float64 root once more is
// harmless, as 53 >= 2*24+2.
func sqrt32(x float32) float32 { return float32(math.Sqrt(float64(x))) }
