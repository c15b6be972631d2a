package trainer

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/aecodec/aecodec/codec/nn"
)

// Bounds of a safetensors header: the reference implementation refuses more
// than 100 MB; no network here comes near a hundredth of that.
const (
	maxSafetensorsHeader = 100 << 20
	maxSafetensorsData   = 1 << 35
)

type safetensorsEntry struct {
	DType   string   `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

const metadataKey = "__metadata__"

// WriteSafetensors writes tensors as float32 in the safetensors format
// (https://huggingface.co/docs/safetensors), in the order of their names.
// Names and shapes are those of package nn: convolutions [KH, KW, Cin, Cout],
// depthwise [KH, KW, C]. metadata may be nil.
func WriteSafetensors(w io.Writer, p nn.Params, metadata map[string]string) error {
	header := make(map[string]any, len(p)+1)
	if len(metadata) > 0 {
		header[metadataKey] = metadata
	}
	names := p.Names()
	var at int64
	for _, name := range names {
		t := p[name]
		if n := int64(len(t.Data)); n != shapeLen(t.Shape) {
			return fmt.Errorf("trainer: safetensors: %q: shape %v holds %d numbers, not %d", name, t.Shape, shapeLen(t.Shape), n)
		}
		end := at + 4*int64(len(t.Data))
		header[name] = safetensorsEntry{"F32", append([]int{}, t.Shape...), [2]int64{at, end}}
		at = end
	}
	text, err := json.Marshal(header) // keys of maps come sorted
	if err != nil {
		return fmt.Errorf("trainer: safetensors: %w", err)
	}
	for len(text)%8 != 0 { // data aligned to 8 bytes, as the format asks
		text = append(text, ' ')
	}
	bw := bufio.NewWriterSize(w, 1<<16)
	var word [8]byte
	binary.LittleEndian.PutUint64(word[:], uint64(len(text)))
	bw.Write(word[:])
	bw.Write(text)
	for _, name := range names {
		for _, v := range p[name].Data {
			binary.LittleEndian.PutUint32(word[:4], math.Float32bits(v))
			bw.Write(word[:4])
		}
	}
	if err := bw.Flush(); err != nil { // keeps the first error of all writes
		return fmt.Errorf("trainer: safetensors: %w", err)
	}
	return nil
}

// ReadSafetensors reads what WriteSafetensors or another writer of the format
// wrote. All tensors must be F32.
func ReadSafetensors(r io.Reader) (nn.Params, map[string]string, error) {
	fail := func(format string, args ...any) (nn.Params, map[string]string, error) {
		return nil, nil, fmt.Errorf("trainer: safetensors: %w", fmt.Errorf(format, args...))
	}
	br := bufio.NewReaderSize(r, 1<<16)
	var word [8]byte
	if _, err := io.ReadFull(br, word[:]); err != nil {
		return fail("header: %w", truncated(err))
	}
	size := binary.LittleEndian.Uint64(word[:])
	if size > maxSafetensorsHeader {
		return fail("header of %d bytes: not a safetensors file", size)
	}
	// Read as it comes: a false length must not make us allocate it.
	text, err := io.ReadAll(io.LimitReader(br, int64(size)))
	if err != nil {
		return fail("header: %w", err)
	}
	if uint64(len(text)) != size {
		return fail("header: %w", io.ErrUnexpectedEOF)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return fail("header: %w", err)
	}
	var metadata map[string]string
	if m, ok := raw[metadataKey]; ok {
		if err := json.Unmarshal(m, &metadata); err != nil {
			return fail("metadata: %w", err)
		}
		delete(raw, metadataKey)
	}
	entries := make(map[string]*safetensorsEntry, len(raw))
	order := make([]string, 0, len(raw))
	for name, text := range raw {
		e := new(safetensorsEntry)
		if err := json.Unmarshal(text, e); err != nil {
			return fail("%q: %w", name, err)
		}
		if e.DType != "F32" {
			return fail("%q: type %s, want F32", name, e.DType)
		}
		entries[name] = e
		order = append(order, name)
	}
	slices.SortFunc(order, func(a, b string) int {
		if d := entries[a].Offsets[0] - entries[b].Offsets[0]; d != 0 {
			return int(max(min(d, 1), -1))
		}
		if d := entries[a].Offsets[1] - entries[b].Offsets[1]; d != 0 { // empty tensors first
			return int(max(min(d, 1), -1))
		}
		return 0
	})
	p := make(nn.Params, len(order))
	var at int64
	for _, name := range order {
		e := entries[name]
		n := shapeLen(e.Shape)
		if n < 0 || e.Offsets[0] != at || e.Offsets[1]-at != 4*n {
			return fail("%q: shape %v at bytes %d to %d: gap, overlap or wrong size", name, e.Shape, e.Offsets[0], e.Offsets[1])
		}
		data, err := readFloats(br, int(n))
		if err != nil {
			return fail("%q: %w", name, err)
		}
		p[name] = &nn.Param{Name: name, Shape: e.Shape, Data: data}
		at = e.Offsets[1]
	}
	switch _, err := br.ReadByte(); {
	case err == nil:
		return fail("bytes after the last tensor")
	case err != io.EOF:
		return fail("%w", err)
	}
	return p, metadata, nil
}

// readFloats reads n numbers, allocating no more than arrives.
func readFloats(r io.Reader, n int) ([]float32, error) {
	const step = 1 << 16
	data := make([]float32, 0, min(n, step))
	buf := make([]byte, 4*min(n, step))
	for len(data) < n {
		part := buf[:4*min(n-len(data), step)]
		if _, err := io.ReadFull(r, part); err != nil {
			return nil, truncated(err)
		}
		for ; len(part) > 0; part = part[4:] {
			data = append(data, math.Float32frombits(binary.LittleEndian.Uint32(part)))
		}
	}
	return data, nil
}

// shapeLen is the number of elements, or -1 for a shape out of bounds.
func shapeLen(shape []int) int64 {
	n := int64(1)
	for _, d := range shape {
		if d < 0 || (d > 0 && n > maxSafetensorsData/int64(d)) {
			return -1
		}
		n *= int64(d)
	}
	return n
}

// truncated names the end of a file in the middle of something as what it is.
func truncated(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
