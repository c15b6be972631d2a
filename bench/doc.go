// Package bench measures the codec as a whole: rate and distortion on a folder
// of pictures against the curves of other codecs (RD), and the speed of
// encoding and decoding on this machine (Codec). Package metric holds the
// distortion measures and package bd the comparison of curves.
//
// Everything here returns values that know how to print themselves; flags and
// progress bars belong to the command line.
package bench
