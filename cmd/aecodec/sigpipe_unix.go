//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// ignoreSIGPIPE makes a write to a closed pipe come back as an error, so that unfinished files are removed before the end.
func ignoreSIGPIPE() { signal.Ignore(syscall.SIGPIPE) }
