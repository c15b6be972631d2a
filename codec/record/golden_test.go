package record

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
)

// Files and decoded values are the same bytes with every backend of the kernels
// and on every architecture: these tests run on all of them.
func TestGolden(t *testing.T) {
	for _, c := range []struct {
		kind         Kind
		o            Options
		file, values string
	}{
		{Float32, Options{}, "6cff23827622cd18", "c15b40bfb0e235b5"},
		{Float32, Options{Quality: 81.25, Bounded: true, MaxError: 0.07}, "02792fedbd30dc94", "0f5459b160430414"},
		{Uint8, Options{Quality: 20}, "496b47308820d607", "92cb77bef55e8bf9"},
		{Uint8, Options{Bounded: true}, "c7238eb956b7c5b3", "8e3bc6c7acacedcc"},
		{Uint8, Options{Quality: 3, Bounded: true, MaxError: 4}, "349fe789ca481dfa", "ab0c82e0f55cefb9"},
	} {
		m := convolutional(t, c.kind)
		c.o.Model = m
		data := encode(t, pattern(c.kind, 50), &c.o)
		s := decode(t, data, m)
		require.Equal(t, c.file, hash(data))
		require.Equal(t, c.values, hash(write(t, s, NPY)))
	}
}

func hash(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:8])
}
