package record

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// IDX files are described with the MNIST digits (LeCun, Cortes and Burges): two
// zeros, the type of the elements, the number of sides, the sides and the
// elements, all big endian.
const (
	idxUint8   = 0x08
	idxInt16   = 0x0b
	idxFloat32 = 0x0d
	idxFloat64 = 0x0e
)

// ReadIDX reads an IDX file, compressed with gzip or not, whose first side is the
// number of records: bytes, 16-bit integers (Origin.Gain is 1 then) or floats,
// which are rounded to float32. A file of one side has labels, for
// [ReadIDXLabels].
func ReadIDX(r io.Reader) (*Set, error) {
	s, err := readIDX(r, func(sides []int) (n int, shape []int, err error) {
		if len(sides) < 2 {
			return 0, nil, fmt.Errorf("%d sides: these are labels, not records", len(sides))
		}
		return sides[0], sides[1:], nil
	})
	if err != nil {
		return nil, fmt.Errorf("record: idx: %w", err)
	}
	return s, s.Check()
}

// ReadIDXLabels reads the labels of an IDX file of bytes, compressed with gzip or
// not.
func ReadIDXLabels(r io.Reader) ([]int, error) {
	s, err := readIDX(r, func(sides []int) (n int, shape []int, err error) {
		if len(sides) != 1 {
			return 0, nil, fmt.Errorf("%d sides: these are records, not labels", len(sides))
		}
		return sides[0], []int{1}, nil
	})
	if err == nil && s.Kind != Uint8 {
		err = fmt.Errorf("labels are not bytes")
	}
	if err != nil {
		return nil, fmt.Errorf("record: idx: %w", err)
	}
	labels := make([]int, s.N)
	for i, v := range s.Data {
		labels[i] = int(v)
	}
	return labels, nil
}

func readIDX(r io.Reader, layout func(sides []int) (n int, shape []int, err error)) (*Set, error) {
	br := bufio.NewReader(r)
	if head, err := br.Peek(2); err == nil && head[0] == 0x1f && head[1] == 0x8b {
		zr, err := gzip.NewReader(br)
		if err != nil {
			return nil, err
		}
		br = bufio.NewReader(zr)
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(br, head); err != nil {
		return nil, fmt.Errorf("header: %w", noEOF(err))
	}
	if head[0] != 0 || head[1] != 0 {
		return nil, fmt.Errorf("no IDX file")
	}
	if head[3] > MaxDims+1 {
		return nil, fmt.Errorf("%d sides, at most %d", head[3], MaxDims+1)
	}
	raw := make([]byte, 4*int(head[3]))
	if _, err := io.ReadFull(br, raw); err != nil {
		return nil, fmt.Errorf("header: %w", noEOF(err))
	}
	var sides []int
	for ; len(raw) > 0; raw = raw[4:] {
		sides = append(sides, int(int32(binary.BigEndian.Uint32(raw))))
	}
	n, shape, err := layout(sides)
	if err != nil {
		return nil, err
	}
	values, err := countValues(n, shape)
	if err != nil {
		return nil, fmt.Errorf("sides %v: %w", sides, err)
	}
	s := &Set{Kind: Float32, N: n, Shape: shape, Origin: &Origin{Format: IDX}}
	var width int
	var get func([]byte) float32
	switch head[2] {
	case idxUint8:
		s.Kind = Uint8
		width, get = 1, func(b []byte) float32 { return float32(b[0]) }
	case idxInt16:
		s.Origin.Gain = 1
		width, get = 2, func(b []byte) float32 { return float32(int16(binary.BigEndian.Uint16(b))) }
	case idxFloat32:
		width, get = 4, func(b []byte) float32 { return math.Float32frombits(binary.BigEndian.Uint32(b)) }
	case idxFloat64:
		width, get = 8, func(b []byte) float32 { return float32(math.Float64frombits(binary.BigEndian.Uint64(b))) }
	default:
		return nil, fmt.Errorf("elements of type 0x%02x are not supported", head[2])
	}
	if s.Data, err = readValues(br, values, width, get); err != nil {
		return nil, err
	}
	return s, expectEnd(br)
}

// WriteIDX writes the records as an IDX file, not compressed: bytes for Uint8,
// 16-bit integers where that is what they came from, else floats.
func WriteIDX(w io.Writer, s *Set) error {
	b := []byte{0, 0, idxFloat32, byte(1 + len(s.Shape))}
	switch {
	case s.Kind == Uint8:
		b[2] = idxUint8
	case s.whole16():
		b[2] = idxInt16
	}
	b = binary.BigEndian.AppendUint32(b, uint32(s.N))
	for _, side := range s.Shape {
		b = binary.BigEndian.AppendUint32(b, uint32(side))
	}
	typ := b[2]
	if _, err := w.Write(b); err != nil {
		return err
	}
	return writeValues(w, s.Data, func(b []byte, v float32) []byte {
		switch typ {
		case idxUint8:
			return append(b, byte(v))
		case idxInt16:
			return binary.BigEndian.AppendUint16(b, uint16(s.Origin.sample(v)))
		}
		return binary.BigEndian.AppendUint32(b, math.Float32bits(v))
	})
}
