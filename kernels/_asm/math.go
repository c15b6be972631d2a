package main

import (
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The elementary functions, operation by operation as in math32.go, which
// defines them. The coefficients are read from there.

// Registers: the argument, the result, and temporaries; with AVX2
// the last two are masks.
const (
	vX = iota // the argument, kept
	vR        // argument and result of a step
	vN
	vP
	vZ
	vK
	vT
)

func writeMath(g *gen) {
	if g.isa == avx2 {
		g.tailMasks()
	}
	function := func(name, doc string, body func()) {
		g.text(name, "(dst, x []float32)", doc)
		g.slices("dst", "x")
		g.flat(1, func(l lane) {
			l.get(1, g.v(vX))
			body()
			l.put(0, g.v(vR))
		})
		g.ret()
	}
	x, r, n, t := g.v(vX), g.v(vR), g.v(vN), g.v(vT)

	function("exp", "computes e^x.", func() {
		g.VMOVAPS(x, r)
		g.exp()
	})
	function("log", "computes ln x.", func() { g.log(x) })
	function("sigmoid", "computes 1/(1+e^-x).", func() {
		g.orC(g.sign(), x, r)
		g.exp()
		g.VMOVAPS(r, n)
		g.compareC(atLeast, x, g.c(0))
		g.chooseC(g.c(1), n)
		g.addC(g.c(1), r, r)
		g.VDIVPS(r, n, r)
	})
	function("tanh", "computes tanh x.", func() {
		a, z, p := g.v(vT+1), g.v(vZ), g.v(vP)
		g.andC(g.magnitude(), x, a)
		g.VADDPS(a, a, r)
		g.exp()
		g.addC(g.c(1), r, r)
		g.broadcast(g.c(2), t)
		g.VDIVPS(r, t, t)
		g.broadcast(g.c(1), r)
		g.VSUBPS(t, r, r)
		g.VMULPS(a, a, z)
		g.horner(p, z, "tanhP4", "tanhP3", "tanhP2", "tanhP1", "tanhP0")
		g.VMULPS(a, z, z)
		g.VFMADD213PS(a, z, p)
		g.compareC(less, a, g.named("tanhMin"))
		g.choose(p, r)
		g.copySign(x, r)
	})
	function("softplus", "computes ln(1+e^x).", func() {
		f, k := g.v(vT+1), g.v(vK)
		g.orC(g.sign(), x, r)
		g.exp()
		g.addC(g.c(-1), r, f)
		g.mulC(g.c(0.5), f, f)
		g.zero(k)
		g.compareC(greaterThan, r, g.named("log1pSplit"))
		g.choose(f, r)
		g.chooseC(g.c(1), k)
		g.logSum()
		g.zero(t)
		g.max(x, t, t)
		g.VADDPS(r, t, r)
	})
	function("symlog", "computes sign(x)·ln(1+|x|).", func() {
		a := g.v(vT + 1)
		g.andC(g.magnitude(), x, a)
		g.addC(g.c(1), a, a)
		g.log(a)
		g.copySign(x, r)
	})
}

func (g *gen) sign() operand.Mem      { return g.constant32(1 << 31) }
func (g *gen) magnitude() operand.Mem { return g.constant32(1<<31 - 1) }

// named is a float32 constant of package kernels.
func (g *gen) named(name string) operand.Mem { return g.c(g.float(name)) }

// horner evaluates a polynomial in z, highest coefficient first, into p.
func (g *gen) horner(p, z reg.VecPhysical, names ...string) {
	g.broadcast(g.named(names[0]), p)
	for _, name := range names[1:] {
		g.fma213C(g.named(name), z, p)
	}
}

// exp is exp32: from vR to vR; destroys vN, vP, vT.
func (g *gen) exp() {
	r, n, p, t := g.v(vR), g.v(vN), g.v(vP), g.v(vT)
	g.broadcast(g.named("expMin"), t)
	g.max(t, r, r)
	g.broadcast(g.named("expMax"), t)
	g.min(t, r, r)
	g.mulC(g.named("log2e"), r, n)
	g.roundEven(n, n)
	g.fma231C(g.c(-g.float("ln2Hi")), n, r)
	g.fma231C(g.c(-g.float("ln2Lo")), n, r)
	g.horner(p, r, "expC6", "expC5", "expC4", "expC3", "expC2")
	g.fma213C(g.c(1), r, p)
	g.fma213C(g.c(1), r, p)
	g.VCVTTPS2DQ(n, n)
	g.VPSRAD(imm(1), n, t)
	g.VPSUBD(t, n, n)
	for _, h := range []reg.VecPhysical{t, n} {
		g.addIntC(g.constant32(127), h, h)
		g.VPSLLD(imm(23), h, h)
		g.VMULPS(h, p, p)
	}
	g.VMOVAPS(p, r)
}

// log is log32: from x, which is kept, to vR; destroys vN, vP, vZ, vK, vT.
func (g *gen) log(x reg.VecPhysical) {
	r, k, t := g.v(vR), g.v(vK), g.v(vT)
	sqrtHalf := uint32(g.integer("sqrtHalf"))
	g.VMOVAPS(x, r)
	g.zero(k)
	g.mulC(g.c(0x1p23), x, t)
	g.compareC(less, x, g.c(0x1p-126))
	g.choose(t, r)
	g.chooseC(g.constant32(-23&math.MaxUint32), k)
	g.addIntC(g.constant32(-sqrtHalf), r, r)
	g.VPSRAD(imm(23), r, t)
	g.VPADDD(t, k, k)
	g.VCVTDQ2PS(k, k)
	g.andC(g.constant32(1<<23-1), r, r)
	g.addIntC(g.constant32(sqrtHalf), r, r)
	g.addC(g.c(-1), r, r)
	g.logSum()
	inf := float32(math.Inf(1))
	g.compareC(notLess, x, g.c(inf))
	g.choose(x, r)
	g.compareC(less, x, g.c(0))
	g.chooseC(g.constant32(0x7fc00000), r)
	g.compareC(equal, x, g.c(0))
	g.chooseC(g.c(-inf), r)
}

// logSum is logSum of vR and vK; destroys vP and vZ.
func (g *gen) logSum() {
	f, k, p, z, y := g.v(vR), g.v(vK), g.v(vP), g.v(vZ), g.v(vT)
	g.horner(p, f, "logP7", "logP6", "logP5", "logP4", "logP3", "logP2", "logP1", "logP0")
	g.VMULPS(f, f, z)
	g.VMULPS(f, z, y)
	g.VMULPS(p, y, y)
	g.fma231C(g.named("ln2Lo"), k, y)
	g.fma231C(g.c(-0.5), z, y)
	g.VADDPS(f, y, f)
	g.fma231C(g.named("ln2Hi"), k, f)
}

// copySign gives r the sign of x; destroys x.
func (g *gen) copySign(x, r reg.VecPhysical) {
	g.andC(g.magnitude(), r, r)
	g.andC(g.sign(), x, x)
	g.VORPS(x, r, r)
}
