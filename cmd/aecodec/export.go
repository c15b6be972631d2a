package main

import (
	"io"

	"github.com/aecodec/aecodec/cmd/aecodec/internal/cli"
)

func (a *app) exportCommand() *cli.Command {
	var model, output string
	var force bool
	cmd := &cli.Command{
		Use:   "export -o DECODER.aem",
		Short: "Write a model's decoder alone, for those who only receive",
		Long: `Write a model without its encoder, for those who only receive. It has the same fingerprint, so it decodes the same files.
Put into the user's model folder, it is found without being named.`,
		Example: `  aecodec export --model mine.aem -o mine-decoder.aem`,
		Args:    atMost(0),
		Run: func(*cli.Command, []string) error {
			if output == "" {
				return usagef("-o: name the model file to write")
			}
			m, r, err := loadAnyModel(model)
			if err != nil {
				return err
			}
			_, err = a.writeOutput(output, force, func(w io.Writer) error {
				if r != nil {
					return r.Save(w, true)
				}
				return m.Save(w, true)
			})
			return err
		},
	}
	cmd.Flags().StringVar(&model, "model", "", "model to take it from (default: the embedded one)")
	cmd.Flags().StringVarP(&output, "output", "o", "", "model file to write, or - for standard output")
	cmd.Flags().BoolVar(&force, "force", false, "replace an existing file")
	return cmd
}
