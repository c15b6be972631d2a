// Package codec is a learned image codec: it compresses pictures with a
// convolutional autoencoder to the .aec format and decodes them to the same
// pixels on every machine.
//
// Encode, Decode and DecodeConfig work like those of image/png; importing the
// package registers the format "aec" with package image. A good default model
// is embedded; LoadModel reads others.
//
// # How a picture becomes bytes
//
// The analysis network turns pixels into a latent y of M channels at 1/16 of the
// resolution. Gains, one vector for every quality, scale it before it is rounded,
// so one model serves all qualities (Cui et al., CVPR 2021). A hyper-latent z at
// 1/64 tells the decoder the distribution of every symbol (Ballé et al. 2018,
// arXiv 1802.01436; Minnen et al. 2018, arXiv 1809.02736): its scale by an
// integer map, see scaleMap, and its mean by a network, in two passes over a
// checkerboard (He et al., CVPR 2021). Symbols are coded with interleaved rANS,
// see package format.
//
// # Effort
//
// Options.Effort buys smaller files with the encoder's time. BD-rate (PSNR)
// against the default, 3, from real files of the 24 Kodak images at qualities
// 20, 35, 50, 65 and 90:
//
//	effort    3      4      5      6      7      9
//	rounds    -      3      6     12     25    120
//	BD-rate   0   -3.4 % -5.9 % -8.1 % -9.3 % -10.0 %
//
// A round takes about five times as long as decoding.
//
// # Tiles that are no photographs
//
// From effort 3 on, tiles of text, screens, line art or noise are coded without
// the networks where that costs less: without loss, or by a block transform.
//
// # The same bits everywhere
//
// All arithmetic that decides a decoded bit is either integer or one of the
// functions of package kernels, which return the same bits on every backend,
// or explicitly rounded float32. Number of threads, tiles and blocks change
// nothing either. SPEC.md beside this file defines decoding step by step.
package codec
