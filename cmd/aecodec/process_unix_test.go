//go:build unix

package main

import (
	"bytes"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The reader of standard output is gone before the program starts.
func TestPipeOfAProcess(t *testing.T) {
	workIn(t, "a.png")
	r, w, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, r.Close())
	cmd := program("encode", "a.png", "-o", "-")
	var errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = w, &errOut
	require.Error(t, cmd.Run())
	require.NoError(t, w.Close())
	require.Equal(t, exitPipe, cmd.ProcessState.ExitCode())
	require.Empty(t, errOut.String())
}

func TestInterrupt(t *testing.T) {
	workIn(t, "a.png")
	cmd := program("encode", "-", "-o", "b.aec")
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	require.NoError(t, cmd.Start())
	// More than a pipe holds: when it is written, the program is reading, and waits for the rest, which never comes.
	_, err = stdin.Write(append(readFile(t, "a.png"), make([]byte, 1<<20)...))
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.Error(t, cmd.Wait())
	require.Equal(t, exitInterrupted, cmd.ProcessState.ExitCode())
	require.Equal(t, "aecodec: interrupted\n", errOut.String())
	requireFiles(t, ".", "a.png")
}

// A file system of 64 kB, with most of it taken.
func TestFullDisk(t *testing.T) {
	workIn(t)
	require.NoError(t, os.Mkdir("disk", 0o777))
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "disk").CombinedOutput(); err != nil {
		t.Skipf("cannot mount a small file system: %s", out)
	}
	dir, err := filepath.Abs("disk")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, exec.Command("umount", dir).Run()) })
	require.NoError(t, os.WriteFile("disk/taken", make([]byte, 60<<10), 0o666))

	writePicture(t, "a.png", noisePicture(256, 256))
	ok(t, "encode", "a.png")
	fails(t, exitFailed, "aecodec: a.aec: writing disk/a.ppm: no space left on device\n", "decode", "a.aec", "--to", "ppm", "-o", "disk/")
	requireFiles(t, "disk", "taken")

	require.NoError(t, os.Remove("disk/taken"))
	m := image.NewGray(image.Rect(0, 0, 16, 16))
	writePicture(t, "b.png", m)
	ok(t, "encode", "b.png", "-o", "disk/")
	requireFiles(t, "disk", "b.aec")
}

func TestNamedPipe(t *testing.T) {
	workIn(t, "a.png")
	require.NoError(t, unix.Mkfifo("fifo", 0o666))
	go func() {
		if f, err := os.OpenFile("fifo", os.O_WRONLY, 0); err == nil {
			data, _ := os.ReadFile("a.png")
			f.Write(data)
			f.Close()
		}
	}()
	ok(t, "encode", "fifo", "-o", "b.aec")
	ok(t, "encode", "a.png")
	require.Equal(t, readFile(t, "a.aec"), readFile(t, "b.aec"))
}
