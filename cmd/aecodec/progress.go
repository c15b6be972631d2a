package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// bar is a progress bar on standard error, or nothing where standard error is no terminal, --quiet is given, or there is only one
// thing to do. The usual libraries for it serve its state over HTTP or format it with text/template: either adds megabytes to the
// program, and the former links the C library where there is one.
type bar struct {
	mu      sync.Mutex
	out     io.Writer // nil: no bar
	title   string
	done    int
	total   int
	started time.Time
	drawn   time.Time // when it was last drawn
	width   int       // of what stands on the screen
}

// redrawEvery is the least time between two states on the screen.
const redrawEvery = 100 * time.Millisecond

func (a *app) newBar(total int, title string) *bar {
	if a.quiet || !a.stderrTerminal || total < 2 {
		return &bar{}
	}
	b := &bar{out: a.stderr, title: title, total: total, started: time.Now()}
	b.draw()
	return b
}

// shown tells whether there is a bar at all.
func (b *bar) shown() bool { return b.out != nil }

func (b *bar) step() {
	if !b.shown() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done++
	if time.Since(b.drawn) >= redrawEvery {
		b.draw()
	}
}

// show sets the share that is done.
func (b *bar) show(share float64) {
	if !b.shown() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done = int(share * float64(b.total)); time.Since(b.drawn) >= redrawEvery {
		b.draw()
	}
}

// describe sets the text before the bar; the next step shows it.
func (b *bar) describe(title string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.title = title
}

// above runs print, which writes lines to the terminal, without the bar in its way.
func (b *bar) above(print func()) {
	if !b.shown() {
		print()
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
	print()
	b.draw()
}

func (b *bar) close() {
	if b.shown() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.clear()
	}
}

// clear writes spaces: escape sequences mean nothing to some consoles of Windows.
func (b *bar) clear() {
	fmt.Fprintf(b.out, "\r%*s\r", b.width, "")
	b.width = 0
}

func (b *bar) draw() {
	columns := 80
	if f, ok := b.out.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			columns = w
		}
	}
	line := b.line(time.Since(b.started), columns-1) // the last column makes some terminals begin a new line
	width := len([]rune(line))
	fmt.Fprintf(b.out, "\r%s%*s", line, max(0, b.width-width), "")
	b.width, b.drawn = width, time.Now()
}

// line is the state in at most the given number of columns: title, share, a bar of up to 30 columns, count, time passed and left.
func (b *bar) line(passed time.Duration, columns int) string {
	before := fmt.Sprintf("%s %3d%% ", b.title, 100*b.done/b.total)
	after := fmt.Sprintf(" (%d/%d) [%s", b.done, b.total, passed.Round(time.Second))
	if b.done > 0 {
		left := time.Duration(float64(passed) / float64(b.done) * float64(b.total-b.done))
		after += ":" + left.Round(time.Second).String()
	}
	after += "]"
	middle := ""
	if cells := min(30, columns-len(before)-len(after)-2); cells > 0 {
		full := cells * b.done / b.total
		middle = "|" + strings.Repeat("█", full) + strings.Repeat(" ", cells-full) + "|"
	}
	line := []rune(before + middle + after)
	return string(line[:min(len(line), max(columns, 0))])
}
