package trainer

import (
	"fmt"
	"math"

	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/codec/nn"
)

// validQualities are the rates at which held-out pictures are measured.
var validQualities = [...]float64{15, 50, 85}

// validSide bounds the part of a held-out picture that is measured.
const validSide = 768

// validation measures held-out pictures, each cut to whole hyper-latent
// positions around its centre.
type validation struct {
	graph *graph // over the averaged weights, without gradients
	list  []*nn.Tensor
}

// newValidation decodes at most limit of the folder's pictures, evenly spread
// over their order.
func newValidation(cfg *Config, g *graph, warn func(error)) (*validation, error) {
	set, warnings, err := scanPictures([]string{cfg.Valid}, 0, cfg.Threads)
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		warn(w)
	}
	v := &validation{graph: g}
	n := len(set.list)
	if cfg.ValidMax > 0 {
		n = min(n, cfg.ValidMax)
	}
	const unit = codec.LatentStride * codec.HyperStride
	for i := range n {
		p := set.list[i*len(set.list)/n]
		w, h := min(p.width, validSide)/unit*unit, min(p.height, validSide)/unit*unit
		least := unit
		if g.structural {
			least = (minStructureSide + unit - 1) / unit * unit
		}
		if w < least || h < least {
			warn(fmt.Errorf("trainer: validation: %s: smaller than %d x %d pixels", p.path, least, least))
			continue
		}
		rgb, err := set.pixels(p)
		if err != nil {
			warn(err)
			continue
		}
		t := nn.NewTensor(1, h, w, 3)
		x0, y0 := (p.width-w)/2, (p.height-h)/2
		for y := range h {
			for x, b := range rgb[3*((y0+y)*p.width+x0):][:3*w] {
				t.Data[3*w*y+x] = pixelValue[b]
			}
		}
		v.list = append(v.list, t)
	}
	if len(v.list) == 0 {
		return nil, fmt.Errorf("trainer: validation: %s: no usable picture", cfg.Valid)
	}
	return v, nil
}

// run measures the weights as they are now.
func (v *validation) run(step int) (ValidStats, error) {
	v.graph.refresh()
	stats := ValidStats{Step: step}
	for _, q := range validQualities {
		point := ValidPoint{Quality: q}
		t := []float64{v.graph.arch.Position(q)}
		for _, x := range v.list {
			loss, err := v.graph.evaluate(x, t, hard, 0)
			if err != nil {
				return stats, err
			}
			s := &v.graph.samples[0]
			point.BPP += (s.bitsY + s.bitsZ) / float64(x.H*x.W)
			point.PSNR += psnr(s.mse)
			point.SSIM += s.similarity
			stats.Loss += loss
		}
		n := float64(len(v.list))
		point.BPP /= n
		point.PSNR /= n
		point.SSIM /= n
		stats.Points = append(stats.Points, point)
	}
	stats.Loss /= float64(len(v.list) * len(validQualities))
	return stats, nil
}

// psnr is the peak signal-to-noise ratio in dB of a mean squared error of
// pixels in 0..1; a perfect picture counts as 100 dB.
func psnr(mse float64) float64 {
	return -10 * math.Log10(max(mse, 1e-10))
}
