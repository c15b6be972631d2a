package kernels

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// Assembly cannot be preempted, so no call of an entry may do more than takes a
// core some 250 microseconds: with these bounds 60 GFLOP/s and 10 GB/s are enough,
// and half of that makes it half a millisecond.
const (
	maxCallFlops = 3 << 22
	maxCallBytes = 5 << 19
)

// callWork estimates the work of one call of an entry, from above.
func callWork(args []reflect.Value) (flops, bytes int) {
	switch a := args[0].Interface().(type) {
	case *gemmArgs:
		return 2 * a.m * a.n * a.k, 4 * (a.m*a.k + a.k*panels(a.n)*PanelWidth + 2*a.m*a.n)
	case *dwArgs:
		return 18 * a.n * a.c, 4 * a.c * (3*(a.n+2) + 2*a.n + 9)
	case *dwWindowArgs:
		return 2 * a.kh * a.kw * a.n * a.c, 4 * a.c * (a.kh*(a.n+a.kw-1) + 2*a.n + a.kh*a.kw)
	case *dwWeightArgs:
		return 18 * a.n * a.c, 4 * a.c * (3*(a.n+2) + a.n + 18)
	case *intGEMMArgs:
		return 2 * a.m * a.n * 4 * a.steps, 4 * a.steps * (a.m + panels(a.n)*PanelWidth)
	case *dw8Args:
		return 18 * a.n * a.c, a.c * (3*(a.n+2) + 3*a.n + 18)
	case *quantiseArgs:
		return 2 * a.rows * a.n, 7 * a.rows * a.n
	case *float32: // pack, packT
		k, n := int(args[3].Int()), packTRows
		if len(args) > 4 {
			n = int(args[4].Int())
		}
		return 0, 8 * k * n
	}
	for _, v := range args {
		if x, ok := v.Interface().([]float32); ok {
			bytes += 4 * len(x)
		}
	}
	return 64 * args[0].Len(), bytes // no function of an element has more operations
}

// The drivers cut everything into calls that are short enough. The spies only
// look at the arguments.
func TestCallsAreShort(t *testing.T) {
	previous := active
	defer func() { active = previous }()
	var spy table
	called := map[string]bool{}
	v := reflect.ValueOf(&spy).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		if f.Kind() != reflect.Func {
			continue
		}
		name := v.Type().Field(i).Name
		entry(f).Set(reflect.MakeFunc(f.Type(), func(args []reflect.Value) []reflect.Value {
			called[name] = true
			flops, bytes := callWork(args)
			require.LessOrEqual(t, flops, maxCallFlops, "%s: operations", name)
			require.LessOrEqual(t, bytes, maxCallBytes, "%s: bytes", name)
			var out []reflect.Value
			for r := range f.Type().NumOut() {
				out = append(out, reflect.Zero(f.Type().Out(r)))
			}
			return out
		}))
	}
	active = &spy

	for _, k := range []int{1, 1280, 1281, 2560, 2561, 4096, 20000} {
		const m, n = 200, 100
		w := NewPacked(k, n)
		b := make([]float32, k*n)
		w.Set(b, n)
		w.SetTransposed(b, k)
		GEMM(make([]float32, m*n), n, make([]float32, m*k), k, w, m, nil)
	}
	for _, k := range []int{1, 1280, 8192} {
		const m, n = 200, 100
		p := &Rescale{n: n, bias: make([]int32, 128), shift: make([]int32, 128), mul: make([]int16, 128), offset: make([]int16, 128)}
		out := &IntOutput{Rescale: p}
		GEMM8(make([]uint8, m*k), k, Pack8(k, n, make([]int8, k*n), n), m, out)
		GEMM16(make([]int16, m*k), k, Pack16(k, n, make([]int16, k*n), n), m, out)
		Depthwise8(make([]uint8, 3*2000*n), make([]uint8, n), make([]int16, 9*n), 3, 2000, n, 3, 3, out, 0, 3)
		Depthwise16Row(make([][]int16, 3), make([]int16, 9*n), 2000, n, 3, out)
	}
	GEMMTN(make([]float32, 500*300), 300, make([]float32, 1000*500), 500, make([]float32, 1000*300), 300, 1000, 500, 300, 0, 500)
	for _, cin := range []int{3, 64, 1024} {
		for _, side := range []int{3, 7} {
			s := &ConvShape{H: 9, W: 300, Cin: cin, OutH: 9, OutW: 300, Cout: 64, KH: side, KW: side, StrideY: 1, StrideX: 1, PadTop: side / 2, PadLeft: side / 2}
			src, dst := make([]float32, s.H*s.W*cin), make([]float32, s.OutH*s.OutW*s.Cout)
			Conv(dst, src, NewPacked(side*side*cin, s.Cout), s, nil, 0, 2)
			ConvTransposed(src, dst, NewPacked(side*side*s.Cout, cin), s, nil, 0, 2)
			ConvWeightGrad(make([]float32, side*side*cin*s.Cout), src, dst, s, 0, min(200, side*side*cin))
		}
	}
	for _, d := range []struct{ wd, c, k int }{{2000, 128, 3}, {20, 20000, 3}, {2000, 128, 5}, {200, 64, 31}, {20, 4000, 5}} {
		x, taps := make([]float32, 3*d.wd*d.c), make([]float32, d.k*d.k*d.c)
		Depthwise(x, x, taps, nil, 3, d.wd, d.c, d.k, d.k, nil, 0, 3)
		DepthwiseWeightGrad(taps, x, x, 3, d.wd, d.c, d.k, d.k, 0, d.c)
	}
	const n = 1 << 18
	x, y, z, c := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, 1024)
	for _, f := range flats() {
		f.exported(x, [][]float32{y, z}, [2]float32{0.5, 1})
	}
	MulChannels(x, y, c)
	AddChannels(x, y, c)
	FMAChannels(x, y, c, c)
	AdamW(x, y, z, make([]float32, n), &AdamParams{})
	NormalBits(x, y, z, x, y)
	Quantise(make([]int16, n), make([]uint8, n), x, c, make([]int16, len(c)))
	Dequantise(x, make([]int32, n), x, y, z)
	Levels(make([]uint8, n), x, 8, 63)
	SampleBytes(make([]uint8, n), x)
	Opaque(make([]uint8, 4*n), make([]uint8, 3*n))
	Sum(x)
	SumSquares(x)
	Dot(x, y)
	SumSquaredDiff(x, y)
	MaxAbs(x)
	ColSum(c, x, n/len(c), len(c))
	for _, name := range Entries() {
		require.True(t, called[name], "no driver called %s", name)
	}
}
