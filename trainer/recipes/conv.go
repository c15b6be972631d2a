package recipes

import (
	"fmt"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/trainer/fit"
)

// Conv is the convolutional autoencoder of the lecture, layer for layer.
var Conv = Recipe{
	Name:     "conv",
	Summary:  "the lecture's convolutional autoencoder, 28x28 to 4x4x8 and back",
	Wants:    "gray or colour pictures of 28x28, or of another size that comes back unchanged",
	Defaults: Settings{Schedule: fit.Schedule{Epochs: 50, Batch: 128, LR: 4e-3}},
	run: func(j *Job) (*Result, error) {
		if d := j.Train.Dims(); d.H < 8 || d.W < 8 {
			return nil, fmt.Errorf("records of %v are too small to be pooled three times", d)
		}
		enc, dec := convPair(j.Train.Dims(), 16, 8)
		return j.autoencoder(enc, dec, 0.096)
	},
}

// convPair is the lecture's network for wide = 16, narrow = 8. The decoder's
// third convolution is not padded where that makes 28 of 32.
func convPair(d nn.Shape, wide, narrow int) (enc, dec *nn.Network) {
	const relu = nn.OpReLU
	enc = newStack("encoder", d.C).
		conv(relu, wide).pool().
		conv(relu, narrow).pool().
		conv(relu, narrow).pool().
		build()
	third := nn.ConvOpts{Kernel: 3}
	if d.H%8 == 4 {
		third.Padding = nn.PadValid
	}
	dec = newStack("decoder", narrow).
		conv(relu, narrow).up().
		conv(relu, narrow).up().
		conv(relu, wide, third).up().
		conv("", d.C).
		build()
	return enc, dec
}
