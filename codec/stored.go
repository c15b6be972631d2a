package codec

import (
	"math"
	"strings"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/format"
)

// Weights are stored as half-precision floats, of which most layers need fewer
// digits than there are: zeros at the end cost nothing after compression. On three
// pictures of valid_cid22, the photo network trained for MS-SSIM, qualities 10 to
// 95, as BD-rate by PSNR and by MS-SSIM against 10 bits of mantissa in all layers
// (6.29 MB):
//
//	all but the linear shortcuts with  7 bits   +0.06 %  +0.10 %   5.41 MB
//	                                   6 bits   +0.20 %  +0.43 %   5.13 MB
//	                                   5 bits   +1.24 %  +2.38 %   4.78 MB
//	the renderer alone with            4 bits   +2.53 %  +5.31 %   6.28 MB
//	all of the analysis with           4 bits   +0.07 %  +0.52 %   5.20 MB
//
// So it is the layers at the end of the synthesis that need all bits, which have
// few weights, each used at many places. Integers in steps of the root mean
// square, 24 to 48 a channel, do worse than floats of the same size (+2.2 %, 4.22
// MB): some inputs are much larger than others, and have smaller weights.
const (
	mantissaBits = 6
	fewWeights   = 1 << 14 // up to here a layer keeps all 10
)

// storedWeight is the tensor of a layer's weight. Layers without a bias are the
// linear shortcuts, through which the picture itself passes.
func storedWeight(s nn.ParamSpec, data []float32, biased bool) format.Tensor {
	if !biased || len(data) <= fewWeights {
		return format.NewFloat16(s.Name, s.Shape, data)
	}
	rounded := make([]float32, len(data))
	for i, v := range data {
		rounded[i] = roundMantissa(v, mantissaBits)
	}
	return format.NewFloat16(s.Name, s.Shape, rounded)
}

// roundMantissa rounds to n bits behind the leading one, ties to even. Numbers
// below 2^-14, which are multiples of 2^-24 in half precision, have no more after
// it either.
func roundMantissa(v float32, n uint) float32 {
	b := math.Float32bits(v)
	drop := 23 - n
	b += 1<<(drop-1) - 1 + b>>drop&1
	return math.Float32frombits(b &^ (1<<drop - 1))
}

// weightTensors stores the parameters of networks: weights as storedWeight
// does, biases in full.
func (a *Arch) weightTensors(p nn.Params, networks []string) ([]format.Tensor, error) {
	var out []format.Tensor
	for _, name := range networks {
		specs, err := a.networkSpecs(name)
		if err != nil {
			return nil, err
		}
		biased := make(map[string]bool)
		for _, s := range specs {
			if layer, ok := strings.CutSuffix(s.Name, ".bias"); ok {
				biased[layer] = true
			}
		}
		for _, s := range specs {
			data := p[s.Name].Data
			if s.FanIn == 0 {
				out = append(out, format.NewFloat32(s.Name, s.Shape, data))
				continue
			}
			out = append(out, storedWeight(s, data, biased[strings.TrimSuffix(s.Name, ".weight")]))
		}
	}
	return out, nil
}
