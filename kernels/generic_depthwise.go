package kernels

import "unsafe"

// dwGroup is the number of channels that are summed together.
const dwGroup = 64

// depthwise3Generic is the specification of the depthwise3 entry.
func depthwise3Generic(d *dwArgs) {
	c := d.c
	w := unsafe.Slice(d.w, 9*c)
	dst := unsafe.Slice(d.dst, d.n*c)
	var bias, residual []float32
	if d.bias != nil {
		bias = unsafe.Slice(d.bias, c)
	}
	if d.residual != nil {
		residual = unsafe.Slice(d.residual, d.n*c)
	}
	var row [3]dwLine
	for ky := range row {
		row[ky] = newDWLine(d.row[ky], d.n, c, c, d.left, d.right)
	}
	for x := range d.n {
		for c0 := 0; c0 < c; c0 += dwGroup {
			n := min(dwGroup, c-c0)
			var group [dwGroup]float32
			acc := group[:n]
			if bias != nil {
				copy(acc, bias[c0:])
			}
			for t := range 9 {
				fmaSlice(acc, row[t/3].group(x+t%3, c0, n), w[t*c+c0:], acc)
			}
			for i, v := range acc {
				acc[i] = activate(v, d.act, d.slope)
			}
			if residual != nil {
				addGeneric(acc, acc, residual[x*c+c0:])
			}
			copy(dst[x*c+c0:], acc)
		}
	}
}

// depthwiseGeneric is the specification of the depthwise entry.
func depthwiseGeneric(d *dwWindowArgs) {
	depthwiseTaps(d, macRowsGeneric, leakyGeneric, reluGeneric, addGeneric)
}

// depthwiseTaps is the depthwise entry in terms of functions on rows: tap by tap
// over all pixels.
func depthwiseTaps(d *dwWindowArgs, macRows func(dst, x, v []float32), leaky func(dst, x []float32, slope float32),
	relu func(dst, x []float32), add func(dst, a, b []float32)) {
	n := d.n * d.c
	s := getScratch()
	acc := grow(&s.c, n)
	clear(acc)
	if d.bias != nil {
		for x := range d.n {
			copy(acc[x*d.c:], unsafe.Slice(d.bias, d.c))
		}
	}
	w := unsafe.Slice(d.w, d.kh*d.kw*d.c)
	for ky, row := range unsafe.Slice(d.row, d.kh) {
		pixels := unsafe.Slice(row, n+(d.kw-1)*d.c)
		for kx := range d.kw {
			macRows(acc, pixels[kx*d.c:][:n], w[(ky*d.kw+kx)*d.c:][:d.c])
		}
	}
	switch d.act {
	case ActLeaky:
		leaky(acc, acc, d.slope)
	case ActReLU:
		relu(acc, acc)
	}
	dst := unsafe.Slice(d.dst, n)
	if d.residual != nil {
		add(dst, acc, unsafe.Slice(d.residual, n))
	} else {
		copy(dst, acc)
	}
	s.release()
}

// depthwise3WeightGeneric is the specification of the depthwise3Weight entry.
func depthwise3WeightGeneric(d *dwWeightArgs) {
	dy := unsafe.Slice(d.dy, (d.n-1)*d.stride+d.c)
	for ky := range 3 {
		row := newDWLine(d.row[ky], d.n, d.c, d.stride, d.left, d.right)
		for kx := range 3 {
			dw := unsafe.Slice(offset(d.dw, (ky*3+kx)*d.ldw), d.c)
			for c0 := 0; c0 < d.c; c0 += dwGroup {
				n := min(dwGroup, d.c-c0)
				var group [dwGroup]float32
				acc := group[:n]
				for x := range d.n {
					fmaSlice(acc, row.group(x+kx, c0, n), dy[x*d.stride+c0:], acc)
				}
				addGeneric(dw[c0:][:n], dw[c0:], acc)
			}
		}
	}
}

// dwLine is one row of the input of n outputs.
type dwLine struct {
	pixels []float32
	stride int
	first  int // column of pixels[0]: 1 where the left one does not exist
	end    int // columns from here on do not exist
}

func newDWLine(p *float32, n, c, stride int, left, right bool) dwLine {
	l := dwLine{stride: stride, end: n + 2}
	if left {
		l.first = 1
	}
	if right {
		l.end--
	}
	l.pixels = unsafe.Slice(p, (l.end-l.first-1)*stride+c)
	return l
}

// group returns n <= dwGroup channels from c0 on of column x, zeros outside of
// the image.
func (l *dwLine) group(x, c0, n int) []float32 {
	if x < l.first || x >= l.end {
		return dwZeros[:n]
	}
	return l.pixels[(x-l.first)*l.stride+c0:][:n]
}

var dwZeros [dwGroup]float32
