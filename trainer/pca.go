package trainer

import (
	"math"
	"strings"

	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/kernels"
)

const patchLen = codec.LatentStride * codec.LatentStride * 3

// initialWeights returns the weights that training starts from: those of
// Arch.Init, with the linear shortcuts at the leading principal components of
// the pictures' 16×16 patches (a linear autoencoder's optimum; Baldi and
// Hornik, 1989), and the scales at what these components' deviations ask for.
func initialWeights(cfg *Config, set *pictures, warn func(error)) (nn.Params, error) {
	p, err := cfg.Arch.Init(cfg.Seed)
	if err != nil {
		return nil, err
	}
	if lin := p["analysis.lin.weight"]; lin == nil || len(lin.Data) != patchLen*cfg.Arch.M || cfg.Arch.M > patchLen {
		return p, nil // an architecture of another kind
	}
	moments, err := patchMoments(cfg, set, warn)
	if err != nil {
		return nil, err
	}
	values, vectors, err := symmetricEigen(moments, patchLen, cfg.Threads)
	if err != nil {
		return nil, err
	}
	basis := make([][]float32, cfg.Arch.M)
	for i := range basis {
		basis[i] = make([]float32, patchLen)
		for j := range basis[i] {
			basis[i][j] = float32(vectors[i*patchLen+j])
		}
	}
	if err := cfg.Arch.SetBasis(p, basis); err != nil {
		return nil, err
	}
	initScales(cfg.Arch, p, values)
	// The shortcuts and the marginal scales are a working codec; whatever the
	// networks would add to it at random only disturbs, so their last layers
	// start at zero and the others learn as soon as these have moved.
	for _, name := range []string{"analysis.head.weight", "synthesis.head.weight", "hypersynthesis.mean.weight", "context.mean.weight"} {
		if t := p[name]; t != nil {
			clear(t.Data)
		}
	}
	// Residual branches start small: without normalisation layers, a stack of
	// them amplifies otherwise.
	for _, name := range p.Names() {
		if strings.HasSuffix(name, ".pw2.weight") || strings.HasSuffix(name, ".ff2.weight") {
			kernels.Scale(p[name].Data, p[name].Data, 0.1)
		}
	}
	return p, nil
}

// initScales makes the scale of each channel at each anchor that of a
// coefficient of the given variance about 0, times the anchor's gain.
func initScales(arch *codec.Arch, p nn.Params, variance []float64) {
	clear(p[codec.ScaleWeight].Data)
	clear(p[codec.ScaleBias].Data)
	for i, gain := range p[codec.GainEnc].Data {
		// A mean is predicted from the neighbourhood, which takes away about
		// half of the deviation.
		deviation := 0.5 * math.Sqrt(max(variance[i%arch.M], 1e-12))
		level := (kernels.Log64(deviation) + float64(gain) - codec.LogSigmaMin) / codec.LogSigmaStep
		p[codec.ScaleOffset].Data[i] = float32(min(max(level, 0), codec.ScaleLevels-1))
	}
}

// patchMoments returns the second moments of 16×16 RGB patches of pixels
// byte/255 - 1/2, in the order (y·16+x)·3+colour: about 0, not about the mean,
// because the shortcuts have no bias and the mean is a signal like any other.
//
// The sums are exact integers, so no order of summation can show: with v =
// byte-128, a product is at most 2^14, and up to 1024 of them add up in float32
// without rounding; those sums go to int64.
func patchMoments(cfg *Config, set *pictures, warn func(error)) ([]float64, error) {
	const (
		group   = 1024
		perCrop = 16 // patches taken from one crop
		atOnce  = 16 // crops
	)
	n := patchLen
	exact := make([]int64, n*n)
	sums := make([]int64, n)
	rows := make([]float32, group*n)
	product := make([]float32, n*n)
	// Patches come from crops as training sees them, so that the scale jitter
	// and the choice of pictures are the same.
	s := newSampler(set, key(cfg.Seed, purposePatch, 0, 1), atOnce, cfg.Crop, cfg.Arch.Anchors, cfg.Threads, warn)
	crops := &batch{x: nn.NewTensor(atOnce, cfg.Crop, cfg.Crop, 3), t: make([]float64, atOnce)}
	for done := 0; done < cfg.Patches; {
		count := min(group, cfg.Patches-done)
		for i := range count {
			index := done + i
			if index%(perCrop*atOnce) == 0 {
				if s.fill(crops, index/(perCrop*atOnce)); crops.err != nil {
					return nil, crops.err
				}
			}
			crop := crops.x.Image(index / perCrop % atOnce)
			r := stream{key(cfg.Seed, purposePatch, uint64(index), 0)}
			x0, y0 := r.intn(cfg.Crop-codec.LatentStride+1), r.intn(cfg.Crop-codec.LatentStride+1)
			row := rows[i*n:][:n]
			for y := range codec.LatentStride {
				src := crop[((y0+y)*cfg.Crop+x0)*3:][:3*codec.LatentStride]
				for j, v := range src {
					row[3*codec.LatentStride*y+j] = float32(toByte(v) - 128)
				}
			}
			for j, v := range row {
				sums[j] += int64(v)
			}
		}
		clear(product)
		kernels.For(cfg.Threads, n, 96, func(lo, hi int) {
			kernels.GEMMTN(product, n, rows, n, rows, n, count, n, n, lo, hi)
			for i := lo * n; i < hi*n; i++ {
				exact[i] += int64(product[i])
			}
		})
		done += count
	}
	// x = byte/255 - 1/2 = (v + 1/2)/255. Twice and four times the sums keep
	// the halves integer.
	out := make([]float64, n*n)
	for i := range n {
		for j := range n {
			quarters := 4*exact[i*n+j] + 2*(sums[i]+sums[j]) + int64(cfg.Patches)
			out[i*n+j] = float64(quarters) / (4 * 255 * 255 * float64(cfg.Patches))
		}
	}
	return out, nil
}
