package cli

import (
	"fmt"
	"io"
	"strings"
)

// Help writes what there is to know about a command to the root's Out.
func (c *Command) Help() error {
	_, err := io.WriteString(c.root().Out, c.help())
	return err
}

func (c *Command) help() string {
	var b strings.Builder
	if c.Long != "" {
		b.WriteString(c.Long)
	} else {
		b.WriteString(c.Short)
	}
	line := c.CommandPath() + strings.TrimPrefix(c.Use, c.Name())
	fmt.Fprintf(&b, "\n\nUsage:\n  %s [flags]\n", line)
	if len(c.commands) > 0 {
		fmt.Fprintf(&b, "  %s [command]\n", line)
	}
	if c.Example != "" {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", c.Example)
	}
	if len(c.commands) > 0 {
		rows := make([][2]string, len(c.commands))
		for i, sub := range c.commands {
			rows[i] = [2]string{"  " + sub.Name(), sub.Short}
		}
		b.WriteString("\nAvailable Commands:\n")
		writeRows(&b, rows)
	}
	b.WriteString("\nFlags:\n")
	writeRows(&b, append(c.flags.usage(), [2]string{"  -h, --help", "help for " + c.Name()}))
	for above := c.parent; above != nil; above = above.parent {
		if len(above.flags.flags) > 0 {
			b.WriteString("\nGlobal Flags:\n")
			writeRows(&b, above.flags.usage())
		}
	}
	if len(c.commands) > 0 {
		fmt.Fprintf(&b, "\nUse \"%s [command] --help\" for more information about a command.\n", c.CommandPath())
	}
	b.WriteString(c.root().Epilog)
	return b.String()
}

// usage has a row for each flag: how it is written, and what it is for.
func (f *FlagSet) usage() (rows [][2]string) {
	for _, g := range f.flags {
		name, text := "  "+g.String(), g.Usage
		if g.Short == "" {
			name = "      " + g.String()
		}
		if g.kind != "" {
			name += " " + g.kind
		}
		if g.fallback != "" {
			text += " (default " + g.fallback + ")"
		}
		rows = append(rows, [2]string{name, text})
	}
	return rows
}

// writeRows writes two columns.
func writeRows(b *strings.Builder, rows [][2]string) {
	width := 0
	for _, r := range rows {
		width = max(width, len(r[0]))
	}
	for _, r := range rows {
		fmt.Fprintf(b, "%-*s   %s\n", width, r[0], r[1])
	}
}

// helpCommand is another way to ask for help.
func (c *Command) helpCommand() *Command {
	return &Command{
		Use:   "help [COMMAND]",
		Short: "Help about any command",
		Run: func(_ *Command, args []string) error {
			about := c
			for _, name := range args {
				if about = about.find(name); about == nil {
					return usagef("unknown command %q", strings.Join(args, " "))
				}
			}
			return about.Help()
		},
	}
}
