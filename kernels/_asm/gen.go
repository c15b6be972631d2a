package main

import (
	"fmt"
	"go/constant"
	"go/types"
	"log"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/gotypes"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// isa is what the generators need to know of an instruction set.
type isa struct {
	name   string
	suffix string // of function names
	lanes  int    // float32 lanes of a register
	reg    []reg.VecPhysical
}

var avx2 = &isa{"avx2", "AVX2", 8, []reg.VecPhysical{
	reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7,
	reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
}}

var avx512 = &isa{"avx512", "AVX512", 16, []reg.VecPhysical{
	reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
	reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
	reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23,
	reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
}}

// gen writes one file for one instruction set. Kernels name their registers
// themselves: the inner loops are laid out by hand, and R14 (the current
// goroutine) and BP (the frame pointer) stay untouched.
type gen struct {
	*build.Context
	isa    *isa
	pkg    *types.Package
	labels int

	constants map[string]bool // written so far
}

// bytes is the size of a vector register.
func (g *gen) bytes() int { return g.isa.lanes * 4 }

// v is vector register i.
func (g *gen) v(i int) reg.VecPhysical { return g.isa.reg[i] }

// text begins function name+suffix with the given signature.
func (g *gen) text(name, signature string, doc ...string) {
	name += g.isa.suffix
	g.Function(name)
	g.Attributes(attr.NOSPLIT)
	s, err := gotypes.ParseSignatureInPackage(g.pkg, "func"+signature)
	if err != nil {
		log.Fatalf("%s: %v", name, err)
	}
	g.Signature(s)
	doc[0] = name + " " + doc[0]
	g.Doc(doc...)
	g.Pragma("noescape")
	g.labels = 0
}

// ret ends a function.
func (g *gen) ret() {
	g.VZEROUPPER()
	g.RET()
}

// label returns a label name that is unique in the function.
func (g *gen) label(name string) string {
	g.labels++
	return fmt.Sprintf("%s%d", name, g.labels)
}

// field addresses a field of the struct that base points to; index selects an
// element of an array field.
func (g *gen) field(base reg.Register, typ, name string, index ...int) operand.Mem {
	st := g.pkg.Scope().Lookup(typ).Type().Underlying().(*types.Struct)
	vars := make([]*types.Var, st.NumFields())
	for i := range vars {
		vars[i] = st.Field(i)
	}
	for i, off := range gotypes.Sizes.Offsetsof(vars) {
		if vars[i].Name() != name {
			continue
		}
		disp := int(off)
		if len(index) > 0 {
			disp += index[0] * int(gotypes.Sizes.Sizeof(vars[i].Type().(*types.Array).Elem()))
		}
		return operand.Mem{Base: base, Disp: disp}
	}
	log.Fatalf("no field %s.%s", typ, name)
	return operand.Mem{}
}

// value is the value of a constant of package kernels.
func (g *gen) value(name string) constant.Value {
	c, ok := g.pkg.Scope().Lookup(name).(*types.Const)
	if !ok {
		log.Fatalf("no constant %s", name)
	}
	return c.Val()
}

func (g *gen) integer(name string) int64 {
	n, ok := constant.Int64Val(constant.ToInt(g.value(name)))
	if !ok {
		log.Fatalf("constant %s is not an integer", name)
	}
	return n
}

func (g *gen) float(name string) float32 {
	x, _ := constant.Float32Val(g.value(name))
	return x
}

// constant is an integer constant of package kernels as an operand.
func (g *gen) constant(name string) operand.Constant { return imm(int(g.integer(name))) }

// zero clears a register. Only EVEX reaches registers 16 to 31.
func (g *gen) zero(r reg.VecPhysical) {
	if g.isa == avx512 {
		g.VPXORD(r, r, r)
	} else {
		g.VXORPS(r, r, r)
	}
}

func mem(base reg.Register, disp int) operand.Mem {
	return operand.Mem{Base: base, Disp: disp}
}

func indexed(base, index reg.Register, scale uint8, disp int) operand.Mem {
	return operand.Mem{Base: base, Index: index, Scale: scale, Disp: disp}
}

// imm is an immediate operand in its shortest form.
func imm(n int) operand.Constant {
	if n == int(int8(n)) {
		return operand.I8(n)
	}
	return operand.I32(n)
}

// A partial register at the end of a row has its own code with masks, so that
// memory that does not belong to the operand is neither read nor written. The
// mask is in K1, or with AVX2 in the last vector register.

// tailMaskName is a table of sixteen set words followed by sixteen clear ones:
// the vectors that end n words behind the middle select the first n lanes.
const tailMaskName = "tailMask"

// tailMasks adds the table to an AVX2 file.
func (g *gen) tailMasks() {
	g.StaticGlobal(tailMaskName)
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range 32 {
		word := operand.U32(0)
		if i < 16 {
			word = 1<<32 - 1
		}
		g.AddDatum(4*i, word)
	}
}

// tailMask sets the mask for a row of n elements, n being in RCX, which it
// destroys together with tmp.
func (g *gen) tailMask(n, tmp reg.GPPhysical) {
	g.ANDQ(imm(g.isa.lanes-1), n)
	if g.isa == avx512 {
		g.MOVL(operand.U32(1), tmp.As32())
		g.SHLL(reg.CL, tmp.As32())
		g.DECL(tmp.As32())
		g.KMOVW(tmp.As32(), reg.K1)
		return
	}
	g.SHLQ(imm(2), n)
	g.LEAQ(operand.NewDataAddr(operand.NewStaticSymbol(tailMaskName), 64), tmp)
	g.SUBQ(n, tmp)
	g.VMOVUPS(mem(tmp, 0), g.mask())
}

func (g *gen) mask() reg.VecPhysical { return g.v(len(g.isa.reg) - 1) }

// load reads a register; lanes that are masked out become zero.
func (g *gen) load(m operand.Mem, r reg.VecPhysical, masked bool) {
	switch {
	case !masked:
		g.VMOVUPS(m, r)
	case g.isa == avx512:
		g.VMOVUPS_Z(m, reg.K1, r)
	default:
		g.VMASKMOVPS(m, g.mask(), r)
	}
}

// store writes a register, except the lanes that are masked out.
func (g *gen) store(r reg.VecPhysical, m operand.Mem, masked bool) {
	switch {
	case !masked:
		g.VMOVUPS(r, m)
	case g.isa == avx512:
		g.VMOVUPS(r, reg.K1, m)
	default:
		g.VMASKMOVPS(r, g.mask(), m)
	}
}
