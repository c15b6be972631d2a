package kernels

import (
	"errors"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBackends(t *testing.T) {
	names := Available()
	t.Logf("%s: %v, active %s", Features(), names, Active())
	require.Equal(t, "generic", names[0])
	require.NotEmpty(t, Features())
	require.NotContains(t, Features(), "\n")
	for _, b := range backends {
		v := reflect.ValueOf(b).Elem()
		for i := range v.NumField() {
			if f := v.Field(i); f.Kind() == reflect.Func {
				require.False(t, f.IsNil(), "%s lacks %s", b.name, v.Type().Field(i).Name)
			}
		}
	}
}

func TestUse(t *testing.T) {
	previous := Active()
	defer func() { require.NoError(t, Use(previous)) }()
	for _, name := range Available() {
		require.NoError(t, Use(name))
		require.Equal(t, name, Active())
	}
	before := Active()
	require.ErrorContains(t, Use("mmx"), `backend "mmx" cannot run here`)
	require.Equal(t, before, Active())
}

// The environment variable counts when the program starts, so this test starts
// its own binary again.
func TestEnvironment(t *testing.T) {
	if os.Getenv("KERNELS_TEST_CHILD") != "" {
		os.Stdout.WriteString("active=" + Active() + "\n")
		if err := SelectionError(); err != nil {
			os.Stdout.WriteString("error=" + err.Error() + "\n")
		}
		return
	}
	child := func(value string) string {
		cmd := exec.Command(os.Args[0], "-test.run=^TestEnvironment$", "-test.v")
		cmd.Env = append(os.Environ(), "KERNELS_TEST_CHILD=1", EnvBackend+"="+value)
		out, err := cmd.CombinedOutput()
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			t.Skipf("the test binary cannot start itself: %v", err) // under an emulator
		}
		require.NoError(t, err, string(out))
		return string(out)
	}
	for _, name := range Available() {
		require.Contains(t, child(name), "active="+name+"\n")
		require.NotContains(t, child(name), "error=")
	}
	best := Available()[len(Available())-1]
	require.Contains(t, child(""), "active="+best+"\n")
	out := child("sse9")
	require.Contains(t, out, "active="+best+"\n")
	require.Contains(t, out, `error=kernels: backend "sse9" cannot run here`)
	require.Contains(t, out, EnvBackend)
}

// Every driver calls the entry of the selected table: that is what makes the
// tests that go through eachBackend test it.
func TestDispatch(t *testing.T) {
	previous := active
	defer func() { active = previous }()
	called := map[string]bool{}
	spy := generic
	v := reflect.ValueOf(&spy).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		if f.Kind() != reflect.Func {
			continue
		}
		name, real := v.Type().Field(i).Name, entry(reflect.ValueOf(&generic).Elem().Field(i))
		entry(f).Set(reflect.MakeFunc(f.Type(), func(args []reflect.Value) []reflect.Value {
			called[name] = true
			return real.Call(args)
		}))
	}
	active = &spy
	a, b, c, d := make([]float32, 64), make([]float32, 64), make([]float32, 64), make([]float32, 64)
	GEMM(a, 8, b, 8, Pack(8, 8, c, 8), 8, nil)
	NewPacked(8, 8).SetTransposed(a, 8)
	Depthwise(a, b, c, nil, 4, 4, 4, 3, 3, nil, 0, 4)
	Depthwise(a, b, c, nil, 4, 4, 2, 5, 5, nil, 0, 4)
	DepthwiseWeightGrad(a, b, c, 4, 4, 4, 3, 3, 0, 4)
	DepthwiseWeightGrad(a, b, c, 4, 4, 2, 5, 5, 0, 2)
	for _, f := range flats() {
		f.exported(a, [][]float32{b, c}, [2]float32{0.5, 1})
	}
	MulChannels(a, b, c[:8])
	AddChannels(a, b, c[:8])
	FMAChannels(a, b, c[:8], d[:8])
	AdamW(a, b, c, d, &AdamParams{})
	NormalBits(a, b, c, d, d)
	Sum(a)
	SumSquares(a)
	Dot(a, b)
	SumSquaredDiff(a, b)
	MaxAbs(a)
	ColSum(a, b, 8, 8)
	out := &IntOutput{Rescale: &Rescale{n: 4, bias: make([]int32, 4), shift: make([]int32, 4), mul: make([]int16, 4), offset: make([]int16, 4)}}
	GEMM8(make([]uint8, 8), 4, Pack8(4, 4, make([]int8, 16), 4), 2, out)
	GEMM16(make([]int16, 8), 4, Pack16(4, 4, make([]int16, 16), 4), 2, out)
	Depthwise8(make([]uint8, 8), make([]uint8, 4), make([]int16, 36), 1, 2, 4, 3, 3, out, 0, 1)
	Depthwise16Row(make([][]int16, 3), make([]int16, 36), 2, 4, 3, out)
	Quantise(make([]int16, 8), nil, a[:8], b[:4], make([]int16, 4))
	samples := make([]uint8, 64)
	Dequantise(a, make([]int32, 64), b, c, d)
	Levels(samples, a, 8, 63)
	SampleBytes(samples, a)
	Opaque(samples[:4], make([]uint8, 3))
	for i := range v.NumField() {
		if v.Field(i).Kind() == reflect.Func {
			require.True(t, called[v.Type().Field(i).Name], "no driver called %s", v.Type().Field(i).Name)
		}
	}
}

// inherited lists the entries that a table has from the one below.
func inherited(b, below *table) []string {
	var names []string
	v, w := reflect.ValueOf(b).Elem(), reflect.ValueOf(below).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Func && f.Pointer() == w.Field(i).Pointer() {
			names = append(names, v.Type().Field(i).Name)
		}
	}
	return names
}

// The entries that decide the speed of a network are never inherited.
func TestNativeEntries(t *testing.T) {
	for i, b := range backends[1:] {
		names := inherited(b, backends[i])
		t.Logf("%s inherits from %s: %s", b.name, backends[i].name, strings.Join(names, " "))
		for _, name := range []string{"gemm", "depthwise3", "depthwise3Weight"} {
			require.NotContains(t, names, name, b.name)
		}
	}
}
