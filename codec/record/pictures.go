package record

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"strings"

	"github.com/aecodec/aecodec/codec/picture"
)

// ReadPictures reads the pictures right in a folder, in the order of their names,
// as records of Uint8: [height, width] if all are gray, else [height, width, 3].
// They must be of one size and opaque. Files that begin with a dot are passed
// over, anything else that is no picture is an error.
func ReadPictures(dir string) (*Set, error) {
	s, err := readPictures(dir)
	if err != nil {
		return nil, fmt.Errorf("record: pictures: %w", err)
	}
	return s, s.Check()
}

func readPictures(dir string) (*Set, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	var first image.Config
	gray := true
	for _, e := range entries {
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		c, err := readConfig(filepath.Join(dir, e.Name()))
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		case names == nil:
			first = c
		case c.Width != first.Width || c.Height != first.Height:
			return nil, fmt.Errorf("%s: %d x %d pixels, where %s has %d x %d",
				e.Name(), c.Width, c.Height, names[0], first.Width, first.Height)
		}
		gray = gray && (c.ColorModel == color.GrayModel || c.ColorModel == color.Gray16Model)
		names = append(names, e.Name())
	}
	if names == nil {
		return nil, errors.New("no pictures in the folder")
	}
	shape := []int{first.Height, first.Width, 3}
	if gray {
		shape = shape[:2]
	}
	if _, err := countValues(len(names), shape); err != nil {
		return nil, err
	}
	s := NewSet(Uint8, len(names), shape...)
	s.Origin = &Origin{Format: Pictures, Files: names}
	for i, name := range names {
		m, _, err := picture.ReadFile(filepath.Join(dir, name), nil)
		if err != nil {
			return nil, err
		}
		if m.Bounds().Dx() != first.Width || m.Bounds().Dy() != first.Height {
			return nil, fmt.Errorf("%s: has changed while it was read", name)
		}
		if err := loadPicture(s.Record(i), m, gray); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return s, nil
}

func readConfig(name string) (image.Config, error) {
	f, err := os.Open(name)
	if err != nil {
		return image.Config{}, err
	}
	defer f.Close()
	c, _, err := picture.DecodeConfig(f, nil)
	return c, err
}

func loadPicture(dst []float32, m image.Image, gray bool) error {
	b := m.Bounds()
	at := 0
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			r, g, b, a := m.At(x, y).RGBA()
			if a != 0xffff {
				return errors.New("is transparent")
			}
			dst[at] = float32(r >> 8)
			if at++; gray {
				continue
			}
			dst[at], dst[at+1] = float32(g>>8), float32(b>>8)
			at += 2
		}
	}
	return nil
}

// Picture returns record i of a set of Uint8 as a picture: gray for records of
// [height, width] or one channel, colour for three channels.
func (s *Set) Picture(i int) (image.Image, error) {
	d := s.Dims()
	if s.Kind != Uint8 || len(s.Shape) < 2 || d.C != 1 && d.C != 3 {
		return nil, fmt.Errorf("record: pictures: %v of %v are none", s.Kind, s.Shape)
	}
	v := s.Record(i)
	if d.C == 1 {
		m := image.NewGray(image.Rect(0, 0, d.W, d.H))
		for j, x := range v {
			m.Pix[j] = uint8(x)
		}
		return m, nil
	}
	m := image.NewNRGBA(image.Rect(0, 0, d.W, d.H))
	for j := range d.W * d.H {
		m.Pix[4*j], m.Pix[4*j+1], m.Pix[4*j+2], m.Pix[4*j+3] = uint8(v[3*j]), uint8(v[3*j+1]), uint8(v[3*j+2]), 255
	}
	return m, nil
}

// PictureName returns a name for record i as a PNG file: that of the picture it
// came from, or its number.
func (s *Set) PictureName(i int) string {
	if s.Origin == nil || s.Origin.Files == nil {
		return fmt.Sprintf("%06d.png", i)
	}
	name := s.Origin.Files[i]
	if strings.EqualFold(filepath.Ext(name), ".png") {
		return name
	}
	return name + ".png" // a.jpg and a.bmp stay apart
}
