// Command arm64gen writes the arm64 assembly of package kernels, and the Go
// declarations that go with it:
//
//	go generate ./kernels
//
// The assembler of Go lacks many vector instructions of arm64, among them the
// multiply-add by element that matrix products live on. Those are encoded here
// and written as WORD with the instruction beside it; the tests of this module
// compare both with golang.org/x/arch. It is a module of its own, so that the
// codec itself does not depend on that.
package main

import (
	"log"
	"os"
	"path/filepath"
)

// A topic becomes kernels/<topic>_neon_arm64.s and .go.
type topic struct {
	name  string
	write func(*gen)
}

var topics = []topic{
	{"gemm", writeGEMM},
	{"depthwise", writeDepthwise},
	{"elementwise", writeElementwise},
	{"math", writeMath},
	{"reduce", writeReduce},
	{"peak", writePeak},
	{"int8", writeInt8},
	{"intdepthwise", writeIntDepthwise},
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("arm64gen: ")
	if len(os.Args) != 2 {
		log.Fatal("usage: go run . directory-of-package-kernels")
	}
	files, err := generate(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(os.Args[1], name), []byte(text), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

// generate returns the files of all topics for the package in dir.
func generate(dir string) (map[string]string, error) {
	constants, err := loadConstants(dir)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, t := range topics {
		g := &gen{constants: constants}
		t.write(g)
		files[t.name+"_neon_arm64.s"] = g.assembly()
		files[t.name+"_neon_arm64.go"] = g.stubs()
	}
	return files, nil
}
