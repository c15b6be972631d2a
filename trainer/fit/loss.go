package fit

import (
	"math"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/kernels"
)

// Loss compares the output of a network with a target of the same shape. It
// returns the loss of every sample and fills d, of the shape of y, with the
// gradient of their mean; d may be nil.
type Loss func(y, target, d *nn.Tensor, threads int) []float64

// Mean is the mean of the losses of the samples.
func Mean(losses []float64) float64 {
	sum := 0.0
	for _, v := range losses {
		sum += v
	}
	return sum / float64(len(losses))
}

// perSample evaluates one sample at a time, shared out over threads.
func perSample(y *nn.Tensor, threads int, f func(i int) float64) []float64 {
	out := make([]float64, y.N)
	kernels.For(threads, y.N, max(1, 1<<13/y.Shape().Len()), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			out[i] = f(i)
		}
	})
	return out
}

// MSE is the mean over a sample's numbers of the squared difference.
func MSE(y, target, d *nn.Tensor, threads int) []float64 {
	n := y.Shape().Len()
	return perSample(y, threads, func(i int) float64 {
		a, b := y.Image(i), target.Image(i)
		if d != nil {
			g := d.Image(i)
			kernels.Sub(g, a, b)
			kernels.Scale(g, g, float32(2/float64(n*y.N)))
		}
		return float64(kernels.SumSquaredDiff(a, b)) / float64(n)
	})
}

// BCE is the mean over a sample's numbers of the binary cross-entropy, in nats,
// of targets in 0..1 and probabilities sigmoid(y). From y, the logits, it is
//
//	-t·ln sigmoid(y) - (1-t)·ln(1-sigmoid(y)) = softplus(y) - t·y
//
// with the gradient sigmoid(y) - t: nothing to divide by, however sure the
// network is.
func BCE(y, target, d *nn.Tensor, threads int) []float64 {
	n := y.Shape().Len()
	return perSample(y, threads, func(i int) float64 {
		z, t := y.Image(i), target.Image(i)
		var space [1024]float32
		sum := 0.0
		for at := 0; at < n; at += len(space) {
			part := z[at:min(at+len(space), n)]
			soft := space[:len(part)]
			kernels.Softplus(soft, part)
			sum += float64(kernels.Sum(soft)) - float64(kernels.Dot(t[at:at+len(part)], part))
		}
		if d != nil {
			g := d.Image(i)
			kernels.Sigmoid(g, z)
			kernels.Sub(g, g, t)
			kernels.Scale(g, g, float32(1/float64(n*y.N)))
		}
		return sum / float64(n)
	})
}

// KL is the Kullback-Leibler divergence, in nats, of the normal distributions
// with the given means and logarithms of variances from the standard one, summed
// over a sample's numbers (Kingma and Welling, arXiv 1312.6114, appendix B):
//
//	½ Σ (μ² + σ² - 1 - ln σ²)
//
// It adds the gradients of the mean over the samples, times weight, to dMean and
// dLogVar, where these are not nil.
func KL(mean, logVar, dMean, dLogVar *nn.Tensor, weight float64) []float64 {
	out := make([]float64, mean.N)
	scale := weight / float64(mean.N)
	for i := range out {
		m, l := mean.Image(i), logVar.Image(i)
		for j := range m {
			mu, lv := float64(m[j]), float64(l[j])
			variance := kernels.Exp64(lv)
			out[i] += 0.5 * (float64(mu*mu) + variance - 1 - lv)
			if dMean != nil {
				dMean.Image(i)[j] += float32(mu * scale)
				dLogVar.Image(i)[j] += float32(0.5 * (variance - 1) * scale)
			}
		}
	}
	return out
}

// CrossEntropy is the cross-entropy, in nats, of labels under softmax(y).
// Gradients are as in Loss.
func CrossEntropy(y *nn.Tensor, labels []int32, d *nn.Tensor) []float64 {
	out := make([]float64, y.N)
	for i := range out {
		z := y.Image(i)
		p, logSum := softmax(z)
		out[i] = logSum - float64(z[labels[i]])
		if d == nil {
			continue
		}
		p[labels[i]]--
		for j, g := 0, d.Image(i); j < len(g); j++ {
			g[j] = float32(p[j] / float64(y.N))
		}
	}
	return out
}

// softmax returns e^z divided by its sum, and the logarithm of that sum.
func softmax(z []float32) (p []float64, logSum float64) {
	top := math.Inf(-1)
	for _, v := range z {
		top = max(top, float64(v))
	}
	p, sum := make([]float64, len(z)), 0.0
	for j, v := range z {
		p[j] = kernels.Exp64(float64(v) - top)
		sum += p[j]
	}
	for j := range p {
		p[j] /= sum
	}
	return p, top + kernels.Log64(sum)
}

// Argmax returns the largest output of every sample and its probability under
// softmax.
func Argmax(y *nn.Tensor) (class []int32, sure []float64) {
	class, sure = make([]int32, y.N), make([]float64, y.N)
	for i := range class {
		p, _ := softmax(y.Image(i))
		for j, p := range p {
			if p > sure[i] {
				class[i], sure[i] = int32(j), p
			}
		}
	}
	return class, sure
}
