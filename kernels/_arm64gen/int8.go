package main

import (
	"fmt"
	"strings"
)

// The integer matrix kernels do one panel of 16 columns, four rows at a time, with
// the sums in V16 to V31. They walk k in groups of four bytes, see
// kernels/int8.go: a row of groups of B, then the group of each row of A in all
// lanes. There are three, which differ in the multiplication alone:
//
//	dot   bytes, with the dot product of Armv8.2: four signed products to a lane.
//	      A turns signed by flipping its top bit, that is by taking away 128;
//	      128 times the sum of each column of B, put in first, makes up for it
//	wide  the same without that instruction: products of 16 bits, which hold
//	      128·128, and sums of pairs of them in 32
//	16    numbers of 16 bits: a group of B, two k of 16 columns, is sorted by k once
//	      for all rows, then each k takes multiply-adds by an element of A
//
// Sums are modulo 2^32, nothing saturates before the rescaling does.

const intRows = 4

// Registers; R2 to R5 point at the rows of A.
const (
	intG        = "R0"
	intB        = "R1"
	intM        = "R6" // rows left
	intCount    = "R8"
	intResidual = "R9"
	intOut16    = "R10"
	intOut8     = "R11"
	intTileA    = "R12"
	intLDA      = "R13"
	intSum      = "R14"
	intTmp      = "R16"
	intLDR      = "R19"
	intLD16     = "R20"
	intLD8      = "R21"
	intBias     = "R22"
	intShift    = "R23"
	intMul      = "R24"
	intOffset   = "R25"
	intAct      = "R26"
)

func intAcc(row, part int) vector { return vector(16 + 4*row + part) }

type intKernel struct {
	*gen
	args  string // the struct of the arguments
	bytes bool
	// multiply adds the products of the group a with the part of B in register
	// part to acc. In its place, sorted kernels have pairs.
	multiply func(acc, a, part vector)
	sorted   bool
}

func writeInt8(g *gen) {
	k := &intKernel{gen: g, args: "intGEMMArgs", bytes: true}
	k.multiply = func(acc, a, b vector) { g.word(encodeInt("sdot", acc, a, b)) }
	k.write("intGEMM8DotNEON", "computes a panel of 8-bit products with the dot product instruction.")
	k.multiply = func(acc, a, b vector) {
		lo, hi := vector(5), vector(6)
		g.word(encodeInt("smull8", lo, a, b))
		g.word(encodeInt("smull28", hi, a, b))
		g.word(encodeInt("saddlp", lo, lo, 0))
		g.word(encodeInt("saddlp", hi, hi, 0))
		g.addPairs(acc, lo, hi)
	}
	k.write("intGEMM8NEON", "computes a panel of 8-bit products.")
	k.bytes, k.sorted = false, true
	k.write("intGEMM16NEON", "computes a panel of 16-bit products.")
}

// addPairs adds the sums of neighbours of lo and of hi to acc.
func (g *gen) addPairs(acc, lo, hi vector) {
	g.op("VADDP %s, %s, %s", hi.s4(), lo.s4(), lo.s4())
	g.addInt(acc, acc, lo)
}

func (g *intKernel) arg(name, register string) {
	g.op("MOVD %s_%s(%s), %s", g.args, name, intG, register)
}

func (g *intKernel) out(name, register string) {
	g.op("MOVD (%s_out+intOut_%s)(%s), %s", g.args, name, intG, register)
}

// outputs loads what finish needs to know.
func (g *intKernel) outputs() {
	for _, f := range []struct{ name, register string }{
		{"bias", intBias}, {"shift", intShift}, {"mul", intMul}, {"offset", intOffset}, {"act", intAct},
		{"residual", intResidual}, {"out16", intOut16}, {"out8", intOut8}, {"ldr", intLDR}, {"ld16", intLD16}, {"ld8", intLD8},
	} {
		g.out(f.name, f.register)
	}
	g.op("LSL $1, %s", intLDR)
	g.op("LSL $1, %s", intLD16)
}

// tiles goes through the rows, of which m holds the number, four at a time.
func (g *intKernel) tiles(tile func(rows int)) {
	g.label("tile")
	for r := intRows - 1; r >= 1; r-- {
		g.op("CMP $%d, %s", r, intM)
		g.op("BEQ rows%d", r)
	}
	for r := intRows; r >= 1; r-- {
		g.label(fmt.Sprintf("rows%d", r))
		tile(r)
		if r == intRows {
			g.op("SUBS $%d, %s", r, intM)
			g.op("BNE tile")
		}
		g.op("RET")
	}
}

func (g *intKernel) write(name, does string) {
	g.function(name, "(args *intGEMMArgs)", does, 0, 8)
	g.op("MOVD args+0(FP), %s", intG)
	g.arg("a", intTileA)
	g.arg("ars", intLDA)
	g.arg("sum", intSum)
	g.arg("m", intM)
	g.outputs()
	g.tiles(g.tile)
}

// tile computes the next rows.
func (g *intKernel) tile(rows int) {
	loop, end := g.newLabel("loop"), g.newLabel("end")
	g.load(intAcc(0, 0), 16, intBias, "")
	flip := vector(7)
	if g.bytes {
		g.constant(flip, 0x80808080)
		g.load(0, 16, intSum, "")
		for p := range 4 {
			g.op("VSHL $7, %s, %s", vector(p).s4(), vector(p).s4())
			g.addInt(intAcc(0, p), intAcc(0, p), vector(p))
		}
	}
	for r := range rows {
		for p := range 4 {
			if r > 0 {
				g.mov(intAcc(r, p), intAcc(0, p))
			}
		}
		g.op("MOVD %s, R%d", intTileA, 2+r)
		g.op("ADD %s, %s", intLDA, intTileA)
	}
	g.arg("b", intB)
	g.arg("steps", intCount)
	g.op("CBZ %s, %s", intCount, end)
	g.label(loop)
	g.loadNext(0, 16, intB)
	if g.sorted {
		g.sort()
	}
	for r := range rows {
		a := vector(4)
		g.loadNext(a, 1, fmt.Sprintf("R%d", 2+r))
		if g.bytes {
			g.op("VEOR %v.B16, %v.B16, %v.B16", flip, a, a)
		}
		if g.sorted {
			g.pairs(r, a)
			continue
		}
		for p := range 4 {
			g.multiply(intAcc(r, p), a, vector(p))
		}
	}
	g.op("SUBS $1, %s", intCount)
	g.op("BNE %s", loop)
	g.label(end)
	g.finish(rows)
}

// sort turns four registers of B, pairs of 16-bit numbers of four columns each, into
// the first k of 8 columns, the second, and the same of the other 8.
func (g *intKernel) sort() {
	for half := range vector(2) {
		lo, hi := 2*half, 2*half+1
		g.op("VUZP1 %v.H8, %v.H8, %v.H8", hi, lo, intSorted+2*half)
		g.op("VUZP2 %v.H8, %v.H8, %v.H8", hi, lo, intSorted+2*half+1)
	}
}

const intSorted = vector(8)

// pairs adds the products of a row's pair, which a has in all lanes.
func (g *intKernel) pairs(row int, a vector) {
	for k := range 2 {
		for half := range 2 {
			b := intSorted + vector(2*half+k)
			lane := fmt.Sprint(k)
			g.word(encodeInt("smlal16 by "+lane, intAcc(row, 2*half), b, a))
			g.word(encodeInt("smlal216 by "+lane, intAcc(row, 2*half+1), b, a))
		}
	}
}

// finish rescales and stores the tile, as kernels/int8.go defines it.
func (g *intKernel) finish(rows int) {
	mul, offset, slope := vector(4), vector(6), vector(8)
	g.load(0, 16, intShift, "")
	for p := range vector(4) {
		g.word(encodeInt("neg", p, p, 0))
	}
	g.op("VLD1 (%s), [%v.H8, %v.H8]", intMul, mul, mul+1)
	g.op("VLD1 (%s), [%v.H8, %v.H8]", intOffset, offset, offset+1)
	g.out("slope", intTmp)
	g.op("VDUP %s, %v.H8", intTmp, slope)
	for r := range rows {
		t, u := vector(9), vector(11)
		for p := range 4 {
			g.word(encodeInt("sshl", intAcc(r, p), intAcc(r, p), vector(p)))
		}
		for h := range vector(2) {
			g.word(encodeInt("sqxtn", t+h, intAcc(r, 2*int(h)), 0))
			g.word(encodeInt("sqxtn2", t+h, intAcc(r, 2*int(h)+1), 0))
			g.word(encodeInt("sqrdmulh", t+h, t+h, mul+h))
		}
		leaky := func(which string) {
			skip := g.newLabel("skip")
			g.op("CMP $const_%s, %s", which, intAct)
			g.op("BNE %s", skip)
			for h := range vector(2) {
				g.word(encodeInt("sqrdmulh", u+h, t+h, slope))
				g.word(encodeInt("smax", t+h, t+h, u+h))
			}
			g.label(skip)
		}
		leaky("IntActFirst")
		noResidual, no16, no8 := g.newLabel("noResidual"), g.newLabel("no16"), g.newLabel("no8")
		g.op("CBZ %s, %s", intResidual, noResidual)
		g.op("VLD1.P (%s)(%s), [%v.H8, %v.H8]", intResidual, intLDR, u, u+1)
		for h := range vector(2) {
			g.word(encodeInt("sqadd", t+h, t+h, u+h))
		}
		g.label(noResidual)
		leaky("IntActLast")
		g.op("CBZ %s, %s", intOut16, no16)
		g.op("VST1.P [%v.H8, %v.H8], (%s)(%s)", t, t+1, intOut16, intLD16)
		g.label(no16)
		g.op("CBZ %s, %s", intOut8, no8)
		for h := range vector(2) {
			g.word(encodeInt("sqadd", t+h, t+h, offset+h))
		}
		g.word(encodeInt("sqshrun", u, t, 0))
		g.word(encodeInt("sqshrun2", u, t+1, 0))
		g.op("VST1.P [%v.B16], (%s)(%s)", u, intOut8, intLD8)
		g.label(no8)
	}
}

// intOps are the integer instructions that the assembler of Go does not know,
// from the Arm Architecture Reference Manual (DDI 0487), C7.2: code, and format
// of the operands d, n and m. Shifts are by rescaleBits.
var intOps = map[string]struct {
	code   uint32
	format string
}{
	"sdot":    {0x4e809400, "sdot v%d.4s, v%d.16b, v%d.16b"},
	"smull8":  {0x0e20c000, "smull v%d.8h, v%d.8b, v%d.8b"},
	"smull28": {0x4e20c000, "smull2 v%d.8h, v%d.16b, v%d.16b"},
	// The last operand is lane 0 or 1 of a register up to 15.
	"smlal16 by 0":  {0x0f402000, "smlal v%d.4s, v%d.4h, v%d.h[0]"},
	"smlal216 by 0": {0x4f402000, "smlal2 v%d.4s, v%d.8h, v%d.h[0]"},
	"smlal16 by 1":  {0x0f502000, "smlal v%d.4s, v%d.4h, v%d.h[1]"},
	"smlal216 by 1": {0x4f502000, "smlal2 v%d.4s, v%d.8h, v%d.h[1]"},
	"smlal16":       {0x0e608000, "smlal v%d.4s, v%d.4h, v%d.4h"},
	"smlal216":      {0x4e608000, "smlal2 v%d.4s, v%d.8h, v%d.8h"},
	"saddlp":        {0x4e602800, "saddlp v%d.4s, v%d.8h"},
	"neg":           {0x6ea0b800, "neg v%d.4s, v%d.4s"},
	"sshl":          {0x4ea04400, "sshl v%d.4s, v%d.4s, v%d.4s"},
	"sqxtn":         {0x0e614800, "sqxtn v%d.4h, v%d.4s"},
	"sqxtn2":        {0x4e614800, "sqxtn2 v%d.8h, v%d.4s"},
	"sqrdmulh":      {0x6e60b400, "sqrdmulh v%d.8h, v%d.8h, v%d.8h"},
	"smax":          {0x4e606400, "smax v%d.8h, v%d.8h, v%d.8h"},
	"sqadd":         {0x4e600c00, "sqadd v%d.8h, v%d.8h, v%d.8h"},
	"sqshrun":       {0x2f0a8400, "sqshrun v%d.8b, v%d.8h, #6"},
	"sqshrun2":      {0x6f0a8400, "sqshrun2 v%d.16b, v%d.8h, #6"},
}

// encodeInt encodes one of intOps; those with two operands ignore m.
func encodeInt(op string, d, n, m vector) (uint32, string) {
	o, ok := intOps[op]
	if !ok {
		panic("no encoding of " + op)
	}
	operands := []any{int(d), int(n), int(m)}[:strings.Count(o.format, "%d")]
	if len(operands) < 3 {
		m = 0
	}
	return o.code | uint32(m)<<16 | uint32(n)<<5 | uint32(d), fmt.Sprintf(o.format, operands...)
}
