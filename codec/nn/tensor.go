package nn

import "fmt"

// Tensor is a batch of N samples, NHWC, len(Data) = N·H·W·C.
type Tensor struct {
	N, H, W, C int
	Data       []float32
}

// NewTensor returns a tensor of zeros.
func NewTensor(n, h, w, c int) *Tensor {
	return &Tensor{n, h, w, c, make([]float32, n*h*w*c)}
}

// Shape returns the shape of one sample.
func (t *Tensor) Shape() Shape { return Shape{t.H, t.W, t.C} }

// Image returns the numbers of sample i.
func (t *Tensor) Image(i int) []float32 {
	n := t.H * t.W * t.C
	return t.Data[i*n : (i+1)*n : (i+1)*n]
}

func (t *Tensor) check() error {
	if t.N < 1 || len(t.Data) != t.N*t.H*t.W*t.C {
		return fmt.Errorf("%d samples of %v with %d numbers", t.N, t.Shape(), len(t.Data))
	}
	return nil
}
