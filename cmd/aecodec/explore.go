package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/aecodec/aecodec/cmd/aecodec/internal/cli"
	"github.com/aecodec/aecodec/codec/record"
	"github.com/aecodec/aecodec/trainer/explore"
	"github.com/aecodec/aecodec/trainer/recipes"
)

// verb is a command that looks at records with a model.
type verb struct {
	*app
	recordFlags
	model  string
	output string
	sheet  string
	plot   string
	force  bool
	seed   uint64
}

// verbCommand makes the command of a verb and gives it the flags that all have.
func (a *app) verbCommand(use, short, long, example string, args func(*cli.Command, []string) error,
	run func(v *verb, args []string) error) (*cli.Command, *verb) {
	v := &verb{app: a}
	cmd := &cli.Command{
		Use: use, Short: short, Long: long, Example: example, Args: args,
		Run: func(_ *cli.Command, args []string) error { return run(v, args) },
	}
	f := cmd.Flags()
	f.StringVar(&v.model, "model", "", "model for records, made by aecodec train --recipe")
	f.StringVarP(&v.output, "output", "o", "", "file to write the result to")
	f.StringVar(&v.sheet, "sheet", "", "PNG file to draw records to, side by side")
	f.BoolVar(&v.force, "force", false, "replace existing files")
	f.Uint64Var(&v.seed, "seed", 1, "seed of all random numbers")
	v.recordFlags.add(f)
	return cmd, v
}

// open reads model and records and sees to it that they fit.
func (v *verb) open(name string) (*record.Model, *record.Set, error) {
	m, err := loadRecordModel(v.model)
	if err != nil {
		return nil, nil, err
	}
	s, err := v.read(name, v.labels)
	if err != nil {
		return nil, nil, err
	}
	if !m.CanEncode() {
		return nil, nil, fmt.Errorf("%s: has no encoder: it can only decode and sample; export keeps it out on purpose", v.model)
	}
	if s.Kind != m.Kind() || !slices.Equal(s.Shape, m.Shape()) {
		return nil, nil, fmt.Errorf("%s: %v records of %v do not fit: the model is for %v records of %v", name, s.Kind, s.Shape, m.Kind(), m.Shape())
	}
	return m, s, nil
}

// writeRecords writes records in the format that a file's name tells.
func (v *verb) writeRecords(name string, s *record.Set) error {
	if name == "" {
		return nil
	}
	format, ok := record.FormatOf(name)
	switch {
	case ok:
	case strings.HasSuffix(name, "/") && s.Kind == record.Uint8:
		_, err := v.writePictures(name, s, v.force)
		return err
	default:
		return usagef("-o %s: the name tells the format: .npy, .idx, .csv, .wav, .i16, or FOLDER/ for pictures", name)
	}
	_, err := v.writeOutput(name, v.force, func(w io.Writer) error { return record.Write(w, s, format) })
	return err
}

func (v *verb) drawSheet(rows []*record.Set) error {
	if v.sheet == "" {
		return nil
	}
	_, err := v.writeOutput(v.sheet, v.force, func(w io.Writer) error { return explore.WriteSheet(w, rows) })
	return err
}

// sheetColumns is how many records are side by side on a contact sheet.
const sheetColumns = 16

func (v *verb) needOutput(names ...string) error {
	if slices.ContainsFunc(names, func(n string) bool { return n != "" }) {
		return nil
	}
	return usagef("name a file to write: -o or --sheet")
}

func oneFile(_ *cli.Command, args []string) error {
	if len(args) != 1 {
		return usagef("name one file or folder of records")
	}
	return nil
}

// writeTable writes rows as CSV, or as JSON objects where that is asked for or
// the name says so.
func (v *verb) writeTable(header []string, rows [][]string) error {
	name := v.output
	if name == "" {
		name = stdio
	}
	_, err := v.writeOutput(name, v.force, func(w io.Writer) error {
		if v.json || strings.HasSuffix(name, ".json") {
			list := make([]map[string]any, len(rows))
			for i, row := range rows {
				list[i] = map[string]any{}
				for k, cell := range row {
					if number, err := strconv.ParseFloat(cell, 64); err == nil {
						list[i][header[k]] = number
					} else {
						list[i][header[k]] = cell == "true"
					}
				}
			}
			return writeJSON(w, list)
		}
		c := csv.NewWriter(w)
		if err := c.Write(header); err != nil {
			return err
		}
		return c.WriteAll(rows)
	})
	return err
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

func (a *app) reconstructCommand() *cli.Command {
	var noise float64
	cmd, _ := a.verbCommand("reconstruct RECORDS --model MODEL.aem -o FILE", "Encode and decode records: denoise or colour them",
		`Pass records through a model's encoder and decoder, without quantisation. What that does to them depends on what the model was
trained for: denoise takes away noise, colorize gives colours to gray pictures, others smooth. The sheet shows originals above
reconstructions.`,
		`  aecodec reconstruct noisy.npy --model denoise.aem -o clean.npy
  aecodec reconstruct t10k-images-idx3-ubyte.gz --model denoise.aem --noise 128 --sheet denoised.png`,
		oneFile, func(v *verb, args []string) error {
			if err := v.needOutput(v.output, v.sheet); err != nil {
				return err
			}
			m, s, err := v.open(args[0])
			if err != nil {
				return err
			}
			rows := []*record.Set{s.Slice(0, min(s.N, sheetColumns))}
			if noise != 0 {
				s = recipes.WithNoise(s, noise, v.seed)
				rows = append(rows, s.Slice(0, min(s.N, sheetColumns)))
			}
			out, err := explore.Reconstruct(m, s, v.threads)
			if err != nil {
				return err
			}
			if err := v.writeRecords(v.output, out); err != nil {
				return err
			}
			return v.drawSheet(append(rows, out.Slice(0, min(s.N, sheetColumns))))
		})
	cmd.Flags().Float64Var(&noise, "noise", 0, "deviation of Gaussian noise to add first, in the records' unit, to see what the model does to it")
	return cmd
}

func (a *app) scoreCommand() *cli.Command {
	var threshold, quantile float64
	var normal string
	cmd, v := a.verbCommand("score RECORDS --model MODEL.aem", "Reconstruction error of each record, and which are outliers",
		`Print each record's mean squared error of reconstruction, and whether it is above the threshold: a given one, or the quantile of
the errors of normal records (--normal), or of these records themselves. The sheet shows the worst records above their
reconstructions. With labels, 0 for normal ones, it also tells accuracy, precision, recall and ROC AUC on standard error.`,
		`  aecodec score beats.csv --model anomaly.aem --normal normal.csv --quantile 0.98 -o scores.csv --plot scores.png
  aecodec score beats.npy --model anomaly.aem --threshold 0.2 --json`,
		oneFile, nil)
	cmd.Run = func(cmd *cli.Command, args []string) error {
		if !(quantile > 0 && quantile < 1) {
			return usagef("--quantile %g: want more than 0 and less than 1", quantile)
		}
		m, s, err := v.open(args[0])
		if err != nil {
			return err
		}
		scores, err := explore.Scores(m, s, v.threads)
		if err != nil {
			return err
		}
		if !cmd.Flags().Changed("threshold") {
			of := scores
			if normal != "" {
				_, n, err := v.open(normal)
				if err != nil {
					return err
				}
				if of, err = explore.Scores(m, n, v.threads); err != nil {
					return err
				}
			}
			threshold = recipes.Quantile(of, quantile)
		}
		rows := make([][]string, s.N)
		order := make([]int, s.N)
		for i, score := range scores {
			rows[i] = []string{strconv.Itoa(i), number(score), strconv.FormatBool(score > threshold)}
			order[i] = i
		}
		if err := v.writeTable([]string{"record", "error", "outlier"}, rows); err != nil {
			return err
		}
		if s.Labels != nil && !v.quiet {
			c := recipes.CountOutliers(scores, s.Labels, threshold)
			fmt.Fprintf(v.stderr, "threshold %.6g: accuracy %.4f, precision %.4f, recall %.4f, ROC AUC %.4f\n",
				threshold, c.Accuracy(), c.Precision(), c.Recall(), recipes.AUC(scores, s.Labels))
		}
		if v.plot != "" {
			if _, err := v.writeOutput(v.plot, v.force, func(w io.Writer) error {
				return explore.WriteScores(w, scores, s.Labels, threshold)
			}); err != nil {
				return err
			}
		}
		slices.SortStableFunc(order, func(x, y int) int {
			switch {
			case scores[x] > scores[y]:
				return -1
			case scores[x] < scores[y]:
				return 1
			}
			return 0
		})
		worst := s.Select(order[:min(s.N, sheetColumns/2)])
		back, err := explore.Reconstruct(m, worst, v.threads)
		if err != nil {
			return err
		}
		return v.drawSheet([]*record.Set{worst, back})
	}
	f := cmd.Flags()
	f.Float64Var(&threshold, "threshold", 0, "errors above it are outliers")
	f.Float64Var(&quantile, "quantile", 0.98, "share of the normal records below the threshold")
	f.StringVar(&normal, "normal", "", "records known to be normal, for the threshold")
	f.StringVar(&v.plot, "plot", "", "PNG file to draw the errors to, sorted")
	return cmd
}

// latents reads records and encodes them.
func (v *verb) latents(name string) (*record.Model, *record.Set, []float32, error) {
	m, s, err := v.open(name)
	if err != nil {
		return nil, nil, nil, err
	}
	z, err := m.Latents(s, v.threads)
	return m, s, z, err
}

// index checks that records of some numbers exist.
func index(s *record.Set, flag string, numbers ...int) error {
	for _, i := range numbers {
		if i < 0 || i >= s.N {
			return usagef("--%s %d: there are records 0 to %d", flag, i, s.N-1)
		}
	}
	return nil
}

func (a *app) embedCommand() *cli.Command {
	cmd, v := a.verbCommand("embed RECORDS --model MODEL.aem -o FILE", "Latents of records, as a table and as a map",
		`Write the latents of records, a row each, as .npy or .csv, and draw a map of their first two principal components, coloured by label
where there are labels.`,
		`  aecodec embed t10k-images-idx3-ubyte.gz --labels t10k-labels-idx1-ubyte.gz --model vae.aem -o z.npy --plot map.png`,
		oneFile, func(v *verb, args []string) error {
			if v.output == "" && v.plot == "" {
				return usagef("name a file to write: -o or --plot")
			}
			m, s, z, err := v.latents(args[0])
			if err != nil {
				return err
			}
			if v.output != "" {
				table := &record.Set{Shape: []int{m.Latent().Len()}, Kind: record.Float32, N: s.N, Data: z}
				if err := v.writeRecords(v.output, table); err != nil {
					return err
				}
			}
			if v.plot == "" {
				return nil
			}
			points, err := explore.Project(z, m.Latent().Len(), v.threads)
			if err != nil {
				return err
			}
			_, err = v.writeOutput(v.plot, v.force, func(w io.Writer) error { return explore.WriteMap(w, "latents", points, s.Labels) })
			return err
		})
	cmd.Flags().StringVar(&v.plot, "plot", "", "PNG file to draw the map to")
	return cmd
}

func (a *app) neighborsCommand() *cli.Command {
	var of []int
	var k int
	cmd, _ := a.verbCommand("neighbors RECORDS --model MODEL.aem --of N[,N...]", "Records with the most similar latents",
		`Print the records whose latents are nearest to those of the given ones, by Euclidean distance. The sheet has a row for each given
record, which comes first.`,
		`  aecodec neighbors t10k-images-idx3-ubyte.gz --model vae.aem --of 0,1,2,3 -k 12 --sheet near.png`,
		oneFile, func(v *verb, args []string) error {
			if k < 1 {
				return usagef("-k %d: want one or more", k)
			}
			m, s, z, err := v.latents(args[0])
			if err != nil {
				return err
			}
			if err := index(s, "of", of...); err != nil {
				return err
			}
			if s.N < 2 {
				return fmt.Errorf("%s: one record has no neighbours", args[0])
			}
			var table [][]string
			var rows []*record.Set
			for _, i := range of {
				near, distance := explore.Neighbors(z, m.Latent().Len(), i, k)
				for r, n := range near {
					table = append(table, []string{strconv.Itoa(i), strconv.Itoa(r + 1), strconv.Itoa(n), number(distance[r])})
				}
				rows = append(rows, s.Select(append([]int{i}, near...)))
			}
			if err := v.writeTable([]string{"record", "rank", "neighbor", "distance"}, table); err != nil {
				return err
			}
			return v.drawSheet(rows)
		})
	cmd.Flags().IntSliceVar(&of, "of", []int{0}, "records whose neighbours are wanted, counted from 0")
	cmd.Flags().IntVarP(&k, "neighbors", "k", 10, "how many")
	return cmd
}

func (a *app) clusterCommand() *cli.Command {
	var k int
	cmd, _ := a.verbCommand("cluster RECORDS --model MODEL.aem -k N", "Group records by their latents",
		`Group records with k-means over their latents and print the cluster of each. With labels it also tells, on standard error, how well
the clusters agree with them: purity and normalised mutual information. The sheet has a row for each cluster, its most typical
records first.`,
		`  aecodec cluster t10k-images-idx3-ubyte.gz --labels t10k-labels-idx1-ubyte.gz --model vae.aem -k 10 -o clusters.csv --sheet clusters.png`,
		oneFile, func(v *verb, args []string) error {
			m, s, z, err := v.latents(args[0])
			if err != nil {
				return err
			}
			n := m.Latent().Len()
			c, err := explore.KMeans(z, n, k, v.seed, v.threads)
			if err != nil {
				return err
			}
			table := make([][]string, s.N)
			for i, of := range c.Of {
				table[i] = []string{strconv.Itoa(i), strconv.Itoa(of)}
			}
			if err := v.writeTable([]string{"record", "cluster"}, table); err != nil {
				return err
			}
			if s.Labels != nil && !v.quiet {
				purity, nmi := explore.Agreement(c.Of, s.Labels)
				fmt.Fprintf(v.stderr, "agreement with the labels: purity %.4f, normalised mutual information %.4f\n", purity, nmi)
			}
			if v.sheet == "" {
				return nil
			}
			var rows []*record.Set
			for of := range c.Sizes {
				if typical := c.Typical(z, n, of, sheetColumns); len(typical) > 0 {
					rows = append(rows, s.Select(typical))
				}
			}
			return v.drawSheet(rows)
		})
	cmd.Flags().IntVarP(&k, "clusters", "k", 10, "how many clusters")
	return cmd
}

func (a *app) sampleCommand() *cli.Command {
	var n int
	var like string
	cmd, _ := a.verbCommand("sample --model MODEL.aem -n N -o FILE", "Make up new records",
		`Decode latents drawn at random: from the standard normal distribution for models of the recipes vae and gan; for others from a normal
distribution with the mean and covariance of the latents of given records (--like).`,
		`  aecodec sample --model vae.aem -n 64 --sheet digits.png
  aecodec sample --model dense.aem --like t10k-images-idx3-ubyte.gz -n 1000 -o more.npy`,
		atMost(0), func(v *verb, _ []string) error {
			if err := v.needOutput(v.output, v.sheet); err != nil {
				return err
			}
			m, err := loadRecordModel(v.model)
			if err != nil {
				return err
			}
			var known *record.Set
			if like != "" {
				if _, known, err = v.open(like); err != nil {
					return err
				}
			}
			z, err := explore.Sample(m, known, n, v.seed, v.threads)
			if err != nil {
				return err
			}
			return v.decoded(m, z, sheetColumns)
		})
	cmd.Flags().IntVarP(&n, "samples", "n", 64, "how many records")
	cmd.Flags().StringVar(&like, "like", "", "records whose latents tell the distribution")
	return cmd
}

// decoded writes and draws the records of latents.
func (v *verb) decoded(m *record.Model, z []float32, columns int) error {
	out, err := explore.Decode(m, z, v.threads)
	if err != nil {
		return err
	}
	if err := v.writeRecords(v.output, out); err != nil {
		return err
	}
	return v.drawSheet(explore.Montage(out, columns))
}

func (a *app) interpolateCommand() *cli.Command {
	var from, to []int
	var steps int
	cmd, _ := a.verbCommand("interpolate RECORDS --model MODEL.aem --from N --to N -o FILE", "Records between two records",
		`Decode points on the straight line between the latents of two records, both included. Several pairs make several rows of the sheet.`,
		`  aecodec interpolate t10k-images-idx3-ubyte.gz --model vae.aem --from 0,1,2 --to 3,4,5 --steps 12 --sheet between.png`,
		oneFile, func(v *verb, args []string) error {
			if err := v.needOutput(v.output, v.sheet); err != nil {
				return err
			}
			if len(from) != len(to) {
				return usagef("--from names %d records, --to %d", len(from), len(to))
			}
			m, s, z, err := v.latents(args[0])
			if err != nil {
				return err
			}
			if err := errors.Join(index(s, "from", from...), index(s, "to", to...)); err != nil {
				return err
			}
			n := m.Latent().Len()
			var path []float32
			for i := range from {
				part, err := explore.Interpolate(z[from[i]*n:(from[i]+1)*n], z[to[i]*n:(to[i]+1)*n], steps)
				if err != nil {
					return err
				}
				path = append(path, part...)
			}
			return v.decoded(m, path, steps)
		})
	cmd.Flags().IntSliceVar(&from, "from", []int{0}, "records to begin at, counted from 0")
	cmd.Flags().IntSliceVar(&to, "to", []int{1}, "records to end at")
	cmd.Flags().IntVar(&steps, "steps", 10, "records in a row")
	return cmd
}

func (a *app) blendCommand() *cli.Command {
	var of [3][]int
	cmd, _ := a.verbCommand("blend RECORDS --model MODEL.aem --a N --b N --c N -o FILE", "Arithmetic with latents: A - B + C",
		`Decode A - B + C, where A, B and C are the latents of a record, or the means of several. What B and C share cancels out: A keeps what
it has and changes as C differs from B. The sheet shows A, B and C (the first record of each) and the result.`,
		`  aecodec blend t10k-images-idx3-ubyte.gz --model vae.aem --a 3 --b 2,5 --c 7,9 --sheet sum.png`,
		oneFile, func(v *verb, args []string) error {
			if err := v.needOutput(v.output, v.sheet); err != nil {
				return err
			}
			m, s, z, err := v.latents(args[0])
			if err != nil {
				return err
			}
			n := m.Latent().Len()
			var terms [3][]float32
			var first []int
			for i, name := range []string{"a", "b", "c"} {
				if len(of[i]) == 0 {
					return usagef("--%s: name one or more records", name)
				}
				if err := index(s, name, of[i]...); err != nil {
					return err
				}
				terms[i] = explore.MeanRow(z, n, of[i])
				first = append(first, of[i][0])
			}
			out, err := explore.Decode(m, explore.Blend(terms[0], terms[1], terms[2]), v.threads)
			if err != nil {
				return err
			}
			if err := v.writeRecords(v.output, out); err != nil {
				return err
			}
			return v.drawSheet([]*record.Set{s.Select(first), out})
		})
	for i, name := range []string{"a", "b", "c"} {
		cmd.Flags().IntSliceVar(&of[i], name, nil, "records of "+strings.ToUpper(name)+", counted from 0")
	}
	return cmd
}
