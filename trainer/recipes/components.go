package recipes

import (
	"fmt"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/record"
	"github.com/aecodec/aecodec/trainer/fit"
)

// Components returns the principal components of records as a model: an encoder
// and a decoder of one linear layer each. It is what a trained autoencoder is
// measured against, with everything else equal.
func Components(train *record.Set, components, threads int) (*Model, error) {
	d, scale := train.Dims(), scaleOf(train)
	p, err := fit.NewPCA(scale.apply(train), threads)
	if err != nil {
		return nil, fmt.Errorf("recipes: %w", err)
	}
	n := d.Len()
	if components < 1 || components > len(p.Values) {
		return nil, fmt.Errorf("recipes: %d principal components of %d", components, len(p.Values))
	}
	enc := newStack("encoder", d.C).op(nn.OpFlatten).dense("", components).build()
	dec := newStack("decoder", components).dense("", n).shape(d).build()
	params := nn.Params{}
	add := func(in nn.Shape, net *nn.Network) (weight, bias []float32, err error) {
		specs, err := net.ParamShapes(in)
		if err != nil {
			return nil, nil, err
		}
		for _, s := range specs {
			params[s.Name] = nn.NewParam(s.Name, s.Shape...)
		}
		return params[specs[0].Name].Data, params[specs[1].Name].Data, nil
	}
	into, offset, err := add(d, enc)
	if err != nil {
		return nil, fmt.Errorf("recipes: %w", err)
	}
	back, mean, err := add(nn.Shape{H: 1, W: 1, C: components}, dec)
	if err != nil {
		return nil, fmt.Errorf("recipes: %w", err)
	}
	for k := range components {
		sum := 0.0
		for i, b := range p.Basis[k*n : (k+1)*n] {
			into[i*components+k], back[k*n+i] = float32(b), float32(b)
			sum -= float64(b * p.Mean[i])
		}
		offset[k] = float32(sum)
	}
	for i, m := range p.Mean {
		mean[i] = float32(m)
	}
	return &Model{Encoder: enc, Decoder: dec, Params: params, Scale: scale, Train: train}, nil
}
