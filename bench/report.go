package bench

import (
	"fmt"
	"io"
	"strings"
)

// WriteReport writes the records as Markdown: one chapter for each machine.
// picture names the plot of WriteReportPNG, "" leaves it out.
func WriteReport(w io.Writer, records []*Record, picture string) error {
	e := &errWriter{w: w}
	fmt.Fprint(e, "# Measured speeds\n\n"+
		"Written by `aecodec bench report` from the .json files in this folder, one for each machine.\n"+
		"Times are medians of alternating rounds; those of kernels and layers are processor time of one thread. A share is that of\n"+
		"the limit: multiply-adds of the core, or reading the operands from the memory that all data of the work fits into, both\n"+
		"measured in the same run; in brackets that of the best round against the best peak.\n")
	if picture != "" {
		fmt.Fprintf(e, "\n![Share of the limit, by layer](%s)\n", picture)
	}
	for _, r := range records {
		m := r.machine()
		fmt.Fprintf(e, "\n## %s\n\n%s, %d cores, %s, level %s, %s\n", r.Name, m.CPU, m.Cores, m.Go, orDash(m.Level), m.Date)
		if r.Note != "" {
			fmt.Fprintf(e, "\n%s\n", r.Note)
		}
		r.writePeaks(e)
		r.writeLayers(e)
		r.writeKernels(e)
		r.writeCodec(e)
		r.writePeerCodecs(e)
		r.writeTrain(e)
	}
	return e.err
}

// table writes a Markdown table: heading, then rows; the first left columns hold
// text, the others figures.
type table struct {
	w    io.Writer
	left int
}

func newTable(w io.Writer, title string, left int, head ...string) *table {
	fmt.Fprintf(w, "\n### %s\n\n", title)
	t := &table{w, left}
	t.row(head...)
	rule := make([]string, len(head))
	for i := range rule {
		rule[i] = "--:"
		if i < left {
			rule[i] = ":--"
		}
	}
	t.row(rule...)
	return t
}

func (t *table) row(cells ...string) {
	fmt.Fprintf(t.w, "| %s |\n", strings.Join(cells, " | "))
}

func cell(format string, v float64) string { return fmt.Sprintf(format, v) }

// shares formats the two figures of a share.
func shares(s Spread) string {
	if s.Median == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f %% (%.0f %%)", 100*s.Median, 100*s.Best)
}

func (r *Record) writePeaks(w io.Writer) {
	var peaks []Peaks
	switch {
	case r.Kernels != nil:
		peaks = r.Kernels.Peaks
	case r.Layers != nil:
		peaks = r.Layers.Peaks
	default:
		return
	}
	head := []string{"backend", "FMA GFLOP/s", "best", "integer dot Gop/s", "with"}
	for _, n := range loadSizes {
		head = append(head, fmt.Sprintf("load %d KiB GB/s", n>>10))
	}
	t := newTable(w, "Peaks of one core", 1, head...)
	for _, p := range peaks {
		row := []string{p.Backend, cell("%.1f", p.FMA.Median), cell("%.1f", p.FMA.Best), cell("%.1f", p.Dot.Median), orDash(p.DotWith)}
		for _, l := range p.Load {
			row = append(row, cell("%.1f", l.Speed.Median))
		}
		t.row(row...)
	}
}

func (t *Timing) cells() []string {
	return []string{
		cell("%.1f", 1e6*t.Seconds.Median), positive(t.GFLOPS, "%.1f"), cell("%.1f", t.GBPS), t.Bound, shares(t.Share),
	}
}

func (r *Record) writeKernels(w io.Writer) {
	if r.Kernels == nil {
		return
	}
	var lines []timingLine
	for _, k := range r.Kernels.Kernels {
		lines = append(lines, timingLine{k.Name, k.Shape, k.Timings})
	}
	writeTimingTables(w, "Kernels", lines)
}

func (r *Record) writeLayers(w io.Writer) {
	if r.Layers == nil {
		return
	}
	var lines []timingLine
	for i := range r.Layers.Layers {
		l := &r.Layers.Layers[i]
		lines = append(lines, timingLine{l.Label(), l.Kind(), l.Timings})
	}
	writeTimingTables(w, fmt.Sprintf("Layers of the model %s on %dx%d pixels", r.Layers.Model, r.Layers.Width, r.Layers.Height), lines)
}

// writeTimingTables writes a table of times, and one of ratios if there are
// peers.
func writeTimingTables(w io.Writer, title string, lines []timingLine) {
	t := newTable(w, title, 3, "what", "work", "backend", "us", "GFLOP/s", "GB/s", "bound by", "share")
	peers := false
	for _, l := range lines {
		for i := range l.timings {
			m := &l.timings[i]
			t.row(append([]string{l.name, l.work, m.Backend}, m.cells()...)...)
			peers = peers || len(m.Peers) > 0
		}
	}
	if !peers {
		return
	}
	fmt.Fprint(w, "\nThe same work by other libraries, one thread, in turns. Ratio: their time by that of aecodec, the median of the rounds\n"+
		"and that of the best times; above 1, aecodec is faster.\n")
	t = newTable(w, title+", against others", 4, "what", "work", "backend", "peer", "peer us", "ratio")
	for _, l := range lines {
		for _, m := range l.timings {
			for _, p := range m.Peers {
				t.row(l.name, l.work, m.Backend, p.Peer, cell("%.1f", 1e6*p.Seconds.Median), fmt.Sprintf("%.2f (%.2f)", p.Ratio.Median, p.Ratio.Best))
			}
		}
	}
}

func (r *Record) writeCodec(w io.Writer) {
	c := r.Codec
	if c == nil {
		return
	}
	title := fmt.Sprintf("Codec, in memory: %s, %.2f Mpixel, quality %g", strings.Join(c.Pictures, ", "), float64(c.Pixels)/1e6, c.Quality)
	t := newTable(w, title, 1, "backend", "threads", "encode ms", "Mpixel/s", "decode ms", "Mpixel/s")
	for _, s := range c.Speeds {
		t.row(s.Backend, fmt.Sprint(s.Threads), cell("%.1f", 1e3*s.EncodeSeconds), cell("%.2f", s.EncodeMpixel),
			cell("%.1f", 1e3*s.DecodeSeconds), cell("%.2f", s.DecodeMpixel))
	}
}

func (r *Record) writePeerCodecs(w io.Writer) {
	if r.PeerCodecs == nil {
		return
	}
	t := newTable(w, "Against other codecs: whole processes, one thread", 3,
		"pictures", "action", "program", "PSNR dB", "bpp", "ms", "ratio (best)")
	for _, l := range r.PeerCodecs.Lines {
		t.row(l.Pictures, l.Action, l.Program, cell("%.2f", l.PSNR), cell("%.3f", l.BPP), cell("%.1f", 1e3*l.Seconds.Median),
			fmt.Sprintf("%.2f (%.2f)", l.Ratio.Median, l.Ratio.Best))
	}
}

func (r *Record) writeTrain(w io.Writer) {
	if t := r.Train; t != nil {
		title := fmt.Sprintf("Training: %d crops of %dx%d a step, %.1f kFLOP a pixel", t.Batch, t.Crop, t.Crop, t.FlopsPerPixel/1e3)
		tab := newTable(w, title, 1, "backend", "threads", "Mpixel/s", "best", "of the peak", "forward", "backward", "optimiser")
		for _, l := range t.Lines {
			tab.row(l.Backend, fmt.Sprint(l.Threads), cell("%.3f", l.PixelsASecond.Median/1e6), cell("%.3f", l.PixelsASecond.Best/1e6),
				shares(l.ShareOfPeak), cell("%.0f %%", 100*l.ForwardShare), cell("%.0f %%", 100*l.BackwardShare),
				cell("%.0f %%", 100*l.OptimiserShare))
		}
	}
	if p := r.PeerTrain; p != nil && len(p.Ours) > 0 && len(p.Theirs) > 0 {
		tab := newTable(w, fmt.Sprintf("Training against PyTorch %s: %d crops of %dx%d, %d threads", p.Torch, p.Batch, p.Crop, p.Crop, p.Threads), 0,
			"aecodec Mpixel/s", "PyTorch Mpixel/s", "ratio")
		ratio := "none: the machine was busy"
		if p.Ratio != nil {
			ratio = cell("%.2f", *p.Ratio)
		}
		tab.row(cell("%.3f", median(p.Ours)/1e6), cell("%.3f", median(p.Theirs)/1e6), ratio)
	}
}
