package kernels

// Conv8 convolves one image of bytes: src is H×W×Cin, and w has one row for each
// (ky, kx, cin), in this order, and Cout columns. Taps outside of the image are
// the bytes of pad, one for each input channel: the zero points. Only the rows
// y0 <= y < y1 of the output are computed; its pixel (y, x) is row (y-y0)·OutW+x of
// the matrices of out.
func Conv8(src, pad []uint8, w *Packed8, s *ConvShape, out *IntOutput, y0, y1 int) {
	intConv("conv8", src, pad, 1, &w.intPanels, s, out, y0, y1, active.gemm8)
}

// Conv16 is Conv8 for an image of 16-bit integers; taps outside are 0.
func Conv16(src []int16, w *Packed16, s *ConvShape, out *IntOutput, y0, y1 int) {
	intConv("conv16", src, nil, 2, &w.intPanels, s, out, y0, y1, active.gemm16)
}

func intConv[T uint8 | int16](op string, src, pad []T, size int, w *intPanels, s *ConvShape, out *IntOutput, y0, y1 int, entry func(*intGEMMArgs)) {
	s.check(op)
	checkSame(op, "rows of the weights", w.K, s.KH*s.KW*s.Cin)
	checkSame(op, "columns of the weights", w.N, s.Cout)
	checkLen(op, "src", len(src), s.H*s.W*s.Cin)
	if pad != nil {
		checkLen(op, "pad", len(pad), s.Cin)
	}
	checkRange(op, y0, y1, s.OutH)
	out.check(op, (y1-y0)*s.OutW, s.Cout)
	if s.Cout == 0 || s.OutW == 0 || y0 == y1 {
		return
	}
	sc := getScratch()
	p0, p1 := y0*s.OutW, y1*s.OutW
	if s.pointwise() {
		intProduct(sc, src[p0*s.Cin:], s.Cin, size, w, p1-p0, out, 0, entry)
		sc.release()
		return
	}
	rows := intRows(w.K, w.N)
	strip := asElements[T](grow(&sc.patches8, rows*w.K*size))
	for p := p0; p < p1; p += rows {
		m := min(rows, p1-p)
		gatherInt(s, strip, src, pad, p, m)
		intProduct(sc, strip, w.K, size, w, m, out, p-p0, entry)
	}
	sc.release()
}

// gatherInt writes the patches of n output pixels from p on: each pixel's inputs
// in the order ky, kx, cin.
func gatherInt[T uint8 | int16](s *ConvShape, strip, src, pad []T, p, n int) {
	for i := range n {
		y, x := (p+i)/s.OutW*s.StrideY-s.PadTop, (p+i)%s.OutW*s.StrideX-s.PadLeft
		for t := range s.KH * s.KW {
			iy, ix := y+t/s.KW, x+t%s.KW
			tap := strip[(i*s.KH*s.KW+t)*s.Cin:][:s.Cin]
			switch {
			case iy >= 0 && iy < s.H && ix >= 0 && ix < s.W:
				copy(tap, src[(iy*s.W+ix)*s.Cin:])
			case pad == nil:
				clear(tap)
			default:
				copy(tap, pad)
			}
		}
	}
}

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
	checkLen(op, "pad", len(pad), c)
	checkLen(op, "w", len(w), kh*kw*c)
	checkRange(op, y0, y1, h)
	out.check(op, (y1-y0)*wd, c)
	for _, m := range []struct {
		present bool
		ld      int
	}{{out.Residual != nil, out.LDR}, {out.Out16 != nil, out.LD16}, {out.Out8 != nil, out.LD8}} {
		if m.present {
			checkSame(op, "stride of an output", m.ld, c)
		}
	}
	if wd == 0 || c == 0 || y0 == y1 {
		return
	}
	s := getScratch()
	// A ring of kh padded rows: the entries need not know of edges.
	top, left := (kh-1)/2, (kw-1)/2
	size := (wd + kw - 1) * c
	ring := grow(&s.bytes, kh*size)
	line := func(y int) []uint8 { return ring[(y+top)%kh*size:][:size] }
	next := y0 - top // first row that is not in the ring
	for y := y0; y < y1; y++ {
		for ; next < y-top+kh; next++ {
			padRow(line(next), src, pad, next, h, wd, c, left)
		}
		if kh == 3 && kw == 3 {
			d := &s.dw8
			d.w, d.stride, d.c = &w[0], c, c
			step := max(dwChunk/c, 1)
			for x := 0; x < wd; x += step {
				d.n = min(step, wd-x)
				for ky := range d.row {
					d.row[ky] = &line(y - 1 + ky)[x*c]
				}
				out.entryOut(&d.out, (y-y0)*wd+x, 0)
				active.depthwise8(d)
			}
			continue
		}
		sums := grow(&s.ints, wd*c)
		clear(sums)
		for t := range kh * kw {
			taps, tap := line(y - top + t/kw)[t%kw*c:][:wd*c], w[t*c:][:c]
			for x := range wd {
				acc := sums[x*c:][:c]
				for ch, v := range taps[x*c:][:c] {
					acc[ch] += int32(v) * int32(tap[ch])
				}
			}
		}
		var o intOut
		for x := range wd {
			out.entryOut(&o, (y-y0)*wd+x, 0)
			o.finish(sums[x*c:][:c], 0, c)
		}
	}
	s.release()
}

// MaxDepthwise8Taps is the largest kh·kw for which the sums of Depthwise8 fit
// 32 bits whatever the operands: 255·2^15 times as much is less than 2^30.
const MaxDepthwise8Taps = 128

// padRow writes row y of an image with pad around it.
func padRow(dst, src, pad []uint8, y, h, wd, c, left int) {
	fill := func(dst []uint8) {
		for ; len(dst) > 0; dst = dst[c:] {
			copy(dst, pad[:c])
		}
	}
	if y < 0 || y >= h {
		fill(dst)
		return
	}
	fill(dst[:left*c])
	n := copy(dst[left*c:], src[y*wd*c:][:wd*c])
	fill(dst[left*c+n:])
}
