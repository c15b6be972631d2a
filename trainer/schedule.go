package trainer

import (
	"math"

	"github.com/aecodec/aecodec/kernels"
)

// learningRate is the rate of a step: a linear warm-up to cfg.LR, then either
// half a period of a cosine down to LREnd·LR at the last step (Loshchilov and
// Hutter, arXiv 1608.03983) or, with a cool-down, a constant rate that falls
// over the last steps with 1-sqrt of the part done (Hägele et al., arXiv
// 2405.18392), which ends about as well as a cosine of that length and leaves
// the steps before it open to be continued.
func learningRate(cfg *Config, step int) float64 {
	if step < cfg.Warmup {
		return cfg.LR * float64(step+1) / float64(cfg.Warmup)
	}
	var fall float64
	if cfg.Cooldown > 0 {
		done := float64(step-(cfg.Steps-cfg.Cooldown)) / float64(cfg.Cooldown)
		fall = 1 - math.Sqrt(max(done, 0))
	} else {
		f := float64(step-cfg.Warmup) / float64(max(1, cfg.Steps-cfg.Warmup))
		fall = 0.5 * (1 + cosPi(f))
	}
	return cfg.LR * (float64(fall*(1-cfg.LREnd)) + cfg.LREnd)
}

// steady tells whether the first n steps are those of a run of any length:
// neither the cool-down nor the hard phase have begun.
func (c *Config) steady(n int) bool {
	return c.Cooldown > 0 && n <= c.Steps-max(c.Cooldown, c.HardSteps, c.IntegerSteps)
}

// emaDecay is the share of the old average that a step keeps. It starts low,
// or the average would remember the first weights for thousands of steps.
func emaDecay(cfg *Config, step int) float64 {
	return min(cfg.EMA, float64(1+step)/float64(10+step))
}

// cosPi is cos(πx) for x in [0, 1], by its power series about 1/2: math.Cos may
// be compiled with fused multiply-adds and then differs between architectures.
func cosPi(x float64) float64 {
	const pi = 3.14159265358979323846
	u := float64(pi * (0.5 - x)) // cos(πx) = sin(u), |u| <= π/2
	u2 := float64(u * u)
	term, sum := u, u
	for k := 2; k <= 24; k += 2 {
		term = float64(-term*u2) / float64(k*(k+1))
		sum += term
	}
	return sum
}

// powInt is base^n for 0 <= base < 1 and n > 0.
func powInt(base float64, n int) float64 {
	if base == 0 {
		return 0
	}
	return kernels.Exp64(float64(float64(n) * kernels.Log64(base)))
}
