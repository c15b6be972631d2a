package codec

import (
	"sync"
	"sync/atomic"
)

// parallel calls fn(i, threads) for 0 <= i < n from up to threads goroutines,
// each of which may use the number of threads that it is told. It returns the
// error of the lowest i that failed; after a failure no more calls begin.
func parallel(threads, n int, fn func(i, threads int) error) error {
	workers := min(max(threads, 1), n)
	if workers <= 1 {
		for i := range n {
			if err := fn(i, threads); err != nil {
				return err
			}
		}
		return nil
	}
	inner := threads / workers
	errs := make([]error, n)
	var next, failed atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for failed.Load() == 0 {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if errs[i] = fn(i, inner); errs[i] != nil {
					failed.Store(1)
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
