package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"

	"github.com/aecodec/aecodec/codec/nn"
	"github.com/aecodec/aecodec/codec/record"
	"github.com/aecodec/aecodec/kernels"
	"github.com/aecodec/aecodec/trainer/fit"
	"github.com/aecodec/aecodec/trainer/recipes"
)

// EmbeddingsOptions say what Embeddings measures.
type EmbeddingsOptions struct {
	Data     string // folder with mnist/ (the four IDX files)
	Seed     uint64
	Threads  int
	Epochs   int // of all trainings, for a quick look; 0: as the recipes say
	Progress func(run string, p fit.Progress)
}

// Embedding is how well classes can be told from one description of records.
type Embedding struct {
	Name    string  `json:"name"`
	Numbers int     `json:"numbers"` // that describe a record
	KNN     float64 `json:"knn"`     // accuracy of the vote of the five nearest training records
	Probe   float64 `json:"probe"`   // accuracy of a linear classifier
}

// EmbeddingsResult is the outcome of Embeddings.
type EmbeddingsResult struct {
	Machine Machine     `json:"machine"`
	Rows    []Embedding `json:"rows"`
}

// embeddingNeighbours vote.
const embeddingNeighbours = 5

// Embeddings compares descriptions of digits: the pixels, principal components,
// and the latents of autoencoders that never saw a label.
func Embeddings(ctx context.Context, o *EmbeddingsOptions) (*EmbeddingsResult, error) {
	train, test, err := digits(o.Data)
	if err != nil {
		return nil, fmt.Errorf("bench: embeddings: %w", err)
	}
	r, err := compareEmbeddings(ctx, o, train, test, 32, 20)
	if err != nil {
		return nil, fmt.Errorf("bench: embeddings: %w", err)
	}
	return r, nil
}

// compareEmbeddings compares with components and latents of so many numbers, and
// so many of the variational autoencoder.
func compareEmbeddings(ctx context.Context, o *EmbeddingsOptions, train, test *record.Set, latents, variational int) (*EmbeddingsResult, error) {
	res := &EmbeddingsResult{Machine: ThisMachine()}
	e := &embedder{ctx: ctx, o: o, train: train, test: test}
	x, y := e.raw(train), e.raw(test)
	if err := e.add(res, "pixels", x, y); err != nil {
		return nil, err
	}
	p, err := fit.NewPCA(x, o.Threads)
	if err != nil {
		return nil, err
	}
	if err := e.add(res, fmt.Sprintf("PCA-%d", latents), p.Project(x, latents), p.Project(y, latents)); err != nil {
		return nil, err
	}
	for _, m := range []struct {
		name    string
		recipe  *recipes.Recipe
		latents int
	}{{"dense", &recipes.Dense, latents}, {"VAE", &recipes.VAE, variational}} {
		x, y, err := e.learned(m.name, m.recipe, m.latents)
		if err != nil {
			return nil, err
		}
		if err := e.add(res, fmt.Sprintf("%s-%d", m.name, m.latents), x, y); err != nil {
			return nil, err
		}
	}
	return res, nil
}

type embedder struct {
	ctx         context.Context
	o           *EmbeddingsOptions
	train, test *record.Set
}

func (e *embedder) session(run string) *fit.Session {
	return &fit.Session{Context: e.ctx, Seed: e.o.Seed, Threads: e.o.Threads, Progress: func(p fit.Progress) {
		if e.o.Progress != nil {
			e.o.Progress(run, p)
		}
	}}
}

func (e *embedder) raw(s *record.Set) *nn.Tensor {
	t := nn.NewTensor(s.N, 1, 1, s.Len())
	kernels.Scale(t.Data, s.Data, 1./255)
	return t
}

// learned returns the latents of a trained model.
func (e *embedder) learned(name string, r *recipes.Recipe, latents int) (train, test *nn.Tensor, err error) {
	settings := r.Defaults
	settings.Latents = latents
	if e.o.Epochs > 0 {
		settings.Epochs = e.o.Epochs
	}
	res, err := r.Run(&recipes.Job{Session: e.session(name), Settings: settings, Train: e.train})
	if err != nil {
		return nil, nil, err
	}
	m, err := res.Models[0].Build(r.Name, record.Card{Name: r.Name}, e.o.Threads)
	if err != nil {
		return nil, nil, err
	}
	embed := func(s *record.Set) *nn.Tensor {
		z, failed := m.Latents(s, e.o.Threads)
		if failed != nil {
			err = failed
			return nil
		}
		return &nn.Tensor{N: s.N, H: 1, W: 1, C: len(z) / s.N, Data: z}
	}
	return embed(e.train), embed(e.test), err
}

// add measures a description of the training and the test records.
func (e *embedder) add(res *EmbeddingsResult, name string, x, y *nn.Tensor) error {
	row := Embedding{Name: name, Numbers: x.C}
	right := 0
	for i, class := range vote(x, y, e.train.Labels, embeddingNeighbours, e.o.Threads) {
		if class == e.test.Labels[i] {
			right++
		}
	}
	row.KNN = float64(right) / float64(y.N)

	// Numbers of a mean square of one, or those with larger values would learn faster.
	scale := float32(1 / math.Max(math.Sqrt(float64(kernels.SumSquares(x.Data))/float64(len(x.Data))), 1e-9))
	for _, t := range []*nn.Tensor{x, y} {
		kernels.Scale(t.Data, t.Data, scale)
	}
	classes := make([][]int32, 2)
	most := int32(0)
	for i, s := range []*record.Set{e.train, e.test} {
		for _, l := range s.Labels {
			classes[i] = append(classes[i], int32(l))
			most = max(most, int32(l))
		}
	}
	b := nn.NewBuilder("probe")
	b.Output(b.Dense("class", b.Input("x", x.C), int(most)+1))
	network, err := b.Build()
	if err != nil {
		return err
	}
	s := e.session("probe of " + name)
	net, err := s.Net("probe", network, nil, x.Shape())
	if err != nil {
		return err
	}
	plan := fit.Schedule{Epochs: 20, Batch: 128, LR: 2e-3, Decay: 0.05}
	if err := s.Classify("probe", fit.Chain{net}, x, classes[0], plan); err != nil {
		return err
	}
	out, err := net.Run(y)
	if err != nil {
		return err
	}
	row.Probe = fit.Accuracy(out, classes[1])
	res.Rows = append(res.Rows, row)
	return nil
}

// vote returns for each row of y the most frequent label of the k rows of x that
// are nearest by Euclidean distance; of equally frequent ones that with the
// nearest row.
func vote(x, y *nn.Tensor, labels []int, k, threads int) []int {
	const columns, rows = 4096, 64
	n := x.C
	norms := make([]float32, x.N)
	for i := range norms {
		norms[i] = kernels.SumSquares(x.Image(i))
	}
	type neighbour struct {
		distance float32 // less the row's own square
		index    int
	}
	nearest := make([][]neighbour, y.N) // ascending
	for at := 0; at < x.N; at += columns {
		part := fit.Window(x, at, min(at+columns, x.N))
		b := kernels.NewPacked(n, part.N)
		b.SetTransposed(part.Data, n)
		kernels.For(threads, (y.N+rows-1)/rows, 1, func(lo, hi int) {
			products := make([]float32, rows*part.N)
			for block := lo; block < hi; block++ {
				first := block * rows
				m := min(rows, y.N-first)
				kernels.GEMM(products, part.N, y.Data[first*n:], n, b, m, nil)
				for r := range m {
					list := nearest[first+r]
					for c, p := range products[r*part.N : (r+1)*part.N] {
						d := norms[at+c] - 2*p
						if len(list) == k && d >= list[k-1].distance {
							continue
						}
						if len(list) < k {
							list = append(list, neighbour{})
						}
						i := len(list) - 1
						for ; i > 0 && d < list[i-1].distance; i-- {
							list[i] = list[i-1]
						}
						list[i] = neighbour{d, at + c}
					}
					nearest[first+r] = list
				}
			}
		})
	}
	out := make([]int, y.N)
	for i, list := range nearest {
		votes := map[int]int{}
		for _, v := range list {
			votes[labels[v.index]]++
		}
		best := 0
		for _, v := range list {
			if l := labels[v.index]; votes[l] > best {
				best, out[i] = votes[l], l
			}
		}
	}
	return out
}

// WriteTable writes a Markdown table.
func (r *EmbeddingsResult) WriteTable(w io.Writer) error {
	e := &errWriter{w: w}
	fmt.Fprintf(e, "| described by | numbers | %d nearest neighbours | linear probe |\n|---|---|---|---|\n", embeddingNeighbours)
	for _, row := range r.Rows {
		fmt.Fprintf(e, "| %s | %d | %.2f %% | %.2f %% |\n", row.Name, row.Numbers, 100*row.KNN, 100*row.Probe)
	}
	return e.err
}

// WriteJSON writes the result as JSON.
func (r *EmbeddingsResult) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
