package picture

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
	"path/filepath"
	"strings"
)

// DefaultJPEGQuality is used for JPEG output unless EncodeOptions say
// otherwise: high, because the picture has been through a codec already.
const DefaultJPEGQuality = 95

// EncodeOptions are the settings of Encode. A nil pointer and the zero value
// mean the defaults.
type EncodeOptions struct {
	JPEGQuality int // 1 to 100; 0 means DefaultJPEGQuality
}

// FormatOf returns the format to write for a file name, by its extension:
// .png, .jpg, .jpeg, .ppm and .pgm in any case; all others are an error.
func FormatOf(name string) (Format, error) {
	switch ext := strings.ToLower(filepath.Ext(name)); ext {
	case ".png":
		return PNG, nil
	case ".jpg", ".jpeg":
		return JPEG, nil
	case ".ppm":
		return PPM, nil
	case ".pgm":
		return PGM, nil
	case "":
		return "", fmt.Errorf("picture: no extension to tell the output format: use .png, .jpg, .ppm or .pgm")
	default:
		return "", fmt.Errorf("picture: cannot write %s: use .png, .jpg, .ppm or .pgm", ext)
	}
}

// Encode writes m in the given format: PNG, JPEG, PPM or PGM.
//
// JPEG, PPM and PGM have no alpha, so a picture with transparent parts is laid
// on white, as a page would show it. PGM turns colours to luma (BT.601, as
// color.GrayModel). PPM and PGM hold 16 bits where m does.
func Encode(w io.Writer, m image.Image, f Format, o *EncodeOptions) error {
	var err error
	switch f {
	case PNG:
		if l, ok := newPNGLayout(m); ok {
			err = l.writePNG(w)
		} else {
			err = png.Encode(w, m)
		}
	case JPEG:
		q := DefaultJPEGQuality
		if o != nil && o.JPEGQuality != 0 {
			q = o.JPEGQuality
		}
		if q < 1 || q > 100 {
			return fmt.Errorf("picture: encode jpeg: quality %d is not between 1 and 100", q)
		}
		err = jpeg.Encode(w, flatten(m), &jpeg.Options{Quality: q})
	case PPM, PGM:
		err = encodePNM(w, flatten(m), f == PGM)
	default:
		return fmt.Errorf("picture: cannot write format %q", f)
	}
	if err != nil {
		return fmt.Errorf("picture: encode %s: %w", f, err)
	}
	return nil
}

// flatten lays m on white unless it is opaque.
func flatten(m image.Image) image.Image {
	if o, ok := m.(interface{ Opaque() bool }); ok && o.Opaque() {
		return m
	}
	b := m.Bounds()
	var dst draw.Image = image.NewRGBA(b)
	if deep(m) {
		dst = image.NewRGBA64(b)
	}
	draw.Draw(dst, b, image.NewUniform(color.White), image.Point{}, draw.Src)
	draw.Draw(dst, b, m, b.Min, draw.Over)
	return dst
}

// deep tells whether m holds 16 bits a channel.
func deep(m image.Image) bool {
	switch m.ColorModel() {
	case color.Gray16Model, color.RGBA64Model, color.NRGBA64Model:
		return true
	}
	return false
}
