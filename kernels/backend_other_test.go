//go:build purego || !(amd64 || arm64)

package kernels

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAvailableMatchesCPU(t *testing.T) {
	require.Equal(t, []string{"generic"}, Available())
}
