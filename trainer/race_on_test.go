//go:build race

package trainer

// raceEnabled is set where sync.Pool drops items at random.
const raceEnabled = true
