// Command aecodec compresses pictures with a learned codec, turns them back, measures the result, and trains codecs for other
// data. Run it without arguments for the list of commands, or with a command and --help.
package main

import "os"

func main() {
	ignoreSIGPIPE()
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
