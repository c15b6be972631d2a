package bench

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The dependency rule: imports point downwards only, so that nothing below knows
// what is above it, and each part drags in no more than it needs. These tests
// hold it. They parse the source instead of asking go list, so that a file
// behind any build tag or for any platform is covered as well.

const modulePath = "github.com/aecodec/aecodec"

// room is the rule for one folder and all below it that have no rule of their
// own.
type room struct {
	dir     string   // slash path within the module
	within  []string // folders of this module it may import, itself left out
	outside []string // modules it may import beside the standard library; "*" is any
}

var rooms = []room{
	{dir: "kernels/_asm", outside: []string{"github.com/mmcloughlin/avo"}},
	{dir: "kernels/_arm64gen", outside: []string{"golang.org/x/arch"}},
	{dir: "kernels", outside: []string{"github.com/klauspost/cpuid"}},
	{dir: "format", outside: []string{"github.com/klauspost/compress"}},
	{dir: "codec/nn", within: []string{"kernels"}},
	{dir: "codec/picture", outside: []string{"github.com/klauspost/compress", "golang.org/x/image"}},
	{dir: "codec/record", within: []string{"codec/nn", "codec/picture", "format", "kernels"}},
	{
		dir: "codec", within: []string{"codec/nn", "format", "kernels"},
		outside: []string{"github.com/klauspost/compress"},
	},
	{
		dir: "trainer", within: []string{"codec", "codec/nn", "codec/picture", "codec/record", "format", "kernels"},
		outside: []string{"github.com/viterin/vek", "golang.org/x/image", "golang.org/x/sync", "github.com/wcharczuk/go-chart", "gonum.org/v1/gonum"},
	},
	{
		dir: "bench", within: []string{"trainer", "codec", "codec/nn", "codec/picture", "codec/record", "format", "kernels"},
		outside: []string{"github.com/klauspost/compress", "github.com/viterin/vek", "golang.org/x/sync", "golang.org/x/sys", "gonum.org/v1/gonum"},
	},
	{
		dir: "cmd", within: []string{"bench", "trainer", "codec", "codec/nn", "codec/picture", "codec/record", "format", "kernels"},
		outside: []string{"*"},
	},
}

// testRooms are the rules added for _test.go files, by folder; "" is all.
var testRooms = []room{
	{dir: "", outside: []string{"github.com/stretchr/testify"}},
	// Examples read pictures as a program would.
	{dir: "codec", within: []string{"codec/picture"}, outside: []string{"golang.org/x/image"}},
}

// roomOf returns the most specific of the rules that holds for a folder.
func roomOf(rules []room, dir string) (room, bool) {
	best, found := room{}, false
	for _, r := range rules {
		if under(dir, r.dir) && (!found || len(r.dir) > len(best.dir)) {
			best, found = r, true
		}
	}
	return best, found
}

// under tells whether name is dir or inside it.
func under(name, dir string) bool {
	return dir == "" || name == dir || strings.HasPrefix(name, dir+"/")
}

// checkImport returns an error if a file of the folder dir may not import imp.
func checkImport(dir string, test bool, imp string) error {
	rule, ok := roomOf(rooms, dir)
	if !ok {
		return fmt.Errorf("the folder %q has no dependency rule", dir)
	}
	allowed := []room{rule}
	if test {
		for _, r := range testRooms {
			if r.dir == "" || r.dir == rule.dir {
				allowed = append(allowed, r)
			}
		}
	}
	if imp == modulePath || strings.HasPrefix(imp, modulePath+"/") {
		target, ok := roomOf(rooms, strings.TrimPrefix(strings.TrimPrefix(imp, modulePath), "/"))
		if ok && target.dir == rule.dir {
			return nil
		}
		for _, r := range allowed {
			if ok && slices.Contains(r.within, target.dir) {
				return nil
			}
		}
		return fmt.Errorf("%s may not import %s: dependencies point downwards only", rule.dir, strings.TrimPrefix(imp, modulePath+"/"))
	}
	if first, _, _ := strings.Cut(imp, "/"); !strings.Contains(first, ".") {
		if imp == "C" {
			return errors.New("no cgo")
		}
		return nil // the standard library
	}
	for _, r := range allowed {
		for _, module := range r.outside {
			if module == "*" || under(imp, module) {
				return nil
			}
		}
	}
	return fmt.Errorf("%s may not import the module of %s", rule.dir, imp)
}

// checkModule checks every Go file below root and returns what is wrong, and
// the number of files.
func checkModule(root string) (problems []string, files int, err error) {
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if base := path.Base(rel); base == "testdata" || base != "." && strings.HasPrefix(base, ".") {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(rel) != ".go" {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		files++
		for _, spec := range f.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if err := checkImport(strings.TrimPrefix(path.Dir(rel), "."), strings.HasSuffix(rel, "_test.go"), imp); err != nil {
				problems = append(problems, fmt.Sprintf("%s: %v", rel, err))
			}
		}
		return nil
	})
	return problems, files, err
}

func TestImportsPointDownwards(t *testing.T) {
	problems, files, err := checkModule("..")
	require.NoError(t, err)
	require.Greater(t, files, 50, "the whole module is looked at")
	require.Empty(t, problems)
}

func TestDependencyRuleItself(t *testing.T) {
	for _, c := range []struct {
		dir  string
		test bool
		imp  string
		ok   bool
	}{
		{"kernels", false, "math", true},
		{"kernels", false, "github.com/klauspost/cpuid/v2", true},
		{"kernels", false, "github.com/klauspost/compress/zstd", false},
		{"kernels", false, modulePath + "/codec/nn", false},
		{"kernels", true, modulePath + "/codec", false},
		{"kernels", true, "github.com/stretchr/testify/require", true},
		{"kernels", false, "github.com/stretchr/testify/require", false},
		{"kernels", false, modulePath + "/kernels/internal/x", true},
		{"kernels/_asm", false, "github.com/mmcloughlin/avo/build", true},
		{"format", false, modulePath + "/codec", false},
		{"format", false, "C", false},
		{"codec/nn", false, modulePath + "/kernels", true},
		{"codec/nn", false, modulePath + "/codec", false},
		{"codec/nn", false, modulePath + "/format", false},
		{"codec/nn/deeper", false, modulePath + "/format", false},
		{"codec", false, modulePath + "/codec/nn", true},
		{"codec", false, modulePath + "/codec/picture", false},
		{"codec", true, modulePath + "/codec/picture", true},
		{"codec", true, modulePath + "/trainer", false},
		{"codec/picture", true, modulePath + "/codec", false},
		{"codec/nn", true, modulePath + "/codec/picture", false},
		{"codec/nn/grad", false, modulePath + "/codec/nn", true},
		{"codec/nn/grad", false, modulePath + "/codec", false},
		{"trainer", false, modulePath + "/bench/metric", false},
		{"bench/metric", false, modulePath + "/cmd/aecodec", false},
		{"bench", false, modulePath + "/bench/bd", true},
		{"cmd/aecodec", false, modulePath + "/bench", true},
		{"cmd/aecodec", false, "github.com/spf13/cobra", true},
		{"bench", false, modulePath + "/unheard/of", false},
		{"bench", false, modulePath, false},
		{"unheard", false, "fmt", false},
		{"", false, "fmt", false},
	} {
		require.Equal(t, c.ok, checkImport(c.dir, c.test, c.imp) == nil, "%+v", c)
	}
}

func TestDependencyCheckerFindsBadFiles(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.MkdirAll(filepath.Join(root, path.Dir(name)), 0o777))
		require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(text), 0o666))
	}
	write("kernels/good.go", "package kernels\nimport \"math\"\nvar _ = math.Pi\n")
	write("kernels/testdata/any.go", "not even Go")
	write(".hidden/x.go", "not even Go")
	problems, files, err := checkModule(root)
	require.NoError(t, err)
	require.Equal(t, 1, files)
	require.Empty(t, problems)

	write("kernels/bad_arm64.go", "//go:build someday\n\npackage kernels\nimport _ \""+modulePath+"/codec\"\n")
	write("format/bad_test.go", "package format\nimport _ \""+modulePath+"/trainer\"\n")
	problems, _, err = checkModule(root)
	require.NoError(t, err)
	require.Equal(t, []string{
		"format/bad_test.go: format may not import trainer: dependencies point downwards only",
		"kernels/bad_arm64.go: kernels may not import codec: dependencies point downwards only",
	}, problems)

	write("format/broken.go", "package")
	_, _, err = checkModule(root)
	require.Error(t, err)
}
