package codec

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/aecodec/aecodec/codec/nn"
)

// Analysis and synthesis have no tiles: what they compute at one place depends
// on a few latent positions around it and on nothing else. So a large image is
// run through them block by block, each block with that margin, and the margin
// of the result is thrown away. Memory then depends on the block, not on the
// image, blocks run in parallel, and since no sum changes its terms or its
// order the result has the same bits as in one run.
const (
	// Images of up to this many latent positions (2.4 megapixels) run whole.
	wholeArea = 9216
	// blockSide is the side of a block in latent positions.
	blockSide = 64
)

// span is a range of latent positions, and the wider range that is computed.
type span struct{ lo, hi, from, to int }

// spans cuts n positions into blocks with the given margin, clipped to 0..n.
func spans(n, side, margin int) []span {
	var out []span
	for lo := 0; lo < n; lo += side {
		hi := min(lo+side, n)
		out = append(out, span{lo, hi, max(lo-margin, 0), min(hi+margin, n)})
	}
	return out
}

// block is a rectangle of latent positions.
type block struct{ x, y span }

// blocks cuts an h×w latent grid. A margin below 0 means that the network does
// not allow it; the grid is one block then, as it is when small.
func blocks(h, w, margin int) []block {
	if margin < 0 || h*w <= wholeArea {
		return []block{{x: span{0, w, 0, w}, y: span{0, h, 0, h}}}
	}
	var out []block
	for _, y := range spans(h, blockSide, margin) {
		for _, x := range spans(w, blockSide, margin) {
			out = append(out, block{x, y})
		}
	}
	return out
}

// margin returns how many latent positions beyond its own an output of net
// depends on, in any direction. pitch is the distance between neighbouring
// pixels of the network's inputs, in latent positions. It returns -1 for
// networks that can't be cut, because of an operation whose result depends on
// where the block begins.
func margin(net *nn.Network, pitch float64) int {
	// value is what is known of one: the distance between its pixels, and how
	// far beyond a pixel's own cell the inputs matter.
	type value struct{ pitch, reach float64 }
	values := map[string]value{}
	for _, in := range net.Inputs {
		values[in.Name] = value{pitch, 0}
	}
	previous := ""
	if len(net.Inputs) > 0 {
		previous = net.Inputs[0].Name
	}
	for i := range net.Layers {
		l := &net.Layers[i]
		names := l.In
		if len(names) == 0 {
			names = []string{previous}
		}
		v := values[names[0]]
		for _, name := range names[1:] {
			v.reach = max(v.reach, values[name].reach)
		}
		switch l.Op {
		case nn.OpConv, nn.OpDepthwise:
			k := l.Kernel
			if k == 0 && l.Op == nn.OpDepthwise {
				k = 3
			}
			k = max(k, 1)
			if l.Stride > 1 || k%2 == 0 || l.Padding == nn.PadValid {
				return -1
			}
			v.reach += v.pitch * float64((k-1)/2)
		case nn.OpShuffle, nn.OpUpsample:
			v.pitch /= float64(l.Factor)
		case nn.OpUnshuffle:
			v.pitch *= float64(l.Factor)
			if v.pitch > 1 {
				return -1
			}
		case nn.OpLeaky, nn.OpReLU, nn.OpSigmoid, nn.OpTanh, nn.OpSoftplus, nn.OpSymlog, nn.OpIdentity,
			nn.OpAdd, nn.OpSub, nn.OpMul, nn.OpConcat, nn.OpSlice, nn.OpChannelScale:
		default:
			return -1
		}
		values[l.Name] = v
		previous = l.Name
	}
	reach := 0.0
	for _, name := range net.Outputs {
		reach = max(reach, values[name].reach)
	}
	return int(math.Ceil(reach))
}

// parallel calls fn(i, threads) for 0 <= i < n from up to threads goroutines,
// each of which may use the number of threads that it is told. It returns the
// error of the lowest i that failed; after a failure no more calls begin.
func parallel(threads, n int, fn func(i, threads int) error) error {
	workers := min(max(threads, 1), n)
	if workers <= 1 {
		for i := range n {
			if err := fn(i, threads); err != nil {
				return err
			}
		}
		return nil
	}
	inner := threads / workers
	errs := make([]error, n)
	var next, failed atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for failed.Load() == 0 {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if errs[i] = fn(i, inner); errs[i] != nil {
					failed.Store(1)
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// program is one compiled network with the memory that its runs reuse.
type program struct {
	name    string
	compile func() (*nn.Program, error)
	arenas  sync.Pool
	margin  int
}

func newProgram(net *nn.Network, params nn.Params, pitch float64) *program {
	return &program{
		name: net.Name,
		compile: sync.OnceValues(func() (*nn.Program, error) {
			return nn.Compile(net, params)
		}),
		arenas: sync.Pool{New: func() any { return nn.NewArena() }},
		margin: margin(net, pitch),
	}
}

// run runs the network and hands its outputs to use, which must not keep them.
// shapes are those that the outputs must have.
func (p *program) run(threads int, in []*nn.Tensor, shapes []nn.Shape, use func(out []*nn.Tensor) error) error {
	compiled, err := p.compile()
	if err != nil {
		return fmt.Errorf("codec: network %s: %w", p.name, err)
	}
	arena := p.arenas.Get().(*nn.Arena)
	defer p.arenas.Put(arena)
	out, err := compiled.Run(arena, threads, in...)
	if err != nil {
		return fmt.Errorf("codec: network %s: %w", p.name, err)
	}
	for i, s := range shapes {
		if t := out[i]; t.N != 1 || t.H != s.H || t.W != s.W || t.C != s.C {
			return fmt.Errorf("codec: network %s: output is %dx%dx%d, want %v", p.name, t.H, t.W, t.C, s)
		}
	}
	return use(out)
}

// tensor wraps one image's NHWC data without copying.
func tensor(data []float32, h, w, c int) *nn.Tensor {
	return &nn.Tensor{N: 1, H: h, W: w, C: c, Data: data[:h*w*c]}
}

// copyRect copies an h×w rectangle of c-channel pixels between two grids of
// the given widths.
func copyRect[T any](dst []T, dstWidth, dx, dy int, src []T, srcWidth, sx, sy, h, w, c int) {
	for y := range h {
		copy(dst[((dy+y)*dstWidth+dx)*c:][:w*c], src[((sy+y)*srcWidth+sx)*c:][:w*c])
	}
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// grow returns a slice of length n, s itself if it is long enough. The content
// is whatever was there.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
