package picture

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// MaxMetadata is the largest ICC profile, EXIF block or XMP packet, in bytes, that ReadMetadata takes from a file. It bounds
// what a compressed PNG chunk may unpack to.
const MaxMetadata = 16 << 20

// Metadata is what a picture file carries beside its pixels. Every field holds the plain payload, without the framing of the
// file it came from, so that it can move from one container to another. A nil field is absent.
type Metadata struct {
	ICC  []byte // ICC profile as in ICC.1, beginning with its 128-byte header
	EXIF []byte // EXIF block, beginning with its TIFF header ("II*\0" or "MM\0*")
	XMP  []byte // XMP packet, UTF-8 XML
}

// Empty reports whether there is nothing to carry.
func (m *Metadata) Empty() bool { return len(m.ICC) == 0 && len(m.EXIF) == 0 && len(m.XMP) == 0 }

// ICCColorSpace returns the colour space that the profile is for, for example "RGB", "GRAY" or "CMYK", or "" without a
// profile. A profile of another colour space than the pixels misleads every viewer.
func (m *Metadata) ICCColorSpace() string {
	if len(m.ICC) < iccHeader {
		return ""
	}
	return string(bytes.TrimRight(m.ICC[16:20], " \x00"))
}

// ReadMetadata finds ICC, EXIF and XMP in a complete PNG, JPEG or WebP file; any other kind of file has none to offer. The
// EXIF orientation of a JPEG is returned as upright, because Decode returns its pixels so. Damaged
// blocks are left out and the first of them is the error, so that a caller can warn and still use the rest: the returned
// Metadata is never nil. The continuation segments of an XMP packet longer than one JPEG segment are not read.
func ReadMetadata(file []byte) (*Metadata, error) {
	var c collector
	switch {
	case bytes.HasPrefix(file, []byte(pngSignature)):
		c.png(file)
	case bytes.HasPrefix(file, []byte(jpegSOI)):
		c.jpeg(file)
	case len(file) >= 12 && string(file[:4]) == "RIFF" && string(file[8:12]) == "WEBP":
		c.webp(file)
	}
	return &c.Metadata, c.err
}

const (
	pngSignature = "\x89PNG\r\n\x1a\n"
	pngHeaderEnd = 8 + 12 + 13 // signature and IHDR chunk: iCCP must follow it and precede PLTE and IDAT
	pngXMP       = "XML:com.adobe.xmp\x00"

	jpegSOI  = "\xff\xd8"
	jpegEXIF = "Exif\x00\x00"
	jpegXMP  = "http://ns.adobe.com/xap/1.0/\x00"
	jpegICC  = "ICC_PROFILE\x00"

	jpegSegment = 65535 - 2 // payload of one marker segment: its 16-bit length counts itself

	iccHeader = 128
)

var errDamaged = errors.New("damaged")

// collector keeps the first sound block of each kind and the first error.
type collector struct {
	Metadata
	err error
}

func (c *collector) fail(what string, err error) {
	if c.err == nil {
		c.err = fmt.Errorf("picture: %s: %w", what, err)
	}
}

func (c *collector) icc(b []byte) {
	switch {
	case c.ICC != nil:
	case len(b) < iccHeader || string(b[36:40]) != "acsp" || int64(binary.BigEndian.Uint32(b)) > int64(len(b)):
		c.fail("icc profile", errDamaged)
	default:
		c.ICC = bytes.Clone(b)
	}
}

func (c *collector) exif(b []byte) {
	b = bytes.TrimPrefix(b, []byte(jpegEXIF)) // some writers keep the JPEG prefix in PNG and WebP
	switch {
	case c.EXIF != nil:
	case !bytes.HasPrefix(b, []byte("II*\x00")) && !bytes.HasPrefix(b, []byte("MM\x00*")):
		c.fail("exif", errDamaged)
	default:
		c.EXIF = bytes.Clone(b)
	}
}

func (c *collector) xmp(b []byte) {
	if c.XMP == nil && len(b) > 0 {
		c.XMP = bytes.Clone(b)
	}
}

// png walks the chunks of PNG (W3C Portable Network Graphics, third edition, 5 and 11.3). Checksums are the picture
// decoder's business.
func (c *collector) png(f []byte) {
	for f = f[len(pngSignature):]; len(f) >= 12; {
		n := uint64(binary.BigEndian.Uint32(f))
		if n > uint64(len(f)-12) {
			return
		}
		kind, data := string(f[4:8]), f[8:8+n]
		switch kind {
		case "iCCP": // name, 0, compression method, zlib stream
			if _, z, ok := bytes.Cut(data, []byte{0}); ok && len(z) > 1 && z[0] == 0 {
				c.inflate("icc profile", z[1:], c.icc)
			} else {
				c.fail("icc profile", errDamaged)
			}
		case "eXIf":
			c.exif(data)
		case "iTXt": // keyword, 0, compressed?, method, language, 0, translated keyword, 0, text
			rest, ok := bytes.CutPrefix(data, []byte(pngXMP))
			if !ok || len(rest) < 2 {
				break
			}
			compressed := rest[0] == 1
			_, rest, ok = bytes.Cut(rest[2:], []byte{0})
			if ok {
				_, rest, ok = bytes.Cut(rest, []byte{0})
			}
			switch {
			case !ok:
				c.fail("xmp", errDamaged)
			case compressed:
				c.inflate("xmp", rest, c.xmp)
			default:
				c.xmp(rest)
			}
		case "IEND":
			return
		}
		f = f[12+n:]
	}
}

func (c *collector) inflate(what string, z []byte, keep func([]byte)) {
	r, err := zlib.NewReader(bytes.NewReader(z))
	if err != nil {
		c.fail(what, errDamaged)
		return
	}
	b, err := io.ReadAll(io.LimitReader(r, MaxMetadata+1))
	switch {
	case err != nil:
		c.fail(what, errDamaged)
	case len(b) > MaxMetadata:
		c.fail(what, fmt.Errorf("more than %d bytes", MaxMetadata))
	default:
		keep(b)
	}
}

// jpeg walks the marker segments up to the first scan (ITU-T T.81, B.1.1). A profile longer than one segment comes in
// numbered pieces (ICC.1, B.4).
func (c *collector) jpeg(f []byte) {
	var pieces [256][]byte
	count := 0
	for f = f[len(jpegSOI):]; len(f) >= 4 && f[0] == 0xff; {
		marker := f[1]
		if marker == 0xff { // fill byte
			f = f[1:]
			continue
		}
		if marker == 0xda || marker == 0xd9 { // SOS, EOI
			break
		}
		if marker == 0x01 || marker >= 0xd0 && marker <= 0xd7 { // TEM, RSTn: no length
			f = f[2:]
			continue
		}
		n := int(binary.BigEndian.Uint16(f[2:]))
		if n < 2 || n+2 > len(f) {
			break
		}
		data := f[4 : 2+n]
		f = f[2+n:]
		switch {
		case marker == 0xe1 && bytes.HasPrefix(data, []byte(jpegEXIF)):
			c.exif(data)
			setUpright(c.EXIF)
		case marker == 0xe1 && bytes.HasPrefix(data, []byte(jpegXMP)):
			c.xmp(data[len(jpegXMP):])
		case marker == 0xe2 && bytes.HasPrefix(data, []byte(jpegICC)) && len(data) >= len(jpegICC)+2:
			pieces[data[len(jpegICC)]] = data[len(jpegICC)+2:]
			count = int(data[len(jpegICC)+1])
		}
	}
	if count == 0 {
		return
	}
	var icc []byte
	for _, p := range pieces[1 : count+1] {
		if p == nil {
			c.fail("icc profile", errDamaged)
			return
		}
		icc = append(icc, p...)
	}
	c.icc(icc)
}

// setUpright sets the orientation of an EXIF block to 1 (EXIF 2.3, 4.6.4: tag 0x0112 of the first directory).
func setUpright(b []byte) {
	const tag, short, upright = 0x0112, 3, 1
	if len(b) < 8 {
		return
	}
	var order binary.ByteOrder = binary.LittleEndian
	if b[0] == 'M' {
		order = binary.BigEndian
	}
	at := uint64(order.Uint32(b[4:]))
	if at+2 > uint64(len(b)) {
		return
	}
	n := order.Uint16(b[at:])
	for e := b[at+2:]; n > 0 && len(e) >= 12; e, n = e[12:], n-1 {
		if order.Uint16(e) == tag && order.Uint16(e[2:]) == short {
			order.PutUint16(e[8:], upright)
			return
		}
	}
}

// webp walks the RIFF chunks (RFC 9649, 2.7).
func (c *collector) webp(f []byte) {
	for f = f[12:]; len(f) >= 8; {
		n := uint64(binary.LittleEndian.Uint32(f[4:]))
		if n > uint64(len(f)-8) {
			return
		}
		kind, data := string(f[:4]), f[8:8+n]
		switch kind {
		case "ICCP":
			c.icc(data)
		case "EXIF":
			c.exif(data)
		case "XMP ":
			c.xmp(data)
		}
		f = f[min(uint64(len(f)), 8+n+n&1):]
	}
}

// PNGWriter returns a writer for the stream of a PNG encoder; what reaches w has the metadata in it, right after the header.
func (m *Metadata) PNGWriter(w io.Writer) io.Writer {
	if m.Empty() {
		return w
	}
	var b []byte
	if len(m.ICC) > 0 {
		var z bytes.Buffer
		z.WriteString("ICC profile\x00\x00")
		zw := zlib.NewWriter(&z)
		zw.Write(m.ICC) // a bytes.Buffer never fails
		zw.Close()
		b = appendPNGChunk(b, "iCCP", z.Bytes())
	}
	if len(m.EXIF) > 0 {
		b = appendPNGChunk(b, "eXIf", m.EXIF)
	}
	if len(m.XMP) > 0 {
		b = appendPNGChunk(b, "iTXt", append([]byte(pngXMP+"\x00\x00\x00\x00"), m.XMP...))
	}
	return &insertWriter{w: w, skip: pngHeaderEnd, insert: b}
}

func appendPNGChunk(b []byte, kind string, data []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	from := len(b)
	b = append(b, kind...)
	b = append(b, data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[from:]))
}

// JPEGWriter returns a writer for the stream of a JPEG encoder; what reaches w has the metadata in it, right after the start
// marker. EXIF and XMP must each fit into one marker segment (65,527 and 65,504 bytes), an ICC profile into 255: an error
// names the one that does not.
func (m *Metadata) JPEGWriter(w io.Writer) (io.Writer, error) {
	if m.Empty() {
		return w, nil
	}
	var b []byte
	segment := func(what string, marker byte, prefix string, data []byte) error {
		if len(prefix)+len(data) > jpegSegment {
			return fmt.Errorf("picture: %s of %d bytes is too long for a jpeg file", what, len(data))
		}
		b = append(b, 0xff, marker)
		b = binary.BigEndian.AppendUint16(b, uint16(2+len(prefix)+len(data)))
		b = append(b, prefix...)
		b = append(b, data...)
		return nil
	}
	if len(m.EXIF) > 0 {
		if err := segment("exif", 0xe1, jpegEXIF, m.EXIF); err != nil {
			return nil, err
		}
	}
	if len(m.XMP) > 0 {
		if err := segment("xmp", 0xe1, jpegXMP, m.XMP); err != nil {
			return nil, err
		}
	}
	const piece = jpegSegment - len(jpegICC) - 2
	count := (len(m.ICC) + piece - 1) / piece
	if count > 255 {
		return nil, fmt.Errorf("picture: icc profile of %d bytes is too long for a jpeg file", len(m.ICC))
	}
	for i := range count {
		data := m.ICC[i*piece : min((i+1)*piece, len(m.ICC))]
		if err := segment("icc profile", 0xe2, jpegICC+string([]byte{byte(i + 1), byte(count)}), data); err != nil {
			return nil, err
		}
	}
	return &insertWriter{w: w, skip: len(jpegSOI), insert: b}, nil
}

// insertWriter passes skip bytes through, then writes insert once, then passes the rest through.
type insertWriter struct {
	w      io.Writer
	skip   int
	insert []byte
}

func (w *insertWriter) Write(p []byte) (int, error) {
	if w.insert == nil {
		return w.w.Write(p)
	}
	head := min(w.skip, len(p))
	n, err := w.w.Write(p[:head])
	w.skip -= n
	if err != nil || w.skip > 0 {
		return n, err
	}
	if _, err := w.w.Write(w.insert); err != nil {
		return n, err
	}
	w.insert = nil
	if head == len(p) {
		return n, nil
	}
	m, err := w.w.Write(p[head:])
	return n + m, err
}
