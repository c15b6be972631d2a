package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// settings are what the flags of tool set.
type settings struct {
	verbose, force bool
	threads, top   int
	seed           uint64
	quality, rate  float64
	output, name   string
	models         []string
	points         []float64
}

// tool is a program with flags of every kind. ran gets the path and the arguments of the command that ran.
func tool(out *bytes.Buffer, ran *string) (*Command, *settings) {
	s := &settings{}
	run := func(cmd *Command, args []string) error {
		*ran = fmt.Sprint(cmd.CommandPath(), args)
		return nil
	}
	root := &Command{Use: "tool", Short: "A tool", Out: out, Epilog: "\nThe end.\n", Run: run}
	root.Flags().BoolVar(&s.verbose, "verbose", false, "say more")
	root.Flags().IntVarP(&s.threads, "threads", "j", 0, "threads to use")

	pack := &Command{
		Use: "pack FILE...", Short: "Pack files", Long: "Pack files tightly.", Example: "  tool pack a b", Run: run,
		Args: func(_ *Command, args []string) error {
			if len(args) == 0 {
				return usagef("name a file")
			}
			return nil
		},
	}
	f := pack.Flags()
	f.Float64VarP(&s.quality, "quality", "q", 50, "quality")
	f.Float64Var(&s.rate, "rate", 0, "rate")
	f.StringVarP(&s.output, "output", "o", "", "file to write")
	f.StringVar(&s.name, "name", "none", "a name")
	f.BoolVar(&s.force, "force", false, "replace files")
	f.IntVar(&s.top, "top", 3, "how many")
	f.Uint64Var(&s.seed, "seed", 1, "seed")
	f.StringSliceVar(&s.models, "model", nil, "models")
	f.Float64SliceVar(&s.points, "points", []float64{1, 2.5}, "points")

	bench := &Command{Use: "bench", Short: "Measure"}
	bench.AddCommand(&Command{Use: "speed", Short: "Measure times", Run: run})
	root.AddCommand(pack, bench)
	return root, s
}

func TestParse(t *testing.T) {
	defaults := settings{quality: 50, name: "none", top: 3, seed: 1, points: []float64{1, 2.5}}
	for _, c := range []struct {
		line, ran string
		set       func(*settings)
	}{
		{"", "tool[]", func(s *settings) {}},
		{"x", "tool[x]", func(s *settings) {}},
		{"pack a", "tool pack[a]", func(s *settings) {}},
		{"pack a -q 80 b --output=x", "tool pack[a b]", func(s *settings) { s.quality, s.output = 80, "x" }},
		{"pack -q80 -j-1 a", "tool pack[a]", func(s *settings) { s.quality, s.threads = 80, -1 }},
		{"-j 2 --verbose pack -q=7 -", "tool pack[-]", func(s *settings) { s.threads, s.verbose, s.quality = 2, true, 7 }},
		{"pack a --verbose=false --force", "tool pack[a]", func(s *settings) { s.force = true }},
		{"pack -- -q --force", "tool pack[-q --force]", func(s *settings) {}},
		{"pack a pack bench", "tool pack[a pack bench]", func(s *settings) {}},
		{"pack a --seed 18446744073709551615 --top -2 --rate 1e-3", "tool pack[a]", func(s *settings) {
			s.seed, s.top, s.rate = 1<<64-1, -2, 1e-3
		}},
		{`pack a --model x,"y,z" --model= --model w`, "tool pack[a]", func(s *settings) { s.models = []string{"x", "y,z", "w"} }},
		{"pack a --points 7 --points 8,9", "tool pack[a]", func(s *settings) { s.points = []float64{7, 8, 9} }},
		{"bench speed -j3", "tool bench speed[]", func(s *settings) { s.threads = 3 }},
	} {
		var out bytes.Buffer
		var ran string
		root, got := tool(&out, &ran)
		_, err := root.Execute(strings.Fields(c.line))
		require.NoError(t, err, c.line)
		require.Equal(t, c.ran, ran, c.line)
		want := defaults
		c.set(&want)
		require.Equal(t, &want, got, c.line)
		require.Empty(t, out.String())
	}
}

func TestUsageErrors(t *testing.T) {
	for line, want := range map[string]string{
		"pack":                   "tool pack: name a file",
		"pack --forse a":         "tool pack: unknown flag: --forse",
		"--quality 5 pack a":     "tool: unknown flag: --quality",
		"pack -xq5":              "tool pack: unknown shorthand flag: 'x' in -xq5",
		"pack a --output":        "tool pack: flag needs an argument: --output",
		"pack a -o":              "tool pack: flag needs an argument: 'o' in -o",
		"pack a -q high":         `tool pack: invalid argument "high" for "-q, --quality" flag: parse error`,
		"pack a --points 1,high": `tool pack: invalid argument "1,high" for "--points" flag: "high": strconv.ParseFloat: parsing "high": invalid syntax`,
		"pack --help --forse":    "tool pack: unknown flag: --forse",
		"help pack it":           `tool help: unknown command "pack it"`,
		"completion tcsh":        "tool completion: name a shell: bash, zsh, fish, powershell",
	} {
		var out bytes.Buffer
		var ran string
		root, _ := tool(&out, &ran)
		cmd, err := root.Execute(strings.Fields(line))
		var usage *UsageError
		require.ErrorAs(t, err, &usage, line)
		require.Equal(t, want, cmd.CommandPath()+": "+err.Error(), line)
		require.Empty(t, ran+out.String(), line)
	}
}

func TestBefore(t *testing.T) {
	var out bytes.Buffer
	var ran string
	root, _ := tool(&out, &ran)
	root.Before = func() error { return errors.New("not today") }
	_, err := root.Execute([]string{"bench", "speed"})
	require.EqualError(t, err, "not today")
	require.Empty(t, ran)
}

func TestGivenFlags(t *testing.T) {
	var ran string
	root, _ := tool(nil, &ran)
	cmd, err := root.Execute([]string{"-j2", "pack", "--points=1,2", "a", "-o", "x", "--points=3"})
	require.NoError(t, err)
	var given []string
	cmd.Flags().Visit(func(f *Flag) { given = append(given, f.Name+"="+f.Value.String()) })
	require.Equal(t, []string{"threads=2", "points=[1,2,3]", "output=x"}, given)
	require.True(t, cmd.Flags().Changed("threads"))
	require.False(t, cmd.Flags().Changed("verbose"))

	points := cmd.Flags().Lookup("points").Value.(SliceValue)
	require.Equal(t, []string{"1", "2", "3"}, points.GetSlice())
	require.NoError(t, points.Replace([]string{"4.5"}))
	require.Error(t, points.Replace([]string{"many"}))
	require.Equal(t, "[4.5]", points.String())
}

func TestHelp(t *testing.T) {
	const pack = `Pack files tightly.

Usage:
  tool pack FILE... [flags]

Examples:
  tool pack a b

Flags:
  -q, --quality float   quality (default 50)
      --rate float      rate
  -o, --output string   file to write
      --name string     a name (default "none")
      --force           replace files
      --top int         how many (default 3)
      --seed uint       seed (default 1)
      --model strings   models
      --points floats   points (default [1,2.5])
  -h, --help            help for pack

Global Flags:
      --verbose       say more
  -j, --threads int   threads to use

The end.
`
	const bench = `Measure

Usage:
  tool bench [flags]
  tool bench [command]

Available Commands:
  speed   Measure times

Flags:
  -h, --help   help for bench

Global Flags:
      --verbose       say more
  -j, --threads int   threads to use

Use "tool bench [command] --help" for more information about a command.

The end.
`
	for line, want := range map[string]string{
		"pack --help": pack, "--help pack": pack, "help pack": pack, "pack a -q 3 -h": pack, "pack -hq3": pack,
		"bench": bench, "help bench": bench,
	} {
		var out bytes.Buffer
		var ran string
		root, _ := tool(&out, &ran)
		_, err := root.Execute(strings.Fields(line))
		require.NoError(t, err, line)
		require.Equal(t, want, out.String(), line)
		require.Empty(t, ran, line)
	}
}

func TestComplete(t *testing.T) {
	for line, want := range map[string]string{
		"":                    "pack bench completion help",
		"p":                   "pack",
		"--verbose -j 3 b":    "bench",
		"-j ":                 "",
		"-j3 be":              "bench",
		"bench ":              "speed",
		"completion ":         "bash zsh fish powershell",
		"completion bash ":    "",
		"pack ":               "",
		"pack a b":            "",
		"pack --quality --":   "",
		"pack --quality=5 --": "--quality --rate --output --name --force --top --seed --model --points --verbose --threads --help",
		"pack -q5 --v":        "--verbose",
		"pack -- --v":         "",
		"pack x -- --v":       "",
	} {
		var out bytes.Buffer
		var ran string
		root, _ := tool(&out, &ran)
		_, err := root.Execute(append([]string{completeCommand}, strings.Split(line, " ")...))
		require.NoError(t, err)
		var words []string
		for _, l := range strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n") {
			word, _, _ := strings.Cut(l, "\t")
			words = append(words, word)
		}
		require.Equal(t, want, strings.Join(words, " "), "%q", line)
	}
}

// TestBash completes with the script that bash gets, and a stand-in for the program.
func TestBash(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	var out bytes.Buffer
	var ran string
	root, _ := tool(&out, &ran)
	_, err = root.Execute([]string{"completion", "bash"})
	require.NoError(t, err)
	dir := t.TempDir()
	program := "#!/bin/sh\n[ \"$*\" = '__complete pack --r' ] && printf -- '--rate\\ta rate\\n--range\\t\\n'\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tool"), []byte(program), 0o777))
	out.WriteString("COMP_WORDS=(tool pack --r more) COMP_CWORD=2\n_tool\necho \"${COMPREPLY[@]}\"\ncomplete -p tool\n")
	cmd := exec.Command(bash, "-c", out.String())
	cmd.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	got, err := cmd.CombinedOutput()
	require.NoError(t, err, string(got))
	require.Equal(t, "--rate --range\ncomplete -o default -F _tool tool\n", string(got))
}
