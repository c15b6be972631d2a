package picture_test

import (
	"bytes"
	"fmt"
	"os"

	"github.com/aecodec/aecodec/codec/picture"
)

// A WebP file becomes a PPM; what it is shows by its content.
func Example() {
	f, err := os.Open("testdata/odd.webp")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	m, format, err := picture.Decode(f, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(format, m.Bounds().Size())

	var out bytes.Buffer
	if err := picture.Encode(&out, m, picture.PPM, nil); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(out.Len(), "bytes")
	// Output:
	// webp (37,23)
	// 2566 bytes
}
