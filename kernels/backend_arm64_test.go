//go:build arm64 && !purego

package kernels

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Every arm64 processor has the vector instructions, so the backend must be
// there: the suite cannot pass by leaving it out.
func TestAvailableMatchesCPU(t *testing.T) {
	require.Equal(t, []string{"generic", "neon"}, Available())
}
