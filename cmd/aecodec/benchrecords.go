package main

import (
	"io"
	"strings"

	"github.com/aecodec/aecodec/bench"
	"github.com/aecodec/aecodec/cmd/aecodec/internal/cli"
)

func (a *app) benchRecordsCommand() *cli.Command {
	o := bench.RecordsOptions{Seed: 1}
	var plot string
	var force bool
	cmd := &cli.Command{
		Use:   "records --data FOLDER",
		Short: "Train codecs for records and compare them with PCA and with general ones",
		Long: `Train autoencoders on sets of records, code the test records of each to real files, and compare at equal PSNR with principal components in
the same codec, and with what one would take instead: for pictures JPEG, and WebP, AVIF and JPEG XL where cwebp, avifenc and cjxl
are installed, all records side by side in one picture; for signals gzip, zstd, and prediction with Rice codes as in FLAC, after
quantisation. The decoder is sent once; the table says from how many records on that pays.

The folder holds mnist/ (the four IDX files), ecg/ECG5000_all.csv, ecg/mitbih/, faces/ and blood/.

Sets: ` + strings.Join(bench.RecordSetNames(), ", ") + `.`,
		Example: `  aecodec bench records --data data/ --plot records.png
  aecodec bench records --data data/ --only mnist,ecg5000`,
		Args: atMost(0),
		Run: func(*cli.Command, []string) error {
			if o.Data == "" {
				return usagef("--data: name the folder of the data")
			}
			o.Threads = a.threads
			var done func()
			o.Progress, done = a.runProgress()
			r, err := bench.Records(a.ctx, &o)
			done()
			if err != nil {
				return err
			}
			if plot != "" {
				if _, err := a.writeOutput(plot, force, func(w io.Writer) error { return r.WritePNG(w) }); err != nil {
					return err
				}
			}
			return a.showResult(r)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Data, "data", "", "folder of the data")
	f.StringSliceVar(&o.Only, "only", nil, "sets to measure (default: all)")
	f.Uint64Var(&o.Seed, "seed", 1, "seed of all random numbers")
	f.IntVar(&o.Epochs, "epochs", 0, "epochs of every training, for a quick look (default: as the sets say)")
	f.StringVar(&plot, "plot", "", "PNG file to draw the curves to")
	f.BoolVar(&force, "force", false, "replace existing files")
	return cmd
}
