package record

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/kernels"
)

// batchValues is about how many values of records go through a network at once:
// enough for the matrix kernels, few enough for the cache.
const batchValues = 1 << 15

// arenaLimit bounds the working memory of one pass of one thread.
const arenaLimit = 1 << 30

// Latents returns the latents of the records as the encoder makes them, before
// quantisation: N times Latent().Len() numbers. Up to threads threads work, at
// least one; they change nothing in the result.
func (m *Model) Latents(s *Set, threads int) ([]float32, error) {
	if m.encoder == nil {
		return nil, fmt.Errorf("record: model %q can only decode", m.Name())
	}
	if err := m.accepts(s); err != nil {
		return nil, err
	}
	out := make([]float32, s.N*m.latent.Len())
	inverse := make([]float32, len(m.scale))
	for c, v := range m.scale {
		inverse[c] = 1 / v
	}
	return out, m.pass(m.encoder, threads, s.N, s.Dims(), m.latent, out, func(dst []float32, i int) {
		for j, v := range s.Record(i) {
			c := j % len(m.mean)
			dst[j] = (v - m.mean[c]) * inverse[c]
		}
	})
}

// Synthesize returns the records that the decoder makes of latents, those of
// [Model.Latents] or any others, with up to threads threads. Values of Uint8 are
// not rounded yet, but all are finite.
func (m *Model) Synthesize(latents []float32, threads int) (*Set, error) {
	size := m.latent.Len()
	if len(latents)%size != 0 {
		return nil, fmt.Errorf("record: synthesis: %d numbers are no latents of %v", len(latents), m.latent)
	}
	n := len(latents) / size
	if _, err := countValues(n, m.shape); err != nil {
		return nil, err
	}
	s := NewSet(m.kind, n, m.shape...)
	err := m.pass(m.decoder, threads, n, m.latent, s.Dims(), s.Data, func(dst []float32, i int) {
		copy(dst, latents[i*size:])
	})
	if err != nil {
		return nil, err
	}
	kernels.For(threads, n, 1+batchValues/s.Len(), func(lo, hi int) {
		m.denormalise(s.Data[lo*s.Len() : hi*s.Len()])
	})
	return s, nil
}

// denormalise turns outputs of the decoder into values, in place. Products and
// sums are rounded by themselves, and what is not finite becomes so: what
// follows must not depend on how a NaN came about.
func (m *Model) denormalise(v []float32) {
	const largest = 0x1p126
	for i, x := range v {
		c := i % len(m.mean)
		y := float32(x*m.scale[c]) + m.mean[c]
		switch {
		case y != y:
			y = 0
		case y > largest:
			y = largest
		case y < -largest:
			y = -largest
		}
		v[i] = y
	}
}

// pass runs n samples through a network in batches, as many at a time as there
// are threads. load fills in sample i of the input; dst takes all first outputs.
func (m *Model) pass(program func() (*nn.Program, error), threads, n int, from, to nn.Shape, dst []float32, load func(dst []float32, i int)) error {
	p, err := program()
	if err != nil {
		return fmt.Errorf("record: model %q: %w", m.Name(), err)
	}
	batch := min(max(batchValues/max(from.Len(), to.Len()), 1), n)
	batches := (n + batch - 1) / batch
	var next atomic.Int64
	errs := make([]error, max(min(threads, batches), 1))
	var wg sync.WaitGroup
	for t := range errs {
		wg.Go(func() {
			arena := m.arenas.Get().(*nn.Arena)
			defer m.arenas.Put(arena)
			arena.Limit = arenaLimit
			in := nn.NewTensor(batch, from.H, from.W, from.C)
			for b := int(next.Add(1)) - 1; b < batches && errs[t] == nil; b = int(next.Add(1)) - 1 {
				lo, hi := b*batch, min((b+1)*batch, n)
				x := &nn.Tensor{N: hi - lo, H: from.H, W: from.W, C: from.C, Data: in.Data[:(hi-lo)*from.Len()]}
				for i := lo; i < hi; i++ {
					load(x.Image(i-lo), i)
				}
				out, err := p.Run(arena, 1, x)
				if err == nil {
					copy(dst[lo*to.Len():hi*to.Len()], out[0].Data)
				}
				errs[t] = err
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return fmt.Errorf("record: model %q: %w", m.Name(), err)
		}
	}
	return nil
}
