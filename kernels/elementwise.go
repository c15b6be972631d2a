package kernels

// Element-wise kernels work on flat slices of equal length. The destination
// may be one of the operands, exactly, but not overlap one otherwise. Slices of
// different lengths panic.

// chunk is the number of elements that one call of an element-wise entry gets,
// so that no call runs long; see table.
const chunk = 1 << 15

func unary(op string, fn func(dst, x []float32), dst, x []float32) {
	checkSame(op, "x", len(x), len(dst))
	for len(dst) > chunk {
		fn(dst[:chunk], x[:chunk])
		dst, x = dst[chunk:], x[chunk:]
	}
	if len(dst) > 0 {
		fn(dst, x)
	}
}

func unaryScalar(op string, fn func(dst, x []float32, s float32), dst, x []float32, s float32) {
	checkSame(op, "x", len(x), len(dst))
	for len(dst) > chunk {
		fn(dst[:chunk], x[:chunk], s)
		dst, x = dst[chunk:], x[chunk:]
	}
	if len(dst) > 0 {
		fn(dst, x, s)
	}
}

func binary(op string, fn func(dst, a, b []float32), dst, a, b []float32) {
	checkSame(op, "first operand", len(a), len(dst))
	checkSame(op, "second operand", len(b), len(dst))
	for len(dst) > chunk {
		fn(dst[:chunk], a[:chunk], b[:chunk])
		dst, a, b = dst[chunk:], a[chunk:], b[chunk:]
	}
	if len(dst) > 0 {
		fn(dst, a, b)
	}
}

func binaryScalar(op string, fn func(dst, a, b []float32, s float32), dst, a, b []float32, s float32) {
	checkSame(op, "first operand", len(a), len(dst))
	checkSame(op, "second operand", len(b), len(dst))
	for len(dst) > chunk {
		fn(dst[:chunk], a[:chunk], b[:chunk], s)
		dst, a, b = dst[chunk:], a[chunk:], b[chunk:]
	}
	if len(dst) > 0 {
		fn(dst, a, b, s)
	}
}

// rowsChunk returns the length of whole rows of n elements near chunk.
func rowsChunk(n int) int { return max(chunk/n, 1) * n }

func rows(op string, fn func(dst, x, v []float32), dst, x, v []float32) {
	checkSame(op, "x", len(x), len(dst))
	if !checkRows(op, len(dst), len(v)) {
		return
	}
	size := rowsChunk(len(v))
	for len(dst) > size {
		fn(dst[:size], x[:size], v)
		dst, x = dst[size:], x[size:]
	}
	fn(dst, x, v)
}

// checkRows panics unless total elements are whole rows of n. It returns
// whether there is anything to do.
func checkRows(op string, total, n int) bool {
	if total == 0 {
		return false
	}
	if n == 0 || total%n != 0 {
		checkSame(op, "rows", total, total-total%max(n, 1)+n)
	}
	return true
}

// Add computes dst[i] = a[i] + b[i].
func Add(dst, a, b []float32) { binary("add", active.add, dst, a, b) }

// Sub computes dst[i] = a[i] - b[i].
func Sub(dst, a, b []float32) { binary("sub", active.sub, dst, a, b) }

// Mul computes dst[i] = a[i] * b[i].
func Mul(dst, a, b []float32) { binary("mul", active.mul, dst, a, b) }

// AddScaled computes dst[i] = fma(b[i], s, a[i]).
func AddScaled(dst, a, b []float32, s float32) {
	binaryScalar("addscaled", active.addScaled, dst, a, b, s)
}

// Scale computes dst[i] = a[i] * s.
func Scale(dst, a []float32, s float32) { unaryScalar("scale", active.scale, dst, a, s) }

// Fill sets every element of dst to v.
func Fill(dst []float32, v float32) {
	for i := range dst {
		dst[i] = v
	}
}

// Lerp computes dst[i] = fma(t, b[i]-a[i], a[i]): a where t is 0. With a the
// average and b the new value it is an exponential moving average.
func Lerp(dst, a, b []float32, t float32) { binaryScalar("lerp", active.lerp, dst, a, b, t) }

// MulChannels computes dst[i] = x[i] * v[i%len(v)]; x is whole rows of len(v).
func MulChannels(dst, x, v []float32) { rows("mulchannels", active.mulRows, dst, x, v) }

// AddChannels computes dst[i] = x[i] + v[i%len(v)]; x is whole rows of len(v).
func AddChannels(dst, x, v []float32) { rows("addchannels", active.addRows, dst, x, v) }

// FMAChannels computes dst[i] = fma(x[i], v[i%n], u[i%n]) with n = len(v); x
// is whole rows of n.
func FMAChannels(dst, x, v, u []float32) {
	checkSame("fmachannels", "x", len(x), len(dst))
	checkSame("fmachannels", "u", len(u), len(v))
	if !checkRows("fmachannels", len(dst), len(v)) {
		return
	}
	size := rowsChunk(len(v))
	for len(dst) > size {
		active.fmaRows(dst[:size], x[:size], v, u)
		dst, x = dst[size:], x[size:]
	}
	active.fmaRows(dst, x, v, u)
}

// LeakyReLU computes dst[i] = max(x[i], x[i]*slope) with 0 <= slope <= 1; a
// slope of 0 is ReLU. Here and below max(a, b) is a > b ? a : b.
func LeakyReLU(dst, x []float32, slope float32) {
	if slope == 0 {
		ReLU(dst, x)
		return
	}
	unaryScalar("leakyrelu", active.leaky, dst, x, slope)
}

// LeakyReLUGrad computes dx[i] = y[i] > 0 ? dy[i] : dy[i]*slope from the
// output y of LeakyReLU.
func LeakyReLUGrad(dx, dy, y []float32, slope float32) {
	if slope == 0 {
		ReLUGrad(dx, dy, y)
		return
	}
	binaryScalar("leakyrelugrad", active.leakyGrad, dx, dy, y, slope)
}

// ReLU computes dst[i] = max(x[i], +0).
func ReLU(dst, x []float32) { unary("relu", active.relu, dst, x) }

// ReLUGrad computes dx[i] = y[i] > 0 ? dy[i] : +0 from the output y of ReLU.
func ReLUGrad(dx, dy, y []float32) {
	checkSame("relugrad", "dy", len(dy), len(dx))
	checkSame("relugrad", "y", len(y), len(dx))
	for i, v := range dy {
		if !(y[i] > 0) {
			v = 0
		}
		dx[i] = v
	}
}

// Sigmoid computes dst[i] = 1/(1+e^-x[i]).
func Sigmoid(dst, x []float32) { unary("sigmoid", active.sigmoid, dst, x) }

// SigmoidGrad computes dx[i] = dy[i] * (y[i] * (1-y[i])) from the output y of
// Sigmoid.
func SigmoidGrad(dx, dy, y []float32) {
	checkSame("sigmoidgrad", "dy", len(dy), len(dx))
	checkSame("sigmoidgrad", "y", len(y), len(dx))
	for i, v := range y {
		dx[i] = dy[i] * float32(v*(1-v))
	}
}

// Tanh computes dst[i] = tanh x[i].
func Tanh(dst, x []float32) { unary("tanh", active.tanh, dst, x) }

// TanhGrad computes dx[i] = dy[i] * (1 - y[i]*y[i]) from the output y of Tanh,
// every operation rounded.
func TanhGrad(dx, dy, y []float32) {
	checkSame("tanhgrad", "dy", len(dy), len(dx))
	checkSame("tanhgrad", "y", len(y), len(dx))
	for i, v := range y {
		dx[i] = dy[i] * (1 - float32(v*v))
	}
}

// Softplus computes dst[i] = ln(1+e^x[i]).
func Softplus(dst, x []float32) { unary("softplus", active.softplus, dst, x) }

// SoftplusGrad computes dx[i] = dy[i] * sigmoid(x[i]) from the input x of
// Softplus.
func SoftplusGrad(dx, dy, x []float32) {
	checkSame("softplusgrad", "dy", len(dy), len(dx))
	checkSame("softplusgrad", "x", len(x), len(dx))
	s := getScratch()
	for len(dx) > 0 {
		n := min(chunk, len(dx))
		t := grow(&s.a, n)
		active.sigmoid(t, x[:n])
		active.mul(dx[:n], dy[:n], t)
		dx, dy, x = dx[n:], dy[n:], x[n:]
	}
	s.release()
}

// Exp computes dst[i] = e^x[i].
func Exp(dst, x []float32) { unary("exp", active.exp, dst, x) }

// Log computes dst[i] = ln x[i]: -Inf for zeros, NaN below.
func Log(dst, x []float32) { unary("log", active.log, dst, x) }

// Sqrt computes the IEEE square roots.
func Sqrt(dst, x []float32) { unary("sqrt", active.sqrt, dst, x) }

// Round computes dst[i] = x[i] rounded to an integer, halves to even. Zeros
// keep their sign, and so do numbers that round to zero.
func Round(dst, x []float32) { unary("round", active.round, dst, x) }

// Symlog computes dst[i] = sign(x[i])·Log(1+|x[i]|), the sum rounded to
// float32 first. The sign of zero is kept.
func Symlog(dst, x []float32) { unary("symlog", active.symlog, dst, x) }

// SymlogGrad computes dx[i] = dy[i] / (1+|x[i]|) from the input x of Symlog.
func SymlogGrad(dx, dy, x []float32) {
	checkSame("symloggrad", "dy", len(dy), len(dx))
	checkSame("symloggrad", "x", len(x), len(dx))
	for i, v := range x {
		dx[i] = dy[i] / (1 + abs32(v))
	}
}

// Clamp computes dst[i] = min(max(x[i], lo), hi) with min(a, b) = a < b ? a : b;
// NaN becomes lo.
func Clamp(dst, x []float32, lo, hi float32) {
	checkSame("clamp", "x", len(x), len(dst))
	for len(dst) > chunk {
		active.clamp(dst[:chunk], x[:chunk], lo, hi)
		dst, x = dst[chunk:], x[chunk:]
	}
	if len(dst) > 0 {
		active.clamp(dst, x, lo, hi)
	}
}

// AdamParams holds the numbers of one step of AdamW.
type AdamParams struct {
	LR           float32 // learning rate
	Beta1, Beta2 float32 // decay of the two moments
	Eps          float32 // added to the root of the second moment
	Decay        float32 // decoupled weight decay, multiplied by LR
	Correct1     float32 // bias corrections 1/(1-Beta1^t) …
	Correct2     float32 // … and 1/(1-Beta2^t)
	GradScale    float32 // multiplies the gradient first, for clipping and averaging
}

// AdamW makes one step of Adam with decoupled weight decay (I. Loshchilov and
// F. Hutter, arXiv 1711.05101) on the weights w with gradients g; m and v are
// the moments. Per element, each operation rounded to float32:
//
//	g = g*GradScale
//	m = fma(1-Beta1, g-m, m)
//	v = fma(1-Beta2, g*g-v, v)
//	u = (m*Correct1) / (sqrt(v*Correct2) + Eps)
//	u = fma(Decay, w, u)
//	w = fma(-LR, u, w)
//
// g itself is left as it was.
func AdamW(w, g, m, v []float32, p *AdamParams) {
	checkSame("adamw", "g", len(g), len(w))
	checkSame("adamw", "m", len(m), len(w))
	checkSame("adamw", "v", len(v), len(w))
	for len(w) > chunk {
		active.adamW(w[:chunk], g[:chunk], m[:chunk], v[:chunk], p)
		w, g, m, v = w[chunk:], g[chunk:], m[chunk:], v[chunk:]
	}
	if len(w) > 0 {
		active.adamW(w, g, m, v, p)
	}
}
