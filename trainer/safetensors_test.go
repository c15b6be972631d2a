package trainer

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec/nn"
)

func TestSafetensors(t *testing.T) {
	p := nn.Params{"a.weight": nn.NewParam("a.weight", 1, 1, 2, 3), "b": nn.NewParam("b", 0), "c": {Name: "c", Shape: []int{}}}
	for i := range p["a.weight"].Data {
		p["a.weight"].Data[i] = float32(i) - 1.5
	}
	p["c"].Data = []float32{float32(math.Inf(1))}
	var buf bytes.Buffer
	require.NoError(t, WriteSafetensors(&buf, p, map[string]string{"key": "value"}))
	data := buf.Bytes()
	require.Zero(t, binary.LittleEndian.Uint64(data)%8)

	q, metadata, err := ReadSafetensors(bytes.NewReader(data))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"key": "value"}, metadata)
	require.Equal(t, p, q)

	for n := range data { // truncated anywhere: an error
		_, _, err := ReadSafetensors(bytes.NewReader(data[:n]))
		require.Error(t, err, n)
	}
	_, _, err = ReadSafetensors(bytes.NewReader(append(data, 0)))
	require.Error(t, err)
}

func TestSafetensorsRefuses(t *testing.T) {
	for name, header := range map[string]string{
		"type":     `{"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}`,
		"gap":      `{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`,
		"size":     `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`,
		"overlap":  `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`,
		"negative": `{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,-4]}}`,
		"huge":     `{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}`,
		"large":    `{"a":{"dtype":"F32","shape":[1073741824],"data_offsets":[0,4294967296]}}`,
		"json":     `{"a":`,
	} {
		t.Run(name, func(t *testing.T) {
			data := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
			data = append(data, header...)
			data = append(data, make([]byte, 8)...)
			_, _, err := ReadSafetensors(bytes.NewReader(data))
			require.Error(t, err)
		})
	}
	_, _, err := ReadSafetensors(bytes.NewReader(bytes.Repeat([]byte{0xff}, 64)))
	require.ErrorContains(t, err, "not a safetensors file")
}
