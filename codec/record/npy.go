package record

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// NPY files are specified in numpy/lib/format.py: a magic string, a version, the
// length of a header, the header as a Python dictionary, the elements.
const npyMagic = "\x93NUMPY"

// maxNPYHeader bounds the header; NumPy itself refuses more than 10000.
const maxNPYHeader = 1 << 14

// ReadNPY reads an array in NumPy's format, version 1 to 3, whose first side is
// the number of records: elements u1, i2, f4 or f8 of either byte order, in C
// order. f8 is rounded to float32. u1 makes records of Uint8, i2 those of
// Float32 with Origin.Gain 1. An array of one side is one record.
func ReadNPY(r io.Reader) (*Set, error) {
	fail := func(cause string, args ...any) (*Set, error) {
		return nil, fmt.Errorf("record: npy: "+cause, args...)
	}
	br := bufio.NewReader(r)
	head := make([]byte, 12)
	if _, err := io.ReadFull(br, head[:10]); err != nil {
		return fail("header: %w", noEOF(err))
	}
	if string(head[:6]) != npyMagic {
		return fail("no NPY file")
	}
	size := int64(binary.LittleEndian.Uint16(head[8:]))
	switch head[6] {
	case 1:
	case 2, 3:
		if _, err := io.ReadFull(br, head[10:]); err != nil {
			return fail("header: %w", noEOF(err))
		}
		size = int64(binary.LittleEndian.Uint32(head[8:]))
	default:
		return fail("version %d, not 1 to 3", head[6])
	}
	if size > maxNPYHeader {
		return fail("header of %d bytes", size)
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(br, text); err != nil {
		return fail("header: %w", noEOF(err))
	}
	descr, shape, err := parseNPYHeader(string(text))
	if err != nil {
		return fail("%w", err)
	}
	if len(shape) == 1 {
		shape = []int{1, shape[0]}
	}
	if len(shape) == 0 {
		return fail("a single number, not an array")
	}
	values, err := countValues(shape[0], shape[1:])
	if err != nil {
		return fail("shape %v: %w", shape, err)
	}
	s := &Set{Kind: Float32, N: shape[0], Shape: shape[1:], Origin: &Origin{Format: NPY}}
	var order binary.ByteOrder = binary.LittleEndian
	if descr[0] == '>' {
		order = binary.BigEndian
	}
	var width int
	var get func([]byte) float32
	switch descr[1:] {
	case "u1":
		s.Kind = Uint8
		width, get = 1, func(b []byte) float32 { return float32(b[0]) }
	case "i2":
		s.Origin.Gain = 1
		width, get = 2, func(b []byte) float32 { return float32(int16(order.Uint16(b))) }
	case "f4":
		width, get = 4, func(b []byte) float32 { return math.Float32frombits(order.Uint32(b)) }
	case "f8":
		width, get = 8, func(b []byte) float32 { return float32(math.Float64frombits(order.Uint64(b))) }
	default:
		return fail("elements of type %q, not u1, i2, f4 or f8", descr)
	}
	if s.Data, err = readValues(br, values, width, get); err != nil {
		return fail("%w", err)
	}
	if err := expectEnd(br); err != nil {
		return fail("%w", err)
	}
	return s, s.Check()
}

var (
	npyDescr   = regexp.MustCompile(`['"]descr['"]\s*:\s*['"]([<>|=][a-zA-Z]\d{1,2})['"]`)
	npyFortran = regexp.MustCompile(`['"]fortran_order['"]\s*:\s*(True|False)`)
	npyShape   = regexp.MustCompile(`['"]shape['"]\s*:\s*\(([0-9, ]*)\)`)
)

// parseNPYHeader takes the dictionary apart. NumPy writes it with repr, so only
// that form is known here.
func parseNPYHeader(text string) (descr string, shape []int, err error) {
	d, f, s := npyDescr.FindStringSubmatch(text), npyFortran.FindStringSubmatch(text), npyShape.FindStringSubmatch(text)
	switch {
	case d == nil:
		return "", nil, fmt.Errorf("header: no type of plain numbers")
	case f == nil || s == nil:
		return "", nil, fmt.Errorf("header: no shape")
	case f[1] == "True":
		return "", nil, fmt.Errorf("Fortran order is not supported")
	}
	for _, side := range strings.Split(s[1], ",") {
		if side = strings.TrimSpace(side); side == "" {
			continue
		}
		n, err := strconv.Atoi(side)
		if err != nil {
			return "", nil, fmt.Errorf("header: shape (%s)", s[1])
		}
		shape = append(shape, n)
	}
	return d[1], shape, nil
}

// WriteNPY writes the records as an array of version 1 whose first side is their
// number: u1 for Uint8, else f4; i2 where that is what they came from.
func WriteNPY(w io.Writer, s *Set) error {
	descr := "<f4"
	switch {
	case s.Kind == Uint8:
		descr = "|u1"
	case s.whole16():
		descr = "<i2"
	}
	sides := strconv.Itoa(s.N)
	for _, d := range s.Shape {
		sides += ", " + strconv.Itoa(d)
	}
	text := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, sides)
	// The elements start at a multiple of 64 bytes; a line end comes before.
	text += strings.Repeat(" ", 63-(len(npyMagic)+4+len(text))%64) + "\n"
	var b bytes.Buffer
	b.WriteString(npyMagic + "\x01\x00")
	b.Write(binary.LittleEndian.AppendUint16(nil, uint16(len(text))))
	b.WriteString(text)
	if _, err := w.Write(b.Bytes()); err != nil {
		return err
	}
	return writeValues(w, s.Data, func(b []byte, v float32) []byte {
		switch descr {
		case "|u1":
			return append(b, byte(v))
		case "<i2":
			return binary.LittleEndian.AppendUint16(b, uint16(s.Origin.sample(v)))
		}
		return binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	})
}

// samples16 tells whether the values are integer samples of 16 bits.
func (s *Set) samples16() bool {
	return s.Kind == Float32 && s.Origin != nil && s.Origin.Gain > 0
}

// whole16 tells whether the values themselves are such samples.
func (s *Set) whole16() bool { return s.samples16() && s.Origin.Gain == 1 && s.Origin.Zero == 0 }

// sample turns a value into an integer sample.
func (o *Origin) sample(v float32) int16 {
	x := math.RoundToEven(float64(float64(v)*o.Gain)) + float64(o.Zero)
	return int16(min(max(x, math.MinInt16), math.MaxInt16))
}

// value is the inverse of sample.
func (o *Origin) value(x int16) float32 { return float32((float64(x) - float64(o.Zero)) / o.Gain) }

// readValues reads n elements of width bytes. Memory grows with what has arrived.
func readValues(r io.Reader, n, width int, get func([]byte) float32) ([]float32, error) {
	const block = 1 << 14
	buf := make([]byte, block*width)
	var out []float32
	for len(out) < n {
		part := buf[:min(n-len(out), block)*width]
		m, err := io.ReadFull(r, part)
		if err != nil {
			return nil, fmt.Errorf("%d of %d values: %w", len(out)+m/width, n, noEOF(err))
		}
		out = slices.Grow(out, len(part)/width)
		for ; len(part) > 0; part = part[width:] {
			out = append(out, get(part))
		}
	}
	return out, nil
}

func writeValues(w io.Writer, v []float32, put func([]byte, float32) []byte) error {
	const block = 1 << 14
	var buf []byte
	for len(v) > 0 {
		n := min(len(v), block)
		buf = buf[:0]
		for _, x := range v[:n] {
			buf = put(buf, x)
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
		v = v[n:]
	}
	return nil
}

// noEOF makes an end where there should be more an unexpected one.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// expectEnd refuses data after the last value: the counts are wrong then.
func expectEnd(r io.Reader) error {
	var b [1]byte
	switch _, err := io.ReadFull(r, b[:]); err {
	case io.EOF:
		return nil
	case nil:
		return fmt.Errorf("more data than values")
	default:
		return err
	}
}
