package kernels

// Fake quantisation is what training for integers computes in floats: numbers
// take the values that bytes can stand for (Jacob et al., CVPR 2018,
// arXiv:1712.05877). It is portable Go on every backend, one rounded operation
// after the other.

// FakeQuantise rounds the numbers of whole pixels of len(step) channels to what
// bytes stand for: byte b of channel c is (b-zero[c])·step[c], and
//
//	dst = step·(sat8(round(src/step) + zero) - zero)
//
// where src/step is src·(1/step), ties go to even, and sat8 clamps to 0..255. zero
// must be whole numbers in that range, step positive. dst may be src.
func FakeQuantise(dst, src, step, zero []float32) {
	c := checkFakeQuantise("fakequantise", dst, src, step, zero)
	if c == 0 {
		return
	}
	for ; len(src) >= c; dst, src = dst[c:], src[c:] {
		s, z, x, y := step[:c], zero[:c], src[:c], dst[:c]
		for i, v := range x {
			// Adding this makes the unit of the last place 1.
			const magic = 3 << 22
			r := min(max(float32(v*(1/s[i])), -z[i]), 255-z[i])
			y[i] = float32(float32(r+magic)-magic) * s[i]
		}
	}
}

// FakeQuantiseGrad computes the gradient of FakeQuantise from its input x as if it
// did not round ("straight-through"): dx = dy where x lies within the range of the
// bytes and half a step around it, 0 elsewhere. dx may be dy.
func FakeQuantiseGrad(dx, dy, x, step, zero []float32) {
	checkLen("fakequantise", "dx", len(dx), len(dy))
	c := checkFakeQuantise("fakequantise", dy, x, step, zero)
	if c == 0 {
		return
	}
	for ; len(x) >= c; dx, dy, x = dx[c:], dy[c:], x[c:] {
		s, z, in, g, out := step[:c], zero[:c], x[:c], dy[:c], dx[:c]
		for i, v := range in {
			d := g[i]
			if r := float32(v * (1 / s[i])); r < -z[i]-0.5 || r > 255.5-z[i] {
				d = 0
			}
			out[i] = d
		}
	}
}

func checkFakeQuantise(op string, dst, src, step, zero []float32) (c int) {
	c = len(step)
	checkLen(op, "dst", len(dst), len(src))
	checkLen(op, "zero", len(zero), c)
	if c > 0 && len(src)%c != 0 {
		panic("kernels: " + op + ": no whole pixels")
	}
	return c
}
