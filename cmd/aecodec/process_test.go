package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/kernels"
)

func TestUnknownKernels(t *testing.T) {
	cmd := program("version")
	cmd.Env = append(cmd.Env, "AECODEC_KERNELS=abacus")
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	require.Error(t, cmd.Run())
	require.Equal(t, exitUsage, cmd.ProcessState.ExitCode())
	require.Contains(t, errOut.String(), "abacus")
	require.Equal(t, 1, strings.Count(errOut.String(), "\n"))
}

func TestForcedKernels(t *testing.T) {
	workIn(t)
	writePicture(t, "a.png", noisePicture(70, 50))
	var want []byte
	for _, name := range kernels.Available() {
		cmd := program("encode", "a.png", "-o", "-")
		cmd.Env = append(cmd.Env, "AECODEC_KERNELS="+name)
		got, err := cmd.Output()
		require.NoError(t, err)
		if want == nil {
			want = got
		}
		require.True(t, bytes.Equal(want, got), "%s writes another file than %s", name, kernels.Available()[0])
	}
}
