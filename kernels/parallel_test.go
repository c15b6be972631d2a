package kernels

import (
	"sync"
	"testing"

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
				require.LessOrEqual(t, calls, max(threads, 1))
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
