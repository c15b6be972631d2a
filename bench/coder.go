package bench

import (
	"image"
	"io"

	"github.com/aecodec/aecodec/codec"
)

// coder turns pictures into files and back. RD knows no more than this about
// what it measures, so that its own tests can do without a trained model.
type coder struct {
	ext    string
	encode func(w io.Writer, m image.Image, quality float64) error
	decode func(r io.Reader) (image.Image, error)
}

// newCoder is the codec with the given options but for the quality.
func newCoder(o codec.Options) *coder {
	d := codec.NewDecoder(&codec.DecoderOptions{Models: models(o.Model), Threads: o.Threads})
	return &coder{
		ext: ".aec",
		encode: func(w io.Writer, m image.Image, quality float64) error {
			o := o
			o.Quality = quality
			return codec.Encode(w, m, &o)
		},
		decode: d.Decode,
	}
}

// models is the list a decoder needs beside the models it finds by itself.
func models(m *codec.Model) []*codec.Model {
	if m == nil {
		return nil
	}
	return []*codec.Model{m}
}
