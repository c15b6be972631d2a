package kernels

import (
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"

	"github.com/klauspost/cpuid/v2"
)

//go:generate go -C _arm64gen run . ..

// EnvBackend is the environment variable that forces a backend by name.
const EnvBackend = "AECODEC_KERNELS"

var (
	active       = &generic           // entries in use
	backends     = []*table{&generic} // runnable here, lowest first
	selectionErr error
)

func init() {
	backends = inherit(append(backends, nativeTables()...))
	active = backends[len(backends)-1]
	if name := os.Getenv(EnvBackend); name != "" {
		if err := Use(name); err != nil {
			selectionErr = fmt.Errorf("%w, from %s", err, EnvBackend)
		}
	}
}

// inherit fills the missing entries of every table from the one before it.
func inherit(tables []*table) []*table {
	for i, t := range tables[1:] {
		to, from := reflect.ValueOf(t).Elem(), reflect.ValueOf(tables[i]).Elem()
		for f := range to.NumField() {
			if v := to.Field(f); v.Kind() == reflect.Func && v.IsNil() {
				entry(v).Set(entry(from.Field(f)))
			}
		}
	}
	return tables
}

// entry makes an unexported field of a table accessible.
func entry(f reflect.Value) reflect.Value {
	return reflect.NewAt(f.Type(), f.Addr().UnsafePointer()).Elem()
}

// Active returns the name of the backend in use: "generic", "avx2", "avx512"
// or "neon".
func Active() string { return active.name }

// Available returns the names of the backends that can run on this machine in
// this build, lowest first. The first is always "generic".
func Available() []string {
	names := make([]string, len(backends))
	for i, t := range backends {
		names[i] = t.name
	}
	return names
}

// Use selects a backend by name, for tests and benchmarks. It must not be
// called while any kernel runs. Results do not depend on the choice.
func Use(name string) error {
	for _, t := range backends {
		if t.name == name {
			active = t
			return nil
		}
	}
	return fmt.Errorf("kernels: backend %q cannot run here (available: %s)", name, strings.Join(Available(), ", "))
}

// SelectionError returns what was wrong with the value of EnvBackend when the
// program started, or nil. The best backend is in use in that case; a command
// should rather tell its user and stop.
func SelectionError() error { return selectionErr }

// Features returns the name of the CPU and those of its instruction set
// extensions that matter here, on one line.
func Features() string {
	name := cpuid.CPU.BrandName
	if name == "" {
		name = "unknown CPU"
	}
	var flags []string
	for _, f := range []cpuid.FeatureID{
		cpuid.AVX2, cpuid.FMA3, cpuid.AVXVNNI,
		cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VL, cpuid.AVX512VNNI,
		cpuid.ASIMD, cpuid.ASIMDDP, cpuid.SVE,
	} {
		if cpuid.CPU.Supports(f) {
			flags = append(flags, f.String())
		}
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s/%s %s", name, runtime.GOOS, runtime.GOARCH, strings.Join(flags, " ")))
}
