package kernels

import (
	"sync"

	"github.com/klauspost/cpuid/v2"
)

// Epilogue says how a GEMM-like kernel begins and ends. The accumulator of
// output (i, j) starts at Bias[j], at +0 when Bias is nil, or at the present
// value of the output when Accumulate is set (Bias is not used then). The
// result is
//
//	out = act(acc)                 without Residual
//	out = act(acc) + residual      with it, one float32 addition
//
// A nil *Epilogue means the zero value.
type Epilogue struct {
	Bias       []float32 // one per column, or nil
	Accumulate bool
	Act        Activation
	Slope      float32   // of ActLeaky, 0 <= Slope <= 1; 0 means ActReLU
	Residual   []float32 // shape of the output; may be the output itself, exactly
	LDR        int       // elements between rows of Residual
}

// activation returns the activation with a leaky slope of zero turned into
// ReLU, whose result on infinities and NaN differs from that of max(x, 0*x).
func (e *Epilogue) activation() (Activation, float32) {
	switch e.Act {
	case ActNone, ActReLU:
		return e.Act, 0
	case ActLeaky:
		if e.Slope == 0 {
			return ActReLU, 0
		}
		return ActLeaky, e.Slope
	}
	panic("kernels: epilogue: unknown activation")
}

// noEpilogue stands in for a nil *Epilogue.
var noEpilogue Epilogue

// scratch is what a driver needs for the length of one call. Arguments of
// kernels are in it because whatever is passed through a function pointer
// escapes to the heap.
type scratch struct {
	gemm     gemmArgs
	dw       dwArgs
	dww      dwWeightArgs
	dwWindow dwWindowArgs
	pieces   []piece     // see strip
	taps     [][]float32 // rows under a depthwise kernel
	rows     []*float32  // see dwJob.rowAny
	a, b, c  []float32   // grown as needed, contents undefined

	int             intGEMMArgs
	dw8             dw8Args
	quantise        quantiseArgs
	taps8           [][]uint8
	bytes, patches8 []uint8 // aligned for 16-bit numbers
	ints            []int32
}

var scratchPool = sync.Pool{New: func() any { return new(scratch) }}

func getScratch() *scratch { return scratchPool.Get().(*scratch) }

// release drops the pointers into the caller's memory and recycles s.
func (s *scratch) release() {
	s.gemm, s.dw, s.dww, s.dwWindow = gemmArgs{}, dwArgs{}, dwWeightArgs{}, dwWindowArgs{}
	s.int, s.dw8, s.quantise = intGEMMArgs{}, dw8Args{}, quantiseArgs{}
	clear(s.pieces)
	clear(s.taps)
	clear(s.taps8)
	clear(s.rows)
	scratchPool.Put(s)
}

// grow returns (*buf)[:n], enlarging it where necessary.
func grow[T any](buf *[]T, n int) []T {
	if cap(*buf) < n {
		*buf = make([]T, n)
	}
	return (*buf)[:n]
}

// GEMM computes C = act(A·B) with the epilogue of ep: A is m×b.K with rows lda
// elements apart, C is m×b.N with rows ldc apart. Every output is a chain of
// single-rounding multiply-adds over ascending k that starts as Epilogue says.
// C must not overlap A or B.
func GEMM(c []float32, ldc int, a []float32, lda int, b *Packed, m int, ep *Epilogue) {
	if ep == nil {
		ep = &noEpilogue
	}
	if m <= 0 || b.N == 0 {
		return
	}
	checkMatrix("gemm", "c", c, m, b.N, ldc)
	checkMatrix("gemm", "a", a, m, b.K, lda)
	checkEpilogue("gemm", ep, m, b.N)
	s := getScratch()
	s.product(c, ldc, a, lda, b, m, ep, ep.Residual)
	s.release()
}

func checkEpilogue(op string, ep *Epilogue, m, n int) {
	if ep.Bias != nil {
		checkLen(op, "bias", len(ep.Bias), n)
	}
	if ep.Residual != nil {
		checkMatrix(op, "residual", ep.Residual, m, n, ep.LDR)
	}
}

// gemmRows returns how many rows of A one kernel call takes when the sums have
// k terms: fewer for long sums, to bound the time that a call cannot be
// preempted, and to keep the strip of A in the second-level cache.
func gemmRows(k int) int {
	switch {
	case k <= 1280:
		return gemmMaxM
	case k <= 2560:
		return gemmMaxM / 2
	}
	return gemmMaxM / 4
}

// gemmColumns returns how many of the n columns left one kernel call takes: all
// that it can, but two and two panels rather than three and a single one, which
// has too few accumulators to be fast.
func gemmColumns(n int) int {
	if panels(n) == 4 {
		return 2 * PanelWidth
	}
	return min(n, gemmMaxPanels*PanelWidth)
}

// gemmMaxK is the longest sum of one kernel call. A longer one is cut: the
// accumulators rest in C between the calls, which loses nothing.
const gemmMaxK = 4096

// l2Cache is the size of a core's second-level cache in elements, about which the
// matrix products arrange their work; a small one where the system doesn't tell.
var l2Cache = max(cpuid.CPU.Cache.L2, 512<<10) / 4

// blockRows returns how many rows of a product with a K×N matrix are finished
// column group by column group, before the next rows. If the matrix stays in the
// second-level cache, those of one kernel call. If not, it comes from further
// away once for every block, so that a block is as many rows of the other operand
// as fill half of the cache.
func blockRows(k, n int) int {
	rows := gemmRows(k)
	if k*n <= l2Cache/2 {
		return rows
	}
	return max(l2Cache/2/k/rows, 1) * rows
}

// product computes C = act(A·B) + residual in blocks of rows; the operands have
// been checked. Residual replaces that of ep.
func (s *scratch) product(c []float32, ldc int, a []float32, lda int, b *Packed, m int, ep *Epilogue, residual []float32) {
	rows, block := gemmRows(b.K), blockRows(b.K, b.N)
	for i0 := 0; i0 < m; i0 += block {
		end := min(i0+block, m)
		for j, n := 0, 0; j < b.N; j += n {
			n = gemmColumns(b.N - j)
			for i := i0; i < end; i += rows {
				var r []float32
				if residual != nil {
					r = residual[i*ep.LDR:]
				}
				s.cut(a, i*lda, b.K)
				s.columns(c[i*ldc:], ldc, lda, b, min(rows, end-i), j, n, gemmMaxK, ep, r)
			}
		}
	}
}

// piece is a part of the terms of all sums of a product: the first row of A
// restricted to it, and the row of B that belongs to its first column.
type piece struct {
	a *float32
	k int
}

// cut makes the rows of k elements at a[i] into pieces of gemmMaxK terms.
func (s *scratch) cut(a []float32, i, k int) {
	s.pieces = s.pieces[:0]
	for x := 0; x < k; x += gemmMaxK {
		s.pieces = append(s.pieces, piece{&a[i+x], x})
	}
}

// strip computes at most gemmMaxM rows of a product against all panels of b;
// see columns.
func (s *scratch) strip(c []float32, ldc, lda int, b *Packed, m, kc int, ep *Epilogue, residual []float32) {
	for j, n := 0, 0; j < b.N; j += n {
		n = gemmColumns(b.N - j)
		s.columns(c, ldc, lda, b, m, j, n, kc, ep, residual)
	}
}

// columns computes the n columns from j on, whole panels but for the last, of at
// most gemmMaxM rows of a product. The sums go over s.pieces in order, each of
// which has kc terms or as many as remain of K; in a piece, the rows of A are lda
// elements apart. From one piece to the next the accumulators rest in C, which
// loses nothing.
func (s *scratch) columns(c []float32, ldc, lda int, b *Packed, m, j, n, kc int, ep *Epilogue, residual []float32) {
	g := &s.gemm
	g.m, g.n, g.ars, g.aks, g.bps = m, n, lda, 1, b.K*PanelWidth
	act, slope := ep.activation()
	if len(s.pieces) == 0 { // empty sums
		s.pieces, kc = append(s.pieces, piece{}), 0
	}
	g.c, g.ldc = &c[j], ldc
	// When C doubles as the residual, accumulators must rest elsewhere.
	var rest []float32
	if len(s.pieces) > 1 && overlaps(residual, c) {
		rest = grow(&s.c, m*gemmMaxPanels*PanelWidth)
		g.c, g.ldc = &rest[0], n
		if ep.Accumulate {
			copyRows(rest, n, c[j:], ldc, m, n)
		}
	}
	g.mode, g.bias = gemmStore, nil
	if ep.Accumulate {
		g.mode = gemmFromC
	} else if ep.Bias != nil {
		g.bias = &ep.Bias[j]
	}
	g.act, g.residual = ActNone, nil
	for i, p := range s.pieces {
		if i == len(s.pieces)-1 {
			g.act, g.slope = act, slope
			if residual != nil {
				g.residual, g.ldr = &residual[j], ep.LDR
			}
		}
		g.a, g.b = p.a, at(b.Data, j*b.K+p.k*PanelWidth)
		g.k = min(kc, b.K-p.k)
		active.gemm(g)
		g.mode, g.bias = gemmFromC, nil
	}
	if rest != nil {
		copyRows(c[j:], ldc, rest, n, m, n)
	}
}

// copyRows copies m rows of n elements.
func copyRows(dst []float32, ldd int, src []float32, lds, m, n int) {
	for i := range m {
		copy(dst[i*ldd:][:n], src[i*lds:])
	}
}

// gradBlock is the number of rows that one partial sum of a weight gradient
// covers. Short sums lose less to rounding than one sum over all pixels.
const gradBlock = 256

// GEMMTN adds the product AᵀB to C: A is m×k with rows lda elements apart, B
// is m×n (ldb), C is k×n (ldc). The rows of A and B are taken in blocks of 256,
// the last one shorter. For each block in order, every element of C gets
//
//	acc = +0; acc = fma(A[r][i], B[r][j], acc) for the rows r ascending
//	C[i][j] = C[i][j] + acc
//
// Only the rows k0 <= i < k1 of C are computed, so that callers can share the
// work. C must not overlap A or B.
func GEMMTN(c []float32, ldc int, a []float32, lda int, b []float32, ldb int, m, k, n, k0, k1 int) {
	checkRange("gemmtn", k0, k1, k)
	if m <= 0 || n <= 0 || k0 >= k1 {
		return
	}
	checkMatrix("gemmtn", "c", c, k1, n, ldc)
	checkMatrix("gemmtn", "a", a, m, k, lda)
	checkMatrix("gemmtn", "b", b, m, n, ldb)
	s := getScratch()
	for r := 0; r < m; r += gradBlock {
		rows := min(gradBlock, m-r)
		packed := grow(&s.b, panels(n)*rows*PanelWidth)
		packPanels(packed, b[r*ldb:], ldb, rows, n)
		ahead := lookahead{strips: (k1 - k0 + gemmMaxM - 1) / gemmMaxM}
		if r+rows < m && lda*gradBlock <= lookaheadMax {
			ahead.a = a[(r+rows)*lda:]
			ahead.a = ahead.a[:min(gradBlock*lda, len(ahead.a))]
		}
		for i := k0; i < k1; i += gemmMaxM {
			s.addTN(c[i*ldc:], ldc, a[r*lda+i:], lda, packed, rows, min(gemmMaxM, k1-i), n, &ahead)
			ahead.strip++
		}
	}
	s.release()
}

// lookaheadMax bounds the elements of a block that are fetched while the one
// before it is worked on: both have to fit a second-level cache.
const lookaheadMax = 1 << 17

// lookahead is the memory of the next block of rows. Its pieces are handed out
// evenly to the kernel calls of the present one, which fetch them into the
// cache: reading them only when they are needed would leave the arithmetic
// units idle for up to a third of the time.
type lookahead struct {
	a             []float32
	strip, strips int // of gemmMaxM rows of C
}

// noLookahead fetches nothing in particular.
var noLookahead = lookahead{strips: 1}

// at returns what a call of the present strip should fetch, the part of the
// strip's work done before it being done of total.
func (l *lookahead) at(done, total int) *float32 {
	return at(l.a, (l.strip*total+done)*len(l.a)/(l.strips*total))
}

// addTN adds AᵀB to at most gemmMaxM rows of C: A has rows×m elements, B is
// packed, rows×n.
func (s *scratch) addTN(c []float32, ldc int, a []float32, lda int, packed []float32, rows, m, n int, ahead *lookahead) {
	g := &s.gemm
	*g = gemmArgs{
		a: &a[0], ars: 1, aks: lda,
		ldc: ldc, bps: rows * PanelWidth,
		m: m, k: rows,
		mode: gemmAddTo,
	}
	for j := 0; j < n; j += g.n {
		g.c, g.b = &c[j], &packed[j*rows]
		g.n = gemmColumns(n - j)
		g.ahead = ahead.at(j, n)
		active.gemm(g)
	}
}
