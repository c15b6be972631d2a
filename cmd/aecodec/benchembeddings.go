package main

import (
	"github.com/aecodec/aecodec/bench"
	"github.com/aecodec/aecodec/cmd/aecodec/internal/cli"
)

func (a *app) benchEmbeddingsCommand() *cli.Command {
	o := bench.EmbeddingsOptions{Seed: 1}
	cmd := &cli.Command{
		Use:   "embeddings --data FOLDER",
		Short: "Compare latents, principal components and pixels as descriptions of digits",
		Long: `Train the recipes dense and vae on digits, without labels, and show how well the classes can be told from their latents, from principal
components and from pixels: by a vote of the nearest training records, and by a linear classifier.

The folder holds mnist/ (the four IDX files).`,
		Example: `  aecodec bench embeddings --data data/`,
		Args:    atMost(0),
		Run: func(*cli.Command, []string) error {
			if o.Data == "" {
				return usagef("--data: name the folder of the data")
			}
			o.Threads = a.threads
			var done func()
			o.Progress, done = a.runProgress()
			r, err := bench.Embeddings(a.ctx, &o)
			done()
			if err != nil {
				return err
			}
			return a.showResult(r)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Data, "data", "", "folder of the data")
	f.Uint64Var(&o.Seed, "seed", 1, "seed of all random numbers")
	f.IntVar(&o.Epochs, "epochs", 0, "epochs of every training, for a quick look (default: as the recipes say)")
	return cmd
}
