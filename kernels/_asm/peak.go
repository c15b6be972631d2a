package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// peakAccumulators is a multiple of what hides the latency of FMA, and fits
// both register files together with two operands.
const peakAccumulators = 12

// writePeak writes the yardstick of the benchmarks.
func writePeak(g *gen) {
	g.text("peakFMA", "(iters int)",
		"executes iters*12 independent vector fused multiply-adds: the most that a core can do.")
	for i := range peakAccumulators + 2 {
		g.zero(g.v(i))
	}
	g.MOVQ(operand.NewParamAddr("iters", 0), reg.RAX)
	g.Label("loop")
	for i := range peakAccumulators {
		g.VFMADD231PS(g.v(peakAccumulators), g.v(peakAccumulators+1), g.v(i))
	}
	g.DECQ(reg.RAX)
	g.JNZ(operand.LabelRef("loop"))
	g.ret()
}
