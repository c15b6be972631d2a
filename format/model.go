package format

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// ModelFile is a model: what it takes to decode, what it takes to encode, and
// where it comes from.
type ModelFile struct {
	Name        string   // 1 to 64 letters, digits, '.', '-' and '_'
	Description []byte   // JSON: the architecture
	Decoder     []Tensor // weights and tables of the receiver
	Encoder     []Tensor // weights that only the sender needs; none in a decoder-only file
	Record      []byte   // JSON: the training record; may be empty
}

// Types of chunks of a model file. The encoder and the record are ancillary: a
// receiver can do without.
const (
	chunkModel       ChunkType = 'M'
	chunkDescription ChunkType = 'D'
	chunkDecoder     ChunkType = 'W'
	chunkEncoder     ChunkType = 'w'
	chunkRecord      ChunkType = 'r'
)

// Fingerprint identifies the decoder: it is the first half of the SHA-256 of
// everything that decides a decoded bit, which is the description and the
// decoder's tensors, but not the name, the encoder or the record. The bytes
// hashed are, all integers as uvarints:
//
//	"aecodec decoder 1\n"
//	length of the description, description
//	number of tensors, then for each, ascending by the bytes of its name:
//	  length of the name, name, element type, number of sides, sides, length of the data, data
func (m *ModelFile) Fingerprint() [16]byte {
	sorted := make([]*Tensor, len(m.Decoder))
	for i := range m.Decoder {
		sorted[i] = &m.Decoder[i]
	}
	slices.SortFunc(sorted, func(a, b *Tensor) int { return strings.Compare(a.Name, b.Name) })

	h := sha256.New()
	b := binary.AppendUvarint([]byte("aecodec decoder 1\n"), uint64(len(m.Description)))
	b = append(b, m.Description...)
	b = binary.AppendUvarint(b, uint64(len(sorted)))
	for _, t := range sorted {
		b = binary.AppendUvarint(t.appendHead(b), uint64(len(t.Data)))
		h.Write(b)
		h.Write(t.Data)
		b = b[:0]
	}
	h.Write(b)
	return [16]byte(h.Sum(nil))
}

// appendHead appends name, element type and shape.
func (t *Tensor) appendHead(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(t.Name)))
	b = append(b, t.Name...)
	b = append(b, byte(t.DType))
	b = binary.AppendUvarint(b, uint64(len(t.Shape)))
	for _, s := range t.Shape {
		b = binary.AppendUvarint(b, uint64(s))
	}
	return b
}

// check says what is wrong with the model, apart from its single tensors.
func (m *ModelFile) check() error {
	if err := checkModelName(m.Name); err != nil {
		return err
	}
	for _, part := range [][]Tensor{m.Decoder, m.Encoder} {
		seen := make(map[string]bool, len(part))
		for i := range part {
			if seen[part[i].Name] {
				return fail(ErrCorrupt, "model", "two tensors are named %q", part[i].Name)
			}
			seen[part[i].Name] = true
		}
	}
	return nil
}

// WriteModel writes a model file.
func WriteModel(w io.Writer, m *ModelFile) error {
	if err := m.check(); err != nil {
		return err
	}
	for _, part := range [][]Tensor{m.Decoder, m.Encoder} {
		for i := range part {
			if err := part[i].check(len(part[i].Data)); err != nil {
				return err
			}
		}
	}
	cw := newChunkWriter(w, modelSignature)
	cw.chunk(chunkModel, append([]byte{Version}, m.Name...))
	cw.chunk(chunkDescription, pack(nil, m.Description))
	for i := range m.Decoder {
		cw.chunk(chunkDecoder, m.Decoder[i].pack())
	}
	for i := range m.Encoder {
		cw.chunk(chunkEncoder, m.Encoder[i].pack())
	}
	if len(m.Record) > 0 {
		cw.chunk(chunkRecord, pack(nil, m.Record))
	}
	return cw.close() // reports the first error of them all
}

func (t *Tensor) pack() []byte {
	return pack(t.appendHead(nil), toPlanes(t.Data, t.DType.Size()))
}

// ReadModel reads a model file.
func ReadModel(r io.Reader, lim *Limits) (*ModelFile, error) {
	return readModel(r, lim, true)
}

// ReadDecoder reads a model file without its encoder, which is checked for
// damage but not uncompressed: a receiver starts faster.
func ReadDecoder(r io.Reader, lim *Limits) (*ModelFile, error) {
	return readModel(r, lim, false)
}

func readModel(r io.Reader, lim *Limits, encoder bool) (*ModelFile, error) {
	cr, err := newChunkReader(r, modelSignature)
	if err != nil {
		return nil, err
	}
	m := &ModelFile{}
	left := lim.resolve().MaxModel
	var decoder, sender []packedTensor
	seen := make(map[ChunkType]bool)
	for first := true; ; first = false {
		ch, err := cr.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		// Packed data are hardly larger than what they hold.
		data, err := cr.data(ch, min(left, math.MaxInt-maxPackOverhead)+maxPackOverhead)
		if err != nil {
			return nil, err
		}
		if first != (ch.t == chunkModel) {
			return nil, fail(ErrCorrupt, ch.what, "the first chunk, and only that, is the model's head")
		}
		if (ch.t == chunkDescription || ch.t == chunkRecord) && seen[ch.t] {
			return nil, fail(ErrCorrupt, ch.what, "occurs twice")
		}
		seen[ch.t] = true
		var pt packedTensor
		switch ch.t {
		case chunkModel:
			p := parser{data: data}
			if v := p.byte(); !p.short && v != Version {
				return nil, fail(ErrVersion, "version", "version %d, this reader knows %d", v, Version)
			}
			m.Name = string(p.data)
		case chunkDescription:
			m.Description, err = unpack(data, ch.what, left)
			left -= int64(len(m.Description))
		case chunkRecord:
			m.Record, err = unpack(data, ch.what, left)
			left -= int64(len(m.Record))
		case chunkDecoder:
			pt, err = parseTensor(data, left)
			decoder = append(decoder, pt)
			left -= pt.memory()
		case chunkEncoder:
			if encoder {
				pt, err = parseTensor(data, left)
				sender = append(sender, pt)
				left -= pt.memory()
			}
		default:
			if !ch.t.Ancillary() {
				return nil, fail(ErrUnsupported, ch.what, "unknown critical chunk")
			}
		}
		if err != nil {
			return nil, err
		}
	}
	if !seen[chunkDescription] {
		return nil, fail(ErrCorrupt, "end mark", "the description is missing")
	}
	if m.Decoder, err = openTensors(decoder); err != nil {
		return nil, err
	}
	if m.Encoder, err = openTensors(sender); err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return m, nil
}

// maxPackOverhead bounds what a chunk holds beyond packed data: the head of a
// tensor and the method.
const maxPackOverhead = 1 << 10

// packedTensor is a tensor whose data are still packed.
type packedTensor struct {
	Tensor
	packed packed
}

// memory estimates what the tensor will take of the limit.
func (pt *packedTensor) memory() int64 {
	return int64(pt.packed.size) + int64(len(pt.Name)) + 8*int64(len(pt.Shape))
}

func parseTensor(b []byte, limit int64) (packedTensor, error) {
	p := parser{data: b}
	var pt packedTensor
	pt.Name = string(p.bytes(int(min(p.uvarint(), maxTensorName+1))))
	pt.DType = DType(p.byte())
	for range min(p.uvarint(), maxRank+1) {
		pt.Shape = append(pt.Shape, int(min(p.uvarint(), math.MaxInt)))
	}
	if p.short {
		return pt, fail(ErrCorrupt, "tensor", "malformed head")
	}
	var err error
	if pt.packed, err = parsePack(p.data, fmt.Sprintf("tensor %q", pt.Name), limit); err != nil {
		return pt, err
	}
	return pt, pt.check(pt.packed.size)
}

// openTensors unpacks tensors, on all processors: a receiver waits for this.
func openTensors(packed []packedTensor) ([]Tensor, error) {
	if len(packed) == 0 {
		return nil, nil
	}
	tensors, errs := make([]Tensor, len(packed)), make([]error, len(packed))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(packed)) {
		wg.Go(func() {
			var buf []byte // for the planes of one tensor after the other
			for i := int(next.Add(1)) - 1; i < len(packed); i = int(next.Add(1)) - 1 {
				pt := &packed[i]
				size := pt.DType.Size()
				if size == 1 { // the data are the plane, which stays
					pt.Data, errs[i] = pt.packed.open()
				} else {
					buf = slices.Grow(buf[:0], pt.packed.size)
					planes, err := pt.packed.openTo(buf)
					pt.Data, errs[i] = fromPlanes(planes, size), err
				}
				tensors[i] = pt.Tensor
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return tensors, nil
}
