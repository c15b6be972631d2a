package recipes

import (
	"fmt"
	"maps"
	"math"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/kernels"
	"github.com/aecodec/aecodec/trainer"
	"github.com/aecodec/aecodec/trainer/fit"
)

// Between two fully connected layers without an activation any basis of the
// latents is as good as any other, and training ends with an arbitrary one: the
// latents are correlated, and an error in one costs more than in another. The
// entropy coder wants the opposite. So the model gets the basis in which errors
// cost the same in every direction, as the decoder has it on average, and in which
// the latents are their principal components: the transform coder's choice (Goyal,
// IEEE Signal Processing Magazine 18(5), 2001), seen through a decoder that is
// not linear.

// linearLatents tells whether that is so, and returns the names of both layers.
func (m *Model) linearLatents() (last, first string, ok bool) {
	if len(m.Encoder.Outputs) != 1 || len(m.Decoder.Inputs) != 1 || len(m.Decoder.Layers) == 0 {
		return "", "", false
	}
	e, d := m.Encoder.Layers[len(m.Encoder.Layers)-1], m.Decoder.Layers[0]
	if e.Name != m.Encoder.Outputs[0] || e.Op != nn.OpDense || d.Op != nn.OpDense {
		return "", "", false
	}
	for _, l := range m.Decoder.Layers[1:] {
		for _, in := range l.In {
			if in == m.Decoder.Inputs[0].Name {
				return "", "", false
			}
		}
	}
	return m.Encoder.Name + "." + e.Name, m.Decoder.Name + "." + d.Name, true
}

// turned returns the model with that basis. z are latents of records, the first
// of which serve to probe the decoder.
func (m *Model) turned(z *nn.Tensor, decode func(*nn.Tensor) (*nn.Tensor, error), threads int) (*Model, error) {
	last, first, ok := m.linearLatents()
	if !ok {
		return m, nil
	}
	k := z.C
	cost, err := decoderMetric(fit.Window(z, 0, min(z.N, maxStepRecords)), decode)
	if err != nil {
		return nil, err
	}
	values, axes, err := trainer.SymmetricEigen(cost, k, threads)
	if err != nil {
		return nil, fmt.Errorf("basis of the latents: %w", err)
	}
	if values[0] <= 0 { // the decoder does not look at them
		return m, nil
	}
	power := func(exponent float64) []float64 {
		out := make([]float64, k*k)
		for v, value := range values {
			f := math.Pow(max(value, values[0]*1e-8), exponent)
			for i := range k {
				for j := range k {
					out[i*k+j] += float64(f * float64(axes[v*k+i]*axes[v*k+j]))
				}
			}
		}
		return out
	}
	root, inverse := power(0.5), power(-0.5)
	_, principal, err := trainer.SymmetricEigen(multiply(multiply(root, covariance(z), k), root, k), k, threads)
	if err != nil {
		return nil, fmt.Errorf("basis of the latents: %w", err)
	}
	// Rows of latents: w = z·root·principalᵀ, z = w·principal·inverse.
	into, back := multiply(root, transpose(principal, k), k), multiply(principal, inverse, k)

	out := *m
	out.Params = maps.Clone(m.Params)
	change := func(name string, apply func(v []float32) []float32) {
		p := m.Params[name]
		out.Params[name] = &nn.Param{Name: p.Name, Shape: p.Shape, Data: apply(p.Data)}
	}
	fromRight := func(v []float32) []float32 { // rows of k numbers
		w := make([]float32, len(v))
		for at := 0; at < len(v); at += k {
			for j := range k {
				sum := 0.0
				for i := range k {
					sum += float64(float64(v[at+i]) * into[i*k+j])
				}
				w[at+j] = float32(sum)
			}
		}
		return w
	}
	change(last+".weight", fromRight)
	if m.Params[last+".bias"] != nil {
		change(last+".bias", fromRight)
	}
	change(first+".weight", func(v []float32) []float32 { // k rows
		n := len(v) / k
		w := make([]float32, len(v))
		sums := make([]float64, n)
		for i := range k {
			clear(sums)
			for j := range k {
				f := back[i*k+j]
				for c, x := range v[j*n:][:n] {
					sums[c] += float64(f * float64(x))
				}
			}
			for c, s := range sums {
				w[i*n+c] = float32(s)
			}
		}
		return w
	})
	return &out, nil
}

// decoderMetric returns the mean of Jᵀ·J over the records of z, where J is the
// Jacobian of the decoder, by differences: what a small error in latents costs.
func decoderMetric(z *nn.Tensor, decode func(*nn.Tensor) (*nn.Tensor, error)) ([]float64, error) {
	k := z.C
	plain, err := decode(z)
	if err != nil {
		return nil, err
	}
	columns := make([][]float32, k)
	moved := nn.NewTensor(z.N, z.H, z.W, z.C)
	for c := range columns {
		squares := 0.0
		for i := c; i < len(z.Data); i += k {
			squares += float64(float64(z.Data[i]) * float64(z.Data[i]))
		}
		h := float32(max(math.Sqrt(squares/float64(z.N))/4, 1e-3))
		copy(moved.Data, z.Data)
		for i := c; i < len(z.Data); i += k {
			moved.Data[i] += h
		}
		y, err := decode(moved)
		if err != nil {
			return nil, err
		}
		columns[c] = make([]float32, len(y.Data))
		kernels.Sub(columns[c], y.Data, plain.Data)
		kernels.Scale(columns[c], columns[c], 1/h)
	}
	out := make([]float64, k*k)
	for i := range k {
		for j := range i + 1 {
			v := float64(kernels.Dot(columns[i], columns[j])) / float64(z.N)
			out[i*k+j], out[j*k+i] = v, v
		}
	}
	return out, nil
}

// covariance of the rows of z.
func covariance(z *nn.Tensor) []float64 {
	k := z.C
	mean, out := make([]float64, k), make([]float64, k*k)
	for i, v := range z.Data {
		mean[i%k] += float64(v) / float64(z.N)
	}
	d := make([]float64, k)
	for r := range z.N {
		for c := range d {
			d[c] = float64(z.Data[r*k+c]) - mean[c]
		}
		for i, a := range d {
			for j, b := range d {
				out[i*k+j] += float64(a*b) / float64(z.N)
			}
		}
	}
	return out
}

// multiply returns the product of k×k matrices.
func multiply(a, b []float64, k int) []float64 {
	out := make([]float64, k*k)
	for i := range k {
		for t := range k {
			f := a[i*k+t]
			for j := range k {
				out[i*k+j] += float64(f * b[t*k+j])
			}
		}
	}
	return out
}

func transpose(a []float64, k int) []float64 {
	out := make([]float64, k*k)
	for i := range k {
		for j := range k {
			out[j*k+i] = a[i*k+j]
		}
	}
	return out
}
