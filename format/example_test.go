package format_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/aecodec/aecodec/format"
)

// An image file is a header and chunks.
func Example() {
	var file bytes.Buffer
	w, err := format.NewWriter(&file, &format.Header{
		Kind: format.KindImage, Width: 640, Height: 480, Channels: 3, Depth: 8,
		TileLog2: 10, Quality: 5000, Model: "photo",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	w.WriteChunk(format.ChunkComment, []byte("hello"))
	w.WriteChunk(format.ChunkTile, []byte("latents"))
	if err := w.Close(); err != nil { // reports what failed before, too
		fmt.Println(err)
		return
	}

	r, err := format.NewReader(&file, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	h := r.Header()
	fmt.Printf("%d x %d, quality %d, model %s\n", h.Width, h.Height, h.Quality/100, h.Model)
	for {
		c, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%v: %s\n", c.Type, c.Data)
	}
	// Output:
	// 640 x 480, quality 50, model photo
	// c: hello
	// T: latents
}

// Whatever cannot be read says why, in one line.
func ExampleFormatError() {
	_, err := format.NewReader(strings.NewReader("\xaeAEC\n\x1a\n..."), nil)
	fmt.Println(err)
	fmt.Println(errors.Is(err, format.ErrSignature), errors.Is(err, format.ErrFormat))
	// Output:
	// format: signature: damaged by a transfer as text (line ends were changed)
	// true true
}

// A distribution becomes a table, symbols become bytes.
func ExampleEncodeSymbols() {
	// -1, 0, 1, and anything else.
	table, err := format.NewTable(-1, format.BuildFreq([]float64{0.1, 0.79, 0.1, 0.01}))
	if err != nil {
		fmt.Println(err)
		return
	}
	tables, err := format.NewTableSet([]*format.Table{table})
	if err != nil {
		fmt.Println(err)
		return
	}
	index := make([]uint8, 1000) // all of table 0
	index[500] = format.Skip     // but for one, which is not coded
	symbols := make([]int32, len(index))
	for i := 0; i < len(symbols); i += 7 {
		symbols[i] = int32(i%3) - 1
	}
	symbols[123] = 4567

	stream, err := format.EncodeSymbols(nil, tables, index, symbols)
	if err != nil {
		fmt.Println(err)
		return
	}
	decoded := make([]int32, len(index))
	if err := format.DecodeSymbols(stream, tables, index, decoded); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d bytes, ideally %.1f\n", len(stream), tables.Bits(index, symbols)/8)
	fmt.Println(decoded[121:125], decoded[500])
	// Output:
	// 83 bytes, ideally 81.9
	// [0 0 4567 0] 0
}

// The fingerprint identifies the decoder, however the model is called and
// whether or not it can encode.
func ExampleModelFile_Fingerprint() {
	m := &format.ModelFile{
		Name:        "photo",
		Description: []byte(`{"networks": []}`),
		Decoder:     []format.Tensor{format.NewFloat16("weight", []int{2, 2}, []float32{1, 0.5, 0.25, 0.125})},
		Encoder:     []format.Tensor{format.NewFloat16("weight", []int{1}, []float32{1})},
	}
	var file bytes.Buffer
	if err := format.WriteModel(&file, m); err != nil {
		fmt.Println(err)
		return
	}
	receiver, err := format.ReadDecoder(&file, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	receiver.Name = "renamed"
	fmt.Println(receiver.Fingerprint() == m.Fingerprint(), len(receiver.Encoder))
	// Output: true 0
}
