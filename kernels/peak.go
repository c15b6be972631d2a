package kernels

import "reflect"

// Peaks are loops that do nothing but one operation, as fast as the core can do
// it with the vectors of one backend: what measured speeds are shares of. The
// portable backend has none.
type Peaks struct {
	fma, dot       func(iters int)
	fmaOps, dotOps int // operations of an iteration, a multiply-add being two
	load           func(x *float32, iters int)
	loadWords      int // float32 read by an iteration

	// DotInstruction names what Dot runs, "" if there is nothing.
	DotInstruction string
}

// Peak returns the loops of the backend in use.
func Peak() Peaks { return active.peak }

// peakIters and peakLoadWords bound a call of the assembly, to 30 microseconds
// and, at 2 GB/s, 130.
const (
	peakIters     = 1 << 12
	peakLoadWords = 1 << 16
)

// FMA runs independent float32 multiply-adds on registers for some
// microseconds, and returns how many additions and multiplications those were;
// 0 if the backend has no such loop.
func (p *Peaks) FMA() int { return peakRun(p.fma, p.fmaOps) }

// Dot is FMA for integers: dot products of vectors of bytes, or of 16-bit
// numbers where the processor has none of bytes, summed in 32 bits.
func (p *Peaks) Dot() int { return peakRun(p.dot, p.dotOps) }

func peakRun(loop func(iters int), ops int) int {
	if loop == nil {
		return 0
	}
	loop(peakIters)
	return peakIters * ops
}

// Load reads x once, in order, but for a rest shorter than a turn of the loop,
// and returns the number of bytes read; 0 if the backend has no such loop.
func (p *Peaks) Load(x []float32) (bytes int) {
	if p.load == nil {
		return 0
	}
	for len(x) >= p.loadWords {
		n := min(len(x), peakLoadWords) / p.loadWords
		p.load(&x[0], n)
		bytes += 4 * n * p.loadWords
		x = x[n*p.loadWords:]
	}
	return bytes
}

// Entries returns the names of the entries of a backend's table: the arithmetic
// that every backend may do in its own way, and that benchmarks have to cover.
func Entries() []string {
	var names []string
	t := reflect.TypeFor[table]()
	for i := range t.NumField() {
		if f := t.Field(i); f.Type.Kind() == reflect.Func {
			names = append(names, f.Name)
		}
	}
	return names
}
