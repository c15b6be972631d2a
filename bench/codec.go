package bench

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"io"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/codec/picture"
	"github.com/aecodec/aecodec/kernels"
)

// CodecOptions say what Codec times.
type CodecOptions struct {
	Pictures []string      // files to work on, in one run one after the other
	Encode   codec.Options // everything but Threads, which Codec sets
	Backends []string      // of package kernels; nil means all that run here
	Threads  []int         // nil means 1 and all of this machine
	Rounds   int           // timed runs of each combination; 0 means 5

	// Progress, if set, is called after every run.
	Progress func(done, total int)
}

// CodecResult is the outcome of Codec.
type CodecResult struct {
	Machine  Machine     `json:"machine"`
	Pictures []string    `json:"pictures"`
	Pixels   int64       `json:"pixels"` // of all pictures
	Bytes    int64       `json:"bytes"`  // of all coded files
	Quality  float64     `json:"quality"`
	Model    string      `json:"model"`
	Integers bool        `json:"integers,omitempty"` // the synthesis is in integers
	Rounds   int         `json:"rounds"`
	Speeds   []SpeedLine `json:"speeds"`
}

// SpeedLine is one backend with one number of threads. Times are medians over
// the rounds, for all pictures together.
type SpeedLine struct {
	Backend       string  `json:"backend"`
	Threads       int     `json:"threads"`
	EncodeSeconds float64 `json:"encode_seconds"`
	DecodeSeconds float64 `json:"decode_seconds"`
	EncodeMpixel  float64 `json:"encode_mpixel_per_second"`
	DecodeMpixel  float64 `json:"decode_mpixel_per_second"`

	// EncodeShare and DecodeShare are what the multiply-adds of the networks are of
	// all that the threads could have done in the whole time, by the peak of one core
	// measured before and after; nil where a backend has none. Tiles without networks
	// make them too high.
	EncodeShare *float64 `json:"encode_share_of_peak,omitempty"`
	DecodeShare *float64 `json:"decode_share_of_peak,omitempty"`
}

// Codec times Encode and Decode in memory, for every backend with every number
// of threads. Pictures are read, models loaded and buffers warmed up before the
// clock starts. The combinations take turns in every round, so that a machine
// that slows down or speeds up meanwhile does so for all of them.
//
// It also checks the promise that all combinations write the same bytes and
// decode the same pixels, and fails if one does not. It switches the backend of
// the whole process, so nothing else may use kernels meanwhile; the one that was
// active is restored.
func Codec(ctx context.Context, o *CodecOptions) (*CodecResult, error) {
	backends, threads, rounds := o.Backends, o.Threads, o.Rounds
	if len(backends) == 0 {
		backends = kernels.Available()
	}
	if len(threads) == 0 {
		threads = slices.Compact([]int{1, runtime.GOMAXPROCS(0)})
	}
	if rounds == 0 {
		rounds = 5
	}
	switch {
	case len(o.Pictures) == 0:
		return nil, errors.New("bench: codec: no pictures")
	case rounds < 0:
		return nil, fmt.Errorf("bench: codec: %d rounds", rounds)
	case slices.Min(threads) < 1:
		return nil, fmt.Errorf("bench: codec: %d threads", slices.Min(threads))
	}
	r := &CodecResult{Machine: ThisMachine(), Quality: o.Encode.Quality, Rounds: rounds}
	if r.Quality == 0 {
		r.Quality = codec.DefaultQuality
	}
	var images []image.Image
	for _, name := range o.Pictures {
		m, _, err := picture.ReadFile(name, nil)
		if err != nil {
			return nil, fmt.Errorf("bench: codec: %w", err)
		}
		images = append(images, m)
		r.Pictures = append(r.Pictures, name)
		r.Pixels += int64(m.Bounds().Dx()) * int64(m.Bounds().Dy())
	}
	model := o.Encode.Model
	if model == nil {
		var err error
		if model, err = codec.DefaultModel(); err != nil {
			return nil, fmt.Errorf("bench: codec: %w", err)
		}
	}
	r.Model, r.Integers = model.Name(), model.HasIntegerSynthesis()

	defer kernels.Use(kernels.Active()) // it was in use, so it can be used
	var runs []*speedRun
	for _, b := range backends {
		if err := kernels.Use(b); err != nil {
			return nil, fmt.Errorf("bench: codec: %w", err)
		}
		for _, t := range threads {
			run, err := newSpeedRun(b, t, o.Encode)
			if err != nil {
				return nil, fmt.Errorf("bench: codec: %w", err)
			}
			run.encodeMACs, run.decodeMACs = model.MACs()
			runs = append(runs, run)
		}
	}
	total, done := len(runs)*(rounds+1), 0
	for round := range rounds + 1 {
		for _, run := range runs {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := run.do(images, round == 0); err != nil {
				return nil, fmt.Errorf("bench: codec: %s, %d threads: %w", run.backend, run.threads, err)
			}
			if first := runs[0]; run.sum != first.sum {
				return nil, fmt.Errorf("bench: codec: %s with %d threads and %s with %d threads give different bytes or pixels",
					run.backend, run.threads, first.backend, first.threads)
			}
			if done++; o.Progress != nil {
				o.Progress(done, total)
			}
		}
	}
	r.Bytes = runs[0].bytes
	for _, run := range runs {
		enc, dec := median(run.encode), median(run.decode)
		mpixel := float64(r.Pixels) / 1e6
		line := SpeedLine{run.backend, run.threads, enc, dec, mpixel / enc, mpixel / dec, nil, nil}
		if len(run.encodeShare) > 0 {
			e, d := median(run.encodeShare), median(run.decodeShare)
			line.EncodeShare, line.DecodeShare = &e, &d
		}
		r.Speeds = append(r.Speeds, line)
	}
	return r, nil
}

// speedRun is one backend with one number of threads.
type speedRun struct {
	backend        string
	threads        int
	enc            *codec.Encoder
	dec            *codec.Decoder
	gauge          gauge
	encode, decode []float64 // seconds of every timed round

	encodeMACs, decodeMACs   float64   // of the networks, by pixel
	encodeShare, decodeShare []float64 // of the peak, of every timed round
	bytes                    int64
	sum                      [sha256.Size]byte // of all coded bytes and decoded pixels
	buf                      bytes.Buffer
}

func newSpeedRun(backend string, threads int, o codec.Options) (*speedRun, error) {
	o.Threads = threads
	enc, err := codec.NewEncoder(&o)
	if err != nil {
		return nil, err
	}
	dec := codec.NewDecoder(&codec.DecoderOptions{Models: models(o.Model), Threads: threads})
	return &speedRun{backend: backend, threads: threads, enc: enc, dec: dec, gauge: gauge{peaks: kernels.Peak()}}, nil
}

// do encodes and decodes all pictures once. The warm-up round is not timed but
// remembers a sum of the output, which later rounds must repeat.
func (s *speedRun) do(images []image.Image, warmup bool) error {
	if err := kernels.Use(s.backend); err != nil {
		return err
	}
	hash := sha256.New()
	var encode, decode time.Duration
	s.bytes = 0
	// What the threads could have done instead, in encoding and in decoding.
	var possible [2]float64
	var pixels float64
	peak := s.sampleFMA()
	able := func(i int, d time.Duration) {
		before := peak
		peak = s.sampleFMA()
		possible[i] += d.Seconds() * float64(s.threads) * (before + peak) / 2
	}
	for _, m := range images {
		pixels += float64(m.Bounds().Dx()) * float64(m.Bounds().Dy())
		s.buf.Reset()
		start := time.Now()
		if err := s.enc.Encode(&s.buf, m); err != nil {
			return err
		}
		spent := time.Since(start)
		encode += spent
		able(0, spent)
		s.bytes += int64(s.buf.Len())
		hash.Write(s.buf.Bytes())

		start = time.Now()
		got, err := s.dec.Decode(bytes.NewReader(s.buf.Bytes()))
		if err != nil {
			return err
		}
		spent = time.Since(start)
		decode += spent
		able(1, spent)
		hashPixels(hash, got)
	}
	s.sum = [sha256.Size]byte(hash.Sum(nil))
	if !warmup {
		s.encode = append(s.encode, encode.Seconds())
		s.decode = append(s.decode, decode.Seconds())
		if peak > 0 {
			s.encodeShare = append(s.encodeShare, 2*s.encodeMACs*pixels/possible[0])
			s.decodeShare = append(s.decodeShare, 2*s.decodeMACs*pixels/possible[1])
		}
	}
	return nil
}

// sampleFMA measures the peak of the core that it runs on.
func (s *speedRun) sampleFMA() float64 {
	defer lockClock()()
	return s.gauge.sampleFMA()
}

// hashPixels adds the pixels of an image, in one layout for all types.
func hashPixels(w io.Writer, m image.Image) {
	p, ok := m.(*image.NRGBA)
	if !ok || p.Stride != 4*p.Rect.Dx() {
		p = image.NewNRGBA(image.Rect(0, 0, m.Bounds().Dx(), m.Bounds().Dy()))
		draw.Draw(p, p.Rect, m, m.Bounds().Min, draw.Src)
	}
	w.Write(p.Pix)
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}

// WriteTable prints the speeds.
func (r *CodecResult) WriteTable(w io.Writer) error {
	e := &errWriter{w: w}
	fmt.Fprintf(e, "%s, %s/%s, %s\n", r.Machine.CPU, r.Machine.OS, r.Machine.Arch, r.Machine.Go)
	fmt.Fprintf(e, "model %s, quality %g: %d pictures, %.2f Mpixel, %.4f bpp, median of %d runs\n\n",
		r.Model, r.Quality, len(r.Pictures), float64(r.Pixels)/1e6, 8*float64(r.Bytes)/float64(r.Pixels), r.Rounds)
	t := tabwriter.NewWriter(e, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "backend\tthreads\tencode ms\tMpixel/s\tof peak\tdecode ms\tMpixel/s\tof peak\t")
	for _, s := range r.Speeds {
		share := func(v *float64) string {
			if v == nil {
				return "-"
			}
			return fmt.Sprintf("%.0f %%", 100**v)
		}
		fmt.Fprintf(t, "%s\t%d\t%.1f\t%.2f\t%s\t%.1f\t%.2f\t%s\t\n", s.Backend, s.Threads,
			1e3*s.EncodeSeconds, s.EncodeMpixel, share(s.EncodeShare), 1e3*s.DecodeSeconds, s.DecodeMpixel, share(s.DecodeShare))
	}
	t.Flush()
	fmt.Fprint(e, "\nOf peak: the networks' multiply-adds, over the whole time, of what so many cores can do in floats.\n")
	if r.Integers {
		fmt.Fprint(e, "The decoder draws in integers, of which they can do more.\n")
	}
	fmt.Fprint(e, "All of them wrote the same bytes and decoded the same pixels.\n")
	return e.err
}

// WriteJSON writes the result as one JSON object.
func (r *CodecResult) WriteJSON(w io.Writer) error { return writeJSON(w, r) }
