package kernels

// Quantise turns rows of len(scale) floats into the integers of an IntOutput's
// results: with v = src·scale of the channel, one float32 multiplication,
//
//	r = round(max(min(v, 32767), -32768))    ties to even
//
// with min and max as in the contract, so that NaN becomes 32767. dst16 gets r,
// dst8 the 8-bit result with the channel's offset; either may be nil.
func Quantise(dst16 []int16, dst8 []uint8, src, scale []float32, offset []int16) {
	const op = "quantise"
	n := len(scale)
	checkLen(op, "offset", len(offset), n)
	if n == 0 {
		return
	}
	checkSame(op, "src beyond whole rows", len(src)%n, 0)
	if dst16 != nil {
		checkLen(op, "dst16", len(dst16), len(src))
	}
	if dst8 != nil {
		checkLen(op, "dst8", len(dst8), len(src))
	}
	s := getScratch()
	q := &s.quantise
	for step := rowsChunk(n); len(src) > 0; src = src[q.rows*n:] {
		q.rows = min(step, len(src)) / n
		q.n, q.src, q.scale, q.offset = n, &src[0], &scale[0], &offset[0]
		q.dst16, q.dst8 = nil, nil
		if dst16 != nil {
			q.dst16 = &dst16[0]
			dst16 = dst16[q.rows*n:]
		}
		if dst8 != nil {
			q.dst8 = &dst8[0]
			dst8 = dst8[q.rows*n:]
		}
		active.quantise(q)
	}
	s.release()
}
