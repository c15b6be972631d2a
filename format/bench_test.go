package format

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// symbolBenchmarks are streams as they occur, by the tables that are in use.
var symbolBenchmarks = []struct {
	name string
	n    int
	pick func(*rand.Rand) uint8
}{
	{"cheap", 1 << 20, upTo(8, 0)},      // low rate, dense
	{"photo", 1 << 20, upTo(24, 70)},    // middle rate, most channels skipped
	{"dear", 1 << 20, upTo(50, 0)},      // high rate
	{"widest", 1 << 18, upTo(63, 0)},    // all tables alike
	{"one lane", 1<<14 - 1, upTo(8, 0)}, // too few symbols for lanes
	{"skipped", 1 << 20, upTo(1, 100)},  // nothing coded
	{"escapes", 1 << 18, upTo(20, 0)},   // one of 100 outside the tables
}

func benchmarkSymbols(b *testing.B, run func(b *testing.B, ts *TableSet, index []uint8, sym []int32, stream []byte)) {
	ts := scaleTables(b)
	for _, c := range symbolBenchmarks {
		index, sym := sampleStream(ts, c.n, 1, c.pick)
		if c.name == "escapes" {
			for i := 0; i < len(sym); i += 100 {
				sym[i] += 1000
			}
		}
		stream, err := EncodeSymbols(nil, ts, index, sym)
		require.NoError(b, err)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			run(b, ts, index, sym, stream)
			n := float64(c.n) * float64(b.N)
			b.ReportMetric(n/b.Elapsed().Seconds()/1e6, "Mpos/s")
			if m := coded(index, len(index)); m > 0 {
				b.ReportMetric(float64(m)/float64(c.n)*n/b.Elapsed().Seconds()/1e6, "Msym/s")
				b.ReportMetric(8*float64(len(stream))/float64(m), "bit/sym")
			}
		})
	}
}

func BenchmarkDecodeSymbols(b *testing.B) {
	benchmarkSymbols(b, func(b *testing.B, ts *TableSet, index []uint8, sym []int32, stream []byte) {
		for b.Loop() {
			if err := DecodeSymbols(stream, ts, index, sym); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkEncodeSymbols(b *testing.B) {
	benchmarkSymbols(b, func(b *testing.B, ts *TableSet, index []uint8, sym []int32, stream []byte) {
		for b.Loop() {
			if _, err := EncodeSymbols(stream[:0], ts, index, sym); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Preparing tables is part of the time to the first pixel.
func BenchmarkNewTableSet(b *testing.B) {
	tables := scaleTables(b).tables
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewTableSet(tables); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadModel(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	m := &ModelFile{Name: "m", Description: []byte("{}")}
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		w := make([]float32, 1<<19)
		for i := range w {
			w[i] = float32(0.05 * rng.NormFloat64())
		}
		m.Decoder = append(m.Decoder, NewFloat16(name, []int{1 << 19}, w))
	}
	file := modelBytes(b, m)
	b.SetBytes(8 << 20)
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			if _, err := ReadModel(bytes.NewReader(file), nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("floats", func(b *testing.B) {
		b.SetBytes(1 << 20)
		for b.Loop() {
			if _, err := m.Decoder[0].Float32s(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("fingerprint", func(b *testing.B) {
		b.SetBytes(8 << 20)
		for b.Loop() {
			m.Fingerprint()
		}
	})
}
