package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// peakAccumulators is a multiple of what hides the latency of FMA, and fits
// both register files together with two operands.
const peakAccumulators = 12

// writePeak writes the yardsticks of the benchmarks.
func writePeak(g *gen) {
	g.peak("peakFMA", "fused multiply-adds", func(a, b, acc reg.VecPhysical) { g.VFMADD231PS(a, b, acc) })
	if g.isa == avx512 {
		g.peak("peakVNNI", "VPDPBUSD", func(a, b, acc reg.VecPhysical) { g.VPDPBUSD(a, b, acc) })
	}
}

// peak writes a loop of independent instructions.
func (g *gen) peak(name, what string, op func(a, b, acc reg.VecPhysical)) {
	g.text(name, "(iters int)",
		"executes iters*12 independent vector "+what+": the most that a core can do.")
	for i := range peakAccumulators + 2 {
		g.zero(g.v(i))
	}
	g.MOVQ(operand.NewParamAddr("iters", 0), reg.RAX)
	g.Label("loop")
	for i := range peakAccumulators {
		op(g.v(peakAccumulators), g.v(peakAccumulators+1), g.v(i))
	}
	g.DECQ(reg.RAX)
	g.JNZ(operand.LabelRef("loop"))
	g.ret()
}
