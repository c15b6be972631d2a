package trainer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// logFile is a run's history, one JSON object a line: a StepStats every
// LogEvery steps, a ValidStats (with the key "valid") every ValidEvery steps.
type logFile struct {
	f *os.File
}

// openLog opens a log for appending. Entries past step keep are dropped: they
// belong to steps that a resumed run will do again.
func openLog(path string, keep int) (*logFile, error) {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("trainer: log: %w", err)
	}
	if len(old) > 0 {
		err := writeFile(path, func(w io.Writer) error {
			for line := range bytes.Lines(old) {
				var entry struct{ Step int }
				if json.Unmarshal(line, &entry) != nil || entry.Step > keep || keep == 0 {
					continue
				}
				if _, err := w.Write(line); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("trainer: log: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("trainer: log: %w", err)
	}
	return &logFile{f}, nil
}

// add appends one entry.
func (l *logFile) add(entry any) error {
	line, err := json.Marshal(entry)
	if err == nil {
		_, err = l.f.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("trainer: log: %w", err)
	}
	return nil
}

func (l *logFile) close() error { return l.f.Close() }

// history is a log read back.
type history struct {
	steps []StepStats
	valid []ValidStats
}

func readLog(path string) (*history, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("trainer: log: %w", err)
	}
	defer f.Close()
	h := new(history)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var entry struct {
			StepStats
			Valid []ValidPoint `json:"valid"`
		}
		if json.Unmarshal(lines.Bytes(), &entry) != nil {
			continue // the last line of a run that was killed
		}
		if entry.Valid != nil {
			h.valid = append(h.valid, ValidStats{entry.Step, entry.Loss, entry.Valid})
		} else {
			h.steps = append(h.steps, entry.StepStats)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("trainer: log: %w", err)
	}
	return h, nil
}
