package trainer

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/codec/nn"
)

// A checkpoint is a safetensors file, so that other tools can read it. The
// averaged weights, which are what a model is made of, have the plain names of
// the parameters; the rest of the state has a prefix. There is no state of a
// random generator: batches and noise are functions of the step.
const (
	checkpointName   = "checkpoint.safetensors"
	checkpointFormat = "aecodec checkpoint 1"

	prefixWeights = "train:"
	prefixMoment1 = "adam.m:"
	prefixMoment2 = "adam.v:"
	prefixBytes   = "byte steps:"
)

// checkpointInfo is the part of a checkpoint that is not numbers.
type checkpointInfo struct {
	Step     int     `json:"step"`
	Seconds  float64 `json:"seconds"` // of training so far
	Pictures string  `json:"pictures"`
	Config   *Config `json:"config"`
}

// ErrCheckpoint is wrapped by every error about a damaged checkpoint.
var ErrCheckpoint = errors.New("damaged or no checkpoint")

func checkpointPath(dir string) string { return filepath.Join(dir, checkpointName) }

func (s *state) parts() []struct {
	prefix string
	tensors
} {
	return []struct {
		prefix string
		tensors
	}{{"", s.ema}, {prefixWeights, s.weights}, {prefixMoment1, s.m}, {prefixMoment2, s.v}}
}

// saveCheckpoint writes a checkpoint in place of the one at path, at once or
// not at all.
func saveCheckpoint(path string, s *state, info *checkpointInfo) error {
	all := nn.Params{}
	for _, part := range s.parts() {
		for name, t := range part.named {
			all[part.prefix+name] = t
		}
	}
	for name, t := range s.byteSteps {
		all[prefixBytes+name] = t
	}
	text, err := json.Marshal(info)
	if err != nil {
		return fmt.Errorf("trainer: checkpoint: %w", err)
	}
	metadata := map[string]string{
		"format": checkpointFormat,
		"info":   string(text),
		"crc32c": fmt.Sprintf("%08x", checksum(all, string(text))),
	}
	if err := writeFile(path, func(w io.Writer) error { return WriteSafetensors(w, all, metadata) }); err != nil {
		return fmt.Errorf("trainer: checkpoint: %w", err)
	}
	return nil
}

// loadCheckpoint reads a checkpoint for an architecture whose parameters are
// those of s and fills s.
func loadCheckpoint(path string, s *state) (*checkpointInfo, error) {
	fail := func(err error) (*checkpointInfo, error) {
		return nil, fmt.Errorf("trainer: checkpoint: %s: %w", path, err)
	}
	all, info, err := readCheckpoint(path)
	if err != nil {
		return fail(err)
	}
	for _, part := range s.parts() {
		for _, name := range part.named.Names() {
			t, from := part.named[name], all[part.prefix+name]
			if from == nil || !slices.Equal(from.Shape, t.Shape) {
				return fail(fmt.Errorf("of another architecture: %q is missing or of another shape", part.prefix+name))
			}
			copy(t.Data, from.Data)
		}
	}
	for name, t := range all {
		if value, ok := strings.CutPrefix(name, prefixBytes); ok {
			if s.byteSteps == nil {
				s.byteSteps = nn.Params{}
			}
			s.byteSteps[value] = t
		}
	}
	s.step = info.Step
	return info, nil
}

func readCheckpoint(path string) (nn.Params, *checkpointInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	all, metadata, err := ReadSafetensors(f)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	if metadata["format"] != checkpointFormat {
		return nil, nil, fmt.Errorf("%w: format %q, want %q", ErrCheckpoint, metadata["format"], checkpointFormat)
	}
	if sum := fmt.Sprintf("%08x", checksum(all, metadata["info"])); sum != metadata["crc32c"] {
		return nil, nil, fmt.Errorf("%w: checksum %s, want %s", ErrCheckpoint, sum, metadata["crc32c"])
	}
	info := new(checkpointInfo)
	if err := json.Unmarshal([]byte(metadata["info"]), info); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	if info.Step < 0 || info.Config == nil || info.Config.Arch == nil {
		return nil, nil, fmt.Errorf("%w: incomplete", ErrCheckpoint)
	}
	return all, info, nil
}

// checksum covers what a flipped bit could change unnoticed.
func checksum(p nn.Params, info string) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, []byte(info))
	buf := make([]byte, 0, 1<<16)
	for _, name := range p.Names() {
		t := p[name]
		sum = crc32.Update(sum, table, fmt.Appendf(nil, "%s %v", name, t.Shape))
		for data := t.Data; len(data) > 0; {
			n := min(len(data), cap(buf)/4)
			buf = buf[:0]
			for _, v := range data[:n] {
				buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
			}
			sum = crc32.Update(sum, table, buf)
			data = data[n:]
		}
	}
	return sum
}

// loadWeights reads weights to start from: a model file, a safetensors file
// (such as the PyTorch twin writes) or a checkpoint, whose averages it takes.
func loadWeights(path string, arch *codec.Arch) (nn.Params, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("trainer: initial weights: %w", err)
	}
	defer f.Close()
	var p nn.Params
	if strings.EqualFold(filepath.Ext(path), ".aem") {
		m, err := codec.LoadModel(f)
		if err != nil {
			return nil, fmt.Errorf("trainer: initial weights: %s: %w", path, err)
		}
		p = m.Params()
	} else if p, _, err = ReadSafetensors(f); err != nil {
		return nil, fmt.Errorf("trainer: initial weights: %s: %w", path, err)
	}
	specs, err := arch.ParamSpecs()
	if err != nil {
		return nil, err
	}
	out := make(nn.Params, len(specs))
	for _, s := range specs {
		t := p[s.Name]
		switch {
		case t == nil:
			return nil, fmt.Errorf("trainer: initial weights: %s: %q is missing: another architecture or a decoder only", path, s.Name)
		case !slices.Equal(t.Shape, s.Shape):
			return nil, fmt.Errorf("trainer: initial weights: %s: %q is %v, want %v", path, s.Name, t.Shape, s.Shape)
		}
		out[s.Name] = t
	}
	return out, nil
}
