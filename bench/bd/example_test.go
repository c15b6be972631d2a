package bd_test

import (
	"fmt"

	"github.com/aecodec/aecodec/bench/bd"
)

// The second codec needs less rate at every quality.
func ExampleRate() {
	old := []bd.Point{{Rate: 0.25, Quality: 28.2}, {Rate: 0.5, Quality: 31.0}, {Rate: 1, Quality: 34.4}, {Rate: 2, Quality: 38.9}}
	better := []bd.Point{{Rate: 0.2, Quality: 28.0}, {Rate: 0.4, Quality: 31.1}, {Rate: 0.8, Quality: 34.6}, {Rate: 1.6, Quality: 39.2}}
	d, err := bd.Rate(old, better)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%+.1f %% between %.1f and %.1f dB\n", d.Percent, d.Low, d.High)
	// Output: -21.9 % between 28.2 and 38.9 dB
}
