package record

import (
	"fmt"
	"strings"
)

// Format names a kind of file.
type Format string

// The formats that Read and Write know.
const (
	NPY      Format = "npy"      // NumPy array, version 1 to 3: u1, i2, f4, f8
	IDX      Format = "idx"      // as the MNIST digits come, also compressed with gzip
	CSV      Format = "csv"      // text, one row a line
	WAV      Format = "wav"      // RIFF/WAVE, 16-bit PCM or 32-bit float
	Int16    Format = "int16"    // raw samples, 16 bits, little endian
	Pictures Format = "pictures" // a folder of pictures of one size
)

// Origin is what a file says beside the records, and what it takes to write
// them in the same way. It travels with a coded set.
type Origin struct {
	Format Format `json:"format,omitempty"`
	// Columns are the names of a CSV file's columns of values.
	Columns []string `json:"columns,omitempty"`
	// Files are the names, without folders, of pictures.
	Files []string `json:"files,omitempty"`
	// Rate is the number of samples a second of a WAV file or raw samples.
	Rate int `json:"rate,omitempty"`
	// Gain and Zero turn integer samples into values: (sample - Zero)/Gain.
	// Gain is 0 where samples are not integers.
	Gain float64 `json:"gain,omitempty"`
	Zero int     `json:"zero,omitempty"`
	// Series is set if the records are windows of a series.
	Series *Series `json:"series,omitempty"`
}

// Series says how a long series was cut into records. Record i starts at sample
// i·Stride, except that the last one ends with the series. Where records
// overlap, a sample belongs to the record whose middle is nearest, of two the
// earlier one: no mean is taken, so an error bound for the records holds for
// the series as well.
type Series struct {
	Length int `json:"length"` // samples
	Stride int `json:"stride"`
}

// check says what contradicts the set.
func (o *Origin) check(s *Set) error {
	if o == nil {
		return nil
	}
	fail := func(cause string, args ...any) error {
		return fmt.Errorf("record: origin: "+cause, args...)
	}
	dims := s.Dims()
	switch {
	case o.Rate < 0:
		return fail("%d samples a second", o.Rate)
	case !(o.Gain >= 0 && o.Gain <= 1e30):
		return fail("gain %g", o.Gain)
	case o.Zero < -1<<24 || o.Zero > 1<<24:
		return fail("zero at %d", o.Zero)
	}
	if o.Series != nil {
		if dims.H != 1 {
			return fail("records of shape %v are no windows of a series", s.Shape)
		}
		n, err := countWindows(o.Series.Length, dims.W, o.Series.Stride)
		if err != nil {
			return err
		}
		if n != s.N {
			return fail("%d records of %d samples, where the series has %d", s.N, dims.W, n)
		}
	}
	if o.Files != nil && len(o.Files) != s.N {
		return fail("%d names for %d records", len(o.Files), s.N)
	}
	// A name decides where a file is written, and may come from anywhere.
	seen := make(map[string]bool, len(o.Files))
	for _, name := range o.Files {
		if name == "" || len(name) > 255 || name[0] == '.' || strings.ContainsAny(name, "/\\:\x00") || seen[strings.ToLower(name)] {
			return fail("%q cannot name one of the files", name)
		}
		seen[strings.ToLower(name)] = true
	}
	return nil
}

// countWindows returns how many records of window samples a series has.
func countWindows(length, window, stride int) (int, error) {
	switch {
	case window < 1:
		return 0, fmt.Errorf("record: series: window of %d samples", window)
	case stride < 1 || stride > window:
		return 0, fmt.Errorf("record: series: stride of %d samples, not 1 to the window of %d", stride, window)
	case length < window:
		return 0, fmt.Errorf("record: series: %d samples are less than one window of %d", length, window)
	case length > MaxValues:
		return 0, fmt.Errorf("record: series: more than %d samples", MaxValues)
	}
	return (length-window+stride-1)/stride + 1, nil
}

// start returns the first sample of record i.
func (q *Series) start(i, window int) int { return min(i*q.Stride, q.Length-window) }

// cutWindows makes records of a series of samples of c channels. A stride of 0
// is one window.
func cutWindows(series []float32, c, window, stride int) (*Set, error) {
	if stride == 0 {
		stride = window
	}
	length := len(series) / c
	n, err := countWindows(length, window, stride)
	if err != nil {
		return nil, err
	}
	shape := []int{window}
	if c > 1 {
		shape = []int{1, window, c}
	}
	if _, err := countValues(n, shape); err != nil {
		return nil, err
	}
	s := NewSet(Float32, n, shape...)
	q := &Series{Length: length, Stride: stride}
	for i := range n {
		copy(s.Record(i), series[q.start(i, window)*c:])
	}
	s.Origin = &Origin{Series: q}
	return s, nil
}

// samples returns the records as one series of rows of C values: joined where
// they are windows of one, else one after the other.
func (s *Set) samples() []float32 {
	d := s.Dims()
	if s.Origin == nil || s.Origin.Series == nil {
		return s.Data
	}
	q := s.Origin.Series
	out := make([]float32, q.Length*d.C)
	from := 0
	for i := range s.N {
		at, to := q.start(i, d.W), q.Length
		if i+1 < s.N {
			// Up to half way between the middles of this record and the next.
			to = (at+q.start(i+1, d.W)+d.W-1)/2 + 1
		}
		copy(out[from*d.C:to*d.C], s.Record(i)[(from-at)*d.C:])
		from = to
	}
	return out
}
