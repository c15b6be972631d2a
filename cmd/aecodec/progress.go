package main

import (
	"sync"

	"github.com/schollz/progressbar/v3"
)

// bar is a progress bar on standard error, or nothing where standard error is no terminal, --quiet is given, or there is only one
// thing to do.
type bar struct {
	mu sync.Mutex
	p  *progressbar.ProgressBar // nil: no bar
}

func (a *app) newBar(total int, title string) *bar {
	if a.quiet || !a.stderrTerminal || total < 2 {
		return &bar{}
	}
	return &bar{p: progressbar.NewOptions(total,
		progressbar.OptionSetWriter(a.stderr),
		progressbar.OptionSetDescription(title),
		progressbar.OptionSetWidth(30),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetRenderBlankState(true),
	)}
}

func (b *bar) step() {
	if b.p == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.p.Add(1)
}

// describe sets the text before the bar; the next step shows it.
func (b *bar) describe(title string) {
	if b.p == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.p.Describe(title)
}

// above runs print, which writes lines to the terminal, without the bar in its way.
func (b *bar) above(print func()) {
	if b.p == nil {
		print()
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.p.Clear()
	print()
	if !b.p.IsFinished() {
		b.p.RenderBlank()
	}
}

func (b *bar) close() {
	if b.p != nil {
		b.p.Exit()
		b.p.Clear()
	}
}
