package trainer

import (
	"fmt"

	"github.com/aecodec/aecodec/kernels"
)

// firstNonFinite names the first value of the forward pass that is infinite or
// no number, in the order of computation; what if there is none.
func (g *graph) firstNonFinite(what string) string {
	if !kernels.AllFinite(g.x.Data) {
		return "an input pixel"
	}
	for _, name := range g.params.Names() {
		if !kernels.AllFinite(g.params[name].Data) {
			return fmt.Sprintf("parameter %s", name)
		}
	}
	for i := range g.nets {
		tr := g.nets[i].trace
		if tr == nil {
			continue
		}
		inputs := tr.Values() - len(tr.Program().Network().Layers)
		for k := range tr.Steps() {
			s := tr.Step(k)
			// Values that no gradient needs were not kept.
			if t := tr.Value(s.Out); t.Data != nil && !kernels.AllFinite(t.Data) {
				return fmt.Sprintf("the output of layer %s.%s", networkNames[i], tr.Program().Network().Layers[s.Out-inputs].Name)
			}
		}
		switch networkID(i) {
		case netAnalysis:
			if !kernels.AllFinite(g.ys.Data) {
				return "the scaled latent"
			}
		case netHyperAnalysis:
			if !kernels.AllFinite(g.zf.Data) {
				return "the hyper-latent"
			}
		case netHyperSynthesis:
			if !kernels.AllFinite(g.level) {
				return "the scale map"
			}
		}
	}
	return what
}

// firstNonFinite names the first parameter, by name, whose gradient is
// infinite or no number.
func (s *state) firstNonFinite() string {
	for _, name := range s.grads.named.Names() {
		if !kernels.AllFinite(s.grads.named[name].Data) {
			return fmt.Sprintf("the gradient of %s", name)
		}
	}
	return "the sum of squared gradients"
}
