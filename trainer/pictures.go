package trainer

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // input format
	_ "image/png"  // input format
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	_ "golang.org/x/image/webp" // input format

	"github.com/aecodec/aecodec/kernels"
)

// maxPicturePixels refuses pictures that would take more than 3 GB decoded.
const maxPicturePixels = 1 << 30

// picture is one file of a training or validation set.
type picture struct {
	path          string
	width, height int

	mu  sync.Mutex
	rgb []byte // 3 bytes a pixel, row by row; nil while not cached
	err error  // why the file can't be decoded
}

// pictures is a set of files in a fixed order. Decoded pictures are kept up to
// a limit of bytes, first come, first kept, so that no file is ever evicted and
// decoded again while another one stays.
type pictures struct {
	list  []*picture
	limit int64
	used  atomic.Int64
}

// scanPictures lists the PNG, JPEG and WebP files below the folders (or named
// directly), folder by folder and in each by path, so that the order does not
// depend on where a folder lies. Only headers are read. Files that are no
// pictures in spite of their name are left out and returned as warnings; a
// folder without any picture is an error.
func scanPictures(roots []string, cacheBytes int64, threads int) (set *pictures, warnings []error, err error) {
	set = &pictures{limit: cacheBytes}
	for _, root := range roots {
		var list []*picture
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			switch strings.ToLower(filepath.Ext(path)) {
			case ".png", ".jpg", ".jpeg", ".webp":
				if !d.IsDir() {
					list = append(list, &picture{path: path})
				}
			}
			return nil
		})
		if err != nil {
			return nil, nil, fmt.Errorf("trainer: data: %w", err)
		}
		kernels.For(threads, len(list), 1, func(lo, hi int) {
			for _, p := range list[lo:hi] {
				p.width, p.height, p.err = pictureSize(p.path)
			}
		})
		good := 0
		for _, p := range list {
			if p.err != nil {
				warnings = append(warnings, p.err)
				continue
			}
			set.list = append(set.list, p)
			good++
		}
		if good == 0 {
			return nil, warnings, fmt.Errorf("trainer: data: %s: no PNG, JPEG or WebP pictures", root)
		}
	}
	if len(set.list) == 0 {
		return nil, warnings, errors.New("trainer: data: no folder given")
	}
	return set, warnings, nil
}

func pictureSize(path string) (w, h int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, fmt.Errorf("trainer: data: %w", err)
	}
	defer f.Close()
	c, _, err := image.DecodeConfig(f)
	if err != nil {
		return 0, 0, fmt.Errorf("trainer: data: %s: %w", path, err)
	}
	if c.Width <= 0 || c.Height <= 0 || int64(c.Width)*int64(c.Height) > maxPicturePixels {
		return 0, 0, fmt.Errorf("trainer: data: %s: %d x %d pixels is outside the limits", path, c.Width, c.Height)
	}
	return c.Width, c.Height, nil
}

// pixels returns the picture's 8-bit RGB pixels, from the cache where they are.
// The result is shared and must not be changed.
func (s *pictures) pixels(p *picture) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rgb != nil || p.err != nil {
		return p.rgb, p.err
	}
	rgb, err := decodeRGB(p.path, p.width, p.height)
	if err != nil {
		p.err = err
		return nil, err
	}
	if size := int64(len(rgb)); s.used.Add(size) <= s.limit {
		p.rgb = rgb
	} else {
		s.used.Add(-size)
	}
	return rgb, nil
}

func decodeRGB(path string, w, h int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("trainer: data: %w", err)
	}
	defer f.Close()
	m, _, err := image.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("trainer: data: %s: %w", path, err)
	}
	b := m.Bounds()
	if b.Dx() != w || b.Dy() != h {
		return nil, fmt.Errorf("trainer: data: %s: %d x %d pixels, header says %d x %d", path, b.Dx(), b.Dy(), w, h)
	}
	dst := make([]byte, 3*w*h)
	toRGB(dst, m)
	return dst, nil
}

// toRGB writes the colours of m, row by row, 8 bits each and without regard to
// opacity: what a codec stores next to an alpha channel.
func toRGB(dst []byte, m image.Image) {
	b := m.Bounds()
	i := 0
	put := func(r, g, b byte) {
		d := dst[i : i+3 : i+3]
		d[0], d[1], d[2] = r, g, b
		i += 3
	}
	rgba, _ := m.(*image.RGBA)
	opaque := rgba != nil && rgba.Opaque()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		switch m := m.(type) {
		case *image.YCbCr:
			for x := b.Min.X; x < b.Max.X; x++ {
				yi, ci := m.YOffset(x, y), m.COffset(x, y)
				put(color.YCbCrToRGB(m.Y[yi], m.Cb[ci], m.Cr[ci]))
			}
		case *image.Gray:
			for _, v := range m.Pix[m.PixOffset(b.Min.X, y):][:b.Dx()] {
				put(v, v, v)
			}
		case *image.NRGBA:
			for p := m.Pix[m.PixOffset(b.Min.X, y):][:4*b.Dx()]; len(p) > 0; p = p[4:] {
				put(p[0], p[1], p[2])
			}
		case *image.RGBA:
			if opaque {
				for p := m.Pix[m.PixOffset(b.Min.X, y):][:4*b.Dx()]; len(p) > 0; p = p[4:] {
					put(p[0], p[1], p[2])
				}
				continue
			}
			for x := b.Min.X; x < b.Max.X; x++ {
				c := color.NRGBAModel.Convert(m.RGBAAt(x, y)).(color.NRGBA)
				put(c.R, c.G, c.B)
			}
		default:
			for x := b.Min.X; x < b.Max.X; x++ {
				c := color.NRGBAModel.Convert(m.At(x, y)).(color.NRGBA)
				put(c.R, c.G, c.B)
			}
		}
	}
}
