//go:build !unix

package main

// ignoreSIGPIPE has nothing to do: without the signal, a write to a closed pipe is an error anyway.
func ignoreSIGPIPE() {}
