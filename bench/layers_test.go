package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/kernels"
)

func TestLayers(t *testing.T) {
	smallLoads(t)
	best := kernels.Available()[len(kernels.Available())-1]
	r, err := Layers(context.Background(), &LayersOptions{
		TimingOptions: TimingOptions{Backends: []string{best}, Rounds: 1, Time: time.Microsecond}, Width: 70, Height: 50,
	})
	require.NoError(t, err)
	require.NotEmpty(t, r.Model)
	model, err := codec.DefaultModel()
	require.NoError(t, err)

	// Every layer that does anything is there once, and the multiply-adds are
	// those of the networks.
	seen, flops := map[string]bool{}, 0.0
	for _, l := range r.Layers {
		for _, name := range l.Names {
			require.False(t, seen[name], name)
			seen[name] = true
		}
		flops += float64(len(l.Names)) * l.Flops
		require.Len(t, l.Timings, 1)
		require.Equal(t, best, l.Timings[0].Backend)
		require.Positive(t, l.Timings[0].Seconds.Median)
		require.Greater(t, l.Bytes, l.Read)
	}
	want := 0.0
	for _, net := range model.Arch().Networks {
		macs, _, err := net.MACs(networkInputs(model.Arch(), net, 70, 50)...)
		require.NoError(t, err)
		want += 2 * float64(macs)
		for _, l := range net.Layers {
			require.True(t, seen[net.Name+"."+l.Name], l.Name)
		}
	}
	require.InEpsilon(t, want, flops, 1e-12)

	var table, js bytes.Buffer
	require.NoError(t, r.WriteTable(&table))
	require.Contains(t, table.String(), "synthesis.lin")
	require.NoError(t, r.WriteJSON(&js))
	var back LayersResult
	require.NoError(t, json.Unmarshal(js.Bytes(), &back))
	require.Equal(t, *r, back)
}

// A layer by itself computes what it computes in its network.
func TestLayerCaseIsTheLayer(t *testing.T) {
	b := nn.NewBuilder("net")
	x := b.Input("x", 4)
	v := b.Leaky("act", b.Conv("first", x, 8, nn.ConvOpts{Kernel: 3}), 0.1)
	b.Output(b.Depthwise("second", v, 5))
	net, err := b.Build()
	require.NoError(t, err)
	params := nn.Params{}
	in := nn.Shape{H: 6, W: 7, C: 4}
	net.Init(params, 1, in)
	shapes, err := net.Infer(in)
	require.NoError(t, err)
	shapes["x"] = in
	run := func(n *nn.Network, x *nn.Tensor) *nn.Tensor {
		prog, err := nn.Compile(n, params)
		require.NoError(t, err)
		out, err := prog.Run(nn.NewArena(), 1, x)
		require.NoError(t, err)
		return out[0]
	}
	tensor := &nn.Tensor{N: 1, H: in.H, W: in.W, C: in.C, Data: floats(in.Len())}
	want := run(net, tensor)
	previous := "x"
	for _, l := range net.Layers {
		tensor = run(newLayerCase("net", l, []string{previous}, shapes).net, tensor)
		previous = l.Name
	}
	require.Equal(t, want.Data, tensor.Data)
}

func TestLayersErrors(t *testing.T) {
	_, err := Layers(context.Background(), &LayersOptions{Width: -1, Height: 5})
	require.ErrorContains(t, err, "bench: layers: a picture of -1x5 pixels")
	_, err = Layers(context.Background(), &LayersOptions{TimingOptions: TimingOptions{Rounds: -2}})
	require.ErrorContains(t, err, "bench: layers: -2 rounds")
}

func TestLabels(t *testing.T) {
	l := &LayerLine{Names: []string{"a.b", "a.c"}, Op: nn.OpConv, Kernel: 3, In: []nn.Shape{{H: 1, W: 2, C: 3}}, Out: nn.Shape{H: 1, W: 2, C: 4}}
	require.Equal(t, "a.b +1", l.Label())
	require.Equal(t, "conv 3x3 1x2x3 to 1x2x4", l.Kind())
	require.False(t, strings.Contains((&LayerLine{Names: []string{"a"}}).Label(), "+"))
}
