package codec

import (
	"encoding/binary"
	"fmt"
	"image"
	"slices"

	"github.com/aecodec/aecodec/format"
)

// Kinds of tiles, the first number of their chunks; see SPEC.md. All but the
// first hold pixels: the networks see zeros there, as they do beyond the picture.
const (
	tileLatents   = 0
	tileLossless  = 1
	tileTransform = 2
	tileKinds     = 3
)

// tileKind takes the kind off a tile chunk.
func tileKind(data []byte) (kind int, rest []byte, err error) {
	v, n := binary.Uvarint(data)
	if n <= 0 {
		return 0, nil, corrupt("tile", "no kind")
	}
	if v >= tileKinds {
		return 0, nil, &format.FormatError{
			What: "tile", Cause: fmt.Sprintf("unknown kind %d", v), Kind: format.ErrUnsupported}
	}
	return int(v), data[n:], nil
}

// rect is the place of a tile in a picture of width×height pixels.
func (t *Tile) rect(width, height int) image.Rectangle {
	a := t.area()
	return image.Rect(a.x0*LatentStride, a.y0*LatentStride, a.x1*LatentStride, a.y1*LatentStride).
		Intersect(image.Rect(0, 0, width, height))
}

// paint decodes a tile of pixels of a picture of width×height pixels, if data is
// one and some of it is on the canvas, and draws that.
func (c *canvas) paint(data []byte, t *Tile, width, height int) error {
	place := t.rect(width, height)
	part := place.Intersect(c.rect)
	if part.Empty() {
		return nil
	}
	kind, data, err := tileKind(data)
	if err != nil || kind == tileLatents {
		return err
	}
	w, h := place.Dx(), place.Dy()
	pix := make([]uint32, w*h)
	components := 3
	if c.gray != nil {
		components = 1
	}
	decode := decodeLossless
	if kind == tileTransform {
		decode = decodeTransform
	}
	if err := decode(data, pix, w, h, components); err != nil {
		return err
	}
	for y := part.Min.Y; y < part.Max.Y; y++ {
		row := pix[(y-place.Min.Y)*w+part.Min.X-place.Min.X:][:part.Dx()]
		if c.gray != nil {
			out := c.gray.Pix[c.gray.PixOffset(part.Min.X, y):]
			for x, v := range row {
				out[x] = byte(v)
			}
			continue
		}
		out := c.rgb.Pix[c.rgb.PixOffset(part.Min.X, y):]
		for x, v := range row {
			out[4*x], out[4*x+1], out[4*x+2], out[4*x+3] = byte(v>>16), byte(v>>8), byte(v), 0xff
		}
	}
	return nil
}

// packed returns the pixels of a tile; see losslessCoder.
func (r *raster) packed(t *Tile) (pix []uint32, w, h int) {
	place := t.rect(r.w, r.h)
	w, h = place.Dx(), place.Dy()
	pix = make([]uint32, w*h)
	var buf []byte
	for y := range h {
		row := r.row(place.Min.X, place.Min.Y+y, w, &buf)
		out := pix[y*w:][:w]
		if r.step == 1 {
			for x, v := range row {
				out[x] = uint32(v)
			}
			continue
		}
		for x, i := 0, 0; x < w; x, i = x+1, i+r.step {
			out[x] = uint32(row[i])<<16 | uint32(row[i+1])<<8 | uint32(row[i+2])
		}
	}
	return pix, w, h
}

// Networks trained on photographs fail on what is none, and only decoding tells.
// To save photographs that, tiles are looked at first: those are doubtful that
// have many pixels equal to one nearby, or much more noise than the
// quality leaves anyway. For them the cost of the pixels as they would be decoded
// is compared with that of the other kinds.
//
// A model trained for MS-SSIM leaves out noise for good reason. By their squared
// errors its tiles look worse than they are, and to replace them spoils it: the
// BD-rate by MS-SSIM on Kodak, against AVIF 4:4:4 -s 4, went from -33 to -11 %. So
// for such a model noise is no reason to doubt.
const (
	// doubtfulRepeats is the share of repeated pixels, and doubtfulNoise the
	// energy of horizontal second differences relative to the error that a step
	// of the transform leaves. With 1 for the latter a quarter of the photographs
	// were doubted at quality 50, and encoding took 1.4 times as long, for the same
	// files.
	doubtfulRepeats = 0.3
	doubtfulNoise   = 4.
	doubtfulPadding = 4 // the area that the networks see, in areas of the tile
	// preference is how much cheaper another kind has to be.
	preference = 0.97
	// probeRows is the distance of the rows that are looked at.
	probeRows = 4
)

// doubt is what speaks against coding a tile by the networks.
type doubt uint8

const (
	noDoubt doubt = iota
	noisy
	repeating
)

// doubts looks at all tiles, if that is part of the effort.
func (j *job) doubts(grid []*Tile, p *operatingPoint, effort int) ([]doubt, error) {
	out := make([]doubt, len(grid))
	if effort < replaceEffort {
		return out, nil
	}
	if j.kinds != nil {
		for i, kind := range j.kinds {
			if kind != tileLatents {
				out[i] = repeating
			}
		}
		return out, nil
	}
	return out, parallel(j.threads, len(grid), func(i, _ int) error {
		out[i] = j.doubt(grid[i], p)
		return nil
	})
}

// doubt looks at a tile.
func (j *job) doubt(t *Tile, p *operatingPoint) doubt {
	r := j.raster
	place := t.rect(r.w, r.h)
	x0, y0, w, h := place.Min.X, place.Min.Y, place.Dx(), place.Dy()
	if t.W*t.H*LatentStride*LatentStride >= doubtfulPadding*w*h {
		return repeating // a row of pixels, say: most of what the networks would code is padding
	}
	var here, before []byte
	equal, energy, count := 0, 0, 0
	components := int(r.channels())
	for y := 0; y < h; y += probeRows {
		row := r.row(x0, y0+y, w, &here)
		above := row
		if y > 0 {
			above = r.row(x0, y0+y-1, w, &before)
		}
		for x := r.step; x+r.step < len(row); x += r.step {
			same, copied := true, y > 0
			for c := range components {
				v := int(row[x+c])
				same = same && v == int(row[x+c-r.step])
				copied = copied && v == int(above[x+c-r.step])
				d := 2*v - int(row[x+c-r.step]) - int(row[x+c+r.step])
				energy += d * d
			}
			if same || copied {
				equal++
			}
			count++
		}
	}
	if count == 0 { // too narrow to tell
		return repeating
	}
	if float64(equal) > doubtfulRepeats*float64(count) {
		return repeating
	}
	// The second difference of white noise has six times its energy, and the
	// best error for a quality is about 2/lambda.
	noise := float64(energy) / float64(6*count*components)
	if noise*p.unit*3/65025 > doubtfulNoise && !j.model.structural() {
		return noisy
	}
	return noDoubt
}

// replace codes doubtful tiles in another way where that is cheaper; c holds their
// payloads as latents, back the dequantised latents of the whole picture, which
// become 0 where a tile is replaced. Without back, which takes 5 bytes a pixel, a tile is
// decoded from its payload and those of its neighbours: slower, if many are doubtful.
func (j *job) replace(c *coded, tiles []*Tile, doubts []doubt, p *operatingPoint, back *latents) error {
	var all *canvas // of networks that do not allow cutting
	h, w := j.raster.latentSize()
	if cut := j.model.cutter(j.model.synthesis, h, w); cut.whole {
		var err error
		if all, err = j.draw(image.Rect(0, 0, j.raster.w, j.raster.h), back); err != nil {
			return err
		}
	}
	payloads := &contents{grid: tileGrid(h, w), h: h, w: w, tiles: slices.Clone(c.tiles)}
	for i, t := range tiles {
		if doubts[i] == noDoubt {
			continue
		}
		if j.kinds != nil {
			c.tiles[i] = j.pixelTile(t, j.kinds[i], p)
			continue
		}
		place, drawn := t.rect(j.raster.w, j.raster.h), all
		if drawn == nil {
			var err error
			if back != nil {
				drawn, err = j.draw(place, back)
			} else {
				drawn = newCanvas(place, j.raster.step == 1)
				err = j.model.decodeTiles(payloads, p, drawn, j.threads)
			}
			if err != nil {
				return err
			}
		}
		var err error
		sse := drawn.squaredError(j.raster, place)
		if c.tiles[i], err = j.cheapest(t, c.tiles[i], sse, doubts[i], p); err != nil {
			return err
		}
	}
	c.lossless = true
	for i, t := range tiles {
		// No payload yet: latents that are to be refined.
		kind := byte(tileLatents)
		if len(c.tiles[i]) > 0 {
			kind = c.tiles[i][0]
		}
		c.lossless = c.lossless && kind == tileLossless
		if kind != tileLatents && back != nil {
			back.clear(t.area())
		}
	}
	return nil
}

// pixelTile returns the payload of a tile of a kind that holds pixels.
func (j *job) pixelTile(t *Tile, kind byte, p *operatingPoint) []byte {
	pix, w, h := j.raster.packed(t)
	if kind == tileLossless {
		return encodeLossless([]byte{kind}, pix, w, h, int(j.raster.channels()))
	}
	return encodeTransform([]byte{kind}, pix, w, h, int(j.raster.channels()), stepFor(p.unit), roundUsual)
}

// cheapest returns the payload of a tile that costs least: the one of its latents,
// which leave the squared error sse, or one of another kind.
func (j *job) cheapest(t *Tile, payload []byte, sse int64, d doubt, p *operatingPoint) ([]byte, error) {
	components := int(j.raster.channels())
	weight := p.unit / (255 * 255) * float64(3/components)
	cost := func(data []byte, sse int64) float64 { return float64(8*len(data)) + float64(weight*float64(sse)) }
	least := preference * cost(payload, sse)
	pix, w, h := j.raster.packed(t)
	if d == repeating {
		data := j.pixelTile(t, tileLossless, p)
		if c := cost(data, 0); c < least {
			payload, least = data, c
		}
	}
	data := j.pixelTile(t, tileTransform, p)
	out := make([]uint32, w*h)
	if err := decodeTransform(data[1:], out, w, h, components); err != nil {
		return nil, err
	}
	if c := cost(data, packedError(pix, out)); c < least {
		payload = data
	}
	return payload, nil
}

// stepFor returns the index of the quantisation step that serves best where a
// squared error costs unit bits.
func stepFor(unit float64) int {
	i := 0
	for i < maxStepIndex && float64(stepOf(i, 0)*stepOf(i, 0))*unit < stepScale*65025*(1<<(2*sampleBits)) {
		i++
	}
	return i
}

// stepScale is the square of the best step times the cost of a squared error, in
// bits; measured.
const stepScale = 2.5

// packedError is the sum of the squared differences of all components.
func packedError(a, b []uint32) (sum int64) {
	for i, v := range a {
		for s := 0; s < 24; s += 8 {
			d := int64(v>>s&0xff) - int64(b[i]>>s&0xff)
			sum += d * d
		}
	}
	return sum
}
