package trainer

// Random numbers here are counters passed through a hash instead of the state
// of a generator: number n of a purpose can be had without the n-1 before it,
// so that threads need no order among them and a checkpoint no generator state.

// purpose separates the streams that are derived from one seed.
type purpose uint64

const (
	purposeInit purpose = iota + 1
	purposeOrder
	purposeCrop
	purposeRate
	purposeNoiseY
	purposeNoiseZ
	purposePatch
)

// golden is the increment of SplitMix64, the odd integer nearest to 2^64/phi.
const golden = 0x9e3779b97f4a7c15

// mix64 is the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014),
// with the constants of Stafford's variant 13.
func mix64(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// key derives the start of a stream from a seed, a purpose and two counters.
func key(seed uint64, p purpose, a, b uint64) uint64 {
	k := mix64(seed + golden)
	k = mix64(k ^ uint64(p)*golden)
	k = mix64(k + a*golden)
	return mix64(k ^ (b+1)*golden)
}

// uniformNoise fills dst with numbers uniform in [-1/2, 1/2): dst[i] depends
// on the key and on first+i only. One hash gives two numbers of 24 bits, all
// that a float32 in this interval can hold, so first is even.
func uniformNoise(dst []float32, k uint64, first int) {
	n := k + uint64(first/2)*golden
	i := 0
	for ; i+1 < len(dst); i += 2 {
		n += golden
		h := mix64(n)
		dst[i] = float32(int32(h>>40)-1<<23) * (1.0 / (1 << 24))
		dst[i+1] = float32(int32(h>>8&0xffffff)-1<<23) * (1.0 / (1 << 24))
	}
	if i < len(dst) {
		dst[i] = float32(int32(mix64(n+golden)>>40)-1<<23) * (1.0 / (1 << 24))
	}
}

// stream hands out the numbers of one key in turn. It is a value: copying it
// copies its position.
type stream struct{ state uint64 }

func (s *stream) next() uint64 {
	s.state += golden
	return mix64(s.state)
}

// float returns a number uniform in [0, 1).
func (s *stream) float() float64 { return float64(s.next()>>11) * (1.0 / (1 << 53)) }

// intn returns an integer uniform in [0, n), n > 0. The bias of taking the
// high half of a product is below n/2^32.
func (s *stream) intn(n int) int { return int(s.next() >> 32 * uint64(n) >> 32) }

// permute fills dst with a random order of 0..len(dst)-1.
func (s *stream) permute(dst []int32) {
	for i := range dst {
		j := s.intn(i + 1)
		dst[i] = dst[j]
		dst[j] = int32(i)
	}
}
