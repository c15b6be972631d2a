// Package explore looks at records through the latents of a trained model:
// errors of reconstruction, neighbours, clusters, maps, samples, and sums and
// differences of latents, with pictures of all of these.
package explore

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/record"
	"github.com/aecodec/aecodec/kernels"
	"github.com/aecodec/aecodec/trainer/fit"
)

// Reconstruct returns what the model makes of records, without quantisation;
// bytes are rounded.
func Reconstruct(m *record.Model, s *record.Set, threads int) (*record.Set, error) {
	z, err := m.Latents(s, threads)
	if err != nil {
		return nil, err
	}
	out, err := Decode(m, z, threads)
	if err != nil {
		return nil, err
	}
	out.Labels, out.Origin = s.Labels, s.Origin
	return out, nil
}

// Decode returns the records of latents; bytes are rounded.
func Decode(m *record.Model, latents []float32, threads int) (*record.Set, error) {
	out, err := m.Synthesize(latents, threads)
	if err != nil {
		return nil, err
	}
	if out.Kind == record.Uint8 {
		kernels.Clamp(out.Data, out.Data, 0, 255)
		kernels.Round(out.Data, out.Data)
	}
	return out, nil
}

// Scores returns the mean squared error of each record's reconstruction, in the
// square of the records' unit.
func Scores(m *record.Model, s *record.Set, threads int) ([]float64, error) {
	z, err := m.Latents(s, threads)
	if err != nil {
		return nil, err
	}
	back, err := m.Synthesize(z, threads)
	if err != nil {
		return nil, err
	}
	out := make([]float64, s.N)
	for i := range out {
		out[i] = float64(kernels.SumSquaredDiff(s.Record(i), back.Record(i))) / float64(s.Len())
	}
	return out, nil
}

// Neighbors returns the indices of the k rows of n numbers nearest to row i,
// by Euclidean distance, i left out, and their distances.
func Neighbors(rows []float32, n, i, k int) (index []int, distance []float64) {
	own := rows[i*n : (i+1)*n]
	all := make([]float64, len(rows)/n)
	for r := range all {
		all[r] = math.Sqrt(float64(kernels.SumSquaredDiff(own, rows[r*n:(r+1)*n])))
		if r != i {
			index = append(index, r)
		}
	}
	slices.SortStableFunc(index, func(a, b int) int { return cmp.Compare(all[a], all[b]) })
	index = index[:min(k, len(index))]
	for _, r := range index {
		distance = append(distance, all[r])
	}
	return index, distance
}

// Clusters is a partition of rows.
type Clusters struct {
	Of      []int // cluster of each row
	Sizes   []int
	Centres []float32
	Spread  float64 // mean squared distance of a row from its centre
}

// restarts is how many starts of k-means compete.
const restarts = 4

// KMeans partitions rows of n numbers by Lloyd's algorithm from the starts of
// k-means++ (Arthur and Vassilvitskii, SODA 2007), and returns the best of a few.
func KMeans(rows []float32, n, k int, seed uint64, threads int) (*Clusters, error) {
	count := len(rows) / n
	if k < 1 || k > count {
		return nil, fmt.Errorf("explore: %d clusters of %d records", k, count)
	}
	var best *Clusters
	for start := range restarts {
		c := &Clusters{Centres: plusPlus(rows, n, k, fit.NewStream(seed, "k-means", start))}
		for range 100 {
			if !c.assign(rows, n, threads) {
				break
			}
			c.move(rows, n)
		}
		if best == nil || c.Spread < best.Spread {
			best = c
		}
	}
	return best, nil
}

// plusPlus draws centres, each with a probability that grows with the squared
// distance from those before.
func plusPlus(rows []float32, n, k int, r fit.Stream) []float32 {
	count := len(rows) / n
	row := func(i int) []float32 { return rows[i*n : (i+1)*n] }
	centres := append([]float32{}, row(r.IntN(count))...)
	nearest := make([]float64, count)
	for i := range nearest {
		nearest[i] = math.Inf(1)
	}
	for len(centres) < k*n {
		sum := 0.0
		for i := range nearest {
			nearest[i] = min(nearest[i], float64(kernels.SumSquaredDiff(row(i), centres[len(centres)-n:])))
			sum += nearest[i]
		}
		at, pick := float64(r.Float64()*sum), count-1
		for i, d := range nearest {
			if at -= d; at < 0 {
				pick = i
				break
			}
		}
		centres = append(centres, row(pick)...)
	}
	return centres
}

// assign gives every row to the nearest centre and tells whether any changed.
func (c *Clusters) assign(rows []float32, n, threads int) bool {
	of, distance := make([]int, len(rows)/n), make([]float64, len(rows)/n)
	kernels.For(threads, len(of), 64, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			distance[i] = math.Inf(1)
			for k := 0; k*n < len(c.Centres); k++ {
				if d := float64(kernels.SumSquaredDiff(rows[i*n:(i+1)*n], c.Centres[k*n:(k+1)*n])); d < distance[i] {
					of[i], distance[i] = k, d
				}
			}
		}
	})
	changed := !slices.Equal(of, c.Of)
	c.Of, c.Spread = of, fit.Mean(distance)
	return changed
}

// move puts every centre in the middle of its rows; one without rows stays.
func (c *Clusters) move(rows []float32, n int) {
	sums := make([]float64, len(c.Centres))
	c.Sizes = make([]int, len(c.Centres)/n)
	for i, k := range c.Of {
		c.Sizes[k]++
		for d, v := range rows[i*n : (i+1)*n] {
			sums[k*n+d] += float64(v)
		}
	}
	for k, size := range c.Sizes {
		for d := 0; size > 0 && d < n; d++ {
			c.Centres[k*n+d] = float32(sums[k*n+d] / float64(size))
		}
	}
}

// Agreement compares clusters with labels. Purity is the share of records whose
// label is the most frequent one of their cluster. NMI, normalised mutual
// information, is 0 for clusters that say nothing about the labels and 1 for
// the same partition.
func Agreement(clusters, labels []int) (purity, nmi float64) {
	joint, a, b := map[[2]int]float64{}, map[int]float64{}, map[int]float64{}
	n := float64(len(labels))
	for i, l := range labels {
		joint[[2]int{clusters[i], l}]++
		a[clusters[i]]++
		b[l]++
	}
	most := map[int]float64{}
	information := 0.0
	for k, v := range joint {
		most[k[0]] = max(most[k[0]], v)
		information += v / n * math.Log(v*n/(a[k[0]]*b[k[1]]))
	}
	for _, v := range most {
		purity += v / n
	}
	entropy := func(p map[int]float64) float64 {
		h := 0.0
		for _, v := range p {
			h -= v / n * math.Log(v/n)
		}
		return h
	}
	if h := entropy(a) + entropy(b); h > 0 {
		nmi = 2 * information / h
	} else {
		nmi = 1 // one cluster, one label
	}
	return purity, nmi
}

// Project returns two numbers for each row of n: its first two principal
// components.
func Project(rows []float32, n, threads int) ([][2]float64, error) {
	count := len(rows) / n
	if n < 2 || count < 2 {
		return nil, fmt.Errorf("explore: a map needs two or more records of two or more numbers, not %d of %d", count, n)
	}
	x := &nn.Tensor{N: count, H: 1, W: 1, C: n, Data: rows}
	p, err := fit.NewPCA(x, threads)
	if err != nil {
		return nil, fmt.Errorf("explore: map: %w", err)
	}
	if len(p.Values) < 2 {
		return nil, fmt.Errorf("explore: a map of records of %d numbers needs more than %d of them", n, count)
	}
	y := p.Project(x, 2)
	out := make([][2]float64, count)
	for i := range out {
		out[i] = [2]float64{float64(y.Data[2*i]), float64(y.Data[2*i+1])}
	}
	return out, nil
}

// ErrNoPrior says that nothing is known of the distribution of a model's
// latents.
var ErrNoPrior = errors.New("its latents follow no known distribution: give records to fit one to, or train with recipe vae or gan")

// Sample returns latents of n new records. Those of vae and gan models are
// standard normal. For other models a normal distribution is fitted to the
// latents of records, which must be given.
func Sample(m *record.Model, like *record.Set, n int, seed uint64, threads int) ([]float32, error) {
	if n < 1 {
		return nil, fmt.Errorf("explore: %d samples, want one or more", n)
	}
	size := m.Latent().Len()
	out := make([]float32, n*size)
	fit.NewStream(seed, "samples").Normals(out)
	switch {
	case m.Recipe() == "vae" || m.Recipe() == "gan":
		return out, nil
	case like == nil:
		return nil, fmt.Errorf("explore: model %q (%s) cannot sample: %w", m.Name(), m.Recipe(), ErrNoPrior)
	}
	z, err := m.Latents(like, threads)
	if err != nil {
		return nil, err
	}
	p, err := fit.NewPCA(&nn.Tensor{N: like.N, H: 1, W: 1, C: size, Data: z}, threads)
	if err != nil {
		return nil, fmt.Errorf("explore: model %q cannot sample: %w", m.Name(), err)
	}
	// Independent along the components, with their variances.
	for i := range n {
		row := out[i*size : (i+1)*size]
		sum := slices.Clone(p.Mean)
		for k, variance := range p.Values {
			length := float64(row[k]) * math.Sqrt(max(variance, 0))
			for c := range sum {
				sum[c] += float64(length * p.Basis[k*size+c])
			}
		}
		for c, v := range sum {
			row[c] = float32(v)
		}
	}
	return out, nil
}

// Interpolate returns steps latents from a to b, both included.
func Interpolate(a, b []float32, steps int) ([]float32, error) {
	if steps < 2 {
		return nil, fmt.Errorf("explore: %d steps between two records, want two or more", steps)
	}
	out := make([]float32, steps*len(a))
	for i := range steps {
		kernels.Lerp(out[i*len(a):(i+1)*len(a)], a, b, float32(i)/float32(steps-1))
	}
	return out, nil
}

// Blend returns a - b + c.
func Blend(a, b, c []float32) []float32 {
	out := make([]float32, len(a))
	kernels.Sub(out, a, b)
	kernels.Add(out, out, c)
	return out
}

// MeanRow returns the mean of some of the rows of n numbers.
func MeanRow(rows []float32, n int, index []int) []float32 {
	sum := make([]float64, n)
	for _, i := range index {
		for k, v := range rows[i*n : (i+1)*n] {
			sum[k] += float64(v)
		}
	}
	out := make([]float32, n)
	for k := range out {
		out[k] = float32(sum[k] / float64(len(index)))
	}
	return out
}

// Typical returns up to most rows of a cluster, those nearest to its centre
// first.
func (c *Clusters) Typical(rows []float32, n, cluster, most int) []int {
	var index []int
	distance := map[int]float32{}
	for i, of := range c.Of {
		if of == cluster {
			index = append(index, i)
			distance[i] = kernels.SumSquaredDiff(rows[i*n:(i+1)*n], c.Centres[cluster*n:(cluster+1)*n])
		}
	}
	slices.SortStableFunc(index, func(a, b int) int { return cmp.Compare(distance[a], distance[b]) })
	return index[:min(most, len(index))]
}
