package nn

import "github.com/aecodec/aecodec/kernels"

// epilogue returns what follows the sums of a convolution or dense layer.
func (st *Step) epilogue() kernels.Epilogue {
	return kernels.Epilogue{Bias: st.node.b, Act: st.Act, Slope: st.Slope}
}

// elements runs a step that computes each number, or each pixel, from those at
// the same place: on any number of whole pixels, args being the operands. shapes
// are those of all values.
func (st *Step) elements(dst []float32, args [][]float32, shapes []Shape) {
	src := args[0]
	switch st.Layer.Op {
	case OpLeaky:
		kernels.LeakyReLU(dst, src, st.Layer.Slope)
	case OpReLU:
		kernels.ReLU(dst, src)
	case OpSigmoid:
		kernels.Sigmoid(dst, src)
	case OpTanh:
		kernels.Tanh(dst, src)
	case OpSoftplus:
		kernels.Softplus(dst, src)
	case OpSymlog:
		kernels.Symlog(dst, src)
	case OpChannelScale:
		kernels.MulChannels(dst, src, st.node.flat)
	case OpFakeQuant:
		steps, zeros := st.node.quantiser()
		kernels.FakeQuantise(dst, src, steps, zeros)
	case OpAdd:
		kernels.Add(dst, src, args[1])
		for _, x := range args[2:] {
			kernels.Add(dst, dst, x)
		}
	case OpSub:
		kernels.Sub(dst, src, args[1])
	case OpMul:
		kernels.Mul(dst, src, args[1])
		for _, x := range args[2:] {
			kernels.Mul(dst, dst, x)
		}
	case OpConcat:
		at, c := 0, shapes[st.Out].C
		for i, x := range args {
			w := shapes[st.In[i]].C
			copyColumns(dst[at:], c, x, w, w)
			at += w
		}
	case OpSlice:
		c := shapes[st.Out].C
		copyColumns(dst, c, src[st.Layer.From:], shapes[st.In[0]].C, c)
	}
}

// quantiser returns the parameters of a fakequant layer.
func (nd *node) quantiser() (steps, zeros []float32) {
	c := len(nd.flat) / 2
	return nd.flat[:c], nd.flat[c:]
}

// copyColumns copies w columns of every row from src (stride lds) to dst
// (stride ldd).
func copyColumns(dst []float32, ldd int, src []float32, lds, w int) {
	for len(dst) >= w && len(src) >= w {
		copy(dst[:w], src[:w])
		dst, src = dst[min(ldd, len(dst)):], src[min(lds, len(src)):]
	}
}
