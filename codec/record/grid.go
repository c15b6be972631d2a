package record

import "github.com/aecodec/aecodec/codec/nn"

// The positions of a record [H, W] are taken in passes, as in interlaced
// pictures: first those of a grid of 8 by 8, then the middles of its squares,
// then the middles between both, and so on down to a grid of 2 by 2. From the
// second pass on, what came before lies on all sides.

// pass is one part of the positions.
type pass struct {
	kind       passKind
	half       int      // distance of the neighbours
	neighbours [][2]int // rows and columns to what is known, in the order of sums
}

type passKind int

const (
	corners  passKind = iota // both coordinates are multiples of coarsest
	diagonal                 // both are odd multiples of half
	straight                 // one is an odd multiple of half, the other an even one
)

const coarsest = 8

var passes = func() []pass {
	list := []pass{{kind: corners}}
	for h := coarsest / 2; h >= 1; h /= 2 {
		list = append(list,
			pass{diagonal, h, [][2]int{{-h, -h}, {-h, h}, {h, -h}, {h, h}}},
			pass{straight, h, [][2]int{{-h, 0}, {0, -h}, {0, h}, {h, 0}}})
	}
	return list
}()

// positions calls visit for the positions of the pass in a record, row by row.
func (p *pass) positions(d nn.Shape, visit func(row, column int)) {
	row, rowStep, step := 0, coarsest, coarsest
	switch p.kind {
	case diagonal:
		row, rowStep, step = p.half, 2*p.half, 2*p.half
	case straight:
		rowStep, step = p.half, 2*p.half
	}
	for ; row < d.H; row += rowStep {
		column := 0
		if p.kind == diagonal || p.kind == straight && row/p.half%2 == 0 {
			column = p.half
		}
		for ; column < d.W; column += step {
			visit(row, column)
		}
	}
}
