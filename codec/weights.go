package codec

import (
	"fmt"
	"math"
	"slices"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/kernels"
)

// Names of the parameters beside those of the networks; M, Z and A are the
// latent channels, hyper-latent channels and anchor rates.
const (
	GainEnc       = "gain.enc"       // [A, M] log of ge: ys = y·ge
	GainDec       = "gain.dec"       // [A, M] log of gd: yhat = (k + mu)·gd
	GainZ         = "gain.z"         // [A, Z] log of gz: zi = round(z·gz), zf = zi/gz
	ScaleWeight   = "scale.weight"   // [Z, 16·M] column (dy·4+dx)·M+c: level of channel c at (4·zy+dy, 4·zx+dx)
	ScaleBias     = "scale.bias"     // [M]
	ScaleOffset   = "scale.offset"   // [A, M] s = Σ zf·weight + bias + offset, see LogSigmaStep
	PriorMean     = "prior.mean"     // [A, Z] of zi, a Gaussian that stands in for counted Priors
	PriorLogSigma = "prior.logsigma" // [A, Z]
)

const scaleBlock = HyperStride * HyperStride // latent positions per hyper-latent position

func (a *Arch) tableSpecs() []nn.ParamSpec {
	return []nn.ParamSpec{
		{Name: GainEnc, Shape: []int{a.Anchors, a.M}},
		{Name: GainDec, Shape: []int{a.Anchors, a.M}},
		{Name: GainZ, Shape: []int{a.Anchors, a.Z}},
		{Name: ScaleWeight, Shape: []int{a.Z, scaleBlock * a.M}, FanIn: a.Z},
		{Name: ScaleBias, Shape: []int{a.M}},
		{Name: ScaleOffset, Shape: []int{a.Anchors, a.M}},
		{Name: PriorMean, Shape: []int{a.Anchors, a.Z}},
		{Name: PriorLogSigma, Shape: []int{a.Anchors, a.Z}},
	}
}

// networkSpecs lists the parameters of one network.
func (a *Arch) networkSpecs(name string) ([]nn.ParamSpec, error) {
	for _, r := range a.roles(HyperStride, HyperStride) {
		if r.name == name {
			return a.Network(name).ParamShapes(r.in...)
		}
	}
	return nil, fmt.Errorf("codec: architecture: no network %s", name)
}

// ParamSpecs lists every parameter that training has and NewModel needs: those
// of the networks, then the tables GainEnc to PriorLogSigma.
func (a *Arch) ParamSpecs() ([]nn.ParamSpec, error) {
	var specs []nn.ParamSpec
	for _, n := range a.Networks {
		s, err := a.networkSpecs(n.Name)
		if err != nil {
			return nil, err
		}
		specs = append(specs, s...)
	}
	return append(specs, a.tableSpecs()...), nil
}

// Init returns parameters to start training from. Network weights are drawn as
// in nn.Network.Init, those of the layers called head and of the hyper-latent's
// last layer scaled down so that their networks begin near zero. If the
// architecture has the linear shortcuts of PhotoArch they start as a discrete
// cosine transform (training on photographs had better call SetBasis with
// principal components), and gains and scale offsets as suits one: without any
// training the model is a plain block-transform codec.
//
// The result depends on the architecture and the seed only.
func (a *Arch) Init(seed uint64) (nn.Params, error) {
	p := nn.Params{}
	for _, r := range a.roles(HyperStride, HyperStride) {
		a.Network(r.name).Init(p, seed, r.in...)
	}
	// Residual blocks amplify: 15-fold in variance each, without training. The
	// linear shortcuts are to dominate at first, and the hyper-latent is to be
	// of the order of its quantisation step.
	for name, factor := range map[string]float32{
		"analysis.head.weight": 0x1p-12, "synthesis.head.weight": 0x1p-12, "synthesis.deblock.weight": 0x1p-6,
		"hypersynthesis.mean.weight": 0x1p-12, "context.mean.weight": 0x1p-12,
		"hyperanalysis.z.weight": 0x1p-2,
	} {
		if t := p[name]; t != nil {
			kernels.Scale(t.Data, t.Data, factor)
		}
	}
	for _, s := range a.tableSpecs() {
		p[s.Name] = nn.NewParam(s.Name, s.Shape...)
	}
	// Borrowed from nn: a value depends on the seed and its name only.
	scale := nn.Params{}
	dense := nn.Network{
		Name: "scale", Inputs: []nn.Port{{Name: "zf", C: a.Z}}, Outputs: []string{"s"},
		Layers: []nn.Layer{{Name: "s", Op: nn.OpConv, Out: scaleBlock * a.M, NoBias: true}},
	}
	dense.Init(scale, seed, nn.Shape{H: 1, W: 1, C: a.Z})
	kernels.Scale(p[ScaleWeight].Data, scale["scale.s.weight"].Data, 1./8)

	basis, deviation := cosineBasis(a.M)
	if a.SetBasis(p, basis) != nil {
		for i := range deviation {
			deviation[i] = 1
		}
	}
	a.initTables(p, deviation)
	return p, nil
}

// initTables sets gains and scale offsets for latent channels of the given
// standard deviations under an orthonormal transform.
//
// With a step d the rate of one coefficient falls by log2 d and its distortion
// is d²/12, so with three coefficients per pixel the loss -3·log2 d +
// lambda·65025·d²/12 has its minimum at d² = 18/(ln2·65025·lambda).
func (a *Arch) initTables(p nn.Params, deviation []float64) {
	for i := range a.Anchors {
		logStep := 0.5 * kernels.Log64(18/(math.Ln2*65025*a.Lambda(float64(i))))
		for c := range a.M {
			at := i*a.M + c
			p[GainEnc].Data[at] = float32(-logStep)
			p[GainDec].Data[at] = float32(logStep)
			level := (kernels.Log64(deviation[c]) - logStep - LogSigmaMin) / LogSigmaStep
			p[ScaleOffset].Data[at] = float32(min(max(level, 0), ScaleLevels-1))
		}
	}
}

// SetBasis makes the linear shortcuts of a PhotoArch the orthonormal transform
// of the M rows of basis: row i, of 768 numbers, is channel i of the latent, over
// a 16×16 patch in the order (y·16+x)·3+colour. It fails when the architecture
// has no such shortcuts or the sizes do not match.
func (a *Arch) SetBasis(p nn.Params, basis [][]float32) error {
	forward, backward := p["analysis.lin.weight"], p["synthesis.lin.weight"]
	if forward == nil || backward == nil ||
		!slices.Equal(forward.Shape, []int{1, 1, patchChannels, a.M}) ||
		!slices.Equal(backward.Shape, []int{1, 1, a.M, patchChannels}) {
		return fmt.Errorf("codec: basis: the architecture has no 16x16 linear shortcuts")
	}
	if len(basis) != a.M {
		return fmt.Errorf("codec: basis: %d rows, want %d", len(basis), a.M)
	}
	for i, row := range basis {
		if len(row) != patchChannels {
			return fmt.Errorf("codec: basis: row %d has %d numbers, want %d", i, len(row), patchChannels)
		}
		for j, v := range row {
			forward.Data[j*a.M+i] = v
			backward.Data[i*patchChannels+renderOrder(j)] = v
		}
	}
	return nil
}

// renderOrder turns an index of a 16×16 patch, (y·16+x)·3+colour, into the
// channel of the synthesis's linear layer. That layer is unfolded by two
// shuffles of 4, so its channels are ordered by 4×4 block, then by pixel:
// (by·4+bx)·48 + (py·4+px)·3 + colour.
func renderOrder(j int) int {
	const blocks = LatentStride / renderStride
	colour, x, y := j%3, j/3%LatentStride, j/3/LatentStride
	block := y/renderStride*blocks + x/renderStride
	return block*renderChannels + (y%renderStride*renderStride+x%renderStride)*3 + colour
}

// cosineBasis returns the m rows of an orthonormal 16×16 cosine transform of
// luminance and two colour differences that carry most energy in photographs,
// and their standard deviations, by a rule of thumb: variance falls with the
// square of the frequency, and colour differences have a fifth of the
// amplitude. Channels beyond 768 are zero.
func cosineBasis(m int) (basis [][]float32, deviation []float64) {
	const n = LatentStride
	type row struct {
		v, u, colour int
		deviation    float64
	}
	rows := make([]row, 0, patchChannels)
	for v := range n {
		for u := range n {
			for colour := range 3 {
				d := 2.7
				if u+v > 0 {
					d = 0.74 / math.Sqrt(float64(u*u+v*v))
				}
				if colour > 0 {
					d /= 5
				}
				rows = append(rows, row{v, u, colour, d})
			}
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		switch {
		case a.deviation > b.deviation:
			return -1
		case a.deviation < b.deviation:
			return 1
		}
		return 0
	})
	mix := [3][3]float64{
		{1 / math.Sqrt(3), 1 / math.Sqrt(3), 1 / math.Sqrt(3)},
		{1 / math.Sqrt2, 0, -1 / math.Sqrt2},
		{1 / math.Sqrt(6), -2 / math.Sqrt(6), 1 / math.Sqrt(6)},
	}
	cosine := cosineTable()
	basis, deviation = make([][]float32, m), make([]float64, m)
	for i := range basis {
		basis[i], deviation[i] = make([]float32, patchChannels), 1
		if i >= len(rows) {
			continue
		}
		r := rows[i]
		deviation[i] = r.deviation
		for y := range n {
			for x := range n {
				for colour := range 3 {
					value := cosine[r.v][y] * cosine[r.u][x] * mix[r.colour][colour]
					basis[i][(y*n+x)*3+colour] = float32(value)
				}
			}
		}
	}
	return basis, deviation
}

// cosineTable holds the orthonormal DCT-II of 16 points, row u. It follows the
// Chebyshev recurrence from cos(pi/32), so that no library cosine, which may
// differ between platforms in the last place, decides a weight.
func cosineTable() (t [LatentStride][LatentStride]float64) {
	const n = LatentStride
	// cos(j·pi/32) for j = 0..64.
	var c [4*n + 1]float64
	c[0], c[1] = 1, 0.99518472667219688624
	for j := 2; j <= 4*n; j++ {
		c[j] = float64(float64(2*c[1])*c[j-1]) - c[j-2]
	}
	for u := range n {
		norm := math.Sqrt(2. / n)
		if u == 0 {
			norm = math.Sqrt(1. / n)
		}
		for x := range n {
			t[u][x] = norm * c[u*(2*x+1)%(4*n)]
		}
	}
	return t
}
