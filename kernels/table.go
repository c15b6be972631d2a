package kernels

// table is one backend: every arithmetic primitive that is worth tuning for an
// instruction set. A nil entry of a higher backend is replaced by the entry of
// the next lower one when the tables are built (see backend.go), so a backend
// can grow entry by entry. The portable entries in generic*.go are the
// specification: every other backend returns the same bits.
//
// Entries work on one small piece (a tile, a row, a flat run); the drivers
// beside the exported functions cut the work into such pieces and are shared
// by all backends. No entry runs longer than about 250 microseconds, because
// the Go runtime cannot preempt assembly (golang/go #64417).
type table struct {
	name string
	peak Peaks

	// gemm computes one block of at most gemmMaxM rows by at most
	// gemmMaxPanels panels; see gemmArgs.
	gemm func(*gemmArgs)

	// pack copies k rows, ldb elements apart, of n <= packMaxN columns from b
	// into panels of k rows at dst, padding the last panel with +0.
	pack func(dst, b *float32, ldb, k, n int)
	// packT copies 8 rows of k elements, k being a multiple of 8, from b to
	// columns 0 to 7 of a panel: element i of row j becomes dst[i*PanelWidth+j].
	packT func(dst, b *float32, ldb, k int)

	// depthwise3 computes n consecutive output pixels of a 3x3 depthwise
	// convolution; see dwArgs.
	depthwise3 func(*dwArgs)
	// depthwise computes n consecutive output pixels of a depthwise convolution
	// with any window; see dwWindowArgs.
	depthwise func(*dwWindowArgs)
	// depthwise3Weight accumulates the nine weight gradients over n
	// consecutive pixels of one row.
	depthwise3Weight func(*dwWeightArgs)

	// Flat element-wise kernels over len(dst) elements; the drivers check
	// lengths, dst may alias an operand exactly.
	add, sub, mul func(dst, a, b []float32)
	addScaled     func(dst, a, b []float32, s float32)
	scale         func(dst, a []float32, s float32)
	leaky         func(dst, x []float32, slope float32)
	leakyGrad     func(dx, dy, y []float32, slope float32)
	relu          func(dst, x []float32)
	round         func(dst, x []float32)
	clamp         func(dst, x []float32, lo, hi float32)
	lerp          func(dst, a, b []float32, t float32)
	sqrt          func(dst, x []float32)
	exp, log      func(dst, x []float32)
	sigmoid, tanh func(dst, x []float32)
	softplus      func(dst, x []float32)
	symlog        func(dst, x []float32)
	mulRows       func(dst, x, v []float32)    // dst[i] = x[i] * v[i % len(v)], whole rows
	addRows       func(dst, x, v []float32)    // dst[i] = x[i] + v[i % len(v)]
	fmaRows       func(dst, x, v, u []float32) // dst[i] = fma(x[i], v[i%n], u[i%n])
	dotRows       func(acc, x, y []float32)    // acc[i%n] = fma(x[i], y[i], acc[i%n]), i ascending, n = len(acc)
	adamW         func(w, g, m, v []float32, p *AdamParams)

	// normal computes rec = 1/p and the derivatives of NormalBits from d and
	// inv = 1/σ, for len(rec) elements; dd and ds may be the same memory.
	normal func(rec, dd, ds, d, inv []float32, t *tailTable)

	// gemm8 and gemm16 compute one block of an integer matrix product, of bytes
	// by 8-bit and of 16-bit by 16-bit numbers; depthwise8 and depthwise16 compute n
	// consecutive output pixels of a 3x3 depthwise convolution of bytes or 16-bit
	// numbers, quantise turns rows of floats into integers. See int8.go.
	gemm8, gemm16           func(*intGEMMArgs)
	depthwise8, depthwise16 func(*dw8Args)
	quantise                func(*quantiseArgs)

	// What is done to every sample beside the networks, see samples.go.
	dequantise  func(dst []float32, k []int32, mean, scale, gain []float32)
	levels      func(dst []uint8, x []float32, shift, most int)
	sampleBytes func(dst []uint8, x []float32)
	opaque      func(dst, src []uint8)

	// Reductions over 64 strided accumulators and a fixed tree.
	sum, sumSquares     func(x []float32) float32
	dot, sumSquaredDiff func(a, b []float32) float32
	maxAbs              func(x []float32) float32
	colSum              func(dst, x []float32, m, n int) // one block of at most 256 rows: dst += column sums
}

const (
	gemmMaxPanels = 3  // panels of PanelWidth columns in one gemm call
	gemmMaxM      = 96 // rows in one gemm call
	packMaxN      = 64 // columns in one pack call
	packTRows     = 8  // rows of one packT call
)

// gemmArgs describes C[i][j] (op)= Σ_k A[i][k]·B[k][j] for 0 <= i < m and
// 0 <= j < n. Strides are in elements.
//
// The accumulator starts at bias[j] (or +0 when bias is nil), or at C[i][j]
// when mode is gemmFromC; then one fused multiply-add per k, k ascending. The
// result r is stored as
//
//	gemmStore, gemmFromC: C = act(r), plus residual when residual is not nil
//	gemmAddTo:            C = C + r   (no bias, activation or residual)
type gemmArgs struct {
	c   *float32
	ldc int
	a   *float32
	ars int // stride between rows of A
	aks int // stride between successive k of A; either ars or aks is 1 in practice, kernels may rely on (aks == 1 || ars == 1)
	b   *float32
	bps int // stride between panels of B (K*PanelWidth); inside a panel successive k are PanelWidth apart
	m   int // 1..gemmMaxM
	n   int // 1..gemmMaxPanels*PanelWidth valid columns
	k   int // >= 0
	// bias has n valid elements or is nil.
	bias     *float32
	residual *float32
	ldr      int
	mode     gemmMode
	act      Activation
	slope    float32

	// ahead points at memory that calls to come will read, or is nil;
	// kernels may fetch from there on into the cache when ars is 1.
	ahead *float32
}

type gemmMode int

const (
	gemmStore gemmMode = iota
	gemmFromC
	gemmAddTo
)

// Activation names the non-linearity that an Epilogue applies.
type Activation int

const (
	ActNone  Activation = iota
	ActLeaky            // max(x, Slope*x)
	ActReLU             // max(x, 0)
)

// dwArgs describes n output pixels of one row of a 3x3 depthwise convolution
// over c channels: dst[x][ch] = act(bias[ch] + Σ_{ky,kx} row[ky][x+kx][ch]·w[ky*3+kx][ch]) + residual[x][ch],
// one FMA per tap, ky then kx ascending. row[ky] points at the pixel left of
// the first output. Where left is set that pixel lies outside of the image: its
// taps are +0, and row[ky] points at the next one. Where right is set, the pixel
// right of the last output lies outside.
type dwArgs struct {
	dst      *float32
	row      [3]*float32
	w        *float32 // [9][c]
	bias     *float32 // [c] or nil
	residual *float32 // as dst, or nil
	n, c     int
	act      Activation
	slope    float32

	left, right bool
}

// dwWindowArgs describes n output pixels of one row of a depthwise convolution
// with a window of kh×kw over c channels:
// dst[x][ch] = act(bias[ch] + Σ_{ky,kx} row[ky][x+kx][ch]·w[ky*kw+kx][ch]) + residual[x][ch],
// one FMA per tap, ky then kx ascending. row points at kh pointers to the first
// tap of the first output; all n+kw-1 pixels of a row exist. dst does not overlap
// them.
type dwWindowArgs struct {
	dst      *float32
	row      **float32
	w        *float32 // [kh*kw][c]
	bias     *float32 // [c] or nil
	residual *float32 // as dst, or nil
	n, c     int
	kh, kw   int
	act      Activation
	slope    float32
}

// dwWeightArgs describes dw[t][ch] = dw[t][ch] + Σ_x row[ky][x+kx][ch]·dy[x][ch]
// for the nine taps t = ky*3+kx: the sum starts at +0, one FMA per x ascending,
// and is added to dw once. row, left and right are as in dwArgs.
type dwWeightArgs struct {
	dw     *float32 // [9][ldw], channels c of them
	ldw    int
	row    [3]*float32
	dy     *float32
	n, c   int // c channels are processed
	stride int // elements between pixels (all channels of the tensor)

	left, right bool
}

// intOut describes what becomes of the sums of an integer kernel, as in int8.go;
// pointers are those of the first row and column. Parameters of columns can be
// read up to a multiple of rescalePad.
type intOut struct {
	bias, shift *int32
	mul, offset *int16
	act         int // IntActivation
	slope       int
	residual    *int16 // or nil
	ldr         int
	out16       *int16 // or nil
	ld16        int
	out8        *uint8 // or nil
	ld8         int
}

// intGEMMArgs describes the sums Σ_k A[i][k]·B[k][j] for 0 <= i < m and
// 0 <= j < n, in groups of four bytes of k: see intPanels.
type intGEMMArgs struct {
	a     *uint8
	ars   int // bytes between rows of A
	b     *uint32
	bps   int    // groups between panels of B
	sum   *int32 // of the columns of B
	steps int    // groups of k, >= 0
	m     int    // 1..gemmMaxM
	n     int    // 1..intMaxPanels*PanelWidth
	out   intOut
}

// dw8Args describes the sums Σ_{ky,kx} row[ky][x+kx][ch]·w[ky*3+kx][ch] for n
// pixels x and c channels ch.
type dw8Args struct {
	row    [3]*uint8 // bytes, or the first of those of 16-bit numbers
	w      *int16    // [9][stride]
	n, c   int
	stride int // channels between pixels and between taps
	out    intOut
}

// quantiseArgs describes a call of Quantise for rows of n.
type quantiseArgs struct {
	dst16   *int16 // or nil
	dst8    *uint8 // or nil
	src     *float32
	scale   *float32
	offset  *int16
	rows, n int
}
