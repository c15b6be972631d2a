package record

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// ramp returns n records whose values all differ.
func ramp(kind Kind, n int, shape ...int) *Set {
	s := NewSet(kind, n, shape...)
	for i := range s.Data {
		s.Data[i] = float32(i)
		if kind == Uint8 {
			s.Data[i] = float32(uint8(i * 7))
		}
	}
	return s
}

func TestSetCheck(t *testing.T) {
	for name, breakIt := range map[string]func(*Set){
		"no records":                       func(s *Set) { s.N = 0 },
		"4 dimensions":                     func(s *Set) { s.Shape = []int{2, 1, 1, 1} },
		"0 dimensions":                     func(s *Set) { s.Shape = nil },
		"records of shape [0]":             func(s *Set) { s.Shape = []int{0} },
		"records of shape [-2]":            func(s *Set) { s.Shape = []int{-2} },
		"records of shape [4096 4096 4096": func(s *Set) { s.Shape = []int{4096, 4096, 4096} },
		"more than 268435456 values":       func(s *Set) { s.N = math.MaxInt },
		"unknown kind 3":                   func(s *Set) { s.Kind = 3 },
		"6 values for 4 records":           func(s *Set) { s.N = 4 },
		"2 labels for 3 records":           func(s *Set) { s.Labels = []int{1, 2} },
		"value 1 of record 2 is NaN":       func(s *Set) { s.Data[5] = float32(math.NaN()) },
		"value 0 of record 1 is -Inf":      func(s *Set) { s.Data[2] = float32(math.Inf(-1)) },
		"is 0.5, not a whole number":       func(s *Set) { s.Data[3] = 0.5 },
		"is 256, not a whole number":       func(s *Set) { s.Data[3] = 256 },
		"is -1, not a whole number":        func(s *Set) { s.Data[3] = -1 },
		"1 names for 3 records":            func(s *Set) { s.Origin = &Origin{Files: []string{"a"}} },
		`"../b" cannot name`:               func(s *Set) { s.Origin = &Origin{Files: []string{"a", "../b", "c"}} },
		`"A" cannot name`:                  func(s *Set) { s.Origin = &Origin{Files: []string{"a", "A", "c"}} },
		`"" cannot name`:                   func(s *Set) { s.Origin = &Origin{Files: []string{"", "A", "c"}} },
		"the series has 4":                 func(s *Set) { s.Origin = &Origin{Series: &Series{Length: 8, Stride: 2}} },
		"stride of 3 samples":              func(s *Set) { s.Origin = &Origin{Series: &Series{Length: 6, Stride: 3}} },
		"gain NaN":                         func(s *Set) { s.Origin = &Origin{Gain: math.NaN()} },
	} {
		s := ramp(Uint8, 3, 2)
		require.NoError(t, s.Check())
		breakIt(s)
		require.ErrorContains(t, s.Check(), name)
	}
}

func TestSetParts(t *testing.T) {
	s := ramp(Float32, 4, 2, 3)
	s.Labels = []int{5, 6, 7, 8}
	require.Equal(t, []float32{12, 13, 14, 15, 16, 17}, s.Record(2))
	part := s.Slice(1, 3)
	require.NoError(t, part.Check())
	require.Equal(t, s.Record(1), part.Record(0))
	require.Equal(t, []int{6, 7}, part.Labels)
	picked := s.Select([]int{3, 0})
	require.NoError(t, picked.Check())
	require.Equal(t, s.Record(3), picked.Record(0))
	require.Equal(t, []int{8, 5}, picked.Labels)

	both, err := Concat(part, picked)
	require.NoError(t, err)
	require.NoError(t, both.Check())
	require.Equal(t, []int{6, 7, 8, 5}, both.Labels)
	require.Equal(t, s.Record(0), both.Record(3))
	_, err = Concat(s, ramp(Float32, 4, 3, 2))
	require.ErrorContains(t, err, "float32 of [2 3] and float32 of [3 2]")
	_, err = Concat()
	require.Error(t, err)
}

// TestWindows joins what was cut, for every length, window, stride and number
// of channels, and looks at whom a sample comes from.
func TestWindows(t *testing.T) {
	for window := 1; window < 8; window++ {
		for stride := 1; stride <= window; stride++ {
			for length := window; length < 3*window+2; length++ {
				for c := 1; c <= 2; c++ {
					series := make([]float32, length*c)
					for i := range series {
						series[i] = float32(i)
					}
					s, err := cutWindows(series, c, window, stride)
					require.NoError(t, err)
					require.NoError(t, s.Check())
					require.Equal(t, series, s.samples())
					if c > 1 {
						continue
					}
					// Mark the records: every sample is of the nearest middle.
					for i := range s.N {
						for j := range s.Record(i) {
							s.Record(i)[j] = float32(i)
						}
					}
					for x, owner := range s.samples() {
						distance := func(i int) int {
							d := 2*(x-s.Origin.Series.start(i, window)) - (window - 1)
							return max(d, -d)
						}
						best := 0
						for i := range s.N {
							if distance(i) < distance(best) {
								best = i
							}
						}
						require.Equal(t, float32(best), owner, "%d of %d, window %d, stride %d", x, length, window, stride)
					}
				}
			}
		}
	}
	for _, bad := range [][3]int{{5, 0, 1}, {5, 3, -1}, {5, 3, 4}, {2, 3, 1}} {
		_, err := cutWindows(make([]float32, bad[0]), 1, bad[1], bad[2])
		require.ErrorContains(t, err, "record: series: ")
	}
}
