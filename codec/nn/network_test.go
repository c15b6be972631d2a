package nn

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestErrors(t *testing.T) {
	conv := func(l Layer) *Network {
		return &Network{Name: "n", Inputs: []Port{{"x", 4}}, Layers: []Layer{l}, Outputs: []string{"x"}}
	}
	for want, n := range map[string]*Network{
		`nn: network "n": no inputs`:                                                                        {Name: "n"},
		`nn: network "": invalid name (letters, digits, _ and - only)`:                                      {},
		`nn: network "n": layer "l" (conv): out is 0, want 1 to 1048576`:                                    conv(Layer{Name: "l", Op: OpConv}),
		`nn: network "n": layer "l" (warp): unknown operation`:                                              conv(Layer{Name: "l", Op: "warp"}),
		`nn: network "n": layer "l" (add): 1 inputs, want two or more`:                                      conv(Layer{Name: "l", Op: OpAdd}),
		`nn: network "n": layer "l" (shuffle): 4 channels are not divisible by factor² (9)`:                 conv(Layer{Name: "l", Op: OpShuffle, Factor: 3}),
		`nn: network "n": layer "l" (shuffle): factor is 0, want 1 to 64`:                                   conv(Layer{Name: "l", Op: OpShuffle}),
		`nn: network "n": layer "l" (relu): input "y" is not a network input or an earlier layer`:           conv(Layer{Name: "l", Op: OpReLU, In: []string{"y"}}),
		`nn: network "n": layer "l" (leaky): slope is 2, want 0 to 1`:                                       conv(Layer{Name: "l", Op: OpLeaky, Slope: 2}),
		`nn: network "n": layer "l" (depthwise): kernel is 4, want an odd number`:                           conv(Layer{Name: "l", Op: OpDepthwise, Kernel: 4}),
		`nn: network "n": layer "l" (relu): kernel, stride and padding are not used by this operation`:      conv(Layer{Name: "l", Op: OpReLU, Kernel: 4}),
		`nn: network "n": layer "l" (slice): slice from 1 to 5 of 4 channels`:                               conv(Layer{Name: "l", Op: OpSlice, From: 1, To: 5}),
		`nn: network "n": duplicate name "x"`:                                                               conv(Layer{Name: "x", Op: OpReLU}),
		`nn: network "n": layer "a b" (relu): character ' ' in a name (letters, digits, dot, _ and - only)`: conv(Layer{Name: "a b", Op: OpReLU}),
		`nn: network "n": layer "l" (unshuffle): more than 1048576 channels`:                                {Name: "n", Inputs: []Port{{"x", 1 << 20}}, Layers: []Layer{{Name: "l", Op: OpUnshuffle, Factor: 2}}, Outputs: []string{"x"}},
		`nn: network "n": output "y" is not a layer or an input`:                                            {Name: "n", Inputs: []Port{{"x", 1}}, Outputs: []string{"y"}},
		`nn: network "n": layer "l" (conv): padding is "full", want "same" or "valid"`:                      conv(Layer{Name: "l", Op: OpConv, Out: 1, Padding: "full"}),
		`nn: network "n": layer "l" (reshape): shape has 2 entries, want [h, w, c]`:                         conv(Layer{Name: "l", Op: OpReshape, Shape: []int{1, 2}}),
	} {
		require.EqualError(t, n.Validate(), want)
	}

	b := NewBuilder("n")
	x := b.Input("x", 4)
	b.Output(b.Add("sum", x, b.Conv("c", x, 5, ConvOpts{})))
	_, err := b.Build()
	require.EqualError(t, err, `nn: network "n": layer "sum" (add): inputs have 4 and 5 channels`)

	b = NewBuilder("n")
	x = b.Input("x", 4)
	y := b.Conv("c", x, 4, ConvOpts{Stride: 2})
	b.Output(b.Add("sum", x, y))
	n, err := b.Build()
	require.NoError(t, err)
	_, err = n.Infer(Shape{4, 4, 4})
	require.EqualError(t, err, `nn: network "n": layer "sum" (add): inputs are 4x4x4 and 2x2x4`)
	_, err = n.Infer(Shape{4, 4, 3})
	require.EqualError(t, err, `nn: network "n": input "x" is 4x4x3, want 4 channels`)
	_, err = n.Infer(Shape{4, 0, 4})
	require.EqualError(t, err, `nn: network "n": input "x": empty shape 4x0x4`)
	_, err = n.Infer(Shape{1 << 24, 1 << 24, 4})
	require.EqualError(t, err, `nn: network "n": input "x": shape 16777216x16777216x4 is too large`)

	p := Params{}
	_, err = Compile(n, p)
	require.EqualError(t, err, `nn: network "n": layer "c" (conv): parameter "n.c.weight" is missing`)
	n.Init(p, 1, Shape{1, 1, 4})
	p["n.c.weight"].Shape[3] = 5
	_, err = Compile(n, p)
	require.EqualError(t, err, `nn: network "n": layer "c" (conv): parameter "n.c.weight" is [1 1 4 5] with 16 numbers, want [1 1 4 4]`)
	p["n.c.weight"].Shape = []int{1, 1, 2, 4}
	p["n.c.weight"].Data = make([]float32, 8)
	prog, err := Compile(n, p)
	require.NoError(t, err)
	_, err = prog.Run(NewArena(), 1, NewTensor(1, 1, 1, 4))
	require.EqualError(t, err, `nn: network "n": layer "c" (conv): weight is [1 1 2 4], input 1x1x4 needs [1 1 4 4]`)
	_, err = prog.Run(NewArena(), 1)
	require.EqualError(t, err, `nn: network "n": 0 inputs given, want 1`)
	_, err = prog.Run(NewArena(), 1, nil)
	require.EqualError(t, err, `nn: network "n": input "x" is nil`)
	_, err = prog.Run(NewArena(), 1, &Tensor{1, 1, 1, 4, nil})
	require.EqualError(t, err, `nn: network "n": input "x": 1 samples of 1x1x4 with 0 numbers`)
}

func TestParamShapesAndCost(t *testing.T) {
	b := NewBuilder("n")
	x := b.Input("x", 3)
	x = b.Conv("c", x, 8, ConvOpts{Kernel: 3, Stride: 2})
	x = b.Depthwise("d", x, 5)
	x = b.Deconv("t", x, 4, ConvOpts{Kernel: 3, Stride: 2, NoBias: true})
	x = b.Unary("g", OpChannelScale, x)
	x = b.Dense("f", x, 10)
	b.Output(x)
	n, err := b.Build()
	require.NoError(t, err)
	in := Shape{6, 10, 3}
	specs, err := n.ParamShapes(in)
	require.NoError(t, err)
	require.Equal(t, []ParamSpec{
		{"n.c.weight", []int{3, 3, 3, 8}, 27}, {"n.c.bias", []int{8}, 0},
		{"n.d.weight", []int{5, 5, 8}, 25}, {"n.d.bias", []int{8}, 0},
		{"n.t.weight", []int{3, 3, 8, 4}, 32},
		{"n.g.weight", []int{4}, 0},
		{"n.f.weight", []int{240, 10}, 240}, {"n.f.bias", []int{10}, 0},
	}, specs)
	total, per, err := n.MACs(in)
	require.NoError(t, err)
	require.Equal(t, []LayerCost{
		{"c", OpConv, Shape{3, 5, 8}, 15 * 27 * 8},
		{"d", OpDepthwise, Shape{3, 5, 8}, 15 * 25 * 8},
		{"t", OpDeconv, Shape{6, 10, 4}, 15 * 9 * 8 * 4},
		{"g", OpChannelScale, Shape{6, 10, 4}, 0},
		{"f", OpDense, Shape{1, 1, 10}, 2400},
	}, per)
	require.EqualValues(t, 15*27*8+15*25*8+15*9*32+2400, total)

	p, q := Params{}, Params{}
	n.Init(p, 7, in)
	n.Init(q, 7, in)
	require.Equal(t, p, q)
	n2 := Params{"n.c.bias": p["n.c.bias"]}
	n.Init(n2, 8, in)
	require.NotEqual(t, p["n.c.weight"].Data, n2["n.c.weight"].Data)
	require.Equal(t, float32(1), p["n.g.weight"].Data[0])
	// Pinned, because seeds are part of training records.
	require.Equal(t, []float32{-0.08672136, 0.4174911}, p["n.c.weight"].Data[:2])
}
