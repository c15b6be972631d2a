package bench

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"math/bits"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/klauspost/compress/zstd"

	"github.com/aecodec/aecodec/codec/record"
)

// atlasPeer is another program that codes pictures.
type atlasPeer struct {
	name           string
	encode, decode []string // commands; {q}, {in} and {out} are filled in
	extension      string
	settings       []string // from low quality to high
}

var atlasPeers = []atlasPeer{
	{
		"webp", []string{"cwebp", "-quiet", "-m", "6", "-q", "{q}", "{in}", "-o", "{out}"},
		[]string{"dwebp", "-quiet", "{in}", "-o", "{out}"}, ".webp",
		[]string{"0", "2", "5", "10", "20", "35", "50", "65", "80", "90"},
	},
	{
		"avif", []string{"avifenc", "-s", "4", "-y", "{yuv}", "--min", "{q}", "--max", "{q}", "{in}", "{out}"},
		[]string{"avifdec", "{in}", "{out}"}, ".avif",
		[]string{"63", "60", "56", "52", "47", "42", "36", "30", "24", "18"},
	},
	{
		"jxl", []string{"cjxl", "{in}", "{out}", "-e", "7", "-d", "{q}", "--quiet"},
		[]string{"djxl", "{in}", "{out}", "--quiet"}, ".jxl",
		[]string{"25", "20", "15", "11", "8", "6", "4.5", "3", "2", "1"},
	},
}

// codeAtlas codes records as one picture with other codecs.
func codeAtlas(ctx context.Context, dir string, test *record.Set, columns int) ([]RecordCurve, error) {
	m := atlas(test, columns)
	source := filepath.Join(dir, "atlas.png")
	lossless, err := writtenSize(source, func(w io.Writer) error {
		return (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(w, m)
	})
	if err != nil {
		return nil, err
	}
	j := RecordCurve{Codec: "jpeg"}
	for _, q := range []int{3, 6, 10, 15, 25, 40, 60, 75, 85, 92} {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: q}); err != nil {
			return nil, err
		}
		size := int64(b.Len())
		back, err := jpeg.Decode(&b)
		if err != nil {
			return nil, err
		}
		j.add("q "+strconv.Itoa(q), size, test, fromAtlas(back, test, columns), 255)
	}
	curves := []RecordCurve{j}
	for _, p := range atlasPeers {
		c := RecordCurve{Codec: p.name}
		for _, program := range []string{p.encode[0], p.decode[0]} {
			if _, err := exec.LookPath(program); err != nil {
				c.Missing = program + " is not installed"
			}
		}
		if c.Missing == "" {
			if err := p.run(ctx, dir, source, test, columns, &c); err != nil {
				return nil, err
			}
		}
		curves = append(curves, c)
	}
	return append(curves, RecordCurve{
		Codec: "png", Missing: fmt.Sprintf("lossless, %.1f bits per record", 8*float64(lossless)/float64(test.N)),
	}), nil
}

func (p *atlasPeer) run(ctx context.Context, dir, source string, test *record.Set, columns int, c *RecordCurve) error {
	coded, decoded := filepath.Join(dir, "atlas"+p.extension), filepath.Join(dir, "decoded.png")
	yuv := "400"
	if test.Dims().C == 3 {
		yuv = "444"
	}
	call := func(command []string, in, out, q string) error {
		args := make([]string, len(command))
		for i, a := range command {
			switch a {
			case "{in}":
				a = in
			case "{out}":
				a = out
			case "{q}":
				a = q
			case "{yuv}":
				a = yuv
			}
			args[i] = a
		}
		if text, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", args[0], err, bytes.TrimSpace(text))
		}
		return nil
	}
	for _, q := range p.settings {
		if err := call(p.encode, source, coded, q); err != nil {
			return err
		}
		st, err := os.Stat(coded)
		if err != nil {
			return err
		}
		if err := call(p.decode, coded, decoded, ""); err != nil {
			return err
		}
		f, err := os.Open(decoded)
		if err != nil {
			return err
		}
		back, err := png.Decode(f)
		f.Close()
		if err != nil {
			return err
		}
		if back.Bounds().Size() != (image.Point{X: columns * test.Dims().W, Y: (test.N + columns - 1) / columns * test.Dims().H}) {
			return fmt.Errorf("%s: decoded to %v", p.decode[0], back.Bounds())
		}
		c.add("q "+q, st.Size(), test, fromAtlas(back, test, columns), 255)
	}
	return nil
}

// signalLevels are how many steps of quantisation the range of the signals has.
var signalLevels = []float64{6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512}

// codeSignals quantises records to equal steps, and codes what becomes of them
// without loss.
func codeSignals(test *record.Set, peak float64) ([]RecordCurve, error) {
	coders := []struct {
		name string
		size func(q []int32, n int) (int64, error)
	}{
		{"gzip", func(q []int32, n int) (int64, error) {
			return smallest(q, n, func(b []byte) (int64, error) {
				var out bytes.Buffer
				z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
				if err != nil {
					return 0, err
				}
				_, err = z.Write(b)
				err = errors.Join(err, z.Close())
				return int64(out.Len()), err
			})
		}},
		{"zstd", func(q []int32, n int) (int64, error) {
			z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
			if err != nil {
				return 0, err
			}
			defer z.Close()
			return smallest(q, n, func(b []byte) (int64, error) { return int64(len(z.EncodeAll(b, nil))), nil })
		}},
		{"prediction", func(q []int32, n int) (int64, error) { return (predictedBits(q, n) + 7) / 8, nil }},
	}
	curves := make([]RecordCurve, len(coders))
	q, back := make([]int32, len(test.Data)), make([]float32, len(test.Data))
	for _, levels := range signalLevels {
		step := peak / levels
		for i, v := range test.Data {
			k := math.Round(float64(v) / step)
			q[i], back[i] = int32(k), float32(k*step)
		}
		for i, c := range coders {
			size, err := c.size(q, test.Len())
			if err != nil {
				return nil, err
			}
			curves[i].Codec = c.name
			curves[i].add(fmt.Sprintf("%g levels", levels), size, test, back, peak)
		}
	}
	return curves, nil
}

// smallest compresses numbers as they are and as differences within each record
// of n, in one byte each where that is enough and in two where it is not, and
// returns the smaller size.
func smallest(q []int32, n int, compress func([]byte) (int64, error)) (int64, error) {
	best := int64(math.MaxInt64)
	for _, differences := range []bool{false, true} {
		var narrow, wide []byte
		fits := true
		for i, v := range q {
			if differences && i%n > 0 {
				v -= q[i-1]
			}
			fits = fits && v == int32(int8(v))
			narrow = append(narrow, byte(v))
			wide = binary.LittleEndian.AppendUint16(wide, uint16(v))
		}
		if !fits {
			narrow = wide
		}
		size, err := compress(narrow)
		if err != nil {
			return 0, err
		}
		best = min(best, size)
	}
	return best, nil
}

// predictedBits is the size of records of n numbers each as FLAC's subframes have
// them (RFC 9639): the best of its fixed predictors of orders 0 to 4, and the best
// Rice parameter, for each record; 3 bits for the order and 4 for the parameter.
// Numbers before a predictor has all of its past are predicted by lower orders.
func predictedBits(q []int32, n int) int64 {
	const orders, parameters = 5, 15
	total := int64(0)
	residual := make([]int32, n)
	for at := 0; at < len(q); at += n {
		copy(residual, q[at:at+n])
		best := int64(math.MaxInt64)
		for order := range orders {
			for k := range parameters {
				size := int64(0)
				for _, r := range residual {
					folded := uint32(r<<1) ^ uint32(r>>31)
					size += int64(folded>>k) + 1 + int64(k)
				}
				best = min(best, size)
			}
			// The residual of the next order is the difference of this one's.
			for i := n - 1; i > order; i-- {
				residual[i] -= residual[i-1]
			}
		}
		total += best + int64(bits.Len(orders)) + int64(bits.Len(parameters))
	}
	return total
}
