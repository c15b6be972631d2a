package format

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// gaussTable is the table of a discretised Gaussian out to 4 sigma.
func gaussTable(t testing.TB, sigma float64) *Table {
	r := int(math.Ceil(4*sigma)) + 1
	p := make([]float64, 2*r+2)
	phi := func(x float64) float64 { return 0.5 * math.Erfc(-x/math.Sqrt2) }
	p[2*r+1] = 1
	for i := -r; i <= r; i++ {
		p[i+r] = phi((float64(i)+.5)/sigma) - phi((float64(i)-.5)/sigma)
		p[2*r+1] -= p[i+r]
	}
	tab, err := NewTable(int32(-r), BuildFreq(p))
	require.NoError(t, err)
	return tab
}

// scaleTables are 63 Gaussians, log-spaced from 0.12 to 256, as a codec has.
func scaleTables(t testing.TB) *TableSet {
	var tabs []*Table
	for i := range 63 {
		tabs = append(tabs, gaussTable(t, 0.12*math.Exp(float64(i)*math.Log(256/0.12)/62)))
	}
	ts, err := NewTableSet(tabs)
	require.NoError(t, err)
	return ts
}

// oddTables have what Gaussians have not: symbols far from 0, frequencies at
// both ends of what is allowed, a mode at the start, at the end, and in the
// escape, and thousands of entries.
func oddTables(t testing.TB) *TableSet {
	ones := make([]uint16, 8192)
	for i := range ones {
		ones[i] = 8
	}
	var tabs []*Table
	for _, c := range []struct {
		min  int32
		freq []uint16
	}{
		{0, []uint16{65535, 1}},
		{0, []uint16{1, 65535}},
		{-MaxSymbol, []uint16{1, 65534, 1}},
		{MaxSymbol - 1, []uint16{32768, 32767, 1}},
		{5, []uint16{1, 1, 1, 65533}},
		{-3, []uint16{16384, 16384, 16384, 16384}},
		{-300, ones},
	} {
		tab, err := NewTable(c.min, c.freq)
		require.NoError(t, err)
		tabs = append(tabs, tab)
	}
	ts, err := NewTableSet(tabs)
	require.NoError(t, err)
	return ts
}

// sample draws a symbol from the table's own distribution, escapes included.
func (t *Table) sample(rng *rand.Rand) int32 {
	u := int(rng.Uint32() & 0xffff)
	for i, f := range t.freq {
		if u -= int(f); u >= 0 {
			continue
		}
		if i < len(t.freq)-1 {
			return t.min + int32(i)
		}
		excess := int32(1 + rng.ExpFloat64()*3)
		if rng.IntN(20) == 0 {
			excess = rng.Int32N(MaxSymbol)
		}
		if v := t.Max() + excess; v <= MaxSymbol && rng.IntN(2) == 0 {
			return v
		}
		if v := t.Min() - excess; v >= -MaxSymbol {
			return v
		}
		return t.min
	}
	panic("frequencies do not sum to 65536")
}

// sampleStream draws n symbols; pick chooses their tables.
func sampleStream(ts *TableSet, n int, seed uint64, pick func(*rand.Rand) uint8) ([]uint8, []int32) {
	rng := rand.New(rand.NewPCG(seed, 7))
	index, sym := make([]uint8, n), make([]int32, n)
	for i := range index {
		if index[i] = pick(rng); index[i] != Skip {
			sym[i] = ts.tables[index[i]].sample(rng)
		}
	}
	return index, sym
}

// upTo picks one of the first n tables, or Skip in skips of 100 cases.
func upTo(n, skips int) func(*rand.Rand) uint8 {
	return func(r *rand.Rand) uint8 {
		if r.IntN(100) < skips {
			return Skip
		}
		return uint8(r.IntN(n))
	}
}

var streamLengths = []int{0, 1, 2, 3, 7, 8, 9, 60, 511, 513, 1000, 5000, 16383, 16384, 16385, 16390, 40000}

func TestSymbolsRoundTrip(t *testing.T) {
	scales, odd := scaleTables(t), oddTables(t)
	for _, c := range []struct {
		name  string
		ts    *TableSet
		n     int
		skips int
	}{
		{"cheap", scales, 1, 0},
		{"low rate", scales, 9, 30},
		{"high rate", scales, 63, 0},
		{"mostly skipped", scales, 20, 95},
		{"all skipped", scales, 1, 100},
		{"odd", odd, odd.Len(), 0},
		{"odd, skips", odd, odd.Len(), 50},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, n := range streamLengths {
				index, sym := sampleStream(c.ts, n, uint64(n), upTo(c.n, c.skips))
				prefix := []byte("kept")
				b, err := EncodeSymbols(prefix, c.ts, index, sym)
				require.NoError(t, err)
				require.Equal(t, "kept", string(b[:4]))
				b = b[4:]
				got := make([]int32, n)
				for i := range got {
					got[i] = -99 // skipped positions must be written too
				}
				require.NoError(t, DecodeSymbols(b, c.ts, index, got), "%d symbols", n)
				require.Equal(t, sym, got, "%d symbols", n)
				if c.ts == odd && n > 1000 && n != minInterleaved {
					continue // its largest table takes the plain decoder too long
				}
				got, err = specDecode(b, c.ts, index)
				require.NoError(t, err, "%d symbols", n)
				require.Equal(t, sym, got, "%d symbols by the letter of the specification", n)
			}
		})
	}
}

// decodePieces is DecodeSymbols by a SymbolDecoder, in pieces of growing length.
func decodePieces(src []byte, ts *TableSet, index []uint8, sym []int32) error {
	d, err := NewSymbolDecoder(src, ts, coded(index, len(index)))
	for n := 0; err == nil && len(index) > 0; n++ {
		k := min(n%101, len(index))
		err = d.Next(index[:k], sym[:k])
		index, sym = index[k:], sym[k:]
	}
	if err != nil {
		return err
	}
	return d.Close()
}

func TestSymbolDecoder(t *testing.T) {
	for _, ts := range []*TableSet{scaleTables(t), oddTables(t)} {
		for _, n := range streamLengths {
			index, sym := sampleStream(ts, n, uint64(n), upTo(ts.Len(), 20))
			b, err := EncodeSymbols(nil, ts, index, sym)
			require.NoError(t, err)
			got := make([]int32, n)
			require.NoError(t, decodePieces(b, ts, index, got))
			require.Equal(t, sym, got)
			if n == 0 {
				continue
			}
			require.ErrorIs(t, decodePieces(append(b, 1, 2, 3, 4), ts, index, got), ErrCorrupt)
		}
	}
	ts := scaleTables(t)
	d, err := NewSymbolDecoder(nil, ts, 1)
	require.NoError(t, err)
	require.ErrorContains(t, d.Close(), "1 symbols are left")
	require.ErrorContains(t, d.Next([]uint8{0, 0}, make([]int32, 1)), "2 indices for 1 symbols")
	require.ErrorContains(t, d.Next([]uint8{Skip, 0, 0}, make([]int32, 3)), "more symbols")
	d, err = NewSymbolDecoder(nil, ts, 1)
	require.NoError(t, err)
	require.ErrorContains(t, d.Next([]uint8{200}, make([]int32, 1)), "only")
}

func TestSymbolsLargestTable(t *testing.T) {
	ones := make([]uint16, probTotal)
	for i := range ones {
		ones[i] = 1
	}
	tab, err := NewTable(-1000, ones)
	require.NoError(t, err)
	ts, err := NewTableSet([]*Table{tab})
	require.NoError(t, err)
	index, sym := sampleStream(ts, 200, 1, upTo(1, 0))
	sym[7], sym[8], sym[9] = tab.Min(), tab.Max(), tab.Max()+1
	b, err := EncodeSymbols(nil, ts, index, sym)
	require.NoError(t, err)
	got := make([]int32, len(sym))
	require.NoError(t, DecodeSymbols(b, ts, index, got))
	require.Equal(t, sym, got)
}

// Around the fork everything happens within a few bytes: no fork, a fork in the
// last word, a fork within an escape.
func TestSymbolsFork(t *testing.T) {
	free, err := NewTable(0, []uint16{65535, 1}) // 2e-5 bit a symbol
	require.NoError(t, err)
	ts, err := NewTableSet([]*Table{free, gaussTable(t, 3)})
	require.NoError(t, err)
	n := minInterleaved + 100
	lengths := make(map[int]bool)
	for dear := range 100 {
		for seed := range 4 {
			rng := rand.New(rand.NewPCG(uint64(dear), uint64(seed)))
			index, sym := make([]uint8, n), make([]int32, n)
			for range dear {
				i := rng.IntN(n)
				index[i] = 1
				sym[i] = int32(3 * rng.NormFloat64())
				if seed > 1 && rng.IntN(5) == 0 {
					sym[i] = rng.Int32N(2*MaxSymbol+1) - MaxSymbol
				}
			}
			b, err := EncodeSymbols(nil, ts, index, sym)
			require.NoError(t, err)
			lengths[len(b)] = true
			got := make([]int32, n)
			require.NoError(t, DecodeSymbols(b, ts, index, got))
			require.Equal(t, sym, got)
			got, err = specDecode(b, ts, index)
			require.NoError(t, err)
			require.Equal(t, sym, got)
		}
	}
	require.True(t, lengths[0] && lengths[maxUnforked-1] && lengths[maxUnforked+3], "lengths %v", lengths)
}

// The coded size is the cross-entropy plus less than three bytes, or five for
// interleaved streams; never more than 0.2 % and a few bytes.
func TestSymbolsSize(t *testing.T) {
	scales := scaleTables(t)
	for _, n := range streamLengths {
		for tables := 1; tables <= 63; tables += 12 {
			index, sym := sampleStream(scales, n, uint64(n+tables), upTo(tables, 0))
			b, err := EncodeSymbols(nil, scales, index, sym)
			require.NoError(t, err)
			allowed := 3.0
			if n >= minInterleaved {
				allowed = 5
			}
			ideal := scales.Bits(index, sym) / 8
			require.LessOrEqual(t, float64(len(b)), ideal*1.0001+allowed, "%d symbols, %d tables", n, tables)
		}
	}
}

func TestSymbolsTiny(t *testing.T) {
	ts := scaleTables(t)
	size := func(index []uint8, sym []int32) int {
		b, err := EncodeSymbols(nil, ts, index, sym)
		require.NoError(t, err)
		require.NoError(t, DecodeSymbols(b, ts, index, make([]int32, len(sym))))
		return len(b)
	}
	require.Zero(t, size(nil, nil))
	require.Zero(t, size([]uint8{Skip, Skip, Skip}, make([]int32, 3)))
	// Likeliest symbols only.
	require.Zero(t, size([]uint8{3, 2, 10, 0, Skip, 30}, make([]int32, 6)))
	flat := make([]uint8, 100000)
	require.Zero(t, size(flat, make([]int32, len(flat))))
	// One symbol that is not, wherever it stands.
	for _, i := range []int{0, 500, len(flat) - 1} {
		sym := make([]int32, len(flat))
		sym[i] = 1
		require.LessOrEqual(t, size(flat, sym), 4)
	}
}

func TestSymbolsMisuse(t *testing.T) {
	ts := scaleTables(t)
	for _, c := range []struct {
		index []uint8
		sym   []int32
		want  string
	}{
		{[]uint8{1, 2}, []int32{0}, "format: encode symbols: 2 indices for 1 symbols"},
		{[]uint8{1, 63}, []int32{0, 0}, "format: encode symbols: index 63 at 1: only 63 tables"},
		{[]uint8{Skip}, []int32{4}, "format: encode symbols: symbol 4 at 0, where nothing is coded"},
		{[]uint8{0}, []int32{MaxSymbol + 1}, "format: encode symbols: symbol 16777217 at 0 exceeds ±16777216"},
		{[]uint8{0}, []int32{math.MinInt32}, "format: encode symbols: symbol -2147483648 at 0 exceeds ±16777216"},
	} {
		b, err := EncodeSymbols([]byte("x"), ts, c.index, c.sym)
		require.EqualError(t, err, c.want)
		require.Equal(t, "x", string(b))
	}
	require.EqualError(t, DecodeSymbols(nil, ts, []uint8{1, 2}, []int32{0}), "format: decode symbols: 2 indices for 1 symbols")
	for _, n := range []int{1, 100, 20000} {
		index := make([]uint8, n)
		index[n/2] = 200
		require.EqualError(t, DecodeSymbols(nil, ts, index, make([]int32, n)), "format: decode symbols: index 200: only 63 tables")
		require.EqualError(t, DecodeSymbols(make([]byte, 40), ts, index[n/2:], make([]int32, n-n/2)), "format: symbols: the initial state is out of range")
	}
}

// What DecodeSymbols finds without a checksum. It is not all: a damaged stream
// may well be another valid one.
func TestSymbolsDamage(t *testing.T) {
	ts := scaleTables(t)
	for _, n := range []int{300, 3000, 30000} {
		index, sym := sampleStream(ts, n, 1, upTo(20, 10))
		b, err := EncodeSymbols(nil, ts, index, sym)
		require.NoError(t, err)
		got := make([]int32, n)
		found, tried := 0, 0
		try := func(b []byte, index []uint8) {
			tried++
			if err := DecodeSymbols(b, ts, index, got); err != nil {
				require.ErrorIs(t, err, ErrCorrupt)
				found++
			}
		}
		for cut := range min(len(b), 50) {
			try(b[:cut], index)
			try(b[cut+1:], index)
			try(append(b[:len(b):len(b)], make([]byte, cut+1)...), index)
		}
		rng := rand.New(rand.NewPCG(3, 3))
		for range 300 {
			damaged := append([]byte(nil), b...)
			damaged[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
			try(damaged, index)
			wrong := append([]uint8(nil), index...)
			i := rng.IntN(n)
			wrong[i] = (wrong[i] + 1) % 20
			if index[i] == Skip {
				continue
			}
			try(b, wrong)
		}
		require.GreaterOrEqual(t, float64(found), 0.99*float64(tried), "%d symbols", n)
	}
}

// Noise instead of a stream: an error, or the one stream of some symbols.
func TestSymbolsNoise(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	for _, ts := range []*TableSet{scaleTables(t), oddTables(t)} {
		for _, n := range []int{1, 40, 17000} {
			index, _ := sampleStream(ts, n, uint64(n), upTo(ts.Len(), 20))
			sym := make([]int32, n)
			for range 2000 * 40 / (n + 39) * 3 {
				b := make([]byte, rng.IntN(1+rng.IntN(4*n+60)))
				for i := range b {
					b[i] = byte(rng.Uint32())
				}
				if err := DecodeSymbols(b, ts, index, sym); err != nil {
					require.ErrorIs(t, err, ErrCorrupt)
					continue
				}
				again, err := EncodeSymbols(nil, ts, index, sym)
				require.NoError(t, err)
				require.True(t, string(b) == string(again), "not canonical: %x, %x", b, again)
			}
		}
	}
}

func TestNewTableErrors(t *testing.T) {
	for _, c := range []struct {
		min  int32
		freq []uint16
		want string
	}{
		{0, nil, "format: table: needs at least one symbol and the escape"},
		{0, []uint16{1}, "format: table: needs at least one symbol and the escape"},
		{0, []uint16{1, 1}, "format: table: frequencies sum to 2, not 65536"},
		{0, []uint16{65535, 0, 1}, "format: table: frequency 1 is zero"},
		{0, make([]uint16, probTotal+1), "format: table: 65537 frequencies, at most 65536"},
		{-MaxSymbol - 1, []uint16{65535, 1}, "format: table: symbols -16777217 to -16777217 exceed ±16777216"},
		{MaxSymbol, []uint16{1, 65534, 1}, "format: table: symbols 16777216 to 16777217 exceed ±16777216"},
	} {
		_, err := NewTable(c.min, c.freq)
		require.EqualError(t, err, c.want)
	}
	_, err := NewTableSet(nil)
	require.EqualError(t, err, "format: table set: 0 tables, not 1 to 255")
	_, err = NewTableSet(make([]*Table, 256))
	require.EqualError(t, err, "format: table set: 256 tables, not 1 to 255")
	_, err = NewTableSet(make([]*Table, 1))
	require.EqualError(t, err, "format: table set: table 0 is nil")
}

// x/freq by multiplication must be exact for all states.
func TestReciprocal(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	for f := 1; f < probTotal; f++ {
		tab := &Table{freq: []uint16{uint16(f), uint16(probTotal - f)}}
		s := newEncTable(tab, 0)[0]
		limit := uint64(f) << 47
		require.Equal(t, limit, s.limit)
		for _, x := range []uint64{0, 1, uint64(f) - 1, uint64(f), limit - 1, limit - uint64(f), limit - uint64(f) - 1, rng.Uint64N(limit), rng.Uint64N(limit) / uint64(f) * uint64(f)} {
			q, _ := bits.Mul64(x<<1, s.rcp)
			if q>>s.shift != x/uint64(f) {
				t.Fatalf("%d / %d: got %d, want %d", x, f, q>>s.shift, x/uint64(f))
			}
		}
	}
}

func TestDecodeSymbolsAllocates(t *testing.T) {
	ts := scaleTables(t)
	index, sym := sampleStream(ts, 20000, 1, upTo(20, 10))
	b, err := EncodeSymbols(nil, ts, index, sym)
	require.NoError(t, err)
	require.LessOrEqual(t, testing.AllocsPerRun(10, func() { DecodeSymbols(b, ts, index, sym) }), 2.0)
}

// specDecode is DecodeSymbols again, written down from SPEC.md as plainly as
// possible, to show that the text suffices.
func specDecode(stream []byte, ts *TableSet, index []uint8) ([]int32, error) {
	wrong := errors.New("the stream is invalid")
	count := 0
	for _, t := range index {
		if t != 255 {
			count++
		}
	}

	// Initial state and words.
	n := len(stream)
	if n > 8 {
		n = 5 + (n-5)%4
	}
	var x [4]uint64
	for i := n - 1; i >= 0; i-- {
		x[0] = x[0]<<8 | uint64(stream[i])
	}
	var words []uint32
	for b := stream[n:]; len(b) > 0; b = b[4:] {
		words = append(words, binary.LittleEndian.Uint32(b))
	}

	split := false
	lane := 0
	// take removes an entry that owns slots first to first+freq-1.
	take := func(first, freq uint64) {
		x[lane] = freq*(x[lane]>>16) + x[lane]&0xffff - first
		if x[lane] < 1<<31 && len(words) > 0 {
			x[lane] = x[lane]<<32 | uint64(words[0])
			words = words[1:]
			if split && len(words) == 0 {
				for i := 3; i >= 0; i-- {
					if i != lane {
						words = append(words, uint32(x[i]-1<<31))
					}
				}
				x[0], lane, split = x[lane], 0, false
			}
		}
	}
	raw := func(bits int) (v uint64) {
		if bits == 0 {
			return 0
		}
		unit := uint64(1) << (16 - bits)
		v = x[lane] & 0xffff / unit
		take(v*unit, unit)
		return v
	}
	long := func(bits int) (v uint64) {
		for bits > 0 {
			part := (bits-1)%16 + 1
			v = v<<part | raw(part)
			bits -= part
		}
		return v
	}

	if len(stream) > 20 && count >= 16384 {
		for i := 1; i < 4; i++ {
			k := int(raw(5))
			high := 1<<k | long(k)
			x[i] = high<<31 | long(31)
		}
		split = true
	}
	modes := make([]int, len(ts.tables))
	for i, t := range ts.tables {
		for k := range t.freq {
			if t.freq[k] > t.freq[modes[i]] {
				modes[i] = k
			}
		}
	}
	sym := make([]int32, len(index))
	turn := 0
	for i, t := range index {
		if t == 255 {
			continue
		}
		if split {
			lane = turn % 4
		}
		turn++
		min, freq := ts.tables[t].min, ts.tables[t].freq
		first, k := uint64(0), modes[t]
		for x[lane]&0xffff >= first+uint64(freq[k]) {
			first += uint64(freq[k])
			k = (k + 1) % len(freq)
		}
		take(first, uint64(freq[k]))
		if k < len(freq)-1 {
			sym[i] = min + int32(k)
			continue
		}
		below := raw(1) == 1
		zeros := 0
		for raw(1) == 0 {
			if zeros++; zeros > 25 {
				return nil, wrong
			}
		}
		excess := int32(1<<zeros | long(zeros))
		if below {
			sym[i] = min - excess
		} else {
			sym[i] = min + int32(len(freq)-2) + excess
		}
	}
	if split || x[0] != 0 || len(words) > 0 {
		return nil, wrong
	}
	return sym, nil
}
