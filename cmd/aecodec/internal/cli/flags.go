package cli

import (
	"encoding/csv"
	"flag"
	"fmt"
	"strconv"
	"strings"
)

// Flag is a flag of a command.
type Flag struct {
	Name  string
	Short string // one letter, or none
	Usage string
	Value flag.Value

	Changed  bool   // it was given
	fallback string // the text of its default, "" where that is the zero value
	kind     string // what help calls a value, "" for a bool
}

// String is the flag as help has it.
func (f *Flag) String() string {
	if f.Short != "" {
		return "-" + f.Short + ", --" + f.Name
	}
	return "--" + f.Name
}

// SliceValue is the Value of a flag that can be given several times, and takes several values separated by commas: the quoting is
// that of CSV. The first value replaces the default.
type SliceValue interface {
	flag.Value
	GetSlice() []string // the text of every element
	Replace([]string) error
}

// FlagSet holds the flags of a command. Package flag parses their values.
type FlagSet struct {
	parent *FlagSet
	flags  []*Flag // in the order of their definition
	given  []*Flag // in the order of the command line
	values flag.FlagSet
}

// BoolVar defines a flag that is false or, when given without a value, true.
func (f *FlagSet) BoolVar(p *bool, name string, value bool, usage string) {
	f.values.BoolVar(p, name, value, usage)
	f.add(name, "", "")
}

// IntVar defines a flag that is an integer.
func (f *FlagSet) IntVar(p *int, name string, value int, usage string) {
	f.IntVarP(p, name, "", value, usage)
}

// IntVarP is IntVar with a short name.
func (f *FlagSet) IntVarP(p *int, name, short string, value int, usage string) {
	f.values.IntVar(p, name, value, usage)
	f.add(name, short, "int")
}

// Uint64Var defines a flag that is an integer from 0.
func (f *FlagSet) Uint64Var(p *uint64, name string, value uint64, usage string) {
	f.values.Uint64Var(p, name, value, usage)
	f.add(name, "", "uint")
}

// Float64Var defines a flag that is a number.
func (f *FlagSet) Float64Var(p *float64, name string, value float64, usage string) {
	f.Float64VarP(p, name, "", value, usage)
}

// Float64VarP is Float64Var with a short name.
func (f *FlagSet) Float64VarP(p *float64, name, short string, value float64, usage string) {
	f.values.Float64Var(p, name, value, usage)
	f.add(name, short, "float")
}

// StringVar defines a flag that is any text.
func (f *FlagSet) StringVar(p *string, name, value, usage string) {
	f.StringVarP(p, name, "", value, usage)
}

// StringVarP is StringVar with a short name.
func (f *FlagSet) StringVarP(p *string, name, short, value, usage string) {
	f.values.StringVar(p, name, value, usage)
	f.add(name, short, "string")
}

// StringSliceVar defines a flag whose Value is a SliceValue of texts.
func (f *FlagSet) StringSliceVar(p *[]string, name string, value []string, usage string) {
	*p = value
	f.values.Var(&sliceValue[string]{
		p:      p,
		parse:  func(s string) (string, error) { return s, nil },
		format: func(s string) string { return s },
	}, name, usage)
	f.add(name, "", "strings")
}

// Float64SliceVar defines a flag whose Value is a SliceValue of numbers.
func (f *FlagSet) Float64SliceVar(p *[]float64, name string, value []float64, usage string) {
	*p = value
	f.values.Var(&sliceValue[float64]{
		p:      p,
		parse:  func(s string) (float64, error) { return strconv.ParseFloat(strings.TrimSpace(s), 64) },
		format: func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) },
	}, name, usage)
	f.add(name, "", "floats")
}

// IntSliceVar defines a flag whose Value is a SliceValue of whole numbers.
func (f *FlagSet) IntSliceVar(p *[]int, name string, value []int, usage string) {
	*p = value
	f.values.Var(&sliceValue[int]{
		p:      p,
		parse:  func(s string) (int, error) { return strconv.Atoi(strings.TrimSpace(s)) },
		format: strconv.Itoa,
	}, name, usage)
	f.add(name, "", "ints")
}

// add completes a flag whose value is defined already.
func (f *FlagSet) add(name, short, kind string) {
	v := f.values.Lookup(name)
	g := &Flag{Name: name, Short: short, Usage: v.Usage, Value: v.Value, kind: kind, fallback: v.DefValue}
	switch v.DefValue {
	case "", "0", "false", "[]":
		g.fallback = ""
	default:
		if kind == "string" {
			g.fallback = strconv.Quote(v.DefValue)
		}
	}
	f.flags = append(f.flags, g)
}

// Lookup returns the flag of a long name, or nil.
func (f *FlagSet) Lookup(name string) *Flag {
	return f.search(func(g *Flag) bool { return g.Name == name })
}

func (f *FlagSet) lookupShort(short string) *Flag {
	return f.search(func(g *Flag) bool { return g.Short == short })
}

func (f *FlagSet) search(match func(*Flag) bool) *Flag {
	for ; f != nil; f = f.parent {
		for _, g := range f.flags {
			if match(g) {
				return g
			}
		}
	}
	return nil
}

// Changed tells whether a flag was given.
func (f *FlagSet) Changed(name string) bool {
	g := f.Lookup(name)
	return g != nil && g.Changed
}

// Visit calls fn for the flags that were given, in their order.
func (f *FlagSet) Visit(fn func(*Flag)) {
	if f.parent != nil {
		f.parent.Visit(fn)
	}
	for _, g := range f.given {
		fn(g)
	}
}

func (f *FlagSet) set(g *Flag, value string) error {
	if err := g.Value.Set(value); err != nil {
		return usagef("invalid argument %q for %q flag: %w", value, g, err)
	}
	if !g.Changed {
		g.Changed = true
		f.given = append(f.given, g)
	}
	return nil
}

// parseLong sets the flag of the word --word, and returns the words after it and its value.
func (f *FlagSet) parseLong(word string, after []string) ([]string, error) {
	name, value, attached := strings.Cut(word, "=")
	g := f.Lookup(name)
	switch {
	case g == nil:
		return after, usagef("unknown flag: --%s", name)
	case attached:
	case g.kind == "":
		value = "true"
	case len(after) == 0:
		return after, usagef("flag needs an argument: --%s", name)
	default:
		value, after = after[0], after[1:]
	}
	return after, f.set(g, value)
}

// parseShort sets the flags of the word -letters, of which the last may be followed by its value (-q80, -q=80, -q 80), and returns
// whether help is among them and the words after.
func (f *FlagSet) parseShort(letters string, after []string) (help bool, rest []string, err error) {
	for i, letter := range letters {
		g := f.lookupShort(string(letter))
		value, attached := strings.CutPrefix(letters[i+len(string(letter)):], "=")
		switch {
		case g == nil && letter == 'h':
			help = true
			continue
		case g == nil:
			return help, after, usagef("unknown shorthand flag: %q in -%s", letter, letters)
		case g.kind == "" && !attached:
			if err := f.set(g, "true"); err != nil {
				return help, after, err
			}
			continue
		case attached || value != "":
		case len(after) == 0:
			return help, after, usagef("flag needs an argument: %q in -%s", letter, letters)
		default:
			value, after = after[0], after[1:]
		}
		return help, after, f.set(g, value)
	}
	return help, after, nil
}

// sliceValue is the value of a flag that holds several.
type sliceValue[T any] struct {
	p       *[]T
	parse   func(string) (T, error)
	format  func(T) string
	changed bool
}

func (s *sliceValue[T]) Set(text string) error {
	var words []string
	if text != "" {
		var err error
		if words, err = csv.NewReader(strings.NewReader(text)).Read(); err != nil {
			return err
		}
	}
	values, err := s.parseAll(words)
	if err != nil {
		return err
	}
	if s.changed {
		values = append(*s.p, values...)
	}
	*s.p, s.changed = values, true
	return nil
}

func (s *sliceValue[T]) parseAll(words []string) ([]T, error) {
	values := make([]T, len(words))
	for i, word := range words {
		var err error
		if values[i], err = s.parse(word); err != nil {
			return nil, fmt.Errorf("%q: %w", word, err)
		}
	}
	return values, nil
}

func (s *sliceValue[T]) String() string {
	if s.p == nil { // package flag asks the zero value, to tell whether a default is one
		return "[]"
	}
	return "[" + strings.Join(s.GetSlice(), ",") + "]"
}

func (s *sliceValue[T]) GetSlice() []string {
	words := make([]string, len(*s.p))
	for i, v := range *s.p {
		words[i] = s.format(v)
	}
	return words
}

func (s *sliceValue[T]) Replace(words []string) error {
	values, err := s.parseAll(words)
	if err == nil {
		*s.p = values
	}
	return err
}
