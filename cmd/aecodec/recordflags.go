package main

import (
	"bufio"
	"fmt"
	"os"

	"github.com/aecodec/aecodec/cmd/aecodec/internal/cli"
	"github.com/aecodec/aecodec/codec/record"
)

// recordFlags say how files of records are to be read.
type recordFlags struct {
	record.ReadOptions
	labels string
}

func (r *recordFlags) add(f *cli.FlagSet) {
	f.StringVar((*string)(&r.Format), "format", "", "format of the records: npy, idx, csv, wav, int16 or pictures (default: by content and name)")
	f.StringVar(&r.labels, "labels", "", "IDX file of the records' labels")
	f.StringSliceVar(&r.Columns, "columns", nil, "columns of a CSV file that hold values, by name or number; a range is a:b")
	f.StringVar(&r.Label, "label", "", "column of a CSV file that holds the label")
	f.IntVar(&r.Window, "window", 0, "samples of a record, cut from a long series")
	f.IntVar(&r.Stride, "stride", 0, "distance of such windows (default: one after the other)")
	f.IntVar(&r.Channels, "channels", 0, "interleaved channels of raw samples")
	f.Float64Var(&r.Gain, "gain", 0, "steps of raw samples that make a unit")
	f.IntVar(&r.Zero, "zero", 0, "raw sample that is zero")
}

// read returns the records of a file or folder, with the labels of another.
func (r *recordFlags) read(name, labels string) (*record.Set, error) {
	s, err := record.Read(name, &r.ReadOptions)
	if err != nil {
		return nil, err
	}
	if labels == "" {
		return s, nil
	}
	f, err := os.Open(labels)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", labels, cause(err))
	}
	defer f.Close()
	if s.Labels, err = record.ReadIDXLabels(bufio.NewReader(f)); err != nil {
		return nil, fmt.Errorf("%s: %w", labels, err)
	}
	if len(s.Labels) != s.N {
		return nil, fmt.Errorf("%s: %d labels for the %d records of %s", labels, len(s.Labels), s.N, name)
	}
	return s, nil
}

// loadRecordModel reads a model for records.
func loadRecordModel(name string) (*record.Model, error) {
	if name == "" {
		return nil, usagef("--model: name a model for records (aecodec train --recipe makes them)")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, cause(err))
	}
	defer f.Close()
	m, err := record.LoadModel(bufio.NewReader(f))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}
