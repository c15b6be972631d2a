package format

import (
	"encoding/binary"
	"math"
)

// Version is the version of both containers that this package writes.
const Version = 1

// Kind says what a file holds.
type Kind uint8

const (
	KindImage   Kind = 1
	KindRecords Kind = 2 // arrays of one fixed shape, see RecordHeader
)

// Header describes an image. All of it is checked when it is written and when
// it is read.
type Header struct {
	Kind     Kind
	Width    uint32 // 1 to 2^31-1
	Height   uint32 // 1 to 2^31-1
	Channels uint8  // colour channels: 1 (gray) or 3 (RGB)
	Depth    uint8  // bits per channel: 8
	Alpha    bool   // there is an alpha channel, in a chunk of its own

	// TileLog2 is the binary logarithm of the side of the square tiles, in
	// pixels, in which latents are coded: 6 to 16. Tiles at the right and the
	// bottom may be smaller.
	TileLog2 uint8

	Quality uint16 // in hundredths: 100 to 10000

	// Model and Fingerprint identify the model that decodes the image. The
	// name, 1 to 64 letters, digits, '.', '-' and '_', is for messages.
	Model       string
	Fingerprint [16]byte
}

const (
	maxSide     = math.MaxInt32
	minTileLog2 = 6
	maxTileLog2 = 16
	minQuality  = 100
	maxQuality  = 10000
	maxName     = 64

	maxHeaderBytes = 128 // 24 at most before the name, 16 after

	alphaFlag = 0x10
)

// Tiles returns the number of columns and rows of tiles.
func (h *Header) Tiles() (columns, rows int) {
	side := int64(1) << h.TileLog2
	return int((int64(h.Width) + side - 1) / side), int((int64(h.Height) + side - 1) / side)
}

// check returns what is wrong with the header: the field and the cause.
func (h *Header) check() error {
	switch {
	case h.Kind == KindRecords:
		return fail(ErrUnsupported, "kind", "the file holds records, not an image")
	case h.Kind != KindImage:
		return fail(ErrUnsupported, "kind", "unknown kind %d", h.Kind)
	case h.Width == 0 || h.Height == 0:
		return fail(ErrCorrupt, "size", "%d x %d pixels: no side can be zero", h.Width, h.Height)
	case h.Width > maxSide || h.Height > maxSide:
		return fail(ErrCorrupt, "size", "%d x %d pixels: no side can exceed %d", h.Width, h.Height, maxSide)
	case h.Channels != 1 && h.Channels != 3:
		return fail(ErrUnsupported, "channels", "%d colour channels, not 1 or 3", h.Channels)
	case h.Depth != 8:
		return fail(ErrUnsupported, "depth", "%d bits per channel, not 8", h.Depth)
	case h.TileLog2 < minTileLog2 || h.TileLog2 > maxTileLog2:
		return fail(ErrCorrupt, "tile size", "2^%d pixels, not 2^%d to 2^%d", h.TileLog2, minTileLog2, maxTileLog2)
	case h.Quality < minQuality || h.Quality > maxQuality:
		return fail(ErrCorrupt, "quality", "%d hundredths, not %d to %d", h.Quality, minQuality, maxQuality)
	}
	return checkModelName(h.Model)
}

func checkModelName(name string) error {
	if name == "" || len(name) > maxName {
		return fail(ErrCorrupt, "model name", "%d bytes, not 1 to %d", len(name), maxName)
	}
	for _, c := range []byte(name) {
		if !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_') {
			return fail(ErrCorrupt, "model name", "%q is not of letters, digits, '.', '-' and '_'", name)
		}
	}
	return nil
}

func (h *Header) append(b []byte) []byte {
	layout := h.Channels
	if h.Alpha {
		layout |= alphaFlag
	}
	b = append(b, Version, byte(h.Kind), layout, h.Depth-1|(h.TileLog2-minTileLog2)<<4)
	b = binary.AppendUvarint(b, uint64(h.Width))
	b = binary.AppendUvarint(b, uint64(h.Height))
	b = binary.LittleEndian.AppendUint16(b, h.Quality)
	b = append(b, byte(len(h.Model)))
	b = append(b, h.Model...)
	return append(b, h.Fingerprint[:]...)
}

// parse reads what append wrote. It does not check the limits.
func (h *Header) parse(data []byte) error {
	p := parser{data: data}
	version := p.byte()
	if !p.short && version != Version {
		return fail(ErrVersion, "version", "version %d, this reader knows %d", version, Version)
	}
	h.Kind = Kind(p.byte())
	if !p.short && h.Kind != KindImage {
		return h.check() // the rest may have another layout
	}
	layout, depth := p.byte(), p.byte()
	h.Channels, h.Alpha = layout&0x0f, layout&alphaFlag != 0
	h.Depth, h.TileLog2 = depth&0x0f+1, depth>>4+minTileLog2
	width, height := p.uvarint(), p.uvarint()
	h.Quality = binary.LittleEndian.Uint16(p.bytes(2))
	h.Model = string(p.bytes(int(p.byte())))
	copy(h.Fingerprint[:], p.bytes(16))
	if !p.done() {
		return fail(ErrCorrupt, "header", "malformed")
	}
	if layout&^(0x0f|alphaFlag) != 0 {
		return fail(ErrUnsupported, "header", "reserved flags 0x%02x are set", layout&^(0x0f|alphaFlag))
	}
	if width > maxSide || height > maxSide {
		return fail(ErrCorrupt, "size", "%d x %d pixels: no side can exceed %d", width, height, maxSide)
	}
	h.Width, h.Height = uint32(width), uint32(height)
	return h.check()
}

// checkPixels compares the size with the limit.
func (h *Header) checkPixels(limit int64) error {
	// Sides are below 2^31, so the product fits.
	if n := int64(h.Width) * int64(h.Height); n > limit {
		return fail(ErrLimit, "size", "%d x %d pixels, limit %d", h.Width, h.Height, limit)
	}
	return nil
}

// parser takes fields off the front of data. When data are short, or a uvarint
// is not minimal, it returns zeros from there on and remembers.
type parser struct {
	data  []byte
	short bool
}

func (p *parser) bytes(n int) []byte {
	if p.short || n > len(p.data) {
		p.short = true
		return make([]byte, min(n, 16))
	}
	b := p.data[:n:n]
	p.data = p.data[n:]
	return b
}

func (p *parser) byte() byte { return p.bytes(1)[0] }

func (p *parser) uvarint() uint64 {
	v, n := binary.Uvarint(p.data)
	if p.short || n <= 0 || n > 1 && p.data[n-1] == 0 {
		p.short = true
		return 0
	}
	p.data = p.data[n:]
	return v
}

// done reports whether all data were used and sufficed.
func (p *parser) done() bool { return !p.short && len(p.data) == 0 }
