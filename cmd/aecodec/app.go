package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sync/semaphore"
	"golang.org/x/term"

	"github.com/aecodec/aecodec/cmd/aecodec/internal/cli"
	"github.com/aecodec/aecodec/kernels"
)

// app is one run of the program: its streams, the flags that all commands share, and the files it is writing.
type app struct {
	ctx            context.Context // done on Ctrl-C
	stdin          io.Reader
	stdout, stderr io.Writer
	stdoutTerminal bool
	stderrTerminal bool

	quiet   bool
	json    bool
	threads int

	files  outputs
	pixels *semaphore.Weighted // of maxPixels: pixels in work
	memory memoryLimit
}

// run carries out one command line and returns the exit code. Whatever goes wrong is one line on stderr that names the file and
// the cause; a reader of stdout that went away is no news to anybody.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once

	a := &app{
		ctx:   ctx,
		stdin: stdin, stdout: stdout, stderr: stderr,
		stdoutTerminal: isTerminal(stdout),
		stderrTerminal: isTerminal(stderr),
		pixels:         semaphore.NewWeighted(maxPixels),
	}
	root := a.rootCommand()
	cmd, err := root.Execute(args)
	code := exitCode(err)
	switch {
	case code == exitOK, code == exitPipe, errors.Is(err, errReported):
	case code == exitUsage:
		fmt.Fprintf(stderr, "aecodec: %v (see %s --help)\n", err, cmd.CommandPath())
	case code == exitInterrupted:
		fmt.Fprintln(stderr, "aecodec: interrupted")
	default:
		fmt.Fprintf(stderr, "aecodec: %v\n", err)
	}
	return code
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (a *app) rootCommand() *cli.Command {
	root := &cli.Command{
		Use:   "aecodec",
		Short: "Learned image compression on a plain CPU",
		Long: `aecodec compresses pictures with a neural network, in one file that needs nothing else, and decodes them
to the same pixels on every processor. It also measures, and trains codecs for other kinds of data.`,
		Example: `  aecodec encode *.png                 photo.png -> photo.aec, quality 50
  aecodec encode -q 80 -o small/ *.jpg   into a folder, created if need be
  aecodec decode photo.aec               photo.aec -> photo.png
  aecodec compare photo.png photo.aec    PSNR, MS-SSIM, bits per pixel`,
		Run: func(cmd *cli.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q", args[0])
			}
			return cmd.Help()
		},
		Before: func() error {
			if a.threads < 0 {
				return usagef("-j %d: threads cannot be negative", a.threads)
			}
			if a.threads == 0 {
				a.threads = runtime.GOMAXPROCS(0)
			}
			if err := kernels.SelectionError(); err != nil {
				return &cli.UsageError{Err: err}
			}
			return nil
		},
		Epilog: `
Exit codes: 0 all done, 1 some or all files failed, 2 wrong usage, 130 interrupted, 141 standard output closed.
`,
		Out: a.stdout,
	}
	flags := root.Flags()
	flags.BoolVar(&a.quiet, "quiet", false, "print nothing but errors")
	flags.BoolVar(&a.json, "json", false, "print JSON instead of text: for files one object a line, in the order of the command line")
	flags.IntVarP(&a.threads, "threads", "j", 0, "threads to use; 0 is one for each core")
	root.AddCommand(
		a.encodeCommand(), a.decodeCommand(), a.infoCommand(), a.compareCommand(), a.demoCommand(),
		a.trainCommand(), a.quantiseCommand(), a.modelCommand(), a.exportCommand(),
		a.reconstructCommand(), a.scoreCommand(), a.embedCommand(), a.neighborsCommand(), a.clusterCommand(),
		a.sampleCommand(), a.interpolateCommand(), a.blendCommand(),
		a.benchCommand(), a.versionCommand(),
	)
	return root
}

// atLeast, exactly1 and atMost check the number of arguments.
func atLeast(n int, what string) func(*cli.Command, []string) error {
	return func(_ *cli.Command, args []string) error {
		if len(args) < n {
			return usagef("%s", what)
		}
		return nil
	}
}

func exactly1(what string) func(*cli.Command, []string) error {
	return func(_ *cli.Command, args []string) error {
		switch {
		case len(args) == 0:
			return usagef("%s", what)
		case len(args) > 1:
			return usagef("unexpected argument %q", args[1])
		}
		return nil
	}
}

func atMost(n int) func(*cli.Command, []string) error {
	return func(_ *cli.Command, args []string) error {
		if len(args) > n {
			return usagef("unexpected argument %q", args[n])
		}
		return nil
	}
}
