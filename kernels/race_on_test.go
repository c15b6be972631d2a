//go:build race

package kernels

// raceEnabled is set where sync.Pool drops items at random.
const raceEnabled = true
