package bench

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aecodec/aecodec/codec/picture"
	"github.com/aecodec/aecodec/codec/record"
	"github.com/aecodec/aecodec/trainer/fit"
	"github.com/aecodec/aecodec/trainer/recipes"
)

// RecipesOptions say what Recipes runs.
type RecipesOptions struct {
	// Data is a folder with mnist/ (the four IDX files, compressed with gzip),
	// ecg/ECG5000_all.csv (columns split, anomaly, class5 and 140 values), the
	// photographs of train_photos/, train_cid22/ and valid_cid22/, and blood/ (train
	// and test).
	Data     string
	Only     []string // names of runs; empty: all
	Seed     uint64
	Threads  int
	Epochs   int // for all runs, for a quick look; 0: as the recipes say
	Progress func(run string, p fit.Progress)
}

// RecipeRun is a recipe on a data set.
type RecipeRun struct {
	Name    string           `json:"name"`
	Figures []recipes.Figure `json:"figures"`
	Seconds float64          `json:"seconds"` // of training and measuring
	Epoch   float64          `json:"epoch_seconds"`
	// CPU is the time that the processors worked, which a busy machine hardly
	// changes.
	CPU float64 `json:"cpu_seconds"`
}

// RecipesResult is the outcome of all runs.
type RecipesResult struct {
	Machine Machine      `json:"machine"`
	Threads int          `json:"threads"`
	Runs    []*RecipeRun `json:"runs"`
}

// recipeRuns are the runs with the data they take.
var recipeRuns = []struct {
	name   string
	recipe *recipes.Recipe
	data   func(dir string) (train, test *record.Set, err error)
	change func(*recipes.Settings)
}{
	{"dense", &recipes.Dense, digits, nil},
	{"conv", &recipes.Conv, digits, nil},
	{"linear", &recipes.Linear, digits, nil},
	{"denoise-dense", &recipes.Denoise, digits, func(s *recipes.Settings) { s.Network = "dense" }},
	{"denoise-deep", &recipes.Denoise, digits, func(s *recipes.Settings) { s.Network = "deep" }},
	{"denoise-conv", &recipes.Denoise, digits, nil},
	{"denoise-ecg", &recipes.Denoise, beats, func(s *recipes.Settings) { s.Batch, s.Epochs = 32, 12 }},
	{"anomaly", &recipes.Anomaly, normalBeats, nil},
	{"vae", &recipes.VAE, digits, nil},
	{"stacked", &recipes.Stacked, digits, nil},
	{"swap", &recipes.Swap, digits, nil},
	{"colorize", &recipes.Colorize, photographs, func(s *recipes.Settings) { s.Epochs = 7 }}, // with more it knows them by heart
	{"colorize-blood", &recipes.Colorize, smears, nil},
	{"gan", &recipes.GAN, digits, nil},
	{"gan-wasserstein", &recipes.GAN, digits, func(s *recipes.Settings) { s.Network = "wasserstein" }},
}

// RecipeRunNames returns the names of all runs.
func RecipeRunNames() []string {
	var names []string
	for _, r := range recipeRuns {
		names = append(names, r.name)
	}
	return names
}

// Recipes runs recipes at full length on their data and measures what they
// promise.
func Recipes(ctx context.Context, o *RecipesOptions) (*RecipesResult, error) {
	for _, name := range o.Only {
		if !slices.Contains(RecipeRunNames(), name) {
			return nil, fmt.Errorf("bench: recipes: unknown run %q: there are %s", name, strings.Join(RecipeRunNames(), ", "))
		}
	}
	res := &RecipesResult{Machine: ThisMachine(), Threads: o.Threads}
	for _, r := range recipeRuns {
		if len(o.Only) > 0 && !slices.Contains(o.Only, r.name) {
			continue
		}
		train, test, err := r.data(o.Data)
		if err != nil {
			return nil, fmt.Errorf("bench: recipes: %s: %w", r.name, err)
		}
		settings := r.recipe.Defaults
		if r.change != nil {
			r.change(&settings)
		}
		if o.Epochs > 0 {
			settings.Epochs = o.Epochs
		}
		run := &RecipeRun{Name: r.name}
		stage := ""
		session := &fit.Session{Context: ctx, Seed: o.Seed, Threads: o.Threads, Progress: func(p fit.Progress) {
			if stage == "" {
				stage = p.Stage
			}
			// The first stage is the recipe itself; its fastest epoch is the
			// one that other programs disturbed least.
			if p.Stage == stage && (run.Epoch == 0 || p.Seconds < run.Epoch) {
				run.Epoch = p.Seconds
			}
			if o.Progress != nil {
				o.Progress(r.name, p)
			}
		}}
		started, cpu := time.Now(), processTime()
		result, err := r.recipe.Run(&recipes.Job{Session: session, Settings: settings, Train: train, Test: test})
		if err != nil {
			return nil, fmt.Errorf("bench: recipes: %s: %w", r.name, err)
		}
		run.Seconds, run.CPU, run.Figures = time.Since(started).Seconds(), processTime()-cpu, result.Figures
		res.Runs = append(res.Runs, run)
	}
	return res, nil
}

// WriteTable writes a Markdown table, a line for each figure.
func (r *RecipesResult) WriteTable(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s kernels, %d threads\n\n", r.Machine.CPU, r.Machine.Kernels, r.Threads)
	b.WriteString("| run | figure | value | unit | must be | reached | seconds | CPU seconds | an epoch |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, run := range r.Runs {
		for i, f := range run.Figures {
			reached, times := "", "| | | |"
			switch {
			case f.Sign != 0 && f.Reached():
				reached = "yes"
			case f.Sign != 0:
				reached = "NO"
			}
			if i == 0 {
				times = fmt.Sprintf("| %.1f | %.1f | %.2f |", run.Seconds, run.CPU, run.Epoch)
			}
			fmt.Fprintf(&b, "| %s | %s | %.5g | %s | %s | %s %s\n", run.Name, f.Name, f.Value, f.Unit, f.Bound(), reached, times)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteJSON writes the result as JSON.
func (r *RecipesResult) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

func digits(dir string) (train, test *record.Set, err error) {
	load := func(kind string) (*record.Set, error) {
		base := filepath.Join(dir, "mnist", kind)
		s, err := record.Read(base+"-images-idx3-ubyte.gz", nil)
		if err != nil {
			return nil, err
		}
		f, err := os.Open(base + "-labels-idx1-ubyte.gz")
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if s.Labels, err = record.ReadIDXLabels(f); err != nil {
			return nil, err
		}
		return s, s.Check()
	}
	if train, err = load("train"); err != nil {
		return nil, nil, err
	}
	test, err = load("t10k")
	return train, test, err
}

// normalBeats returns the split of ECG5000 that trains on normal beats.
func normalBeats(dir string) (train, test *record.Set, err error) {
	return splitBeats(dir, func(_ int, split string) bool { return split == "train" })
}

// beats returns four fifths and one fifth of all beats of ECG5000.
func beats(dir string) (train, test *record.Set, err error) {
	return splitBeats(dir, func(i int, _ string) bool { return i%5 != 4 })
}

func splitBeats(dir string, trains func(i int, split string) bool) (train, test *record.Set, err error) {
	name := filepath.Join(dir, "ecg", "ECG5000_all.csv")
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(rows) < 2 || len(rows[0]) < 4 || rows[0][0] != "split" {
		return nil, nil, fmt.Errorf("%s: the first columns are not split, anomaly and class5", name)
	}
	// The reader of records wants numbers only.
	var parts [2]bytes.Buffer
	var writers [2]*csv.Writer
	for k := range parts {
		writers[k] = csv.NewWriter(&parts[k])
		_ = writers[k].Write(rows[0][1:])
	}
	for i, row := range rows[1:] {
		k := 1
		if trains(i, row[0]) {
			k = 0
		}
		_ = writers[k].Write(row[1:])
	}
	var sets [2]*record.Set
	for k := range parts {
		writers[k].Flush()
		// Columns 1 and 2 are the mark and the class.
		o := &record.ReadOptions{Columns: []string{fmt.Sprintf("3:%d", len(rows[0])-1)}, Label: "anomaly"}
		if sets[k], err = record.ReadCSV(&parts[k], o); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return sets[0], sets[1], nil
}

// Photographs as records.
const (
	photoSide  = 64
	photoCrops = 10 // of each training picture
)

// photographs returns square pieces of photographs, scaled down: of the training
// pictures several each, of the others the middle.
func photographs(dir string) (train, test *record.Set, err error) {
	if train, err = squares(photoCrops, filepath.Join(dir, "train_photos"), filepath.Join(dir, "train_cid22")); err != nil {
		return nil, nil, err
	}
	test, err = squares(1, filepath.Join(dir, "valid_cid22"))
	return train, test, err
}

// smears returns pieces of blood smears, photographs of one kind of thing.
func smears(dir string) (train, test *record.Set, err error) {
	if train, err = squares(photoCrops, filepath.Join(dir, "blood", "train")); err != nil {
		return nil, nil, err
	}
	test, err = squares(4, filepath.Join(dir, "blood", "test"))
	return train, test, err
}

// squares returns square pieces of the pictures of folders, scaled down: the
// middle of each, and others at random.
func squares(pieces int, dirs ...string) (*record.Set, error) {
	var files []string
	for _, dir := range dirs {
		f, err := picture.Find(dir)
		if err != nil {
			return nil, err
		}
		files = append(files, f...)
	}
	var data []float32
	for i, name := range files {
		pixels, w, h, err := loadRGB(name)
		if err != nil {
			return nil, err
		}
		r := fit.NewStream(1, "pieces", i)
		for k := range pieces {
			side := min(w, h)
			x, y := (w-side)/2, (h-side)/2
			if k > 0 { // from half of the height to all of it
				side -= r.IntN(side/2 + 1)
				x, y = r.IntN(w-side+1), r.IntN(h-side+1)
			}
			data = appendScaled(data, pixels, w, x, y, side)
		}
	}
	const size = photoSide * photoSide * 3
	return &record.Set{Shape: []int{photoSide, photoSide, 3}, Kind: record.Uint8, N: len(data) / size, Data: data}, nil
}

// appendScaled appends the square at (x0, y0) as photoSide² pixels, each the mean
// of those that fall into it.
func appendScaled(data []float32, pixels []uint8, w, x0, y0, side int) []float32 {
	for y := range photoSide {
		top, bottom := y0+y*side/photoSide, y0+max((y+1)*side/photoSide, y*side/photoSide+1)
		for x := range photoSide {
			left, right := x0+x*side/photoSide, x0+max((x+1)*side/photoSide, x*side/photoSide+1)
			var sum [3]int
			for v := top; v < bottom; v++ {
				for u := left; u < right; u++ {
					p := pixels[3*(v*w+u):]
					sum[0], sum[1], sum[2] = sum[0]+int(p[0]), sum[1]+int(p[1]), sum[2]+int(p[2])
				}
			}
			n := (bottom - top) * (right - left)
			for _, s := range sum {
				data = append(data, float32((s+n/2)/n))
			}
		}
	}
	return data
}

// loadRGB reads a picture as bytes of red, green and blue.
func loadRGB(name string) (pixels []uint8, w, h int, err error) {
	m, _, err := picture.ReadFile(name, nil)
	if err != nil {
		return nil, 0, 0, fmt.Errorf("%s: %w", name, err)
	}
	b := m.Bounds()
	w, h = b.Dx(), b.Dy()
	pixels = make([]uint8, 0, 3*w*h)
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			r, g, b, _ := m.At(x, y).RGBA()
			pixels = append(pixels, uint8(r>>8), uint8(g>>8), uint8(b>>8))
		}
	}
	return pixels, w, h, nil
}
