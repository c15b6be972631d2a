package main

import (
	"encoding/json"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aecodec/aecodec/codec/record"
	"github.com/aecodec/aecodec/kernels"
)

// recipeFixture is the path of one of the excerpts that the recipes are tested with.
func recipeFixture(name string) string {
	return filepath.Join(repository, "trainer", "recipes", "testdata", name)
}

// requirePNG checks that a file holds a picture.
func requirePNG(t *testing.T, name string) {
	t.Helper()
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	_, err = png.Decode(f)
	require.NoError(t, err)
}

// TestVerbs trains two models and puts every verb to them.
func TestVerbs(t *testing.T) {
	if kernels.Active() == "generic" {
		t.Skip("a minute of emulation; nothing in the commands depends on the kernels")
	}
	inFolder(t)
	images, labels := recipeFixture("digits-images-idx3-ubyte.gz"), recipeFixture("digits-labels-idx1-ubyte.gz")
	r := succeed(t, "train", "--recipe", "dense", "--data", images, "--labels", labels, "--test", images, "--test-labels", labels,
		"--epochs", "3", "--batch", "20", "--latents", "8", "-o", "dense.aem")
	require.Contains(t, r.out, "test BCE")
	require.Contains(t, r.errOut, "epoch 3 of 3")
	data := []string{images, "--labels", labels, "--model", "dense.aem"}
	with := func(verb string, args ...string) []string { return append(append([]string{verb}, data...), args...) }

	succeed(t, with("reconstruct", "-o", "back.npy", "--sheet", "sheet.png", "--noise", "50")...)
	back, err := record.Read("back.npy", nil)
	require.NoError(t, err)
	require.Equal(t, []int{28, 28}, back.Shape)
	require.Equal(t, 200, back.N)
	requirePNG(t, "sheet.png")
	succeed(t, with("reconstruct", "-o", "folder/")...)
	folder, err := os.ReadDir("folder")
	require.NoError(t, err)
	require.Len(t, folder, 200)

	r = succeed(t, with("score", "-o", "scores.csv", "--plot", "plot.png", "--sheet", "worst.png", "--quantile", "0.9")...)
	require.Contains(t, r.errOut, "ROC AUC")
	text, err := os.ReadFile("scores.csv")
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	require.Equal(t, "record,error,outlier", lines[0])
	require.Len(t, lines, 201)
	require.Equal(t, 19, strings.Count(string(text), "true"), "those above the quantile")
	requirePNG(t, "plot.png")
	requirePNG(t, "worst.png")
	r = succeed(t, with("score", "--json", "--threshold", "1e9")...)
	var list []map[string]any
	require.NoError(t, json.Unmarshal([]byte(r.out), &list))
	require.Len(t, list, 200)
	require.Equal(t, false, list[7]["outlier"])

	succeed(t, with("embed", "-o", "z.npy", "--plot", "map.png")...)
	z, err := record.Read("z.npy", nil)
	require.NoError(t, err)
	require.Equal(t, []int{8}, z.Shape)
	requirePNG(t, "map.png")

	r = succeed(t, with("neighbors", "--of", "3,5", "-k", "4", "--sheet", "near.png")...)
	require.Len(t, strings.Split(strings.TrimSpace(r.out), "\n"), 1+2*4)
	requirePNG(t, "near.png")

	r = succeed(t, with("cluster", "-k", "5", "--sheet", "clusters.png")...)
	require.Len(t, strings.Split(strings.TrimSpace(r.out), "\n"), 201)
	require.Contains(t, r.errOut, "purity")
	requirePNG(t, "clusters.png")

	succeed(t, "sample", "--model", "dense.aem", "--like", images, "-n", "20", "-o", "more.idx", "--sheet", "more.png")
	more, err := record.Read("more.idx", nil)
	require.NoError(t, err)
	require.Equal(t, 20, more.N)
	requirePNG(t, "more.png")

	succeed(t, with("interpolate", "--from", "0,1", "--to", "2,3", "--steps", "5", "-o", "between.npy", "--sheet", "between.png")...)
	between, err := record.Read("between.npy", nil)
	require.NoError(t, err)
	require.Equal(t, 10, between.N)
	back, err = record.Read("back.npy", nil)
	require.NoError(t, err)

	succeed(t, with("blend", "--a", "0", "--b", "1,2", "--c", "1,2", "-o", "blend.npy", "--sheet", "blend.png")...)
	blend, err := record.Read("blend.npy", nil)
	require.NoError(t, err)
	succeed(t, with("reconstruct", "-o", "plain.npy")...)
	plain, err := record.Read("plain.npy", nil)
	require.NoError(t, err)
	for i, v := range plain.Record(0) { // A - B + B
		require.InDelta(t, v, blend.Record(0)[i], 1)
	}

	// Curves instead of pictures, CSV in and out.
	beats := []string{recipeFixture("beats.csv"), "--label", "anomaly", "--model", "beats.aem"}
	succeed(t, "train", "--recipe", "anomaly", "--data", recipeFixture("beats-normal.csv"), "--label", "anomaly", "--epochs", "30", "--batch", "16", "-o", "beats.aem")
	r = succeed(t, append([]string{"score", "--normal", recipeFixture("beats-normal.csv"), "--sheet", "beats.png"}, beats...)...)
	require.Contains(t, r.errOut, "ROC AUC 0.9")
	succeed(t, append([]string{"reconstruct", "-o", "beats-back.csv"}, beats...)...)

	// What does not fit.
	for want, args := range map[string][]string{
		"model \"dense\" (dense) cannot sample":                       {"sample", "--model", "dense.aem", "-o", "x.npy"},
		"uint8 records of [28 28] do not fit":                         {"embed", images, "--model", "beats.aem", "-o", "x.npy"},
		"--of 200: there are records 0 to 199":                        with("neighbors", "--of", "200"),
		"201 clusters of 200 records":                                 with("cluster", "-k", "201"),
		"1 steps between two records":                                 with("interpolate", "--steps", "1", "-o", "x.npy"),
		"--from names 2 records, --to 1":                              with("interpolate", "--from", "0,1", "--to", "2", "-o", "x.npy"),
		"--c: name one or more records":                               with("blend", "--a", "0", "--b", "1", "-o", "x.npy"),
		"name a file to write: -o or --sheet":                         with("reconstruct"),
		"back.npy: exists already":                                    with("reconstruct", "-o", "back.npy"),
		"-o x.txt: the name tells the format":                         with("reconstruct", "-o", "x.txt"),
		"name a model for records":                                    {"sample", "-o", "x.npy"},
		"name one file or folder of records":                          {"embed", "--model", "dense.aem", "-o", "x.npy"},
		"--quantile 2: want more than 0 and less than 1":              with("score", "--quantile", "2"),
		"200 labels for the 3 records of three.csv":                   {"embed", "three.csv", "--labels", labels, "--model", "dense.aem", "-o", "x.npy"},
		"--labels: is for recipes: name one with --recipe":            {"train", "--data", ".", "--labels", labels, "-o", "x.aem"},
		"--steps: is not for recipes":                                 {"train", "--recipe", "dense", "--data", images, "--steps", "4", "-o", "x.aem"},
		"--latents: recipe conv does not use it":                      {"train", "--recipe", "conv", "--data", images, "--latents", "4", "-o", "x.aem"},
		"--recipe nothing: recipes: unknown recipe":                   {"train", "--recipe", "nothing", "--data", images, "-o", "x.aem"},
		"stacked: it compares test errors: test records are needed":   {"train", "--recipe", "stacked", "--data", images, "-o", "x.aem"},
		"decoder.aem: has no encoder":                                 {"embed", images, "--model", "decoder.aem", "-o", "x.npy"},
		"photo.aem: record: model":                                    {"sample", "--model", "photo.aem", "-o", "x.npy"},
		"nan.csv: record: csv: line 2":                                {"embed", "nan.csv", "--model", "beats.aem", "-o", "x.npy"},
		"empty.csv: record: no data":                                  {"embed", "empty.csv", "--model", "beats.aem", "-o", "x.npy"},
		"recipes: dense: one training record, want two or more":       {"train", "--recipe", "dense", "--data", "one.csv", "-o", "x.aem"},
		"test data are float32 of [3], training data uint8 of [28 28": {"train", "--recipe", "dense", "--data", images, "--test", "three.csv", "-o", "x.aem"},
	} {
		for name, text := range map[string]string{"three.csv": "1,2,3\n4,5,6\n7,8,9\n", "nan.csv": "1,2\n3,NaN\n", "empty.csv": "", "one.csv": "1,2,3\n"} {
			require.NoError(t, os.WriteFile(name, []byte(text), 0o666))
		}
		if !exists("decoder.aem") {
			succeed(t, "export", "--model", "dense.aem", "-o", "decoder.aem")
			succeed(t, "export", "-o", "photo.aem")
		}
		r := aecodec(t, args...)
		require.NotEqual(t, exitOK, r.code, want)
		require.Contains(t, r.errOut, want)
		require.Equal(t, 1, strings.Count(r.errOut, "\n"), r.errOut)
	}
}
