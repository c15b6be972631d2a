package nn

import "fmt"

// LayerCost is the work of one layer on one sample.
type LayerCost struct {
	Layer string
	Op    Op
	Out   Shape
	MACs  int64 // multiply-accumulates of convolutions and dense layers
}

// MACs counts the multiply-accumulates of one sample, layer by layer. Taps
// that fall on padding count, as they are computed; element-wise work and data
// movement do not.
func (n *Network) MACs(in ...Shape) (total int64, perLayer []LayerCost, err error) {
	values, err := n.inferValues(in)
	if err != nil {
		return 0, nil, err
	}
	ins, _ := n.resolve()
	sum := 0.0
	for i := range n.Layers {
		l := n.Layers[i].defaults()
		s, out := values[ins[i][0]], values[len(n.Inputs)+i]
		shape, _ := l.weightShape(s)
		var macs float64
		switch l.Op {
		case OpConv, OpDepthwise:
			macs = elements(shape) * float64(out.H) * float64(out.W)
		case OpDeconv:
			macs = elements(shape) * float64(s.H) * float64(s.W)
		case OpDense:
			macs = elements(shape)
		}
		sum += macs
		if sum > 1<<62 {
			return 0, nil, fmt.Errorf("nn: network %q: more than 2^62 multiply-accumulates", n.Name)
		}
		perLayer = append(perLayer, LayerCost{l.Name, l.Op, out, int64(macs)})
		total += int64(macs)
	}
	return total, perLayer, nil
}
