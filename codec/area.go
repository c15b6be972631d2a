package codec

import "github.com/aecodec/aecodec/codec/nn"

// Analysis and synthesis have no tiles: what they compute at one place depends
// on a few latent positions around it, the margin, and on nothing else. So a
// picture passes through the codec piece by piece, and no sum changes its terms
// or their order:
//
//   - stripes, some tiles wide, one after the other, so that a row of tiles of
//     the widest picture need not be there as a whole;
//   - in a stripe, groups of one or more rows of tiles: their latents lie in one
//     buffer, between entropy coding, which works on tiles, and the transforms;
//   - jobs, rectangles of a group that threads work on. A job computes its rows
//     from top to bottom (see nn.Rows), and the margin around it once more.
const (
	// jobWidth and jobHeight are about the least sides of a job, in latent
	// positions: narrower, and the margins cost too much; wider, and the rows
	// of all layers no longer fit a second-level cache.
	jobWidth  = 96
	jobHeight = 8
	// maxMargin is the widest margin for which it pays to cut.
	maxMargin = tileLatent / 4
)

// bufferBytes bounds the latents that are held at once, unless a single tile
// takes more. A variable only so that tests can cut small pictures.
var bufferBytes = 24 << 20

// area is a rectangle of latent positions.
type area struct{ x0, y0, x1, y1 int }

func (a area) empty() bool { return a.x0 >= a.x1 || a.y0 >= a.y1 }

func (a area) intersect(b area) area {
	return area{max(a.x0, b.x0), max(a.y0, b.y0), min(a.x1, b.x1), min(a.y1, b.y1)}
}

// grow adds a margin on all sides.
func (a area) grow(n int) area { return area{a.x0 - n, a.y0 - n, a.x1 + n, a.y1 + n} }

// jobs cuts a into pieces for threads.
func (a area) jobs(threads int) []area {
	if a.empty() {
		return nil
	}
	columns := max(1, (a.x1-a.x0)/jobWidth)
	rows := 1
	for rows*columns < threads && (a.y1-a.y0)/(rows+1) >= jobHeight {
		rows++
	}
	var out []area
	for i := range rows {
		for j := range columns {
			out = append(out, area{
				x0: a.x0 + (a.x1-a.x0)*j/columns, x1: a.x0 + (a.x1-a.x0)*(j+1)/columns,
				y0: a.y0 + (a.y1-a.y0)*i/rows, y1: a.y0 + (a.y1-a.y0)*(i+1)/rows,
			})
		}
	}
	return out
}

// latents are the latents of an area.
type latents struct {
	area
	m    int
	data []float32 // [y1-y0, x1-x0, m]
}

// reset makes l hold an area, with undefined contents.
func (l *latents) reset(a area, m int) {
	l.area, l.m = a, m
	l.data = grow(l.data, (a.y1-a.y0)*(a.x1-a.x0)*m)
}

// row returns positions x0 <= x < x1 of row y.
func (l *latents) row(y, x0, x1 int) []float32 {
	at := ((y-l.y0)*(l.x1-l.x0) + x0 - l.x0) * l.m
	return l.data[at : at+(x1-x0)*l.m]
}

// copy copies the latents of an area that both hold.
func (l *latents) copy(src *latents, a area) {
	for y := a.y0; y < a.y1; y++ {
		copy(l.row(y, a.x0, a.x1), src.row(y, a.x0, a.x1))
	}
}

// clear sets the latents of an area, which l holds, to 0.
func (l *latents) clear(a area) {
	for y := a.y0; y < a.y1; y++ {
		clear(l.row(y, a.x0, a.x1))
	}
}

// slide moves on to other rows: those that were there already stay.
func (l *latents) slide(y0, y1 int) {
	old := *l
	a := l.area
	a.y0, a.y1 = y0, y1
	n := (a.y1 - a.y0) * (a.x1 - a.x0) * l.m
	if cap(l.data) < n {
		l.data = make([]float32, n)
	}
	l.area, l.data = a, l.data[:n]
	for y := y0; y < min(old.y1, y1); y++ {
		copy(l.row(y, a.x0, a.x1), old.row(y, a.x0, a.x1))
	}
}

// cutter says how a picture is cut for one of the transforms.
type cutter struct {
	h, w   int // of the latent
	m      int
	margin int
	whole  bool // the transform does not allow cutting
}

func (m *Model) cutter(p *program, h, w int) cutter {
	c := cutter{h: h, w: w, m: m.arch.M, margin: p.margin}
	if c.margin < 0 || c.margin > maxMargin {
		c.margin, c.whole = 0, true
	}
	return c
}

// stripe returns how many tiles a stripe is wide where there are n side by side.
func (c *cutter) stripe(n int) int {
	if c.whole {
		return n
	}
	most := max(1, (bufferBytes/(4*c.m*(tileLatent+2*c.margin))-2*c.margin)/tileLatent)
	return ceilDiv(n, ceilDiv(n, most))
}

// group returns how many tiles a group is high where the buffer is width
// positions wide.
func (c *cutter) group(width int) int {
	if c.whole {
		return ceilDiv(c.h, tileLatent)
	}
	return max(1, (bufferBytes/(4*c.m*width)-2*c.margin)/tileLatent)
}

// jobs cuts an area for threads.
func (c *cutter) jobs(a area, threads int) []area {
	if c.whole {
		return []area{{0, 0, c.w, c.h}}
	}
	return a.jobs(threads)
}

// columns returns the columns that a job's depend on.
func (c *cutter) columns(job area) (x0, x1 int) {
	return max(job.x0-c.margin, 0), min(job.x1+c.margin, c.w)
}

// pixels is the shape of the part of a picture over some latent positions.
func pixels(h, w int) nn.Shape { return nn.Shape{H: h * LatentStride, W: w * LatentStride, C: 3} }

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// grow returns a slice of length n, s itself if it is long enough. The content
// is whatever was there.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
