package record

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// ReadCSV reads text with one row a line and commas, semicolons or tabs between
// columns. The first row may name the columns. Rows of unequal length, and
// values that are missing or no finite number, are errors that name the line.
func ReadCSV(r io.Reader, o *ReadOptions) (*Set, error) {
	if o == nil {
		o = &ReadOptions{}
	}
	s, err := readCSV(r, o)
	if err != nil {
		return nil, fmt.Errorf("record: csv: %w", err)
	}
	s.Origin.Format = CSV
	return s, s.Check()
}

// maxLine bounds a line, and with it the number of columns.
const maxLine = 1 << 24

// csvTable are the numbers of a text file.
type csvTable struct {
	names  []string // of the columns of values, if the first row has them
	width  int
	values []float32
	labels []int
}

func readCSV(r io.Reader, o *ReadOptions) (*Set, error) {
	t, err := readTable(r, o)
	if err != nil {
		return nil, err
	}
	if len(t.values) == 0 {
		return nil, errors.New("no rows of values")
	}
	var s *Set
	if o.Window == 0 {
		if _, err := countValues(len(t.values)/t.width, []int{t.width}); err != nil {
			return nil, err
		}
		s = &Set{Kind: Float32, N: len(t.values) / t.width, Shape: []int{t.width}, Data: t.values, Labels: t.labels, Origin: &Origin{}}
	} else {
		if t.labels != nil {
			return nil, errors.New("samples of a series have no label of a record")
		}
		if s, err = cutWindows(t.values, t.width, o.Window, o.Stride); err != nil {
			return nil, err
		}
	}
	s.Origin.Columns = t.names
	return s, nil
}

func readTable(r io.Reader, o *ReadOptions) (*csvTable, error) {
	br := bufio.NewReaderSize(r, 1<<16)
	head, err := br.Peek(1 << 16)
	if len(head) == 0 {
		if err == io.EOF {
			return nil, errors.New("no data")
		}
		return nil, err
	}
	if string(head[:min(3, len(head))]) == "\ufeff" {
		br.Discard(3)
		head = head[3:]
	}
	rows := csv.NewReader(&lineLimiter{r: br, left: maxLine})
	rows.Comma = separator(string(head))
	rows.TrimLeadingSpace = true
	rows.ReuseRecord = true
	rows.FieldsPerRecord = 0 // as many as in the first row
	t := &csvTable{}
	var columns []int
	label := -1
	for first := true; ; first = false {
		row, err := rows.Read()
		if err == io.EOF {
			return t, nil
		}
		if err != nil {
			var pe *csv.ParseError
			if errors.As(err, &pe) && errors.Is(err, csv.ErrFieldCount) {
				return nil, fmt.Errorf("line %d: %d columns, where the first row has %d", pe.Line, len(row), rows.FieldsPerRecord)
			}
			return nil, err
		}
		if first {
			named := !hasNumber(row)
			if columns, label, err = chooseColumns(row, named, o); err != nil {
				return nil, err
			}
			t.width = len(columns)
			if named {
				for _, c := range columns {
					t.names = append(t.names, row[c])
				}
				continue
			}
		}
		line, _ := rows.FieldPos(0)
		if len(t.values)+len(columns) > MaxValues {
			return nil, fmt.Errorf("line %d: more than %d values", line, MaxValues)
		}
		for _, c := range columns {
			v, err := parseValue(row[c])
			if err != nil {
				return nil, fmt.Errorf("line %d, column %d: %w", line, c+1, err)
			}
			t.values = append(t.values, v)
		}
		if label >= 0 {
			n, err := strconv.ParseFloat(strings.TrimSpace(row[label]), 64)
			if err != nil || n != float64(int(n)) {
				return nil, fmt.Errorf("line %d, column %d: label %q is no whole number", line, label+1, row[label])
			}
			t.labels = append(t.labels, int(n))
		}
	}
}

// separator is the one of comma, semicolon and tab that the first line has most.
func separator(head string) rune {
	line, _, _ := strings.Cut(head, "\n")
	best := ','
	for _, c := range []rune{';', '\t'} {
		if strings.Count(line, string(c)) > strings.Count(line, string(best)) {
			best = c
		}
	}
	return best
}

// hasNumber tells a row of values from one of names: names are no numbers.
func hasNumber(row []string) bool {
	for _, field := range row {
		if _, err := strconv.ParseFloat(strings.TrimSpace(field), 64); err == nil {
			return true
		}
	}
	return false
}

func parseValue(field string) (float32, error) {
	field = strings.TrimSpace(field)
	v, err := strconv.ParseFloat(field, 32)
	switch {
	case field == "":
		return 0, errors.New("no value")
	case err != nil && !errors.Is(err, strconv.ErrRange):
		return 0, fmt.Errorf("%q is no number", field)
	case err != nil || v != v || v-v != 0:
		return 0, fmt.Errorf("%s is not finite", field)
	}
	return float32(v), nil
}

// chooseColumns returns the indices of the columns of values, and that of the
// label or -1.
func chooseColumns(row []string, named bool, o *ReadOptions) (columns []int, label int, err error) {
	find := func(name string) (int, error) {
		if named {
			if i := slices.Index(row, name); i >= 0 {
				return i, nil
			}
		}
		if n, err := strconv.Atoi(name); err == nil && n >= 1 && n <= len(row) {
			return n - 1, nil
		}
		return 0, fmt.Errorf("no column %q among %d", name, len(row))
	}
	label = -1
	if o.Label != "" {
		if label, err = find(o.Label); err != nil {
			return nil, 0, err
		}
	}
	for _, name := range o.Columns {
		from, to, isRange := strings.Cut(name, ":")
		a, err := find(from)
		if err != nil {
			return nil, 0, err
		}
		b := a
		if isRange {
			if b, err = find(to); err != nil {
				return nil, 0, err
			}
		}
		if a > b {
			return nil, 0, fmt.Errorf("columns %q go backwards", name)
		}
		for c := a; c <= b; c++ {
			if c == label || slices.Contains(columns, c) {
				return nil, 0, fmt.Errorf("column %d is used twice", c+1)
			}
			columns = append(columns, c)
		}
	}
	if o.Columns == nil {
		for c := range row {
			if c != label {
				columns = append(columns, c)
			}
		}
	}
	if len(columns) == 0 {
		return nil, 0, errors.New("no columns of values")
	}
	return columns, label, nil
}

// lineLimiter fails when a line is longer than maxLine, give or take a buffer:
// package csv would read it into memory whole.
type lineLimiter struct {
	r    io.Reader
	left int
}

func (l *lineLimiter) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= n; l.left < 0 {
		return 0, fmt.Errorf("a line of more than %d bytes", maxLine)
	}
	if end := bytes.LastIndexByte(p[:n], '\n'); end >= 0 {
		l.left = maxLine - (n - 1 - end)
	}
	return n, err
}

// WriteCSV writes one row for each record, or for each sample of a series that
// the records are windows of, with the names of the columns if there are any.
// Labels are not written. Numbers have as many digits as it takes to read the same float32.
func WriteCSV(w io.Writer, s *Set) error {
	width, values := s.Len(), s.Data
	if s.Origin != nil && s.Origin.Series != nil {
		width, values = s.Dims().C, s.samples()
	}
	bw := bufio.NewWriter(w)
	if s.Origin != nil && len(s.Origin.Columns) == width {
		cw := csv.NewWriter(bw)
		cw.Write(s.Origin.Columns)
		cw.Flush()
	}
	var line []byte
	for i, v := range values {
		line = strconv.AppendFloat(line, float64(v), 'g', -1, 32)
		if (i+1)%width != 0 {
			line = append(line, ',')
			continue
		}
		if _, err := bw.Write(append(line, '\n')); err != nil {
			return err
		}
		line = line[:0]
	}
	return bw.Flush()
}
