package main

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// outputs writes files that appear under their names only when complete: everything goes to a temporary file in the same
// folder first, which is synced and renamed, or removed when anything fails.
type outputs struct {
	mu      sync.Mutex
	temps   map[string]bool // unfinished files
	stopped bool
}

var errExists = errors.New("exists already (--force replaces it)")

// outputError is a failure to write, as opposed to one of producing what was to be written.
type outputError struct {
	name string
	err  error
}

func (e *outputError) Error() string { return fmt.Sprintf("writing %s: %v", e.name, cause(e.err)) }
func (e *outputError) Unwrap() error { return e.err }

// write creates the file name with what fill writes and returns its size in bytes. Without force an existing file is left
// alone. A device or named pipe is written to directly, a symbolic link is followed.
func (o *outputs) write(name string, force bool, fill func(io.Writer) error) (int64, error) {
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target
	}
	mode := fs.FileMode(0o666) // less the umask
	if st, err := os.Stat(name); err == nil {
		switch {
		case st.IsDir():
			return 0, &outputError{name, errors.New("is a folder")}
		case !st.Mode().IsRegular():
			return writeDevice(name, fill)
		case !force:
			return 0, &outputError{name, errExists}
		}
		mode = st.Mode().Perm()
	}

	f, err := o.create(filepath.Dir(name), mode)
	if err != nil {
		return 0, &outputError{name, err}
	}
	size, err := fillFile(f, name, fill)
	if err == nil {
		if err = f.Sync(); err != nil {
			err = &outputError{name, err}
		}
	}
	if closeErr := f.Close(); err == nil && closeErr != nil {
		err = &outputError{name, closeErr}
	}
	if err := o.finish(f.Name(), name, force, err); err != nil {
		return 0, err
	}
	return size, nil
}

// create opens a new file with a name of its own. os.CreateTemp would give it mode 0600 in the place of what the umask asks for.
func (o *outputs) create(dir string, mode fs.FileMode) (*os.File, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stopped {
		return nil, errInterrupted
	}
	f, err := os.OpenFile(filepath.Join(dir, ".aecodec-"+rand.Text()+".tmp"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, err
	}
	if o.temps == nil {
		o.temps = map[string]bool{}
	}
	o.temps[f.Name()] = true
	return f, nil
}

// finish gives the temporary file its name, or removes it when err or the renaming says so.
func (o *outputs) finish(temp, name string, force bool, err error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stopped {
		return errInterrupted // stop has removed the file
	}
	delete(o.temps, temp)
	if err == nil {
		if err = moveTo(temp, name, force); err == nil {
			return nil
		}
		err = &outputError{name, err}
	}
	os.Remove(temp)
	return err
}

// moveTo renames. Without force a hard link makes sure that no file is replaced that came up in the meantime; where the file
// system has no hard links a last look has to do.
func moveTo(temp, name string, force bool) error {
	if !force {
		err := os.Link(temp, name)
		if err == nil {
			return os.Remove(temp)
		}
		if _, statErr := os.Lstat(name); statErr == nil || errors.Is(err, fs.ErrExist) {
			return errExists
		}
	}
	return os.Rename(temp, name)
}

// stop removes every unfinished file; from now on nothing is created or finished.
func (o *outputs) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stopped = true
	for name := range o.temps {
		os.Remove(name)
	}
}

func writeDevice(name string, fill func(io.Writer) error) (int64, error) {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return 0, &outputError{name, err}
	}
	size, err := fillFile(f, name, fill)
	if closeErr := f.Close(); err == nil && closeErr != nil {
		err = &outputError{name, closeErr}
	}
	return size, err
}

// fillFile runs fill on a buffer before w, counts, and tells the failures of w from those of fill.
func fillFile(w io.Writer, name string, fill func(io.Writer) error) (int64, error) {
	sink := &sink{w: w}
	buffer := bufio.NewWriterSize(sink, 1<<16)
	err := fill(buffer)
	if err == nil {
		err = buffer.Flush()
	}
	if sink.err != nil {
		err = &outputError{name, sink.err}
	}
	return sink.n, err
}

// sink counts what was written and keeps the first error.
type sink struct {
	w   io.Writer
	n   int64
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.w.Write(p)
	s.n += int64(n)
	s.err = err
	return n, err
}
