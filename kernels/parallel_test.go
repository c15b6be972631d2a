package kernels

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFor(t *testing.T) {
	for _, n := range []int{-1, 0, 1, 2, 7, 64, 1000} {
		for _, threads := range []int{-1, 0, 1, 2, 3, 8, 100} {
			for _, grain := range []int{-1, 0, 1, 5, 64, 2000} {
				var mu sync.Mutex
				seen := make([]int, max(n, 0))
				calls := 0
				For(threads, n, grain, func(lo, hi int) {
					mu.Lock()
					defer mu.Unlock()
					calls++
					require.Less(t, lo, hi)
					require.True(t, hi-lo >= grain || hi-lo == n)
					for i := lo; i < hi; i++ {
						seen[i]++
					}
				})
				require.LessOrEqual(t, calls, max(threads*piecesPerThread, 1))
				for _, k := range seen {
					require.Equal(t, 1, k)
				}
			}
		}
	}
}

func TestForPanic(t *testing.T) {
	for bad := range 4 {
		require.PanicsWithValue(t, "broken", func() {
			For(4, 4, 1, func(lo, hi int) {
				if lo == bad {
					panic("broken")
				}
			})
		})
	}
}

// Calls from many goroutines at once, nested and in turn, share the helpers.
func TestForConcurrent(t *testing.T) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				var sum atomic.Int64
				For(3, 5, 1, func(lo, hi int) {
					for i := lo; i < hi; i++ {
						For(2, 10, 2, func(lo, hi int) { sum.Add(int64(hi - lo)) })
					}
				})
				if sum.Load() != 50 {
					t.Errorf("%d items, want 50", sum.Load())
				}
			}
		})
	}
	wg.Wait()
}

// Helpers go away when there is nothing to do.
func TestForIdle(t *testing.T) {
	For(4, 4, 1, func(lo, hi int) {})
	require.Eventually(t, func() bool {
		idle.Lock()
		defer idle.Unlock()
		return len(idle.list) == 0
	}, 10*time.Second, time.Millisecond)
}
