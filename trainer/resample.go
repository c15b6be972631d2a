package trainer

import "math"

// resampler scales a square of RGB bytes down to another square with a
// Catmull-Rom filter stretched to the ratio. Weights are integers of 14 bits
// and sums are exact, so that every machine gets the same bytes.
type resampler struct {
	taps    int
	first   []int32 // [size] first source index, before clamping to the square
	weights []int32 // [size][taps], each row sums to 1<<14
	rows    []byte  // [n][size] pixels: scaled horizontally only
}

const resampleBits = 14

// scale writes the n×n source pixels at src (stride bytes a row) as size×size
// pixels to dst, n >= size.
func (r *resampler) scale(dst []byte, src []byte, stride, n, size int) {
	r.plan(n, size)
	if cap(r.rows) < 3*n*size {
		r.rows = make([]byte, 3*n*size)
	}
	rows := r.rows[:3*n*size]
	last := int32(n - 1)
	const half = 1 << (resampleBits - 1)
	for y := range n {
		in := src[y*stride:][: 3*n : 3*n]
		out := rows[3*size*y:][: 3*size : 3*size]
		for x := range size {
			var s0, s1, s2 int32 = half, half, half
			at := r.first[x]
			for _, w := range r.weights[x*r.taps:][:r.taps] {
				p := in[3*min(max(at, 0), last):]
				s0 += w * int32(p[0])
				s1 += w * int32(p[1])
				s2 += w * int32(p[2])
				at++
			}
			o := out[3*x : 3*x+3]
			o[0], o[1], o[2] = clampByte(s0), clampByte(s1), clampByte(s2)
		}
	}
	var sums [3 * 64]int32
	for y := range size {
		for x0 := 0; x0 < 3*size; x0 += len(sums) {
			acc := sums[:min(len(sums), 3*size-x0)]
			for i := range acc {
				acc[i] = half
			}
			for k, w := range r.weights[y*r.taps:][:r.taps] {
				at := int(min(max(r.first[y]+int32(k), 0), last))
				in := rows[3*size*at+x0:][:len(acc)]
				for i, v := range in {
					acc[i] += w * int32(v)
				}
			}
			out := dst[3*size*y+x0:][:len(acc)]
			for i, v := range acc {
				out[i] = clampByte(v)
			}
		}
	}
}

// plan computes the weights for n source and size destination pixels.
func (r *resampler) plan(n, size int) {
	ratio := float64(n) / float64(size)
	r.taps = int(math.Ceil(4 * ratio))
	r.first = grow(r.first, size)
	r.weights = grow(r.weights, size*r.taps)
	for i := range size {
		centre := float64((float64(i)+0.5)*ratio) - 0.5
		first := math.Floor(centre-float64(2*ratio)) + 1
		r.first[i] = int32(first)
		w := r.weights[i*r.taps:][:r.taps]
		total := 0.0
		for k := range w {
			total += catmullRom((first + float64(k) - centre) / ratio)
		}
		sum, largest := int32(0), 0
		for k := range w {
			v := catmullRom((first+float64(k)-centre)/ratio) / total
			w[k] = int32(math.Floor(float64(v*(1<<resampleBits)) + 0.5))
			sum += w[k]
			if w[k] > w[largest] {
				largest = k
			}
		}
		w[largest] += 1<<resampleBits - sum
	}
}

// catmullRom is the cubic of Catmull and Rom (1974), support [-2, 2].
func catmullRom(x float64) float64 {
	x = math.Abs(x)
	switch {
	case x < 1:
		return float64(float64(float64(1.5*x)-2.5)*float64(x*x)) + 1
	case x < 2:
		return float64(float64(float64(float64(float64(-0.5*x)+2.5)*x)-4)*x) + 2
	}
	return 0
}

func clampByte(v int32) byte {
	return byte(min(max(v>>resampleBits, 0), 255))
}

// grow returns a slice of length n, the old one where it is large enough.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
