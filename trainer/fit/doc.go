// Package fit is the core of training on records: networks with the state of
// their optimiser, losses with their gradients, noise, and loops over epochs
// that can be interrupted and resumed. The recipes of trainer/recipes are
// written in terms of it.
//
// Everything is a function of the seed: orders and noise are drawn from streams
// that are keyed by purpose, epoch and sample, sums run in a fixed order, and
// the arithmetic is that of package kernels. So a recipe gives the same weights
// on every backend and with any number of threads.
package fit
