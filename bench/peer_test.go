package bench

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestPeerProgram is the peer of the tests below, which start their own binary
// again: it knows one kind of work.
func TestPeerProgram(t *testing.T) {
	if os.Getenv("BENCH_TEST_PEER") == "" {
		t.Skip("only for TestPeers")
	}
	fmt.Println("peer of tests")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if strings.HasPrefix(in.Text(), "gemm 1e-06 1 ") {
			fmt.Println("0.25")
		} else {
			fmt.Println("no such work")
		}
	}
	os.Exit(0)
}

func TestPeers(t *testing.T) {
	smallLoads(t)
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip(err)
	}
	script := t.TempDir() + "/peer"
	text := fmt.Sprintf("#!%s\nBENCH_TEST_PEER=$1 exec %q -test.run='^TestPeerProgram$'\n", shell, os.Args[0])
	require.NoError(t, os.WriteFile(script, []byte(text), 0o777))
	o, err := TimingOptions{Backends: []string{"generic"}, Rounds: 2, Time: time.Microsecond, Peers: []string{script}}.complete()
	require.NoError(t, err)
	list := []*work{constantWork("generic", time.Millisecond), constantWork("generic", time.Millisecond), constantWork("generic", time.Millisecond)}
	list[0].request, list[1].request = "gemm 1 2 3", "gemm 2 2 3"
	peaks, err := timeAll(context.Background(), &o, list)
	if err != nil && strings.Contains(err.Error(), "ended without an answer") {
		t.Skipf("the test binary cannot start itself: %v", err) // under an emulator
	}
	require.NoError(t, err)
	got := list[0].timing(peaksOf(peaks, "generic")).Peers
	require.Len(t, got, 1)
	require.Equal(t, "peer of tests", got[0].Peer)
	require.Equal(t, Spread{0.25, 0.25}, got[0].Seconds)
	require.InEpsilon(t, 0.25/timeSpread(list[0].seconds).Best, got[0].Ratio.Best, 1e-9)
	for _, w := range list[1:] {
		require.Empty(t, w.timing(peaksOf(peaks, "generic")).Peers)
	}

	o.Peers = []string{script + ".missing"}
	_, err = timeAll(context.Background(), &o, list)
	require.ErrorContains(t, err, "peer: ")
}
