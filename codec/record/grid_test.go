package record

import (
	"testing"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/stretchr/testify/require"
)

// Every position is in one pass, and its neighbours are in earlier ones.
func TestPasses(t *testing.T) {
	for _, h := range []int{1, 2, 7, 8, 9, 13, 17} {
		for w := 1; w < 19; w++ {
			d := nn.Shape{H: h, W: w, C: 1}
			known := map[[2]int]int{}
			for i := range passes {
				passes[i].positions(d, func(row, column int) {
					at := [2]int{row, column}
					if _, twice := known[at]; twice || row >= h || column >= w {
						require.Fail(t, "visited twice or outside", "%v of %d x %d", at, h, w)
					}
					for _, o := range passes[i].neighbours {
						n := [2]int{row + o[0], column + o[1]}
						if n[0] >= 0 && n[0] < h && n[1] >= 0 && n[1] < w {
							if before, ok := known[n]; !ok || before >= i {
								require.Fail(t, "neighbour is not known", "%v of %v in pass %d", n, at, i)
							}
						}
					}
					known[at] = i
				})
			}
			require.Len(t, known, h*w)
		}
	}
}
