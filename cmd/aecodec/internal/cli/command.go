// Package cli is what aecodec needs of a command line: commands with subcommands, flags in the GNU style, help, and completion for
// four shells.
//
// It is here because the program must be one static binary however Go is installed. With a C compiler at hand, package net and
// package os/user link the C library, and the usual libraries import one or the other: spf13/pflag, and with it cobra, imports net,
// alecthomas/kong imports os/user. urfave/cli imports neither, but does not take a value that is attached to a short flag (-q80).
// The names and the help are those of cobra and pflag.
package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// UsageError is a command line that makes no sense.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

func usagef(format string, args ...any) error { return &UsageError{Err: fmt.Errorf(format, args...)} }

// Command is a command, or a group of them. Flags of a group can be given to all of its commands, before or after their names.
type Command struct {
	Use     string // its name and, in words, its arguments
	Short   string // one line for the list of commands
	Long    string // for its own help; Short if empty
	Example string // lines for its own help

	Args func(cmd *Command, args []string) error // checks the arguments; nil: any will do
	Run  func(cmd *Command, args []string) error

	// Of the root alone.
	Before func() error // runs before Run of any command, when its Args are right
	Epilog string       // ends every help
	Out    io.Writer    // takes help and completions

	parent   *Command
	commands []*Command
	flags    FlagSet
}

// AddCommand adds commands below c.
func (c *Command) AddCommand(commands ...*Command) {
	for _, sub := range commands {
		sub.parent = c
		sub.flags.parent = &c.flags
		c.commands = append(c.commands, sub)
	}
}

// Name is the command's own name.
func (c *Command) Name() string {
	name, _, _ := strings.Cut(c.Use, " ")
	return name
}

// CommandPath is the command's name after those of the groups that it is in.
func (c *Command) CommandPath() string {
	if c.parent == nil {
		return c.Name()
	}
	return c.parent.CommandPath() + " " + c.Name()
}

// Flags are the flags of the command, to define and to ask for; those of its groups are found as well.
func (c *Command) Flags() *FlagSet { return &c.flags }

func (c *Command) root() *Command {
	for c.parent != nil {
		c = c.parent
	}
	return c
}

// find returns the command of the name right below c, or nil.
func (c *Command) find(name string) *Command {
	if i := slices.IndexFunc(c.commands, func(sub *Command) bool { return sub.Name() == name }); i >= 0 {
		return c.commands[i]
	}
	return nil
}

// Execute carries out a command line, which has not the name of the program, with c as the root. It returns the command that was
// meant, as far as the line made sense, and its error or a *UsageError.
func (c *Command) Execute(args []string) (*Command, error) {
	if len(args) > 0 && args[0] == completeCommand {
		_, err := io.WriteString(c.Out, c.complete(args[1:]))
		return c, err
	}
	c.AddCommand(c.completionCommand(), c.helpCommand())
	cmd, rest, help, err := c.parse(args)
	if err != nil {
		return cmd, err
	}
	if help || cmd.Run == nil {
		return cmd, cmd.Help()
	}
	if cmd.Args != nil {
		if err := cmd.Args(cmd, rest); err != nil {
			return cmd, err
		}
	}
	if c.Before != nil {
		if err := c.Before(); err != nil {
			return cmd, err
		}
	}
	return cmd, cmd.Run(cmd, rest)
}

// parse finds the command, sets its flags, and returns its arguments and whether help was asked for. Flags and arguments come in
// any order, as GNU programs have it; what follows -- is an argument.
func (c *Command) parse(args []string) (cmd *Command, rest []string, help bool, err error) {
	for len(args) > 0 && err == nil {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--":
			return c, append(rest, args...), help, nil
		case arg == "--help":
			help = true
		case strings.HasPrefix(arg, "--"):
			args, err = c.flags.parseLong(arg[2:], args)
		case len(arg) > 1 && arg[0] == '-':
			var h bool
			h, args, err = c.flags.parseShort(arg[1:], args)
			help = help || h
		default:
			if sub := c.find(arg); sub != nil && len(rest) == 0 {
				c = sub
			} else {
				rest = append(rest, arg)
			}
		}
	}
	return c, rest, help, err
}
