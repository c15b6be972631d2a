package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/arch/arm64/arm64asm"
)

// The encodings against those that LLVM's assembler gives.
func TestEncodings(t *testing.T) {
	for _, c := range []encoding{
		known(0x4fa010c8)(encodeElement(8, 6, 0, 1)),
		known(0x4f831bff)(encodeElement(31, 31, 3, 2)),
		known(0x4fb5182a)(encodeElement(10, 1, 21, 3)),
		known(0x4f8010c8)(encodeElement(8, 6, 0, 0)),
		known(0x4e23d441)(encode3("fadd", 1, 2, 3)),
		known(0x4ea3d441)(encode3("fsub", 1, 2, 3)),
		known(0x6e3fdfdd)(encode3("fmul", 29, 30, 31)),
		known(0x6e23fc41)(encode3("fdiv", 1, 2, 3)),
		known(0x6ea3e441)(encode3("fcmgt", 1, 2, 3)),
		known(0x4ea0f841)(encode2("fabs", 1, 2)),
		known(0x6ea0f841)(encode2("fneg", 1, 2)),
		known(0x6ea1f841)(encode2("fsqrt", 1, 2)),
		known(0x4e218841)(encode2("frintn", 1, 2)),
		known(0x4e21d841)(encode2("scvtf", 1, 2)),
		known(0x4ea1bbff)(encode2("fcvtzs", 31, 31)),
		known(0x4ea0c841)(encodeZero("fcmgt", 1, 2)),
		known(0x6ea0c841)(encodeZero("fcmge", 1, 2)),
		known(0x4ea0d841)(encodeZero("fcmeq", 1, 2)),
		known(0x4ea0e841)(encodeZero("fcmlt", 1, 2)),
		known(0x4f3f0441)(encodeSSHR(1, 2, 1)),
		known(0x4f290441)(encodeSSHR(1, 2, 23)),
	} {
		if c.code != c.want {
			t.Errorf("%s is %#08x, want %#08x", c.instruction, c.code, c.want)
		}
	}
}

type encoding struct {
	want, code  uint32
	instruction string
}

// known makes a row of the table above.
func known(want uint32) func(code uint32, instruction string) encoding {
	return func(code uint32, instruction string) encoding { return encoding{want, code, instruction} }
}

// Every WORD in the package, disassembled, is the instruction beside it.
func TestWords(t *testing.T) {
	files, err := filepath.Glob("../*_arm64.s")
	if err != nil || len(files) == 0 {
		t.Fatal("no assembly found", err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			operand, found := strings.CutPrefix(strings.TrimSpace(line), "WORD\t$")
			if !found {
				continue
			}
			number, instruction, _ := strings.Cut(operand, " // ")
			code, err := strconv.ParseUint(number, 0, 32)
			if err != nil {
				t.Fatalf("%s:%d: %v", name, i+1, err)
			}
			if sdot, ok := disassembleSDOT(uint32(code)); ok {
				if sdot != instruction {
					t.Errorf("%s:%d: %s is %q, beside it is %q", name, i+1, number, sdot, instruction)
				}
				continue
			}
			got, err := arm64asm.Decode(binary.LittleEndian.AppendUint32(nil, uint32(code)))
			if err != nil {
				t.Fatalf("%s:%d: %s: %v", name, i+1, number, err)
			}
			// The disassembler writes the zero of comparisons without its fraction.
			if want := strings.Replace(instruction, "#0.0", "#0", 1); arm64asm.GNUSyntax(got) != want {
				t.Errorf("%s:%d: %s is %q, beside it is %q", name, i+1, number, arm64asm.GNUSyntax(got), instruction)
			}
		}
	}
}

// disassembleSDOT knows the one instruction here that arm64asm does not, because
// it came with Armv8.2: SDOT (vector) of 16 bytes in the Arm Architecture
// Reference Manual, 0 Q 001110 size 0 Rm 100101 Rn Rd with Q = 1 and size = 10.
func disassembleSDOT(code uint32) (string, bool) {
	if code>>21 != 0b0_1_001110_10_0 || code>>10&63 != 0b100101 {
		return "", false
	}
	return fmt.Sprintf("sdot v%d.4s, v%d.16b, v%d.16b", code&31, code>>5&31, code>>16&31), true
}

// What is checked in is what this program writes.
func TestFiles(t *testing.T) {
	files, err := generate("..")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s differs; run go generate ./kernels", name)
		}
	}
}
