package main

import (
	"fmt"
	"image"
	"slices"
	"strings"

	"github.com/aecodec/aecodec/bench"
	"github.com/aecodec/aecodec/cmd/aecodec/internal/cli"
	"github.com/aecodec/aecodec/codec"
)

// compareReport is what compare says about a picture.
type compareReport struct {
	Reference string            `json:"reference"`
	Input     string            `json:"input"`
	Result    *bench.Comparison `json:"result"`
}

func (r *compareReport) String() string {
	var b strings.Builder
	fmt.Fprintln(&b, inputName(r.Input))
	r.Result.WriteText(&b) // a strings.Builder never fails
	return strings.TrimSuffix(b.String(), "\n")
}

func (a *app) compareCommand() *cli.Command {
	var models []string
	cmd := &cli.Command{
		Use:   "compare ORIGINAL PICTURE...",
		Short: "Measure pictures against an original: PSNR, MS-SSIM, bits per pixel",
		Long: `Measure pictures, or .aec files, against an original: PSNR and MS-SSIM of 8-bit RGB, and the bits per pixel of the file.
MS-SSIM has five scales, a Gaussian window of 11 taps, and is not defined for a side below 161 pixels.`,
		Example: `  aecodec compare photo.png photo.aec
  aecodec compare photo.png photo.aec photo.webp photo.jpg`,
		Args: atLeast(2, "name an original and at least one picture to measure"),
		Run: func(_ *cli.Command, args []string) error {
			if args[0] == stdio && slices.Contains(args[1:], stdio) {
				return usagef("standard input cannot be both pictures")
			}
			more, err := loadModels(models)
			if err != nil {
				return err
			}
			decoder := func(threads int) *codec.Decoder {
				return codec.NewDecoder(&codec.DecoderOptions{Models: more, Threads: threads})
			}
			original, _, release, err := a.readAny(args[0], decoder(a.threads))
			if err != nil {
				return fmt.Errorf("%s: %w", inputName(args[0]), cause(err))
			}
			release() // it stays in memory, but the others must not wait for it
			jobs := findInputs(args[1:], append([]string{codedExtension}, pictureExtensions...))
			return a.batch(jobs, "comparing", func(j *job, threads int) (fmt.Stringer, error) {
				m, size, release, err := a.readAny(j.in, decoder(threads))
				if err != nil {
					return nil, err
				}
				defer release()
				c, err := bench.Compare(original, m, size)
				if err != nil {
					return nil, err
				}
				return &compareReport{args[0], j.in, c}, nil
			})
		},
	}
	cmd.Flags().StringSliceVar(&models, "model", nil, "more models to decode with (can be given several times)")
	return cmd
}

// readAny reads a picture or an .aec file.
func (a *app) readAny(name string, d *codec.Decoder) (m image.Image, size int64, release func(), err error) {
	in, err := a.open(name)
	if err != nil {
		return nil, 0, nil, err
	}
	defer in.close()
	if in.kind != codedKind {
		m, release, err = a.readPicture(in)
		return m, in.size, release, err
	}
	c, err := a.readCoded(in, d, image.Rectangle{})
	if err != nil {
		return nil, 0, nil, err
	}
	return c.image, in.size, c.release, nil
}
