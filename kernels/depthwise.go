package kernels

import "slices"

// Depthwise convolves every channel with a kernel of its own, stride 1, "same"
// padding: dst and src are h×wd×c, w is [kh*kw][c], bias [c] or nil. Output
// (y, x) of a channel starts at bias (or +0) and adds, ky then kx ascending, one
// multiply-add per tap src[y-(kh-1)/2+ky][x-(kw-1)/2+kx]·w[ky*kw+kx]; taps
// outside the image take part as +0. Then come activation and residual of ep,
// which may be nil; its other fields must be unset. ep.Residual has the shape
// of dst with LDR == c. Only the rows y0 <= y < y1 are computed.
func Depthwise(dst, src, w, bias []float32, h, wd, c, kh, kw int, ep *Epilogue, y0, y1 int) {
	checkDepthwise("depthwise", ep, c)
	if ep == nil {
		ep = &noEpilogue
	}
	depthwise("depthwise", dst, src, w, bias, h, wd, c, kh, kw, (kh-1)/2, (kw-1)/2, ep, y0, y1)
}

// checkDepthwise checks the epilogue of a depthwise convolution, which may be nil.
func checkDepthwise(op string, ep *Epilogue, c int) {
	if ep == nil {
		return
	}
	if ep.Bias != nil || ep.Accumulate {
		panic("kernels: " + op + ": epilogue with bias or accumulation")
	}
	if ep.Residual != nil {
		checkSame(op, "residual stride", ep.LDR, c)
	}
}

// DepthwiseDataGrad computes the gradient of Depthwise with respect to its
// input: dx is Depthwise of dy with the kernel turned by 180 degrees, its taps
// in the order of the turned kernel (so those of w descend), and the larger
// half of the padding of an even kernel on the other side. With accumulate set,
// one float32 addition adds the old dx. Only the rows y0 <= y < y1 of dx are
// computed.
func DepthwiseDataGrad(dx, dy, w []float32, h, wd, c, kh, kw int, accumulate bool, y0, y1 int) {
	checkLen("depthwisedatagrad", "w", len(w), kh*kw*c)
	s := getScratch()
	turned := grow(&s.b, kh*kw*c)
	for t := range kh * kw {
		copy(turned[t*c:][:c], w[(kh*kw-1-t)*c:])
	}
	var ep Epilogue
	if accumulate {
		ep.Residual, ep.LDR = dx, c
	}
	depthwise("depthwisedatagrad", dx, dy, turned, nil, h, wd, c, kh, kw, kh/2, kw/2, &ep, y0, y1)
	s.release()
}

// dwChunk is about how many elements one call of the depthwise3 entry computes,
// and dwWork how many multiply-adds one of the depthwise entry does at most,
// unless those of a single pixel are more.
const (
	dwChunk = 8192
	dwWork  = 1 << 21
)

// depthwise is Depthwise with explicit padding.
func depthwise(op string, dst, src, w, bias []float32, h, wd, c, kh, kw, top, left int, ep *Epilogue, y0, y1 int) {
	checkLen(op, "dst", len(dst), h*wd*c)
	checkLen(op, "src", len(src), h*wd*c)
	checkLen(op, "w", len(w), kh*kw*c)
	if bias != nil {
		checkLen(op, "bias", len(bias), c)
	}
	if ep.Residual != nil {
		checkLen(op, "residual", len(ep.Residual), h*wd*c)
	}
	checkRange(op, y0, y1, h)
	if wd == 0 || c == 0 || y0 == y1 {
		return
	}
	j := dwJob{w: w, bias: bias, wd: wd, c: c, kw: kw, left: left}
	j.act, j.slope = ep.activation()
	s := getScratch()
	lines := s.emptyTaps(kh)
	for y := y0; y < y1; y++ {
		for ky := range lines {
			lines[ky] = nil
			if sy := y - top + ky; sy >= 0 && sy < h {
				lines[ky] = src[sy*wd*c:][:wd*c]
			}
		}
		var residual []float32
		if ep.Residual != nil {
			residual = ep.Residual[y*wd*c:][:wd*c]
		}
		j.row(s, dst[y*wd*c:][:wd*c], residual, lines)
	}
	s.release()
}

// DepthwiseRow computes one row of Depthwise for callers that do not hold a
// whole image: lines are the len(lines) rows that the kernel covers, the first
// one (len(lines)-1)/2 above the output, of wd*c elements each, and nil where
// they are outside the image. dst and ep.Residual are that one row.
func DepthwiseRow(dst []float32, lines [][]float32, w, bias []float32, wd, c, kw int, ep *Epilogue) {
	const op = "depthwiserow"
	checkDepthwise(op, ep, c)
	if ep == nil {
		ep = &noEpilogue
	}
	checkLen(op, "dst", len(dst), wd*c)
	checkLen(op, "w", len(w), len(lines)*kw*c)
	if bias != nil {
		checkLen(op, "bias", len(bias), c)
	}
	if ep.Residual != nil {
		checkLen(op, "residual", len(ep.Residual), wd*c)
	}
	for _, line := range lines {
		if line != nil {
			checkLen(op, "line", len(line), wd*c)
		}
	}
	if wd == 0 || c == 0 {
		return
	}
	j := dwJob{w: w, bias: bias, wd: wd, c: c, kw: kw, left: (kw - 1) / 2}
	j.act, j.slope = ep.activation()
	s := getScratch()
	j.row(s, dst[:wd*c], ep.Residual, lines)
	s.release()
}

// emptyTaps returns n rows that are nil.
func (s *scratch) emptyTaps(n int) [][]float32 {
	if cap(s.taps) < n {
		s.taps = make([][]float32, n)
	}
	s.taps = s.taps[:n]
	clear(s.taps)
	return s.taps
}

// dwJob is what all rows of a depthwise convolution share.
type dwJob struct {
	w, bias   []float32
	wd, c, kw int
	left      int // padding
	act       Activation
	slope     float32
}

// row computes one output row from the rows of the source that the kernel
// covers, nil where they are outside the image.
func (j *dwJob) row(s *scratch, out, residual []float32, lines [][]float32) {
	if len(lines) != 3 || j.kw != 3 {
		j.rowAny(s, out, residual, lines)
		return
	}
	step := max(dwChunk/j.c, 1) // pixels per call of the entry
	var zeros []float32
	if lines[0] == nil || lines[1] == nil || lines[2] == nil {
		zeros = grow(&s.a, (min(step, j.wd)+2)*j.c)
		clear(zeros)
	}
	j.row3(s, out, residual, zeros, lines, step)
}

// row3 computes a row with the depthwise3 entry; a row outside the image is
// replaced by zeros.
func (j *dwJob) row3(s *scratch, out, residual, zeros []float32, lines [][]float32, step int) {
	c := j.c
	d := &s.dw
	d.w, d.bias, d.c, d.act, d.slope = &j.w[0], at(j.bias, 0), c, j.act, j.slope
	for x := 0; x < j.wd; x += step {
		d.n = min(step, j.wd-x)
		d.left, d.right = x == 0, x+d.n == j.wd
		for ky, line := range lines {
			if line == nil {
				d.row[ky] = &zeros[0]
			} else {
				d.row[ky] = &line[max(x-1, 0)*c]
			}
		}
		d.dst = &out[x*c]
		d.residual = nil
		if residual != nil {
			d.residual = &residual[x*c]
		}
		active.depthwise3(d)
	}
}

// rowAny computes a row of any window with the depthwise entry: in the middle,
// where all taps meet pixels, from the rows themselves, towards the ends from
// copies with zeros around them. A call for the two pixels at an end takes as long
// as one for eight, for with so few sums it is the latency of FMA that counts: 5x5
// taps of 128 channels on rows of 48, 96 and 480 pixels come to 111, 142 and 165
// GFLOP/s with AVX-512 on a Zen 5.
func (j *dwJob) rowAny(s *scratch, out, residual []float32, lines [][]float32) {
	c, kh := j.c, len(lines)
	begin := min(j.left, j.wd) // of the middle
	end := max(j.wd-(j.kw-1-j.left), begin)
	step := max(dwWork/(c*kh*j.kw), 1) // pixels of a call
	edge := (min(max(begin, j.wd-end), step) + j.kw - 1) * c
	copies := grow(&s.a, kh*edge)
	zeros := grow(&s.c, (min(step, j.wd)+j.kw-1)*c)
	clear(zeros)
	s.rows = slices.Grow(s.rows[:0], kh)[:kh]
	d := &s.dwWindow
	*d = dwWindowArgs{
		row: &s.rows[0], w: &j.w[0], bias: at(j.bias, 0), c: c, kh: kh, kw: j.kw, act: j.act, slope: j.slope,
	}
	for x := 0; x < j.wd; x += d.n {
		stop, middle := j.wd, false
		switch {
		case x < begin:
			stop = begin
		case x < end:
			stop, middle = end, true
		}
		d.n = min(step, stop-x)
		for ky, line := range lines {
			switch {
			case line == nil:
				s.rows[ky] = &zeros[0]
			case middle:
				s.rows[ky] = &line[(x-j.left)*c]
			default:
				window := copies[ky*edge:][:(d.n+j.kw-1)*c]
				copyPadded(window, line, (x-j.left)*c)
				s.rows[ky] = &window[0]
			}
		}
		d.dst, d.residual = &out[x*c], nil
		if residual != nil {
			d.residual = &residual[x*c]
		}
		active.depthwise(d)
	}
}

// DepthwiseWeightGrad adds the gradient of the weights of one image to dw,
// [kh*kw][c]. For every row of dy in order, each tap of each channel sums
// src·dy over the pixels of the row, x ascending, with multiply-adds from +0,
// taps outside the image taking part as +0, and adds the sum to dw once. Only
// the channels c0 <= ch < c1 are computed; c0, and c1 unless it is c, should be
// multiples of 16.
func DepthwiseWeightGrad(dw, src, dy []float32, h, wd, c, kh, kw int, c0, c1 int) {
	const op = "depthwiseweightgrad"
	checkLen(op, "dw", len(dw), kh*kw*c)
	checkLen(op, "src", len(src), h*wd*c)
	checkLen(op, "dy", len(dy), h*wd*c)
	checkRange(op, c0, c1, c)
	n := c1 - c0
	if n == 0 || wd == 0 || h == 0 {
		return
	}
	if kh == 3 && kw == 3 {
		depthwise3WeightGrad(dw, src, dy, h, wd, c, c0, c1)
		return
	}
	// The channels wanted are copied to a ring of kh padded rows, and those of
	// dy to one row unless they are all.
	s := getScratch()
	defer s.release()
	top, left := (kh-1)/2, (kw-1)/2
	size := (wd + kw - 1) * n
	ring := grow(&s.a, kh*size)
	clear(ring)
	line := func(y int) []float32 { return ring[(y+kh)%kh*size:][:size] }
	load := func(y int) {
		dst := line(y)
		if y >= h {
			clear(dst)
			return
		}
		copyChannels(dst[left*n:], src[y*wd*c:], wd, c, c0, n)
	}
	for y := range min(kh-1-top, h) {
		load(y)
	}
	buf := grow(&s.b, wd*n+n)
	acc, grad := buf[:n], buf[n:]
	for y := range h {
		load(y + kh - 1 - top)
		row := dy[y*wd*c:][:wd*c]
		if n < c {
			copyChannels(grad, row, wd, c, c0, n)
			row = grad
		}
		for t := range kh * kw {
			clear(acc)
			taps := line(y - top + t/kw)[t%kw*n:][:wd*n]
			for x := 0; x < wd*n; x += rowsChunk(n) {
				end := min(x+rowsChunk(n), wd*n)
				active.dotRows(acc, taps[x:end], row[x:end])
			}
			dst := dw[t*c+c0:][:n]
			active.add(dst, dst, acc)
		}
	}
}

// dwWeightChunk is about how many elements of dy one call of a depthwise
// weight entry goes through; a row is cut between channels.
const dwWeightChunk = 1 << 16

// depthwise3WeightGrad is DepthwiseWeightGrad for 3x3; the operands have been
// checked and are not empty.
func depthwise3WeightGrad(dw, src, dy []float32, h, wd, c, c0, c1 int) {
	s := getScratch()
	defer s.release()
	zeros := grow(&s.a, wd*c)
	clear(zeros)
	d := &s.dww
	*d = dwWeightArgs{ldw: c, n: wd, stride: c, left: true, right: true}
	step := max(dwWeightChunk/wd&^(PanelWidth-1), PanelWidth)
	for y := range h {
		for ch := c0; ch < c1; ch += step {
			for ky := range d.row {
				d.row[ky] = &zeros[0]
				if sy := y - 1 + ky; sy >= 0 && sy < h {
					d.row[ky] = &src[sy*wd*c+ch]
				}
			}
			d.dw, d.c = &dw[ch], min(step, c1-ch)
			d.dy = &dy[y*wd*c+ch]
			active.depthwise3Weight(d)
		}
	}
}

// copyChannels copies n channels from c0 on of each of wd pixels of c.
func copyChannels(dst, src []float32, wd, c, c0, n int) {
	for x := range wd {
		copy(dst[x*n:][:n], src[x*c+c0:])
	}
}
