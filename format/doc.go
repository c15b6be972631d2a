// Package format reads and writes the bytes of aecodec: the container of coded
// images (.aec), the container of models (.aem), and the entropy coder whose
// streams the former carries. It knows nothing of networks.
//
// SPEC.md beside this file specifies all of it byte by byte.
//
// Everything that reads takes untrusted input: sizes are checked against
// [Limits] before anything is allocated, every byte is covered by a checksum,
// and what cannot be read is a one-line [FormatError].
package format
