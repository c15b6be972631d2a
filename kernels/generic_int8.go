package kernels

import (
	"math"
	"unsafe"
)

// gemm8Generic is the specification of the gemm8 entry.
func gemm8Generic(g *intGEMMArgs) { intGEMMGeneric(g, false) }

// gemm16Generic is the specification of the gemm16 entry.
func gemm16Generic(g *intGEMMArgs) { intGEMMGeneric(g, true) }

// intGEMMGeneric computes one row of one panel at a time. A group of A holds two
// 16-bit numbers if wide, else four bytes.
func intGEMMGeneric(g *intGEMMArgs, wide bool) {
	for j := 0; j < g.n; j += PanelWidth {
		var b []uint32
		if g.steps > 0 {
			b = unsafe.Slice(elementAt(g.b, j/PanelWidth*g.bps), g.steps*PanelWidth)
		}
		for i := range g.m {
			var acc [PanelWidth]int32
			var a []uint8
			if g.steps > 0 {
				a = unsafe.Slice(elementAt(g.a, i*g.ars), 4*g.steps)
			}
			for k := range g.steps {
				group := uint32(a[4*k]) | uint32(a[4*k+1])<<8 | uint32(a[4*k+2])<<16 | uint32(a[4*k+3])<<24
				weights := (*[PanelWidth]uint32)(b[k*PanelWidth:])
				if wide {
					addProducts16(&acc, group, weights)
				} else {
					addProducts8(&acc, group, weights)
				}
			}
			row := g.out.row(i)
			row.finish(acc[:min(PanelWidth, g.n-j)], j, min(PanelWidth, g.n-j))
		}
	}
}

// addProducts8 adds the products of four unsigned bytes of A with signed ones of B.
func addProducts8(acc *[PanelWidth]int32, a uint32, b *[PanelWidth]uint32) {
	a0, a1, a2, a3 := int32(uint8(a)), int32(uint8(a>>8)), int32(uint8(a>>16)), int32(uint8(a>>24))
	for j, w := range b {
		acc[j] += a0*int32(int8(w)) + a1*int32(int8(w>>8)) + a2*int32(int8(w>>16)) + a3*int32(int8(w>>24))
	}
}

// addProducts16 adds the products of two signed 16-bit numbers.
func addProducts16(acc *[PanelWidth]int32, a uint32, b *[PanelWidth]uint32) {
	a0, a1 := int32(int16(a)), int32(int16(a>>16))
	for j, w := range b {
		acc[j] += a0*int32(int16(w)) + a1*int32(int16(w>>16))
	}
}

// row returns the description of row i.
func (o *intOut) row(i int) intOut {
	r := *o
	if r.residual != nil {
		r.residual = elementAt(r.residual, i*r.ldr)
	}
	if r.out16 != nil {
		r.out16 = elementAt(r.out16, i*r.ld16)
	}
	if r.out8 != nil {
		r.out8 = elementAt(r.out8, i*r.ld8)
	}
	return r
}

// finish is the specification of what becomes of sums, without their bias, of n
// columns from j on of the first row.
func (o *intOut) finish(acc []int32, j, n int) {
	bias, shift := unsafe.Slice(elementAt(o.bias, j), n), unsafe.Slice(elementAt(o.shift, j), n)
	mul, offset := unsafe.Slice(elementAt(o.mul, j), n), unsafe.Slice(elementAt(o.offset, j), n)
	for c, v := range acc[:n] {
		r := mulRound(sat16((v+bias[c])>>shift[c]), int32(mul[c]))
		if o.act == int(IntActFirst) {
			r = max(r, mulRound(r, int32(o.slope)))
		}
		if o.residual != nil {
			r = sat16(r + int32(*elementAt(o.residual, j+c)))
		}
		if o.act == int(IntActLast) {
			r = max(r, mulRound(r, int32(o.slope)))
		}
		if o.out16 != nil {
			*elementAt(o.out16, j+c) = int16(r)
		}
		if o.out8 != nil {
			*elementAt(o.out8, j+c) = narrow(r, offset[c])
		}
	}
}

// mulRound is x·m/2^15, rounded, for x of 16 and m of 15 bits.
func mulRound(x, m int32) int32 { return (x*m + 1<<14) >> 15 }

func sat16(x int32) int32 { return min(max(x, math.MinInt16), math.MaxInt16) }

// narrow is the 8-bit result of r.
func narrow(r int32, offset int16) uint8 {
	return uint8(min(max((r+int32(offset))>>rescaleBits, 0), 255))
}

// depthwise8Generic is the specification of the depthwise8 entry.
func depthwise8Generic(d *dw8Args) { intDepthwiseGeneric[uint8](d) }

// depthwise16Generic is the specification of the depthwise16 entry.
func depthwise16Generic(d *dw8Args) { intDepthwiseGeneric[int16](d) }

func intDepthwiseGeneric[T uint8 | int16](d *dw8Args) {
	w := unsafe.Slice(d.w, 8*d.stride+d.c)
	var acc [64]int32
	for x := range d.n {
		row := d.out.row(x)
		for c0 := 0; c0 < d.c; c0 += len(acc) {
			sums := acc[:min(len(acc), d.c-c0)]
			clear(sums)
			for ky, first := range d.row {
				for kx := range 3 {
					taps := unsafe.Slice(elementAt((*T)(unsafe.Pointer(first)), (x+kx)*d.stride+c0), len(sums))
					for ch, v := range taps {
						sums[ch] += int32(v) * int32(w[(3*ky+kx)*d.stride+c0+ch])
					}
				}
			}
			row.finish(sums, c0, len(sums))
		}
	}
}

// quantiseGeneric is the specification of the quantise entry.
func quantiseGeneric(q *quantiseArgs) {
	src := unsafe.Slice(q.src, q.rows*q.n)
	scale, offset := unsafe.Slice(q.scale, q.n), unsafe.Slice(q.offset, q.n)
	for i, v := range src {
		c := i % q.n
		v = max32(min32(v*scale[c], math.MaxInt16), math.MinInt16)
		r := int32(math.RoundToEven(float64(v)))
		if q.dst16 != nil {
			*elementAt(q.dst16, i) = int16(r)
		}
		if q.dst8 != nil {
			*elementAt(q.dst8, i) = narrow(r, offset[c])
		}
	}
}

// elementAt returns a pointer to the i-th element after p.
func elementAt[T any](p *T, i int) *T {
	return (*T)(unsafe.Add(unsafe.Pointer(p), i*int(unsafe.Sizeof(*p))))
}
