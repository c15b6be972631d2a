package codec_test

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"log"
	"os"

	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/format"
)

// photo is a picture to play with.
func photo() image.Image {
	f, err := os.Open("../testdata/kodim23-crop.png")
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	m, err := png.Decode(f)
	if err != nil {
		log.Fatal(err)
	}
	return m
}

func Example() {
	var file bytes.Buffer
	if err := codec.Encode(&file, photo(), nil); err != nil {
		log.Fatal(err)
	}
	m, err := codec.Decode(&file)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Bounds().Size())
	// Output: (128,96)
}

func ExampleEncode() {
	var small, large bytes.Buffer
	m := photo()
	if err := codec.Encode(&small, m, &codec.Options{Quality: 10}); err != nil {
		log.Fatal(err)
	}
	if err := codec.Encode(&large, m, &codec.Options{Quality: 90}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(small.Len() < large.Len())
	// Output: true
}

// A program that imports this package reads .aec files with image.Decode.
func ExampleDecode() {
	var file bytes.Buffer
	if err := codec.Encode(&file, photo(), nil); err != nil {
		log.Fatal(err)
	}
	m, name, err := image.Decode(&file)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(name, m.Bounds().Size())
	// Output: aec (128,96)
}

// The size of a picture is in the file's header; nothing is decoded.
func ExampleDecodeConfig() {
	var file bytes.Buffer
	if err := codec.Encode(&file, image.NewGray(image.Rect(0, 0, 40, 30)), nil); err != nil {
		log.Fatal(err)
	}
	c, err := codec.DecodeConfig(&file)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.Width, c.Height, c.ColorModel == color.GrayModel)
	// Output: 40 30 true
}

// An Encoder keeps its settings from picture to picture.
func ExampleEncoder() {
	enc, err := codec.NewEncoder(&codec.Options{Quality: 75, Threads: 1})
	if err != nil {
		log.Fatal(err)
	}
	for _, side := range []int{16, 32} {
		var file bytes.Buffer
		if err := enc.Encode(&file, image.NewNRGBA(image.Rect(0, 0, side, side))); err != nil {
			log.Fatal(err)
		}
		c, err := codec.DecodeConfig(&file)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(c.Width, c.Height)
	}
	// Output:
	// 16 16
	// 32 32
}

// A Decoder for icons from strangers accepts 128x128 pixels at most.
func ExampleDecoder() {
	var file bytes.Buffer
	if err := codec.Encode(&file, image.NewGray(image.Rect(0, 0, 160, 120)), nil); err != nil {
		log.Fatal(err)
	}
	dec := codec.NewDecoder(&codec.DecoderOptions{Limits: format.Limits{MaxPixels: 128 * 128}})
	_, err := dec.Decode(&file)
	fmt.Println(errors.Is(err, format.ErrLimit))
	// Output: true
}

// What is in a file: sizes, metadata, and whether its model is at hand.
func ExampleDecoder_DecodeInfo() {
	var file bytes.Buffer
	err := codec.Encode(&file, photo(), &codec.Options{Quality: 33.3, XMP: []byte("<x:xmpmeta/>")})
	if err != nil {
		log.Fatal(err)
	}
	info, err := codec.NewDecoder(nil).DecodeInfo(&file)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.Header.Width, info.Header.Height, info.Header.Quality, info.Model.Name(), string(info.XMP))
	// Output: 128 96 3330 photo <x:xmpmeta/>
}

// A file says which of the embedded models it needs.
func ExampleOptions_tune() {
	var file bytes.Buffer
	if err := codec.Encode(&file, photo(), &codec.Options{Quality: 40, Tune: codec.TuneSSIM}); err != nil {
		log.Fatal(err)
	}
	info, err := codec.NewDecoder(nil).DecodeInfo(bytes.NewReader(file.Bytes()))
	if err != nil {
		log.Fatal(err)
	}
	picture, err := codec.Decode(&file)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.Header.Model, picture.Bounds().Size())
	// Output: photo-ssim (128,96)
}

// Receivers need the decoder half of a model only.
func ExampleModel_Save() {
	m, err := codec.DefaultModel()
	if err != nil {
		log.Fatal(err)
	}
	var decoder bytes.Buffer
	if err := m.Save(&decoder, true); err != nil {
		log.Fatal(err)
	}
	receiver, err := codec.LoadModel(&decoder)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(receiver.CanEncode(), receiver.Fingerprint() == m.Fingerprint())
	codec.RegisterModel(receiver) // now Decode and image.Decode know it
	// Output: false true
}
