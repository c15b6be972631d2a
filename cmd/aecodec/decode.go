package main

import (
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/aecodec/aecodec/cmd/aecodec/internal/cli"
	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/codec/picture"
)

// outputExtensions are the pictures that can be written.
var outputExtensions = []string{".png", ".jpg", ".jpeg", ".ppm", ".pgm"}

type decodeFlags struct {
	output, format string
	region         string
	models         []string
	jpegQuality    int
	force, strip   bool
}

func (a *app) decodeCommand() *cli.Command {
	var f decodeFlags
	cmd := &cli.Command{
		Use:   "decode FILE.aec...",
		Short: "Turn .aec files into pictures (PNG, JPEG, PPM, PGM) or records (NPY, IDX, CSV, WAV)",
		Long: `Turn .aec files into pictures or records, whichever they hold. An input is a file, a pattern, a folder (the .aec files right in it), or - for standard input.

Without -o, photo.aec becomes photo.png beside it. -o names a folder if it exists as one, ends in a slash, or has no extension;
it is created. Otherwise it names the file for the one input, and its extension the format; - is standard output, and the
default for standard input. An existing file is left alone unless --force is given.

The model that a file was coded with is looked for in the program, in the files of --model, and in the user's model folder.
JPEG and PPM have no transparency: such a picture is laid on white.

Records are written as NPY, or as the extension of -o or --to says: .npy, .idx, .csv, .wav or .i16 (raw 16-bit samples). Windows
of a series are joined in CSV, WAV and raw samples. With one input and a folder for -o they become pictures.`,
		Example: `  aecodec decode photo.aec
  aecodec decode -o out/ --to jpg *.aec
  aecodec decode photo.aec -o - | display -
  aecodec decode --region 2000,1500,640,480 huge.aec -o detail.png
  aecodec decode t10k.aec -o digits/
  aecodec decode --model ecg.aem beats.aec -o beats.csv`,
		Args: atLeast(1, "name at least one .aec file, or - for standard input"),
		Run:  func(_ *cli.Command, args []string) error { return a.decode(args, &f) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.output, "output", "o", "", "file or folder to write to, or -")
	flags.StringVar(&f.format, "to", "", "format where -o has no extension to tell: png (default), jpg, ppm or pgm; for records npy (default), idx, csv, wav or i16")
	flags.StringVar(&f.region, "region", "", "decode only this part of the picture: x,y,width,height in pixels from the top left")
	flags.BoolVar(&f.force, "force", false, "replace existing files")
	flags.StringSliceVar(&f.models, "model", nil, "more models to decode with (can be given several times)")
	flags.IntVar(&f.jpegQuality, "jpeg-quality", picture.DefaultJPEGQuality, "quality of JPEG output, 1 to 100")
	flags.BoolVar(&f.strip, "strip", false, "drop colour profile, EXIF and XMP")
	return cmd
}

func (a *app) decode(args []string, f *decodeFlags) error {
	prepareHeap()
	extension := ".png"
	if f.format != "" {
		extension = "." + f.format
		if !hasExtension(extension, slices.Concat(outputExtensions, recordExtensions)) {
			return usagef("--to %s: use png, jpg, ppm or pgm; for records npy, idx, csv, wav or i16", f.format)
		}
	}
	if f.jpegQuality < 1 || f.jpegQuality > 100 {
		return usagef("--jpeg-quality %d: quality is from 1 to 100", f.jpegQuality)
	}
	region, err := parseRegion(f.region)
	if err != nil {
		return err
	}
	jobs := findInputs(args, []string{codedExtension})
	for _, j := range jobs {
		if j.err == nil && j.in != stdio && holdsRecords(j.in) && f.format == "" {
			j.extension = recordExtensions[0]
		}
	}
	folder, err := isFolder(f.output)
	if err != nil {
		return err
	}
	if folder && len(jobs) == 1 && jobs[0].extension != "" {
		jobs[0].out, jobs[0].folder = f.output, true
	} else if err := nameOutputs(jobs, f.output, extension, slices.Concat(outputExtensions, recordExtensions)); err != nil {
		return err
	}
	if err := a.checkStdout(jobs); err != nil {
		return err
	}
	formats := make(map[*job]picture.Format, len(jobs))
	for _, j := range jobs {
		name := j.out
		if filepath.Ext(name) == "" { // "-" and devices
			name = extension
		}
		if j.folder {
			continue
		}
		if !hasExtension(name, recordExtensions) {
			if formats[j], err = picture.FormatOf(name); err != nil {
				return usagef("-o %s: %w", j.out, err)
			}
		}
		if f.format != "" && !strings.EqualFold(filepath.Ext(name), extension) {
			return usagef("-o %s and --to %s disagree", j.out, f.format)
		}
	}
	models, err := loadAnyModels(f.models)
	if err != nil {
		return err
	}
	return a.batch(jobs, "decoding", func(j *job, threads int) (fmt.Stringer, error) {
		in, err := a.open(j.in)
		if err != nil {
			return nil, err
		}
		defer in.close()
		if in.kind == recordsKind {
			if !region.Empty() {
				return nil, errors.New("holds records: --region is for pictures")
			}
			return a.decodeRecords(j, in, f, models, threads)
		}
		if formats[j] == "" {
			return nil, fmt.Errorf("holds a picture: write it to %s", strings.Join(outputExtensions, ", "))
		}
		return a.decodeFile(j, in, formats[j], f, region, codec.NewDecoder(&codec.DecoderOptions{Models: models.images, Threads: threads}))
	})
}

// parseRegion reads the value of --region; "" is the empty rectangle.
func parseRegion(s string) (image.Rectangle, error) {
	if s == "" {
		return image.Rectangle{}, nil
	}
	var v [4]int
	fields := strings.Split(s, ",")
	for i := range v {
		var err error
		if len(fields) == len(v) {
			v[i], err = strconv.Atoi(strings.TrimSpace(fields[i]))
		}
		if len(fields) != len(v) || err != nil || v[i] < 0 || v[i] > math.MaxInt32 || i >= 2 && v[i] == 0 {
			return image.Rectangle{}, usagef("--region %s: give x,y,width,height in pixels", s)
		}
	}
	return image.Rect(v[0], v[1], v[0]+v[2], v[1]+v[3]), nil
}

func (a *app) decodeFile(j *job, in *input, format picture.Format, f *decodeFlags, region image.Rectangle, d *codec.Decoder) (*codingReport, error) {
	c, err := a.readCoded(in, d, region)
	if err != nil {
		return nil, err
	}
	defer c.release()

	r := &codingReport{
		Input: j.in, Output: j.out,
		Width: c.image.Bounds().Dx(), Height: c.image.Bounds().Dy(),
		InputBytes: in.size, Quality: c.quality, Model: c.model, Seconds: c.seconds,
	}
	r.BPP = bitsPerPixel(in.size, c.size.X, c.size.Y)
	if f.strip {
		c.meta = picture.Metadata{}
	}
	r.OutputBytes, err = a.writeOutput(j.out, f.force, func(w io.Writer) error {
		switch format {
		case picture.PNG:
			w = c.meta.PNGWriter(w)
		case picture.JPEG:
			var err error
			if w, err = c.meta.JPEGWriter(w); err != nil {
				return fmt.Errorf("%w; --strip leaves it out", err)
			}
		}
		return picture.Encode(w, c.image, format, &picture.EncodeOptions{JPEGQuality: f.jpegQuality})
	})
	return r, err
}
