package main

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"math"
	"path/filepath"
)

// The elementary functions, operation by operation as in math32.go, which
// defines them and has the coefficients. Constants come from memory where they
// are used: that costs no more than the copy that a multiply-add of two
// variables and a constant needs anyway. One vector at a time is enough, as the
// chains of successive vectors overlap.

// Registers: the argument, the result, and temporaries.
const (
	mathX vector = 0
	mathT vector = 16 // and the following
	mathC vector = 30 // constants
	mathM vector = 31 // masks
)

func writeMath(g *gen) {
	function := func(name, does string, body func()) {
		g.flat(flat{name: name + "NEON", does: does, operands: []string{"x"}, widths: []int{4, 1}, pool: true,
			body: func(vector, []vector) { body() }})
	}
	x, r := mathX, mathT
	function("exp", "computes e^x.", func() { g.exp(x, x) })
	function("log", "computes ln x.", func() { g.log(x, x) })
	function("sigmoid", "computes 1/(1+e^-x).", func() {
		g.abs(r, x)
		g.neg(r, r)
		g.exp(r, r)
		g.named(mathC, "one")
		g.cmge0(mathM, x)
		g.bsl(mathM, mathC, r)
		g.add(r, mathC, r)
		g.div(x, mathM, r)
	})
	function("tanh", "computes tanh x.", func() {
		a, z, p, t := vector(1), vector(2), vector(3), vector(4)
		g.abs(a, x)
		g.add(r, a, a)
		g.exp(r, r)
		g.named(mathC, "one")
		g.add(r, r, mathC)
		g.bits(t, math.Float32bits(2))
		g.div(r, t, r)
		g.sub(r, mathC, r)
		g.mul(z, a, a)
		p = g.horner(p, 5, z, "tanhP4", "tanhP3", "tanhP2", "tanhP1", "tanhP0")
		g.mul(z, a, z)
		g.mov(t, a)
		g.mla(t, z, p)
		g.named(mathC, "tanhMin")
		g.cmgt(mathM, mathC, a)
		g.bit(r, t, mathM)
		g.copySign(x, r)
	})
	function("softplus", "computes ln(1+e^x).", func() {
		f, k := vector(1), vector(2)
		g.abs(r, x)
		g.neg(r, r)
		g.exp(r, r)
		// ln(1+r) is ln 2 + ln(1+f) above sqrt(2)-1.
		g.named(mathC, "one")
		g.named(k, "log1pSplit")
		g.cmgt(k, r, k)
		g.sub(f, r, mathC)
		g.bits(mathM, math.Float32bits(0.5))
		g.mul(f, f, mathM)
		g.bif(f, r, k)
		g.and(k, k, mathC)
		g.logSum(r, f, k)
		g.cmgt0(mathM, x)
		g.and(x, x, mathM)
		g.add(x, x, r)
	})
	function("symlog", "computes sign(x)·ln(1+|x|).", func() {
		g.named(mathC, "one")
		g.abs(1, x)
		g.add(1, 1, mathC)
		g.log(r, 1)
		g.copySign(x, r)
	})
	g.writePool()
}

// horner evaluates a polynomial in z from the highest coefficient down. The
// result is in p or q, whichever it returns.
func (g *gen) horner(p, q, z vector, names ...string) vector {
	g.named(p, names[0])
	for _, name := range names[1:] {
		g.named(q, name)
		g.mla(q, p, z)
		p, q = q, p
	}
	return p
}

// exp is exp32; it uses the temporaries from 17 to 23.
func (g *gen) exp(d, x vector) {
	a, n, r, h := mathT+1, mathT+2, mathT+3, mathT+4
	g.named(a, "expMin")
	g.max(a, x, mathM)
	g.named(r, "expMax")
	g.min(r, a, mathM)
	g.named(n, "log2e")
	g.mul(n, r, n)
	g.rintn(n, n)
	g.named(mathC, "ln2Hi")
	g.mls(r, n, mathC)
	g.named(mathC, "ln2Lo")
	g.mls(r, n, mathC)
	p := g.horner(mathT+6, mathT+7, r, "expC6", "expC5", "expC4", "expC3", "expC2", "one", "one")
	g.cvtzs(n, n)
	g.sshr(h, n, 1)
	g.subInt(n, n, h)
	g.bits(mathC, 127)
	for i, e := range []vector{h, n} {
		g.addInt(e, e, mathC)
		g.op("VSHL $23, %s, %[1]s", e.s4())
		if i == 0 {
			g.mul(p, p, e)
		} else {
			g.mul(d, p, e)
		}
	}
}

// log is log32, d not being x; it uses the temporaries from 17 on.
func (g *gen) log(d, x vector) {
	v, k, u, r := mathT+1, mathT+2, mathT+3, mathT+4
	sqrtHalf := mathT + 5
	g.bits(mathC, math.Float32bits(0x1p-126))
	g.cmgt(mathM, mathC, x)
	g.bits(v, math.Float32bits(0x1p23))
	g.mul(v, x, v)
	g.bif(v, x, mathM)
	g.bits(k, 1<<32-23)
	g.and(k, k, mathM)
	g.named(sqrtHalf, "sqrtHalf")
	g.subInt(u, v, sqrtHalf)
	g.sshr(v, u, 23)
	g.addInt(k, k, v)
	g.bits(mathC, 1<<23-1)
	g.and(u, u, mathC)
	g.addInt(u, u, sqrtHalf)
	g.named(mathC, "one")
	g.sub(u, u, mathC)
	g.cvt(k, k)
	g.logSum(r, u, k)
	g.bits(mathC, 0x7f800000)
	g.cmgt(mathM, mathC, x)
	g.bif(r, x, mathM)
	g.bits(mathC, 0x7fc00000)
	g.cmlt0(mathM, x)
	g.bit(r, mathC, mathM)
	g.bits(mathC, 0xff800000)
	g.cmeq0(mathM, x)
	g.bit(r, mathC, mathM)
	g.mov(d, r)
}

// logSum is logSum of math32.go; it uses the temporaries from 22 on.
func (g *gen) logSum(d, f, k vector) {
	y, z := mathT+8, mathT+9
	p := g.horner(mathT+6, mathT+7, f, "logP7", "logP6", "logP5", "logP4", "logP3", "logP2", "logP1", "logP0")
	g.mul(z, f, f)
	g.mul(y, f, z)
	g.mul(y, y, p)
	g.named(mathC, "ln2Lo")
	g.mla(y, k, mathC)
	g.bits(mathC, math.Float32bits(0.5))
	g.mls(y, z, mathC)
	g.add(d, f, y)
	g.named(mathC, "ln2Hi")
	g.mla(d, k, mathC)
}

// copySign sets x to the magnitude of r with the sign of x.
func (g *gen) copySign(x, r vector) {
	g.bits(mathC, 1<<31)
	g.bif(x, r, mathC)
}

// The pool holds every constant four times, so that a plain load fills a
// register.
const (
	poolName     = "mathConstants<>"
	poolRegister = "R8"
)

// bits loads a constant from the pool.
func (g *gen) bits(d vector, bits uint32) {
	i := 0
	for i < len(g.pool) && g.pool[i] != bits {
		i++
	}
	if i == len(g.pool) {
		g.pool = append(g.pool, bits)
	}
	g.op("FMOVQ %d(%s), F%d", 16*i, poolRegister, int(d))
}

// named loads a constant of math32.go, or the number one.
func (g *gen) named(d vector, name string) {
	if name == "one" {
		g.bits(d, math.Float32bits(1))
		return
	}
	bits, ok := g.constants[name]
	if !ok {
		panic("no constant " + name + " in math32.go")
	}
	g.bits(d, bits)
}

func (g *gen) writePool() {
	g.text.WriteString("\n")
	for i, bits := range g.pool {
		double := uint64(bits)<<32 | uint64(bits)
		g.data(poolName, 16*i, double)
		g.data(poolName, 16*i+8, double)
	}
	g.global(poolName, 16*len(g.pool))
}

// loadConstants reads the constants out of the package's own source, so that
// they cannot differ from what the portable functions use: the bits of float32,
// the value of integers.
func loadConstants(dir string) (map[string]uint32, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, filepath.Join(dir, "math32.go"), nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	// One file alone does not type-check completely.
	conf := types.Config{Error: func(error) {}, IgnoreFuncBodies: true}
	pkg, _ := conf.Check("kernels", fset, []*ast.File{f}, nil)
	found := map[string]uint32{}
	for _, name := range pkg.Scope().Names() {
		c, ok := pkg.Scope().Lookup(name).(*types.Const)
		if !ok {
			continue
		}
		switch t, _ := c.Type().(*types.Basic); t.Kind() {
		case types.Float32:
			v, _ := constant.Float32Val(c.Val())
			found[name] = math.Float32bits(v)
		case types.Uint32:
			v, _ := constant.Uint64Val(c.Val())
			found[name] = uint32(v)
		}
	}
	return found, nil
}
