package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/aecodec/aecodec/cmd/aecodec/internal/cli"
	"github.com/aecodec/aecodec/trainer"
)

func (a *app) modelCommand() *cli.Command {
	cmd := &cli.Command{
		Use:   "model",
		Short: "Exchange weights with other training programs",
		Run: func(_ *cli.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q: use import or export", args[0])
			}
			return usagef("say import or export")
		},
	}
	cmd.AddCommand(a.modelImportCommand(), a.modelExportCommand())
	return cmd
}

func (a *app) modelImportCommand() *cli.Command {
	cfg := trainer.DefaultConfig()
	cfg.Steps, cfg.HardSteps, cfg.Cooldown = 0, 0, 0
	cfg.Card = &trainer.Card{}
	var config string
	var force bool
	cmd := &cli.Command{
		Use:   "import WEIGHTS.safetensors --data FOLDER -o MODEL.aem",
		Short: "Make a model of trained weights",
		Long: `Make a model of the weights that trainer/torch/aecodec_torch.py or a checkpoint holds. Entropy tables are fitted to the symbols of
pictures, best those of the training, and the map to the scales is rounded to integers.`,
		Example: `  aecodec model import photo.safetensors --data photos/ -o photo.aem`,
		Args:    exactly1("name the file of weights"),
		Run: func(cmd *cli.Command, args []string) error {
			if config != "" {
				if err := readConfig(config, cfg, cmd.Flags()); err != nil {
					return err
				}
				cfg.Steps, cfg.HardSteps, cfg.Cooldown = 0, 0, 0
			}
			cfg.Init = args[0]
			switch {
			case len(cfg.Data) == 0:
				return usagef("--data: name at least one folder of pictures")
			case !hasExtension(cfg.Out, []string{modelExtension}):
				return usagef("-o %s: the name of a model ends in %s", cfg.Out, modelExtension)
			}
			if !force {
				if err := checkNew(cfg.Out); err != nil {
					return err
				}
			}
			cfg.Card.Command = portableCommand(cmd)
			cfg.Threads = a.threads
			progress := &trainProgress{app: a}
			err := trainer.Train(a.ctx, cfg, progress)
			progress.end()
			if errors.Is(err, trainer.ErrInterrupted) {
				return errInterrupted
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&cfg.Data, "data", cfg.Data, "folder of pictures to fit the tables to (can be given several times)")
	f.StringVarP(&cfg.Out, "output", "o", "", "model file to write, *"+modelExtension)
	f.StringVar(&cfg.Valid, "valid", "", "folder of held-out pictures to measure")
	f.StringVar(&config, "config", "", "JSON file of settings with the architecture, or the record beside a model; default: the photo network")
	f.StringVar(&cfg.Name, "name", cfg.Name, "name of the model")
	f.BoolVar(&force, "force", false, "replace an existing model")
	return cmd
}

func (a *app) modelExportCommand() *cli.Command {
	var model, output, arch string
	var force bool
	cmd := &cli.Command{
		Use:   "export -o WEIGHTS.safetensors",
		Short: "Write a model's weights for other training programs",
		Long: `Write the weights of a model, as it codes with them, as a safetensors file, and with --arch the description of its networks as
JSON. trainer/torch/aecodec_torch.py and aecodec train --init go on from them.`,
		Example: `  aecodec model export -o photo.safetensors --arch photo.json`,
		Args:    atMost(0),
		Run: func(*cli.Command, []string) error {
			if output == "" {
				return usagef("-o: name the file to write")
			}
			m, err := loadModel(model)
			if err != nil {
				return err
			}
			if !m.CanEncode() {
				return fmt.Errorf("model %s: it is a decoder alone, there is nothing to train on", m.Name())
			}
			if arch != "" {
				text, err := json.MarshalIndent(m.Arch(), "", "  ")
				if err != nil {
					return err
				}
				_, err = a.writeOutput(arch, force, func(w io.Writer) error { _, err := w.Write(append(text, '\n')); return err })
				if err != nil {
					return err
				}
			}
			_, err = a.writeOutput(output, force, func(w io.Writer) error { return trainer.WriteSafetensors(w, m.Params(), nil) })
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&model, "model", "", "model to take them from (default: the embedded one)")
	f.StringVarP(&output, "output", "o", "", "safetensors file to write")
	f.StringVar(&arch, "arch", "", "JSON file to write the networks to")
	f.BoolVar(&force, "force", false, "replace existing files")
	return cmd
}
