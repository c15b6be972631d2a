package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// rooms says, for each part of the module, what it may import besides the standard library: parts of the module, named by
// their folder, and modules of others. Dependencies point downwards only; a folder without an entry must get one.
var rooms = map[string][]string{
	"kernels":         {"github.com/klauspost/cpuid/v2"},
	"format":          {"github.com/klauspost/compress"},
	"codec/nn":        {"kernels"},
	"codec/nn/nntest": {"codec/nn"},
	"codec/picture":   {"golang.org/x/image"},
	"codec":           {"codec/nn", "format", "kernels", "github.com/klauspost/compress"},
	"trainer/grad":    {"codec/nn", "kernels"},
	"trainer":         {"trainer/grad", "codec", "codec/nn", "codec/picture", "format", "kernels", "gonum.org/v1/plot", "github.com/viterin/vek", "golang.org/x/image"},
	"bench/metric":    {"github.com/viterin/vek"},
	"bench/bd":        {"gonum.org/v1/gonum"},
	"bench":           {"bench/metric", "bench/bd", "trainer", "codec", "codec/nn", "codec/picture", "format", "kernels", "gonum.org/v1/plot", "golang.org/x/sync"},
	"cmd/aecodec": {"bench", "trainer", "codec", "codec/nn", "codec/picture", "format", "kernels",
		"github.com/schollz/progressbar/v3", "github.com/spf13/cobra", "github.com/spf13/pflag", "golang.org/x/sync", "golang.org/x/term"},
}

func TestDependenciesPointDownwards(t *testing.T) {
	const module = "github.com/aecodec/aecodec/"
	cmd := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	cmd.Dir = repository
	out, err := cmd.Output()
	require.NoError(t, err)
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		room := strings.TrimPrefix(words[0], module)
		allowed, ok := rooms[room]
		require.True(t, ok, "%s has no entry", room)
		for _, path := range words[1:] {
			path, own := strings.CutPrefix(path, module)
			first, _, _ := strings.Cut(path, "/")
			if !own && !strings.Contains(first, ".") {
				continue // standard library
			}
			found := false
			for _, a := range allowed {
				found = found || path == a || !own && strings.HasPrefix(path, a+"/")
			}
			require.True(t, found, "%s must not import %s", room, path)
		}
	}
}
