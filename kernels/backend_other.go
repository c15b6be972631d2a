//go:build !amd64 || purego

package kernels

// amd64Tables returns the assembly backends that this CPU can run, lowest
// first: none in this build.
func amd64Tables() []*table { return nil }
