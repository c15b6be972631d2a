package fit

import "github.com/aecodec/aecodec/codec/nn"

// Chain is networks of one input and one output each, in which every one reads
// what the one before it returns: an encoder and its decoder, say.
type Chain []*Net

// Forward is Net.Forward through all networks.
func (c Chain) Forward(x *nn.Tensor) (*nn.Tensor, error) {
	for _, n := range c {
		y, err := n.Forward(x)
		if err != nil {
			return nil, err
		}
		x = y[0]
	}
	return x, nil
}

// Backward is Net.Backward through all networks, for a gradient of the last
// output. The gradient of the input is not computed.
func (c Chain) Backward(d *nn.Tensor) error {
	for i := len(c) - 1; i >= 0; i-- {
		dIn, err := c[i].Backward([]*nn.Tensor{d}, i > 0)
		if err != nil {
			return err
		}
		d = dIn[0]
	}
	return nil
}

// Step updates all networks.
func (c Chain) Step(o Adam) {
	for _, n := range c {
		n.Step(o)
	}
}

// Run is Net.Run through all networks.
func (c Chain) Run(x *nn.Tensor) (*nn.Tensor, error) {
	for _, n := range c {
		y, err := n.Run(x)
		if err != nil {
			return nil, err
		}
		x = y
	}
	return x, nil
}

// Finite is Net.Finite for all networks.
func (c Chain) Finite() error {
	for _, n := range c {
		if err := n.Finite(); err != nil {
			return err
		}
	}
	return nil
}
