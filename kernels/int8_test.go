package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// integer is an element type of the exact-integer path.
type integer interface{ uint8 | int8 | int16 | int32 }

// ints returns n elements of fenced memory that end or begin at the fence.
func ints[T integer](mem *arena, n int) []T {
	var zero T
	per := 4 / int(unsafe.Sizeof(zero))
	x := mem.floats((n + per - 1) / per)
	if n == 0 {
		return nil
	}
	all := unsafe.Slice((*T)(unsafe.Pointer(&x[0])), len(x)*per)
	if f := mem.fences[mem.used-1]; f.hi == fenceSize {
		return all[len(all)-n:]
	}
	return all[:n:n]
}

// drawn returns n random elements; of three kinds, the third has extremes only.
func drawn[T integer](mem *arena, n int) []T {
	x := ints[T](mem, n)
	fillInts(mem.rng, x, mem.rng.IntN(3))
	return x
}

func fillInts[T integer](rng *rand.Rand, x []T, kind int) {
	var zero T
	bits := 8 * int(unsafe.Sizeof(zero))
	lo, hi := -1<<(bits-1), 1<<(bits-1)-1
	if zero-1 > 0 {
		lo, hi = 0, 1<<bits-1
	}
	for i := range x {
		switch {
		case kind == 0:
			x[i] = T(rng.Uint32())
		case kind == 1:
			x[i] = T(lo/16 + rng.IntN(hi/16-lo/16+1))
		default:
			x[i] = T([]int{lo, hi, lo, hi, 0, -1}[rng.IntN(6)])
		}
	}
}

func cloneInts[T integer](mem *arena, x []T) []T {
	y := ints[T](mem, len(x))
	copy(y, x)
	return y
}

// randomRescale draws parameters that leave sums of about the size acc in range.
func randomRescale(rng *rand.Rand, n int, acc float64) *Rescale {
	bias, shift := make([]int32, n), make([]int32, n)
	mul, offset := make([]int16, n), make([]int16, n)
	for j := range n {
		at := min(max(int(math.Log2(acc+1))-15+rng.IntN(5), 0), 30)
		shift[j] = int32([]int{at, at, at, rng.IntN(31)}[rng.IntN(4)])
		bias[j] = int32(rng.Int64N(1<<31)-1<<30) >> rng.IntN(31)
		mul[j] = int16(rng.IntN(1 << 15))
		if rng.IntN(2) == 0 {
			mul[j] |= 1 << 14
		}
		offset[j] = int16(32 + 64*rng.IntN(256))
		if rng.IntN(8) == 0 {
			mul[j], offset[j] = math.MaxInt16, math.MaxInt16
		}
	}
	r, err := NewRescale(bias, shift, mul, offset)
	if err != nil {
		panic(err)
	}
	return r
}

// randomOutput draws an epilogue for m×n results; stride is theirs, or 0 for any.
func randomOutput(mem *arena, m, n, stride int, acc float64) *IntOutput {
	rng := mem.rng
	ld := func() int {
		if stride > 0 {
			return stride
		}
		return n + rng.IntN(2)*rng.IntN(9)
	}
	size := func(ld int) int { return max((m-1)*ld+n, 0) }
	o := &IntOutput{Rescale: randomRescale(rng, n, acc), Act: IntActivation(rng.IntN(3))}
	o.Slope = []int16{0, 3277, math.MaxInt16}[rng.IntN(3)]
	o.LD16, o.LD8, o.LDR = ld(), ld(), ld()
	which := rng.IntN(3)
	if which != 0 {
		o.Out16 = drawn[int16](mem, size(o.LD16))
	}
	if which != 1 {
		o.Out8 = drawn[uint8](mem, size(o.LD8))
	}
	switch rng.IntN(3) {
	case 0:
		o.Residual = drawn[int16](mem, size(o.LDR))
	case 1:
		if o.Out16 != nil {
			o.Residual, o.LDR = o.Out16, o.LD16
		}
	}
	return o
}

// clone returns o with copies of its results, and of its residual where that is
// one of them.
func (out *IntOutput) clone(mem *arena) *IntOutput {
	c := *out
	if out.Out16 != nil {
		c.Out16 = cloneInts(mem, out.Out16)
		if len(out.Residual) > 0 && &out.Residual[0] == &out.Out16[0] {
			c.Residual = c.Out16
		}
	}
	if out.Out8 != nil {
		c.Out8 = cloneInts(mem, out.Out8)
	}
	return &c
}

func (out *IntOutput) String() string {
	return fmt.Sprintf("act=%d slope=%d residual=%t out16=%t out8=%t", out.Act, out.Slope, out.Residual != nil, out.Out16 != nil, out.Out8 != nil)
}

func requireSameOutput(t testing.TB, want, got *IntOutput, format string, args ...any) {
	t.Helper()
	for i := range want.Out16 {
		if want.Out16[i] != got.Out16[i] {
			t.Fatalf("%s: %v: 16-bit result %d is %d, want %d", fmt.Sprintf(format, args...), want, i, got.Out16[i], want.Out16[i])
		}
	}
	for i := range want.Out8 {
		if want.Out8[i] != got.Out8[i] {
			t.Fatalf("%s: %v: 8-bit result %d is %d, want %d", fmt.Sprintf(format, args...), want, i, got.Out8[i], want.Out8[i])
		}
	}
}

func testIntGEMMEntry[A uint8 | int16](t *testing.T, perStep int, spec, entry func(*intGEMMArgs)) {
	mem := newArena(t, 20)
	try := func(m, n, k int) {
		mem.reset()
		steps := (k + perStep - 1) / perStep
		a := drawn[A](mem, m*steps*perStep)
		b := drawn[int32](mem, max(panels(n)*steps*PanelWidth, 1))
		sum := make([]int32, panels(n)*PanelWidth)
		for j := range sum {
			for s := range steps {
				w := b[(j/PanelWidth*steps+s)*PanelWidth+j%PanelWidth]
				for i := range perStep {
					if perStep == 4 {
						sum[j] += int32(int8(w >> (8 * i)))
					}
				}
			}
		}
		out := randomOutput(mem, m, n, 0, 1e4*math.Sqrt(float64(k+1)))
		run := func(entry func(*intGEMMArgs)) *IntOutput {
			o := out.clone(mem)
			g := &intGEMMArgs{
				ars: 4 * steps, b: (*uint32)(unsafe.Pointer(&b[0])), bps: steps * PanelWidth, sum: &sum[0],
				steps: steps, m: m, n: n,
			}
			if steps > 0 {
				g.a = bytesAt(&a[0])
			}
			o.entryOut(&g.out, 0, 0)
			entry(g)
			return o
		}
		want := run(spec)
		got := run(entry)
		requireSameOutput(t, want, got, "m=%d n=%d k=%d", m, n, k)
		mem.check(t)
	}
	for m := 1; m <= 2*intTile+1; m++ {
		for n := 1; n <= intMaxPanels*PanelWidth; n++ {
			try(m, n, mem.rng.IntN(1+mem.rng.IntN(60)))
			try(m, n, 4*mem.rng.IntN(20))
		}
	}
	for k := range 150 {
		try(1+mem.rng.IntN(32), 1+mem.rng.IntN(32), k)
	}
	try(gemmMaxM, 32, 700)
	try(13, 20, 5000)
}

func TestGEMM8Entry(t *testing.T) {
	eachEntry(t, func(t *testing.T, b *table) { testIntGEMMEntry[uint8](t, 4, generic.gemm8, b.gemm8) })
}

func TestGEMM16Entry(t *testing.T) {
	eachEntry(t, func(t *testing.T, b *table) { testIntGEMMEntry[int16](t, 2, generic.gemm16, b.gemm16) })
}

// The longest sums of the largest operands neither saturate nor overflow.
func TestGEMM8Worst(t *testing.T) {
	eachBackend(t, func(t *testing.T) {
		a, w := make([]uint8, MaxInt8K), make([]int8, MaxInt8K*2)
		for k := range a {
			a[k], w[2*k], w[2*k+1] = 255, -128, 127
		}
		const bias, shift = 1 << 30, 16
		r, err := NewRescale([]int32{-bias, bias}, []int32{shift, shift}, []int16{math.MaxInt16, math.MaxInt16}, []int16{0, 0})
		require.NoError(t, err)
		got := make([]int16, 2)
		p := Pack8(MaxInt8K, 2, w, 2)
		GEMM8(a, MaxInt8K, p, 1, &IntOutput{Rescale: r, Out16: got, LD16: 2})
		for j, sum := range []int64{-bias - MaxInt8K*255*128, bias + MaxInt8K*255*127} {
			require.Less(t, max(sum, -sum), int64(1<<31))
			t16 := (sum + 1<<(shift-1)) >> shift
			require.Equal(t, int16((t16*math.MaxInt16+1<<14)>>15), got[j])
		}
		require.Equal(t, int64(MaxInt8K*255*128), p.MaxSum(0))
	})
}

// end is what becomes of a sum, as int8.go has it, in 64 bits.
func (out *IntOutput) end(sum int64, i, j int) (r16 int16, r8 uint8) {
	r := out.Rescale
	sat := func(v, lo, hi int64) int64 { return min(max(v, lo), hi) }
	leaky := func(v int64) int64 { return max(v, (v*int64(out.Slope)+1<<14)>>15) }
	v := sat(int64(int32(sum+int64(r.bias[j])))>>r.shift[j], -1<<15, 1<<15-1)
	v = (v*int64(r.mul[j]) + 1<<14) >> 15
	if out.Act == IntActFirst {
		v = leaky(v)
	}
	if out.Residual != nil {
		v = sat(v+int64(out.Residual[i*out.LDR+j]), -1<<15, 1<<15-1)
	}
	if out.Act == IntActLast {
		v = leaky(v)
	}
	return int16(v), uint8(sat((v+int64(r.offset[j]))>>6, 0, 255))
}

// put stores the results of a sum.
func (out *IntOutput) put(sum int64, i, j int) {
	r16, r8 := out.end(sum, i, j)
	if out.Out16 != nil {
		out.Out16[i*out.LD16+j] = r16
	}
	if out.Out8 != nil {
		out.Out8[i*out.LD8+j] = r8
	}
}

func TestGEMMInt(t *testing.T) {
	eachBackend(t, func(t *testing.T) {
		mem := newArena(t, 21)
		for _, m := range []int{0, 1, 2, 13, 96, 97} {
			for _, n := range []int{0, 1, 16, 31, 33, 100} {
				for range 3 {
					mem.reset()
					k := mem.rng.IntN(70)
					lda, ldb := k+mem.rng.IntN(3), n+mem.rng.IntN(3)
					rows := func(m, k, ld int) int { return max((m-1)*ld+k, 0) }
					out := randomOutput(mem, m, n, 0, 1e4*math.Sqrt(float64(k+1)))
					want, got := out.clone(mem), out.clone(mem)
					if mem.rng.IntN(2) == 0 {
						a, b := drawn[uint8](mem, rows(m, k, lda)), drawn[int8](mem, rows(k, n, ldb))
						naiveIntGEMM(want, a, lda, b, ldb, m, n, k)
						GEMM8(a, lda, Pack8(k, n, b, ldb), m, got)
					} else {
						a, b := drawn[int16](mem, rows(m, k, lda)), drawn[int16](mem, rows(k, n, ldb))
						naiveIntGEMM(want, a, lda, b, ldb, m, n, k)
						GEMM16(a, lda, Pack16(k, n, b, ldb), m, got)
					}
					requireSameOutput(t, want, got, "m=%d n=%d k=%d", m, n, k)
					mem.check(t)
				}
			}
		}
	})
}

func naiveIntGEMM[A, B integer](out *IntOutput, a []A, lda int, b []B, ldb, m, n, k int) {
	for i := range m {
		for j := range n {
			var sum int64
			for x := range k {
				sum += int64(a[i*lda+x]) * int64(b[x*ldb+j])
			}
			out.put(sum, i, j)
		}
	}
}

func TestConvInt(t *testing.T) {
	eachBackend(t, func(t *testing.T) {
		mem := newArena(t, 22)
		for range 60 {
			mem.reset()
			s := randomShape(mem)
			k := s.KH * s.KW * s.Cin
			y0, y1 := randomRange(mem, s.OutH)
			out := randomOutput(mem, (y1-y0)*s.OutW, s.Cout, 0, 1e4*math.Sqrt(float64(k+1)))
			want, got := out.clone(mem), out.clone(mem)
			if mem.rng.IntN(2) == 0 {
				src, pad := drawn[uint8](mem, s.H*s.W*s.Cin), drawn[uint8](mem, s.Cin)
				w := drawn[int8](mem, k*s.Cout)
				naiveIntConv(want, src, pad, w, s, y0, y1)
				Conv8(src, pad, Pack8(k, s.Cout, w, s.Cout), s, got, y0, y1)
			} else {
				src, w := drawn[int16](mem, s.H*s.W*s.Cin), drawn[int16](mem, k*s.Cout)
				naiveIntConv(want, src, make([]int16, s.Cin), w, s, y0, y1)
				Conv16(src, Pack16(k, s.Cout, w, s.Cout), s, got, y0, y1)
			}
			requireSameOutput(t, want, got, "%+v rows [%d,%d)", *s, y0, y1)
			mem.check(t)
		}
	})
}

func naiveIntConv[A, B integer](out *IntOutput, src, pad []A, w []B, s *ConvShape, y0, y1 int) {
	for p := y0 * s.OutW; p < y1*s.OutW; p++ {
		for j := range s.Cout {
			var sum int64
			for k := range s.KH * s.KW * s.Cin {
				t, c := k/s.Cin, k%s.Cin
				y, x := p/s.OutW*s.StrideY-s.PadTop+t/s.KW, p%s.OutW*s.StrideX-s.PadLeft+t%s.KW
				v := pad[c]
				if y >= 0 && y < s.H && x >= 0 && x < s.W {
					v = src[(y*s.W+x)*s.Cin+c]
				}
				sum += int64(v) * int64(w[k*s.Cout+j])
			}
			out.put(sum, p-y0*s.OutW, j)
		}
	}
}

func TestDepthwiseIntEntries(t *testing.T) {
	t.Run("depthwise8", func(t *testing.T) {
		testDepthwiseIntEntry[uint8](t, func(b *table) func(*dw8Args) { return b.depthwise8 })
	})
	t.Run("depthwise16", func(t *testing.T) {
		testDepthwiseIntEntry[int16](t, func(b *table) func(*dw8Args) { return b.depthwise16 })
	})
}

func testDepthwiseIntEntry[T uint8 | int16](t *testing.T, entry func(b *table) func(*dw8Args)) {
	eachEntry(t, func(t *testing.T, b *table) {
		mem := newArena(t, 23)
		for c := 1; c <= 100; c++ {
			for range 6 {
				mem.reset()
				d := dw8Args{n: 1 + mem.rng.IntN(12), c: c, stride: c + mem.rng.IntN(2)*mem.rng.IntN(20)}
				for ky := range d.row {
					d.row[ky] = bytesAt(&drawn[T](mem, (d.n+1)*d.stride+c)[0])
				}
				d.w = &drawn[int16](mem, 8*d.stride+c)[0]
				out := randomOutput(mem, d.n, c, 0, 1e6)
				want, got := out.clone(mem), out.clone(mem)
				e := d
				want.entryOut(&e.out, 0, 0)
				entry(&generic)(&e)
				e = d
				got.entryOut(&e.out, 0, 0)
				entry(b)(&e)
				requireSameOutput(t, want, got, "n=%d c=%d stride=%d", d.n, c, d.stride)
				mem.check(t)
			}
		}
	})
}

func TestDepthwise8(t *testing.T) {
	eachBackend(t, func(t *testing.T) {
		mem := newArena(t, 24)
		for range 200 {
			mem.reset()
			h, wd, c := 1+mem.rng.IntN(6), 1+mem.rng.IntN(9), 1+mem.rng.IntN(70)
			kh, kw := 3, 3
			if mem.rng.IntN(3) == 0 {
				kh, kw = 1+mem.rng.IntN(6), 1+mem.rng.IntN(6)
			}
			if mem.rng.IntN(10) == 0 { // several pieces per row
				h, wd, c = 2, 100, 90+mem.rng.IntN(20)
			}
			y0, y1 := randomRange(mem, h)
			src, pad, w := drawn[uint8](mem, h*wd*c), drawn[uint8](mem, c), drawn[int16](mem, kh*kw*c)
			out := randomOutput(mem, (y1-y0)*wd, c, c, 1e6)
			want, got := out.clone(mem), out.clone(mem)
			for p := y0 * wd; p < y1*wd; p++ {
				for ch := range c {
					var sum int64
					for tap := range kh * kw {
						y, x := p/wd-(kh-1)/2+tap/kw, p%wd-(kw-1)/2+tap%kw
						v := pad[ch]
						if y >= 0 && y < h && x >= 0 && x < wd {
							v = src[(y*wd+x)*c+ch]
						}
						sum += int64(v) * int64(w[tap*c+ch])
					}
					want.put(sum, p-y0*wd, ch)
				}
			}
			Depthwise8(src, pad, w, h, wd, c, kh, kw, got, y0, y1)
			requireSameOutput(t, want, got, "%dx%dx%d kernel %dx%d rows [%d,%d)", h, wd, c, kh, kw, y0, y1)
			mem.check(t)
		}
	})
}

// TestDepthwise8Row: row by row, from rows that lie anywhere, the result is that
// of the whole image.
func TestDepthwise8Row(t *testing.T) {
	eachBackend(t, func(t *testing.T) {
		mem := newArena(t, 25)
		for range 100 {
			mem.reset()
			h, wd, c := 1+mem.rng.IntN(5), 1+mem.rng.IntN(9), 1+mem.rng.IntN(70)
			k := 1 + 2*mem.rng.IntN(3)
			src, pad, w := drawn[uint8](mem, h*wd*c), drawn[uint8](mem, c), drawn[int16](mem, k*k*c)
			want := randomOutput(mem, h*wd, c, c, 1e6)
			rows := make([]*IntOutput, h)
			for y := range rows {
				row := *want
				if want.Residual != nil {
					row.Residual = want.Residual[y*wd*c:][:wd*c]
				}
				if want.Out16 != nil {
					row.Out16 = want.Out16[y*wd*c:][:wd*c]
				}
				if want.Out8 != nil {
					row.Out8 = want.Out8[y*wd*c:][:wd*c]
				}
				rows[y] = row.clone(mem)
			}
			Depthwise8(src, pad, w, h, wd, c, k, k, want, 0, h)
			lines := make([][]uint8, k)
			for y, got := range rows {
				for ky := range lines {
					lines[ky] = nil
					if sy := y - k/2 + ky; sy >= 0 && sy < h {
						lines[ky] = drawn[uint8](mem, wd*c)
						copy(lines[ky], src[sy*wd*c:])
					}
				}
				Depthwise8Row(lines, pad, w, wd, c, k, got)
				if got.Out16 != nil {
					require.Equal(t, want.Out16[y*wd*c:][:wd*c], got.Out16, "%dx%dx%d kernel %d row %d", h, wd, c, k, y)
				}
				if got.Out8 != nil {
					require.Equal(t, want.Out8[y*wd*c:][:wd*c], got.Out8, "%dx%dx%d kernel %d row %d", h, wd, c, k, y)
				}
			}
			mem.check(t)
		}
	})
}

// TestDepthwise16Row: lines of 16-bit numbers, zero outside the image.
func TestDepthwise16Row(t *testing.T) {
	eachBackend(t, func(t *testing.T) {
		mem := newArena(t, 26)
		for range 200 {
			mem.reset()
			wd, c, k := 1+mem.rng.IntN(9), 1+mem.rng.IntN(70), 1+2*mem.rng.IntN(3)
			if mem.rng.IntN(10) == 0 { // several pieces
				wd, c = 100, 90+mem.rng.IntN(20)
			}
			w := drawn[int16](mem, k*k*c)
			for i := range w {
				w[i] /= int16(2 * k * k) // sums that fit
			}
			lines := make([][]int16, k)
			for ky := range lines {
				if mem.rng.IntN(4) > 0 {
					lines[ky] = drawn[int16](mem, wd*c)
				}
			}
			out := randomOutput(mem, wd, c, c, 1e6)
			want, got := out.clone(mem), out.clone(mem)
			for x := range wd {
				for ch := range c {
					var sum int64
					for tap := range k * k {
						line, at := lines[tap/k], x-k/2+tap%k
						if line != nil && at >= 0 && at < wd {
							sum += int64(line[at*c+ch]) * int64(w[tap*c+ch])
						}
					}
					want.put(sum, x, ch)
				}
			}
			Depthwise16Row(lines, w, wd, c, k, got)
			requireSameOutput(t, want, got, "%dx%d kernel %d", wd, c, k)
			mem.check(t)
		}
	})
}

func TestQuantiseEntry(t *testing.T) {
	eachEntry(t, func(t *testing.T, b *table) {
		mem := newArena(t, 25)
		for n := 1; n <= 100; n++ {
			for values := range kinds {
				mem.reset()
				q := quantiseArgs{n: n, rows: 1 + mem.rng.IntN(4)}
				src, scale := mem.random(n*q.rows, values), mem.random(n, plain)
				if values == plain {
					for i := range scale {
						scale[i] *= 40000
					}
				}
				q.src, q.scale, q.offset = &src[0], &scale[0], &randomRescale(mem.rng, n, 1).offset[0]
				want16, want8 := drawn[int16](mem, len(src)), drawn[uint8](mem, len(src))
				got16, got8 := cloneInts(mem, want16), cloneInts(mem, want8)
				which := mem.rng.IntN(3)
				run := func(entry func(*quantiseArgs), d16 []int16, d8 []uint8) {
					e := q
					if which != 0 {
						e.dst16 = &d16[0]
					}
					if which != 1 {
						e.dst8 = &d8[0]
					}
					entry(&e)
				}
				run(generic.quantise, want16, want8)
				run(b.quantise, got16, got8)
				require.Equal(t, want16, got16, "n=%d values=%v", n, values)
				require.Equal(t, want8, got8, "n=%d values=%v", n, values)
				mem.check(t)
			}
		}
	})
}

func TestQuantise(t *testing.T) {
	eachBackend(t, func(t *testing.T) {
		nan := float32(math.NaN())
		src := []float32{0, 0.5, 1.5, 2.5, -0.5, -1.5, 1e9, -1e9, nan, 100, 32766.5, -32767.5}
		got16, got8 := make([]int16, 12), make([]uint8, 12)
		Quantise(got16, got8, src, []float32{1, 1}, []int16{32, 32 + 64*10})
		require.Equal(t, []int16{0, 0, 2, 2, 0, -2, 32767, -32768, 32767, 100, 32766, -32768}, got16)
		require.Equal(t, []uint8{0, 10, 0, 10, 0, 10, 255, 0, 255, 12, 255, 0}, got8)

		n := 3 * chunk // several pieces
		src = make([]float32, n)
		fill(rand.New(rand.NewPCG(1, 2)), src, plain)
		got16, got8 = make([]int16, n), make([]uint8, n)
		Quantise(got16, nil, src, []float32{15000}, []int16{32})
		Quantise(nil, got8, src, []float32{15000}, []int16{32})
		for i, v := range src {
			r := math.RoundToEven(float64(v * 15000))
			require.Equal(t, int16(r), got16[i])
			require.Equal(t, uint8(max(math.Floor((r+32)/64), 0)), got8[i])
		}
	})
}

func TestIntPanics(t *testing.T) {
	r := randomRescale(rand.New(rand.NewPCG(1, 1)), 4, 1)
	a, out := make([]uint8, 12), make([]uint8, 12)
	p := Pack8(3, 4, make([]int8, 12), 4)
	o := IntOutput{Rescale: r, Out8: out, LD8: 4}
	require.NotPanics(t, func() { GEMM8(a, 3, p, 3, &o) })
	for name, change := range map[string]func(o *IntOutput){
		"no rescale":     func(o *IntOutput) { o.Rescale = nil },
		"short out8":     func(o *IntOutput) { o.Out8 = out[:11] },
		"narrow out8":    func(o *IntOutput) { o.LD8 = 3 },
		"short out16":    func(o *IntOutput) { o.Out16, o.LD16 = make([]int16, 11), 4 },
		"short residual": func(o *IntOutput) { o.Residual, o.LDR = make([]int16, 11), 4 },
		"activation":     func(o *IntOutput) { o.Act = 3 },
		"slope":          func(o *IntOutput) { o.Slope = -1 },
		"columns":        func(o *IntOutput) { o.Rescale = randomRescale(rand.New(rand.NewPCG(1, 1)), 5, 1) },
	} {
		bad := o
		change(&bad)
		require.Panics(t, func() { GEMM8(a, 3, p, 3, &bad) }, name)
	}
	require.Panics(t, func() { GEMM8(a[:8], 3, p, 3, &o) })
	require.Panics(t, func() { Pack8(3, 4, make([]int8, 11), 4) })
	require.Panics(t, func() { Quantise(nil, out, make([]float32, 5), make([]float32, 2), make([]int16, 2)) })
	require.Panics(t, func() { Depthwise8Row([][]uint8{a, a[len(a)-5:], nil}, a, make([]int16, 18), 3, 2, 3, &o) })
	require.Panics(t, func() { Depthwise8(a, a[:1], make([]int16, 18), 2, 3, 2, 3, 3, &o, 0, 2) })
}

func TestNewRescale(t *testing.T) {
	one := []int32{1}
	for name, f := range map[string]func() (*Rescale, error){
		"lengths": func() (*Rescale, error) { return NewRescale(one, nil, []int16{1}, nil) },
		"shift":   func() (*Rescale, error) { return NewRescale(one, []int32{31}, []int16{1}, nil) },
		"mul":     func() (*Rescale, error) { return NewRescale(one, one, []int16{-1}, nil) },
		"offset":  func() (*Rescale, error) { return NewRescale(one, one, []int16{1}, []int16{-1}) },
	} {
		_, err := f()
		require.ErrorContains(t, err, "kernels: rescale: ", name)
	}
	_, err := NewRescale(one, one, []int16{1}, nil)
	require.NoError(t, err)
}
