// Package record codes records: many arrays of one fixed shape, such as digits,
// windows of a sensor's signal, spectra or tiles, where package codec codes one
// picture of any size.
//
// A [Set] holds records in memory; [Read] fills it from NPY, IDX, CSV, WAV, raw
// 16-bit samples or a folder of pictures, and [Write] writes them back. A
// [Model] is a small autoencoder trained on such records. [Encode] turns a set
// into an .aec file: the latents of every record, quantised and entropy-coded,
// and where a bound for the error is asked for, what the latents miss. [Decode]
// gives the same bits on every machine.
package record
