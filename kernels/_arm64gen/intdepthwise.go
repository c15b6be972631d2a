package main

// The integer depthwise kernels do 16 channels of four pixels at a time, tap by
// tap: the weights of the tap and the numbers under it, widened if they are bytes,
// take multiply-adds of 16 bits to sums of 32 in V16 to V31. What follows is that
// of the matrix kernels, a pixel being a row.

// Registers beside those of int8.go.
const (
	intDWWeights = "R1"
	intDWTap     = "R8"  // weights of the next tap
	intDWColumn  = "R12" // first pixel under the tap
	intDWPixel   = "R5"
	intDWPitch   = "R13" // bytes between pixels
	intDWStep    = "R7"  // bytes between the weights of two taps
)

var intDWRow = []string{"R2", "R3", "R4"}

func writeIntDepthwise(g *gen) {
	k := &intKernel{gen: g, args: "dw8Args", bytes: true}
	k.writeDepthwise("intDepthwise8NEON", "computes 16 channels of n pixels of bytes.")
	k.bytes = false
	k.writeDepthwise("intDepthwise16NEON", "computes 16 channels of n pixels of 16-bit numbers.")
}

func (g *intKernel) writeDepthwise(name, does string) {
	g.function(name, "(args *dw8Args)", does, 0, 8)
	g.op("MOVD args+0(FP), %s", intG)
	for ky, r := range intDWRow {
		g.op("MOVD (%s_row+%d)(%s), %s", g.args, 8*ky, intG, r)
	}
	g.arg("w", intDWWeights)
	g.arg("stride", intDWPitch)
	g.arg("n", intM)
	g.op("LSL $1, %s, %s", intDWPitch, intDWStep)
	if !g.bytes {
		g.op("MOVD %s, %s", intDWStep, intDWPitch)
	}
	g.outputs()
	g.tiles(g.depthwiseTile)
}

// depthwiseTile computes the next pixels.
func (g *intKernel) depthwiseTile(pixels int) {
	g.load(intAcc(0, 0), 16, intBias, "")
	for r := 1; r < pixels; r++ {
		for p := range 4 {
			g.mov(intAcc(r, p), intAcc(0, p))
		}
	}
	g.op("MOVD %s, %s", intDWWeights, intDWTap)
	w, x, raw := vector(2), vector(0), vector(4)
	for _, row := range intDWRow {
		g.op("MOVD %s, %s", row, intDWColumn)
		for range 3 {
			g.op("VLD1.P (%s)(%s), [%v.H8, %v.H8]", intDWTap, intDWStep, w, w+1)
			g.op("MOVD %s, %s", intDWColumn, intDWPixel)
			for r := range pixels {
				if g.bytes {
					g.op("VLD1.P (%s)(%s), [%v.B16]", intDWPixel, intDWPitch, raw)
					g.op("VUSHLL $0, %v.B8, %v.H8", raw, x)
					g.op("VUSHLL2 $0, %v.B16, %v.H8", raw, x+1)
				} else {
					g.op("VLD1.P (%s)(%s), [%v.H8, %v.H8]", intDWPixel, intDWPitch, x, x+1)
				}
				for h := range vector(2) {
					g.word(encodeInt("smlal16", intAcc(r, 2*int(h)), x+h, w+h))
					g.word(encodeInt("smlal216", intAcc(r, 2*int(h)+1), x+h, w+h))
				}
			}
			g.op("ADD %s, %s", intDWPitch, intDWColumn)
		}
	}
	for _, row := range intDWRow {
		for range pixels {
			g.op("ADD %s, %s", intDWPitch, row)
		}
	}
	g.finish(pixels)
}
