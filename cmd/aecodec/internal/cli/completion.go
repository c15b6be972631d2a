package cli

import (
	"embed"
	"fmt"
	"io"
	"slices"
	"strings"
)

// completeCommand is what the shells' scripts ask: its arguments are the words after the program's name up to the cursor, the last
// of them unfinished or empty. It prints a line for each word that could stand there, with what it is for after a tab, and nothing
// where a file name is expected.
const completeCommand = "__complete"

//go:embed completion
var scripts embed.FS

var shells = []string{"bash", "zsh", "fish", "powershell"}

func (c *Command) completionCommand() *Command {
	return &Command{
		Use:   "completion [SHELL]",
		Short: "Print the script that makes a shell complete commands and flags",
		Long: `Print the script that makes a shell complete commands and flags: bash, zsh, fish or powershell.

To have it in every new shell, load it where the shell starts: source <(` + c.Name() + ` completion bash) in ~/.bashrc, the same with
zsh in ~/.zshrc after compinit; for fish write it to ~/.config/fish/completions/` + c.Name() + `.fish; for PowerShell add
` + c.Name() + ` completion powershell | Out-String | Invoke-Expression to $PROFILE.`,
		Args: func(_ *Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && !slices.Contains(shells, args[0]) {
				return usagef("name a shell: %s", strings.Join(shells, ", "))
			}
			return nil
		},
		Run: func(cmd *Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			script, err := scripts.ReadFile("completion/" + args[0])
			if err != nil {
				return err
			}
			_, err = io.WriteString(c.Out, strings.ReplaceAll(string(script), "PROGRAM", c.Name()))
			return err
		},
	}
}

// complete returns the lines for completeCommand.
func (c *Command) complete(words []string) string {
	c.AddCommand(c.completionCommand(), c.helpCommand())
	if len(words) == 0 {
		return ""
	}
	last, words := words[len(words)-1], words[:len(words)-1]
	arguments := 0
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		switch {
		case word == "--":
			return ""
		case len(word) > 1 && word[0] == '-':
			if g := c.flags.endsWith(word); g != nil && g.kind != "" {
				if len(words) == 0 {
					return "" // last is its value
				}
				words = words[1:]
			}
		case arguments == 0 && c.find(word) != nil:
			c = c.find(word)
		default:
			arguments++
		}
	}
	var b strings.Builder
	offer := func(word, what string) {
		if strings.HasPrefix(word, last) {
			fmt.Fprintf(&b, "%s\t%s\n", word, what)
		}
	}
	switch {
	case strings.HasPrefix(last, "-"):
		for f := &c.flags; f != nil; f = f.parent {
			for _, g := range f.flags {
				offer("--"+g.Name, g.Usage)
			}
		}
		offer("--help", "help for "+c.Name())
	case arguments == 0 && strings.HasPrefix(c.Use, "completion "):
		for _, shell := range shells {
			offer(shell, "")
		}
	case arguments == 0:
		for _, sub := range c.commands {
			offer(sub.Name(), sub.Short)
		}
	}
	return b.String()
}

// endsWith returns the flag that the word after it may be the value of, or nil.
func (f *FlagSet) endsWith(word string) *Flag {
	if name, long := strings.CutPrefix(word, "--"); long {
		return f.Lookup(name) // nil with an attached value
	}
	for i, letter := range word[1:] {
		if g := f.lookupShort(string(letter)); g != nil && g.kind != "" {
			if i+len(string(letter)) == len(word)-1 {
				return g
			}
			return nil // the rest is its value
		}
	}
	return nil
}
