package trainer

import (
	"context"
	"fmt"
	"math"
	"sync"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/kernels"
)

// maxShrink is the strongest reduction of the scale jitter: photographs are
// also seen at half their size, with the sharper edges that brings.
const maxShrink = 2.0

// batch is what one training step sees.
type batch struct {
	step int
	x    *nn.Tensor // [Batch, Crop, Crop, 3], byte/255 - 0.5
	t    []float64  // [Batch] position between the anchor rates, 0..anchors-1
	err  error      // no picture could be decoded
}

// sampler turns (seed, step, i) into training crops.
type sampler struct {
	set         *pictures
	seed        uint64
	batch, crop int
	transpose   bool // crops at random
	anchors     int
	threads     int
	warn        func(error) // called once for each picture that can't be decoded, never twice at a time
	mu          sync.Mutex  // guards what follows, and serialises warn
	warned      map[*picture]bool

	epoch int     // whose order is in order; -1 for none
	order []int32 // the pictures in the order of this epoch
	next  []int32 // of the following one: a batch may straddle two

	scratch []cropScratch // one for each sample of a batch
}

type cropScratch struct {
	pixels  []byte
	scaling resampler
}

func newSampler(set *pictures, seed uint64, batchSize, crop, anchors, threads int, warn func(error)) *sampler {
	return &sampler{
		set: set, seed: seed, batch: batchSize, crop: crop, anchors: anchors, threads: threads, warn: warn,
		warned: map[*picture]bool{},
		epoch:  -1, order: make([]int32, len(set.list)), next: make([]int32, len(set.list)),
		scratch: make([]cropScratch, batchSize),
	}
}

// fill makes the batch of a step. Every picture appears once in each epoch.
func (s *sampler) fill(b *batch, step int) {
	b.step, b.err = step, nil
	n := len(s.set.list)
	first := step * s.batch
	if epoch := first / n; epoch != s.epoch {
		s.epoch = epoch
		s.shuffle(s.order, epoch)
		s.shuffle(s.next, epoch+1)
	}
	// The rates of a batch are spread evenly: sample i lies in the i-th of
	// Batch equal intervals. Pictures come in random order, so no interval
	// favours any.
	for i := range b.t {
		r := stream{key(s.seed, purposeRate, uint64(step), uint64(i))}
		b.t[i] = (float64(i) + r.float()) / float64(s.batch) * float64(s.anchors-1)
	}
	kernels.For(s.threads, s.batch, 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			at := first + i - s.epoch*n
			var pick int
			if at < n {
				pick = int(s.order[at])
			} else {
				pick = s.pickLater(at, n)
			}
			if err := s.sample(b.x.Image(i), pick, step, i); err != nil {
				s.mu.Lock()
				b.err = err
				s.mu.Unlock()
			}
		}
	})
}

// pickLater returns the picture at place at >= n of the present epoch's order,
// which is one of the next epoch's, or of a later one where a batch is larger
// than two epochs.
func (s *sampler) pickLater(at, n int) int {
	if at < 2*n {
		return int(s.next[at-n])
	}
	order := make([]int32, n)
	s.shuffle(order, s.epoch+at/n)
	return int(order[at%n])
}

func (s *sampler) shuffle(order []int32, epoch int) {
	r := stream{key(s.seed, purposeOrder, uint64(epoch), 0)}
	r.permute(order)
}

// sample writes one crop: a square of the picture, half of the time scaled
// down by a random factor, half of the time mirrored, and half of the
// time transposed if that is wanted. A picture that can't be decoded gives way
// to the next one of the list.
func (s *sampler) sample(dst []float32, pick, step, i int) error {
	var first error
	for try := range s.set.list {
		p := s.set.list[(pick+try)%len(s.set.list)]
		rgb, err := s.set.pixels(p)
		if err == nil {
			s.crop1(dst, rgb, p, step, i)
			return nil
		}
		if first == nil {
			first = err
		}
		s.mu.Lock()
		if !s.warned[p] {
			s.warned[p] = true
			s.warn(err)
		}
		s.mu.Unlock()
	}
	return fmt.Errorf("trainer: data: none of %d pictures can be decoded: %w", len(s.set.list), first)
}

func (s *sampler) crop1(dst []float32, rgb []byte, p *picture, step, i int) {
	r := stream{key(s.seed, purposeCrop, uint64(step), uint64(i))}
	size := s.crop
	shrink, flips := r.float(), r.next()
	mirror, transpose := flips&1 == 1, s.transpose && flips&2 == 2
	u, v := r.next()>>32, r.next()>>32

	n := size // side of the source square
	if limit := min(p.width, p.height); shrink < 0.5 && limit > size {
		n = size + int(math.Floor(float64(2*shrink)*float64(min(limit, int(maxShrink*float64(size)))-size+1)))
	}
	x0 := int(u * uint64(max(p.width-n, 0)+1) >> 32)
	y0 := int(v * uint64(max(p.height-n, 0)+1) >> 32)

	c := &s.scratch[i]
	c.pixels = grow(c.pixels, 3*size*size)
	switch {
	case p.width < n || p.height < n:
		reflectCrop(c.pixels, rgb, p.width, p.height, x0, y0, size)
	case n > size:
		c.scaling.scale(c.pixels, rgb[3*(y0*p.width+x0):], 3*p.width, n, size)
	default:
		for y := range size {
			copy(c.pixels[3*size*y:][:3*size], rgb[3*((y0+y)*p.width+x0):])
		}
	}
	toFloat(dst, c.pixels, size, mirror, transpose)
}

// toFloat writes bytes as the networks see them, on request with the rows
// mirrored and after that with rows and columns exchanged.
func toFloat(dst []float32, src []byte, size int, mirror, transpose bool) {
	for y := range size {
		to, step := 3*size*y, 3 // of the pixel, and from it to the next
		if transpose {
			to, step = 3*y, 3*size
		}
		if mirror {
			to, step = to+(size-1)*step, -step
		}
		for in := src[3*size*y:][:3*size]; len(in) > 0; in = in[3:] {
			out := dst[to:][:3]
			out[0], out[1], out[2] = pixelValue[in[0]], pixelValue[in[1]], pixelValue[in[2]]
			to += step
		}
	}
}

// pixelValue[b] is b/255 - 1/2 as package codec computes it.
var pixelValue = func() (v [256]float32) {
	for i := range v {
		v[i] = float32(float32(i)/255) - 0.5
	}
	return v
}()

// reflectCrop takes a square from a picture that is too small for it: the
// picture is continued by reflections at its edges.
func reflectCrop(dst, src []byte, w, h, x0, y0, size int) {
	for y := range size {
		row := src[3*w*mirrored(y0+y, h):][:3*w]
		for x := range size {
			copy(dst[3*(size*y+x):][:3], row[3*mirrored(x0+x, w):])
		}
	}
}

func mirrored(i, n int) int {
	i %= 2 * n
	if i >= n {
		i = 2*n - 1 - i
	}
	return i
}

// loader prepares batches in a goroutine of its own, one or two ahead of the
// training step, so that decoding overlaps with arithmetic.
type loader struct {
	ready chan *batch
	free  chan *batch
	done  chan struct{}
	stop  context.CancelFunc
}

// batchesAhead is how many batches are in preparation or ready.
const batchesAhead = 2

func newLoader(ctx context.Context, s *sampler, first, last int) *loader {
	ctx, stop := context.WithCancel(ctx)
	l := &loader{
		ready: make(chan *batch, batchesAhead), free: make(chan *batch, batchesAhead),
		done: make(chan struct{}), stop: stop,
	}
	for range batchesAhead {
		l.free <- &batch{x: nn.NewTensor(s.batch, s.crop, s.crop, 3), t: make([]float64, s.batch)}
	}
	go func() {
		defer close(l.done)
		for step := first; step < last; step++ {
			select {
			case b := <-l.free:
				s.fill(b, step)
				l.ready <- b
			case <-ctx.Done():
				return
			}
		}
	}()
	return l
}

// take waits for the next batch; the caller gives it back with release.
func (l *loader) take(ctx context.Context) (*batch, error) {
	select {
	case b := <-l.ready:
		return b, b.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *loader) release(b *batch) { l.free <- b }

// close stops the goroutine and waits for it.
func (l *loader) close() {
	l.stop()
	<-l.done
}
