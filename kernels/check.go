package kernels

import (
	"fmt"
	"unsafe"
)

// Assembly trusts its arguments, so every driver proves here that the slices
// hold what their sizes promise. A wrong size is a bug of the caller: it
// panics, as an index out of range would.

// checkLen panics unless have >= want.
func checkLen(op, what string, have, want int) {
	if have < want {
		panicLen(op, what, have, want)
	}
}

// checkSame panics unless have == want.
func checkSame(op, what string, have, want int) {
	if have != want {
		panicLen(op, what, have, want)
	}
}

// checkMatrix panics unless m holds rows×cols elements with rows ld apart.
func checkMatrix(op, what string, m []float32, rows, cols, ld int) {
	checkSize(op, what, len(m), rows, cols, ld)
}

// checkSize is checkMatrix for a matrix of have elements of any type.
func checkSize(op, what string, have, rows, cols, ld int) {
	if rows <= 0 || cols <= 0 {
		return
	}
	if rows > 1 && ld < cols {
		panicStride(op, what, ld, cols)
	}
	checkLen(op, what, have, (rows-1)*ld+cols)
}

// checkRange panics unless 0 <= lo <= hi <= n.
func checkRange(op string, lo, hi, n int) {
	if lo < 0 || lo > hi || hi > n {
		panicRange(op, lo, hi, n)
	}
}

//go:noinline
func panicRange(op string, lo, hi, n int) {
	panic(fmt.Sprintf("kernels: %s: range [%d, %d) outside [0, %d)", op, lo, hi, n))
}

//go:noinline
func panicLen(op, what string, have, want int) {
	panic(fmt.Sprintf("kernels: %s: %s: %d elements, want %d", op, what, have, want))
}

//go:noinline
func panicStride(op, what string, have, want int) {
	panic(fmt.Sprintf("kernels: %s: %s: stride %d, want at least %d", op, what, have, want))
}

// at returns a pointer to s[i], or nil when s is empty.
func at(s []float32, i int) *float32 {
	if len(s) == 0 {
		return nil
	}
	return &s[i]
}

// overlaps reports whether a and b share memory.
func overlaps(a, b []float32) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	a0, b0 := uintptr(unsafe.Pointer(&a[0])), uintptr(unsafe.Pointer(&b[0]))
	const size = unsafe.Sizeof(a[0])
	return a0 < b0+uintptr(len(b))*size && b0 < a0+uintptr(len(a))*size
}
