package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBarLine(t *testing.T) {
	b := &bar{title: "encoding", total: 8}
	require.Equal(t, "encoding   0% |"+strings.Repeat(" ", 30)+"| (0/8) [0s]", b.line(0, 79))
	b.done = 2
	require.Equal(t, "encoding  25% |███████"+strings.Repeat(" ", 23)+"| (2/8) [20s:1m0s]", b.line(20*time.Second, 79))
	require.Equal(t, "encoding  25% |██      | (2/8) [20s:1m0s]", b.line(20*time.Second, 41))
	require.Equal(t, "encoding  25%  (2/8) [20s:1m0s]", b.line(20*time.Second, 33), "no room for a bar")
	require.Equal(t, "encoding  25", b.line(20*time.Second, 12))
	require.Empty(t, b.line(20*time.Second, -1))
	b.out = new(bytes.Buffer)
	b.show(0.5)
	require.Equal(t, 4, b.done)
	b.done = 8
	require.Equal(t, "encoding 100% |"+strings.Repeat("█", 30)+"| (8/8) [1m20s:0s]", b.line(80*time.Second, 79))
}

// screen is what a terminal of one line shows after what was written to it, and the lines that scrolled away.
func screen(written string) (lines []string, last string) {
	var row []rune
	at := 0
	for _, r := range written {
		switch r {
		case '\r':
			at = 0
		case '\n':
			lines = append(lines, strings.TrimRight(string(row), " "))
			row, at = nil, 0
		default:
			if at == len(row) {
				row = append(row, r)
			} else {
				row[at] = r
			}
			at++
		}
	}
	return lines, strings.TrimRight(string(row), " ")
}

func TestBar(t *testing.T) {
	var out bytes.Buffer
	a := &app{stderr: &out, stderrTerminal: true}
	b := a.newBar(3, "a long description")
	b.describe("short")
	b.drawn = time.Time{} // so that the next step is shown
	b.step()
	_, last := screen(out.String())
	require.True(t, strings.HasPrefix(last, "short  33% |██████████ "), last)
	require.True(t, strings.HasSuffix(last, "]"), last)
	b.above(func() { out.WriteString("a message\n") })
	lines, last := screen(out.String())
	require.Equal(t, []string{"a message"}, lines)
	require.Contains(t, last, "(1/3)")
	b.close()
	_, last = screen(out.String())
	require.Empty(t, last)

	out.Reset()
	for _, a := range []*app{{stderr: &out}, {stderr: &out, stderrTerminal: true, quiet: true}} {
		b := a.newBar(3, "nothing")
		b.step()
		b.describe("still nothing")
		b.above(func() {})
		b.close()
		require.False(t, b.shown())
	}
	require.False(t, (&app{stderr: &out, stderrTerminal: true}).newBar(1, "nothing").shown())
	require.Empty(t, out.String())
}
