package kernels

import "unsafe"

// Depthwise8 convolves every channel of an image of bytes with a kernel of its
// own, stride 1, "same" padding: src is h×wd×c, w is [kh*kw][c]. The sum of
// output (y, x) of a channel is that of the taps
// src[y-(kh-1)/2+ky][x-(kw-1)/2+kx]·w[ky*kw+kx]; those outside of the image are
// the channel's byte of pad, its zero point. Weights have 16 bits, so that
// kh·kw <= MaxDepthwise8Taps products cannot overflow with a bias of at most
// 2^30. Only the rows y0 <= y < y1 of the output are computed; its pixel (y, x) is
// row (y-y0)·wd+x of the matrices of out, whose strides must be c.
func Depthwise8(src, pad []uint8, w []int16, h, wd, c, kh, kw int, out *IntOutput, y0, y1 int) {
	const op = "depthwise8"
	checkLen(op, "src", len(src), h*wd*c)
	checkLen(op, "w", len(w), kh*kw*c)
	checkRange(op, y0, y1, h)
	j := intDepthwise[uint8]{pad: pad, w: w, wd: wd, c: c, kw: kw, entry: active.depthwise8}
	checkLen(op, "pad", len(pad), c)
	j.check(op, out, y1-y0)
	if wd == 0 || c == 0 || y0 == y1 {
		return
	}
	s := getScratch()
	if cap(s.taps8) < kh {
		s.taps8 = make([][]uint8, kh)
	}
	s.taps8 = s.taps8[:kh]
	for y := y0; y < y1; y++ {
		for ky := range s.taps8 {
			s.taps8[ky] = nil
			if sy := y - (kh-1)/2 + ky; sy >= 0 && sy < h {
				s.taps8[ky] = src[sy*wd*c:][:wd*c]
			}
		}
		j.row(s, s.taps8, out, (y-y0)*wd)
	}
	s.release()
}

// Depthwise8Row computes one row of Depthwise8 for callers that do not hold a
// whole image: lines are the len(lines) rows that the kernel covers, the first
// one (len(lines)-1)/2 above the output, of wd*c bytes each, and nil where they
// are outside the image. The matrices of out are that one row.
func Depthwise8Row(lines [][]uint8, pad []uint8, w []int16, wd, c, kw int, out *IntOutput) {
	checkLen("depthwise8row", "pad", len(pad), c)
	j := intDepthwise[uint8]{pad: pad, w: w, wd: wd, c: c, kw: kw, entry: active.depthwise8}
	j.one("depthwise8row", lines, out)
}

// Depthwise16Row is Depthwise8Row for lines of 16-bit numbers, which are 0 outside
// of the image. The sums must fit 32 bits: those of the weights' magnitudes of a
// channel times 2^15, with the bias, must be below 2^31.
func Depthwise16Row(lines [][]int16, w []int16, wd, c, kw int, out *IntOutput) {
	j := intDepthwise[int16]{w: w, wd: wd, c: c, kw: kw, entry: active.depthwise16}
	j.one("depthwise16row", lines, out)
}

// MaxDepthwise8Taps is the largest kh·kw for which the sums of Depthwise8 fit
// 32 bits whatever the operands: 255·2^15 times as much is less than 2^30.
const MaxDepthwise8Taps = 128

// intDepthwise is what all rows of a depthwise convolution share.
type intDepthwise[T uint8 | int16] struct {
	pad       []T // nil: zeros
	w         []int16
	wd, c, kw int
	entry     func(*dw8Args) // for windows of 3x3
}

// one computes a single row.
func (j *intDepthwise[T]) one(op string, lines [][]T, out *IntOutput) {
	checkLen(op, "w", len(j.w), len(lines)*j.kw*j.c)
	for _, line := range lines {
		if line != nil {
			checkLen(op, "line", len(line), j.wd*j.c)
		}
	}
	j.check(op, out, 1)
	if j.wd == 0 || j.c == 0 {
		return
	}
	s := getScratch()
	j.row(s, lines, out, 0)
	s.release()
}

// check panics unless out holds that many rows.
func (j *intDepthwise[T]) check(op string, out *IntOutput, rows int) {
	out.check(op, rows*j.wd, j.c)
	if out.Residual != nil {
		checkSame(op, "stride of the residual", out.LDR, j.c)
	}
	if out.Out16 != nil {
		checkSame(op, "stride of out16", out.LD16, j.c)
	}
	if out.Out8 != nil {
		checkSame(op, "stride of out8", out.LD8, j.c)
	}
}

// row computes one row of the output, whose first pixel is row `at` of the
// matrices of out, from the rows that the kernel covers, nil where they are
// outside the image.
func (j *intDepthwise[T]) row(s *scratch, lines [][]T, out *IntOutput, at int) {
	if len(lines) == 3 && j.kw == 3 {
		j.row3(s, lines, out, at)
	} else {
		j.rowAny(s, lines, out, at)
	}
}

// row3 computes a row with the entry: in the middle from the rows
// themselves, the first and the last pixel from copies of the three columns
// there, a row outside the image from one of padding.
func (j *intDepthwise[T]) row3(s *scratch, lines [][]T, out *IntOutput, at int) {
	c, window := j.c, 3*j.c
	step := max(dwChunk/c, 1) // pixels per call of the entry
	buf := scratchOf[T](s, 3*window+(min(step, j.wd)+2)*c)
	windows, outside := buf[:3*window], buf[3*window:]
	if lines[0] == nil || lines[1] == nil || lines[2] == nil {
		j.fill(outside)
	}
	d := &s.dw8
	d.w, d.stride, d.c = &j.w[0], c, c
	for x := 0; x < j.wd; x += d.n {
		middle := x > 0 && x < j.wd-1
		d.n = 1
		if middle {
			d.n = min(step, j.wd-1-x)
		}
		for ky, line := range lines {
			switch {
			case line == nil:
				d.row[ky] = bytesAt(&outside[0])
			case middle:
				d.row[ky] = bytesAt(&line[(x-1)*c])
			default:
				columns := windows[ky*window:][:window]
				j.copyPadded(columns, line, x-1)
				d.row[ky] = bytesAt(&columns[0])
			}
		}
		out.entryOut(&d.out, at+x, 0)
		j.entry(d)
	}
}

// rowAny computes a row of any window, tap by tap on padded copies of the rows.
func (j *intDepthwise[T]) rowAny(s *scratch, lines [][]T, out *IntOutput, at int) {
	c, left := j.c, (j.kw-1)/2
	padded := scratchOf[T](s, (j.wd+j.kw-1)*c)
	sums := grow(&s.ints, j.wd*c)
	clear(sums)
	for ky, line := range lines {
		if line == nil {
			j.fill(padded)
		} else {
			j.copyPadded(padded, line, -left)
		}
		for kx := range j.kw {
			taps, tap := padded[kx*c:][:j.wd*c], j.w[(ky*j.kw+kx)*c:][:c]
			for x := range j.wd {
				acc := sums[x*c:][:c]
				for ch, v := range taps[x*c:][:c] {
					acc[ch] += int32(v) * int32(tap[ch])
				}
			}
		}
	}
	var o intOut
	for x := range j.wd {
		out.entryOut(&o, at+x, 0)
		o.finish(sums[x*c:][:c], 0, c)
	}
}

// copyPadded fills dst with the pixels of a line from column x on, which may lie
// outside on both sides.
func (j *intDepthwise[T]) copyPadded(dst, line []T, x int) {
	before := min(max(-x, 0)*j.c, len(dst))
	j.fill(dst[:before])
	n := 0
	if from := max(x, 0) * j.c; from < j.wd*j.c {
		n = copy(dst[before:], line[from:j.wd*j.c])
	}
	j.fill(dst[before+n:])
}

// fill fills dst with pixels outside the image.
func (j *intDepthwise[T]) fill(dst []T) {
	if j.pad == nil {
		clear(dst)
		return
	}
	for ; len(dst) > 0; dst = dst[j.c:] {
		copy(dst, j.pad[:j.c])
	}
}

// scratchOf is scratch memory for n numbers.
func scratchOf[T uint8 | int16](s *scratch, n int) []T {
	var zero T
	return asElements[T](grow(&s.bytes, n*int(unsafe.Sizeof(zero))))
}
