package nn

import (
	"fmt"
	"slices"
	"sync"
	"unsafe"
)

// Arena owns the memory of forward and backward passes and reuses it: after
// the first pass with some input shapes, further ones allocate nothing (with
// more than one thread, only what starting the threads takes). It grows to
// what the largest pass needs. An Arena serves one pass at a time.
type Arena struct {
	// Limit is the most bytes that the values of one pass may take; 0 means
	// no limit. Run and Trace return an error instead of taking more.
	Limit int64

	values []float32 // network values, placed by the plan
	args   []int32   // positions of maxima
	grads  []float32 // gradients, placed by package grad
	plans  []*plan   // most recently used first

	mu    sync.Mutex // guards strips, which threads share
	strip [][]float32
}

// maxPlans is how many combinations of program, mode and input shapes an arena
// remembers.
const maxPlans = 8

// NewArena returns an empty arena.
func NewArena() *Arena { return new(Arena) }

// Gradients returns memory for n numbers, apart from that of the values, with
// undefined contents. It is valid until the next call.
func (a *Arena) Gradients(n int) []float32 {
	a.grads = enlarge(a.grads, n)
	return a.grads[:n]
}

// Bytes returns the memory that the arena holds, in bytes.
func (a *Arena) Bytes() int64 {
	n := len(a.values) + len(a.grads) + len(a.args)
	for _, s := range a.strip {
		n += len(s)
	}
	return 4 * int64(n)
}

// plan returns the plan for these inputs and makes its values point into the
// arena.
func (a *Arena) plan(p *Program, trace bool, in []*Tensor) (*plan, error) {
	i := slices.IndexFunc(a.plans, func(pl *plan) bool { return pl.fits(p, trace, in) })
	var pl *plan
	if i >= 0 {
		pl = a.plans[i]
	} else {
		var err error
		if pl, err = newPlan(p, trace, in); err != nil {
			return nil, err
		}
	}
	if err := a.allow(pl); err != nil {
		return nil, err
	}
	if i < 0 {
		if i = len(a.plans); i == maxPlans {
			i--
		} else {
			a.plans = append(a.plans, nil)
		}
	}
	copy(a.plans[1:i+1], a.plans[:i])
	a.plans[0] = pl
	a.values = enlarge(a.values, pl.size)
	if len(a.args) < pl.args {
		a.args = make([]int32, pl.args)
	}
	pl.attach(a, in)
	return pl, nil
}

// allow checks a plan against the limit.
func (a *Arena) allow(pl *plan) error {
	bytes := 4 * (int64(pl.size) + int64(pl.args))
	if a.Limit > 0 && bytes > a.Limit {
		return fmt.Errorf("nn: network %q: %d bytes for %d samples of %v, limit is %d",
			pl.p.net.Name, bytes, pl.n, pl.shapes[0], a.Limit)
	}
	return nil
}

// getStrip returns scratch memory of n numbers for one thread.
func (a *Arena) getStrip(n int) []float32 {
	if n == 0 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if k := len(a.strip) - 1; k >= 0 {
		s := a.strip[k]
		a.strip = a.strip[:k]
		return enlarge(s, n)
	}
	return enlarge[float32](nil, n)
}

func (a *Arena) putStrip(s []float32) {
	if s == nil {
		return
	}
	a.mu.Lock()
	a.strip = append(a.strip, s)
	a.mu.Unlock()
}

// align is the alignment of buffers in numbers: one cache line.
const align = 16

func alignUp(n int) int { return (n + align - 1) &^ (align - 1) }

// enlarge returns buf if it holds n numbers, and otherwise new memory that
// starts on a cache line.
func enlarge[T float32 | int16 | uint8](buf []T, n int) []T {
	if len(buf) >= n {
		return buf
	}
	var zero T
	size := int(unsafe.Sizeof(zero))
	buf = make([]T, n+align*4/size)
	if r := int(uintptr(unsafe.Pointer(&buf[0])) / uintptr(size) % uintptr(align*4/size)); r != 0 {
		buf = buf[align*4/size-r:]
	}
	return buf[:n]
}

// Layout places buffers in a linear memory so that they share it over time.
// Offsets are multiples of a cache line. The zero value is ready to use.
type Layout struct {
	free []span // by offset, not adjacent
	top  int
	size int
}

type span struct{ off, n int }

// Size returns the memory needed so far, in numbers.
func (l *Layout) Size() int { return l.size }

// Alloc places n numbers and returns their offset: in the smallest gap that
// holds them, or at the end.
func (l *Layout) Alloc(n int) int {
	n = max(alignUp(n), align)
	best := -1
	for i, s := range l.free {
		if s.n >= n && (best < 0 || s.n < l.free[best].n) {
			best = i
		}
	}
	if best < 0 {
		off := l.top
		// A gap that touches the end is extended.
		if k := len(l.free) - 1; k >= 0 && l.free[k].off+l.free[k].n == l.top {
			off = l.free[k].off
			l.free = l.free[:k]
		}
		l.top = off + n
		l.size = max(l.size, l.top)
		return off
	}
	s := &l.free[best]
	off := s.off
	s.off, s.n = s.off+n, s.n-n
	if s.n == 0 {
		l.free = slices.Delete(l.free, best, best+1)
	}
	return off
}

// Free gives back the n numbers at offset off.
func (l *Layout) Free(off, n int) {
	n = max(alignUp(n), align)
	i, _ := slices.BinarySearchFunc(l.free, off, func(s span, off int) int { return s.off - off })
	l.free = slices.Insert(l.free, i, span{off, n})
	if i+1 < len(l.free) && l.free[i].off+l.free[i].n == l.free[i+1].off {
		l.free[i].n += l.free[i+1].n
		l.free = slices.Delete(l.free, i+1, i+2)
	}
	if i > 0 && l.free[i-1].off+l.free[i-1].n == l.free[i].off {
		l.free[i-1].n += l.free[i].n
		l.free = slices.Delete(l.free, i, i+1)
	}
}
