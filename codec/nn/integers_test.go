package nn_test

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
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
	b.Output(b.Shuffle("x", v, 2))
	net, err := b.Build()
	require.NoError(t, err)
	return nntest.Case{Net: net, In: []nn.Shape{{H: 11, W: 7, C: 20}}}
}

// quantised expresses a case in integers. step is that of the bytes of its output.
func quantised(t *testing.T, c nntest.Case, p nn.Params) (q *nn.Integers, step float64) {
	ranges, o := calibrated(t, c, p)
	q, err := c.Net.Quantise(p, ranges, o)
	require.NoError(t, err)
	return q, o.Outputs["x"].Step
}

// calibrated returns the ranges of a few inputs, and options with a step of the
// output's bytes that holds all that comes.
func calibrated(t *testing.T, c nntest.Case, p nn.Params) (map[string]*nn.Range, nn.QuantiseOptions) {
	ranges := rangesOf(t, c, p)
	return ranges, nn.QuantiseOptions{
		Wide:    map[string]bool{"lin": true, "s0.dw": true},
		Outputs: map[string]nn.ByteScale{"x": {Step: widest(ranges["x"]) / 127, Zero: 127.5}},
	}
}

// rangesOf are the ranges of all values of a case for a few inputs.
func rangesOf(t *testing.T, c nntest.Case, p nn.Params) map[string]*nn.Range {
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
	return ranges
}

// widest is the largest magnitude in a range.
func widest(r *nn.Range) (most float64) {
	for i, hi := range r.Hi {
		most = max(most, float64(hi), -float64(r.Lo[i]))
	}
	return most
}

// value is all of a value in 16-bit numbers.
type value struct {
	h, w, c int
	r       []int64
}

// naiveIntegers evaluates a network as the comment of nn.Integers has it.
func naiveIntegers(n *nn.Network, q *nn.Integers, in []*nn.Tensor) map[string]value {
	sat := func(v int64) int64 { return min(max(v, math.MinInt16), math.MaxInt16) }
	values := map[string]value{}
	last := ""
	for k, x := range in {
		last = n.Inputs[k].Name
		v := value{x.H, x.W, x.C, make([]int64, len(x.Data))}
		for i, f := range x.Data {
			v.r[i] = sat(int64(math.RoundToEven(float64(f * q.Scale[last][i%x.C]))))
		}
		values[last] = v
	}
	for _, l := range n.Layers {
		if len(l.In) == 0 {
			l.In = []string{last}
		}
		last = l.Name
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

// requireIntRows computes rows lo to hi of the outputs from x and compares them
// with want.
func requireIntRows(t *testing.T, prog *nn.IntProgram, r *nn.IntRows, q *nn.Integers, in []*nn.Tensor, want map[string]value, lo, hi int) {
	t.Helper()
	next := -1
	shapes := make([]nn.Shape, len(in))
	for i, x := range in {
		shapes[i] = x.Shape()
	}
	require.NoError(t, r.Start(prog, shapes, lo, hi, func(y int, dst [][]float32) {
		require.True(t, next < 0 || y == next, "row %d after %d", y, next-1)
		next = y + 1
		for i, x := range in {
			if dst[i] == nil {
				continue
			}
			if src := x.Data[y*x.W*x.C:][:x.W*x.C]; y%2 == 0 {
				copy(dst[i], src)
			} else {
				dst[i] = src
			}
		}
	}))
	at := lo
	for a, b := r.Next(); a < b; a, b = r.Next() {
		require.Equal(t, at, a)
		for y := a; y < b; y++ {
			for i, name := range prog.Network().Outputs {
				requireRow(t, want[name], q.Offset[name], r, i, y)
			}
		}
		at = b
	}
	require.Equal(t, hi, at)
	for i, name := range prog.Network().Outputs {
		require.Equal(t, nn.Shape{H: want[name].h, W: want[name].w, C: want[name].c}, r.Shape(i))
	}
}

// requireRow compares row y of output i, in the form that it has.
func requireRow(t *testing.T, want value, offset []int16, r *nn.IntRows, i, y int) {
	t.Helper()
	row := want.w * want.c
	bytes, words := r.Row8(i, y), r.Row16(i, y)
	require.Equal(t, offset != nil, bytes != nil)
	require.True(t, bytes != nil || words != nil)
	for k, n := range want.r[y*row:][:row] {
		if words != nil && n != int64(words[k]) {
			t.Fatalf("output %d, row %d, element %d is %d, want %d", i, y, k, words[k], n)
		}
		if bytes != nil && asByte(n, offset[k%want.c]) != int64(bytes[k]) {
			t.Fatalf("output %d, row %d, element %d is %d, want %d", i, y, k, bytes[k], asByte(n, offset[k%want.c]))
		}
	}
}

// integerCases are networks in integers: those of the zoo that have no other layers
// than integers can do and run by rows, with all kinds of layers and outputs.
func integerCases(t *testing.T) (cases []nntest.Case, programs []*nn.IntProgram, integers []*nn.Integers) {
	add := func(c nntest.Case, p nn.Params, ranges map[string]*nn.Range, options nn.QuantiseOptions) {
		q, err := c.Net.Quantise(p, ranges, options)
		require.NoError(t, err)
		prog, err := nn.CompileIntegers(c.Net, q)
		if err != nil {
			return
		}
		cases, programs, integers = append(cases, c), append(programs, prog), append(integers, q)
	}
	for _, c := range append(append(nntest.Zoo(), nntest.Windows()...), renderer(t), tall(), ahead(t)) {
		if slices.ContainsFunc(c.Net.Layers, func(l nn.Layer) bool { return !slices.Contains(integerOps, l.Op) }) {
			continue
		}
		p := c.Params()
		ranges := rangesOf(t, c, p)
		add(c, p, ranges, nn.QuantiseOptions{})
		wide := map[string]bool{}
		for i, l := range c.Net.Layers {
			if (l.Op == nn.OpConv || l.Op == nn.OpDepthwise) && i%2 == 0 {
				wide[l.Name] = true
			}
		}
		outputs := map[string]nn.ByteScale{}
		for _, name := range c.Net.Outputs {
			outputs[name] = nn.ByteScale{Step: widest(ranges[name]) / 127, Zero: 127.5}
		}
		add(c, p, ranges, nn.QuantiseOptions{Wide: wide, Outputs: outputs})
	}
	return cases, programs, integers
}

var integerOps = []nn.Op{nn.OpConv, nn.OpDepthwise, nn.OpLeaky, nn.OpReLU, nn.OpAdd, nn.OpShuffle, nn.OpUnshuffle}

// ahead has a value that is read at once and again many rows later, in both
// forms, shuffles of which some join convolutions, and a sum in place.
func ahead(t *testing.T) nntest.Case {
	b := nn.NewBuilder("ahead")
	x := b.Input("x", 16)
	v := b.Conv("first", x, 16, nn.ConvOpts{})
	far := b.Add("far", b.Conv("c3", b.Depthwise("d5", b.Depthwise("d7", v, 7), 5), 16, nn.ConvOpts{Kernel: 3}), v)
	up := b.Shuffle("up", b.Leaky("l", b.Conv("to", far, 64, nn.ConvOpts{}), 0.1), 2)
	odd := b.Shuffle("odd", b.Conv("todd", v, 64, nn.ConvOpts{NoBias: true}), 2)
	sum := b.Add("sum", b.Conv("mix", b.Conv("deep", up, 24, nn.ConvOpts{}), 16, nn.ConvOpts{}), odd)
	b.Output(b.Shuffle("x4", b.Conv("head", sum, 12, nn.ConvOpts{}), 2), b.Shuffle("again", odd, 2))
	net, err := b.Build()
	require.NoError(t, err)
	return nntest.Case{Net: net, In: []nn.Shape{{H: 37, W: 5, C: 16}}}
}

// Any rows of the outputs, computed a few at a time on every backend, are those
// of the definition.
func TestIntRows(t *testing.T) {
	cases, programs, integers := integerCases(t)
	previous := kernels.Active()
	defer func() { require.NoError(t, kernels.Use(previous)) }()
	rng := rand.New(rand.NewPCG(1, 1))
	for i, c := range cases {
		x := c.Batch(1)
		want := naiveIntegers(c.Net, integers[i], x)
		h := want[c.Net.Outputs[0]].h
		for _, backend := range kernels.Available() {
			require.NoError(t, kernels.Use(backend))
			r := new(nn.IntRows)
			requireIntRows(t, programs[i], r, integers[i], x, want, 0, h)
			for _, batch := range []int{1, 7, 40, 1000} {
				restore := nn.RowBatch(batch)
				for range 4 {
					lo := rng.IntN(h)
					requireIntRows(t, programs[i], r, integers[i], x, want, lo, lo+1+rng.IntN(h-lo))
				}
				restore()
			}
		}
	}
	require.GreaterOrEqual(t, len(cases), 20)
}

// A band of the outputs computed alone asks for the rows of the inputs around it
// only, and is that of the whole image.
func TestIntRowsBand(t *testing.T) {
	c := renderer(t)
	q, _ := quantised(t, c, c.Params())
	prog, err := nn.CompileIntegers(c.Net, q)
	require.NoError(t, err)
	in := nn.Shape{H: 60, W: 7, C: 20}
	x := nntest.Random(rand.New(rand.NewPCG(2, 2)), 1, in)
	whole, band := new(nn.IntRows), new(nn.IntRows)
	rows := func(r *nn.IntRows, lo, hi int, use func(y int)) (asked int) {
		restore := nn.RowBatch(1)
		defer restore()
		require.NoError(t, r.Start(prog, []nn.Shape{in}, lo, hi, func(y int, dst [][]float32) {
			copy(dst[0], x.Data[y*in.W*in.C:])
			asked++
		}))
		for a, b := r.Next(); a < b; a, b = r.Next() {
			for y := a; y < b; y++ {
				use(y)
			}
		}
		return asked
	}
	var pixels [][]uint8
	require.Equal(t, in.H, rows(whole, 0, 4*in.H, func(y int) { pixels = append(pixels, slices.Clone(whole.Row8(0, y))) }))
	for lo := 0; lo < 4*in.H; lo += 12 {
		asked := rows(band, lo, lo+12, func(y int) { require.Equal(t, pixels[y], band.Row8(0, y), "row %d", y) })
		require.LessOrEqual(t, asked, 3+2*5)
	}
}

// TestIntRowsMemory: memory does not grow with the height, and a second run of any
// height allocates nothing but its plan.
func TestIntRowsMemory(t *testing.T) {
	c := ahead(t)
	p := c.Params()
	q, err := c.Net.Quantise(p, rangesOf(t, c, p), nn.QuantiseOptions{})
	require.NoError(t, err)
	prog, err := nn.CompileIntegers(c.Net, q)
	require.NoError(t, err)
	r := new(nn.IntRows)
	pass := func(w, h int) {
		in := []nn.Shape{{H: h, W: w, C: c.In[0].C}}
		require.NoError(t, r.Start(prog, in, 0, 2*h, func(y int, dst [][]float32) { clear(dst[0]) }))
		for lo, hi := r.Next(); lo < hi; lo, hi = r.Next() {
		}
	}
	pass(30, 200)
	size := r.Bytes()
	pass(30, 1000)
	require.InEpsilon(t, size, r.Bytes(), 0.1, "beginnings and ends may fit each other less well")
	float := new(nn.Rows)
	in := []nn.Shape{{H: 200, W: 30, C: c.In[0].C}}
	require.NoError(t, float.Start(compile(t, c.Net, p), in, 0, 400, func(y int, dst [][]float32) { clear(dst[0]) }))
	for lo, hi := float.Next(); lo < hi; lo, hi = float.Next() {
	}
	require.Less(t, size, float.Bytes())
	if !raceEnabled { // pools allocate under the race detector
		require.LessOrEqual(t, testing.AllocsPerRun(5, func() { pass(30, 1000) }), 1., "the function")
	}
}

// One IntRows serves images of different sizes.
func TestIntRowsSizes(t *testing.T) {
	c := ahead(t)
	p := c.Params()
	q, err := c.Net.Quantise(p, rangesOf(t, c, p), nn.QuantiseOptions{})
	require.NoError(t, err)
	prog, err := nn.CompileIntegers(c.Net, q)
	require.NoError(t, err)
	r := new(nn.IntRows)
	for i, s := range [][2]int{{3, 3}, {1, 9}, {3, 3}, {8, 1}, {1, 1}} {
		x := []*nn.Tensor{nntest.Random(rand.New(rand.NewPCG(1, uint64(i))), 1, nn.Shape{H: s[0], W: s[1], C: 16})}
		want := naiveIntegers(c.Net, q, x)
		requireIntRows(t, prog, r, q, x, want, 0, want["x4"].h)
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
	var noise, signal float64
	r, row := new(nn.IntRows), float[0].W*float[0].C
	require.NoError(t, r.Start(prog, c.In, 0, float[0].H, func(y int, dst [][]float32) {
		copy(dst[0], in[0].Data[y*len(dst[0]):])
	}))
	for lo, hi := r.Next(); lo < hi; lo, hi = r.Next() {
		for i, f := range float[0].Data[lo*row : hi*row] {
			d := (float64(r.Row8(0, lo+i/row)[i%row])-127.5)*step - float64(f)
			noise, signal = noise+d*d, signal+float64(f*f)
		}
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

	b = nn.NewBuilder("strided")
	b.Output(b.Conv("c", b.Input("x", 3), 3, nn.ConvOpts{Kernel: 3, Stride: 2}))
	net, err = b.Build()
	require.NoError(t, err)
	_, err = nn.CompileIntegers(net, &nn.Integers{Scale: map[string][]float32{"x": {1, 1, 1}}})
	require.ErrorContains(t, err, "only odd kernels of stride 1")

	prog, err := nn.CompileIntegers(c.Net, good)
	require.NoError(t, err)
	r := new(nn.IntRows)
	require.EqualError(t, r.Start(prog, c.In, 3, 45, nil), `nn: network "renderer": rows: 3 to 45 of 44`)
	require.EqualError(t, r.Start(prog, nil, 0, 1, nil), `nn: network "renderer": rows: 0 inputs given, want 1`)
	require.ErrorContains(t, r.Start(prog, []nn.Shape{{H: 3, W: 3, C: 19}}, 0, 1, nil), "channels")
	_, err = c.Net.Quantise(c.Params(), nil, nn.QuantiseOptions{})
	require.ErrorContains(t, err, `no range of "y"`)
}
