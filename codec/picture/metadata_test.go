package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/jpeg"
	"image/png"
	"testing"

	"github.com/stretchr/testify/require"
)

// testICC returns a profile that is a header and noise, n bytes long.
func testICC(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * i >> 3)
	}
	binary.BigEndian.PutUint32(b, uint32(n))
	copy(b[16:], "RGB ")
	copy(b[36:], "acsp")
	return b
}

// testEXIF returns a block with one entry, the orientation.
func testEXIF(order binary.AppendByteOrder, orientation uint16) []byte {
	b := []byte("II*\x00")
	if order == binary.BigEndian {
		b = []byte("MM\x00*")
	}
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, 1)
	b = order.AppendUint16(b, 0x0112)
	b = order.AppendUint16(b, 3)
	b = order.AppendUint32(b, 1)
	b = order.AppendUint16(b, orientation)
	b = order.AppendUint16(b, 0)
	return order.AppendUint32(b, 0)
}

func testImage() *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, 3, 2))
	for i := range m.Pix {
		m.Pix[i] = byte(40 * i)
	}
	for i := 3; i < len(m.Pix); i += 4 {
		m.Pix[i] = 255
	}
	return m
}

func encodeWith(t *testing.T, name string, m *Metadata) []byte {
	t.Helper()
	var b bytes.Buffer
	if name == "png" {
		require.NoError(t, png.Encode(m.PNGWriter(&b), testImage()))
	} else {
		w, err := m.JPEGWriter(&b)
		require.NoError(t, err)
		require.NoError(t, jpeg.Encode(w, testImage(), nil))
	}
	return b.Bytes()
}

func TestMetadataRoundTrip(t *testing.T) {
	for _, name := range []string{"png", "jpeg"} {
		for _, want := range []*Metadata{
			{},
			{ICC: testICC(128)},
			{ICC: testICC(200_000)}, // four JPEG segments
			{EXIF: testEXIF(binary.LittleEndian, 1)},
			{XMP: []byte("<x:xmpmeta/>")},
			{ICC: testICC(3144), EXIF: testEXIF(binary.BigEndian, 1), XMP: []byte("<x:xmpmeta>é</x:xmpmeta>")},
		} {
			file := encodeWith(t, name, want)
			got, err := ReadMetadata(file)
			require.NoError(t, err)
			require.Equal(t, want, got)
			m, kind, err := image.Decode(bytes.NewReader(file))
			require.NoError(t, err, "the file must stay readable")
			require.Equal(t, name, kind)
			require.Equal(t, image.Pt(3, 2), m.Bounds().Size())
		}
	}
}

func TestMetadataWriterAnyChunking(t *testing.T) {
	m := &Metadata{EXIF: testEXIF(binary.LittleEndian, 1)}
	want := encodeWith(t, "png", m)
	plain := encodeWith(t, "png", &Metadata{})
	for step := 1; step < 50; step++ {
		var b bytes.Buffer
		w := m.PNGWriter(&b)
		for at := 0; at < len(plain); at += step {
			p := plain[at:min(at+step, len(plain))]
			n, err := w.Write(p)
			require.NoError(t, err)
			require.Equal(t, len(p), n)
		}
		require.Equal(t, want, b.Bytes())
	}
}

func TestMetadataTooLongForJPEG(t *testing.T) {
	for what, m := range map[string]*Metadata{
		"exif":        {EXIF: make([]byte, 65_528)},
		"xmp":         {XMP: make([]byte, 65_505)},
		"icc profile": {ICC: make([]byte, 255*65_519+1)},
	} {
		_, err := m.JPEGWriter(&bytes.Buffer{})
		require.ErrorContains(t, err, what)
	}
	for _, m := range []*Metadata{{EXIF: make([]byte, 65_527)}, {XMP: make([]byte, 65_504)}, {ICC: make([]byte, 255*65_519)}} {
		_, err := m.JPEGWriter(&bytes.Buffer{})
		require.NoError(t, err)
	}
}

func TestMetadataDamaged(t *testing.T) {
	all := &Metadata{ICC: testICC(70_000), EXIF: testEXIF(binary.LittleEndian, 1), XMP: []byte("<x/>")}
	for _, name := range []string{"png", "jpeg"} {
		file := encodeWith(t, name, all)
		for n := range 400 { // every cut through the headers
			got, _ := ReadMetadata(file[:n])
			require.NotNil(t, got)
		}
	}

	file := encodeWith(t, "jpeg", all)
	i := bytes.Index(file, []byte("ICC_PROFILE\x00\x02"))
	file[i] = 'x' // the second piece is no longer one
	got, err := ReadMetadata(file)
	require.ErrorIs(t, err, errDamaged)
	require.Nil(t, got.ICC)
	require.Equal(t, all.EXIF, got.EXIF, "the rest is still read")

	bomb := &Metadata{ICC: make([]byte, MaxMetadata+1)}
	copy(bomb.ICC, testICC(128))
	_, err = ReadMetadata(encodeWith(t, "png", bomb))
	require.ErrorContains(t, err, "icc profile: more than")

	got, err = ReadMetadata([]byte("not a picture"))
	require.NoError(t, err)
	require.True(t, got.Empty())
}

func TestMetadataWebP(t *testing.T) {
	chunk := func(kind string, data []byte) []byte {
		b := binary.LittleEndian.AppendUint32([]byte(kind), uint32(len(data)))
		b = append(b, data...)
		return append(b, make([]byte, len(data)&1)...)
	}
	want := &Metadata{ICC: testICC(129), EXIF: testEXIF(binary.LittleEndian, 2), XMP: []byte("<x/>")}
	body := bytes.Join([][]byte{chunk("ICCP", want.ICC), chunk("EXIF", want.EXIF), chunk("XMP ", want.XMP)}, nil)
	file := append([]byte("RIFF\x00\x00\x00\x00WEBP"), body...)
	got, err := ReadMetadata(file)
	require.NoError(t, err)
	require.Equal(t, want, got)
	for n := range file {
		got, _ := ReadMetadata(file[:n])
		require.NotNil(t, got)
	}
}

func TestICCColorSpace(t *testing.T) {
	require.Equal(t, "RGB", (&Metadata{ICC: testICC(128)}).ICCColorSpace())
	require.Equal(t, "", (&Metadata{}).ICCColorSpace())
}

// Decode turns a JPEG upright, so EXIF must not ask for it once more.
func TestMetadataUprightJPEG(t *testing.T) {
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		for o := uint16(1); o <= 8; o++ {
			m := &Metadata{EXIF: testEXIF(order, o)}
			got, err := ReadMetadata(encodeWith(t, "jpeg", m))
			require.NoError(t, err)
			require.Equal(t, testEXIF(order, 1), got.EXIF)
			got, err = ReadMetadata(encodeWith(t, "png", m))
			require.NoError(t, err)
			require.Equal(t, m.EXIF, got.EXIF, "the pixels of a PNG stay as they are stored")
		}
	}
	exif := testEXIF(binary.LittleEndian, 6)
	for n := range exif {
		require.NotPanics(t, func() { setUpright(exif[:n]) })
	}
	binary.LittleEndian.PutUint32(exif[4:], 0xffffffff)
	require.NotPanics(t, func() { setUpright(exif) })
}

type brokenWriter struct{ after int }

var errBroken = errors.New("broken")

func (w *brokenWriter) Write(p []byte) (int, error) {
	if len(p) > w.after {
		n := w.after
		w.after = 0
		return n, errBroken
	}
	w.after -= len(p)
	return len(p), nil
}

func TestMetadataWriterPassesErrors(t *testing.T) {
	m := &Metadata{XMP: []byte("<x/>")}
	for n := range 100 {
		w, err := m.JPEGWriter(&brokenWriter{after: n})
		require.NoError(t, err)
		require.ErrorIs(t, jpeg.Encode(w, testImage(), nil), errBroken)
	}
}
