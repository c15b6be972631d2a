package record

import "encoding/binary"

// reader takes fields off the front of data. When data are short it returns
// zeros from there on and remembers.
type reader struct {
	data  []byte
	short bool
}

func (r *reader) bytes(n int) []byte {
	if r.short || n > len(r.data) {
		r.short = true
		return make([]byte, min(n, 16))
	}
	b := r.data[:n:n]
	r.data = r.data[n:]
	return b
}

func (r *reader) byte() byte { return r.bytes(1)[0] }

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.data)
	if r.short || n <= 0 {
		r.short = true
		return 0
	}
	r.data = r.data[n:]
	return v
}

// bitWriter packs numbers of a few bits, the lowest first.
type bitWriter struct {
	out []byte
	acc uint64
	n   uint
}

func (w *bitWriter) write(v uint64, n uint) {
	for n > 0 {
		m := min(n, 8)
		w.acc |= v & (1<<m - 1) << w.n
		w.n += m
		for w.n >= 8 {
			w.out = append(w.out, byte(w.acc))
			w.acc >>= 8
			w.n -= 8
		}
		v >>= m
		n -= m
	}
}

func (w *bitWriter) bytes() []byte {
	if w.n > 0 {
		w.out = append(w.out, byte(w.acc))
		w.acc, w.n = 0, 0
	}
	return w.out
}

// bitReader reads what bitWriter wrote; its data suffice.
type bitReader struct {
	data []byte
	at   uint // bits
}

func (r *bitReader) read(n uint) uint64 {
	v := uint64(0)
	for got := uint(0); got < n; {
		m := min(n-got, 8-r.at%8)
		b := uint64(r.data[r.at/8]) >> (r.at % 8) & (1<<m - 1)
		v |= b << got
		got += m
		r.at += m
	}
	return v
}
