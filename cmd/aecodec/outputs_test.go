package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func fillWith(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

func requireFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	require.Equal(t, want, got)
}

func requireContent(t *testing.T, name, want string) {
	t.Helper()
	got, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, want, string(got))
}

func TestOutputAppearsWhole(t *testing.T) {
	var o outputs
	dir := t.TempDir()
	name := filepath.Join(dir, "x")
	n, err := o.write(name, false, func(w io.Writer) error {
		require.NoFileExists(t, name)
		return fillWith("hello")(w)
	})
	require.NoError(t, err)
	require.EqualValues(t, 5, n)
	requireContent(t, name, "hello")
	requireFiles(t, dir, "x")
}

func TestOutputNeverReplacesUnasked(t *testing.T) {
	var o outputs
	dir := t.TempDir()
	name := filepath.Join(dir, "x")
	require.NoError(t, os.WriteFile(name, []byte("old"), 0o600))
	_, err := o.write(name, false, fillWith("new"))
	require.ErrorIs(t, err, errExists)
	requireContent(t, name, "old")

	_, err = o.write(name, true, fillWith("new"))
	require.NoError(t, err)
	requireContent(t, name, "new")
	if runtime.GOOS != "windows" {
		st, err := os.Stat(name)
		require.NoError(t, err)
		require.EqualValues(t, 0o600, st.Mode().Perm(), "the mode of the replaced file")
	}

	other := filepath.Join(dir, "y") // comes up while the output is being made
	_, err = o.write(other, false, func(w io.Writer) error {
		return os.WriteFile(other, []byte("theirs"), 0o600)
	})
	require.ErrorIs(t, err, errExists)
	requireContent(t, other, "theirs")
	requireFiles(t, dir, "x", "y")

	_, err = o.write(dir, true, fillWith("new"))
	require.ErrorContains(t, err, "is a folder")
}

func TestOutputRemovedOnFailure(t *testing.T) {
	var o outputs
	dir := t.TempDir()
	name := filepath.Join(dir, "x")
	boom := errors.New("boom")
	_, err := o.write(name, false, func(w io.Writer) error {
		w.Write(make([]byte, 1<<20))
		return boom
	})
	require.ErrorIs(t, err, boom)
	var write *outputError
	require.NotErrorAs(t, err, &write, "the failure was not one of writing")
	requireFiles(t, dir)

	_, err = o.write(filepath.Join(dir, "missing", "x"), false, fillWith("new"))
	require.EqualError(t, err, "writing "+filepath.Join(dir, "missing", "x")+": no such file or directory")
}

func TestOutputRemovedOnInterrupt(t *testing.T) {
	var o outputs
	dir := t.TempDir()
	name := filepath.Join(dir, "x")
	_, err := o.write(name, false, func(w io.Writer) error {
		o.stop()
		requireFiles(t, dir)
		return fillWith("late")(w)
	})
	require.ErrorIs(t, err, errInterrupted)
	_, err = o.write(name, false, fillWith("later"))
	require.ErrorIs(t, err, errInterrupted)
	requireFiles(t, dir)
}

func TestOutputThroughLink(t *testing.T) {
	var o outputs
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	require.NoError(t, os.WriteFile(target, []byte("old"), 0o600))
	if err := os.Symlink(target, link); err != nil {
		t.Skip("no symbolic links here")
	}
	_, err := o.write(link, true, fillWith("new"))
	require.NoError(t, err)
	requireContent(t, target, "new")
	st, err := os.Lstat(link)
	require.NoError(t, err)
	require.NotZero(t, st.Mode()&os.ModeSymlink)
}

func TestOutputToDevice(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /dev/full")
	}
	var o outputs
	_, err := o.write("/dev/null", false, fillWith("x"))
	require.NoError(t, err)
	_, err = o.write("/dev/full", false, fillWith("x"))
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.EqualError(t, err, "writing /dev/full: no space left on device")
}
