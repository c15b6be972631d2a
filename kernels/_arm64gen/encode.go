package main

import "fmt"

// Encodings of the instructions that the assembler of Go does not know, from
// the Arm Architecture Reference Manual (DDI 0487), C7.2. All work on four
// lanes of 32 bits.

// vector is a vector register, V0 to V31.
type vector int

func (v vector) String() string { return fmt.Sprintf("V%d", int(v)) }

// s4 is the register as four lanes in the syntax of Go.
func (v vector) s4() string { return fmt.Sprintf("V%d.S4", int(v)) }

// arm is the register as four lanes in the syntax of the manual.
func (v vector) arm() string { return fmt.Sprintf("v%d.4s", int(v)) }

// Instructions with three operands: d = n op m.
var threeSame = map[string]uint32{
	"fadd":  0x4e20d400,
	"fsub":  0x4ea0d400,
	"fmul":  0x6e20dc00,
	"fdiv":  0x6e20fc00,
	"fcmgt": 0x6ea0e400,
}

// Instructions with two operands: d = op n.
var twoMisc = map[string]uint32{
	"fabs":   0x4ea0f800,
	"fneg":   0x6ea0f800,
	"fsqrt":  0x6ea1f800,
	"frintn": 0x4e218800,
	"scvtf":  0x4e21d800,
	"fcvtzs": 0x4ea1b800,
}

// Comparisons with zero.
var compareZero = map[string]uint32{
	"fcmgt": 0x4ea0c800,
	"fcmge": 0x6ea0c800,
	"fcmeq": 0x4ea0d800,
	"fcmlt": 0x4ea0e800,
}

func encode3(op string, d, n, m vector) (uint32, string) {
	return lookup(threeSame, op) | uint32(m)<<16 | uint32(n)<<5 | uint32(d),
		fmt.Sprintf("%s %s, %s, %s", op, d.arm(), n.arm(), m.arm())
}

func encode2(op string, d, n vector) (uint32, string) {
	return lookup(twoMisc, op) | uint32(n)<<5 | uint32(d), fmt.Sprintf("%s %s, %s", op, d.arm(), n.arm())
}

func encodeZero(op string, d, n vector) (uint32, string) {
	return lookup(compareZero, op) | uint32(n)<<5 | uint32(d), fmt.Sprintf("%s %s, %s, #0.0", op, d.arm(), n.arm())
}

// encodeElement is FMLA (by element): d += n * m[lane]. The lane is in H:L, bits
// 11 and 21; the fifth bit of m is in M, bit 20, just above the other four.
func encodeElement(d, n, m vector, lane int) (uint32, string) {
	return 0x4f801000 | uint32(lane&1)<<21 | uint32(lane>>1)<<11 | uint32(m)<<16 | uint32(n)<<5 | uint32(d),
		fmt.Sprintf("fmla %s, %s, v%d.s[%d]", d.arm(), n.arm(), int(m), lane)
}

// encodeSSHR is the arithmetic shift to the right by 1 to 32 bits, which is
// stored as 64-shift.
func encodeSSHR(d, n vector, shift int) (uint32, string) {
	return 0x4f000400 | uint32(64-shift)<<16 | uint32(n)<<5 | uint32(d),
		fmt.Sprintf("sshr %s, %s, #%d", d.arm(), n.arm(), shift)
}

func lookup(table map[string]uint32, op string) uint32 {
	code, ok := table[op]
	if !ok {
		panic("no encoding of " + op)
	}
	return code
}
