package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// maxPixels bounds the pixels that are worked on at once, so that a folder of large pictures on a machine of many cores does not
// need the memory of all of them. A single larger picture still gets its turn, alone.
const maxPixels = 64 << 20

// batch works on every job, several at a time, and reports each one in the order of the command line: as a line of text or of
// JSON on standard output, or as an error on standard error. A failure does not keep the others from being done. work gets the
// number of threads it may use.
func (a *app) batch(jobs []*job, title string, work func(j *job, threads int) (fmt.Stringer, error)) error {
	parallel := min(a.threads, len(jobs))
	threads := a.threads / parallel
	results := make([]result, len(jobs))
	for i := range results {
		results[i].done = make(chan struct{})
	}
	bar := a.newBar(len(jobs), title)
	defer bar.close()

	next := make(chan int)
	var workers sync.WaitGroup
	for range parallel {
		workers.Go(func() {
			for i := range next {
				r := &results[i]
				if r.err = jobs[i].err; r.err == nil {
					r.report, r.err = work(jobs[i], threads)
				}
				bar.step()
				close(r.done)
			}
		})
	}
	go func() {
		defer close(next)
		for i := range jobs {
			select {
			case next <- i:
			case <-a.ctx.Done():
				return
			}
		}
	}()

	failed := 0
	for i := range results {
		select {
		case <-results[i].done:
		case <-a.ctx.Done(): // pictures in work are abandoned: the process ends
			a.files.stop()
			return errInterrupted
		}
		err := results[i].err
		if isClosedPipe(err) || errors.Is(err, errInterrupted) {
			a.files.stop()
			return err
		}
		if err != nil {
			failed++
			bar.above(func() { a.complain(jobs[i].in, err) })
		}
		var printErr error
		bar.above(func() { printErr = a.print(jobs[i], results[i].report, err) })
		if printErr != nil {
			a.files.stop()
			return printErr
		}
	}
	workers.Wait()
	switch {
	case failed > 0 && len(jobs) > 1:
		return &countError{failed, len(jobs)}
	case failed > 0:
		return errReported
	}
	return nil
}

// errReported is a failure that has had its line already.
var errReported = errors.New("failed")

type result struct {
	done   chan struct{}
	report fmt.Stringer // also marshals to a JSON object
	err    error
}

// print writes one result to standard output, unless the picture went there, and its warnings to standard error.
func (a *app) print(j *job, report fmt.Stringer, err error) error {
	if r, ok := report.(*codingReport); ok && err == nil {
		for _, w := range r.Warnings {
			a.complain(j.in, errors.New(w))
		}
	}
	switch {
	case j.out == stdio:
		return nil
	case a.json && err != nil:
		return writeJSON(a.stdout, struct {
			Input string `json:"input"`
			Error string `json:"error"`
		}{j.in, cause(err).Error()})
	case a.json:
		return writeJSON(a.stdout, report)
	case err != nil || a.quiet:
		return nil
	}
	_, err = fmt.Fprintln(a.stdout, report)
	return err
}

// complain writes the one line of a failed file to standard error.
func (a *app) complain(name string, err error) {
	fmt.Fprintf(a.stderr, "aecodec: %s: %v\n", inputName(name), cause(err))
}

func inputName(name string) string {
	if name == stdio {
		return "standard input"
	}
	return name
}

// writeJSON writes v as one line.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// show writes the one result of a command to standard output.
func (a *app) show(report fmt.Stringer) error {
	if a.json {
		return writeJSON(a.stdout, report)
	}
	_, err := fmt.Fprintln(a.stdout, report)
	return err
}
