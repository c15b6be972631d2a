package trainer

import (
	"fmt"
	"math"

	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/nn/grad"
	"github.com/aecodec/aecodec/kernels"
)

// rounding is how the quantiser is treated. The distortion always sees rounded
// latents, with the gradient of the identity ("straight-through"); the phases
// differ in what the rate sees.
type rounding int

const (
	noisy   rounding = iota // the latents plus uniform noise (Ballé, Laparra and Simoncelli, ICLR 2017)
	hard                    // the rounded latents, straight-through
	relaxed                 // as noisy, but nothing is rounded anywhere: the differentiable surrogate that tests check gradients with
)

// pixelScale turns a mean squared error of pixels in 0..1 into one of bytes.
const pixelScale = 255 * 255

// networkID numbers the networks in the order of the forward pass.
type networkID int

const (
	netAnalysis networkID = iota
	netHyperAnalysis
	netHyperSynthesis
	netContext
	netSynthesis
	netCount
)

var networkNames = [netCount]string{
	codec.Analysis, codec.HyperAnalysis, codec.HyperSynthesis, codec.Context, codec.Synthesis,
}

// noInputs tells grad.Backward not to differentiate the analysis's input.
var noInputs [1]bool

// network is one of the five with what its passes reuse.
type network struct {
	program *nn.Program
	arena   *nn.Arena
	trace   *nn.Trace
}

// graph computes the rate-distortion loss of a batch and its gradients. The
// networks run through nn and grad; everything between them, quantisation,
// gains, entropy model and loss, is written out here, forward and backward:
//
//	y  = analysis(x)                        ys = y·ge
//	z  = hyperanalysis(y, ys)               zs = z·gz,  zf = round(zs)/gz
//	h, ma = hypersynthesis(zf)              s  = zf·W + bias + offset, log sigma = clamp(s)
//	mu = m·ge with m = ma at the anchors of the checkerboard, mn = context(h, ya, ma) elsewhere
//	yhat = (round(ys-mu) + mu)·gd           xhat = synthesis(yhat)
//	loss = mean over the batch of weight·(bits/pixels + lambda·65025·MSE)
//
// or, with structural, with (1300·(1-MS-SSIM) + 0.1·65025·MSE) for 65025·MSE.
//
// The gains ge, gd, gz, the offset and the prior of z are interpolated between
// anchor rates for each sample of the batch (Cui et al., CVPR 2021).
//
// Buffers are kept from step to step. Passes run over tasks, one for each
// sample and block of channels, that share nothing, so threads don't matter.
type graph struct {
	arch    *codec.Arch
	params  nn.Params
	grads   nn.Params // nil: no gradients
	threads int
	seed    uint64
	nets    [netCount]network
	scale   *kernels.Packed // W
	scaleT  *kernels.Packed // its transpose, for the gradient of zf

	roundWeights func() // of a synthesis for integers, before its weights are packed; see fakeQuantise

	structural bool // the distortion is mostly MS-SSIM, see structure

	mode   rounding
	step   int
	n      int // samples
	h, w   int // latent positions
	hz, wz int // hyper-latent positions
	blocks int // of channels, tasks of one sample

	samples []sample
	tasks   []task

	// Per sample and channel.
	ge, gd, off    []float32 // [n, M]
	gz, igz        []float32 // [n, Z]
	pmean, plogs   []float32 // [n, Z]
	dge, dgd, doff []float32 // [n, M] gradients of log ge, log gd and offset
	dgz, dpm, dpl  []float32 // [n, Z]

	// Per position and channel.
	ys, ya, mu, yhat *nn.Tensor // [n, h, w, M]
	dd, dys          *nn.Tensor // gradients of the rate's argument and of ys (then y)
	dmn, dma         *nn.Tensor
	level, dlevel    []float32  // [n·hz·wz, 16·M]
	zs, zf, dz, ddz  *nn.Tensor // [n, hz, wz, Z]
	dx               *nn.Tensor // [n, H, W, 3]

	// Values between the networks.
	x, y, z, hh, ma, mn, xhat *nn.Tensor
	gyhat, gya, gzf           *nn.Tensor
	gy, gys                   *nn.Tensor

	in [3]*nn.Tensor // argument list, reused

	// Passes as function values, made once: a method value allocates.
	passScaleY, passZ, passAnchors, passOthers, passLoss func(lo, hi int)
	passLatentGrad, passScaleGrad, passZGrad             func(lo, hi int)
	passLevels, passLevelGrad, passLevelWeights          func(lo, hi int)
	passRefresh                                          func(lo, hi int)
}

// sample is what differs between the samples of a batch.
type sample struct {
	t              float64
	lambda, weight float64
	rate           float32 // d loss / d bit
	pixel          float32 // d loss / d squared error of one value
	bitsY, bitsZ   float64
	mse            float64 // of pixels in 0..1
	similarity     float64 // MS-SSIM, if the distortion is made of it
	structure      *structure
}

// distortion is what lambda weighs.
func (s *sample) distortion() float64 {
	if s.structure == nil {
		return pixelScale * s.mse
	}
	return float64(structureScale*(1-s.similarity)) + float64(structurePixels*float64(pixelScale*s.mse))
}

// task is the scratch memory of one unit of work.
type task struct {
	d, sigma, bits, dd, ds, noise []float32
	sum                           float64 // bits
}

const (
	channelBlock = 64 // channels of one task
)

// newGraph compiles the networks over params. grads has the same names and
// shapes, or is nil for a graph that is only evaluated.
func newGraph(arch *codec.Arch, params, grads nn.Params, threads int, seed uint64) (*graph, error) {
	g := &graph{arch: arch, params: params, grads: grads, threads: threads, seed: seed}
	for i, name := range networkNames {
		program, err := nn.Compile(arch.Network(name), params)
		if err != nil {
			return nil, fmt.Errorf("trainer: network %s: %w", name, err)
		}
		g.nets[i] = network{program: program, arena: nn.NewArena()}
	}
	g.scale = kernels.NewPacked(arch.Z, 16*arch.M)
	g.scaleT = kernels.NewPacked(16*arch.M, arch.Z)
	g.blocks = (arch.M + channelBlock - 1) / channelBlock
	g.passScaleY, g.passZ, g.passAnchors, g.passOthers, g.passLoss = g.scaleY, g.quantiseZ, g.quantiseAnchors, g.quantiseOthers, g.distortion
	g.passLatentGrad, g.passScaleGrad, g.passZGrad = g.latentGrad, g.scaleGrad, g.zGrad
	g.passLevels, g.passLevelGrad, g.passLevelWeights = g.levels, g.levelGrad, g.levelWeights
	g.passRefresh = g.refreshParts
	g.refresh()
	return g, nil
}

// refresh repacks the weights after the optimiser has changed them.
func (g *graph) refresh() {
	kernels.For(g.threads, int(netCount)+2, 1, g.passRefresh)
}

// refreshParts repacks the networks, the scale map and its transpose, in this
// order.
func (g *graph) refreshParts(lo, hi int) {
	w, n := g.params[codec.ScaleWeight].Data, 16*g.arch.M
	for i := lo; i < hi; i++ {
		switch {
		case i < int(netCount):
			if networkID(i) == netSynthesis && g.roundWeights != nil {
				g.roundWeights()
			}
			g.nets[i].program.Refresh()
		case i == int(netCount):
			g.scale.Set(w, n)
		case g.grads != nil:
			g.scaleT.SetTransposed(w, n)
		}
	}
}

// resize prepares buffers for a batch of n images of height×width pixels.
func (g *graph) resize(n, height, width int) {
	h, w := height/codec.LatentStride, width/codec.LatentStride
	if n == g.n && h == g.h && w == g.w {
		return
	}
	g.n, g.h, g.w, g.hz, g.wz = n, h, w, h/codec.HyperStride, w/codec.HyperStride
	m, z := g.arch.M, g.arch.Z
	g.samples = grow(g.samples, n)
	g.tasks = grow(g.tasks, n*g.blocks)
	for i := range g.tasks {
		t := &g.tasks[i]
		k := max(channelBlock, z)
		for _, s := range []*[]float32{&t.d, &t.sigma, &t.bits, &t.dd, &t.ds, &t.noise} {
			*s = grow(*s, k)
		}
	}
	for _, s := range []*[]float32{&g.ge, &g.gd, &g.off, &g.dge, &g.dgd, &g.doff} {
		*s = grow(*s, n*m)
	}
	for _, s := range []*[]float32{&g.gz, &g.igz, &g.pmean, &g.plogs, &g.dgz, &g.dpm, &g.dpl} {
		*s = grow(*s, n*z)
	}
	tensor := func(t **nn.Tensor, h, w, c int) {
		if *t == nil {
			*t = new(nn.Tensor)
		}
		**t = nn.Tensor{N: n, H: h, W: w, C: c, Data: grow((*t).Data, n*h*w*c)}
	}
	for _, t := range []**nn.Tensor{&g.ys, &g.ya, &g.mu, &g.yhat} {
		tensor(t, h, w, m)
	}
	for _, t := range []**nn.Tensor{&g.zs, &g.zf} {
		tensor(t, g.hz, g.wz, z)
	}
	g.level = grow(g.level, n*h*w*m)
	if g.grads == nil {
		return
	}
	for _, t := range []**nn.Tensor{&g.dd, &g.dys, &g.dmn, &g.dma} {
		tensor(t, h, w, m)
	}
	for _, t := range []**nn.Tensor{&g.dz, &g.ddz} {
		tensor(t, g.hz, g.wz, z)
	}
	tensor(&g.dx, height, width, 3)
	g.dlevel = grow(g.dlevel, n*h*w*m)
}

// place splits a position on the line of anchors.
func (g *graph) place(t float64) (a int, f float32) {
	a = min(max(int(t), 0), g.arch.Anchors-2)
	return a, float32(t - float64(a))
}

// prepare interpolates the tables for the samples' positions.
func (g *graph) prepare(t []float64) {
	m, z := g.arch.M, g.arch.Z
	row := func(dst []float32, name string, t float64) {
		table := g.params[name].Data
		a, f := g.place(t)
		n := len(dst)
		kernels.Lerp(dst, table[a*n:][:n], table[(a+1)*n:][:n], f)
	}
	pixels := float64(g.h * g.w * codec.LatentStride * codec.LatentStride)
	// The weight evens out what the rates contribute: along a typical
	// rate-distortion curve the loss itself grows with lambda.
	mid := math.Sqrt(g.arch.LambdaMin * g.arch.LambdaMax)
	for i := range g.samples {
		s := &g.samples[i]
		*s = sample{t: t[i], lambda: g.arch.Lambda(t[i]), structure: s.structure}
		if g.structural && s.structure == nil {
			s.structure = new(structure)
		}
		s.weight = math.Sqrt(mid / s.lambda)
		s.rate = float32(s.weight / (pixels * float64(g.n)))
		s.pixel = float32(s.weight * s.lambda * pixelScale / (3 * pixels * float64(g.n)))
		ge, gd, off := g.ge[i*m:][:m], g.gd[i*m:][:m], g.off[i*m:][:m]
		row(ge, codec.GainEnc, s.t)
		kernels.Exp(ge, ge)
		row(gd, codec.GainDec, s.t)
		kernels.Exp(gd, gd)
		row(off, codec.ScaleOffset, s.t)
		kernels.Add(off, off, g.params[codec.ScaleBias].Data)
		gz, igz := g.gz[i*z:][:z], g.igz[i*z:][:z]
		row(gz, codec.GainZ, s.t)
		kernels.Scale(igz, gz, -1)
		kernels.Exp(gz, gz)
		kernels.Exp(igz, igz)
		if g.mode == hard {
			fixedSteps(gz, igz)
		}
		row(g.pmean[i*z:][:z], codec.PriorMean, s.t)
		row(g.plogs[i*z:][:z], codec.PriorLogSigma, s.t)
	}
}

// fixedSteps rounds the steps of the hyper-latent to the 8 fractional bits that
// package codec gives them.
func fixedSteps(gz, igz []float32) {
	const one = 1 << 8
	for c, v := range igz {
		v = float32(math.RoundToEven(float64(min(max(v*one, 1), 1<<16-1))))
		igz[c], gz[c] = v/one, one/v
	}
}

// forward runs a network on the first inputs of g.in: traced when there are
// gradients to compute.
func (g *graph) forward(id networkID, in ...*nn.Tensor) ([]*nn.Tensor, error) {
	net := &g.nets[id]
	args := g.in[:copy(g.in[:], in)]
	var out []*nn.Tensor
	var err error
	if g.grads == nil {
		out, err = net.program.Run(net.arena, g.threads, args...)
	} else if net.trace, err = net.program.Trace(net.arena, g.threads, args...); err == nil {
		out = net.trace.Outputs()
	}
	if err != nil {
		return nil, fmt.Errorf("trainer: network %s: %w", networkNames[id], err)
	}
	return out, nil
}

// backward adds to the gradients of a network's parameters and returns those
// of its inputs; the picture's own gradient is of no use.
func (g *graph) backward(id networkID, dOut ...*nn.Tensor) ([]*nn.Tensor, error) {
	net := &g.nets[id]
	var want []bool
	if id == netAnalysis {
		want = noInputs[:]
	}
	dIn, err := grad.Backward(net.trace, net.arena, g.threads, dOut, g.grads, want...)
	if err != nil {
		return nil, fmt.Errorf("trainer: network %s: backward: %w", networkNames[id], err)
	}
	return dIn, nil
}

// evaluate computes the loss of a batch: x holds pixels [n, H, W, 3], H and W
// multiples of 64, t the samples' positions between the anchors, which must be
// in 0..anchors-1. The noise depends on (seed, step, sample) alone.
func (g *graph) evaluate(x *nn.Tensor, t []float64, mode rounding, step int) (float64, error) {
	g.resize(x.N, x.H, x.W)
	g.mode, g.step, g.x = mode, step, x
	g.prepare(t)
	tasks := g.n * g.blocks

	out, err := g.forward(netAnalysis, x)
	if err != nil {
		return 0, err
	}
	g.y = out[0]
	kernels.For(g.threads, tasks, 1, g.passScaleY)
	if out, err = g.forward(netHyperAnalysis, g.y, g.ys); err != nil {
		return 0, err
	}
	g.z = out[0]
	kernels.For(g.threads, g.n, 1, g.passZ)
	if out, err = g.forward(netHyperSynthesis, g.zf); err != nil {
		return 0, err
	}
	g.hh, g.ma = out[0], out[1]
	kernels.For(g.threads, g.n*g.hz*g.wz, 1, g.passLevels)
	kernels.For(g.threads, tasks, 1, g.passAnchors)
	if out, err = g.forward(netContext, g.hh, g.ya, g.ma); err != nil {
		return 0, err
	}
	g.mn = out[0]
	kernels.For(g.threads, tasks, 1, g.passOthers)
	if out, err = g.forward(netSynthesis, g.yhat); err != nil {
		return 0, err
	}
	g.xhat = out[0]
	kernels.For(g.threads, g.n, 1, g.passLoss)

	loss, pixels := 0.0, float64(x.H*x.W)
	for i := range g.samples {
		s := &g.samples[i]
		for _, t := range g.tasks[i*g.blocks:][:g.blocks] {
			s.bitsY += t.sum
		}
		bpp := (s.bitsY + s.bitsZ) / pixels
		loss += float64(s.weight * (bpp + float64(s.lambda*s.distortion())))
	}
	return loss / float64(g.n), nil
}

// differentiate adds the gradients of the loss that evaluate returned to grads.
func (g *graph) differentiate() error {
	tasks := g.n * g.blocks
	d, err := g.backward(netSynthesis, g.dx)
	if err != nil {
		return err
	}
	g.gyhat = d[0]
	if d, err = g.backward(netContext, g.dmn); err != nil {
		return err
	}
	dh := d[0]
	g.gya = d[1]
	copy(g.dma.Data, d[2].Data)
	kernels.For(g.threads, tasks, 1, g.passLatentGrad)
	if d, err = g.backward(netHyperSynthesis, dh, g.dma); err != nil {
		return err
	}
	g.gzf = d[0]
	kernels.For(g.threads, g.n*g.hz*g.wz, 1, g.passLevelGrad)
	kernels.For(g.threads, g.arch.Z, 1, g.passLevelWeights)
	kernels.For(g.threads, g.n, 1, g.passZGrad)
	if d, err = g.backward(netHyperAnalysis, g.dz); err != nil {
		return err
	}
	g.gy, g.gys = d[0], d[1]
	kernels.For(g.threads, tasks, 1, g.passScaleGrad)
	if _, err = g.backward(netAnalysis, g.dys); err != nil {
		return err
	}
	g.tableGrads()
	return nil
}

// tableGrads hands the gradients of the interpolated rows on to the anchors.
func (g *graph) tableGrads() {
	row := func(name string, d []float32, t float64) {
		n := len(d)
		a, f := g.place(t)
		table := g.grads[name].Data
		kernels.AddScaled(table[a*n:][:n], table[a*n:][:n], d, 1-f)
		kernels.AddScaled(table[(a+1)*n:][:n], table[(a+1)*n:][:n], d, f)
	}
	m, z := g.arch.M, g.arch.Z
	bias := g.grads[codec.ScaleBias].Data
	for i := range g.samples {
		t := g.samples[i].t
		row(codec.GainEnc, g.dge[i*m:][:m], t)
		row(codec.GainDec, g.dgd[i*m:][:m], t)
		row(codec.ScaleOffset, g.doff[i*m:][:m], t)
		kernels.Add(bias, bias, g.doff[i*m:][:m])
		row(codec.GainZ, g.dgz[i*z:][:z], t)
		row(codec.PriorMean, g.dpm[i*z:][:z], t)
		row(codec.PriorLogSigma, g.dpl[i*z:][:z], t)
	}
}

// block returns the sample and the channels of a task.
func (g *graph) block(i int) (b, c0, c1 int) {
	b = i / g.blocks
	c0 = i % g.blocks * channelBlock
	return b, c0, min(c0+channelBlock, g.arch.M)
}

// at is the index of channel c at a position of the latent grid.
func (g *graph) at(b, y, x, c int) int {
	return ((b*g.h+y)*g.w+x)*g.arch.M + c
}

// levelAt is the index of the same element in level and dlevel.
func (g *graph) levelAt(b, y, x, c int) int {
	const s = codec.HyperStride
	return ((b*g.hz+y/s)*g.wz+x/s)*s*s*g.arch.M + (y%s*s+x%s)*g.arch.M + c
}

func anchor(y, x int) bool { return (x+y)%2 == 0 }

// The expressions below convert every product that is added to something to
// float32, which forbids the compiler to fuse the two; see package kernels.

func (g *graph) scaleY(lo, hi int) {
	for i := lo; i < hi; i++ {
		b, c0, c1 := g.block(i)
		ge := g.ge[b*g.arch.M+c0:][:c1-c0]
		for p := range g.h * g.w {
			at := g.at(b, 0, p, c0)
			kernels.Mul(g.ys.Data[at:][:len(ge)], g.y.Data[at:][:len(ge)], ge)
		}
	}
}

// quantiseZ rounds the hyper-latent and computes its rate and the gradient of
// that.
func (g *graph) quantiseZ(lo, hi int) {
	k := g.arch.Z
	for b := lo; b < hi; b++ {
		s, t := &g.samples[b], &g.tasks[b*g.blocks]
		gz, igz := g.gz[b*k:][:k], g.igz[b*k:][:k]
		mean, logs := g.pmean[b*k:][:k], g.plogs[b*k:][:k]
		d, bits, noise := t.d[:k], t.bits[:k], t.noise[:k]
		dd, ds := t.dd[:k], t.ds[:k]
		var dpm, dpl []float32
		if g.grads != nil {
			dpm, dpl = g.dpm[b*k:][:k], g.dpl[b*k:][:k]
			clear(dpm)
			clear(dpl)
		}
		for p := range g.hz * g.wz {
			at := (b*g.hz*g.wz + p) * k
			z, zs, zf := g.z.Data[at:][:k], g.zs.Data[at:][:k], g.zf.Data[at:][:k]
			kernels.Mul(zs, z, gz)
			if g.mode == relaxed {
				kernels.Mul(zf, zs, igz)
			} else {
				kernels.Round(zf, zs)
				kernels.Clamp(zf, zf, -codec.HyperLimit, codec.HyperLimit)
			}
			if g.mode == hard {
				kernels.Sub(d, zf, mean)
			} else {
				uniformNoise(noise, key(g.seed, purposeNoiseZ, uint64(g.step), uint64(b)), p*noiseRow(k))
				kernels.Add(d, zs, noise)
				kernels.Sub(d, d, mean)
			}
			if g.mode != relaxed {
				kernels.Mul(zf, zf, igz)
			}
			if g.grads == nil {
				kernels.NormalBits(bits, nil, nil, d, logs)
			} else {
				kernels.NormalBits(bits, dd, ds, d, logs)
				ddz := g.ddz.Data[at:][:k]
				kernels.Scale(ddz, dd, s.rate)
				kernels.Sub(dpm, dpm, ddz)
				kernels.AddScaled(dpl, dpl, ds, s.rate)
			}
			for _, v := range bits {
				s.bitsZ += float64(v)
			}
		}
	}
}

// noiseRow is the room that a row of n numbers takes in the noise sequence,
// which is addressed in even steps.
func noiseRow(n int) int { return n + n&1 }

// levels computes the linear map from the hyper-latent to the scale levels.
func (g *graph) levels(lo, hi int) {
	n, k := 16*g.arch.M, g.arch.Z
	kernels.GEMM(g.level[lo*n:], n, g.zf.Data[lo*k:], k, g.scale, hi-lo, nil)
}

// quantiseAnchors makes what the context network sees: yhat at the anchors.
func (g *graph) quantiseAnchors(lo, hi int) {
	for i := lo; i < hi; i++ {
		b, c0, c1 := g.block(i)
		for y := range g.h {
			for x := range g.w {
				at := g.at(b, y, x, c0)
				ya := g.ya.Data[at:][:c1-c0]
				if !anchor(y, x) {
					clear(ya)
					continue
				}
				g.quantise(b, y, x, c0, c1, g.ma)
				copy(ya, g.yhat.Data[at:])
			}
		}
	}
}

// quantise computes mu and yhat of one position from the mean m.
func (g *graph) quantise(b, y, x, c0, c1 int, m *nn.Tensor) {
	n, at := c1-c0, g.at(b, y, x, c0)
	table := b*g.arch.M + c0
	ge, gd := g.ge[table:][:n], g.gd[table:][:n]
	ys, mu, yhat := g.ys.Data[at:][:n], g.mu.Data[at:][:n], g.yhat.Data[at:][:n]
	kernels.Mul(mu, m.Data[at:][:n], ge)
	kernels.Sub(yhat, ys, mu)
	if g.mode != relaxed {
		kernels.Round(yhat, yhat)
	}
	if g.mode == hard { // at level 0 the codec codes nothing
		level, off := g.level[g.levelAt(b, y, x, c0):][:n], g.off[table:][:n]
		for c, v := range level {
			if v+off[c] < 0.5 {
				yhat[c] = 0
			}
		}
	}
	kernels.Add(yhat, yhat, mu)
	kernels.Mul(yhat, yhat, gd)
}

// quantiseOthers does the positions beside the anchors, then the rate of all
// and its gradients.
func (g *graph) quantiseOthers(lo, hi int) {
	for i := lo; i < hi; i++ {
		t := &g.tasks[i]
		t.sum = 0
		b, c0, c1 := g.block(i)
		n := c1 - c0
		table := b*g.arch.M + c0
		ge, off := g.ge[table:][:n], g.off[table:][:n]
		k := key(g.seed, purposeNoiseY, uint64(g.step), uint64(b))
		rate := g.samples[b].rate
		var doff []float32
		if g.grads != nil {
			doff = g.doff[table:][:n]
			clear(doff)
		}
		for y := range g.h {
			for x := range g.w {
				at := g.at(b, y, x, c0)
				if !anchor(y, x) {
					g.quantise(b, y, x, c0, c1, g.mn)
				}
				d, logs, bits := t.d[:n], t.sigma[:n], t.bits[:n]
				kernels.Sub(d, g.ys.Data[at:][:n], g.mu.Data[at:][:n])
				if g.mode == hard {
					kernels.Round(d, d)
				} else {
					// First element even: channelBlock is, and so is a row.
					noise := t.noise[:n]
					uniformNoise(noise, k, (y*g.w+x)*noiseRow(g.arch.M)+c0)
					kernels.Add(d, d, noise)
				}
				level := g.level[g.levelAt(b, y, x, c0):][:n]
				for c, v := range level {
					v += off[c]
					level[c] = v
					logs[c] = codec.LogSigmaMin + float32(min(max(v, 0), codec.ScaleLevels-1)*codec.LogSigmaStep)
				}
				if g.grads == nil {
					t.sum += g.codedBits(t, level)
					continue
				}
				dd, ds := g.dd.Data[at:][:n], t.ds[:n]
				kernels.NormalBits(bits, dd, ds, d, logs)
				for _, v := range bits {
					t.sum += float64(v)
				}
				kernels.Scale(dd, dd, rate)
				dlevel := g.dlevel[g.levelAt(b, y, x, c0):][:n]
				for c, v := range ds {
					v = float32(v * (rate * codec.LogSigmaStep))
					// The clamp's gradient passes where it leads back inside.
					if s := level[c]; s < 0 && v > 0 || s > codec.ScaleLevels-1 && v < 0 {
						v = 0
					}
					dlevel[c] = v
					doff[c] += v
				}
				dmn := g.dmn.Data[at:][:n]
				if anchor(y, x) {
					clear(dmn)
				} else {
					for c, v := range dd {
						dmn[c] = -v * ge[c]
					}
				}
			}
		}
	}
}

// codedBits is the cross-entropy of the symbols in t.d under the rounded
// levels, as package codec codes them.
func (g *graph) codedBits(t *task, level []float32) (sum float64) {
	n := len(level)
	d, logs, bits := t.d[:n], t.sigma[:n], t.bits[:n]
	for c, v := range level {
		v = float32(math.RoundToEven(float64(min(max(v, 0), codec.ScaleLevels-1))))
		logs[c] = codec.LogSigmaMin + float32(v*codec.LogSigmaStep)
		if v == 0 {
			d[c] = 0
		}
	}
	kernels.NormalBits(bits, nil, nil, d, logs)
	for c, v := range bits {
		if level[c] >= 0.5 {
			sum += float64(v)
		}
	}
	return sum
}

// distortion computes the squared error of whole samples and its gradient.
func (g *graph) distortion(lo, hi int) {
	n := g.x.H * g.x.W * 3
	for b := lo; b < hi; b++ {
		x, xhat := g.x.Image(b), g.xhat.Image(b)
		s := &g.samples[b]
		if g.grads == nil {
			s.mse = byteError(x, xhat) / float64(n)
			if g.structural {
				s.similarity = s.structure.similarity(x, xhat, g.x.H, g.x.W)
			}
			continue
		}
		s.mse = float64(kernels.SumSquaredDiff(x, xhat)) / float64(n)
		dx := g.dx.Image(b)
		kernels.Sub(dx, xhat, x)
		if g.structural {
			kernels.Scale(dx, dx, 2*structurePixels*s.pixel)
			slope := -s.weight * s.lambda * structureScale / float64(g.n)
			s.similarity = s.structure.gradient(dx, x, xhat, g.x.H, g.x.W, slope)
			continue
		}
		kernels.Scale(dx, dx, 2*s.pixel)
	}
}

// byteError is the sum of squared errors of the bytes that a decoder shows, in
// units of the full scale.
func byteError(x, xhat []float32) float64 {
	sum := 0
	for i, v := range x {
		a, b := toByte(v), toByte(xhat[i])
		sum += (a - b) * (a - b)
	}
	return float64(sum) / pixelScale
}

func toByte(v float32) int {
	return int(math.RoundToEven(float64(min(max((v+0.5)*255, 0), 255))))
}

// latentGrad collects the gradients of ys, of the gains and of the anchors'
// means, once the synthesis and the context have been differentiated.
func (g *graph) latentGrad(lo, hi int) {
	for i := lo; i < hi; i++ {
		b, c0, c1 := g.block(i)
		n := c1 - c0
		table := b*g.arch.M + c0
		ge, gd := g.ge[table:][:n], g.gd[table:][:n]
		dge, dgd := g.dge[table:][:n], g.dgd[table:][:n]
		clear(dge)
		clear(dgd)
		for y := range g.h {
			for x := range g.w {
				at := g.at(b, y, x, c0)
				gyhat, dd, dys := g.gyhat.Data[at:][:n], g.dd.Data[at:][:n], g.dys.Data[at:][:n]
				yhat, mu := g.yhat.Data[at:][:n], g.mu.Data[at:][:n]
				if anchor(y, x) {
					// The context saw yhat here and nothing elsewhere.
					kernels.Add(gyhat, gyhat, g.gya.Data[at:][:n])
					dma := g.dma.Data[at:][:n]
					for c, v := range dd {
						dma[c] -= float32(v * ge[c])
					}
				}
				for c, v := range gyhat {
					dys[c] = float32(v*gd[c]) + dd[c]
					dgd[c] += float32(v * yhat[c])
					dge[c] -= float32(dd[c] * mu[c])
				}
			}
		}
	}
}

// levelGrad adds the scale map's share to the gradient of zf.
func (g *graph) levelGrad(lo, hi int) {
	n, k := 16*g.arch.M, g.arch.Z
	kernels.GEMM(g.gzf.Data[lo*k:], k, g.dlevel[lo*n:], n, g.scaleT, hi-lo, &kernels.Epilogue{Accumulate: true})
}

// levelWeights computes the gradient of the scale map's rows lo to hi.
func (g *graph) levelWeights(lo, hi int) {
	n, k := 16*g.arch.M, g.arch.Z
	kernels.GEMMTN(g.grads[codec.ScaleWeight].Data, n, g.zf.Data, k, g.dlevel, n, g.n*g.hz*g.wz, k, n, lo, hi)
}

// zGrad turns the gradient of zf into that of z.
func (g *graph) zGrad(lo, hi int) {
	k := g.arch.Z
	for b := lo; b < hi; b++ {
		gz, igz, dgz := g.gz[b*k:][:k], g.igz[b*k:][:k], g.dgz[b*k:][:k]
		clear(dgz)
		for p := range g.hz * g.wz {
			at := (b*g.hz*g.wz + p) * k
			gzf, ddz, dz := g.gzf.Data[at:][:k], g.ddz.Data[at:][:k], g.dz.Data[at:][:k]
			zs, zf := g.zs.Data[at:][:k], g.zf.Data[at:][:k]
			for c, v := range gzf {
				dgz[c] -= float32(v * zf[c])
				dzs := float32(v * igz[c])
				if g.mode != relaxed && (zs[c] > codec.HyperLimit && dzs < 0 || zs[c] < -codec.HyperLimit && dzs > 0) {
					dzs = 0
				}
				dzs += ddz[c]
				dgz[c] += float32(dzs * zs[c])
				dz[c] = dzs * gz[c]
			}
		}
	}
}

// scaleGrad turns the gradients of ys and y into that of y alone, in dys.
func (g *graph) scaleGrad(lo, hi int) {
	for i := lo; i < hi; i++ {
		b, c0, c1 := g.block(i)
		n := c1 - c0
		table := b*g.arch.M + c0
		ge, dge := g.ge[table:][:n], g.dge[table:][:n]
		for p := range g.h * g.w {
			at := g.at(b, 0, p, c0)
			dys, ys := g.dys.Data[at:][:n], g.ys.Data[at:][:n]
			gy, gys := g.gy.Data[at:][:n], g.gys.Data[at:][:n]
			for c, v := range dys {
				v += gys[c]
				dge[c] += float32(v * ys[c])
				dys[c] = float32(v*ge[c]) + gy[c]
			}
		}
	}
}
