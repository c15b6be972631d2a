package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// gemmCase is one call of the gemm entry with its memory.
type gemmCase struct {
	args        gemmArgs
	c, a, b     []float32
	bias, resid []float32
	alias       bool // the residual is C
}

// newGEMMCase draws everything that the sizes leave open.
func newGEMMCase(mem *arena, m, n, k int, values kind) *gemmCase {
	rng := mem.rng
	g := gemmArgs{m: m, n: n, k: k, bps: k * PanelWidth, ldc: n + rng.IntN(3)*rng.IntN(20)}
	c := &gemmCase{}
	lda := k
	rows, cols := m, k
	if rng.IntN(3) == 0 { // A transposed
		rows, cols, lda = k, m, m
	}
	lda += rng.IntN(2) * rng.IntN(20)
	g.ars, g.aks = lda, 1
	if rows == k && cols == m {
		g.ars, g.aks = 1, lda
	}
	c.c = mem.random((m-1)*g.ldc+n, values)
	if k > 0 {
		c.a = mem.random((rows-1)*lda+cols, values)
		c.b = mem.random(panels(n)*k*PanelWidth, values)
	}
	switch g.mode = gemmMode(rng.IntN(3)); g.mode {
	case gemmStore:
		if rng.IntN(2) == 0 {
			c.bias = mem.random(n, values)
		}
		fallthrough
	case gemmFromC:
		g.act = Activation(rng.IntN(3))
		g.slope = 0.1
		switch rng.IntN(3) {
		case 0:
			g.ldr = n + rng.IntN(9)
			c.resid = mem.random((m-1)*g.ldr+n, values)
		case 1:
			g.ldr, c.alias = g.ldc, true
		}
	}
	c.args = g
	return c
}

// run calls the entry on a copy of C and returns that.
func (c *gemmCase) run(mem *arena, entry func(*gemmArgs)) []float32 {
	out := mem.clone(c.c)
	g := c.args
	g.c, g.a, g.b, g.bias, g.residual = at(out, 0), at(c.a, 0), at(c.b, 0), at(c.bias, 0), at(c.resid, 0)
	if c.alias {
		g.residual = g.c
	}
	entry(&g)
	return out
}

func (c *gemmCase) String() string {
	g := &c.args
	return fmt.Sprintf("m=%d n=%d k=%d ars=%d aks=%d ldc=%d mode=%d act=%d bias=%t residual=%t alias=%t",
		g.m, g.n, g.k, g.ars, g.aks, g.ldc, g.mode, g.act, c.bias != nil, c.resid != nil, c.alias)
}

func TestGEMMEntry(t *testing.T) {
	eachEntry(t, func(t *testing.T, b *table) {
		mem := newArena(t, 1)
		try := func(m, n, k int, values kind) {
			mem.reset()
			c := newGEMMCase(mem, m, n, k, values)
			want := c.run(mem, generic.gemm)
			got := c.run(mem, b.gemm)
			requireSame(t, want, got, "%v values=%v", c, values)
			mem.check(t)
		}
		for m := 1; m <= gemmMaxM; m++ {
			for n := 1; n <= gemmMaxPanels*PanelWidth; n++ {
				try(m, n, mem.rng.IntN(1+mem.rng.IntN(24)), kind(mem.rng.IntN(int(kinds))))
			}
		}
		for k := range 150 {
			for range 4 {
				try(1+mem.rng.IntN(32), 1+mem.rng.IntN(48), k, kind(mem.rng.IntN(int(kinds))))
			}
		}
		try(gemmMaxM, gemmMaxPanels*PanelWidth, 301, ties)
		try(13, 40, 2000, plain)
	})
}

// naiveGEMM is GEMM as its comment has it.
func naiveGEMM(c []float32, ldc int, a []float32, lda int, b []float32, ldb, m, n, k int, ep *Epilogue) {
	for i := range m {
		for j := range n {
			var acc float32
			switch {
			case ep.Accumulate:
				acc = c[i*ldc+j]
			case ep.Bias != nil:
				acc = ep.Bias[j]
			}
			for x := range k {
				acc = FMA32(a[i*lda+x], b[x*ldb+j], acc)
			}
			c[i*ldc+j] = naiveEnd(acc, ep, i, j)
		}
	}
}

// naiveEnd is activation and residual as Epilogue's comment has them.
func naiveEnd(acc float32, ep *Epilogue, i, j int) float32 {
	switch {
	case ep.Act == ActReLU, ep.Act == ActLeaky && ep.Slope == 0:
		if !(acc > 0) {
			acc = 0
		}
	case ep.Act == ActLeaky:
		if s := float32(acc * ep.Slope); !(acc > s) {
			acc = s
		}
	}
	if ep.Residual != nil {
		acc += ep.Residual[i*ep.LDR+j]
	}
	return acc
}

// randomEpilogue draws an epilogue for an m×n output whose rows are ldc apart.
func randomEpilogue(mem *arena, m, n, ldc int, c []float32, values kind) *Epilogue {
	ep := &Epilogue{Act: Activation(mem.rng.IntN(3)), Slope: []float32{0, 0.1, 1}[mem.rng.IntN(3)]}
	switch mem.rng.IntN(3) {
	case 0:
		ep.Bias = mem.random(n, values)
	case 1:
		ep.Accumulate = true
	}
	switch mem.rng.IntN(4) {
	case 0:
		ep.LDR = n + mem.rng.IntN(7)
		ep.Residual = mem.random(max((m-1)*ep.LDR+n, 0), values)
	case 1:
		ep.LDR, ep.Residual = ldc, c
	}
	return ep
}

func TestGEMM(t *testing.T) {
	eachBackend(t, func(t *testing.T) {
		mem := newArena(t, 2)
		try := func(m, n, k int, values kind) {
			mem.reset()
			ldc, lda, ldb := n+mem.rng.IntN(5), k+mem.rng.IntN(5), n+mem.rng.IntN(5)
			size := func(rows, cols, ld int) int { return max((rows-1)*ld+cols, 0) }
			c := mem.random(size(m, n, ldc), values)
			a := mem.random(size(m, k, lda), values)
			b := mem.random(size(k, n, ldb), values)
			ep := randomEpilogue(mem, m, n, ldc, c, values)
			want := mem.clone(c)
			ref := *ep
			if len(c) > 0 && overlaps(ep.Residual, c) {
				ref.Residual = want
			}
			naiveGEMM(want, ldc, a, lda, b, ldb, m, n, k, &ref)
			GEMM(c, ldc, a, lda, Pack(k, n, b, ldb), m, ep)
			requireSame(t, want, c, "m=%d n=%d k=%d values=%v", m, n, k, values)
			mem.check(t)
		}
		for _, m := range []int{0, 1, 2, 7, 13, 95, 96, 97, 200} {
			for _, n := range []int{0, 1, 15, 16, 17, 48, 49, 100} {
				try(m, n, mem.rng.IntN(20), kind(mem.rng.IntN(int(kinds))))
			}
		}
		try(50, 20, 1281, plain)
		try(30, 20, 2561, plain)
		for range 6 { // cut sums, with every kind of epilogue
			try(2, 17, 2*gemmMaxK+mem.rng.IntN(3)-1, kind(mem.rng.IntN(int(kinds))))
		}
	})
}

// The generic backend against plain float64 arithmetic: no bit tricks in common.
func TestGEMMAccuracy(t *testing.T) {
	eachBackend(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(7, 7))
		const m, n, k = 19, 37, 211
		a, b, c := make([]float32, m*k), make([]float32, k*n), make([]float32, m*n)
		fill(rng, a, plain)
		fill(rng, b, plain)
		GEMM(c, n, a, k, Pack(k, n, b, n), m, nil)
		for i := range m {
			for j := range n {
				var sum, abs float64
				for x := range k {
					p := float64(a[i*k+x]) * float64(b[x*n+j])
					sum += p
					abs += math.Abs(p)
				}
				require.InDelta(t, sum, float64(c[i*n+j]), abs*k*0x1p-24)
			}
		}
	})
}

func TestGEMMTN(t *testing.T) {
	eachBackend(t, func(t *testing.T) {
		mem := newArena(t, 3)
		for _, m := range []int{0, 1, 5, 255, 256, 257, 600} {
			for _, k := range []int{1, 3, 17, 97} {
				for _, n := range []int{1, 16, 50} {
					mem.reset()
					values := kind(mem.rng.IntN(int(kinds)))
					lda, ldb, ldc := k+mem.rng.IntN(3), n+mem.rng.IntN(3), n+mem.rng.IntN(3)
					a := mem.random(max((m-1)*lda+k, 0), values)
					b := mem.random(max((m-1)*ldb+n, 0), values)
					c := mem.random((k-1)*ldc+n, values)
					k0 := mem.rng.IntN(k + 1)
					k1 := k0 + mem.rng.IntN(k+1-k0)
					if mem.rng.IntN(2) == 0 {
						k0, k1 = 0, k
					}
					want := mem.clone(c)
					naiveGEMMTN(want, ldc, a, lda, b, ldb, m, n, k0, k1)
					GEMMTN(c, ldc, a, lda, b, ldb, m, k, n, k0, k1)
					requireSame(t, want, c, "m=%d k=%d n=%d [%d,%d) values=%v", m, k, n, k0, k1, values)
					mem.check(t)
				}
			}
		}
	})
}

// naiveGEMMTN is GEMMTN as its comment has it.
func naiveGEMMTN(c []float32, ldc int, a []float32, lda int, b []float32, ldb, m, n, k0, k1 int) {
	for r0 := 0; r0 < m; r0 += 256 {
		for i := k0; i < k1; i++ {
			for j := range n {
				var acc float32
				for r := r0; r < min(r0+256, m); r++ {
					acc = FMA32(a[r*lda+i], b[r*ldb+j], acc)
				}
				c[i*ldc+j] += acc
			}
		}
	}
}

func TestGEMMPanics(t *testing.T) {
	a, c := make([]float32, 12), make([]float32, 12)
	b := Pack(3, 4, make([]float32, 12), 4)
	for name, fn := range map[string]func(){
		"short a":        func() { GEMM(c, 4, a[:8], 3, b, 3, nil) },
		"short c":        func() { GEMM(c[:11], 4, a, 3, b, 3, nil) },
		"narrow c":       func() { GEMM(c, 3, a, 3, b, 3, nil) },
		"short bias":     func() { GEMM(c, 4, a, 3, b, 3, &Epilogue{Bias: a[:3]}) },
		"short residual": func() { GEMM(c, 4, a, 3, b, 3, &Epilogue{Residual: a[:11], LDR: 4}) },
		"activation":     func() { GEMM(c, 4, a, 3, b, 3, &Epilogue{Act: 9}) },
		"range":          func() { GEMMTN(c, 4, a, 3, a, 4, 3, 3, 4, 0, 4) },
	} {
		require.Panics(t, fn, name)
	}
	require.PanicsWithValue(t, "kernels: gemm: a: 8 elements, want 9", func() { GEMM(c, 4, a[:8], 3, b, 3, nil) })
}

// Drivers work without allocating once the pool is warm.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools")
	}
	const m, k, n = 300, 40, 50
	a, b, c, w := make([]float32, m*k), make([]float32, m*n), make([]float32, m*n), make([]float32, k*n)
	p := Pack(k, n, w, n)
	ep := &Epilogue{Bias: make([]float32, n), Act: ActLeaky, Slope: 0.1}
	s := &ConvShape{H: 10, W: 10, Cin: 4, OutH: 10, OutW: 10, Cout: 4, KH: 3, KW: 3, StrideY: 1, StrideX: 1, PadTop: 1, PadLeft: 1}
	conv := NewPacked(36, 4)
	bytes, taps := make([]uint8, m*k), make([]int16, 25*n)
	p8, p8conv := Pack8(k, n, make([]int8, k*n), n), Pack8(36, 4, make([]int8, 36*4), 4)
	ints := &IntOutput{Rescale: randomRescale(rand.New(rand.NewPCG(1, 1)), n, 1), Out16: make([]int16, m*n), LD16: n}
	few := &IntOutput{Rescale: randomRescale(rand.New(rand.NewPCG(1, 1)), 4, 1), Out16: make([]int16, 400), LD16: 4}
	for name, fn := range map[string]func(){
		"gemm":            func() { GEMM(c, n, a, k, p, m, ep) },
		"gemmtn":          func() { GEMMTN(w, n, a, k, b, n, m, k, n, 0, k) },
		"conv":            func() { Conv(c, a, conv, s, ep, 0, 10) },
		"convtransposed":  func() { ConvTransposed(c, a, conv, s, ep, 0, 10) },
		"convweightgrad":  func() { ConvWeightGrad(w, a, b, s, 0, 36) },
		"depthwise":       func() { Depthwise(c, a, w, nil, 10, 10, 4, 3, 3, nil, 0, 10) },
		"depthwise 5x5":   func() { Depthwise(c, a, w, nil, 10, 10, 4, 5, 5, nil, 0, 10) },
		"depthwise grad":  func() { DepthwiseDataGrad(c, a, w, 10, 10, 4, 3, 3, true, 0, 10) },
		"depthwise wgrad": func() { DepthwiseWeightGrad(w, a, b, 10, 10, 4, 3, 3, 0, 4) },
		"gemm8":           func() { GEMM8(bytes, k, p8, 20, ints) },
		"conv8":           func() { Conv8(bytes, bytes, p8conv, s, few, 0, 5) },
		"depthwise8":      func() { Depthwise8(bytes, bytes, taps, 2, 5, n, 3, 3, ints, 0, 2) },
		"depthwise8 5x5":  func() { Depthwise8(bytes, bytes, taps, 2, 5, n, 5, 5, ints, 0, 2) },
		"quantise":        func() { Quantise(ints.Out16, nil, a[:2*n], b[:n], taps) },
		"add":             func() { Add(c, c, c) },
		"softplus grad":   func() { SoftplusGrad(c, c, c) },
		"sum":             func() { Sum(c) },
		"for":             func() { For(1, m, 1, func(lo, hi int) {}) },
	} {
		fn()
		// A garbage collection in between empties the pool once in a while.
		require.Less(t, testing.AllocsPerRun(20, fn), 1.0, name)
	}
}

// However the work is arranged about the cache, results are the same.
func TestBlocks(t *testing.T) {
	cache := l2Cache
	defer func() { l2Cache = cache }()
	eachBackend(t, func(t *testing.T) {
		mem := newArena(t, 60)
		same := func(name string, elements int, run func(dst []float32, ep *Epilogue)) {
			ep := &Epilogue{Act: ActLeaky, Slope: 0.1}
			small := mem.random(elements, plain)
			large := mem.clone(small)
			l2Cache = 4000
			ep.Residual = small // as residuals added in place are
			run(small, ep)
			l2Cache = 1 << 30
			ep.Residual = large
			run(large, ep)
			requireSame(t, large, small, "%s", name)
			mem.check(t)
			mem.reset()
		}
		const m, k, n = 500, 8, 401
		a, b := benchFloats(m*k), Pack(k, n, benchFloats(k*n), n)
		l2Cache = 4000
		require.Equal(t, 2*gemmMaxM, blockRows(k, n), "this case has blocks of several strips")
		same("gemm", m*n, func(dst []float32, ep *Epilogue) {
			ep.LDR = n
			GEMM(dst, n, a, k, b, m, ep)
		})
		for _, stride := range []int{1, 2} {
			s := &ConvShape{
				H: 23 * stride, W: 17 * stride, Cin: 16, OutH: 23, OutW: 17, Cout: 50,
				KH: 3, KW: 3, StrideY: stride, StrideX: stride, PadTop: 1, PadLeft: 1,
			}
			taps := s.KH * s.KW * s.Cin
			src, w := benchFloats(s.H*s.W*s.Cin), Pack(taps, s.Cout, benchFloats(taps*s.Cout), s.Cout)
			require.Greater(t, blockRows(taps, s.Cout)/s.OutW, 1, "several rows at once")
			for _, rows := range [][2]int{{0, s.OutH}, {4, 19}} {
				same("conv", s.OutH*s.OutW*s.Cout, func(dst []float32, ep *Epilogue) {
					ep.LDR = s.Cout
					Conv(dst, src, w, s, ep, rows[0], rows[1])
				})
				l2Cache = 4000
			}
		}
	})
}
