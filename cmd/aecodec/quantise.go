package main

import (
	"io"

	"github.com/aecodec/aecodec/cmd/aecodec/internal/cli"
	"github.com/aecodec/aecodec/trainer"
)

func (a *app) quantiseCommand() *cli.Command {
	var o trainer.QuantiseOptions
	var model, output string
	var force bool
	cmd := &cli.Command{
		Use:   "quantise --data FOLDER -o INTEGERS.aem",
		Short: "Make a model whose decoder renders in integers",
		Long: `Make a model whose decoder turns latents into pixels in 8-bit and 16-bit integers, which is faster on most processors than floats
and costs a little quality. Ranges are those of sample pictures, best of the training set. The model has a fingerprint of its own:
its files decode with it and with no other.`,
		Example: `  aecodec quantise --model mine.aem --data photos/ -o mine-int8.aem`,
		Args:    atMost(0),
		Run: func(*cli.Command, []string) error {
			if output == "" {
				return usagef("-o: name the model file to write")
			}
			if len(o.Data) == 0 {
				return usagef("--data: name a folder of pictures")
			}
			m, err := loadModel(model)
			if err != nil {
				return err
			}
			o.Threads = a.threads
			q, err := trainer.QuantiseSynthesis(m, &o)
			if err != nil {
				return err
			}
			_, err = a.writeOutput(output, force, func(w io.Writer) error { return q.Save(w, false) })
			return err
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.Data, "data", nil, "folders of pictures to calibrate with")
	f.IntVar(&o.Pictures, "pictures", 0, "how many of them (default 32)")
	f.StringVar(&o.Name, "name", "", "name of the new model (default: that of the old one)")
	f.StringVar(&model, "model", "", "model to make it from (default: the embedded one)")
	f.StringVarP(&output, "output", "o", "", "model file to write, or - for standard output")
	f.BoolVar(&force, "force", false, "replace an existing file")
	return cmd
}
