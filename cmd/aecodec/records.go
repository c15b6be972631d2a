package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/codec/record"
	"github.com/aecodec/aecodec/format"
)

// recordExtensions are the files of records that can be written.
var recordExtensions = []string{".npy", ".idx", ".csv", ".wav", ".i16"}

// recordReport is what encode and decode say about a file of records.
type recordReport struct {
	Input       string   `json:"input"`
	Output      string   `json:"output"`
	Records     int      `json:"records"`
	Shape       []int    `json:"shape"`
	Values      string   `json:"values"` // their type
	InputBytes  int64    `json:"input_bytes"`
	OutputBytes int64    `json:"output_bytes"`
	BPV         float64  `json:"bits_per_value"` // of the .aec file
	Quality     float64  `json:"quality"`
	MaxError    *float64 `json:"max_error,omitempty"` // absent where there is no bound
	Model       string   `json:"model"`
	Seconds     float64  `json:"seconds"` // of coding, without the reading and writing of the records
}

func (r *recordReport) String() string {
	bound := ""
	if r.MaxError != nil {
		bound = fmt.Sprintf("  no value off by more than %g", *r.MaxError)
	}
	return fmt.Sprintf("%s -> %s  %s of %s  %s -> %s  %.3f bits per value%s  %.2f s",
		r.Input, r.Output, count(r.Records, "record"), shapeOf(r.Shape), byteCount(r.InputBytes), byteCount(r.OutputBytes), r.BPV, bound, r.Seconds)
}

// shapeOf writes a shape as 28x28.
func shapeOf(shape []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(shape), " ", "x"), "[]")
}

func newRecordReport(j *job, s *record.Set, coded int64, h *format.RecordHeader) *recordReport {
	r := &recordReport{
		Input: j.in, Output: j.out, Records: s.N, Shape: s.Shape, Values: s.Kind.String(),
		BPV: 8 * float64(coded) / float64(len(s.Data)),
	}
	if h != nil {
		r.Quality, r.Model = qualityOf(h.Quality), h.Model
		if h.Bounded {
			r.MaxError = &h.MaxError
		}
	}
	return r
}

// recordFlagNames are the flags of encode that records alone have.
var recordFlagNames = []string{
	"max-error", "format", "labels", "columns", "label", "window", "stride", "channels", "rate", "gain", "zero",
}

// recordJobs makes a job of each argument: for records a folder is one set of pictures.
func recordJobs(args []string) []*job {
	var jobs []*job
	for _, arg := range args {
		if st, err := os.Stat(arg); err == nil && st.IsDir() {
			jobs = append(jobs, &job{in: filepath.Clean(arg)})
			continue
		}
		jobs = append(jobs, findInputs([]string{arg}, nil)...)
	}
	return jobs
}

// encodeRecords is encode with a model for records.
func (a *app) encodeRecords(args []string, f *encodeFlags, m *record.Model) error {
	jobs := recordJobs(args)
	if err := nameOutputs(jobs, f.output, codedExtension, append([]string{codedExtension}, recordExtensions...)); err != nil {
		return err
	}
	if err := a.checkStdout(jobs); err != nil {
		return err
	}
	return a.batch(jobs, "encoding", func(j *job, threads int) (fmt.Stringer, error) {
		s, size, err := a.readRecords(j.in, &f.records, m)
		if err != nil {
			return nil, err
		}
		release, err := a.reserve(len(s.Data), 1)
		if err != nil {
			return nil, err
		}
		defer release()
		o := &record.Options{Model: m, Quality: f.quality, Bounded: f.bounded, MaxError: f.maxError, Threads: threads}
		var seconds float64
		coded, err := a.writeOutput(j.out, f.force, func(w io.Writer) error {
			start := time.Now()
			defer func() { seconds = time.Since(start).Seconds() }()
			return record.Encode(w, s, o)
		})
		r := newRecordReport(j, s, coded, nil)
		r.InputBytes, r.OutputBytes, r.Quality, r.Model, r.Seconds = size, coded, f.quality, m.Name(), seconds
		if o.Bounded {
			r.MaxError = &o.MaxError
		}
		return r, err
	})
}

// readRecords reads the records of an input and the bytes that it has. What makes a record of a series is up to the model,
// unless flags say otherwise.
func (a *app) readRecords(name string, f *recordFlags, m *record.Model) (*record.Set, int64, error) {
	flags := *f
	if d := (&record.Set{Shape: m.Shape()}).Dims(); d.H == 1 {
		if flags.Window == 0 && isSeries(name, flags.Format) {
			flags.Window = d.W
		}
		if flags.Channels == 0 {
			flags.Channels = d.C
		}
	}
	if name == stdio {
		if flags.labels != "" {
			return nil, 0, usagef("--labels: standard input has no file of labels beside it")
		}
		in := &sizeReader{r: a.stdin}
		s, err := record.ReadStream(in, "", &flags.ReadOptions)
		if err != nil {
			return nil, 0, err
		}
		return m.Conform(s), in.n, nil
	}
	size, err := diskSize(name)
	if err != nil {
		return nil, 0, err
	}
	s, err := flags.read(name, flags.labels)
	if err != nil {
		return nil, 0, trimName(err, name) // which is printed anyway
	}
	return m.Conform(s), size, nil
}

// isSeries tells files that hold nothing but a series of samples.
func isSeries(name string, f record.Format) bool {
	if f == "" {
		f, _ = record.FormatOf(name)
	}
	return f == record.WAV || f == record.Int16
}

// trimmedError is an error without the name that it begins with.
type trimmedError struct {
	error
	text string
}

func (e *trimmedError) Error() string { return e.text }
func (e *trimmedError) Unwrap() error { return e.error }

func trimName(err error, name string) error {
	if text, ok := strings.CutPrefix(err.Error(), name+": "); ok {
		return &trimmedError{err, text}
	}
	return err
}

// diskSize returns the bytes of a file, or of the files right in a folder.
func diskSize(name string) (int64, error) {
	st, err := os.Stat(name)
	if err != nil || !st.IsDir() {
		if err != nil {
			return 0, err
		}
		return st.Size(), nil
	}
	entries, err := os.ReadDir(name)
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, e := range entries {
		if st, err := e.Info(); err == nil && st.Mode().IsRegular() {
			sum += st.Size()
		}
	}
	return sum, nil
}

// sizeReader counts what is read.
type sizeReader struct {
	r io.Reader
	n int64
}

func (s *sizeReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += int64(n)
	return n, err
}

// decodeRecords decodes an input that holds records: to a file, or to a folder of pictures.
func (a *app) decodeRecords(j *job, in *input, f *decodeFlags, models *models, threads int) (*recordReport, error) {
	o := models.recordOptions(threads)
	info, err := record.DecodeInfo(in, o)
	if err != nil {
		return nil, err
	}
	if err := in.rewind(); err != nil {
		return nil, err
	}
	release, err := a.reserve(info.N, info.Header.Len())
	if err != nil {
		return nil, err
	}
	defer release()
	start := time.Now()
	s, err := record.Decode(in, o)
	if err != nil {
		return nil, err
	}
	r := newRecordReport(j, s, in.size, &info.Header)
	r.InputBytes, r.Seconds = in.size, time.Since(start).Seconds()
	if j.folder {
		r.OutputBytes, err = a.writePictures(j.out, s, f.force)
		return r, err
	}
	to, ok := record.NPY, true
	if j.out != stdio {
		to, ok = record.FormatOf(j.out)
	} else if f.format != "" {
		to, ok = record.FormatOf("." + f.format)
	}
	if !ok {
		return nil, fmt.Errorf("holds records: write them to %s, or to a folder of pictures", strings.Join(recordExtensions, ", "))
	}
	r.OutputBytes, err = a.writeOutput(j.out, f.force, func(w io.Writer) error { return record.Write(w, s, to) })
	return r, err
}

// writePictures writes a PNG file for each record.
func (a *app) writePictures(dir string, s *record.Set, force bool) (int64, error) {
	if _, err := s.Picture(0); err != nil {
		return 0, fmt.Errorf("%w: name a file with one of %s", err, strings.Join(recordExtensions, ", "))
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return 0, fmt.Errorf("%s: %w", dir, cause(err))
	}
	var sum int64
	for i := range s.N {
		if a.ctx.Err() != nil {
			return sum, errInterrupted
		}
		m, err := s.Picture(i)
		if err != nil {
			return sum, err
		}
		n, err := a.writeOutput(filepath.Join(dir, s.PictureName(i)), force, func(w io.Writer) error { return png.Encode(w, m) })
		if err != nil {
			return sum, err
		}
		sum += n
	}
	return sum, nil
}

// holdsRecords tells whether a file is an .aec file of records; one that cannot be read is not.
func holdsRecords(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return false
	}
	head := make([]byte, headSize)
	n, _ := io.ReadFull(f, head)
	kind, ok := format.FileKind(head[:n])
	return ok && kind == format.KindRecords
}

// models are those of --model, of both kinds.
type models struct {
	images  []*codec.Model
	records []*record.Model
}

// loadAnyModel loads the model that --model names, of either kind; the other one is nil.
func loadAnyModel(name string) (*codec.Model, *record.Model, error) {
	if name == "" || slices.Contains(codec.EmbeddedModels(), name) {
		m, err := loadModel(name)
		return m, nil, err
	}
	path, err := modelPath(name)
	if err != nil {
		return nil, nil, err
	}
	r, err := loadRecordModel(path)
	if !errors.Is(err, record.ErrModelKind) {
		return nil, r, err
	}
	m, err := loadModel(name)
	return m, nil, err
}

// loadAnyModels loads what --model names where it can be given several times.
func loadAnyModels(names []string) (*models, error) {
	all := &models{}
	for _, name := range names {
		m, r, err := loadAnyModel(name)
		if err != nil {
			return nil, err
		}
		if r != nil {
			all.records = append(all.records, r)
		} else {
			all.images = append(all.images, m)
		}
	}
	return all, nil
}

// recordOptions are those to decode records with: the models of --model, then those of the user's folder.
func (m *models) recordOptions(threads int) *record.DecodeOptions {
	o := &record.DecodeOptions{Models: m.records, Threads: threads}
	if dir, err := codec.ModelDir(); err == nil {
		o.ModelDirs = []string{dir}
	}
	return o
}

// recordsInfo describes an .aec file of records.
type recordsInfo struct {
	Input         string   `json:"input"`
	Kind          string   `json:"kind"` // "records"
	Records       int      `json:"records"`
	Shape         []int    `json:"shape"`
	Values        string   `json:"values"`
	From          string   `json:"from,omitempty"` // format that they were read from
	Labels        bool     `json:"labels"`
	Quality       float64  `json:"quality"`
	MaxError      *float64 `json:"max_error,omitempty"`
	Model         string   `json:"model"`
	Fingerprint   string   `json:"fingerprint"`
	ModelFound    bool     `json:"model_found"`
	Bytes         int64    `json:"bytes"`
	BPV           float64  `json:"bits_per_value"`
	Groups        int      `json:"groups"`
	LatentBytes   int64    `json:"latent_bytes"`
	ResidualBytes int64    `json:"residual_bytes"`
	MetadataBytes int64    `json:"metadata_bytes"`
	OverheadBytes int64    `json:"overhead_bytes"`
}

func newRecordsInfo(name string, info *record.Info) *recordsInfo {
	h := &info.Header
	r := &recordsInfo{
		Input: name, Kind: "records", Records: info.N, Shape: info.Shape, Values: info.Kind.String(), Labels: info.Labels,
		Quality: qualityOf(h.Quality), Model: h.Model, Fingerprint: hex.EncodeToString(h.Fingerprint[:]), ModelFound: info.Model != nil,
		Bytes: info.FileBytes, BPV: 8 * float64(info.FileBytes) / (float64(info.N) * float64(h.Len())), Groups: h.Groups(),
		LatentBytes: info.LatentBytes, ResidualBytes: info.ResidualBytes, MetadataBytes: info.MetadataBytes,
		OverheadBytes: info.FileBytes - info.LatentBytes - info.ResidualBytes - info.MetadataBytes,
	}
	if info.Origin != nil {
		r.From = string(info.Origin.Format)
	}
	if h.Bounded {
		r.MaxError = &h.MaxError
	}
	return r
}

func (r *recordsInfo) String() string {
	var t table
	t.row(r.Input, "")
	from, labels, found := "", "", ""
	if r.From != "" {
		from = ", from " + r.From
	}
	if r.Labels {
		labels = ", with labels"
	}
	if !r.ModelFound {
		found = ", not at hand"
	}
	t.row("  records", "%s of %s, %s%s%s, %s", count(r.Records, "record"), shapeOf(r.Shape), r.Values, from, labels, count(r.Groups, "group"))
	t.row("  quality", "%g", r.Quality)
	if r.MaxError != nil {
		t.row("  bound", "no value is off by more than %g", *r.MaxError)
	}
	t.row("  model", "%s, fingerprint %s%s", r.Model, r.Fingerprint, found)
	t.row("  size", "%d bytes, %.4f bits per value", r.Bytes, r.BPV)
	t.row("  of it", "latents %d, residual %d, labels and origin %d, framing %d",
		r.LatentBytes, r.ResidualBytes, r.MetadataBytes, r.OverheadBytes)
	return t.String()
}

// recordModelReport describes a model for records.
type recordModelReport struct {
	Input       string      `json:"input"`
	Kind        string      `json:"kind"` // "aem"
	Name        string      `json:"name"`
	Fingerprint string      `json:"fingerprint"`
	Recipe      string      `json:"recipe"`
	Shape       []int       `json:"shape"`
	Values      string      `json:"values"`
	Latent      []int       `json:"latent"`
	CanEncode   bool        `json:"can_encode"`
	EncodeMACs  int64       `json:"encode_macs_per_record"`
	DecodeMACs  int64       `json:"decode_macs_per_record"`
	Card        record.Card `json:"card"`
}

func newRecordModelReport(name string, m *record.Model) *recordModelReport {
	fingerprint, latent := m.Fingerprint(), m.Latent()
	encode, decode := m.MACs()
	return &recordModelReport{
		Input: name, Kind: "aem", Name: m.Name(), Fingerprint: hex.EncodeToString(fingerprint[:]), Recipe: m.Recipe(),
		Shape: m.Shape(), Values: m.Kind().String(), Latent: []int{latent.H, latent.W, latent.C},
		CanEncode: m.CanEncode(), EncodeMACs: encode, DecodeMACs: decode, Card: m.Card(),
	}
}

func (r *recordModelReport) String() string {
	var t table
	t.row(r.Input, "")
	t.row("  name", "%s", r.Name)
	t.row("  fingerprint", " %s", r.Fingerprint)
	t.row("  recipe", "%s", r.Recipe)
	t.row("  records", "%s, %s; latents of %s", shapeOf(r.Shape), r.Values, shapeOf(r.Latent))
	if r.CanEncode {
		t.row("  cost", "%.1f thousand multiply-adds for a record to encode, %.1f to decode", float64(r.EncodeMACs)/1e3, float64(r.DecodeMACs)/1e3)
	} else {
		t.row("  cost", "%.1f thousand multiply-adds for a record to decode; cannot encode", float64(r.DecodeMACs)/1e3)
	}
	if r.Card.Description != "" {
		t.row("  about", "%s", r.Card.Description)
	}
	if len(r.Card.Data) > 0 {
		t.row("  data", "%s", strings.Join(r.Card.Data, "; "))
	}
	return t.String()
}
