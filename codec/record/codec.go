package record

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/aecodec/aecodec/format"
)

// Options are the settings of [Encode].
type Options struct {
	// Model must be able to encode records of the set's shape and kind.
	Model *Model
	// Quality is between MinQuality and MaxQuality, continuous; it is rounded
	// to hundredths. 0 means DefaultQuality.
	Quality float64
	// Bounded asks that no decoded value be off by more than MaxError, in the
	// unit of the data. 0 keeps records of Uint8 without loss, and integer
	// samples (Origin.Gain is set): their values are within MaxError of the
	// file's header, which is what rounding to a sample takes back. Other
	// records of Float32 need more than 0.
	Bounded  bool
	MaxError float64
	// Threads is the number of threads to use; 0 means GOMAXPROCS. The file
	// does not depend on it.
	Threads int
}

// groupValues is about how many values are coded together: enough for tables of
// their own, few enough for several threads.
const groupValues = 1 << 19

// maxGroupLatents bounds the latents that are decoded together.
const maxGroupLatents = 1 << 26

// sampleBound is the bound that keeps integer samples, in their steps: less than
// the half at which rounding gives another one.
const sampleBound = 0.49

// Encode writes the records of s to w in the .aec format.
func Encode(w io.Writer, s *Set, o *Options) error {
	if o == nil || o.Model == nil {
		return errors.New("record: encode: no model")
	}
	m := o.Model
	if !m.CanEncode() {
		return fmt.Errorf("record: model %q can only decode", m.Name())
	}
	if err := s.Check(); err != nil {
		return err
	}
	if err := m.accepts(s); err != nil {
		return err
	}
	quality, err := parseQuality(o.Quality)
	if err != nil {
		return err
	}
	e := &groupCoder{model: m}
	if e.quantiser, err = m.newQuantiser(quality); err != nil {
		return err
	}
	h := &format.RecordHeader{
		Values: format.ValueType(m.kind), Count: uint32(s.N), Group: uint32(min(max(groupValues/max(s.Len(), m.latent.Len()), 1), s.N)),
		Quality: quality, Model: m.Name(), Fingerprint: m.print,
	}
	for _, side := range s.Shape {
		h.Shape = append(h.Shape, uint32(side))
	}
	if o.Bounded {
		if e.bound, err = boundFor(s, o.MaxError); err != nil {
			return err
		}
		h.Bounded, h.MaxError, h.Step = true, e.bound.max, e.bound.step
	}
	groups := make([][]byte, h.Groups())
	err = parallel(threads(o.Threads), len(groups), func(i, threads int) error {
		lo := i * int(h.Group)
		var err error
		groups[i], err = e.encode(s.Slice(lo, min(lo+int(h.Group), s.N)), threads)
		return err
	})
	if err != nil {
		return err
	}
	if err := writeFile(w, h, s, groups); err != nil {
		return fmt.Errorf("record: encode: %w", err)
	}
	return nil
}

// boundFor returns the bound for a set. For samples 0 means less than what
// rounding to a sample takes back.
func boundFor(s *Set, maxError float64) (*bound, error) {
	if s.Kind == Float32 && maxError == 0 {
		if s.Origin == nil || s.Origin.Gain == 0 {
			return nil, errors.New("record: error bound 0 is for uint8 and integer samples, float32 needs more")
		}
		maxError = sampleBound / s.Origin.Gain
	}
	return newBound(s.Kind, maxError, max(slices.Max(s.Data), -slices.Min(s.Data)))
}

func writeFile(w io.Writer, h *format.RecordHeader, s *Set, groups [][]byte) error {
	fw, err := format.NewRecordWriter(w, h)
	if err != nil {
		return err
	}
	write := func(t format.ChunkType, data []byte) {
		if err == nil && t.Ancillary() && int64(len(data)) > format.DefaultLimits.MaxMetadata {
			err = fmt.Errorf("%d bytes of labels or names, which no decoder accepts: %w", len(data), format.ErrLimit)
		}
		if err == nil {
			err = fw.WriteChunk(t, data)
		}
	}
	if s.Origin != nil {
		text, err := json.Marshal(s.Origin)
		if err != nil {
			return err
		}
		write(format.ChunkOrigin, text)
	}
	if s.Labels != nil {
		var b []byte
		for _, v := range s.Labels {
			b = binary.AppendVarint(b, int64(v))
		}
		write(format.ChunkLabels, b)
	}
	for _, data := range groups {
		write(format.ChunkGroup, data)
	}
	if err != nil {
		return err
	}
	return fw.Close()
}

// threads applies the default.
func threads(n int) int {
	if n <= 0 {
		return runtime.GOMAXPROCS(0)
	}
	return n
}

// parallel calls work for 0 to n-1 and returns the first error. work gets the
// number of threads it may use.
func parallel(threads, n int, work func(i, threads int) error) error {
	workers := min(threads, n)
	var next atomic.Int64
	errs := make([]error, n)
	var failed atomic.Bool
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && !failed.Load(); i = int(next.Add(1)) - 1 {
				if errs[i] = work(i, threads/workers); errs[i] != nil {
					failed.Store(true)
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// groupCoder codes groups of records. It is safe for concurrent use.
type groupCoder struct {
	model     *Model
	quantiser *quantiser
	bound     *bound // nil without
}

// encode returns the data of a group's chunk.
func (g *groupCoder) encode(s *Set, threads int) ([]byte, error) {
	y, err := g.model.Latents(s, threads)
	if err != nil {
		return nil, err
	}
	k := g.quantiser.quantise(y)
	data, err := g.quantiser.append(nil, k)
	if err != nil || g.bound == nil {
		return data, err
	}
	x, err := g.model.Synthesize(g.quantiser.dequantise(k), threads)
	if err != nil {
		return nil, err
	}
	return g.bound.append(data, s.Data, x.Data, s.Dims())
}

// decode writes the n records of a group to dst.
func (g *groupCoder) decode(data []byte, dst []float32, n, threads int) error {
	k, rest, err := g.quantiser.read(data, n*g.model.latent.Len())
	if err != nil {
		return err
	}
	x, err := g.model.Synthesize(g.quantiser.dequantise(k), threads)
	if err != nil {
		return err
	}
	copy(dst, x.Data)
	if g.bound != nil {
		return g.bound.read(rest, dst, x.Dims())
	}
	if len(rest) > 0 {
		return corrupt("group", "%d bytes too many", len(rest))
	}
	finish(g.model.kind, dst)
	return nil
}

// DecodeOptions are the settings of [Decode]. A nil pointer and the zero value
// mean the defaults.
type DecodeOptions struct {
	// Models are tried first, then the *.aem files of the folders ModelDirs.
	Models    []*Model
	ModelDirs []string
	// Threads is the number of threads to use; 0 means GOMAXPROCS. The values
	// do not depend on it.
	Threads int
	// Limits bound what is accepted before memory is allocated; the zero value
	// means format.DefaultLimits.
	Limits format.Limits
}

// Info describes a file.
type Info struct {
	Header format.RecordHeader
	Kind   Kind
	Shape  []int
	N      int
	Origin *Origin // nil if the file has none
	Labels bool
	// Sizes in bytes of the latents, of the residual that keeps the error
	// bound, of labels and origin, and of all of the file; the rest is overhead.
	LatentBytes, ResidualBytes, MetadataBytes, FileBytes int64
	// Model is the model to decode with; nil if it is not at hand.
	Model *Model
}

// contents are the chunks of a file.
type contents struct {
	header   format.RecordHeader
	groups   [][]byte
	labels   []int
	origin   *Origin
	size     int64
	metadata int64
}

// shell returns the set that the file holds, without its values.
func (c *contents) shell() *Set {
	s := &Set{Kind: Kind(c.header.Values), N: int(c.header.Count), Labels: c.labels, Origin: c.origin}
	for _, side := range c.header.Shape {
		s.Shape = append(s.Shape, int(side))
	}
	return s
}

func readFile(r io.Reader, o *DecodeOptions) (*contents, error) {
	counter := newCounter(r)
	fr, err := format.NewRecordReader(counter, &o.Limits)
	if err != nil {
		return nil, err
	}
	c := &contents{header: fr.Header()}
	n := int64(c.header.Len()) * int64(c.header.Count)
	if n > MaxValues {
		return nil, &format.FormatError{What: "size", Kind: format.ErrLimit,
			Cause: fmt.Sprintf("%d values, more than %d", n, MaxValues)}
	}
	for {
		chunk, err := fr.Next()
		if err == io.EOF { // itself, not an error that wraps it
			break
		}
		if err != nil {
			return nil, err
		}
		if chunk.Type.Ancillary() {
			c.metadata += int64(chunk.Stored)
		}
		switch chunk.Type {
		case format.ChunkGroup:
			c.groups = append(c.groups, chunk.Data)
		case format.ChunkLabels:
			if c.labels, err = parseLabels(chunk.Data, int(c.header.Count)); err != nil {
				return nil, err
			}
		case format.ChunkOrigin:
			if err := json.Unmarshal(chunk.Data, &c.origin); err != nil {
				return nil, corrupt("origin", "%v", err)
			}
		}
	}
	if err := c.origin.check(c.shell()); err != nil {
		return nil, corrupt("origin", "%v", err)
	}
	c.size = counter.n
	return c, nil
}

// parseLabels reads n labels.
func parseLabels(data []byte, n int) ([]int, error) {
	if len(data) < n {
		return nil, corrupt("labels", "%d bytes for %d records", len(data), n)
	}
	labels := make([]int, n)
	for i := range labels {
		v, size := binary.Varint(data)
		if size <= 0 || int64(int(v)) != v {
			return nil, corrupt("labels", "label %d is wrong", i)
		}
		labels[i], data = int(v), data[size:]
	}
	if len(data) > 0 {
		return nil, corrupt("labels", "%d bytes too many", len(data))
	}
	return labels, nil
}

// Decode reads records in the .aec format. Errors of damaged files are
// format.ErrFormat, one of a model that is not at hand is *UnknownModelError.
func Decode(r io.Reader, o *DecodeOptions) (*Set, error) {
	if o == nil {
		o = &DecodeOptions{}
	}
	c, err := readFile(r, o)
	if err != nil {
		return nil, fmt.Errorf("record: decode: %w", err)
	}
	m, err := findModel(&c.header, o)
	if err != nil {
		return nil, err
	}
	s := c.shell()
	if err := m.accepts(s); err != nil {
		return nil, fmt.Errorf("record: decode: %w", corrupt("header", "%v", err))
	}
	if int64(min(c.header.Group, c.header.Count))*int64(m.latent.Len()) > maxGroupLatents {
		return nil, fmt.Errorf("record: decode: %w", &format.FormatError{What: "header", Kind: format.ErrLimit,
			Cause: fmt.Sprintf("%d records with latents of %v in a chunk", c.header.Group, m.latent)})
	}
	g := &groupCoder{model: m}
	if g.quantiser, err = m.newQuantiser(c.header.Quality); err != nil {
		return nil, err
	}
	if c.header.Bounded {
		if g.bound, err = boundOf(&c.header); err != nil {
			return nil, fmt.Errorf("record: decode: %w", err)
		}
	}
	s.Data = make([]float32, s.N*s.Len())
	err = parallel(threads(o.Threads), len(c.groups), func(i, threads int) error {
		lo := i * int(c.header.Group)
		hi := min(lo+int(c.header.Group), s.N)
		return g.decode(c.groups[i], s.Data[lo*s.Len():hi*s.Len()], hi-lo, threads)
	})
	if err != nil {
		return nil, fmt.Errorf("record: decode: %w", err)
	}
	return s, nil
}

// boundOf returns the bound of a file.
func boundOf(h *format.RecordHeader) (*bound, error) {
	b := &bound{Kind(h.Values), h.MaxError, h.Step}
	if b.kind == Uint8 && !(b.step <= 511 && b.step == float32(2*int(b.step/2)+1)) {
		return nil, corrupt("error bound", "step %g of whole numbers", b.step)
	}
	return b, nil
}

// DecodeInfo describes a file without decoding it. The chunks are read and
// their checksums verified.
func DecodeInfo(r io.Reader, o *DecodeOptions) (*Info, error) {
	if o == nil {
		o = &DecodeOptions{}
	}
	c, err := readFile(r, o)
	if err != nil {
		return nil, fmt.Errorf("record: decode: %w", err)
	}
	s := c.shell()
	info := &Info{
		Header: c.header, Kind: s.Kind, Shape: s.Shape, N: s.N, Origin: c.origin, Labels: c.labels != nil,
		MetadataBytes: c.metadata, FileBytes: c.size,
	}
	var unknown *UnknownModelError
	info.Model, err = findModel(&c.header, o)
	if err != nil && !errors.As(err, &unknown) {
		return nil, err
	}
	for _, data := range c.groups {
		info.ResidualBytes += int64(len(data))
	}
	// How many streams of latents there are is for the model to say.
	for i := 0; info.Model != nil && i < len(c.groups); i++ {
		data := c.groups[i]
		for range (info.Model.latent.C + format.Skip - 1) / format.Skip {
			part, rest, err := takeBytes(data, "latents")
			if err != nil {
				return nil, fmt.Errorf("record: decode: %w", err)
			}
			info.LatentBytes += int64(len(part))
			data = rest
		}
	}
	info.ResidualBytes -= info.LatentBytes
	if !c.header.Bounded {
		info.LatentBytes, info.ResidualBytes = info.LatentBytes+info.ResidualBytes, 0
	}
	return info, nil
}
