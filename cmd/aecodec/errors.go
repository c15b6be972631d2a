package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/aecodec/aecodec/cmd/aecodec/internal/cli"
)

// Exit codes, part of the interface: scripts rely on them.
const (
	exitOK          = 0
	exitFailed      = 1   // some or all of the work failed; stderr has one line for each failure
	exitUsage       = 2   // the command line makes no sense; nothing was done
	exitInterrupted = 130 // Ctrl-C or SIGTERM; unfinished files were removed
	exitPipe        = 141 // the reader of standard output went away
)

var errInterrupted = errors.New("interrupted")

// usagef is a command line that cannot be carried out whatever the files hold.
func usagef(format string, args ...any) error {
	return &cli.UsageError{Err: fmt.Errorf(format, args...)}
}

// countError ends a batch in which files failed; each of them has had its own line.
type countError struct{ failed, of int }

func (e *countError) Error() string { return fmt.Sprintf("%d of %d files failed", e.failed, e.of) }

// exitCode maps what a command returned to what the process returns.
func exitCode(err error) int {
	var usage *cli.UsageError
	switch {
	case err == nil:
		return exitOK
	case isClosedPipe(err):
		return exitPipe
	case errors.Is(err, errInterrupted), errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &usage):
		return exitUsage
	default:
		return exitFailed
	}
}

func isClosedPipe(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe)
}

// cause strips the file name that the os package puts before its errors, because every message here begins with one, and the
// name may be that of a temporary file.
func cause(err error) error {
	switch err := err.(type) {
	case *fs.PathError:
		return err.Err
	case *os.LinkError:
		return err.Err
	}
	return err
}
