package kernels

// Element is what pixels are made of: floats, or the integers of int8.go.
type Element interface{ float32 | int16 | uint8 }

// Unshuffle moves blocks of r×r pixels into channels (space to depth): src is
// h×w×c with h and w divisible by r, dst is h/r × w/r × r*r*c, and
//
//	dst[y][x][(dy*r+dx)*c+ch] = src[y*r+dy][x*r+dx][ch]
//
// the order of TensorFlow's space_to_depth.
func Unshuffle[T Element](dst, src []T, h, w, c, r int) {
	checkBlocks("unshuffle", len(dst), len(src), h, w, c, r)
	run := r * c
	for y := range h {
		line := src[y*w*c:][:w*c]
		out := dst[(y/r*(w/r)*r+y%r)*run:]
		for x := 0; x < w/r; x++ {
			copy(out[x*r*run:][:run], line[x*run:])
		}
	}
}

// Shuffle is the inverse of Unshuffle (depth to space): dst is h×w×c with h and
// w divisible by r, src is h/r × w/r × r*r*c.
func Shuffle[T Element](dst, src []T, h, w, c, r int) {
	checkBlocks("shuffle", len(dst), len(src), h, w, c, r)
	run := r * c
	for y := range h {
		line := dst[y*w*c:][:w*c]
		in := src[(y/r*(w/r)*r+y%r)*run:]
		for x := 0; x < w/r; x++ {
			copy(line[x*run:][:run], in[x*r*run:])
		}
	}
}

func checkBlocks(op string, dst, src, h, w, c, r int) {
	if r < 1 || h%r != 0 || w%r != 0 {
		panic("kernels: " + op + ": size is not a multiple of the block")
	}
	checkLen(op, "dst", dst, h*w*c)
	checkLen(op, "src", src, h*w*c)
}

// UpsampleNearest repeats every pixel of src, h×w×c, r times in both
// directions; dst is h*r × w*r × c.
func UpsampleNearest(dst, src []float32, h, w, c, r int) {
	checkLen("upsample", "dst", len(dst), h*r*w*r*c)
	checkLen("upsample", "src", len(src), h*w*c)
	line := w * r * c
	for y := range h {
		first := dst[y*r*line:][:line]
		for x := range w {
			pixel := src[(y*w+x)*c:][:c]
			for dx := range r {
				copy(first[(x*r+dx)*c:], pixel)
			}
		}
		for dy := 1; dy < r; dy++ {
			copy(dst[(y*r+dy)*line:], first)
		}
	}
}

// UpsampleNearestGrad sums dy, h*r × w*r × c, over the r×r copies of each pixel
// into dx, h×w×c: float32 additions from +0, row by row of the block.
func UpsampleNearestGrad(dx, dy []float32, h, w, c, r int) {
	checkLen("upsamplegrad", "dx", len(dx), h*w*c)
	checkLen("upsamplegrad", "dy", len(dy), h*r*w*r*c)
	clear(dx[:h*w*c])
	for y := range h * r {
		line := dy[y*w*r*c:][:w*r*c]
		out := dx[y/r*w*c:][:w*c]
		for x := range w * r {
			sum := out[x/r*c:][:c]
			for ch, v := range line[x*c:][:c] {
				sum[ch] += v
			}
		}
	}
}

// MaxPool takes the maximum of the taps of each output pixel inside the image,
// channel by channel; s gives the geometry, with Cin == Cout. Taps are met in
// the order ky, kx, and a later one replaces an earlier one only if it is
// greater, so ties go to the first. arg, unless nil, receives the index of the
// winner in src. Where no tap is inside the image, dst is 0 and arg is -1.
func MaxPool(dst []float32, arg []int32, src []float32, s *ConvShape) {
	s.checkPool("maxpool", len(dst), len(src))
	if arg != nil {
		checkLen("maxpool", "arg", len(arg), s.OutH*s.OutW*s.Cout)
	}
	c := s.Cin
	for p := range s.OutH * s.OutW {
		out := dst[p*c:][:c]
		clear(out)
		var won []int32
		if arg != nil {
			won = arg[p*c:][:c]
			for ch := range won {
				won[ch] = -1
			}
		}
		w := s.window(p)
		for y := w.y0; y < w.y1; y++ {
			for x := w.x0; x < w.x1; x++ {
				first := y == w.y0 && x == w.x0
				base := (y*s.W + x) * c
				for ch, v := range src[base:][:c] {
					if first || v > out[ch] {
						out[ch] = v
						if won != nil {
							won[ch] = int32(base + ch)
						}
					}
				}
			}
		}
	}
}

// MaxPoolGrad adds every dy[i] to dx[arg[i]], i ascending; arg comes from
// MaxPool. The caller clears dx first unless it accumulates.
func MaxPoolGrad(dx, dy []float32, arg []int32) {
	checkSame("maxpoolgrad", "arg", len(arg), len(dy))
	for i, a := range arg {
		if a >= 0 {
			dx[a] += dy[i]
		}
	}
}

// AvgPool averages the taps of each output pixel inside the image, channel by
// channel; s gives the geometry, with Cin == Cout. The taps are added from +0
// in the order ky, kx, and the sum is divided by their number. Where there are
// none, dst is 0.
func AvgPool(dst, src []float32, s *ConvShape) {
	s.checkPool("avgpool", len(dst), len(src))
	c := s.Cin
	for p := range s.OutH * s.OutW {
		out := dst[p*c:][:c]
		clear(out)
		w := s.window(p)
		for y := w.y0; y < w.y1; y++ {
			for x := w.x0; x < w.x1; x++ {
				for ch, v := range src[(y*s.W+x)*c:][:c] {
					out[ch] += v
				}
			}
		}
		if n := w.taps(); n > 1 {
			for ch := range out {
				out[ch] /= float32(n)
			}
		}
	}
}

// AvgPoolGrad adds dy, divided by the number of taps inside the image, to all
// of those taps in dx, in raster order of dy. The caller clears dx first unless
// it accumulates.
func AvgPoolGrad(dx, dy []float32, s *ConvShape) {
	s.checkPool("avgpoolgrad", len(dy), len(dx))
	c := s.Cin
	for p := range s.OutH * s.OutW {
		w := s.window(p)
		n := float32(w.taps())
		for y := w.y0; y < w.y1; y++ {
			for x := w.x0; x < w.x1; x++ {
				to := dx[(y*s.W+x)*c:][:c]
				for ch, v := range dy[p*c:][:c] {
					to[ch] += v / n
				}
			}
		}
	}
}

func (s *ConvShape) checkPool(op string, out, in int) {
	s.check(op)
	checkSame(op, "channels", s.Cout, s.Cin)
	checkLen(op, "output", out, s.OutH*s.OutW*s.Cout)
	checkLen(op, "input", in, s.H*s.W*s.Cin)
}

// window is the part of the taps of one output pixel inside the image.
type window struct{ y0, y1, x0, x1 int }

func (s *ConvShape) window(p int) window {
	y, x := p/s.OutW*s.StrideY-s.PadTop, p%s.OutW*s.StrideX-s.PadLeft
	return window{max(y, 0), min(y+s.KH, s.H), max(x, 0), min(x+s.KW, s.W)}
}

func (w window) taps() int { return max(w.y1-w.y0, 0) * max(w.x1-w.x0, 0) }
