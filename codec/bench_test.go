package codec

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/aecodec/aecodec/format"
	"github.com/stretchr/testify/require"
)

func benchmark(b *testing.B, run func(b *testing.B, threads int)) {
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			b.SetBytes(768 * 512) // reported MB/s are megapixels per second
			run(b, threads)
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	src := fixture(b, "kodim23.png")
	benchmark(b, func(b *testing.B, threads int) {
		e, err := NewEncoder(&Options{Threads: threads})
		require.NoError(b, err)
		for b.Loop() {
			require.NoError(b, e.Encode(io.Discard, src))
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	data := encode(b, fixture(b, "kodim23.png"), nil)
	benchmark(b, func(b *testing.B, threads int) {
		d := NewDecoder(&DecoderOptions{Threads: threads})
		for b.Loop() {
			_, err := d.Decode(bytes.NewReader(data))
			require.NoError(b, err)
		}
	})
}

func BenchmarkLoadModel(b *testing.B) {
	for _, c := range []struct {
		name string
		read func(io.Reader, *format.Limits) (*format.ModelFile, error)
	}{{"full", format.ReadModel}, {"decoder", format.ReadDecoder}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				_, err := embedded[0].read(c.read)
				require.NoError(b, err)
			}
		})
	}
}
