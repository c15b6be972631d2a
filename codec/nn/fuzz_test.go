package nn_test

import (
	"encoding/json"
	"testing"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/nn/nntest"
)

// FuzzNetwork: whatever a model file describes, it is accepted or refused
// without a panic, and a small accepted network runs.
func FuzzNetwork(f *testing.F) {
	for _, c := range append(nntest.Zoo(), nntest.Windows()...) {
		data, err := json.Marshal(c.Net)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, c.In[0].H, c.In[0].W)
	}
	f.Fuzz(func(t *testing.T, data []byte, h, w int) {
		var n nn.Network
		if json.Unmarshal(data, &n) != nil || n.Validate() != nil {
			return
		}
		var in []nn.Shape
		for _, p := range n.Inputs {
			in = append(in, nn.Shape{H: h, W: w, C: p.C})
		}
		values, err := n.Infer(in...)
		if err != nil {
			return
		}
		macs, _, err := n.MACs(in...)
		if err != nil {
			return
		}
		specs, err := n.ParamShapes(in...)
		if err != nil {
			return
		}
		work := macs
		for _, s := range values {
			work += int64(s.Len())
		}
		for _, s := range specs {
			size := 1
			for _, d := range s.Shape {
				size *= d
			}
			work += int64(size)
		}
		if work > 1<<18 {
			return
		}
		c := nntest.Case{Net: &n, In: in}
		prog, err := nn.Compile(&n, c.Params())
		if err != nil {
			t.Fatal(err)
		}
		a := nn.NewArena()
		x := c.Batch(2)
		want, err := prog.Run(a, 1, x...)
		if err != nil {
			t.Fatal(err)
		}
		want = copyOut(want)
		tr, err := prog.Trace(a, 1, x...)
		if err != nil {
			t.Fatal(err)
		}
		requireSameBits(t, want, tr.Outputs(), "trace")
		whole, _ := c.Net.Infer(in...)
		if out := whole[n.Outputs[0]]; out.H > 0 {
			compareRows(t, prog, new(nn.Rows), in, x, want, out.H/3, out.H)
		}
	})
}
