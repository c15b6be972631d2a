package nn_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/nn/nntest"
	"github.com/aecodec/aecodec/kernels"
)

// renderer is a small network with all that the codec's synthesis has: blocks,
// shuffles, a linear shortcut, a rectifier behind a sum; and what only the slow
// layers do.
func renderer(t *testing.T) nntest.Case {
	b := nn.NewBuilder("renderer")
	y := b.Input("y", 20)
	lin := b.Shuffle("linear", b.Conv("lin", y, 48, nn.ConvOpts{Kernel: 1, NoBias: true}), 2)
	v := b.Conv("stem", y, 24, nn.ConvOpts{Kernel: 3})
	v = b.Block("s0", v, 0.1)
	v = b.Leaky("slow", b.Add("three", v, v, v), 0.2)
	v = b.Shuffle("up", b.Conv("to4", v, 48, nn.ConvOpts{}), 2)
	v = b.Add("join", v, b.Conv("deblock", lin, 12, nn.ConvOpts{}))
	v = b.HalfBlock("r0", b.Leaky("act", v, 0.1), 0.1)
	v = b.Shuffle("fine", b.Unshuffle("coarse", v, 2), 2)
	v = b.Depthwise("wide", b.Unary("relu", nn.OpReLU, b.Conv("more", v, 12, nn.ConvOpts{})), 5)
	v = b.Add("sum", b.Conv("head", v, 12, nn.ConvOpts{}), lin)
	b.Output(b.Shuffle("x", v, 2), "act")
	net, err := b.Build()
	require.NoError(t, err)
	return nntest.Case{Net: net, In: []nn.Shape{{H: 11, W: 7, C: 20}}}
}

// quantised expresses a case in integers, with the ranges of a few inputs. step
// is that of the bytes of its output, which hold all that comes.
func quantised(t *testing.T, c nntest.Case, p nn.Params) (q *nn.Integers, step float64) {
	all := *c.Net
	all.Outputs = nil
	ranges := map[string]*nn.Range{}
	for _, in := range all.Inputs {
		all.Outputs = append(all.Outputs, in.Name)
	}
	for _, l := range all.Layers {
		all.Outputs = append(all.Outputs, l.Name)
	}
	out, err := compile(t, &all, p).Run(nn.NewArena(), 1, c.Batch(3)...)
	require.NoError(t, err)
	for i, name := range all.Outputs {
		ranges[name] = new(nn.Range)
		ranges[name].Extend(out[i])
	}
	for i, hi := range ranges["x"].Hi {
		step = max(step, float64(max(hi, -ranges["x"].Lo[i]))/127)
	}
	q, err = c.Net.Quantise(p, ranges, nn.QuantiseOptions{
		Wide:    map[string]bool{"lin": true},
		Outputs: map[string]nn.ByteScale{"x": {Step: step, Zero: 127.5}},
	})
	require.NoError(t, err)
	return q, step
}

// value is all of a value in 16-bit numbers.
type value struct {
	h, w, c int
	r       []int64
}

// naiveIntegers evaluates a network as the comment of nn.Integers has it.
func naiveIntegers(n *nn.Network, q *nn.Integers, in *nn.Tensor) map[string]value {
	sat := func(v int64) int64 { return min(max(v, math.MinInt16), math.MaxInt16) }
	values := map[string]value{}
	x := value{in.H, in.W, in.C, make([]int64, len(in.Data))}
	for i, f := range in.Data {
		x.r[i] = sat(int64(math.RoundToEven(float64(f * q.Scale[n.Inputs[0].Name][i%in.C]))))
	}
	values[n.Inputs[0].Name] = x
	for _, l := range n.Layers {
		a := values[l.In[0]]
		out := value{h: a.h, w: a.w, c: a.c}
		switch l.Op {
		case nn.OpConv, nn.OpDepthwise:
			layer := q.Layers[l.Name]
			out.c = len(layer.Bias)
			k := max(l.Kernel, 1)
			for i := range out.h * out.w * out.c {
				j, px, py := i%out.c, i/out.c%out.w, i/out.c/out.w
				acc := int64(layer.Bias[j]) + 1<<layer.Shift[j]>>1
				for t := range k * k {
					y, x := py+t/k-(k-1)/2, px+t%k-(k-1)/2
					first, last, row := 0, a.c, t*a.c
					if l.Op == nn.OpDepthwise {
						first, last, row = j, j+1, t-j
					}
					for c := first; c < last; c++ {
						var r int64
						if y >= 0 && y < a.h && x >= 0 && x < a.w {
							r = a.r[(y*a.w+x)*a.c+c]
						}
						if !layer.Wide {
							r = asByte(r, q.Offset[l.In[0]][c])
						}
						acc += r * int64(layer.Weight[(row+c)*out.c+j])
					}
				}
				out.r = append(out.r, (sat(acc>>layer.Shift[j])*int64(layer.Mul[j])+1<<14)>>15)
			}
		case nn.OpLeaky, nn.OpReLU:
			slope := int64(math.RoundToEven(float64(l.Slope) * (1 << 15)))
			for _, r := range a.r {
				out.r = append(out.r, max(r, (r*slope+1<<14)>>15))
			}
		case nn.OpAdd:
			for i, r := range a.r {
				for _, o := range l.In[1:] {
					r = sat(r + values[o].r[i])
				}
				out.r = append(out.r, r)
			}
		case nn.OpShuffle:
			f := l.Factor
			out.h, out.w, out.c = a.h*f, a.w*f, a.c/f/f
			for i := range len(a.r) {
				c, px, py := i%out.c, i/out.c%out.w, i/out.c/out.w
				out.r = append(out.r, a.r[(py/f*a.w+px/f)*a.c+(py%f*f+px%f)*out.c+c])
			}
		case nn.OpUnshuffle:
			f := l.Factor
			out.h, out.w, out.c = a.h/f, a.w/f, a.c*f*f
			for i := range len(a.r) {
				c, px, py := i%out.c, i/out.c%out.w, i/out.c/out.w
				out.r = append(out.r, a.r[((py*f+c/a.c/f)*a.w+px*f+c/a.c%f)*a.c+c%a.c])
			}
		}
		values[l.Name] = out
	}
	return values
}

func asByte(r int64, offset int16) int64 { return min(max((r+int64(offset))>>6, 0), 255) }

// The program against the definition: on every backend, with one and many
// threads and strips, and for bands.
func TestIntegers(t *testing.T) {
	c := renderer(t)
	p := c.Params()
	q, _ := quantised(t, c, p)
	prog, err := nn.CompileIntegers(c.Net, q)
	require.NoError(t, err)
	x := c.Batch(1)[0]
	want := naiveIntegers(c.Net, q, x)
	previous := kernels.Active()
	defer func() { require.NoError(t, kernels.Use(previous)) }()
	for _, backend := range kernels.Available() {
		require.NoError(t, kernels.Use(backend))
		for _, strip := range []int{1, 6000, 1 << 20} {
			restore := nn.SetIntStripBytes(strip)
			a := nn.NewIntArena()
			for _, threads := range []int{1, 4} {
				out, err := prog.Run(a, threads, x)
				require.NoError(t, err)
				requireBytes(t, want["x"], q.Offset["x"], out[0], 0, 44, 0)
				require.Nil(t, out[0].Words)
				requireBytes(t, want["act"], q.Offset["act"], out[1], 0, 22, 0)
			}
			restore()
		}
	}
	// Bands of the input with what the windows of "stem", "s0", "r0" and "wide"
	// reach: 1 + 1 + 1/2 + 2/2 of its rows, on either side.
	const halo = 4
	row, a := x.W*x.C, nn.NewIntArena()
	for y := range x.H {
		lo, hi := max(y-halo, 0), min(y+1+halo, x.H)
		out, err := prog.Run(a, 1, &nn.Tensor{N: 1, H: hi - lo, W: x.W, C: x.C, Data: x.Data[lo*row : hi*row]})
		require.NoError(t, err)
		requireBytes(t, want["x"], q.Offset["x"], out[0], 4*y, 4*y+4, 4*lo)
		requireBytes(t, want["act"], q.Offset["act"], out[1], 2*y, 2*y+2, 2*lo)
	}
}

// requireBytes compares rows y0 to y1 of a value with those of a band.
func requireBytes(t *testing.T, want value, offset []int16, got *nn.IntTensor, y0, y1, outLo int) {
	t.Helper()
	require.Equal(t, want.w, got.W)
	require.Equal(t, want.c, got.C)
	row := want.w * want.c
	for i := y0 * row; i < y1*row; i++ {
		if b := asByte(want.r[i], offset[i%want.c]); b != int64(got.Bytes[i-outLo*row]) {
			t.Fatalf("row %d, element %d is %d, want %d", i/row, i%row, got.Bytes[i-outLo*row], b)
		}
	}
}

// Integers stay close to floats, as far as a network of random weights allows in
// which values of very different size share their steps.
func TestQuantise(t *testing.T) {
	c := renderer(t)
	p := c.Params()
	q, step := quantised(t, c, p)
	prog, err := nn.CompileIntegers(c.Net, q)
	require.NoError(t, err)
	// One of the samples that the ranges are from.
	in := []*nn.Tensor{{N: 1, H: c.In[0].H, W: c.In[0].W, C: c.In[0].C, Data: c.Batch(3)[0].Image(0)}}
	float, err := compile(t, c.Net, p).Run(nn.NewArena(), 1, in...)
	require.NoError(t, err)
	got, err := prog.Run(nn.NewIntArena(), 1, in...)
	require.NoError(t, err)
	var noise, signal float64
	for i, f := range float[0].Data {
		d := (float64(got[0].Bytes[i])-127.5)*step - float64(f)
		noise, signal = noise+d*d, signal+float64(f*f)
	}
	t.Logf("signal to noise: %.1f dB", 10*math.Log10(signal/noise))
	require.Greater(t, signal/noise, 100.)
}

func TestCompileIntegersErrors(t *testing.T) {
	c := renderer(t)
	good, _ := quantised(t, c, c.Params())
	for want, change := range map[string]func(q *nn.Integers){
		`layer "stem" (conv): integers: no weights`: func(q *nn.Integers) { delete(q.Layers, "stem") },
		`input "y": 0 scales, want 20`:              func(q *nn.Integers) { delete(q.Scale, "y") },
		`value "y": 0 offsets, want 20`:             func(q *nn.Integers) { delete(q.Offset, "y") },
		`negative offset`:                           func(q *nn.Integers) { q.Offset["y"][3] = -1 },
		`weight 128 does not fit 8 bits`:            func(q *nn.Integers) { q.Layers["stem"].Weight[5] = 128 },
		`215 weights, want 216`:                     func(q *nn.Integers) { q.Layers["s0.dw"].Weight = q.Layers["s0.dw"].Weight[1:] },
		`biases, want`:                              func(q *nn.Integers) { q.Layers["stem"].Bias = nil },
		`can reach`:                                 func(q *nn.Integers) { q.Layers["stem"].Bias[0] = math.MaxInt32 },
		`kernels: rescale: shift 31`:                func(q *nn.Integers) { q.Layers["head"].Shift[0] = 31 },
	} {
		q := &nn.Integers{Scale: maps.Clone(good.Scale), Offset: map[string][]int16{}, Layers: map[string]*nn.IntLayer{}}
		for name, o := range good.Offset {
			q.Offset[name] = append([]int16{}, o...)
		}
		for name, l := range good.Layers {
			q.Layers[name] = &nn.IntLayer{
				Wide: l.Wide, Weight: append([]int16{}, l.Weight...), Bias: append([]int32{}, l.Bias...),
				Shift: append([]int32{}, l.Shift...), Mul: append([]int16{}, l.Mul...),
			}
		}
		change(q)
		_, err := nn.CompileIntegers(c.Net, q)
		require.ErrorContains(t, err, want)
	}
	b := nn.NewBuilder("other")
	b.Output(b.Unary("s", nn.OpSigmoid, b.Input("x", 3)))
	net, err := b.Build()
	require.NoError(t, err)
	_, err = nn.CompileIntegers(net, &nn.Integers{Scale: map[string][]float32{"x": {1, 1, 1}}})
	require.ErrorContains(t, err, "cannot be computed in integers")

	prog, err := nn.CompileIntegers(c.Net, good)
	require.NoError(t, err)
	for _, in := range [][]*nn.Tensor{nil, {nil}, {nn.NewTensor(2, 3, 3, 20)}, {nn.NewTensor(1, 3, 3, 19)}} {
		_, err := prog.Run(nn.NewIntArena(), 1, in...)
		require.ErrorContains(t, err, `nn: network "renderer"`)
	}
	_, err = c.Net.Quantise(c.Params(), nil, nn.QuantiseOptions{})
	require.ErrorContains(t, err, `no range of "y"`)
}

// An arena changes sizes between runs.
func TestIntArenaSizes(t *testing.T) {
	c := renderer(t)
	q, _ := quantised(t, c, c.Params())
	prog, err := nn.CompileIntegers(c.Net, q)
	require.NoError(t, err)
	a := nn.NewIntArena()
	for i, s := range [][2]int{{3, 3}, {1, 9}, {3, 3}, {8, 1}} {
		x := nntest.Random(rand.New(rand.NewPCG(1, uint64(i))), 1, nn.Shape{H: s[0], W: s[1], C: 20})
		want := naiveIntegers(c.Net, q, x)
		out, err := prog.Run(a, 2, x)
		require.NoError(t, err, fmt.Sprint(s))
		requireBytes(t, want["x"], q.Offset["x"], out[0], 0, 4*s[0], 0)
	}
}
