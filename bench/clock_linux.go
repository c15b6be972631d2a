package bench

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// lockClock keeps the caller on one thread, which threadTime counts the time of,
// until the returned function is called.
func lockClock() (unlock func()) {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}

// threadTime is the processor time of the calling thread. Beside other programs
// it measures what the work took, where the wall clock would measure them too.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err) // every Linux that Go runs on has this clock
	}
	return time.Duration(t.Nano())
}
