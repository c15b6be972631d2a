// Package nn describes feed-forward networks as data and runs them.
//
// A [Network] is a list of layers that marshals to JSON; it knows no weights
// and no image size. [Network.Infer] derives shapes, [Network.ParamShapes] the
// parameters, [Network.MACs] the cost. [Compile] binds a network to its
// [Params] and gives a [Program], which runs forward in three ways that return
// the same bits:
//
//   - [Rows], inference on single images: rows flow through the layers, each of
//     which keeps the few that it needs, so that large images take little memory
//     and bands of an image run on their own;
//   - [Program.Run], inference on batches: activations are fused into the layer before
//     them, residual additions into the last convolution of their branch,
//     pixel-wise layers run one after the other on a strip of rows that stays
//     in the cache, and memory is reused as soon as a value is dead;
//   - [Program.Trace], training: the same, but every value that the backward
//     pass needs is kept (see package codec/nn/grad).
//
// All arithmetic is that of package kernels, so results are the same to the
// bit on every machine and with any number of threads: work is split over
// output rows only, never over a sum.
//
// Activations are NHWC float32: channels of a pixel are contiguous.
package nn
