package bench

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"text/tabwriter"

	"github.com/aecodec/aecodec/kernels"
)

// KernelsResult is the outcome of Kernels.
type KernelsResult struct {
	Machine Machine      `json:"machine"`
	Rounds  int          `json:"rounds"`
	Peaks   []Peaks      `json:"peaks"`
	Kernels []KernelLine `json:"kernels"`
}

// KernelLine is one function of package kernels on one shape of data.
type KernelLine struct {
	Entry   string   `json:"entry"` // of the table of kernels, that does the work
	Name    string   `json:"name"`
	Shape   string   `json:"shape"`
	Flops   float64  `json:"flops"`             // of one call, a multiply-add being two
	IntOps  float64  `json:"int_ops,omitempty"` // the same of integers
	Read    float64  `json:"read_bytes"`        // by one call, each operand once
	Bytes   float64  `json:"bytes"`             // with those written
	Timings []Timing `json:"timings"`
}

// Kernels measures the peaks of one core, and then the kernels, every entry of
// the table at least once, with every backend, on one thread. Times are those of
// the thread (where the system tells, else of the wall clock).
//
// It switches the backend of the whole process, so nothing else may use kernels
// meanwhile; the one that was active is restored.
func Kernels(ctx context.Context, o *TimingOptions) (*KernelsResult, error) {
	opts, err := o.complete()
	if err != nil {
		return nil, fmt.Errorf("bench: kernels: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cases, err := selected(&opts, kernelCases(), func(c kernelCase) string { return c.name + " " + c.shape })
	if err != nil {
		return nil, fmt.Errorf("bench: kernels: %w", err)
	}
	var list []*work
	for i := range cases {
		c := &cases[i]
		run := c.make()
		for _, b := range opts.Backends {
			list = append(list, &work{backend: b, flops: c.flops, dots: c.dots, read: c.read, bytes: c.read + c.written, request: c.request, run: func() error { run(); return nil }})
		}
	}
	r := &KernelsResult{Machine: ThisMachine(), Rounds: opts.Rounds}
	if r.Peaks, err = timeAll(ctx, &opts, list); err != nil {
		return nil, fmt.Errorf("bench: kernels: %w", err)
	}
	for i := range cases {
		c := &cases[i]
		line := KernelLine{Entry: c.entry, Name: c.name, Shape: c.shape, Flops: c.flops, IntOps: c.dots, Read: c.read, Bytes: c.read + c.written}
		for _, w := range list[i*len(opts.Backends):][:len(opts.Backends)] {
			line.Timings = append(line.Timings, w.timing(peaksOf(r.Peaks, w.backend)))
		}
		r.Kernels = append(r.Kernels, line)
	}
	return r, nil
}

// kernelCase is one call of a function of package kernels.
type kernelCase struct {
	entry, name, shape string
	flops              float64
	dots               float64             // operations on integers
	read, written      float64             // bytes
	request            string              // to peers; see work
	make               func() (run func()) // allocates the operands
}

// floats returns n numbers like those in a network.
func floats(n int) []float32 {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// kernelCases lists what Kernels measures. Every entry of the table of kernels
// must occur, which a test sees to. Sizes are those of the network photo on a
// picture of 768x512 pixels where nothing else is said.
func kernelCases() []kernelCase {
	var cases []kernelCase
	for _, s := range [][3]int{{1024, 1024, 1024}, {6144, 128, 256}, {6144, 256, 128}, {1536, 192, 192}, {24576, 48, 48}, {1536, 320, 768}} {
		cases = append(cases, gemmCase(s[0], s[1], s[2]))
	}
	for _, c := range []convSize{{32, 48, 192, 192, 3}, {64, 96, 128, 128, 3}, {64, 96, 64, 64, 5}} {
		cases = append(cases, c.forward())
	}
	for _, s := range [][3]int{{1024, 1024, 1024}, {6144, 128, 256}, {6144, 256, 128}, {24576, 48, 48}} {
		cases = append(cases, gemmTNCase(s[0], s[1], s[2]))
	}
	cases = append(cases, convSize{32, 48, 192, 192, 3}.weightGrad(), convSize{64, 96, 64, 64, 5}.weightGrad())
	cases = append(cases, packCases(1024, 1024)...)
	for _, s := range [][3]int{{64, 96, 128}, {32, 48, 192}, {128, 192, 48}} {
		cases = append(cases, depthwiseCase("depthwise3", s[0], s[1], s[2], 3), depthwiseGradCase("depthwise3Weight", s[0], s[1], s[2], 3))
	}
	cases = append(cases, depthwiseCase("depthwise", 32, 48, 128, 5), depthwiseGradCase("dotRows", 32, 48, 128, 5))
	for _, m := range [][3]int{{1024, 1024, 1024}, {1536, 192, 384}, {6144, 96, 192}} { // 8 bits: the body of a synthesis in integers
		cases = append(cases, gemm8Case(m[0], m[1], m[2]))
	}
	for _, m := range [][3]int{{1024, 1024, 1024}, {1536, 320, 768}, {24576, 48, 48}} { // 16 bits: its linear shortcut and its renderer
		cases = append(cases, gemm16Case(m[0], m[1], m[2]))
	}
	cases = append(cases, depthwise8Case(64, 96, 96), depthwise16Case(64, 96, 96), depthwise16Case(128, 192, 48))
	cases = append(cases, flatCases()...)
	cases = append(cases, sampleCases()...)
	return append(cases, reduceCases()...)
}

func gemmCase(m, k, n int) kernelCase {
	return kernelCase{
		entry: "gemm", name: "GEMM", shape: fmt.Sprintf("%dx%dx%d", m, k, n),
		flops: 2 * float64(m) * float64(k) * float64(n), read: 4 * float64(m*k+k*n), written: 4 * float64(m*n),
		request: fmt.Sprintf("gemm %d %d %d", m, k, n),
		make: func() func() {
			a, b, c := floats(m*k), kernels.Pack(k, n, floats(k*n), n), make([]float32, m*n)
			ep := &kernels.Epilogue{Bias: floats(n)}
			return func() { kernels.GEMM(c, n, a, k, b, m, ep) }
		},
	}
}

func gemmTNCase(m, k, n int) kernelCase {
	return kernelCase{
		entry: "gemm", name: "GEMMTN", shape: fmt.Sprintf("%dx%dx%d", m, k, n),
		flops: 2 * float64(m) * float64(k) * float64(n), read: 4 * float64(m*k+m*n+k*n), written: 4 * float64(k*n),
		make: func() func() {
			a, b, c := floats(m*k), floats(m*n), make([]float32, k*n)
			return func() { kernels.GEMMTN(c, n, a, k, b, n, m, k, n, 0, k) }
		},
	}
}

// convSize is a convolution with "same" padding: height, width, channels in and
// out, side of the window.
type convSize struct{ h, w, cin, cout, k int }

func (c convSize) shape() *kernels.ConvShape {
	return &kernels.ConvShape{
		H: c.h, W: c.w, Cin: c.cin, OutH: c.h, OutW: c.w, Cout: c.cout,
		KH: c.k, KW: c.k, StrideY: 1, StrideX: 1, PadTop: c.k / 2, PadLeft: c.k / 2,
	}
}

func (c convSize) String() string {
	return fmt.Sprintf("%dx%dx%d, %dx%d, to %d", c.h, c.w, c.cin, c.k, c.k, c.cout)
}

func (c convSize) flops() float64 {
	return 2 * float64(c.h*c.w) * float64(c.k*c.k*c.cin*c.cout)
}

// Bytes of the three operands.
func (c convSize) source() float64  { return 4 * float64(c.h*c.w*c.cin) }
func (c convSize) weights() float64 { return 4 * float64(c.k*c.k*c.cin*c.cout) }
func (c convSize) output() float64  { return 4 * float64(c.h*c.w*c.cout) }

func (c convSize) forward() kernelCase {
	return kernelCase{
		entry: "gemm", name: "Conv", shape: c.String(), flops: c.flops(),
		read: c.source() + c.weights(), written: c.output(),
		request: fmt.Sprintf("conv %d %d %d %d %d", c.h, c.w, c.cin, c.cout, c.k),
		make: func() func() {
			k := c.k * c.k * c.cin
			dst, src := make([]float32, c.h*c.w*c.cout), floats(c.h*c.w*c.cin)
			w, s := kernels.Pack(k, c.cout, floats(k*c.cout), c.cout), c.shape()
			return func() { kernels.Conv(dst, src, w, s, nil, 0, c.h) }
		},
	}
}

func (c convSize) weightGrad() kernelCase {
	return kernelCase{
		entry: "gemm", name: "ConvWeightGrad", shape: c.String(), flops: c.flops(),
		read: c.source() + c.output() + c.weights(), written: c.weights(),
		make: func() func() {
			k := c.k * c.k * c.cin
			dw, src, dy, s := make([]float32, k*c.cout), floats(c.h*c.w*c.cin), floats(c.h*c.w*c.cout), c.shape()
			return func() { kernels.ConvWeightGrad(dw, src, dy, s, 0, k) }
		},
	}
}

func packCases(k, n int) []kernelCase {
	shape, bytes := fmt.Sprintf("%dx%d", k, n), 4*float64(k*n)
	return []kernelCase{
		{entry: "pack", name: "Packed.Set", shape: shape, read: bytes, written: bytes, make: func() func() {
			b, p := floats(k*n), kernels.NewPacked(k, n)
			return func() { p.Set(b, n) }
		}},
		{entry: "packT", name: "Packed.SetTransposed", shape: shape, read: bytes, written: bytes, make: func() func() {
			b, p := floats(k*n), kernels.NewPacked(k, n)
			return func() { p.SetTransposed(b, k) }
		}},
	}
}

func depthwiseShape(h, w, c, k int) string { return fmt.Sprintf("%dx%dx%d, %dx%d", h, w, c, k, k) }

func depthwiseCase(entry string, h, w, c, k int) kernelCase {
	return kernelCase{
		entry: entry, name: "Depthwise", shape: depthwiseShape(h, w, c, k),
		flops: 2 * float64(h*w*c*k*k), read: 4 * float64(h*w*c+k*k*c), written: 4 * float64(h*w*c),
		request: fmt.Sprintf("depthwise %d %d %d %d", h, w, c, k),
		make: func() func() {
			dst, src, taps, bias := make([]float32, h*w*c), floats(h*w*c), floats(k*k*c), floats(c)
			return func() { kernels.Depthwise(dst, src, taps, bias, h, w, c, k, k, nil, 0, h) }
		},
	}
}

func depthwiseGradCase(entry string, h, w, c, k int) kernelCase {
	return kernelCase{
		entry: entry, name: "DepthwiseWeightGrad", shape: depthwiseShape(h, w, c, k),
		flops: 2 * float64(h*w*c*k*k), read: 4 * float64(2*h*w*c+k*k*c), written: 4 * float64(k*k*c),
		make: func() func() {
			dw, src, dy := make([]float32, k*k*c), floats(h*w*c), floats(h*w*c)
			return func() { kernels.DepthwiseWeightGrad(dw, src, dy, h, w, c, k, k, 0, c) }
		},
	}
}

// ints returns n integers of all values.
func ints[T int8 | uint8 | int16](n int) []T {
	r := rand.New(rand.NewPCG(uint64(n), 2))
	x := make([]T, n)
	for i := range x {
		x[i] = T(r.Uint32())
	}
	return x
}

// rescale brings the sums of n columns to 16 and 8 bits.
func rescale(n int) *kernels.Rescale {
	shift, mul := make([]int32, n), make([]int16, n)
	for j := range n {
		shift[j], mul[j] = 8, 1<<12
	}
	r, err := kernels.NewRescale(make([]int32, n), shift, mul, make([]int16, n))
	if err != nil {
		panic(err) // all in range
	}
	return r
}

// gemm8Case and gemm16Case are measured against the peak of dot products of the
// widest kind, which for AVX-512 VNNI is that of bytes: twice that of 16 bits.
func gemm8Case(m, k, n int) kernelCase {
	return kernelCase{
		entry: "gemm8", name: "GEMM8", shape: fmt.Sprintf("%dx%dx%d", m, k, n),
		dots: 2 * float64(m) * float64(k) * float64(n), read: float64(m*k + k*n), written: float64(m * n),
		make: func() func() {
			a, b := ints[uint8](m*k), kernels.Pack8(k, n, ints[int8](k*n), n)
			out := &kernels.IntOutput{Rescale: rescale(n), Out8: make([]uint8, m*n), LD8: n}
			return func() { kernels.GEMM8(a, k, b, m, out) }
		},
	}
}

func gemm16Case(m, k, n int) kernelCase {
	return kernelCase{
		entry: "gemm16", name: "GEMM16", shape: fmt.Sprintf("%dx%dx%d", m, k, n),
		dots: 2 * float64(m) * float64(k) * float64(n), read: 2 * float64(m*k+k*n), written: 2 * float64(m*n),
		make: func() func() {
			a, b := ints[int16](m*k), kernels.Pack16(k, n, ints[int16](k*n), n)
			out := &kernels.IntOutput{Rescale: rescale(n), Out16: make([]int16, m*n), LD16: n}
			return func() { kernels.GEMM16(a, k, b, m, out) }
		},
	}
}

func depthwise8Case(h, w, c int) kernelCase {
	return kernelCase{
		entry: "depthwise8", name: "Depthwise8", shape: depthwiseShape(h, w, c, 3),
		dots: 2 * float64(h*w*c*9), read: float64(h*w*c + 18*c), written: float64(h * w * c),
		make: func() func() {
			src, taps, pad := ints[uint8](h*w*c), ints[int16](9*c), make([]uint8, c)
			out := &kernels.IntOutput{Rescale: rescale(c), Out8: make([]uint8, h*w*c), LD8: c}
			return func() { kernels.Depthwise8(src, pad, taps, h, w, c, 3, 3, out, 0, h) }
		},
	}
}

func depthwise16Case(h, w, c int) kernelCase {
	return kernelCase{
		entry: "depthwise16", name: "Depthwise16Row", shape: depthwiseShape(h, w, c, 3),
		dots: 2 * float64(h*w*c*9), read: float64(2*h*w*c + 18*c), written: float64(h * w * c),
		make: func() func() {
			src, taps := ints[int16](h*w*c), ints[int16](9*c)
			out := &kernels.IntOutput{Rescale: rescale(c), Out8: make([]uint8, w*c), LD8: c}
			return func() {
				for y := range h {
					var lines [3][]int16
					for ky := range lines {
						if at := y - 1 + ky; at >= 0 && at < h {
							lines[ky] = src[at*w*c:][:w*c]
						}
					}
					kernels.Depthwise16Row(lines[:], taps, w, c, 3, out)
				}
			}
		},
	}
}

// flatLen is the length of the flat cases, which stay in the second-level cache.
const flatLen = 1 << 14

// flatCases are the functions of every element. Their operations are those that
// the contract of package kernels lists: additions, multiplications, divisions.
func flatCases() []kernelCase {
	const n, channels = flatLen, 128
	flat := func(entry, name string, operands int, flops float64, fn func(dst, x, y, v, u []float32)) kernelCase {
		return kernelCase{
			entry: entry, name: name, shape: fmt.Sprint(n), flops: flops * n, read: 4 * float64(operands) * n, written: 4 * n,
			make: func() func() {
				dst, x, y, v, u := make([]float32, n), floats(n), floats(n + 1)[1:], floats(channels), floats(channels)
				return func() { fn(dst, x, y, v, u) }
			},
		}
	}
	one := func(entry, name string, flops float64, fn func(dst, x []float32)) kernelCase {
		return flat(entry, name, 1, flops, func(dst, x, _, _, _ []float32) { fn(dst, x) })
	}
	two := func(entry, name string, flops float64, fn func(dst, a, b []float32)) kernelCase {
		return flat(entry, name, 2, flops, func(dst, x, y, _, _ []float32) { fn(dst, x, y) })
	}
	return []kernelCase{
		two("add", "Add", 1, kernels.Add),
		two("sub", "Sub", 1, kernels.Sub),
		two("mul", "Mul", 1, kernels.Mul),
		two("addScaled", "AddScaled", 2, func(dst, a, b []float32) { kernels.AddScaled(dst, a, b, 0.5) }),
		one("scale", "Scale", 1, func(dst, x []float32) { kernels.Scale(dst, x, 0.5) }),
		one("leaky", "LeakyReLU", 1, func(dst, x []float32) { kernels.LeakyReLU(dst, x, 0.1) }),
		two("leakyGrad", "LeakyReLUGrad", 1, func(dst, a, b []float32) { kernels.LeakyReLUGrad(dst, a, b, 0.1) }),
		one("relu", "ReLU", 0, kernels.ReLU),
		one("round", "Round", 0, kernels.Round),
		one("clamp", "Clamp", 0, func(dst, x []float32) { kernels.Clamp(dst, x, -1, 1) }),
		two("lerp", "Lerp", 3, func(dst, a, b []float32) { kernels.Lerp(dst, a, b, 0.5) }),
		one("sqrt", "Sqrt", 1, kernels.Sqrt),
		one("exp", "Exp", 19, kernels.Exp),
		one("log", "Log", 26, kernels.Log),
		one("sigmoid", "Sigmoid", 21, kernels.Sigmoid),
		one("tanh", "Tanh", 34, kernels.Tanh),
		one("softplus", "Softplus", 46, kernels.Softplus),
		one("symlog", "Symlog", 27, kernels.Symlog),
		flat("mulRows", "MulChannels", 1, 1, func(dst, x, _, v, _ []float32) { kernels.MulChannels(dst, x, v) }),
		flat("addRows", "AddChannels", 1, 1, func(dst, x, _, v, _ []float32) { kernels.AddChannels(dst, x, v) }),
		flat("fmaRows", "FMAChannels", 1, 2, func(dst, x, _, v, u []float32) { kernels.FMAChannels(dst, x, v, u) }),
		{entry: "adamW", name: "AdamW", shape: fmt.Sprint(n), flops: 18 * n, read: 4 * 4 * n, written: 4 * 3 * n, make: func() func() {
			w, g, m, v := floats(n), floats(n), make([]float32, n), make([]float32, n)
			p := &kernels.AdamParams{LR: 1e-6, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, Correct1: 1, Correct2: 1, GradScale: 1}
			return func() { kernels.AdamW(w, g, m, v, p) }
		}},
		{entry: "quantise", name: "Quantise", shape: fmt.Sprint(n), flops: 2 * n, read: 4 * n, written: 3 * n, make: func() func() {
			dst16, dst8, src, scale, offset := make([]int16, n), make([]uint8, n), floats(n), floats(channels), make([]int16, channels)
			return func() { kernels.Quantise(dst16, dst8, src, scale, offset) }
		}},
		flat("normal", "NormalBits", 2, 0, func() func(dst, x, y, v, u []float32) {
			dd, ds := make([]float32, n), make([]float32, n)
			return func(dst, x, y, _, _ []float32) { kernels.NormalBits(dst, dd, ds, x, y) }
		}()),
	}
}

// sampleCases are what is done to every sample of a picture beside the networks.
func sampleCases() []kernelCase {
	const n, shift, most = 3 << 12, 8, 63
	sample := func(entry, name string, flops, read, written float64, fn func(dst, src []uint8, x, y []float32, k []int32)) kernelCase {
		return kernelCase{
			entry: entry, name: name, shape: fmt.Sprint(n), flops: flops * n, read: read * n, written: written * n,
			make: func() func() {
				dst, src, x, y, k := make([]uint8, 4*n), ints[uint8](3*n), floats(n), make([]float32, n), make([]int32, n)
				return func() { fn(dst, src, x, y, k) }
			},
		}
	}
	return []kernelCase{
		sample("dequantise", "Dequantise", 3, 16, 4, func(_, _ []uint8, x, y []float32, k []int32) { kernels.Dequantise(y, k, x, x, x) }),
		sample("levels", "Levels", 0, 4, 1, func(dst, _ []uint8, x, _ []float32, _ []int32) { kernels.Levels(dst[:n], x, shift, most) }),
		sample("sampleBytes", "SampleBytes", 3, 4, 1, func(dst, _ []uint8, x, _ []float32, _ []int32) { kernels.SampleBytes(dst[:n], x) }),
		sample("opaque", "Opaque", 0, 3, 4, func(dst, src []uint8, _, _ []float32, _ []int32) { kernels.Opaque(dst, src) }),
	}
}

func reduceCases() []kernelCase {
	const n, columns = flatLen, 128
	reduce := func(entry, name string, operands int, flops float64, fn func(x, y []float32)) kernelCase {
		return kernelCase{
			entry: entry, name: name, shape: fmt.Sprint(n), flops: flops * n, read: 4 * float64(operands) * n,
			make: func() func() {
				x, y := floats(n), floats(n + 1)[1:]
				return func() { fn(x, y) }
			},
		}
	}
	return []kernelCase{
		reduce("sum", "Sum", 1, 1, func(x, _ []float32) { kernels.Sum(x) }),
		reduce("sumSquares", "SumSquares", 1, 2, func(x, _ []float32) { kernels.SumSquares(x) }),
		reduce("dot", "Dot", 2, 2, func(x, y []float32) { kernels.Dot(x, y) }),
		reduce("sumSquaredDiff", "SumSquaredDiff", 2, 3, func(x, y []float32) { kernels.SumSquaredDiff(x, y) }),
		reduce("maxAbs", "MaxAbs", 1, 0, func(x, _ []float32) { kernels.MaxAbs(x) }),
		reduce("colSum", "ColSum", 1, 1, func(x, y []float32) { kernels.ColSum(y[:columns], x, n/columns, columns) }),
	}
}

// WriteTable prints the peaks and one line for each kernel and backend.
func (r *KernelsResult) WriteTable(w io.Writer) error {
	e := &errWriter{w: w}
	writeHead(e, &r.Machine, r.Rounds)
	writePeaks(e, r.Peaks)
	var lines []timingLine
	for _, k := range r.Kernels {
		lines = append(lines, timingLine{k.Name, k.Shape, k.Timings})
	}
	writeTimings(e, "kernel", lines)
	return e.err
}

// WriteJSON writes the result as one JSON object.
func (r *KernelsResult) WriteJSON(w io.Writer) error { return writeJSON(w, r) }

// writeHead prints where the following was measured, and how.
func writeHead(w io.Writer, m *Machine, rounds int) {
	fmt.Fprintf(w, "%s, %s, GOAMD64 %s\none thread, medians of %d rounds; share: of the limit by arithmetic or memory; best: of the best round\n\n",
		m.CPU, m.Go, orDash(m.Level), rounds)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// writePeaks prints the limits of one core.
func writePeaks(w io.Writer, peaks []Peaks) {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "peak of a core\tFMA GFLOP/s\tbest\tinteger dot Gop/s\twith\t")
	for _, n := range loadSizes {
		fmt.Fprintf(t, "load %d KiB GB/s\t", n>>10)
	}
	fmt.Fprintln(t)
	for _, p := range peaks {
		fmt.Fprintf(t, "%s\t%.1f\t%.1f\t%.1f\t%s\t", p.Backend, p.FMA.Median, p.FMA.Best, p.Dot.Median, orDash(p.DotWith))
		for _, l := range p.Load {
			fmt.Fprintf(t, "%.1f\t", l.Speed.Median)
		}
		fmt.Fprintln(t)
	}
	t.Flush()
	fmt.Fprintln(w)
}

// timingLine is a row of a table for each of some timings.
type timingLine struct {
	name, work string
	timings    []Timing
}

// writeTimings prints times, and ratios to peers where there are some.
func writeTimings(w io.Writer, what string, lines []timingLine) {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "%s\twork\tbackend\tus\tGFLOP/s\tGB/s\tbound by\tshare\tbest\t\n", what)
	for _, l := range lines {
		for i := range l.timings {
			m := &l.timings[i]
			fmt.Fprintf(t, "%s\t%s\t%s\t%.1f\t%s\t%.1f\t%s\t%s\t%s\t", l.name, l.work, m.Backend,
				1e6*m.Seconds.Median, positive(m.GFLOPS, "%.1f"), m.GBPS, m.Bound,
				positive(100*m.Share.Median, "%.0f %%"), positive(100*m.Share.Best, "%.0f %%"))
			for _, p := range m.Peers {
				fmt.Fprintf(t, "%s\t%.1f us\tratio %.2f\tbest %.2f\t", p.Peer, 1e6*p.Seconds.Median, p.Ratio.Median, p.Ratio.Best)
			}
			fmt.Fprintln(t)
		}
	}
	t.Flush()
}

// positive formats a number, or a dash for 0, which stands for none.
func positive(v float64, format string) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf(format, v)
}
