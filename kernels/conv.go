package kernels

// ConvShape is the geometry of a convolution or pooling over one NHWC image.
// Output pixel (oy, ox) reads the input pixels (oy*StrideY-PadTop+ky,
// ox*StrideX-PadLeft+kx) for 0 <= ky < KH and 0 <= kx < KW; those outside the
// image count as +0. There is no padding at the bottom and right to state: it
// follows from OutH and OutW.
type ConvShape struct {
	H, W, Cin        int // input
	OutH, OutW, Cout int // output
	KH, KW           int
	StrideY, StrideX int
	PadTop, PadLeft  int
}

func (s *ConvShape) check(op string) {
	if min(s.H, s.W, s.Cin, s.OutH, s.OutW, s.Cout, s.PadTop, s.PadLeft) < 0 || min(s.KH, s.KW, s.StrideY, s.StrideX) < 1 {
		panic("kernels: " + op + ": invalid shape")
	}
}

// pointwise reports whether the convolution is a matrix product of the pixels.
func (s *ConvShape) pointwise() bool {
	return s.KH == 1 && s.KW == 1 && s.StrideY == 1 && s.StrideX == 1 && s.PadTop == 0 && s.PadLeft == 0 &&
		s.H == s.OutH && s.W == s.OutW
}

// Conv convolves one image: dst is OutH×OutW×Cout, src is H×W×Cin, and w has
// one row for each (ky, kx, cin), in this order, and Cout columns. Only the
// output rows y0 <= oy < y1 are computed. The sums are as in GEMM, over the taps
// in the order of the rows of w; taps outside the image take part as +0.
// ep.Residual has the shape of dst with pixels LDR elements apart.
func Conv(dst, src []float32, w *Packed, s *ConvShape, ep *Epilogue, y0, y1 int) {
	s.check("conv")
	if ep == nil {
		ep = &noEpilogue
	}
	checkSame("conv", "rows of the weights", w.K, s.KH*s.KW*s.Cin)
	checkSame("conv", "columns of the weights", w.N, s.Cout)
	checkLen("conv", "src", len(src), s.H*s.W*s.Cin)
	checkLen("conv", "dst", len(dst), s.OutH*s.OutW*s.Cout)
	checkEpilogue("conv", ep, s.OutH*s.OutW, s.Cout)
	checkRange("conv", y0, y1, s.OutH)
	if s.Cout == 0 || s.OutW == 0 || y0 == y1 {
		return
	}
	sc := getScratch()
	switch {
	case s.pointwise():
		sc.pixels(dst, src, w, ep, y0*s.OutW, y1*s.OutW)
	case s.KW*s.Cin >= linesMinK && s.OutW >= linesMinWidth:
		sc.lines(dst, src, w, s, ep, y0, y1)
	default:
		sc.patches(dst, src, w, s, ep, y0*s.OutW, y1*s.OutW)
	}
	sc.release()
}

// ConvTransposed is the gradient of Conv with respect to its input, and the
// forward pass of a transposed convolution: dst is H×W×Cin, src is
// OutH×OutW×Cout, and w has one row for each (ky, kx, cout), in this order, and
// Cin columns. Pixel (iy, ix) of dst sums, as in GEMM, the taps in the order of
// the rows of w; tap (ky, kx) meets pixel ((iy+PadTop-ky)/StrideY,
// (ix+PadLeft-kx)/StrideX) of src. Taps for which a division leaves a remainder
// do not exist for that pixel; those outside of src take part as +0. Only the
// rows y0 <= iy < y1 of dst are computed. ep.Residual has the shape of dst with
// pixels LDR elements apart.
func ConvTransposed(dst, src []float32, w *Packed, s *ConvShape, ep *Epilogue, y0, y1 int) {
	s.check("convtransposed")
	if ep == nil {
		ep = &noEpilogue
	}
	checkSame("convtransposed", "rows of the weights", w.K, s.KH*s.KW*s.Cout)
	checkSame("convtransposed", "columns of the weights", w.N, s.Cin)
	checkLen("convtransposed", "src", len(src), s.OutH*s.OutW*s.Cout)
	checkLen("convtransposed", "dst", len(dst), s.H*s.W*s.Cin)
	checkEpilogue("convtransposed", ep, s.H*s.W, s.Cin)
	checkRange("convtransposed", y0, y1, s.H)
	if s.Cin == 0 || s.W == 0 || y0 == y1 {
		return
	}
	sc := getScratch()
	if s.pointwise() {
		sc.pixels(dst, src, w, ep, y0*s.W, y1*s.W)
	} else {
		sc.transposed(dst, src, w, s, ep, y0, y1)
	}
	sc.release()
}

// ConvWeightGrad adds the gradient of the weights of one image to dw, which has
// one row for each (ky, kx, cin) and Cout columns: dw += patches(src)ᵀ·dy, where
// row p of patches holds the inputs of output pixel p. The output pixels, in
// raster order, play the rows of GEMMTN, in its blocks and its order. Only the
// rows k0 <= k < k1 of dw are computed.
func ConvWeightGrad(dw, src, dy []float32, s *ConvShape, k0, k1 int) {
	s.check("convweightgrad")
	k, pixels := s.KH*s.KW*s.Cin, s.OutH*s.OutW
	checkRange("convweightgrad", k0, k1, k)
	checkLen("convweightgrad", "src", len(src), s.H*s.W*s.Cin)
	checkLen("convweightgrad", "dy", len(dy), pixels*s.Cout)
	checkLen("convweightgrad", "dw", len(dw), k*s.Cout)
	if s.pointwise() {
		GEMMTN(dw, s.Cout, src, s.Cin, dy, s.Cout, pixels, k, s.Cout, k0, k1)
		return
	}
	if s.Cout == 0 || pixels == 0 {
		return
	}
	sc := getScratch()
	for p := 0; p < pixels; p += gradBlock {
		n := min(gradBlock, pixels-p)
		packed := grow(&sc.b, panels(s.Cout)*n*PanelWidth)
		packPanels(packed, dy[p*s.Cout:], s.Cout, n, s.Cout)
		for i := k0; i < k1; i += gemmMaxM {
			m := min(gemmMaxM, k1-i)
			strip := grow(&sc.a, n*m)
			s.gather(strip, src, p, n, i, i+m)
			sc.addTN(dw[i*s.Cout:], s.Cout, strip, m, packed, n, m, s.Cout, &noLookahead)
		}
	}
	sc.release()
}

// pixels computes the output pixels p0 <= p < p1 of a 1×1 convolution.
func (sc *scratch) pixels(dst, src []float32, w *Packed, ep *Epilogue, p0, p1 int) {
	var residual []float32
	if ep.Residual != nil {
		residual = ep.Residual[p0*ep.LDR:]
	}
	sc.product(dst[p0*w.N:], w.N, src[p0*w.K:], w.K, w, p1-p0, ep, residual)
}

// patches computes the output pixels p0 <= p < p1 of a convolution in strips:
// the inputs of each pixel of a strip are copied into one row of a matrix.
func (sc *scratch) patches(dst, src []float32, w *Packed, s *ConvShape, ep *Epilogue, p0, p1 int) {
	rows := gemmRows(w.K)
	strip := grow(&sc.a, rows*w.K)
	for p := p0; p < p1; p += rows {
		m := min(rows, p1-p)
		s.gather(strip, src, p, m, 0, w.K)
		var residual []float32
		if ep.Residual != nil {
			residual = ep.Residual[p*ep.LDR:]
		}
		sc.cut(strip, 0, w.K)
		sc.strip(dst[p*w.N:], w.N, w.K, w, m, gemmMaxK, ep, residual)
	}
}

// Where the taps of one ky make a sum long enough for one kernel call, and a
// row of the output enough rows of a matrix, nothing needs to be gathered: see
// lines.
const (
	linesMinK     = 48
	linesMinWidth = 16
)

// lines computes the output rows y0 <= oy < y1 of a convolution. The operands of
// an output row for one ky already are a matrix in the input row, whose rows, one
// for each pixel, overlap: they start StrideX*Cin elements apart and are KW*Cin
// long. So each of the KH pieces of a sum reads an input row directly; the rows
// are copied once, to have the padding around them.
func (sc *scratch) lines(dst, src []float32, w *Packed, s *ConvShape, ep *Epilogue, y0, y1 int) {
	step, k := s.StrideX*s.Cin, s.KW*s.Cin
	size := (s.OutW-1)*step + k
	// As in product, several rows share a pass over weights that do not stay in
	// the cache.
	block := min(max(blockRows(w.K, w.N)/s.OutW, 1), y1-y0)
	lines := (block-1)*s.StrideY + s.KH // of the ring
	ring := grow(&sc.a, lines*size)
	// As many equal strips as gemmRows asks for.
	strips := (s.OutW + gemmRows(k) - 1) / gemmRows(k)
	cols := (s.OutW + strips - 1) / strips
	next := y0*s.StrideY - s.PadTop // first input row that is not in the ring
	for y := y0; y < y1; y += block {
		end := min(y+block, y1)
		for next = max(next, y*s.StrideY-s.PadTop); next < (end-1)*s.StrideY-s.PadTop+s.KH; next++ {
			line := ring[(next+s.PadTop)%lines*size:][:size]
			if next < 0 || next >= s.H {
				clear(line)
			} else {
				copyPadded(line, src[next*s.W*s.Cin:][:s.W*s.Cin], -s.PadLeft*s.Cin)
			}
		}
		for j, n := 0, 0; j < w.N; j += n {
			n = gemmColumns(w.N - j)
			for oy := y; oy < end; oy++ {
				for x := 0; x < s.OutW; x += cols {
					sc.pieces = sc.pieces[:0]
					for ky := range s.KH {
						sc.pieces = append(sc.pieces, piece{&ring[(oy*s.StrideY+ky)%lines*size+x*step], ky * k})
					}
					p := oy*s.OutW + x
					var residual []float32
					if ep.Residual != nil {
						residual = ep.Residual[p*ep.LDR:]
					}
					sc.columns(dst[p*w.N:], w.N, step, w, min(cols, s.OutW-x), j, n, k, ep, residual)
				}
			}
		}
	}
}

// gather writes the columns k0 <= k < k1 of the patches of n output pixels from
// p on: each pixel's inputs in the order ky, kx, cin, with +0 outside the image.
// The taps of one ky are neighbours in src, so each is one copy.
func (s *ConvShape) gather(strip, src []float32, p, n, k0, k1 int) {
	line := s.KW * s.Cin
	width := s.W * s.Cin
	for ; n > 0; n-- {
		y := p/s.OutW*s.StrideY - s.PadTop
		x := (p%s.OutW*s.StrideX - s.PadLeft) * s.Cin // of the first tap, in elements
		for k := k0; k < k1; {
			ky := k / line
			end := min(k1, (ky+1)*line)
			run := strip[:end-k]
			strip = strip[end-k:]
			iy, from := y+ky, x+k-ky*line
			if iy < 0 || iy >= s.H {
				clear(run)
			} else {
				copyPadded(run, src[iy*width:][:width], from)
			}
			k = end
		}
		p++
	}
}

// copyPadded copies row[from:from+len(dst)] to dst with zeros outside row.
func copyPadded(dst, row []float32, from int) {
	if from < 0 {
		n := min(-from, len(dst))
		clear(dst[:n])
		dst, from = dst[n:], 0
	}
	n := 0
	if from < len(row) {
		n = copy(dst, row[from:])
	}
	clear(dst[n:])
}

// transposed computes the rows y0 <= iy < y1 of a transposed convolution. The
// pixels of a row whose ix+PadLeft leave the same remainder when divided by
// StrideX have the same taps, and for each tap their operands are neighbours in
// a row of src: a matrix, which makes one piece of the sums. The rows of src are
// copied once, to have zeros around them.
func (sc *scratch) transposed(dst, src []float32, w *Packed, s *ConvShape, ep *Epilogue, y0, y1 int) {
	k := s.Cout
	left := max(s.KW-1-s.PadLeft+s.StrideX-1, 0) / s.StrideX // zeros, in pixels
	size := (left + (s.W-1+s.PadLeft)/s.StrideX + 1) * k
	height := (s.KH + s.StrideY - 1) / s.StrideY // rows of src that a row of dst needs
	ring := grow(&sc.a, height*size)
	line := func(oy int) []float32 { return ring[(oy+height)%height*size:][:size] }
	strided := *ep
	strided.LDR *= s.StrideX
	rows := gemmRows(k)
	next := (y0+s.PadTop)/s.StrideY - height + 1 // first row of src that is not in the ring
	for iy := y0; iy < y1; iy++ {
		y := iy + s.PadTop
		for ; next <= y/s.StrideY; next++ {
			if next < 0 || next >= s.OutH {
				clear(line(next))
			} else {
				copyPadded(line(next), src[next*s.OutW*k:][:s.OutW*k], -left*k)
			}
		}
		for ix := 0; ix < min(s.StrideX, s.W); ix++ { // first pixel of a remainder
			pixels := (s.W-1-ix)/s.StrideX + 1
			for i := 0; i < pixels; i += rows {
				sc.pieces = sc.pieces[:0]
				for ky := y % s.StrideY; ky < s.KH && k > 0; ky += s.StrideY {
					in := line((y - ky) / s.StrideY)
					for kx := (ix + s.PadLeft) % s.StrideX; kx < s.KW; kx += s.StrideX {
						ox := (ix+s.PadLeft-kx)/s.StrideX + i
						sc.pieces = append(sc.pieces, piece{&in[(left+ox)*k], (ky*s.KW + kx) * k})
					}
				}
				p := iy*s.W + ix + i*s.StrideX
				var residual []float32
				if ep.Residual != nil {
					residual = ep.Residual[p*ep.LDR:]
				}
				sc.strip(dst[p*w.N:], w.N*s.StrideX, k, w, min(rows, pixels-i), k, &strided, residual)
			}
		}
	}
}
