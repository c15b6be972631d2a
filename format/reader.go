package format

import "io"

// Chunk is a chunk of an image file.
type Chunk struct {
	Type   ChunkType
	Data   []byte // of metadata, uncompressed
	Stored int    // bytes of data in the file, fewer where metadata are compressed
}

// Types of chunks. There is one ChunkTile for each tile, row by row from the
// top left, and one ChunkAlpha if Header.Alpha is set; of the others there is
// at most one each.
const (
	ChunkTile    ChunkType = 'T' // latents of one tile
	ChunkAlpha   ChunkType = 'A' // the alpha channel
	ChunkICC     ChunkType = 'i' // ICC colour profile
	ChunkEXIF    ChunkType = 'e' // EXIF data, from the byte-order mark on
	ChunkXMP     ChunkType = 'x' // XMP packet
	ChunkComment ChunkType = 'c' // text, UTF-8

	chunkHead ChunkType = 'H'
)

// metadata reports whether chunks of type t hold metadata, which are stored
// compressed.
func (t ChunkType) metadata() bool {
	switch t {
	case ChunkICC, ChunkEXIF, ChunkXMP, ChunkComment:
		return true
	}
	return false
}

// Reader reads an image file.
type Reader struct {
	cr     *chunkReader
	lim    Limits
	header Header
	seen   contents
	err    error // of Next, once it has failed or come to the end
}

// NewReader reads the signature and the header. If r is not an io.ByteReader,
// the Reader may take more from r than the file holds.
func NewReader(r io.Reader, lim *Limits) (*Reader, error) {
	cr, err := newChunkReader(r, imageSignature)
	if err != nil {
		return nil, err
	}
	data, err := cr.head()
	if err != nil {
		return nil, err
	}
	rd := &Reader{cr: cr, lim: lim.resolve()}
	if err := rd.header.parse(data); err != nil {
		return nil, err
	}
	if err := rd.header.checkPixels(rd.lim.MaxPixels); err != nil {
		return nil, err
	}
	return rd, nil
}

// Header returns the header.
func (r *Reader) Header() Header { return r.header }

// Next returns the next chunk, whose Data are the caller's. Ancillary chunks of
// unknown type are returned as well, for the caller to ignore; critical ones
// are an error. At the end of the file, once it has seen that all tiles were
// there, Next returns io.EOF.
func (r *Reader) Next() (Chunk, error) {
	if r.err != nil {
		return Chunk{}, r.err
	}
	c, err := r.next()
	r.err = err
	return c, err
}

func (r *Reader) next() (Chunk, error) {
	ch, err := r.cr.next()
	if err == io.EOF {
		if err := r.seen.complete(&r.header); err != nil {
			return Chunk{}, err
		}
		return Chunk{}, io.EOF
	}
	if err != nil {
		return Chunk{}, err
	}
	return r.cr.content(ch, &r.lim, func() error { return r.seen.add(ch.t, &r.header) }, ch.t.metadata())
}

// head reads the header of an .aec file, its first chunk.
func (cr *chunkReader) head() ([]byte, error) {
	ch, err := cr.next()
	if err == io.EOF || err == nil && ch.t != chunkHead {
		return nil, fail(ErrCorrupt, "header", "the first chunk is not the header")
	}
	if err != nil {
		return nil, err
	}
	ch.what = "header"
	return cr.data(ch, maxHeaderBytes)
}

// content reads the data of a chunk of an .aec file within the limits, of which
// it takes metadata off. add says whether the chunk may stand where it does.
func (cr *chunkReader) content(ch chunkHeader, lim *Limits, add func() error, packed bool) (Chunk, error) {
	limit := lim.MaxChunk
	if ch.t.Ancillary() {
		limit = min(limit, lim.MaxMetadata)
	}
	data, err := cr.data(ch, limit)
	if err != nil {
		return Chunk{}, err
	}
	stored := len(data)
	if err := add(); err != nil {
		return Chunk{}, err
	}
	if packed {
		if data, err = unpack(data, ch.what, lim.MaxMetadata); err != nil {
			return Chunk{}, err
		}
	}
	if ch.t.Ancillary() {
		lim.MaxMetadata -= int64(len(data))
	}
	return Chunk{Type: ch.t, Data: data, Stored: stored}, nil
}

// contents keeps account of the chunks of a file, for reader and writer alike.
type contents struct {
	tiles int64
	once  map[ChunkType]bool
}

// add accounts for a chunk of type t and says whether it may stand here.
func (c *contents) add(t ChunkType, h *Header) error {
	what := "chunk " + t.String()
	switch {
	case t == ChunkTile:
		if c.tiles == tileCount(h) {
			return fail(ErrCorrupt, what, "more than the %d tiles of the image", tileCount(h))
		}
		c.tiles++
	case t == ChunkAlpha && !h.Alpha:
		return fail(ErrCorrupt, what, "the header announces no alpha channel")
	case t == ChunkAlpha || t.metadata():
		if c.once[t] {
			return fail(ErrCorrupt, what, "occurs twice")
		}
		if c.once == nil {
			c.once = make(map[ChunkType]bool)
		}
		c.once[t] = true
	case !t.Ancillary():
		return fail(ErrUnsupported, what, "unknown critical chunk")
	}
	return nil
}

// complete says whether a file may end here.
func (c *contents) complete(h *Header) error {
	if n := tileCount(h); c.tiles != n {
		return fail(ErrCorrupt, "end mark", "after %d of %d tiles", c.tiles, n)
	}
	if h.Alpha && !c.once[ChunkAlpha] {
		return fail(ErrCorrupt, "end mark", "the alpha channel is missing")
	}
	return nil
}

func tileCount(h *Header) int64 {
	columns, rows := h.Tiles()
	return int64(columns) * int64(rows)
}
