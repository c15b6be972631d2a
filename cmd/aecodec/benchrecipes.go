package main

import (
	"fmt"
	"strings"

	"github.com/aecodec/aecodec/bench"
	"github.com/aecodec/aecodec/cmd/aecodec/internal/cli"
)

func (a *app) benchRecipesCommand() *cli.Command {
	o := bench.RecipesOptions{Seed: 1}
	cmd := &cli.Command{
		Use:   "recipes --data FOLDER",
		Short: "Run the recipes of train at full length and measure what they promise",
		Long: `Run every recipe at full length on the data it is documented with and print a table of what each reached and what it must reach.
The folder holds mnist/ (the four IDX files), ecg/ECG5000_all.csv, and photographs in train_photos/, train_cid22/, valid_cid22/ and blood/.

Runs: ` + strings.Join(bench.RecipeRunNames(), ", ") + `.`,
		Example: `  aecodec bench recipes --data data/
  aecodec bench recipes --data data/ --only dense,anomaly`,
		Args: atMost(0),
		Run: func(*cli.Command, []string) error {
			if o.Data == "" {
				return usagef("--data: name the folder of the data")
			}
			o.Threads = a.threads
			var done func()
			o.Progress, done = a.runProgress()
			r, err := bench.Recipes(a.ctx, &o)
			done()
			if err != nil {
				return err
			}
			if err := a.showResult(r); err != nil {
				return err
			}
			missed := 0
			for _, run := range r.Runs {
				for _, f := range run.Figures {
					if f.Sign != 0 && !f.Reached() {
						missed++
					}
				}
			}
			if missed > 0 {
				return fmt.Errorf("%d figures are not reached", missed)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Data, "data", "", "folder of the data")
	f.StringSliceVar(&o.Only, "only", nil, "runs to make (default: all)")
	f.Uint64Var(&o.Seed, "seed", 1, "seed of all random numbers")
	f.IntVar(&o.Epochs, "epochs", 0, "epochs of every recipe, for a quick look (default: as documented)")
	return cmd
}
