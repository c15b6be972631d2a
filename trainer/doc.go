// Package trainer trains a learned image codec from folders of pictures on a
// plain CPU and writes it as a model file.
//
// [Train] runs the whole recipe: principal components to start from,
// rate-distortion training, validation on held-out pictures, checkpoints, and
// the export of the averaged weights. A run is described by a [Config] and
// nothing else: the same configuration and data give the same weights to the
// bit with every kernel backend, with any number of threads, and whether or
// not the run was interrupted and resumed on the way. To keep that promise
// every random number is a pure function of (seed, step, sample, element),
// sums have a fixed order, and everything that the Go compiler might fuse into
// a multiply-add on some architectures is rounded explicitly.
package trainer
