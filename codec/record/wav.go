package record

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// WAV files are RIFF chunks (IBM and Microsoft, Multimedia Programming Interface
// and Data Specifications 1.0, 1991), the newer ones with
// WAVE_FORMAT_EXTENSIBLE.
const (
	wavPCM        = 1
	wavFloat      = 3
	wavExtensible = 0xfffe

	wavGain     = 1 << 15 // full scale is 1
	maxChannelN = 1 << 10
)

// ReadWAV reads a WAV file of 16-bit PCM or 32-bit float and cuts it into windows
// of o.Window samples. Full scale is ±1.
func ReadWAV(r io.Reader, o *ReadOptions) (*Set, error) {
	s, err := readWAV(bufio.NewReader(r), o.resolve())
	if err != nil {
		return nil, fmt.Errorf("record: wav: %w", err)
	}
	s.Origin.Format = WAV
	return s, s.Check()
}

func readWAV(r *bufio.Reader, o *ReadOptions) (*Set, error) {
	if err := o.needWindow(); err != nil {
		return nil, err
	}
	head := make([]byte, 12)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, fmt.Errorf("header: %w", noEOF(err))
	}
	if string(head[:4]) != "RIFF" || string(head[8:]) != "WAVE" {
		return nil, errors.New("no WAV file")
	}
	var form []byte
	for {
		if _, err := io.ReadFull(r, head[:8]); err != nil {
			return nil, fmt.Errorf("no samples: %w", noEOF(err))
		}
		size := int64(binary.LittleEndian.Uint32(head[4:]))
		switch string(head[:4]) {
		case "fmt ":
			if size < 16 || size > 64 {
				return nil, fmt.Errorf("format of %d bytes", size)
			}
			form = make([]byte, size+size&1)
			if _, err := io.ReadFull(r, form); err != nil {
				return nil, fmt.Errorf("format: %w", noEOF(err))
			}
		case "data":
			if form == nil {
				return nil, errors.New("samples before their format")
			}
			return readWAVSamples(r, form, size, o)
		default:
			if _, err := io.CopyN(io.Discard, r, size+size&1); err != nil {
				return nil, fmt.Errorf("chunk %q: %w", head[:4], noEOF(err))
			}
		}
	}
}

func readWAVSamples(r io.Reader, form []byte, size int64, o *ReadOptions) (*Set, error) {
	tag, bits := binary.LittleEndian.Uint16(form), binary.LittleEndian.Uint16(form[14:])
	if tag == wavExtensible && len(form) >= 26 {
		tag = binary.LittleEndian.Uint16(form[24:])
	}
	channels := int(binary.LittleEndian.Uint16(form[2:]))
	origin := &Origin{Rate: int(binary.LittleEndian.Uint32(form[4:]))}
	width := int64(bits / 8)
	var get func([]byte) float32
	switch {
	case tag == wavPCM && bits == 16:
		origin.Gain = wavGain
		get = func(b []byte) float32 { return origin.value(int16(binary.LittleEndian.Uint16(b))) }
	case tag == wavFloat && bits == 32:
		get = func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }
	default:
		return nil, fmt.Errorf("format %d of %d bits: only 16-bit PCM and 32-bit float are supported", tag, bits)
	}
	switch {
	case channels < 1 || channels > maxChannelN:
		return nil, fmt.Errorf("%d channels", channels)
	case size%(width*int64(channels)) != 0:
		return nil, fmt.Errorf("%d bytes are no whole samples of %d channels", size, channels)
	case size/width > MaxValues:
		return nil, fmt.Errorf("%d samples, at most %d", size/width, MaxValues)
	}
	v, err := readValues(r, int(size/width), int(width), get)
	if err != nil {
		return nil, err
	}
	s, err := cutWindows(v, channels, o.Window, o.Stride)
	if err != nil {
		return nil, err
	}
	origin.Series = s.Origin.Series
	s.Origin = origin
	return s, nil
}

// WriteWAV writes the series that the records are windows of, or else the records
// one after the other, with Origin.Rate samples a second: 16-bit PCM where that
// is what they came from, else 32-bit float.
func WriteWAV(w io.Writer, s *Set) error {
	d := s.Dims()
	switch {
	case s.Origin == nil || s.Origin.Rate < 1:
		return errors.New("record: wav: the number of samples a second is not known")
	case d.H != 1 || d.C > maxChannelN:
		return fmt.Errorf("record: wav: records of %v are no samples of a few channels", s.Shape)
	}
	v := s.samples()
	tag, width := uint16(wavFloat), 4
	put := func(b []byte, x float32) []byte { return binary.LittleEndian.AppendUint32(b, math.Float32bits(x)) }
	if s.samples16() {
		tag, width = wavPCM, 2
		put = func(b []byte, x float32) []byte {
			return binary.LittleEndian.AppendUint16(b, uint16(s.Origin.sample(x)))
		}
	}
	le := binary.LittleEndian
	size := uint32(len(v) * width)
	b := append([]byte("RIFF"), le.AppendUint32(nil, 36+size)...)
	b = append(b, "WAVEfmt "...)
	b = le.AppendUint32(b, 16)
	b = le.AppendUint16(b, tag)
	b = le.AppendUint16(b, uint16(d.C))
	b = le.AppendUint32(b, uint32(s.Origin.Rate))
	b = le.AppendUint32(b, uint32(s.Origin.Rate*d.C*width))
	b = le.AppendUint16(b, uint16(d.C*width))
	b = le.AppendUint16(b, uint16(8*width))
	b = append(b, "data"...)
	b = le.AppendUint32(b, size)
	if _, err := w.Write(b); err != nil {
		return err
	}
	return writeValues(w, v, put)
}

// ReadInt16 reads raw samples of 16 bits, little endian, o.Channels of them
// interleaved, and cuts them into windows of o.Window. A value is
// (sample - o.Zero)/o.Gain.
func ReadInt16(r io.Reader, o *ReadOptions) (*Set, error) {
	s, err := readInt16(bufio.NewReader(r), o.resolve())
	if err != nil {
		return nil, fmt.Errorf("record: int16: %w", err)
	}
	return s, s.Check()
}

func readInt16(r *bufio.Reader, o *ReadOptions) (*Set, error) {
	if err := o.needWindow(); err != nil {
		return nil, err
	}
	origin := &Origin{Format: Int16, Rate: o.Rate, Gain: o.Gain, Zero: o.Zero}
	switch {
	case o.Channels < 1 || o.Channels > maxChannelN:
		return nil, fmt.Errorf("%d channels", o.Channels)
	case !(o.Gain >= 1e-30 && o.Gain <= 1e30):
		return nil, fmt.Errorf("gain %g is not positive", o.Gain)
	}
	var v []float32
	var b [2]byte
	for {
		_, err := io.ReadFull(r, b[:])
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("half a sample at the end: %w", err)
		}
		if len(v) == MaxValues {
			return nil, fmt.Errorf("more than %d samples", MaxValues)
		}
		v = append(v, origin.value(int16(binary.LittleEndian.Uint16(b[:]))))
	}
	if len(v)%o.Channels != 0 {
		return nil, fmt.Errorf("%d numbers are no whole samples of %d channels", len(v), o.Channels)
	}
	s, err := cutWindows(v, o.Channels, o.Window, o.Stride)
	if err != nil {
		return nil, err
	}
	origin.Series = s.Origin.Series
	s.Origin = origin
	return s, nil
}

// WriteInt16 writes raw samples of 16 bits, little endian, as [ReadInt16] reads
// them. Sets that do not come from samples have no gain and are refused.
func WriteInt16(w io.Writer, s *Set) error {
	if !s.samples16() {
		return errors.New("record: int16: the values come from no 16-bit samples, so their unit is not known")
	}
	return writeValues(w, s.samples(), func(b []byte, x float32) []byte {
		return binary.LittleEndian.AppendUint16(b, uint16(s.Origin.sample(x)))
	})
}
