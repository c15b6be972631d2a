//go:build unix

package kernels

import (
	"syscall"
	"unsafe"
)

// allocFenced returns n elements, whole pages, between two unreadable pages.
func allocFenced(n int) []float32 {
	page := syscall.Getpagesize()
	size := n * 4
	mem, err := syscall.Mmap(-1, 0, size+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		panic(err)
	}
	for _, guard := range [][]byte{mem[:page], mem[page+size:]} {
		if err := syscall.Mprotect(guard, syscall.PROT_NONE); err != nil {
			panic(err)
		}
	}
	fenced[&mem[page]] = mem
	return unsafe.Slice((*float32)(unsafe.Pointer(&mem[page])), n)
}

// fenced finds the mapping of a slice again.
var fenced = map[*byte][]byte{}

func freeFenced(x []float32) {
	first := (*byte)(unsafe.Pointer(&x[0]))
	if err := syscall.Munmap(fenced[first]); err != nil {
		panic(err)
	}
	delete(fenced, first)
}
