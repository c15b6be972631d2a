package kernels

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// piecesPerThread is into how many ranges For cuts the share of a thread. More
// than one, so that a thread that is done early, because its ranges were easier
// or because another program took a core from the others, can help them out.
const piecesPerThread = 4

// For splits [0, n) into contiguous ranges of at least grain items (the last may
// be shorter only if there is no other) and calls fn on each of them, on at most
// threads goroutines at a time. It returns when all calls have returned. With
// threads <= 1, or too few items for two ranges, fn runs once, on the calling
// goroutine.
//
// Callers split over independent outputs only, so no result depends on the
// number of threads or on which of them does what. A panic in fn is raised again
// on the calling goroutine, where a caller may recover from it.
func For(threads, n, grain int, fn func(lo, hi int)) {
	if n <= 0 {
		return
	}
	ranges := n / max(grain, 1)
	parts := min(threads, ranges)
	if parts <= 1 {
		fn(0, n)
		return
	}
	forParallel(parts, min(ranges, parts*piecesPerThread), n, fn)
}

// forParallel is apart from For so that a serial call allocates nothing.
func forParallel(parts, pieces, n int, fn func(lo, hi int)) {
	j := &job{fn: fn, n: n, pieces: pieces, taken: make([]atomic.Int32, parts)}
	j.left.Store(int32(pieces))
	j.wg.Add(pieces)
	for part := 1; part < parts; part++ {
		j.share(part)
	}
	j.run(0)
	j.wait()
	if j.failed != nil {
		panic(j.failed)
	}
}

// job is one parallel call of For. Every part, the share of one goroutine, is a
// run of pieces. A goroutine takes the pieces of its own part first, which keeps
// it near the memory it worked on before, and then those that others have not
// come to yet. One that starts when nothing is left does nothing, so that the
// caller does not wait for goroutines, only for pieces.
type job struct {
	fn        func(lo, hi int)
	n, pieces int
	taken     []atomic.Int32 // by part: pieces begun
	left      atomic.Int32   // pieces not finished
	wg        sync.WaitGroup // of the pieces, for those who can't spin any longer
	once      sync.Once
	failed    any
}

func (j *job) run(part int) {
	parts := len(j.taken)
	for i := range parts {
		p := (part + i) % parts
		first, end := p*j.pieces/parts, (p+1)*j.pieces/parts
		for {
			k := first + int(j.taken[p].Add(1)) - 1
			if k >= end {
				break
			}
			j.piece(k)
		}
	}
}

func (j *job) piece(k int) {
	defer func() {
		if r := recover(); r != nil {
			j.once.Do(func() { j.failed = r })
		}
		j.left.Add(-1)
		j.wg.Done()
	}()
	j.fn(k*j.n/j.pieces, (k+1)*j.n/j.pieces)
}

func (j *job) wait() {
	if !spin(func() bool { return j.left.Load() == 0 }) {
		j.wg.Wait()
	}
}

// A network's passes are hundreds of short parallel calls with little between
// them, and waking a sleeping thread takes up to 0.1 ms, in virtual machines in
// particular: a fifth of the time of a training step, as measured. So whoever has
// nothing to do looks out for work a little longer before it goes to sleep.
const (
	spinTime   = 100 * time.Microsecond
	spinChecks = 64 // between looks at the clock and at other goroutines
)

// spin waits for ready for at most spinTime and reports whether it was seen.
func spin(ready func() bool) bool {
	for start := time.Now(); ; runtime.Gosched() {
		for range spinChecks {
			if ready() {
				return true
			}
		}
		if time.Since(start) > spinTime {
			return false
		}
	}
}

// helper is a goroutine that does parts of jobs. When it is done it looks out for
// the next job, and ends if there is none for some time.
type helper struct {
	part int
	job  atomic.Pointer[job] // of which to do part
}

// idle holds the helpers that look out for work.
var idle struct {
	sync.Mutex
	list []*helper
}

// share hands a part to an idle helper or a new one.
func (j *job) share(part int) {
	idle.Lock()
	if last := len(idle.list) - 1; last >= 0 {
		h := idle.list[last]
		idle.list = idle.list[:last]
		idle.Unlock()
		h.part = part
		h.job.Store(j)
		return
	}
	idle.Unlock()
	go new(helper).help(j, part)
}

func (h *helper) help(j *job, part int) {
	for j != nil {
		j.run(part)
		j = h.next()
		part = h.part
	}
}

// next returns the next job, or nil if none came.
func (h *helper) next() *job {
	h.job.Store(nil)
	idle.Lock()
	if len(idle.list) >= runtime.GOMAXPROCS(0)-1 {
		idle.Unlock()
		return nil
	}
	idle.list = append(idle.list, h)
	idle.Unlock()
	for !spin(func() bool { return h.job.Load() != nil }) {
		idle.Lock()
		i := slices.Index(idle.list, h)
		if i >= 0 {
			idle.list = slices.Delete(idle.list, i, i+1)
		}
		idle.Unlock()
		if i >= 0 {
			return nil
		}
		// Somebody has just taken h from the list: the job is on its way.
	}
	return h.job.Load()
}
