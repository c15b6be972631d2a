package codec

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// The alpha channel is coded without loss: every row is filtered as in PNG
// (W3C PNG, clause 9) with one byte per pixel, preceded by the filter's number,
// and all rows are one zstd frame. The filter of a row is the one with the least
// sum of absolute differences, the heuristic that the PNG specification suggests.
const (
	filterNone = iota
	filterSub
	filterUp
	filterAverage
	filterPaeth
	filters
)

var alphaEncoder = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(alphaWindow))
})

// encodeAlpha returns the 'A' chunk of a picture.
func encodeAlpha(r *raster) ([]byte, error) {
	w, h := r.w, r.h
	enc, err := alphaEncoder()
	if err != nil {
		return nil, fmt.Errorf("codec: alpha: %w", err)
	}
	filtered := make([]byte, 0, h*(w+1))
	above, row := make([]byte, w), make([]byte, w)
	var buf []byte
	var candidates [filters][]byte
	for f := range candidates {
		candidates[f] = make([]byte, w)
	}
	for y := range h {
		pixels := r.row(0, y, w, &buf)
		for x := range row {
			row[x] = pixels[4*x+3]
		}
		best, least := 0, int(^uint(0)>>1)
		for f, out := range candidates {
			if cost := filterRow(out, row, above, f); cost < least {
				best, least = f, cost
			}
		}
		filtered = append(filtered, byte(best))
		filtered = append(filtered, candidates[best]...)
		above, row = row, above
	}
	return enc.EncodeAll(filtered, nil), nil
}

// filterRow filters a row and returns the sum of absolute differences.
func filterRow(dst, row, above []byte, filter int) (cost int) {
	var left, aboveLeft byte
	for i, v := range row {
		d := v - predict(filter, left, above[i], aboveLeft)
		dst[i] = d
		cost += abs8(d)
		left, aboveLeft = v, above[i]
	}
	return cost
}

func abs8(d byte) int { return max(int(int8(d)), -int(int8(d))) }

func predict(filter int, left, up, upLeft byte) byte {
	switch filter {
	case filterSub:
		return left
	case filterUp:
		return up
	case filterAverage:
		return byte((int(left) + int(up)) / 2)
	case filterPaeth:
		a, b, c := int(left), int(up), int(upLeft)
		p := a + b - c
		pa, pb, pc := abs(p-a), abs(p-b), abs(p-c)
		switch {
		case pa <= pb && pa <= pc:
			return left
		case pb <= pc:
			return up
		}
		return upLeft
	}
	return 0
}

func abs(v int) int { return max(v, -v) }

// alphaWindow is the largest window that the frame may ask for: 8 MB, which
// every zstd decoder is meant to support (RFC 8878, 3.1.1.1.2).
const alphaWindow = 8 << 20

// decodeAlpha hands the rows of the w×h plane of an 'A' chunk to store. It holds
// two of them and the decompressor's window.
func decodeAlpha(data []byte, w, h int, store func(y int, row []byte)) error {
	dec, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(alphaWindow))
	if err != nil {
		return fmt.Errorf("codec: alpha: %w", err)
	}
	defer dec.Close()
	line := make([]byte, w+1)
	above, row := make([]byte, w), make([]byte, w)
	for y := range h {
		if _, err := io.ReadFull(dec, line); err != nil {
			return corrupt("alpha", "row %d: %v", y, err)
		}
		filter := int(line[0])
		if filter >= filters {
			return corrupt("alpha", "row %d: unknown filter %d", y, filter)
		}
		var left, aboveLeft byte
		for x, d := range line[1:] {
			row[x] = d + predict(filter, left, above[x], aboveLeft)
			left, aboveLeft = row[x], above[x]
		}
		store(y, row)
		above, row = row, above
	}
	if n, err := dec.Read(line[:1]); n != 0 || err != io.EOF {
		return corrupt("alpha", "data after the last row")
	}
	return nil
}
