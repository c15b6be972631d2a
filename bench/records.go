package bench

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aecodec/aecodec/bench/bd"
	"github.com/aecodec/aecodec/codec/record"
	"github.com/aecodec/aecodec/trainer/fit"
	"github.com/aecodec/aecodec/trainer/recipes"
)

// RecordsOptions say what Records measures.
type RecordsOptions struct {
	// Data is a folder with mnist/ (the four IDX files), ecg/ECG5000_all.csv,
	// ecg/mitbih/, faces/ and blood/ (train and test each).
	Data     string
	Only     []string // names of sets; empty: all
	Seed     uint64
	Threads  int
	Epochs   int // of all trainings, for a quick look; 0: as the sets say
	Progress func(set string, p fit.Progress)
}

// RecordCurve is what a codec needs for the test records of a set.
type RecordCurve struct {
	Codec string `json:"codec"`
	// Decoder is the size of the file that a receiver needs first, in bytes; 0
	// where a program has it built in.
	Decoder int64         `json:"decoder_bytes,omitempty"`
	Points  []RecordPoint `json:"points"`
	Missing string        `json:"missing,omitempty"` // why there are no points
}

// RecordPoint is one setting of a codec: everything that its file takes, and what
// is decoded from it.
type RecordPoint struct {
	Setting string  `json:"setting"`
	Bits    float64 `json:"bits_per_record"`
	PSNR    float64 `json:"psnr"` // of all values; the peak is 255, or the range of the test records
}

// RecordsSet is the outcome for one set of data.
type RecordsSet struct {
	Name   string        `json:"name"`
	Shape  []int         `json:"shape"`
	Train  int           `json:"train_records"`
	Test   int           `json:"test_records"`
	Peak   float64       `json:"peak"`
	Own    []RecordCurve `json:"own"` // trained autoencoders
	Peers  []RecordCurve `json:"peers"`
	Ratios []RecordRatio `json:"ratios"`
	// Bounded are files of the first own codec with a bound for every value.
	Bounded []RecordBound `json:"bounded"`
}

// RecordBound is a file that was coded with a bound for the errors.
type RecordBound struct {
	MaxError float64 `json:"max_error"`
	Worst    float64 `json:"worst"` // of all decoded values
	Bits     float64 `json:"bits_per_record"`
}

// RecordRatio compares an own codec with a peer.
type RecordRatio struct {
	Own  string `json:"own"`
	Peer string `json:"peer"`
	// Percent is the mean difference of the bits at equal PSNR (BD-rate), without
	// the decoder; negative where the own codec needs less.
	Percent   float64 `json:"percent"`
	Low, High float64 // the range of PSNR in which both exist
	// At the middle of that range, bits per record:
	OwnBits  float64 `json:"own_bits"`
	PeerBits float64 `json:"peer_bits"`
	// Included is the difference there in per cent with the decoder, or that of
	// the peer, sent once for the test records.
	Included float64 `json:"percent_with_decoder"`
	// Pays is the number of records from which the own codec needs less with its
	// decoder; 0 where it never does.
	Pays int `json:"pays_from"`
	// Reason says why the curves cannot be compared.
	Reason string `json:"reason,omitempty"`
}

// RecordsResult is the outcome of Records.
type RecordsResult struct {
	Machine Machine       `json:"machine"`
	Sets    []*RecordsSet `json:"sets"`
}

// recordData is a set of data with the autoencoders that are trained for it.
type recordData struct {
	name string
	read func(dir string) (train, test *record.Set, err error)
	// columns is how many records lie side by side where they are put together to
	// one picture for other codecs.
	columns int
	models  []recordModel
}

type recordModel struct {
	network string // of recipe dense, or pca
	latents int
	epochs  int
	batch   int
}

var recordSets = []recordData{
	{"mnist", digits, 100, []recordModel{{"deep", 32, 30, 256}, {"single", 64, 20, 256}, {"pca", 64, 0, 0}}},
	{"ecg5000", beats, 0, []recordModel{{"deep", 16, 100, 64}, {"single", 16, 100, 64}, {"pca", 16, 0, 0}}},
	{"mitbih", rhythms, 0, []recordModel{{"deep", 32, 20, 128}, {"single", 32, 20, 128}, {"pca", 32, 0, 0}}},
	{"faces", faces, 10, []recordModel{{"deep", 48, 200, 16}, {"single", 96, 200, 16}, {"pca", 96, 0, 0}}},
	{"blood", bloodTiles, bloodColumns, []recordModel{{"deep", 64, 20, 256}, {"single", 64, 20, 256}, {"pca", 64, 0, 0}}},
}

// RecordSetNames returns the names of all sets.
func RecordSetNames() []string {
	var names []string
	for _, s := range recordSets {
		names = append(names, s.name)
	}
	return names
}

// recordQualities are the settings of the own codec.
var recordQualities = []float64{5, 10, 20, 30, 40, 50, 60, 70, 85, 100}

// Records trains autoencoders on sets of records, codes the test records with
// them to real files, and compares what these take with principal components in
// the same codec, and with what a user would take instead: for pictures PNG, JPEG,
// and WebP, AVIF and JPEG XL where their programs are installed, the records side
// by side in one picture; for signals, quantised to equal steps, gzip, zstd, and
// linear prediction with Rice codes as FLAC has it.
func Records(ctx context.Context, o *RecordsOptions) (*RecordsResult, error) {
	for _, name := range o.Only {
		if !slices.Contains(RecordSetNames(), name) {
			return nil, fmt.Errorf("bench: records: unknown set %q: there are %s", name, strings.Join(RecordSetNames(), ", "))
		}
	}
	res := &RecordsResult{Machine: ThisMachine()}
	for _, d := range recordSets {
		if len(o.Only) > 0 && !slices.Contains(o.Only, d.name) {
			continue
		}
		s, err := d.measure(ctx, o)
		if err != nil {
			return nil, fmt.Errorf("bench: records: %s: %w", d.name, err)
		}
		res.Sets = append(res.Sets, s)
	}
	return res, nil
}

func (d *recordData) measure(ctx context.Context, o *RecordsOptions) (*RecordsSet, error) {
	train, test, err := d.read(o.Data)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "aecodec-records-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	s := &RecordsSet{Name: d.name, Shape: test.Shape, Train: train.N, Test: test.N, Peak: 255}
	if test.Kind != record.Uint8 {
		s.Peak = float64(slices.Max(test.Data)) - float64(slices.Min(test.Data))
	}
	for _, m := range d.models {
		model, err := m.train(ctx, d.name, train, o)
		if err != nil {
			return nil, err
		}
		c, err := codeRecords(dir, model, test, s.Peak, o.Threads)
		if err != nil {
			return nil, err
		}
		c.Codec = fmt.Sprintf("%s-%d", m.network, m.latents)
		if m.network == "pca" {
			s.Peers = append(s.Peers, *c)
			continue
		}
		if len(s.Own) == 0 {
			if s.Bounded, err = boundRecords(dir, model, test, s.Peak, o.Threads); err != nil {
				return nil, err
			}
		}
		s.Own = append(s.Own, *c)
	}
	var peers []RecordCurve
	if d.columns > 0 {
		peers, err = codeAtlas(ctx, dir, test, d.columns)
	} else {
		peers, err = codeSignals(test, s.Peak)
	}
	if err != nil {
		return nil, err
	}
	s.Peers = append(s.Peers, peers...)
	for i := range s.Own {
		for k := range s.Peers {
			s.Ratios = append(s.Ratios, compareRecords(&s.Own[i], &s.Peers[k], test.N))
		}
	}
	return s, nil
}

// train makes the model.
func (m *recordModel) train(ctx context.Context, set string, train *record.Set, o *RecordsOptions) (*record.Model, error) {
	card := record.Card{Name: fmt.Sprintf("%s-%s-%d", set, m.network, m.latents)}
	if m.network == "pca" {
		c, err := recipes.Components(train, m.latents, o.Threads)
		if err != nil {
			return nil, err
		}
		return c.Build("linear", card, o.Threads)
	}
	settings := recipes.Dense.Defaults
	settings.Network, settings.Latents, settings.Epochs, settings.Batch = m.network, m.latents, m.epochs, m.batch
	if o.Epochs > 0 {
		settings.Epochs = o.Epochs
	}
	session := &fit.Session{Context: ctx, Seed: o.Seed, Threads: o.Threads, Progress: func(p fit.Progress) {
		if o.Progress != nil {
			o.Progress(set+", "+m.network, p)
		}
	}}
	r, err := recipes.Dense.Run(&recipes.Job{Session: session, Settings: settings, Train: train})
	if err != nil {
		return nil, err
	}
	return r.Models[0].Build("dense", card, o.Threads)
}

// codeRecords codes records at all qualities to files, and decodes these.
func codeRecords(dir string, m *record.Model, test *record.Set, peak float64, threads int) (*RecordCurve, error) {
	decoder, err := writtenSize(filepath.Join(dir, "decoder.aem"), func(w io.Writer) error { return m.Save(w, true) })
	if err != nil {
		return nil, err
	}
	c := &RecordCurve{Decoder: decoder}
	for _, q := range recordQualities {
		size, back, err := thereAndBack(dir, test, &record.Options{Model: m, Quality: q, Threads: threads})
		if err != nil {
			return nil, err
		}
		c.add(fmt.Sprintf("q %g", q), size, test, back, peak)
	}
	return c, nil
}

// thereAndBack codes records to a file and decodes that.
func thereAndBack(dir string, test *record.Set, o *record.Options) (size int64, back []float32, err error) {
	name := filepath.Join(dir, "records.aec")
	if size, err = writtenSize(name, func(w io.Writer) error { return record.Encode(w, test, o) }); err != nil {
		return 0, nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	s, err := record.Decode(f, &record.DecodeOptions{Models: []*record.Model{o.Model}, Threads: o.Threads})
	if err != nil {
		return 0, nil, err
	}
	return size, s.Data, nil
}

// boundRecords codes records with bounds for the errors: bytes without any and
// with small ones, other values with a hundredth and a thousandth of their range.
// A value beyond its bound is an error.
func boundRecords(dir string, m *record.Model, test *record.Set, peak float64, threads int) ([]RecordBound, error) {
	bounds := []float64{peak / 1000, peak / 100}
	if test.Kind == record.Uint8 {
		bounds = []float64{0, 4}
	}
	var out []RecordBound
	for _, e := range bounds {
		size, back, err := thereAndBack(dir, test, &record.Options{Model: m, Bounded: true, MaxError: e, Threads: threads})
		if err != nil {
			return nil, err
		}
		b := RecordBound{MaxError: e, Bits: 8 * float64(size) / float64(test.N)}
		for i, v := range test.Data {
			b.Worst = max(b.Worst, math.Abs(float64(v)-float64(back[i])))
		}
		if b.Worst > e {
			return nil, fmt.Errorf("an error of %g with a bound of %g", b.Worst, e)
		}
		out = append(out, b)
	}
	return out, nil
}

// add appends a point, unless it is that of the setting before or without loss,
// which has no PSNR.
func (c *RecordCurve) add(setting string, size int64, test *record.Set, back []float32, peak float64) {
	sum := 0.0
	for i, v := range test.Data {
		d := float64(v) - float64(back[i])
		sum += float64(d * d)
	}
	if sum == 0 {
		return
	}
	p := RecordPoint{setting, 8 * float64(size) / float64(test.N), 10 * math.Log10(peak*peak*float64(len(test.Data))/sum)}
	if n := len(c.Points); n == 0 || c.Points[n-1].Bits != p.Bits || c.Points[n-1].PSNR != p.PSNR {
		c.Points = append(c.Points, p)
	}
}

// writtenSize writes a file and returns its size.
func writtenSize(name string, write func(io.Writer) error) (int64, error) {
	f, err := os.Create(name)
	if err != nil {
		return 0, err
	}
	if err := errors.Join(write(f), f.Close()); err != nil {
		return 0, err
	}
	st, err := os.Stat(name)
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// compareRecords compares the curves, of n records each.
func compareRecords(own, peer *RecordCurve, n int) RecordRatio {
	r := RecordRatio{Own: own.Codec, Peer: peer.Codec, Reason: peer.Missing}
	if r.Reason != "" {
		return r
	}
	a, b := own.hull(), peer.hull()
	delta, err := bd.Rate(b, a)
	if err != nil {
		r.Reason = strings.TrimPrefix(err.Error(), "bd: ")
		return r
	}
	r.Percent, r.Low, r.High = delta.Percent, delta.Low, delta.High
	at := (r.Low + r.High) / 2
	r.OwnBits, r.PeerBits = bitsAt(a, at), bitsAt(b, at)
	once := func(c *RecordCurve) float64 { return 8 * float64(c.Decoder) }
	r.Included = 100 * ((r.OwnBits+once(own)/float64(n))/(r.PeerBits+once(peer)/float64(n)) - 1)
	if r.PeerBits > r.OwnBits {
		r.Pays = max(1, int(math.Ceil((once(own)-once(peer))/(r.PeerBits-r.OwnBits))))
	}
	return r
}

// hull returns the points of a curve that no other point is better than, with
// rising rate and quality.
func (c *RecordCurve) hull() []bd.Point {
	var out []bd.Point
	for _, p := range c.Points {
		if !slices.ContainsFunc(c.Points, func(o RecordPoint) bool {
			return o.Bits <= p.Bits && o.PSNR >= p.PSNR && (o.Bits < p.Bits || o.PSNR > p.PSNR)
		}) {
			out = append(out, bd.Point{Rate: p.Bits, Quality: p.PSNR})
		}
	}
	slices.SortFunc(out, func(a, b bd.Point) int {
		switch {
		case a.Quality < b.Quality:
			return -1
		case a.Quality > b.Quality:
			return 1
		}
		return 0
	})
	return out
}

// bitsAt interpolates the logarithm of the rate at a quality between two points.
func bitsAt(points []bd.Point, quality float64) float64 {
	for i := range len(points) - 1 {
		a, b := points[i], points[i+1]
		if a.Quality <= quality && quality <= b.Quality {
			t := (quality - a.Quality) / (b.Quality - a.Quality)
			return math.Exp((1-t)*math.Log(a.Rate) + t*math.Log(b.Rate))
		}
	}
	return math.NaN()
}

// Sets of data beside those of the recipes.

const (
	rhythmWindow = 256
	bloodSide    = 16
	bloodColumns = 320 / bloodSide
)

// rhythms returns windows of the MIT-BIH records: of the first three quarters of
// them to train on, of the others to test.
func rhythms(dir string) (train, test *record.Set, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "ecg", "mitbih", "*.i16"))
	if err != nil || len(names) < 4 {
		return nil, nil, errors.Join(err, fmt.Errorf("%d records in ecg/mitbih, want four or more", len(names)))
	}
	o := &record.ReadOptions{Window: rhythmWindow, Rate: 360, Gain: 200, Zero: 1024}
	var sets []*record.Set
	for _, name := range names {
		s, err := record.Read(name, o)
		if err != nil {
			return nil, nil, err
		}
		s.Origin = nil // joining the windows is not what is measured
		sets = append(sets, s)
	}
	cut := len(sets) * 3 / 4
	if train, err = record.Concat(sets[:cut]...); err != nil {
		return nil, nil, err
	}
	test, err = record.Concat(sets[cut:]...)
	return train, test, err
}

func faces(dir string) (train, test *record.Set, err error) {
	if train, err = record.ReadPictures(filepath.Join(dir, "faces", "train")); err != nil {
		return nil, nil, err
	}
	test, err = record.ReadPictures(filepath.Join(dir, "faces", "test"))
	return train, test, err
}

// bloodTiles returns blood smears cut into tiles, row by row.
func bloodTiles(dir string) (train, test *record.Set, err error) {
	tiles := func(part string) (*record.Set, error) {
		s, err := record.ReadPictures(filepath.Join(dir, "blood", part))
		if err != nil {
			return nil, err
		}
		return cutTiles(s, bloodSide), nil
	}
	if train, err = tiles("train"); err != nil {
		return nil, nil, err
	}
	test, err = tiles("test")
	return train, test, err
}

// cutTiles cuts pictures into squares, row by row; what is left over at the right
// and the bottom is dropped.
func cutTiles(s *record.Set, side int) *record.Set {
	d := s.Dims()
	rows, columns := d.H/side, d.W/side
	out := record.NewSet(s.Kind, s.N*rows*columns, side, side, d.C)
	dst := out.Data
	for i := range s.N {
		src := s.Record(i)
		for r := range rows {
			for c := range columns {
				for y := range side {
					at := ((r*side+y)*d.W + c*side) * d.C
					dst = dst[copy(dst, src[at:at+side*d.C]):]
				}
			}
		}
	}
	return out
}

// atlas puts records of bytes side by side, in rows of columns.
func atlas(s *record.Set, columns int) image.Image {
	d := s.Dims()
	rows := (s.N + columns - 1) / columns
	bounds := image.Rect(0, 0, columns*d.W, rows*d.H)
	if d.C == 1 {
		m := image.NewGray(bounds)
		for i := range s.N {
			for y := range d.H {
				out := m.Pix[m.PixOffset(i%columns*d.W, i/columns*d.H+y):]
				for x, v := range s.Record(i)[y*d.W:][:d.W] {
					out[x] = uint8(v)
				}
			}
		}
		return m
	}
	m := image.NewNRGBA(bounds)
	for i := range m.Pix {
		m.Pix[i] = 255
	}
	for i := range s.N {
		for y := range d.H {
			out := m.Pix[m.PixOffset(i%columns*d.W, i/columns*d.H+y):]
			row := s.Record(i)[y*d.W*3:][:d.W*3]
			for x := range d.W {
				for c := range 3 {
					out[4*x+c] = uint8(row[3*x+c])
				}
			}
		}
	}
	return m
}

// fromAtlas takes records like those of s out of a picture that atlas made.
func fromAtlas(m image.Image, s *record.Set, columns int) []float32 {
	d := s.Dims()
	out := make([]float32, 0, len(s.Data))
	b := m.Bounds()
	for i := range s.N {
		x0, y0 := b.Min.X+i%columns*d.W, b.Min.Y+i/columns*d.H
		for y := range d.H {
			for x := range d.W {
				r, g, bl, _ := m.At(x0+x, y0+y).RGBA()
				if d.C == 1 {
					out = append(out, float32(g>>8))
				} else {
					out = append(out, float32(r>>8), float32(g>>8), float32(bl>>8))
				}
			}
		}
	}
	return out
}
