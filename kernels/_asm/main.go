// Command asm writes the amd64 assembly of package kernels, and the Go
// declarations that go with it:
//
//	go generate ./kernels
//
// It is a module of its own, so that the codec itself does not depend on avo.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"log"
	"os"
	"path/filepath"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

// A topic becomes kernels/<topic>_<isa>_amd64.s and .go.
type topic struct {
	name  string
	write func(*gen)
}

var topics = []topic{
	{"gemm", writeGEMM},
	{"depthwise", writeDepthwise},
	{"pack", writePack},
	{"elementwise", writeElementwise},
	{"math", writeMath},
	{"normal", writeNormal},
	{"reduce", writeReduce},
	{"int8", writeInt8},
	{"depthwise8", writeDepthwise8},
	{"quantise", writeQuantise},
	{"samples", writeSamples},
	{"peak", writePeak},
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("asm: ")
	if len(os.Args) != 2 {
		log.Fatal("usage: go run . directory-of-package-kernels")
	}
	dir := os.Args[1]
	var files []string
	for _, name := range []string{"table.go", "elementwise.go", "math32.go", "normal.go", "int8.go"} {
		files = append(files, filepath.Join(dir, name))
	}
	pkg, err := loadTypes(files...)
	if err != nil {
		log.Fatal(err)
	}
	for _, t := range topics {
		for _, set := range []*isa{avx2, avx512} {
			if err := generate(dir, pkg, t, set); err != nil {
				log.Fatalf("%s, %s: %v", t.name, set.name, err)
			}
		}
	}
}

// loadTypes reads the argument structs and the constants of the kernels out of
// the package's own source, so that they can never differ from what the compiler
// uses. The files need not type-check completely.
func loadTypes(files ...string) (*types.Package, error) {
	fset := token.NewFileSet()
	var parsed []*ast.File
	for _, name := range files {
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		parsed = append(parsed, f)
	}
	conf := types.Config{Error: func(error) {}, IgnoreFuncBodies: true}
	pkg, _ := conf.Check("kernels", fset, parsed, nil)
	for _, name := range []string{"gemmArgs", "dwArgs", "dwWindowArgs", "dwWeightArgs", "AdamParams", "tailTable", "intGEMMArgs"} {
		if pkg.Scope().Lookup(name) == nil {
			return nil, fmt.Errorf("no type %s in %v", name, files)
		}
	}
	return pkg, nil
}

func generate(dir string, pkg *types.Package, t topic, set *isa) error {
	g := &gen{Context: build.NewContext(), isa: set, pkg: pkg}
	g.ConstraintExpr("amd64,!purego")
	t.write(g)
	file, err := g.Result()
	if err != nil {
		return err
	}
	if len(file.Functions()) == 0 {
		return nil
	}
	if err := pass.Compile.Execute(file); err != nil {
		return err
	}
	base := filepath.Join(dir, fmt.Sprintf("%s_%s_amd64", t.name, set.name))
	cfg := printer.Config{Name: "kernels/_asm", Pkg: "kernels"}
	for ext, p := range map[string]printer.Printer{".s": printer.NewGoAsm(cfg), ".go": printer.NewStubs(cfg)} {
		text, err := p.Print(file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(base+ext, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
