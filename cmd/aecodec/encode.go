package main

import (
	"fmt"
	"image"
	"image/color"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/aecodec/aecodec/cmd/aecodec/internal/cli"
	"github.com/aecodec/aecodec/codec"
	"github.com/aecodec/aecodec/codec/picture"
)

// pictureExtensions are the files that are taken from a folder.
var pictureExtensions = []string{".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".ppm", ".pgm"}

// codingReport is what encode and decode say about a file.
type codingReport struct {
	Input       string   `json:"input"`
	Output      string   `json:"output"`
	Width       int      `json:"width"`
	Height      int      `json:"height"`
	InputBytes  int64    `json:"input_bytes"`
	OutputBytes int64    `json:"output_bytes"`
	BPP         float64  `json:"bpp"` // of the .aec file
	Quality     float64  `json:"quality"`
	Model       string   `json:"model"`
	Seconds     float64  `json:"seconds"` // of coding, without the reading and writing of the picture
	Warnings    []string `json:"warnings,omitempty"`
}

func (r *codingReport) String() string {
	return fmt.Sprintf("%s -> %s  %dx%d  %s -> %s  %.3f bpp  %.2f s",
		r.Input, r.Output, r.Width, r.Height, byteCount(r.InputBytes), byteCount(r.OutputBytes), r.BPP, r.Seconds)
}

// encodeFlags are those of encode.
type encodeFlags struct {
	output, model, tune string
	quality             float64
	effort              int
	force, strip        bool

	targetSize string
	targetBPP  float64
	targetPSNR float64
	options    codec.Options // what comes of the flags, without Threads

	records    recordFlags
	maxError   float64
	bounded    bool   // --max-error was given
	recordFlag string // one that only records have and that was given, "" if none
	target     string // the target flag that was given, "" if none
}

func (a *app) encodeCommand() *cli.Command {
	var f encodeFlags
	cmd := &cli.Command{
		Use:   "encode FILE...",
		Short: "Compress pictures, or records of other data with a model for them, to .aec files",
		Long: `Compress pictures (PNG, JPEG, WebP, TIFF, BMP, PPM, PGM) to .aec files. A picture is a file, a pattern, a folder (the
pictures right in it), or - for standard input. What a file holds is told by its content, never by its name.

Without -o, photo.png becomes photo.aec beside it. -o names a folder if it exists as one, ends in a slash, or has no extension;
it is created. Otherwise it names the file for the one input; - is standard output, and the default for standard input.
An existing file is left alone unless --force is given. Every file is written under another name first and renamed when it is
complete.

Instead of a quality, --target-size, --target-bpp or --target-psnr say what to reach, for each picture: the quality is then found by
a few codings. Sizes and bits per pixel are those of the whole file, which is never larger and at most 2 % smaller; the PSNR is
reached and exceeded by 0.1 dB at most.

--tune ssim codes with a model that was trained for MS-SSIM instead of the squared error: at equal size its pictures look sharper and
have a lower PSNR. Files say which model they need, and decoding finds it.

Colour profile (ICC), EXIF and XMP of PNG, JPEG and WebP are kept.

With a model for records (--model) the inputs are records: NPY, IDX (also .gz), CSV, WAV, raw 16-bit samples, or a folder of
pictures of one size. --max-error bounds the error of every value.`,
		Example: `  aecodec encode *.png
  aecodec encode -q 72.5 -o small/ holiday/
  aecodec encode --target-size 200k *.jpg
  aecodec encode --tune ssim -q 40 portrait.png
  cat photo.jpg | aecodec encode - > photo.aec
  aecodec encode --model digits.aem t10k-images-idx3-ubyte.gz -o t10k.aec
  aecodec encode --model ecg.aem --max-error 0.01 --columns t0:t139 beats.csv`,
		Args: atLeast(1, "name at least one file, or - for standard input"),
		Run: func(cmd *cli.Command, args []string) error {
			if err := f.parse(cmd.Flags().Changed); err != nil {
				return err
			}
			return a.encode(args, &f)
		},
	}
	flags := cmd.Flags()
	flags.Float64VarP(&f.quality, "quality", "q", codec.DefaultQuality, "quality, 1 to 100, in steps of 0.01")
	flags.StringVar(&f.targetSize, "target-size", "", "largest size of a file, in bytes; k, M and G mean thousands, millions and billions")
	flags.Float64Var(&f.targetBPP, "target-bpp", 0, "largest number of bits per pixel")
	flags.Float64Var(&f.targetPSNR, "target-psnr", 0, "least peak signal-to-noise ratio, in dB")
	flags.IntVarP(&f.effort, "effort", "e", 0, effortHelp)
	flags.StringVarP(&f.output, "output", "o", "", "file or folder to write to, or -")
	flags.BoolVar(&f.force, "force", false, "replace existing files")
	flags.StringVar(&f.tune, "tune", codec.TunePSNR.String(), tuneHelp)
	flags.StringVar(&f.model, "model", "", "model to code with, a file or the name of one (default: the embedded one)")
	flags.BoolVar(&f.strip, "strip", false, "drop colour profile, EXIF and XMP")
	f.records.add(flags)
	flags.Float64Var(&f.maxError, "max-error", 0, "records: let no value be off by more than this; 0 is without loss (uint8 and 16-bit samples)")
	flags.IntVar(&f.records.Rate, "rate", 0, "samples a second of raw samples")
	return cmd
}

// parse checks the flags and turns them into options; given tells which are on the command line.
func (f *encodeFlags) parse(given func(name string) bool) error {
	if !(f.quality >= 1 && f.quality <= 100) { // false for NaN too
		return usagef("-q %g: quality is from 1 to 100", f.quality)
	}
	if err := checkEffort(f.effort); err != nil {
		return err
	}
	f.options = codec.Options{Quality: f.quality, Effort: f.effort}
	chosen := ""
	for _, name := range []string{"quality", "target-size", "target-bpp", "target-psnr"} {
		if !given(name) {
			continue
		}
		if chosen != "" {
			return usagef("--%s and --%s: only one of them can be met", chosen, name)
		}
		chosen = name
	}
	f.target = strings.TrimPrefix(chosen, "quality")
	for _, name := range recordFlagNames {
		if given(name) {
			f.recordFlag = name
		}
	}
	f.bounded = given("max-error")
	o, err := &f.options, error(nil)
	switch chosen {
	case "target-size":
		o.TargetSize, err = parseBytes(f.targetSize)
	case "target-bpp":
		o.TargetBPP, err = positive(f.targetBPP)
	case "target-psnr":
		o.TargetPSNR, err = positive(f.targetPSNR)
	default:
		return nil
	}
	if err != nil {
		return usagef("--%s: %v", chosen, err)
	}
	o.Quality = 0
	return nil
}

func positive(v float64) (float64, error) {
	if !(v > 0) || math.IsInf(v, 1) {
		return 0, fmt.Errorf("%g is not a positive number", v)
	}
	return v, nil
}

// parseBytes reads a size such as 800, 20k or 1.5M.
func parseBytes(s string) (int64, error) {
	digits, unit := s, 1.
	if n := len(s) - 1; n > 0 {
		switch s[n] {
		case 'k', 'K':
			digits, unit = s[:n], 1e3
		case 'M':
			digits, unit = s[:n], 1e6
		case 'G':
			digits, unit = s[:n], 1e9
		}
	}
	v, err := strconv.ParseFloat(digits, 64)
	if v *= unit; err != nil || !(v >= 1) || v > 1e15 {
		return 0, fmt.Errorf("%q is not a size: want bytes, or a number with k, M or G", s)
	}
	return int64(v), nil
}

func (a *app) encode(args []string, f *encodeFlags) error {
	prepareHeap()
	name, err := tunedModel(f.model, f.tune)
	if err != nil {
		return err
	}
	model, records, err := loadAnyModel(name)
	if err != nil {
		return err
	}
	if records != nil {
		if f.target != "" {
			return usagef("--%s is for pictures, not for records", f.target)
		}
		return a.encodeRecords(args, f, records)
	}
	if f.recordFlag != "" {
		return usagef("--%s is for records, and they take a model for them (--model)", f.recordFlag)
	}
	jobs := findInputs(args, pictureExtensions)
	if err := nameOutputs(jobs, f.output, codedExtension, append([]string{codedExtension}, pictureExtensions...)); err != nil {
		return err
	}
	if err := a.checkStdout(jobs); err != nil {
		return err
	}
	return a.batch(jobs, "encoding", func(j *job, threads int) (fmt.Stringer, error) {
		if len(jobs) > 1 {
			return a.encodeFile(j, f, model, threads, nil)
		}
		// The bar of the batch has nothing to count.
		bar := a.newBar(100, "refining")
		defer bar.close()
		return a.encodeFile(j, f, model, threads, bar.show)
	})
}

const effortHelp = "time to spend on a smaller file, 1 to 9; 0 is the default, 3"

func checkEffort(effort int) error {
	if effort < 0 || effort > 9 {
		return usagef("-e %d: effort is from 1 to 9, or 0 for the default", effort)
	}
	return nil
}

func (a *app) encodeFile(j *job, f *encodeFlags, model *codec.Model, threads int, progress func(share float64)) (*codingReport, error) {
	in, err := a.open(j.in)
	if err != nil {
		return nil, err
	}
	defer in.close()
	m, release, err := a.readPicture(in)
	if err != nil {
		return nil, err
	}
	defer release()

	o := f.options
	o.Model, o.Threads, o.Progress = model, threads, progress
	r := &codingReport{
		Input: j.in, Output: j.out,
		Width: m.Bounds().Dx(), Height: m.Bounds().Dy(),
		InputBytes: in.size, Model: model.Name(),
	}
	if !f.strip {
		meta, warnings, err := readMetadata(in, m)
		if err != nil {
			return nil, err
		}
		o.ICC, o.EXIF, o.XMP = meta.ICC, meta.EXIF, meta.XMP
		r.Warnings = warnings
	}
	r.OutputBytes, err = a.writeOutput(j.out, f.force, func(w io.Writer) error {
		start := time.Now()
		defer func() { r.Seconds = time.Since(start).Seconds() }()
		e, err := codec.NewEncoder(&o)
		if err != nil {
			return err
		}
		r.Quality, err = e.EncodeQuality(w, m)
		return err
	})
	r.BPP = bitsPerPixel(r.OutputBytes, r.Width, r.Height)
	return r, err
}

// readMetadata returns what can be kept of an input's metadata, and a warning for what cannot.
func readMetadata(in *input, m image.Image) (*picture.Metadata, []string, error) {
	if in.format != picture.PNG && in.format != picture.JPEG && in.format != picture.WebP {
		return &picture.Metadata{}, nil, nil
	}
	if err := in.rewind(); err != nil {
		return nil, nil, err
	}
	file, err := io.ReadAll(in)
	if err != nil {
		return nil, nil, err
	}
	var warnings []string
	meta, err := picture.ReadMetadata(file)
	if err != nil {
		warnings = append(warnings, err.Error()+", left out")
	}
	space := "RGB"
	if model := m.ColorModel(); model == color.GrayModel || model == color.Gray16Model {
		space = "GRAY"
	}
	// Decoders convert every picture to RGB or gray: a CMYK profile, say, no longer fits.
	if profile := meta.ICCColorSpace(); profile != "" && profile != space {
		meta.ICC = nil
		warnings = append(warnings, fmt.Sprintf("%s colour profile does not fit a picture read as %s, left out", profile, space))
	}
	return meta, warnings, nil
}
