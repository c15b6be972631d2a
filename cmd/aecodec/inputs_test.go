package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/cmd/aecodec/internal/cli"
)

// touch makes empty files in a new folder, which becomes the working directory.
func touch(t *testing.T, names ...string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, name := range names {
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o777))
		require.NoError(t, os.WriteFile(name, nil, 0o666))
	}
}

func inputsOf(jobs []*job) string {
	var s []string
	for _, j := range jobs {
		if j.err != nil {
			s = append(s, j.in+": "+cause(j.err).Error())
		} else {
			s = append(s, filepath.ToSlash(j.in))
		}
	}
	return strings.Join(s, "|")
}

func TestFindInputs(t *testing.T) {
	touch(t, "a.png", "b.PNG", "c.txt", "d/e.jpg", "d/f.aec", "g/h.txt", "[x].png")
	for args, want := range map[string]string{
		"a.png":             "a.png",
		"c.txt":             "c.txt", // named, so taken
		"a.png ./a.png":     "a.png",
		"*.png":             "[x].png|a.png",
		"[x].png":           "[x].png", // a file of that name comes before the pattern
		"a.png *.png":       "a.png|[x].png",
		"d":                 "d/e.jpg",
		"d/":                "d/e.jpg",
		"*":                 "[x].png|a.png|b.PNG|c.txt", // without folders
		"-":                 "-",
		"no.png a.png":      "no.png: no such file or directory|a.png",
		"*.gif a.png *.bmp": "*.gif: no file matches|a.png|*.bmp: no file matches",
		"g":                 "g: no .png, .jpg file in this folder",
		"[":                 "[: syntax error in pattern",
	} {
		require.Equal(t, want, inputsOf(findInputs(strings.Fields(args), []string{".png", ".jpg"})), args)
	}
}

func TestNameOutputs(t *testing.T) {
	touch(t, "a.png", "b.png", "a.jpg", "d/a.png", "dir.v2/x", "old.aec", "noext")
	for _, c := range []struct{ in, to, want string }{
		{"a.png", "", "a.aec"},
		{"d/a.png", "", "d/a.aec"},
		{"noext", "", "noext.aec"},
		{"-", "", "-"},
		{"a.png", "-", "-"},
		{"a.png", "x.aec", "x.aec"},
		{"a.png", "x.bin", "x.bin"},
		{"a.png", "old.aec", "old.aec"}, // whether it may be replaced is decided when it is written
		{"a.png", "new", "new/a.aec"},
		{"a.png", "new.dir/", "new.dir/a.aec"},
		{"a.png", "dir.v2", "dir.v2/a.aec"},
		{"d/a.png b.png", "new", "new/a.aec|new/b.aec"},
		{"a.png b.png", "", "a.aec|b.aec"},
		{"a.png b.png", "x.aec", "-o x.aec: one output cannot hold 2 inputs"},
		{"a.png b.png", "x.dir", "-o x.dir: one output cannot hold 2 inputs (a folder's name ends in /)"},
		{"a.png b.png", "-", "-o -: one output cannot hold 2 inputs"},
		{"a.png a.jpg", "", "a.png and a.jpg would both be written to a.aec"},
		{"a.png d/a.png", "new", "a.png and d/a.png would both be written to new/a.aec"},
		{"a.png old.aec", "", "old.aec: would be written over an input"},
		{"a.png", "a.png", "a.png: would be written over an input"},
		{"a.png", "noext/", "-o noext/: is a file, not a folder"},
		{"- a.png", "new", "-o new: standard input has no name to use in a folder; give a file name"},
	} {
		jobs := findInputs(strings.Fields(c.in), nil)
		got := ""
		if err := nameOutputs(jobs, c.to, ".aec", []string{".aec"}); err != nil {
			var usage *cli.UsageError
			require.ErrorAs(t, err, &usage)
			got = err.Error()
		} else {
			var names []string
			for _, j := range jobs {
				names = append(names, filepath.ToSlash(j.out))
			}
			got = strings.Join(names, "|")
		}
		require.Equal(t, c.want, got, "%s -o %s", c.in, c.to)
	}
	require.DirExists(t, "new")
	require.DirExists(t, "new.dir")
}

func TestNameOutputsThroughLinks(t *testing.T) {
	touch(t, "d/a.png")
	if err := os.Symlink("d", "e"); err != nil {
		t.Skip("no symbolic links here")
	}
	require.Len(t, findInputs([]string{"d/a.png", "e/a.png"}, nil), 1, "one file under two names")
}
