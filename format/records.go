package format

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// RecordHeader describes a file of records: arrays of one fixed shape. All of it
// is checked when it is written and when it is read.
type RecordHeader struct {
	Values ValueType
	Shape  []uint32 // of one record: 1 to 3 sides, at most 2^24 values in all
	Count  uint32   // records: 1 to 2^31-1

	// Group is the number of records that are coded in one chunk, at least 1;
	// the last chunk may have fewer. More than one have at most 2^24 values.
	Group uint32

	Quality uint16 // in hundredths: 100 to 10000

	// If Bounded, no value is off by more than MaxError, which is finite and at
	// least 0, and Step is the quantisation step of what the latents miss,
	// finite and above 0.
	Bounded  bool
	MaxError float64
	Step     float32

	// Model and Fingerprint are as in Header.
	Model       string
	Fingerprint [16]byte
}

// ValueType is the type of a record's values.
type ValueType uint8

const (
	ValuesUint8   ValueType = 1
	ValuesFloat32 ValueType = 2
)

const (
	maxRecordDims   = 3
	maxRecordValues = 1 << 24
	maxRecords      = math.MaxInt32

	boundedFlag = 0x10
)

// Len returns the number of values of one record.
func (h *RecordHeader) Len() int {
	n := 1
	for _, s := range h.Shape {
		n *= int(s)
	}
	return n
}

// Groups returns the number of chunks that the records are coded in.
func (h *RecordHeader) Groups() int {
	return int((int64(h.Count) + int64(h.Group) - 1) / int64(h.Group))
}

// check returns what is wrong with the header: the field and the cause.
func (h *RecordHeader) check() error {
	if h.Values != ValuesUint8 && h.Values != ValuesFloat32 {
		return fail(ErrUnsupported, "values", "unknown type %d", h.Values)
	}
	if len(h.Shape) < 1 || len(h.Shape) > maxRecordDims {
		return fail(ErrCorrupt, "shape", "%d sides, not 1 to %d", len(h.Shape), maxRecordDims)
	}
	n := int64(1)
	for _, s := range h.Shape {
		if s < 1 || int64(s) > maxRecordValues/n {
			return fail(ErrCorrupt, "shape", "%v: not 1 to %d values", h.Shape, maxRecordValues)
		}
		n *= int64(s)
	}
	switch {
	case h.Count < 1 || h.Count > maxRecords:
		return fail(ErrCorrupt, "records", "%d records, not 1 to %d", h.Count, maxRecords)
	case h.Group < 1 || h.Group > 1 && int64(h.Group) > maxRecordValues/n:
		return fail(ErrCorrupt, "records", "%d records of %v in a chunk", h.Group, h.Shape)
	case h.Quality < minQuality || h.Quality > maxQuality:
		return fail(ErrCorrupt, "quality", "%d hundredths, not %d to %d", h.Quality, minQuality, maxQuality)
	case h.Bounded && !(h.MaxError >= 0 && h.MaxError <= math.MaxFloat64):
		return fail(ErrCorrupt, "error bound", "%g", h.MaxError)
	case h.Bounded && !(h.Step > 0 && h.Step <= math.MaxFloat32):
		return fail(ErrCorrupt, "error bound", "step %g", h.Step)
	}
	return checkModelName(h.Model)
}

func (h *RecordHeader) append(b []byte) []byte {
	layout := byte(len(h.Shape))
	if h.Bounded {
		layout |= boundedFlag
	}
	b = append(b, Version, byte(KindRecords), layout, byte(h.Values))
	for _, s := range h.Shape {
		b = binary.AppendUvarint(b, uint64(s))
	}
	b = binary.AppendUvarint(b, uint64(h.Count))
	b = binary.AppendUvarint(b, uint64(h.Group))
	b = binary.LittleEndian.AppendUint16(b, h.Quality)
	if h.Bounded {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(h.MaxError))
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(h.Step))
	}
	b = append(b, byte(len(h.Model)))
	b = append(b, h.Model...)
	return append(b, h.Fingerprint[:]...)
}

// parse reads what append wrote. It does not check the limits.
func (h *RecordHeader) parse(data []byte) error {
	p := parser{data: data}
	version := p.byte()
	if !p.short && version != Version {
		return fail(ErrVersion, "version", "version %d, this reader knows %d", version, Version)
	}
	switch kind := Kind(p.byte()); {
	case p.short:
	case kind == KindImage:
		return fail(ErrUnsupported, "kind", "the file holds an image, not records")
	case kind != KindRecords:
		return fail(ErrUnsupported, "kind", "unknown kind %d", kind)
	}
	layout := p.byte()
	h.Values = ValueType(p.byte())
	h.Bounded = layout&boundedFlag != 0
	for range layout & 0x0f {
		h.Shape = append(h.Shape, uint32(min(p.uvarint(), math.MaxUint32)))
	}
	h.Count = uint32(min(p.uvarint(), math.MaxUint32))
	h.Group = uint32(min(p.uvarint(), math.MaxUint32))
	h.Quality = binary.LittleEndian.Uint16(p.bytes(2))
	if h.Bounded {
		h.MaxError = math.Float64frombits(binary.LittleEndian.Uint64(p.bytes(8)))
		h.Step = math.Float32frombits(binary.LittleEndian.Uint32(p.bytes(4)))
	}
	h.Model = string(p.bytes(int(p.byte())))
	copy(h.Fingerprint[:], p.bytes(16))
	if !p.done() {
		return fail(ErrCorrupt, "header", "malformed")
	}
	if layout&^(0x0f|boundedFlag) != 0 {
		return fail(ErrUnsupported, "header", "reserved flags 0x%02x are set", layout&^(0x0f|boundedFlag))
	}
	return h.check()
}

// Types of chunks of a file of records. There is one ChunkGroup for each group,
// in order, and at most one of each of the others, or of ChunkComment.
const (
	ChunkGroup  ChunkType = 'R' // a group of records
	ChunkLabels ChunkType = 'l' // labels of the records
	ChunkOrigin ChunkType = 'o' // JSON: where the records come from
)

// recordMetadata reports whether chunks of type t hold metadata of records.
func recordMetadata(t ChunkType) bool {
	return t == ChunkLabels || t == ChunkOrigin || t == ChunkComment
}

// recordContents keeps account of the chunks of a file of records.
type recordContents struct {
	header RecordHeader
	groups int
	seen   map[ChunkType]bool
}

// add accounts for a chunk of type t and says whether it may stand here.
func (c *recordContents) add(t ChunkType) error {
	what := "chunk " + t.String()
	switch {
	case t == ChunkGroup:
		if c.groups == c.header.Groups() {
			return fail(ErrCorrupt, what, "more than the %d groups of the file", c.groups)
		}
		c.groups++
	case recordMetadata(t):
		if c.seen[t] {
			return fail(ErrCorrupt, what, "occurs twice")
		}
		if c.seen == nil {
			c.seen = make(map[ChunkType]bool)
		}
		c.seen[t] = true
	case !t.Ancillary():
		return fail(ErrUnsupported, what, "unknown critical chunk")
	}
	return nil
}

// complete says whether a file may end here.
func (c *recordContents) complete() error {
	if n := c.header.Groups(); c.groups != n {
		return fail(ErrCorrupt, "end mark", "after %d of %d groups of records", c.groups, n)
	}
	return nil
}

// RecordWriter writes a file of records.
type RecordWriter struct {
	cw   *chunkWriter
	seen recordContents
}

// NewRecordWriter writes the signature and the header. Output is buffered until
// [RecordWriter.Close].
func NewRecordWriter(w io.Writer, h *RecordHeader) (*RecordWriter, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	cw := newChunkWriter(w, imageSignature)
	if err := cw.chunk(chunkHead, h.append(nil)); err != nil {
		return nil, err
	}
	return &RecordWriter{cw, recordContents{header: *h}}, nil
}

// WriteChunk writes a chunk: data as they are, except that labels, origin and
// comment are compressed where that makes them smaller. One chunk too many and a
// critical chunk of unknown type are errors.
func (w *RecordWriter) WriteChunk(t ChunkType, data []byte) error {
	if !t.valid() {
		return fmt.Errorf("format: write chunk: type %v is not a letter", t)
	}
	if w.cw.err != nil {
		return w.cw.err
	}
	if err := w.seen.add(t); err != nil {
		return err
	}
	if recordMetadata(t) {
		data = pack(nil, data)
	}
	return w.cw.chunk(t, data)
}

// Close ends the file, unless groups are missing. It does not close the
// underlying writer.
func (w *RecordWriter) Close() error {
	if w.cw.err != nil {
		return w.cw.err
	}
	if err := w.seen.complete(); err != nil {
		return err
	}
	return w.cw.close()
}

// RecordReader reads a file of records.
type RecordReader struct {
	cr   *chunkReader
	lim  Limits
	seen recordContents
	err  error // of Next, once it has failed or come to the end
}

// NewRecordReader reads the signature and the header. If r is not an
// io.ByteReader, the reader may take more from r than the file holds.
func NewRecordReader(r io.Reader, lim *Limits) (*RecordReader, error) {
	cr, err := newChunkReader(r, imageSignature)
	if err != nil {
		return nil, err
	}
	data, err := cr.head()
	if err != nil {
		return nil, err
	}
	rd := &RecordReader{cr: cr, lim: lim.resolve()}
	h := &rd.seen.header
	if err := h.parse(data); err != nil {
		return nil, err
	}
	// A record has at most 2^24 values and there are at most 2^31 of them.
	if n := int64(h.Len()) * int64(h.Count); n > rd.lim.MaxValues {
		return nil, fail(ErrLimit, "size", "%d records of %v, limit %d values", h.Count, h.Shape, rd.lim.MaxValues)
	}
	return rd, nil
}

// Header returns the header, whose Shape the caller must not change.
func (r *RecordReader) Header() RecordHeader { return r.seen.header }

// Next returns the next chunk as [Reader.Next] does.
func (r *RecordReader) Next() (Chunk, error) {
	if r.err != nil {
		return Chunk{}, r.err
	}
	c, err := r.next()
	r.err = err
	return c, err
}

func (r *RecordReader) next() (Chunk, error) {
	ch, err := r.cr.next()
	if err == io.EOF {
		if err := r.seen.complete(); err != nil {
			return Chunk{}, err
		}
		return Chunk{}, io.EOF
	}
	if err != nil {
		return Chunk{}, err
	}
	return r.cr.content(ch, &r.lim, func() error { return r.seen.add(ch.t) }, recordMetadata(ch.t))
}

// FileKind tells what an .aec file holds by its first 12 bytes or more; ok is
// false where they are not those of such a file.
func FileKind(head []byte) (k Kind, ok bool) {
	// Signature, type and length of the header, version, kind.
	const at = len(imageSignature) + 3
	if len(head) <= at || string(head[:len(imageSignature)]) != imageSignature || ChunkType(head[at-3]) != chunkHead {
		return 0, false
	}
	return Kind(head[at]), true
}
