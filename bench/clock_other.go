//go:build !linux

package bench

import "time"

// lockClock and threadTime do with the wall clock where the time of a thread
// takes more than a portable call to get.
func lockClock() (unlock func()) { return func() {} }

var started = time.Now()

func threadTime() time.Duration { return time.Since(started) }
