package kernels

import "sync"

// For splits [0, n) into at most threads contiguous ranges of at least grain
// items (the last may be shorter) and calls fn on each of them, concurrently.
// It returns when all calls have returned. With threads <= 1, or too few items
// for two ranges, fn runs on the calling goroutine.
//
// Callers split over independent outputs only, so no result depends on the
// number of threads. A panic in fn is raised again on the calling goroutine,
// where a caller may recover from it.
func For(threads, n, grain int, fn func(lo, hi int)) {
	if n <= 0 {
		return
	}
	parts := min(threads, n/max(grain, 1))
	if parts <= 1 {
		fn(0, n)
		return
	}
	forParallel(parts, n, fn)
}

// forParallel is apart from For so that a serial call allocates nothing.
func forParallel(parts, n int, fn func(lo, hi int)) {
	var (
		wg     sync.WaitGroup
		once   sync.Once
		failed any
	)
	run := func(part int) {
		defer wg.Done()
		defer func() {
			if r := recover(); r != nil {
				once.Do(func() { failed = r })
			}
		}()
		fn(part*n/parts, (part+1)*n/parts)
	}
	wg.Add(parts)
	for part := 1; part < parts; part++ {
		go run(part)
	}
	run(0)
	wg.Wait()
	if failed != nil {
		panic(failed)
	}
}
