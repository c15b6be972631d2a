// Package bench measures rate and distortion on a folder of pictures against the
// curves of other codecs (RD), and speeds on this machine: of encoding and
// decoding (Codec), of every kernel (Kernels) and of every layer of a model
// (Layers) as shares of what a core can do, and of training (Train). Package
// metric holds the distortion measures and package bd the comparison of curves.
//
// A Record keeps the last result of every suite on one machine; WriteReport and
// WriteReportPNG make the tables and the plot of bench/results from records.
//
// Everything here returns values that know how to print themselves; flags and
// progress bars belong to the command line.
package bench
