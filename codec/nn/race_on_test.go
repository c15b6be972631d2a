//go:build race

package nn_test

// raceEnabled is set where sync.Pool drops items at random.
const raceEnabled = true
