package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Record is what was measured on one machine: the last result of every suite,
// and comparisons with other programs that scripts in bench/peers make.
type Record struct {
	Name    string         `json:"-"`              // of the file, without extension
	Note    string         `json:"note,omitempty"` // by hand: what a reader has to know about the circumstances
	Kernels *KernelsResult `json:"kernels,omitempty"`
	Layers  *LayersResult  `json:"layers,omitempty"`
	Codec   *CodecResult   `json:"codec,omitempty"`
	Train   *TrainResult   `json:"train,omitempty"`

	PeerCodecs *PeerCodecs `json:"peer_codecs,omitempty"`
	PeerTrain  *PeerTrain  `json:"peer_train,omitempty"`
}

// PeerCodecs compares whole programs that code pictures, on one thread.
type PeerCodecs struct {
	Machine Machine         `json:"machine"`
	Lines   []PeerCodecLine `json:"lines"`
}

// PeerCodecLine is one program on one set of pictures.
type PeerCodecLine struct {
	Pictures string  `json:"pictures"`
	Program  string  `json:"program"` // with version and flags
	Action   string  `json:"action"`  // encode or decode
	PSNR     float64 `json:"psnr"`
	BPP      float64 `json:"bpp"`
	Seconds  Spread  `json:"seconds"` // a picture, whole process
	Ratio    Spread  `json:"ratio"`   // its time by that of aecodec: above 1, aecodec is faster
}

// PeerTrain is what train.py writes.
type PeerTrain struct {
	Torch   string    `json:"torch"`
	Threads int       `json:"threads"`
	Batch   int       `json:"batch"`
	Crop    int       `json:"crop"`
	Ours    []float64 `json:"aecodec_pixels_per_second"`
	Theirs  []float64 `json:"torch_pixels_per_second"`
	Others  []float64 `json:"others"` // share of the cores that other programs used
	Ratio   *float64  `json:"ratio"`  // null: the machine was busy
}

// machine is where the record was made.
func (r *Record) machine() *Machine {
	switch {
	case r.Kernels != nil:
		return &r.Kernels.Machine
	case r.Layers != nil:
		return &r.Layers.Machine
	case r.Codec != nil:
		return &r.Codec.Machine
	case r.Train != nil:
		return &r.Train.Machine
	case r.PeerCodecs != nil:
		return &r.PeerCodecs.Machine
	}
	return new(Machine)
}

// WriteJSON writes the record as one JSON object.
func (r *Record) WriteJSON(w io.Writer) error { return writeJSON(w, r) }

// ReadRecord reads the record of a machine.
func ReadRecord(name string) (*Record, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("bench: record: %w", err)
	}
	base := filepath.Base(name)
	r := &Record{Name: strings.TrimSuffix(base, filepath.Ext(base))}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("bench: record: %s: %w", name, err)
	}
	return r, nil
}

// UpdateRecord returns the record of the named file, or an empty one if there is
// none, with the result of one suite replaced: a *KernelsResult, *LayersResult,
// *CodecResult or *TrainResult. A record is of one machine.
func UpdateRecord(name string, result any) (*Record, error) {
	r, err := ReadRecord(name)
	if errors.Is(err, fs.ErrNotExist) {
		r, err = new(Record), nil
	}
	if err != nil {
		return nil, err
	}
	before := r.machine().CPU
	var m *Machine
	switch v := result.(type) {
	case *KernelsResult:
		r.Kernels, m = v, &v.Machine
	case *LayersResult:
		r.Layers, m = v, &v.Machine
	case *CodecResult:
		own := *v
		own.Pictures = nil
		for _, p := range v.Pictures { // folders are nobody's business
			own.Pictures = append(own.Pictures, filepath.Base(p))
		}
		r.Codec, m = &own, &v.Machine
	case *TrainResult:
		r.Train, m = v, &v.Machine
	default:
		return nil, fmt.Errorf("bench: record: %T is no result", result)
	}
	if before != "" && m.CPU != before {
		return nil, fmt.Errorf("bench: record: %s was measured on another machine: %s", name, before)
	}
	return r, nil
}

// ReadRecords reads all records of a folder, by name.
func ReadRecords(dir string) ([]*Record, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("bench: record: %w", err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("bench: record: %s: no records (.json) in this folder", dir)
	}
	slices.Sort(names)
	var list []*Record
	for _, name := range names {
		r, err := ReadRecord(name)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}
