package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// What the two instruction sets write differently: constants, comparisons and
// selections, flat loops.

// constant32 addresses a constant of 32 bits as an operand of the instructions
// below: broadcast from one word with AVX-512, a full register's worth of
// memory with AVX2.
func (g *gen) constant32(bits uint32) operand.Mem {
	copies := 1
	if g.isa == avx2 {
		copies = 8
	}
	return g.data("c", uint64(bits), 4, copies)
}

// data addresses copies of a word of size bytes, which is written once.
func (g *gen) data(prefix string, bits uint64, size, copies int) operand.Mem {
	name := fmt.Sprintf("%s%0*x", prefix, 2*size, bits)
	if !g.constants[name] {
		if g.constants == nil {
			g.constants = map[string]bool{}
		}
		g.constants[name] = true
		g.StaticGlobal(name)
		g.DataAttributes(attr.RODATA | attr.NOPTR)
		for i := range copies {
			if size == 8 {
				g.AddDatum(8*i, operand.U64(bits))
			} else {
				g.AddDatum(4*i, operand.U32(bits))
			}
		}
	}
	return operand.NewDataAddr(operand.NewStaticSymbol(name), 0)
}

// c is constant32 of a float.
func (g *gen) c(x float32) operand.Mem { return g.constant32(math.Float32bits(x)) }

// broadcast sets all lanes of r to a word of memory.
func (g *gen) broadcast(m operand.Mem, r reg.VecPhysical) { g.VBROADCASTSS(m, r) }

// with applies the AVX2 or the AVX-512 form of an instruction whose first
// operand is a constant.
func (g *gen) with(narrow, wide func(...operand.Op), m operand.Mem, ops ...operand.Op) {
	if g.isa == avx512 {
		wide(append([]operand.Op{m}, ops...)...)
	} else {
		narrow(append([]operand.Op{m}, ops...)...)
	}
}

// The instructions with a constant as one operand; dst = src op constant.
func (g *gen) mulC(m operand.Mem, src, dst reg.VecPhysical) {
	g.with(g.VMULPS, g.VMULPS_BCST, m, src, dst)
}
func (g *gen) addC(m operand.Mem, src, dst reg.VecPhysical) {
	g.with(g.VADDPS, g.VADDPS_BCST, m, src, dst)
}
func (g *gen) addIntC(m operand.Mem, src, dst reg.VecPhysical) {
	g.with(g.VPADDD, g.VPADDD_BCST, m, src, dst)
}
func (g *gen) andC(m operand.Mem, src, dst reg.VecPhysical) {
	g.with(g.VANDPS, g.VANDPS_BCST, m, src, dst)
}
func (g *gen) orC(m operand.Mem, src, dst reg.VecPhysical) {
	g.with(g.VORPS, g.VORPS_BCST, m, src, dst)
}

// fma213C computes acc = acc*x + constant, a step of Horner's rule.
func (g *gen) fma213C(m operand.Mem, x, acc reg.VecPhysical) {
	g.with(g.VFMADD213PS, g.VFMADD213PS_BCST, m, x, acc)
}

// fma231C computes acc = x*constant + acc.
func (g *gen) fma231C(m operand.Mem, x, acc reg.VecPhysical) {
	g.with(g.VFMADD231PS, g.VFMADD231PS_BCST, m, x, acc)
}

// max computes dst = a > b ? a : b. The instruction returns its last operand
// where the comparison fails, equal zeros and NaN included.
func (g *gen) max(a, b, dst reg.VecPhysical) { g.VMAXPS(b, a, dst) }

// min computes dst = a < b ? a : b.
func (g *gen) min(a, b, dst reg.VecPhysical) { g.VMINPS(b, a, dst) }

// roundEven rounds to integers, halves to even.
func (g *gen) roundEven(src, dst reg.VecPhysical) {
	if g.isa == avx512 {
		g.VRNDSCALEPS(operand.U8(0), src, dst)
	} else {
		g.VROUNDPS(operand.U8(0), src, dst)
	}
}

// Predicates of comparisons; all but the negated one are false for NaN.
const (
	equal       = 0
	less        = 1
	notLess     = 5
	atLeast     = 13
	greaterThan = 14
)

// compareMask is AVX2's mask between compare and choose, the last register but
// one. With AVX-512 it is K2; K1 is taken by the tail.
func (g *gen) compareMask() reg.VecPhysical { return g.v(len(g.isa.reg) - 2) }

// compare evaluates a pred b for each lane.
func (g *gen) compare(pred int, a, b reg.VecPhysical) {
	if g.isa == avx512 {
		g.VCMPPS(operand.U8(pred), b, a, reg.K2)
	} else {
		g.VCMPPS(operand.U8(pred), b, a, g.compareMask())
	}
}

// compareC is compare with a constant.
func (g *gen) compareC(pred int, a reg.VecPhysical, m operand.Mem) {
	if g.isa == avx512 {
		g.VCMPPS_BCST(operand.U8(pred), m, a, reg.K2)
	} else {
		g.VCMPPS(operand.U8(pred), m, a, g.compareMask())
	}
}

// choose sets dst to x where the last comparison was true.
func (g *gen) choose(x, dst reg.VecPhysical) {
	if g.isa == avx512 {
		g.VMOVAPS(x, reg.K2, dst)
	} else {
		g.VBLENDVPS(g.compareMask(), x, dst, dst)
	}
}

// chooseC is choose with a constant.
func (g *gen) chooseC(m operand.Mem, dst reg.VecPhysical) {
	if g.isa == avx512 {
		g.VBROADCASTSS(m, reg.K2, dst)
	} else {
		g.VBLENDVPS(g.compareMask(), m, dst, dst)
	}
}

// Registers of flat loops.
var (
	flatPtr   = []reg.Register{reg.RDI, reg.RSI, reg.R8, reg.R9} // the slices, dst first
	flatIndex = reg.RAX
	flatCount = reg.R12
)

// slices loads the addresses of the slice arguments, and the length of the
// first into flatCount.
func (g *gen) slices(names ...string) {
	for i, name := range names {
		g.MOVQ(operand.NewParamAddr(name+"_base", 24*i), flatPtr[i])
	}
	g.MOVQ(operand.NewParamAddr(names[0]+"_len", 8), flatCount)
}

// scalar broadcasts the argument at an offset.
func (g *gen) scalar(name string, offset int, r reg.VecPhysical) {
	g.VBROADCASTSS(operand.NewParamAddr(name, offset), r)
}

// lane describes one register's worth of a flat loop.
type lane struct {
	*gen
	unroll int // which of the unrolled copies
	masked bool
}

func (l lane) addr(slice int) operand.Mem {
	return indexed(flatPtr[slice], flatIndex, 4, l.unroll*l.bytes())
}
func (l lane) get(slice int, r reg.VecPhysical) { l.load(l.addr(slice), r, l.masked) }
func (l lane) put(slice int, r reg.VecPhysical) { l.store(r, l.addr(slice), l.masked) }

// flat emits body for flatCount elements, unrolled.
func (g *gen) flat(unroll int, body func(l lane)) {
	g.MOVQ(flatCount, reg.RCX)
	g.tailMask(reg.RCX, reg.RDX)
	g.flatMasked(unroll, body)
}

// flatMasked is flat where the mask is set already.
func (g *gen) flatMasked(unroll int, body func(l lane)) {
	n := g.isa.lanes
	g.XORQ(flatIndex, flatIndex)
	step := func(label string, copies int) {
		loop, end := g.label(label), g.label(label+"End")
		g.SUBQ(imm(copies*n), flatCount)
		g.JL(operand.LabelRef(end))
		g.Label(loop)
		for u := range copies {
			body(lane{g, u, false})
		}
		g.ADDQ(imm(copies*n), flatIndex)
		g.SUBQ(imm(copies*n), flatCount)
		g.JGE(operand.LabelRef(loop))
		g.Label(end)
		g.ADDQ(imm(copies*n), flatCount)
	}
	if unroll > 1 {
		step("unrolled", unroll)
	}
	step("single", 1)
	done := g.label("done")
	g.JZ(operand.LabelRef(done))
	body(lane{g, 0, true})
	g.Label(done)
}
