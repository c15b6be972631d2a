//go:build amd64 && !purego

package kernels

import (
	"testing"

	"github.com/klauspost/cpuid/v2"
	"github.com/stretchr/testify/require"
)

// A backend that the CPU can run must be there, so that the suite cannot pass
// by leaving it out.
func TestAvailableMatchesCPU(t *testing.T) {
	want := []string{"generic"}
	if cpuid.CPU.Has(cpuid.AVX2) && cpuid.CPU.Has(cpuid.FMA3) {
		want = append(want, "avx2")
		if cpuid.CPU.Has(cpuid.AVX512F) && cpuid.CPU.Has(cpuid.AVX512BW) && cpuid.CPU.Has(cpuid.AVX512DQ) && cpuid.CPU.Has(cpuid.AVX512VL) {
			want = append(want, "avx512")
		}
	}
	require.Equal(t, want, Available())
}
