package main

import (
	"go/constant"
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The rate of Gaussians, operation by operation as tailTable.symbol computes
// it: in float64, so half as many elements at a time as elsewhere, and with a
// multiplication and an addition, each rounded, where that has mad.

// Registers of the loop, besides those of flat loops.
var (
	normalInv   = reg.RDX
	normalTable = reg.RBX
	normalEntry = []reg.GPPhysical{reg.R10, reg.R11, reg.R13, reg.R15} // offsets in the table (AVX2)
)

// Vector registers; with AVX2 the last two are masks.
const (
	nD = iota
	nInv
	nLo
	nHi
	nQLo
	nFLo
	nQHi
	nFHi
	nT // and the following: temporaries
)

func writeNormal(g *gen) {
	if g.isa == avx2 {
		g.tailMasks()
	}
	g.text("normal", "(rec, dd, ds, d, inv []float32, t *tailTable)", "computes 1/p and the derivatives of NormalBits.")
	g.slices("rec", "dd", "ds", "d")
	n := g.isa.lanes / 2
	g.MOVQ(flatCount, reg.RCX)
	g.ANDQ(imm(n-1), reg.RCX)
	g.tailMask(reg.RCX, reg.RDX)
	g.MOVQ(operand.NewParamAddr("inv_base", 96), normalInv)
	g.MOVQ(operand.NewParamAddr("t", 120), normalTable)
	g.XORQ(flatIndex, flatIndex)
	g.SUBQ(imm(n), flatCount)
	g.JL(operand.LabelRef("end"))
	g.Label("loop")
	g.normal(false)
	g.ADDQ(imm(n), flatIndex)
	g.SUBQ(imm(n), flatCount)
	g.JGE(operand.LabelRef("loop"))
	g.Label("end")
	g.ADDQ(imm(n), flatCount)
	g.JZ(operand.LabelRef("done"))
	g.normal(true)
	g.Label("done")
	g.ret()
}

// normal is tailTable.symbol for lanes/2 elements.
func (g *gen) normal(masked bool) {
	d, inv, lo, hi := g.v(nD), g.v(nInv), g.v(nLo), g.v(nHi)
	qLo, fLo, qHi, fHi := g.v(nQLo), g.v(nFLo), g.v(nQHi), g.v(nFHi)
	t, u := g.v(nT), g.v(nT+1)
	at := func(base reg.Register) operand.Mem { return indexed(base, flatIndex, 4, 0) }
	g.loadHalf(at(flatPtr[3]), d, masked)
	g.loadHalf(at(normalInv), inv, masked)

	g.and64(g.magnitude64(), d, t)
	g.add64(g.c64(-0.5), t, lo)
	g.add64(g.c64(0.5), t, hi)
	g.VMULPD(inv, lo, lo)
	g.VMULPD(inv, hi, hi)
	g.and64(g.magnitude64(), lo, qHi)
	g.tailAt(qHi, qLo, fLo)
	g.tailAt(hi, qHi, fHi)
	g.broadcast64(g.c64(1), t)
	g.VSUBPD(qLo, t, u)
	g.compare64(less, lo, g.c64(0))
	g.choose64(u, qLo)
	p := qLo
	g.VSUBPD(qHi, qLo, p)

	rec, dd, ds := t, fLo, qHi
	g.VDIVPD(p, t, rec)
	g.mul64(g.c64(g.float64("log2e64")), rec, u)
	g.VMULPD(fLo, lo, lo)
	g.VMULPD(fHi, hi, ds)
	g.VSUBPD(lo, ds, ds)
	g.VMULPD(u, ds, ds)
	g.VSUBPD(fHi, fLo, dd)
	g.VMULPD(inv, dd, dd)
	g.VMULPD(u, dd, dd)

	g.mul64(g.c64(g.float64("floorD")), inv, u)
	g.compare64(less, p, g.c64(g.float64("pFloor")))
	g.chooseC64(g.c64(1/g.float64("pFloor")), rec)
	g.choose64(u, dd)
	g.chooseC64(g.c64(g.float64("floorS")), ds)
	g.and64(g.magnitude64(), dd, dd)
	g.and64(g.sign64(), d, d)
	g.VORPD(d, dd, dd)
	g.unordered(hi)
	for i, r := range []reg.VecPhysical{rec, dd, ds} {
		g.choose64(hi, r)
		g.storeHalf(r, at(flatPtr[i]), masked)
	}
}

// tailAt is tailTable.at: from z, which is kept, to q and f.
func (g *gen) tailAt(z, q, f reg.VecPhysical) {
	h, c, w, p, e := g.v(nT), g.v(nT+1), g.v(nT+2), g.v(nT+3), g.v(nT+4)
	steps := g.float64("tailStep")
	g.compare64(less, z, g.c64(g.float64("tailMax")))
	g.keep64(z, h)
	g.mul64(g.c64(steps), h, c)
	g.add64(g.c64(0.5), c, c)
	g.entry(c, q, e)
	g.mul64(g.c64(1/steps), c, c)
	g.VSUBPD(c, h, h)
	g.mul64(g.c64(0.5), h, w)
	g.VADDPD(w, c, w)
	g.VMULPD(w, h, w)
	g.broadcast64(g.c64(-1.0/120), f)
	for _, k := range []float64{1.0 / 24, -1.0 / 6, 0.5, -1, 1} {
		g.VMULPD(w, f, f)
		g.add64(g.c64(k), f, f)
	}
	g.VMULPD(f, e, f)

	g.VMULPD(c, c, w) // c²
	g.broadcast64(g.c64(3), p)
	g.VSUBPD(w, p, p)
	g.VMULPD(p, c, p)
	g.add64(g.c64(-1), w, w)
	g.mul64(g.c64(1.0/6), w, w)
	g.mul64(g.c64(-0.5), c, c)
	x := g.v(nT + 5)
	g.mul64(g.c64(1.0/24), h, x)
	g.VMULPD(x, p, p)
	g.VADDPD(w, p, p)
	g.VMULPD(h, p, p)
	g.VADDPD(c, p, p)
	g.VMULPD(h, p, p)
	g.add64(g.c64(1), p, p)
	g.VMULPD(h, p, p)
	g.VMULPD(p, e, p)
	g.VSUBPD(p, q, q)
	g.compare64(less, z, g.c64(g.float64("tailMax")))
	g.keep64(q, q)
	g.keep64(f, f)
}

// entry truncates z to integers, in which form it stays, and loads these
// entries of the table, as q and e.
func (g *gen) entry(z, q, e reg.VecPhysical) {
	if g.isa == avx512 {
		index := z.AsY()
		g.VCVTTPD2DQ(z, index)
		x := g.v(nT + 3)
		g.VCVTDQ2PD(index, x)
		g.VPADDD(index, index, index)
		for disp, r := range []reg.VecPhysical{q, e} {
			g.KXNORW(reg.K3, reg.K3, reg.K3)
			g.VGATHERDPD(indexed(normalTable, index, 8, 8*disp), reg.K3, r)
		}
		g.VMOVAPD(x, z)
		return
	}
	index, a, b := z.AsX(), g.v(nT+2), g.v(nT+3)
	g.VCVTTPD2DQY(z, index)
	g.VPSLLD(imm(4), index, a.AsX())
	g.VMOVD(a.AsX(), normalEntry[0].As32())
	for i := 1; i < 4; i++ {
		g.VPEXTRD(imm(i), a.AsX(), normalEntry[i].As32())
	}
	g.VCVTDQ2PD(index, z)
	for i, r := range []reg.VecPhysical{a, b} {
		g.VMOVUPD(indexed(normalTable, normalEntry[i], 1, 0), r.AsX())
		g.VINSERTF128(imm(1), indexed(normalTable, normalEntry[i+2], 1, 0), r, r)
	}
	g.VUNPCKLPD(b, a, q)
	g.VUNPCKHPD(b, a, e)
}

// The float64 forms of what is in vector.go.

func (g *gen) constant64(bits uint64) operand.Mem {
	copies := 1
	if g.isa == avx2 {
		copies = 4
	}
	return g.data("d", bits, 8, copies)
}

func (g *gen) c64(x float64) operand.Mem { return g.constant64(math.Float64bits(x)) }

func (g *gen) sign64() operand.Mem      { return g.constant64(1 << 63) }
func (g *gen) magnitude64() operand.Mem { return g.constant64(1<<63 - 1) }

func (g *gen) float64(name string) float64 {
	x, _ := constant.Float64Val(g.value(name))
	return x
}

func (g *gen) broadcast64(m operand.Mem, r reg.VecPhysical) { g.VBROADCASTSD(m, r) }

func (g *gen) mul64(m operand.Mem, src, dst reg.VecPhysical) {
	g.with(g.VMULPD, g.VMULPD_BCST, m, src, dst)
}
func (g *gen) add64(m operand.Mem, src, dst reg.VecPhysical) {
	g.with(g.VADDPD, g.VADDPD_BCST, m, src, dst)
}
func (g *gen) and64(m operand.Mem, src, dst reg.VecPhysical) {
	g.with(g.VANDPD, g.VANDPD_BCST, m, src, dst)
}

// compare64 compares with a constant.
func (g *gen) compare64(pred int, a reg.VecPhysical, m operand.Mem) {
	if g.isa == avx512 {
		g.VCMPPD_BCST(operand.U8(pred), m, a, reg.K2)
	} else {
		g.VCMPPD(operand.U8(pred), m, a, g.compareMask())
	}
}

// unordered selects the lanes that are NaN.
func (g *gen) unordered(a reg.VecPhysical) {
	const unordered = 3
	if g.isa == avx512 {
		g.VCMPPD(operand.U8(unordered), a, a, reg.K2)
	} else {
		g.VCMPPD(operand.U8(unordered), a, a, g.compareMask())
	}
}

// keep64 is src where the last comparison was true, and +0 elsewhere.
func (g *gen) keep64(src, dst reg.VecPhysical) {
	if g.isa == avx512 {
		g.VMOVAPD_Z(src, reg.K2, dst)
	} else {
		g.VANDPD(g.compareMask(), src, dst)
	}
}

func (g *gen) choose64(x, dst reg.VecPhysical) {
	if g.isa == avx512 {
		g.VMOVAPD(x, reg.K2, dst)
	} else {
		g.VBLENDVPD(g.compareMask(), x, dst, dst)
	}
}

func (g *gen) chooseC64(m operand.Mem, dst reg.VecPhysical) {
	if g.isa == avx512 {
		g.VBROADCASTSD(m, reg.K2, dst)
	} else {
		g.VBLENDVPD(g.compareMask(), m, dst, dst)
	}
}

// half is the lower half of a register: what a full one of float64 becomes as
// float32.
func (g *gen) half(r reg.VecPhysical) reg.VecPhysical {
	if g.isa == avx512 {
		return r.AsY().(reg.VecPhysical)
	}
	return r.AsX().(reg.VecPhysical)
}

// loadHalf reads float32 and widens them to float64.
func (g *gen) loadHalf(m operand.Mem, r reg.VecPhysical, masked bool) {
	h := g.half(r)
	switch {
	case !masked:
		g.VCVTPS2PD(m, r)
		return
	case g.isa == avx512:
		g.VMOVUPS_Z(m, reg.K1, h)
	default:
		g.VMASKMOVPS(m, g.half(g.mask()), h)
	}
	g.VCVTPS2PD(h, r)
}

// storeHalf rounds r to float32 and writes it.
func (g *gen) storeHalf(r reg.VecPhysical, m operand.Mem, masked bool) {
	h := g.half(r)
	if g.isa == avx512 {
		g.VCVTPD2PS(r, h)
	} else {
		g.VCVTPD2PSY(r, h)
	}
	switch {
	case !masked:
		g.VMOVUPS(h, m)
	case g.isa == avx512:
		g.VMOVUPS(h, reg.K1, m)
	default:
		g.VMASKMOVPS(h, g.half(g.mask()), m)
	}
}
