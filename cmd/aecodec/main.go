// Command aecodec compresses pictures with a learned codec, turns them back, measures the result, and trains codecs for other
// data. Run it without arguments for the list of commands, or with a command and --help.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// A write to a closed pipe must come back as an error, so that unfinished files are removed before the end.
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
