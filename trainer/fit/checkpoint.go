package fit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/trainer"
)

const (
	checkpointName   = "recipe.safetensors"
	checkpointFormat = "aecodec recipe checkpoint 1"
)

// checkpoint is the state of a session after an epoch. The tensors of a network
// are named <network>/<part>:<parameter>, where part is w, m or v.
type checkpoint struct {
	Identity string         `json:"identity"`
	Seed     uint64         `json:"seed"`
	Stage    int            `json:"stage"` // stages done before this one
	Epoch    int            `json:"epoch"` // epochs done in this stage
	Steps    map[string]int `json:"steps"` // of the optimiser, by network

	tensors nn.Params
}

// parts are the tensors of a network that a checkpoint keeps.
func (n *Net) parts() map[string]nn.Params {
	return map[string]nn.Params{"w": n.Params, "m": n.m, "v": n.v}
}

func (s *Session) path() string { return filepath.Join(s.Checkpoint, checkpointName) }

// openCheckpoint reads the checkpoint to resume from, or makes sure that there
// is none to overwrite.
func (s *Session) openCheckpoint() error {
	if s.Checkpoint == "" {
		return nil
	}
	if err := os.MkdirAll(s.Checkpoint, 0o777); err != nil {
		return fmt.Errorf("fit: checkpoint: %w", err)
	}
	f, err := os.Open(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("fit: checkpoint: %w", err)
	}
	defer f.Close()
	if !s.Resume {
		return fmt.Errorf("fit: checkpoint: %s is there already: resume, or remove it", s.path())
	}
	all, metadata, err := trainer.ReadSafetensors(f)
	if err != nil {
		return fmt.Errorf("fit: checkpoint: %s: %w", s.path(), err)
	}
	if metadata["format"] != checkpointFormat {
		return fmt.Errorf("fit: checkpoint: %s: format %q, want %q", s.path(), metadata["format"], checkpointFormat)
	}
	c := &checkpoint{tensors: all}
	if err := json.Unmarshal([]byte(metadata["state"]), c); err != nil {
		return fmt.Errorf("fit: checkpoint: %s: %w", s.path(), err)
	}
	if c.Identity != s.Identity || c.Seed != s.Seed {
		return fmt.Errorf("fit: checkpoint: %s: of %s with seed %d, not of %s with seed %d", s.path(), c.Identity, c.Seed, s.Identity, s.Seed)
	}
	s.saved = c
	return nil
}

// restore fills in a network, if the checkpoint has it.
func (c *checkpoint) restore(name string, n *Net) error {
	steps, ok := c.Steps[name]
	if !ok {
		return nil
	}
	for part, params := range n.parts() {
		for _, p := range params.Names() {
			from := c.tensors[name+"/"+part+":"+p]
			if from == nil || !slices.Equal(from.Shape, params[p].Shape) {
				return fmt.Errorf("fit: checkpoint: %s of network %q is missing or of another shape", p, name)
			}
			copy(params[p].Data, from.Data)
		}
	}
	n.steps = steps
	n.Refresh()
	return nil
}

func (s *Session) save(epoch int) error {
	if s.Checkpoint == "" {
		return nil
	}
	c := checkpoint{Identity: s.Identity, Seed: s.Seed, Stage: s.stage, Epoch: epoch, Steps: map[string]int{}}
	all := nn.Params{}
	for i, n := range s.nets {
		c.Steps[s.names[i]] = n.steps
		for part, params := range n.parts() {
			for p, t := range params {
				all[s.names[i]+"/"+part+":"+p] = t
			}
		}
	}
	state, err := json.Marshal(&c)
	if err != nil {
		return fmt.Errorf("fit: checkpoint: %w", err)
	}
	temp := s.path() + ".tmp"
	f, err := os.Create(temp)
	if err != nil {
		return fmt.Errorf("fit: checkpoint: %w", err)
	}
	err = trainer.WriteSafetensors(f, all, map[string]string{"format": checkpointFormat, "state": string(state)})
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(temp, s.path())
	}
	if err != nil {
		os.Remove(temp)
		return fmt.Errorf("fit: checkpoint: %w", err)
	}
	return nil
}
