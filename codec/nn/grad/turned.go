package grad

import (
	"sync"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/kernels"
)

// turnedWeights holds the weights of a program as the data gradients need
// them. Each is made when it is first needed and again after a Refresh.
type turnedWeights struct {
	p     *nn.Program
	mu    sync.Mutex
	m     map[*nn.Layer]*turned
	stale []*nn.Step // of prepare
}

type turned struct {
	version uint64
	packed  *kernels.Packed
	flat    []float32
	work    []float32
}

type turnedKey struct{}

func turnedOf(p *nn.Program) *turnedWeights {
	return p.Memo(turnedKey{}, func() any {
		return &turnedWeights{p: p, m: map[*nn.Layer]*turned{}}
	}).(*turnedWeights)
}

// prepare turns the weights of the steps, where that has not been done since
// the last Refresh.
func (c *turnedWeights) prepare(threads int, steps []*nn.Step) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stale = c.stale[:0]
	for _, st := range steps {
		t := c.m[st.Layer]
		if t == nil {
			t = new(turned)
			c.m[st.Layer] = t
		}
		if t.version != c.p.Version() {
			t.version = c.p.Version()
			c.stale = append(c.stale, st)
		}
	}
	kernels.For(threads, len(c.stale), 1, func(lo, hi int) {
		for _, st := range c.stale[lo:hi] {
			c.m[st.Layer].turn(st.Weight())
		}
	})
}

// get returns the turned weights of a step that has been prepared.
func (c *turnedWeights) get(st *nn.Step) *turned {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.m[st.Layer]
}

// turn transposes each tap of the weights of conv, deconv and dense, and
// reverses the taps of depthwise.
func (t *turned) turn(w *nn.Param) {
	switch d := w.Shape; len(d) {
	case 2: // [K, Out]
		t.transpose(w.Data, 1, d[0], d[1])
	case 3: // [KH, KW, C]
		t.reverse(w.Data, d[0]*d[1], d[2])
	case 4: // [KH, KW, Cin, Cout]
		t.transpose(w.Data, d[0]*d[1], d[2], d[3])
	}
}

// transpose packs the (taps·out)×in matrix of w, which is [taps][in][out].
func (t *turned) transpose(w []float32, taps, in, out int) {
	if t.packed == nil {
		t.packed = kernels.NewPacked(taps*out, in)
	}
	if taps == 1 {
		t.packed.SetTransposed(w, out)
		return
	}
	if t.work == nil {
		t.work = make([]float32, len(w))
	}
	for k := range taps {
		transposeInto(t.work[k*in*out:][:in*out], w[k*in*out:][:in*out], in, out)
	}
	t.packed.Set(t.work, in)
}

// transposeInto writes the transpose of the r×c matrix src.
func transposeInto(dst, src []float32, r, c int) {
	for i := range r {
		for j, v := range src[i*c:][:c] {
			dst[j*r+i] = v
		}
	}
}

func (t *turned) reverse(w []float32, taps, c int) {
	if t.flat == nil {
		t.flat = make([]float32, len(w))
	}
	for k := range taps {
		copy(t.flat[(taps-1-k)*c:][:c], w[k*c:])
	}
}
