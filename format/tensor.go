package format

import (
	"encoding/binary"
	"fmt"
	"math"
)

// DType is the type of a tensor's elements.
type DType uint8

const (
	F32 DType = 1 // IEEE 754 binary32
	F16 DType = 2 // IEEE 754 binary16
	I16 DType = 3
	I8  DType = 4
	U16 DType = 5
	I32 DType = 6
)

var dtypes = [...]struct {
	name string
	size int
}{F32: {"f32", 4}, F16: {"f16", 2}, I16: {"i16", 2}, I8: {"i8", 1}, U16: {"u16", 2}, I32: {"i32", 4}}

// Size returns the bytes of one element, or 0 if the type is unknown.
func (d DType) Size() int {
	if int(d) < len(dtypes) {
		return dtypes[d].size
	}
	return 0
}

func (d DType) String() string {
	if d.Size() != 0 {
		return dtypes[d].name
	}
	return fmt.Sprintf("type %d", uint8(d))
}

// Tensor is a named array.
type Tensor struct {
	Name  string // 1 to 255 bytes, unique in its part of the model
	DType DType
	Shape []int  // at most 8 sides of at least 1, the last runs fastest; none for a single element
	Data  []byte // the elements, little endian
}

const (
	maxTensorName = 255
	maxRank       = 8
)

// Len returns the number of elements that Shape says, or -1 where a side is
// less than 1 or the tensor would exceed 2^48 elements.
func (t *Tensor) Len() int {
	n := int64(1)
	for _, s := range t.Shape {
		if s < 1 || int64(s) > 1<<48/n {
			return -1
		}
		n *= int64(s)
	}
	if n > math.MaxInt {
		return -1
	}
	return int(n)
}

// check says what is wrong with the tensor if its data are size bytes.
func (t *Tensor) check(size int) error {
	what := fmt.Sprintf("tensor %q", t.Name)
	switch n := t.Len(); {
	case t.Name == "" || len(t.Name) > maxTensorName:
		return fail(ErrCorrupt, what, "a name has 1 to %d bytes", maxTensorName)
	case t.DType.Size() == 0:
		return fail(ErrUnsupported, what, "unknown element %v", t.DType)
	case len(t.Shape) > maxRank:
		return fail(ErrCorrupt, what, "%d sides, at most %d", len(t.Shape), maxRank)
	case n < 0:
		return fail(ErrCorrupt, what, "impossible shape %v", t.Shape)
	case size%t.DType.Size() != 0 || size/t.DType.Size() != n:
		return fail(ErrCorrupt, what, "%d bytes of data for shape %v of %v", size, t.Shape, t.DType)
	}
	return nil
}

// NewFloat32 returns a tensor of type F32.
func NewFloat32(name string, shape []int, v []float32) Tensor {
	return newTensor(name, F32, shape, v, func(b []byte, x float32) {
		binary.LittleEndian.PutUint32(b, math.Float32bits(x))
	})
}

// NewFloat16 returns a tensor of type F16, its elements rounded as
// [Float16Bits] does.
func NewFloat16(name string, shape []int, v []float32) Tensor {
	return newTensor(name, F16, shape, v, func(b []byte, x float32) {
		binary.LittleEndian.PutUint16(b, Float16Bits(x))
	})
}

// NewInt8 returns a tensor of type I8.
func NewInt8(name string, shape []int, v []int8) Tensor {
	return newTensor(name, I8, shape, v, func(b []byte, x int8) { b[0] = byte(x) })
}

// NewInt16 returns a tensor of type I16.
func NewInt16(name string, shape []int, v []int16) Tensor {
	return newTensor(name, I16, shape, v, func(b []byte, x int16) {
		binary.LittleEndian.PutUint16(b, uint16(x))
	})
}

// NewUint16 returns a tensor of type U16.
func NewUint16(name string, shape []int, v []uint16) Tensor {
	return newTensor(name, U16, shape, v, func(b []byte, x uint16) {
		binary.LittleEndian.PutUint16(b, x)
	})
}

// NewInt32 returns a tensor of type I32.
func NewInt32(name string, shape []int, v []int32) Tensor {
	return newTensor(name, I32, shape, v, func(b []byte, x int32) {
		binary.LittleEndian.PutUint32(b, uint32(x))
	})
}

func newTensor[T any](name string, d DType, shape []int, v []T, put func([]byte, T)) Tensor {
	size := d.Size()
	data := make([]byte, len(v)*size)
	for i, x := range v {
		put(data[i*size:], x)
	}
	return Tensor{name, d, append([]int(nil), shape...), data}
}

// Float32s returns the elements of a tensor of type F32 or F16.
func (t *Tensor) Float32s() ([]float32, error) {
	if t.DType != F16 {
		return elements(t, F32, func(b []byte) float32 {
			return math.Float32frombits(binary.LittleEndian.Uint32(b))
		})
	}
	// Most of a model is of this type, so it gets a loop of its own.
	if err := t.check(len(t.Data)); err != nil {
		return nil, err
	}
	v, data := make([]float32, len(t.Data)/2), t.Data
	for i := range v {
		v[i] = Float16FromBits(binary.LittleEndian.Uint16(data[2*i:]))
	}
	return v, nil
}

// Int8s returns the elements of a tensor of type I8.
func (t *Tensor) Int8s() ([]int8, error) {
	return elements(t, I8, func(b []byte) int8 { return int8(b[0]) })
}

// Int16s returns the elements of a tensor of type I16.
func (t *Tensor) Int16s() ([]int16, error) {
	return elements16[int16](t, I16)
}

// Uint16s returns the elements of a tensor of type U16.
func (t *Tensor) Uint16s() ([]uint16, error) {
	return elements16[uint16](t, U16)
}

// Int32s returns the elements of a tensor of type I32.
func (t *Tensor) Int32s() ([]int32, error) {
	return elements(t, I32, func(b []byte) int32 { return int32(binary.LittleEndian.Uint32(b)) })
}

// elements converts the data of a tensor, which must be consistent and of the
// type asked for: models come from outside.
func elements[T any](t *Tensor, d DType, get func([]byte) T) ([]T, error) {
	if err := t.expect(d); err != nil {
		return nil, err
	}
	size := d.Size()
	v := make([]T, len(t.Data)/size)
	for i := range v {
		v[i] = get(t.Data[i*size:])
	}
	return v, nil
}

// elements16 is elements for the types of 16 bits, of which a model has many.
func elements16[T int16 | uint16](t *Tensor, d DType) ([]T, error) {
	if err := t.expect(d); err != nil {
		return nil, err
	}
	v, data := make([]T, len(t.Data)/2), t.Data
	for i := range v {
		v[i] = T(binary.LittleEndian.Uint16(data[2*i:]))
	}
	return v, nil
}

// expect returns an error unless the tensor is consistent and of type d.
func (t *Tensor) expect(d DType) error {
	if err := t.check(len(t.Data)); err != nil {
		return err
	}
	if t.DType != d {
		return fail(ErrCorrupt, fmt.Sprintf("tensor %q", t.Name), "elements are %v, not %v", t.DType, d)
	}
	return nil
}

// toPlanes returns data with byte 0 of all elements first, then byte 1 of all,
// and so on. Of weights, the last planes (sign, exponent, top of the mantissa)
// repeat a lot and the first are noise; apart, zstd finds that.
func toPlanes(data []byte, size int) []byte {
	if size == 1 {
		return data
	}
	n := len(data) / size
	planes := make([]byte, len(data))
	for b := range size {
		plane := planes[b*n : (b+1)*n]
		for i := range plane {
			plane[i] = data[i*size+b]
		}
	}
	return planes
}

// fromPlanes is the inverse of toPlanes.
func fromPlanes(planes []byte, size int) []byte {
	if size == 1 {
		return planes
	}
	n := len(planes) / size
	data := make([]byte, len(planes))
	if size == 2 {
		low, high := planes[:n], planes[n:][:n]
		i := 0
		for ; i+4 <= n; i += 4 { // most of a model, so four at a time
			l, h := binary.LittleEndian.Uint32(low[i:]), binary.LittleEndian.Uint32(high[i:])
			binary.LittleEndian.PutUint64(data[2*i:], spread(l)|spread(h)<<8)
		}
		for ; i < n; i++ {
			data[2*i], data[2*i+1] = low[i], high[i]
		}
		return data
	}
	for b := range size {
		plane := planes[b*n : (b+1)*n]
		for i := range plane {
			data[i*size+b] = plane[i]
		}
	}
	return data
}

// spread puts a zero byte above each of the four bytes.
func spread(v uint32) uint64 {
	w := uint64(v)
	w = (w | w<<16) & 0x0000ffff0000ffff
	return (w | w<<8) & 0x00ff00ff00ff00ff
}
