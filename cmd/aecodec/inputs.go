package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

const stdio = "-" // standard input or output in the place of a file name

// job is one file to be worked on. A job whose input could not be found carries the reason, so that it is reported in its turn.
type job struct {
	in, out   string
	err       error
	extension string // of a name made up for out, where it is not that of the other jobs
	folder    bool   // out is a folder for many files
}

// made returns the extension for a name made up for the job's output.
func (j *job) made(extension string) string {
	if j.extension != "" {
		return j.extension
	}
	return extension
}

// findInputs turns arguments into jobs: "-", files, patterns (for shells that leave them alone), and folders, of which the
// files with one of the extensions are taken. A file named twice is taken once.
func findInputs(args []string, extensions []string) []*job {
	var jobs []*job
	seen := map[string]bool{}
	add := func(name string) {
		if key := pathKey(name); !seen[key] {
			seen[key] = true
			jobs = append(jobs, &job{in: name})
		}
	}
	for _, arg := range args {
		names, err := findInput(arg, extensions)
		if err != nil {
			jobs = append(jobs, &job{in: arg, err: err})
		}
		for _, name := range names {
			add(name)
		}
	}
	return jobs
}

func findInput(arg string, extensions []string) ([]string, error) {
	if arg == stdio {
		return []string{arg}, nil
	}
	st, err := os.Stat(arg)
	switch {
	case err == nil && st.IsDir():
		return listFolder(arg, extensions)
	case err == nil:
		return []string{arg}, nil
	case strings.ContainsAny(arg, "*?["):
		return expandPattern(arg)
	}
	return nil, err
}

func listFolder(dir string, extensions []string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() && hasExtension(e.Name(), extensions) {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	if len(names) == 0 {
		return nil, errors.New("no " + strings.Join(extensions, ", ") + " file in this folder")
	}
	return names, nil
}

func expandPattern(pattern string) ([]string, error) {
	matches, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	matches = slices.DeleteFunc(matches, func(name string) bool {
		st, err := os.Stat(name)
		return err == nil && st.IsDir()
	})
	if len(matches) == 0 {
		return nil, errors.New("no file matches")
	}
	return matches, nil
}

// nameOutputs decides where each job writes. to is the value of -o: "" for beside the input, "-", a file, or a folder (one
// that exists, ends in a slash, or has no extension), which is created. extension is that of names made up here, such as
// ".aec"; known are the extensions that say that to is a file even if there are many inputs.
func nameOutputs(jobs []*job, to, extension string, known []string) error {
	switch folder, err := isFolder(to); {
	case err != nil:
		return err
	case to == "":
		for _, j := range jobs {
			j.out = stdio
			if j.in != stdio {
				j.out = replaceExtension(j.in, j.made(extension))
			}
		}
	case folder:
		if err := nameInFolder(jobs, to, extension); err != nil {
			return err
		}
	case len(jobs) > 1:
		hint := ""
		if to != stdio && !hasExtension(to, known) {
			hint = " (a folder's name ends in " + string(os.PathSeparator) + ")"
		}
		return usagef("-o %s: one output cannot hold %d inputs%s", to, len(jobs), hint)
	default:
		jobs[0].out = to
	}
	return checkCollisions(jobs)
}

func isFolder(to string) (bool, error) {
	if to == "" || to == stdio {
		return false, nil
	}
	st, err := os.Stat(filepath.Clean(to)) // without the slash, which would hide a file
	switch {
	case err == nil && !st.IsDir() && os.IsPathSeparator(to[len(to)-1]):
		return false, usagef("-o %s: is a file, not a folder", to)
	case err == nil:
		return st.IsDir(), nil
	}
	return os.IsPathSeparator(to[len(to)-1]) || filepath.Ext(to) == "", nil
}

func nameInFolder(jobs []*job, dir, extension string) error {
	for _, j := range jobs {
		if j.in == stdio {
			return usagef("-o %s: standard input has no name to use in a folder; give a file name", dir)
		}
		j.out = filepath.Join(dir, replaceExtension(filepath.Base(j.in), j.made(extension)))
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("%s: %w", dir, cause(err))
	}
	return nil
}

// checkCollisions refuses a batch in which two files would be written to one name, or over an input.
func checkCollisions(jobs []*job) error {
	inputs := map[string]bool{}
	for _, j := range jobs {
		if j.in != stdio {
			inputs[pathKey(j.in)] = true
		}
	}
	writer := map[string]string{}
	for _, j := range jobs {
		if j.err != nil || j.out == stdio {
			continue
		}
		key := pathKey(j.out)
		if inputs[key] {
			return usagef("%s: would be written over an input", j.out)
		}
		if other, ok := writer[key]; ok {
			return usagef("%s and %s would both be written to %s", other, j.in, j.out)
		}
		writer[key] = j.in
	}
	return nil
}

// pathKey is the same for two spellings of one path: relative or not, through a linked folder or not, and in any case where
// file systems ignore it.
func pathKey(name string) string {
	if name == stdio {
		return name
	}
	if abs, err := filepath.Abs(name); err == nil {
		name = abs
	}
	if whole, err := filepath.EvalSymlinks(name); err == nil {
		name = whole
	} else if dir, err := filepath.EvalSymlinks(filepath.Dir(name)); err == nil {
		name = filepath.Join(dir, filepath.Base(name))
	}
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		name = strings.ToLower(name)
	}
	return name
}

func hasExtension(name string, extensions []string) bool {
	return slices.Contains(extensions, strings.ToLower(filepath.Ext(name)))
}

func replaceExtension(name, extension string) string {
	return strings.TrimSuffix(name, filepath.Ext(name)) + extension
}
