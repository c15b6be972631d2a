package format

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the files in testdata anew")

// golden compares with, or updates, a file in testdata. The formats are frozen:
// a difference is a bug, or a new version.
func golden(t *testing.T, name string, data []byte) []byte {
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, data, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	return want
}

func TestGoldenImage(t *testing.T) {
	file := smallImage(t)
	require.Equal(t, hex.Dump(golden(t, "two-tiles.aec", file)), hex.Dump(file))
	h, chunks, err := readImage(bytes.NewReader(file), nil)
	require.NoError(t, err)
	want := testHeader()
	want.Alpha = true
	require.Equal(t, *want, h)
	require.Len(t, chunks, 4)
}

func TestGoldenModel(t *testing.T) {
	m := testModel()
	// Compressors may get better: only the contents count.
	got, err := ReadModel(bytes.NewReader(golden(t, "every-type.aem", modelBytes(t, m))), nil)
	require.NoError(t, err)
	require.Equal(t, m, got)
}

func TestGoldenSymbols(t *testing.T) {
	// Everything by integer arithmetic, to be the same on every machine.
	x := uint32(1)
	next := func(n uint32) uint32 {
		x = x*1664525 + 1013904223
		return x >> 8 % n
	}
	var tables []*Table
	for i := range 8 {
		p := make([]float64, 3+4*i)
		for k := range p {
			d := k - len(p)/2
			p[k] = 1 / float64(1+d*d*d*d*40/(1+i*i))
		}
		tab, err := NewTable(-int32(len(p)/2), BuildFreq(p))
		require.NoError(t, err)
		tables = append(tables, tab)
	}
	ts, err := NewTableSet(tables)
	require.NoError(t, err)
	for _, c := range []struct {
		name string
		n    int
		cold uint32 // one of cold symbols is not the likeliest
	}{
		{"one-lane.rans", 600, 2}, {"four-lanes.rans", 30000, 20},
	} {
		index, sym := make([]uint8, c.n), make([]int32, c.n)
		for i := range index {
			if index[i] = uint8(next(10)); int(index[i]) >= ts.Len() {
				index[i] = Skip
				continue
			}
			if next(c.cold) == 0 {
				sym[i] = int32(next(23)) - 11
			}
			if next(500) == 0 {
				sym[i] = int32(next(2*MaxSymbol)) - MaxSymbol
			}
		}
		stream, err := EncodeSymbols(nil, ts, index, sym)
		require.NoError(t, err)
		require.Equal(t, hex.Dump(golden(t, c.name, stream)), hex.Dump(stream))
		got := make([]int32, c.n)
		require.NoError(t, DecodeSymbols(stream, ts, index, got))
		require.Equal(t, sym, got)
	}
}

// The example of SPEC.md, section 5.6.
func TestSpecificationExample(t *testing.T) {
	table, err := NewTable(-1, []uint16{8192, 45056, 8192, 4096})
	require.NoError(t, err)
	ts, err := NewTableSet([]*Table{table})
	require.NoError(t, err)
	sym := []int32{0, 1, 0, -1, 0, 7}
	stream, err := EncodeSymbols(nil, ts, make([]uint8, 6), sym)
	require.NoError(t, err)
	require.Equal(t, []byte{0x00, 0x90, 0x49, 0x94}, stream)

	e := encoder{}
	states := []uint64{12636160, 18370560, 146993152, 213798912, 1710407680, 2487848960}
	e.escape(0, table, 7)
	require.Equal(t, uint64(786432), e.state[0])
	for i, entry := range []int{3, 1, 0, 1, 2, 1} {
		e.symbol(0, &ts.enc()[0][entry])
		require.Equal(t, states[i], e.state[0])
	}
}
