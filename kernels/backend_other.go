//go:build !(amd64 || arm64) || purego

package kernels

// nativeTables returns the assembly backends that this CPU can run, lowest
// first: none in this build.
func nativeTables() []*table { return nil }
