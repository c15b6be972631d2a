package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/aecodec/aecodec/format"
	"github.com/stretchr/testify/require"
)

// smallFile is a file with every kind of chunk.
func smallFile(t testing.TB) []byte {
	src := picture(37, 21)
	for i := 3; i < len(src.Pix); i += 4 {
		src.Pix[i] = uint8(i)
	}
	return encode(t, src, &Options{Effort: 2, Quality: 30, Model: smallModel(), EXIF: []byte("exif")})
}

func tryDecode(data []byte) error {
	d := NewDecoder(&DecoderOptions{Models: []*Model{smallModel()}, ModelDirs: []string{}, Threads: 1})
	_, err := d.Decode(bytes.NewReader(data))
	return err
}

func TestTruncation(t *testing.T) {
	data := smallFile(t)
	require.NoError(t, tryDecode(data))
	for n := range data {
		err := tryDecode(data[:n])
		require.ErrorIs(t, err, format.ErrFormat, "%d of %d bytes", n, len(data))
	}
}

func TestBitFlips(t *testing.T) {
	data := smallFile(t)
	for i := range 8 * len(data) {
		data[i/8] ^= 1 << (i % 8)
		require.Error(t, tryDecode(data), "bit %d of byte %d", i%8, i/8)
		data[i/8] ^= 1 << (i % 8)
	}
	require.NoError(t, tryDecode(data))
}

// rewrite copies a file with its header and chunks changed and all checksums
// right, as an attacker would.
func rewrite(t testing.TB, data []byte, header func(*format.Header), chunk func(c *format.Chunk) bool) []byte {
	t.Helper()
	r, err := format.NewReader(bytes.NewReader(data), nil)
	require.NoError(t, err)
	h := r.Header()
	if header != nil {
		header(&h)
	}
	var b bytes.Buffer
	w, err := format.NewWriter(&b, &h)
	require.NoError(t, err)
	for {
		c, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if chunk == nil || chunk(&c) {
			require.NoError(t, w.WriteChunk(c.Type, c.Data))
		}
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

// Damage that no checksum catches.
func TestForgedFiles(t *testing.T) {
	data := smallFile(t)
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 300 {
		forged := rewrite(t, data, nil, func(c *format.Chunk) bool {
			c.Data = bytes.Clone(c.Data)
			if (c.Type == format.ChunkTile) == (i%4 != 0) && len(c.Data) > 0 {
				switch i % 3 {
				case 0:
					c.Data[rng.IntN(len(c.Data))] ^= 1 << rng.IntN(8)
				case 1:
					c.Data = c.Data[:rng.IntN(len(c.Data))]
				case 2:
					for range 3 {
						c.Data[rng.IntN(len(c.Data))] = byte(rng.Uint32())
					}
				}
			}
			return true
		})
		if err := tryDecode(forged); err != nil {
			require.NotContains(t, err.Error(), "\n")
		}
	}
	for name, forged := range map[string][]byte{
		"wider":      rewrite(t, data, func(h *format.Header) { h.Width = 70 }, nil),
		"higher":     rewrite(t, data, func(h *format.Header) { h.Height = 1024 }, nil),
		"tile size":  rewrite(t, data, func(h *format.Header) { h.TileLog2 = 9 }, nil),
		"gray alpha": rewrite(t, data, func(h *format.Header) { h.Channels = 1 }, nil),
		"quality":    rewrite(t, data, func(h *format.Header) { h.Quality = 9000 }, nil),
		"empty tile": rewrite(t, data, nil, func(c *format.Chunk) bool {
			if c.Type == format.ChunkTile {
				c.Data = nil
			}
			return true
		}),
		"kind of tile": rewrite(t, data, nil, func(c *format.Chunk) bool {
			if c.Type == format.ChunkTile {
				c.Data = append([]byte{9}, c.Data[1:]...)
			}
			return true
		}),
		"length of z": rewrite(t, data, nil, func(c *format.Chunk) bool {
			if c.Type == format.ChunkTile {
				c.Data = binary.AppendUvarint([]byte{0}, 1<<62)
			}
			return true
		}),
	} {
		require.ErrorIs(t, tryDecode(forged), format.ErrFormat, name)
	}
}

func TestLimits(t *testing.T) {
	data := encode(t, picture(100, 50), &Options{Model: smallModel()})
	for pixels, ok := range map[int64]bool{5000: true, 4999: false} {
		d := NewDecoder(&DecoderOptions{Models: []*Model{smallModel()}, Limits: format.Limits{MaxPixels: pixels}})
		_, err := d.Decode(bytes.NewReader(data))
		if ok {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, format.ErrLimit)
		}
	}
}

// The memory of a picture one pixel high is that of 16 rows.
func TestNarrowPictures(t *testing.T) {
	require.NoError(t, checkArea(1, 60000, 1<<16))
	require.ErrorIs(t, checkArea(1, 1<<24, 1<<24), format.ErrLimit)
	require.ErrorIs(t, checkArea(1<<28, 1, 0), format.ErrLimit)
	require.NoError(t, checkArea(1<<14, 1<<14, 0))
}

func TestUnknownModel(t *testing.T) {
	p, err := smallArch().Init(77)
	require.NoError(t, err)
	other, err := NewModel(smallArch(), p, nil, &Record{Name: "other"})
	require.NoError(t, err)
	data := encode(t, picture(20, 20), &Options{Model: other})

	dir := filepath.Join(t.TempDir(), "mo[d]els")
	d := NewDecoder(&DecoderOptions{Models: []*Model{smallModel()}, ModelDirs: []string{dir}})
	_, err = d.Decode(bytes.NewReader(data))
	var unknown *UnknownModelError
	require.ErrorAs(t, err, &unknown)
	require.Equal(t, "other", unknown.Name)
	require.Equal(t, other.Fingerprint(), unknown.Fingerprint)
	require.Contains(t, err.Error(), dir+" (no such folder)")
	require.Contains(t, err.Error(), "embedded model")
	info, err := d.DecodeInfo(bytes.NewReader(data))
	require.NoError(t, err)
	require.Nil(t, info.Model)
	require.Equal(t, "other", info.Header.Model)

	// A folder with a broken file and with the model under another name.
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "other.aem"), []byte("not a model"), 0o644))
	_, err = d.Decode(bytes.NewReader(data))
	require.ErrorContains(t, err, "(1 files, 1 unreadable)")
	f, err := os.Create(filepath.Join(dir, "a.aem"))
	require.NoError(t, err)
	require.NoError(t, other.Save(f, true))
	require.NoError(t, f.Close())
	_, err = d.Decode(bytes.NewReader(data))
	require.NoError(t, err)
	registered.Delete(other.print)
}

func FuzzDecode(f *testing.F) {
	f.Add(smallFile(f))
	f.Add(encode(f, picture(5, 5), &Options{Model: smallModel()}))
	f.Add([]byte{})
	d := NewDecoder(&DecoderOptions{
		Models: []*Model{smallModel()}, ModelDirs: []string{}, Threads: 1,
		Limits: format.Limits{MaxPixels: 1 << 14, MaxChunk: 1 << 16},
	})
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := d.Decode(bytes.NewReader(data)); err == nil {
			require.LessOrEqual(t, m.Bounds().Dx()*m.Bounds().Dy(), 1<<14)
		}
		DecodeConfig(bytes.NewReader(data))
	})
}

// FuzzChunks reaches what checksums hide from FuzzDecode.
func FuzzChunks(f *testing.F) {
	base := smallFile(f)
	rewrite(f, base, nil, func(c *format.Chunk) bool {
		f.Add(byte(c.Type), bytes.Clone(c.Data))
		return true
	})
	f.Fuzz(func(t *testing.T, kind byte, payload []byte) {
		forged := rewrite(t, base, nil, func(c *format.Chunk) bool {
			if byte(c.Type) == kind {
				c.Data = payload
			}
			return true
		})
		tryDecode(forged)
	})
}
