package record

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/aecodec/aecodec/format"
	"github.com/aecodec/aecodec/kernels"
)

// Qualities are real numbers from MinQuality to MaxQuality; a file holds them in
// hundredths. At DefaultQuality latents are quantised with the steps of
// training; 12.5 more halve them.
const (
	MinQuality     = 1
	MaxQuality     = 100
	DefaultQuality = 50

	qualityScale = 100
	halving      = 12.5
)

// parseQuality checks and rounds a quality; 0 stands for DefaultQuality.
func parseQuality(q float64) (uint16, error) {
	if q == 0 {
		q = DefaultQuality
	}
	if !(q >= MinQuality && q <= MaxQuality) {
		return 0, fmt.Errorf("record: quality %g, want %d to %d", q, MinQuality, MaxQuality)
	}
	return uint16(math.Round(q * qualityScale)), nil
}

// maxSymbol bounds the symbols of latents; float32 is exact there.
const maxSymbol = 1 << 22

// quantiser codes latents at one quality.
type quantiser struct {
	step, centre []float32 // by channel
	tables       []*format.TableSet
}

// newQuantiser prepares a model for a quality, in hundredths.
func (m *Model) newQuantiser(quality uint16) (*quantiser, error) {
	factor := kernels.Exp64(float64(math.Ln2 / (halving * qualityScale) * float64(DefaultQuality*qualityScale-int(quality))))
	q := &quantiser{step: make([]float32, m.latent.C), centre: make([]float32, m.latent.C)}
	list := make([]*format.Table, m.latent.C)
	for c := range list {
		k := m.knots[c*knots:][:knots]
		q.step[c] = float32(float64(m.step[c]) * factor)
		q.centre[c] = k[middleKnot]
		var err error
		if list[c], err = symbolTable(k, float64(q.step[c])); err != nil {
			return nil, fmt.Errorf("record: model %q: channel %d: %w", m.Name(), c, err)
		}
	}
	for len(list) > 0 {
		n := min(len(list), format.Skip)
		set, err := format.NewTableSet(list[:n])
		if err != nil {
			return nil, fmt.Errorf("record: model %q: %w", m.Name(), err)
		}
		q.tables, list = append(q.tables, set), list[n:]
	}
	return q, nil
}

// channels returns the channels of table set i, from (included) to (excluded).
func (q *quantiser) channels(i int) (from, to int) {
	from = i * format.Skip
	return from, from + q.tables[i].Len()
}

// quantise returns the symbols of latents [..., C].
func (q *quantiser) quantise(y []float32) []int32 {
	k := make([]int32, len(y))
	for i, v := range y {
		c := i % len(q.step)
		k[i] = nearest((v-q.centre[c])/q.step[c], maxSymbol)
	}
	return k
}

// dequantise is the inverse. It decides what is decoded, so each operation is
// rounded by itself.
func (q *quantiser) dequantise(k []int32) []float32 {
	y := make([]float32, len(k))
	for i, v := range k {
		c := i % len(q.step)
		y[i] = float32(float32(v)*q.step[c]) + q.centre[c]
	}
	return y
}

// nearest rounds v to the nearest integer, ties to even, within ±limit; NaN
// becomes 0.
func nearest(v float32, limit int32) int32 {
	r := math.RoundToEven(float64(v))
	switch {
	case r >= float64(limit):
		return limit
	case r <= -float64(limit):
		return -limit
	case r != r:
		return 0
	}
	return int32(r)
}

// split returns the symbols of table set i, in order, and their tables.
func (q *quantiser) split(k []int32, i int) (index []uint8, sym []int32) {
	from, to := q.channels(i)
	if len(q.tables) > 1 {
		for at := 0; at < len(k); at += len(q.step) {
			sym = append(sym, k[at+from:at+to]...)
		}
	} else {
		sym = k
	}
	return q.indices(len(sym), i), sym
}

// indices returns the tables of n symbols of table set i.
func (q *quantiser) indices(n, i int) []uint8 {
	index := make([]uint8, n)
	width := q.tables[i].Len()
	for j := range index {
		index[j] = uint8(j % width)
	}
	return index
}

// append codes symbols [..., C]: for each table set the length and the stream.
func (q *quantiser) append(dst []byte, k []int32) ([]byte, error) {
	for i, set := range q.tables {
		index, sym := q.split(k, i)
		stream, err := format.EncodeSymbols(nil, set, index, sym)
		if err != nil {
			return nil, fmt.Errorf("record: latents: %w", err)
		}
		dst = binary.AppendUvarint(dst, uint64(len(stream)))
		dst = append(dst, stream...)
	}
	return dst, nil
}

// read decodes what append wrote, n symbols in all, and returns the rest.
func (q *quantiser) read(data []byte, n int) (k []int32, rest []byte, err error) {
	k = make([]int32, n)
	for i, set := range q.tables {
		stream, rest, err := takeBytes(data, "latents")
		if err != nil {
			return nil, nil, err
		}
		data = rest
		from, to := q.channels(i)
		sym := k
		if len(q.tables) > 1 {
			sym = make([]int32, n/len(q.step)*(to-from))
		}
		if err := format.DecodeSymbols(stream, set, q.indices(len(sym), i), sym); err != nil {
			return nil, nil, fmt.Errorf("latents: %w", err)
		}
		if len(q.tables) > 1 {
			for j := 0; len(sym) > 0; j, sym = j+1, sym[to-from:] {
				copy(k[j*len(q.step)+from:], sym[:to-from])
			}
		}
	}
	return k, data, nil
}

// takeBytes takes a length and as many bytes off data.
func takeBytes(data []byte, what string) (part, rest []byte, err error) {
	n, size := binary.Uvarint(data)
	if size <= 0 || n > uint64(len(data)-size) {
		return nil, nil, corrupt(what, "a length is wrong")
	}
	data = data[size:]
	return data[:n:n], data[n:], nil
}

// corrupt reports data whose checksums match and which make no sense.
func corrupt(what, cause string, args ...any) error {
	return &format.FormatError{What: what, Cause: fmt.Sprintf(cause, args...), Kind: format.ErrCorrupt}
}
