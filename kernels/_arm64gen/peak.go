package main

// peakAccumulators hides a latency of 4 where four vectors can be multiplied a
// cycle, as on Neoverse V2 and Apple M1, with some to spare.
const peakAccumulators = 24

// writePeak writes the yardsticks of the benchmarks.
func writePeak(g *gen) {
	g.function("peakFMANEON", "(iters int)",
		"executes iters*24 independent vector fused multiply-adds: the most that a core can do.", 0, 8)
	for v := range vector(peakAccumulators + 2) {
		g.zero(v)
	}
	g.op("MOVD iters+0(FP), R0")
	g.label("loop")
	for v := range vector(peakAccumulators) {
		g.mla(v, peakAccumulators, peakAccumulators+1)
	}
	g.op("SUBS $1, R0")
	g.op("BNE loop")
	g.op("RET")

	g.function("peakLoadNEON", "(x *float32, iters int)", "reads iters*16 vectors from x on.", 0, 16)
	g.op("MOVD x+0(FP), R1")
	g.op("MOVD iters+8(FP), R0")
	g.label("loop")
	for v := vector(0); v < 16; v += 4 {
		g.loadNext(v, 16, "R1")
	}
	g.op("SUBS $1, R0")
	g.op("BNE loop")
	g.op("RET")
}
