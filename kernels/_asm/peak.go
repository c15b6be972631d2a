package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// peakAccumulators is a multiple of what hides the latency of FMA, and fits
// both register files together with two operands.
const peakAccumulators = 12

// peakUnroll is how many registers the loop of loads fills at a turn.
const peakUnroll = 8

// writePeak writes the yardsticks of the benchmarks.
func writePeak(g *gen) {
	g.peakLoop("peakFMA", "executes iters*12 independent vector fused multiply-adds: the most that a core can do.",
		func(a, b, acc, _ reg.VecPhysical) { g.VFMADD231PS(a, b, acc) })
	if g.isa == avx512 {
		g.peakLoop("peakDot", "executes iters*12 independent VPDPBUSD: dot products of four bytes in every lane.",
			func(a, b, acc, _ reg.VecPhysical) { g.VPDPBUSD(a, b, acc) })
	} else {
		g.peakLoop("peakDot", "executes iters*12 independent pairs of VPMADDWD and VPADDD: dot products of two 16-bit numbers in every lane.",
			func(a, b, acc, tmp reg.VecPhysical) {
				g.VPMADDWD(a, b, tmp)
				g.VPADDD(tmp, acc, acc)
			})
	}

	g.text("peakLoad", "(x *float32, iters int)", "reads iters*8 vectors from x on.")
	g.MOVQ(operand.NewParamAddr("x", 0), reg.RSI)
	g.MOVQ(operand.NewParamAddr("iters", 8), reg.RAX)
	g.Label("loop")
	for i := range peakUnroll {
		g.VMOVUPS(mem(reg.RSI, i*g.bytes()), g.v(i))
	}
	g.ADDQ(operand.I32(peakUnroll*g.bytes()), reg.RSI)
	g.DECQ(reg.RAX)
	g.JNZ(operand.LabelRef("loop"))
	g.ret()
}

// peakLoop writes a loop over one operation on every accumulator.
func (g *gen) peakLoop(name, does string, op func(a, b, acc, tmp reg.VecPhysical)) {
	g.text(name, "(iters int)", does)
	for i := range peakAccumulators + 2 {
		g.zero(g.v(i))
	}
	g.MOVQ(operand.NewParamAddr("iters", 0), reg.RAX)
	g.Label("loop")
	for i := range peakAccumulators {
		op(g.v(peakAccumulators), g.v(peakAccumulators+1), g.v(i), g.v(peakAccumulators+2+i%2))
	}
	g.DECQ(reg.RAX)
	g.JNZ(operand.LabelRef("loop"))
	g.ret()
}
