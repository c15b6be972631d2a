package kernels

import (
	"fmt"
	"unsafe"
)

// The exact-integer path. Activations are bytes or 16-bit integers, weights
// 8-bit or 16-bit integers, sums 32-bit integers. All of it is integer
// arithmetic without intermediate saturation, so the order of a sum does not
// matter and backends are free to use any.
//
// # Sums
//
// An accumulator starts at a bias and takes every product in full precision,
// modulo 2^32. No backend uses an instruction that saturates on the way
// (VPMADDUBSW, VPDPBUSDS): u8 by s8 is VPDPBUSD, SDOT or 16-bit
// multiply-adds of widened operands, s16 by s16 is VPDPWSSD, VPMADDWD or SMLAL,
// all of which form every product and every sum of them exactly, modulo 2^32.
// The sum is the true one if that fits an int32. It does for bytes whatever they
// are when K <= MaxInt8K and |bias| <= 2^30, because
//
//	MaxInt8K·255·128 + 2^30 < 2^31
//
// and for given weights in general when MaxSum plus |bias| stays below 2^31.
//
// # Rescaling
//
// Rescale brings the sum of column j to 16 bits:
//
//	t = sat16((acc + 2^shift>>1) >> shift[j])     0 <= shift <= 30, arithmetic
//	r = (t·mul[j] + 2^14) >> 15                   0 <= mul < 2^15, so r fits 16 bits
//
// where sat16 clamps to -32768..32767. Multipliers between 2^14 and 2^15 lose
// nothing of the 16 bits. Then come, as IntOutput asks, a leaky rectifier and a
// residual in 16 bits, in either order,
//
//	r = max(r, (r·slope + 2^14) >> 15)            0 <= slope < 2^15
//	r = sat16(r + residual)
//
// and the results, either or both:
//
//	16 bits: r
//	8 bits:  sat8((r + offset[j]) >> 6)           0 <= offset <= 32767, sat8 clamps to 0..255
//
// So a byte b stands for r = 64·b + 32 - offset: a value in bytes is the same
// value in 16 bits with a zero point that each channel chooses, its lowest six
// bits rounded off. All 256 bytes are within the reach of r, which a multiplier of
// 2^14 limits to 14 bits and a sign.

// MaxInt8K is the longest sum of Packed8 for which no bytes and no weights can
// overflow an accumulator whose bias is at most 2^30 in magnitude.
const MaxInt8K = 1 << 15

// rescaleBits is how many bits an 8-bit result has fewer than a 16-bit one.
const rescaleBits = 6

// ByteUnit is the distance of two bytes in units of 16-bit results.
const ByteUnit = 1 << rescaleBits

// rescalePad is the multiple of columns that the arrays of a Rescale are
// padded to, the most that a kernel reads at once.
const rescalePad = 2 * PanelWidth

// Rescale holds the parameters of the columns of an integer matrix product or
// the channels of a depthwise convolution.
type Rescale struct {
	n           int
	bias, shift []int32 // bias with the rounding of the shift
	mul, offset []int16
}

// NewRescale returns the parameters for len(bias) columns; see the definition at
// the top of this file. offset may be nil where no 8-bit results are wanted. It
// fails when lengths differ or a number is out of its range.
func NewRescale(bias, shift []int32, mul, offset []int16) (*Rescale, error) {
	n := len(bias)
	if len(shift) != n || len(mul) != n || offset != nil && len(offset) != n {
		return nil, fmt.Errorf("kernels: rescale: %d biases, %d shifts, %d multipliers, %d offsets", n, len(shift), len(mul), len(offset))
	}
	padded := (n + rescalePad - 1) / rescalePad * rescalePad
	r := &Rescale{
		n: n, bias: make([]int32, padded), shift: make([]int32, padded),
		mul: make([]int16, padded), offset: make([]int16, padded),
	}
	for j := range n {
		switch {
		case shift[j] < 0 || shift[j] > 30:
			return nil, fmt.Errorf("kernels: rescale: shift %d of column %d is outside 0..30", shift[j], j)
		case mul[j] < 0:
			return nil, fmt.Errorf("kernels: rescale: multiplier %d of column %d is negative", mul[j], j)
		case offset != nil && offset[j] < 0:
			return nil, fmt.Errorf("kernels: rescale: offset %d of column %d is negative", offset[j], j)
		}
		r.bias[j] = bias[j] + 1<<shift[j]>>1
	}
	copy(r.shift, shift)
	copy(r.mul, mul)
	copy(r.offset, offset)
	return r, nil
}

// IntActivation says where the leaky rectifier of an IntOutput stands.
type IntActivation int

const (
	IntActNone  IntActivation = iota
	IntActFirst               // before the residual
	IntActLast                // after the residual
)

// IntOutput says what becomes of the sums of an integer kernel. Strides are in
// elements and not looked at where the matrix is nil.
type IntOutput struct {
	Rescale  *Rescale
	Act      IntActivation
	Slope    int16   // of the leaky rectifier, in units of 2^-15; 0 is ReLU
	Residual []int16 // or nil; may be Out16 itself, exactly
	LDR      int
	Out16    []int16 // 16-bit results, or nil
	LD16     int
	Out8     []uint8 // 8-bit results, or nil
	LD8      int
}

// intPanels is a matrix of weights in the layout of the kernels: panels of
// PanelWidth columns, each of steps rows of PanelWidth groups, where a group is
// the four bytes (or two 16-bit numbers) of consecutive k of one column, the
// first one lowest. The layout is the same for every backend.
type intPanels struct {
	K, N  int
	steps int
	data  []uint32
	sum   []int32 // of each column modulo 2^32, padded to whole panels
	abs   []int64 // sum of magnitudes of each column
}

func newIntPanels(k, n, perStep int) intPanels {
	if k < 0 || n < 0 {
		panic("kernels: packed: negative size")
	}
	steps := (k + perStep - 1) / perStep
	return intPanels{
		K: k, N: n, steps: steps, data: make([]uint32, panels(n)*steps*PanelWidth),
		sum: make([]int32, panels(n)*PanelWidth), abs: make([]int64, n),
	}
}

// pack fills in the row-major k×n matrix b, rows ldb elements apart, of which
// perStep rows make a group.
func pack[T int8 | int16](p *intPanels, b []T, ldb, perStep int) {
	bits := 32 / perStep
	for k := range p.K {
		row, shift := b[k*ldb:][:p.N], k%perStep*bits
		for j0 := 0; j0 < p.N; j0 += PanelWidth {
			cells := row[j0:min(j0+PanelWidth, p.N)]
			group := p.data[(j0/PanelWidth*p.steps+k/perStep)*PanelWidth:][:len(cells)]
			sum, abs := p.sum[j0:][:len(cells)], p.abs[j0:][:len(cells)]
			for j, c := range cells {
				v := int32(c)
				group[j] |= uint32(v) & (1<<bits - 1) << shift
				sum[j] += v
				abs[j] += int64(max(v, -v))
			}
		}
	}
}

// Packed8 is a K×N matrix of 8-bit weights, laid out for GEMM8.
type Packed8 struct{ intPanels }

// Pack8 packs the row-major k×n matrix b whose rows are ldb elements apart.
func Pack8(k, n int, b []int8, ldb int) *Packed8 {
	p := &Packed8{newIntPanels(k, n, 4)}
	checkSize("pack8", "b", len(b), k, n, ldb)
	pack(&p.intPanels, b, ldb, 4)
	return p
}

// MaxSum returns the largest magnitude of Σ a·b over column j, for bytes a.
func (p *Packed8) MaxSum(j int) int64 { return p.abs[j] * 255 }

// Packed16 is a K×N matrix of 16-bit weights, laid out for GEMM16.
type Packed16 struct{ intPanels }

// Pack16 packs the row-major k×n matrix b whose rows are ldb elements apart.
func Pack16(k, n int, b []int16, ldb int) *Packed16 {
	p := &Packed16{newIntPanels(k, n, 2)}
	checkSize("pack16", "b", len(b), k, n, ldb)
	pack(&p.intPanels, b, ldb, 2)
	return p
}

// MaxSum returns the largest magnitude of Σ a·b over column j, for 16-bit a.
func (p *Packed16) MaxSum(j int) int64 { return p.abs[j] << 15 }

// GEMM8 computes the m×b.N sums of the bytes a, rows of b.K lda apart, times b
// and hands them to out. Outputs must not overlap a.
func GEMM8(a []uint8, lda int, b *Packed8, m int, out *IntOutput) {
	checkInt("gemm8", len(a), lda, &b.intPanels, m, out)
	s := getScratch()
	intProduct(s, a, lda, 1, &b.intPanels, m, out, 0, active.gemm8)
	s.release()
}

// GEMM16 computes the m×b.N sums of the 16-bit a, rows of b.K lda apart, times b
// and hands them to out. Outputs must not overlap a.
func GEMM16(a []int16, lda int, b *Packed16, m int, out *IntOutput) {
	checkInt("gemm16", len(a), lda, &b.intPanels, m, out)
	s := getScratch()
	intProduct(s, a, lda, 2, &b.intPanels, m, out, 0, active.gemm16)
	s.release()
}

func checkInt(op string, a, lda int, b *intPanels, m int, out *IntOutput) {
	checkSize(op, "a", a, m, b.K, lda)
	out.check(op, m, b.N)
}

// check panics unless the matrices of out hold m×n elements.
func (out *IntOutput) check(op string, m, n int) {
	if out.Rescale == nil {
		panic("kernels: " + op + ": no rescale")
	}
	checkSame(op, "columns of the rescale", out.Rescale.n, n)
	if out.Slope < 0 || out.Act < IntActNone || out.Act > IntActLast {
		panic("kernels: " + op + ": invalid activation")
	}
	if out.Residual != nil {
		checkSize(op, "residual", len(out.Residual), m, n, out.LDR)
	}
	if out.Out16 != nil {
		checkSize(op, "out16", len(out.Out16), m, n, out.LD16)
	}
	if out.Out8 != nil {
		checkSize(op, "out8", len(out.Out8), m, n, out.LD8)
	}
}

// entryOut fills in what an entry needs to know of out from row i, column j on.
func (out *IntOutput) entryOut(o *intOut, i, j int) {
	r := out.Rescale
	*o = intOut{
		bias: &r.bias[j], shift: &r.shift[j], mul: &r.mul[j], offset: &r.offset[j],
		act: int(out.Act), slope: int(out.Slope),
	}
	if out.Residual != nil {
		o.residual, o.ldr = &out.Residual[i*out.LDR+j], out.LDR
	}
	if out.Out16 != nil {
		o.out16, o.ld16 = &out.Out16[i*out.LD16+j], out.LD16
	}
	if out.Out8 != nil {
		o.out8, o.ld8 = &out.Out8[i*out.LD8+j], out.LD8
	}
}

// intWork bounds the multiply-adds of one call of an entry, so that it takes
// less than 250 microseconds at 12 of them a nanosecond, what AVX2 does.
const intWork = 3 << 20

// intRows returns how many rows of A one call takes.
func intRows(k, n int) int {
	rows := intWork / (max(k, 1) * min(n, intMaxPanels*PanelWidth))
	return min(max(rows/intTile*intTile, intTile), gemmMaxM)
}

const (
	intMaxPanels = 2  // panels of PanelWidth columns in one call of gemm8 or gemm16
	intTile      = 12 // rows of the largest tile
)

// intProduct computes rows of a product; size is that of an element of A in
// bytes, row the row of the outputs that is the first.
func intProduct[T uint8 | int16](s *scratch, a []T, lda, size int, b *intPanels, m int, out *IntOutput, row int, entry func(*intGEMMArgs)) {
	if m <= 0 || b.N == 0 {
		return
	}
	rows := intRows(b.K, b.N)
	g := &s.int
	g.bps, g.steps = b.steps*PanelWidth, b.steps
	// Entries read whole groups of four bytes.
	pad := b.K*size%4 != 0
	for i := 0; i < m; i += rows {
		g.m = min(rows, m-i)
		switch {
		case b.K == 0:
			g.a, g.ars = nil, 0
		case pad:
			g.ars = b.steps * 4
			strip := grow(&s.bytes, g.m*g.ars)
			clear(strip)
			for r := range g.m {
				copy(asElements[T](strip[r*g.ars:][:g.ars]), a[(i+r)*lda:][:b.K])
			}
			g.a = &strip[0]
		default:
			g.a, g.ars = bytesAt(&a[i*lda]), lda*size
		}
		for j := 0; j < b.N; j += intMaxPanels * PanelWidth {
			g.n = min(intMaxPanels*PanelWidth, b.N-j)
			g.b, g.sum = nil, &b.sum[j]
			if b.K > 0 {
				g.b = &b.data[j*b.steps]
			}
			out.entryOut(&g.out, row+i, j)
			entry(g)
		}
	}
}

// asElements looks at bytes as elements of A.
func asElements[T uint8 | int16](b []uint8) []T {
	if len(b) == 0 {
		return nil
	}
	var zero T
	return unsafe.Slice((*T)(unsafe.Pointer(&b[0])), len(b)/int(unsafe.Sizeof(zero)))
}

func bytesAt[T uint8 | int16](p *T) *uint8 { return (*uint8)(unsafe.Pointer(p)) }
