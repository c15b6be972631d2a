package kernels

// Conv8 convolves one image of bytes: src is H×W×Cin, and w has one row for each
// (ky, kx, cin), in this order, and Cout columns. Taps outside of the image are
// the bytes of pad, one for each input channel: the zero points. Only the rows
// y0 <= y < y1 of the output are computed; its pixel (y, x) is row (y-y0)·OutW+x of
// the matrices of out.
//
//go:noinline // inlined in another package, the arguments would escape
func Conv8(src, pad []uint8, w *Packed8, s *ConvShape, out *IntOutput, y0, y1 int) {
	intConv("conv8", src, pad, 1, &w.intPanels, s, out, y0, y1, active.gemm8)
}

// Conv16 is Conv8 for an image of 16-bit integers; taps outside are 0.
//
//go:noinline // as above
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
