package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/aecodec/aecodec/cmd/aecodec/internal/cli"
	"github.com/aecodec/aecodec/kernels"
)

// versionReport names everything that can explain a difference between two installations.
type versionReport struct {
	Version   string   `json:"version"`
	Revision  string   `json:"revision,omitempty"`
	Go        string   `json:"go"`
	Platform  string   `json:"platform"`
	Kernels   string   `json:"kernels"`
	Available []string `json:"available"`
	CPU       string   `json:"cpu"`
}

func (r *versionReport) String() string {
	version := r.Version
	if r.Revision != "" {
		version += ", revision " + r.Revision
	}
	return fmt.Sprintf("aecodec  %s\ngo       %s %s\nkernels  %s (of %s)\ncpu      %s",
		version, r.Go, r.Platform, r.Kernels, strings.Join(r.Available, ", "), r.CPU)
}

func (a *app) versionCommand() *cli.Command {
	return &cli.Command{
		Use:   "version",
		Short: "Show the version, the processor, and the kernels in use",
		Args:  atMost(0),
		Run: func(*cli.Command, []string) error {
			r := &versionReport{
				Version:   "unknown",
				Go:        runtime.Version(),
				Platform:  runtime.GOOS + "/" + runtime.GOARCH,
				Kernels:   kernels.Active(),
				Available: kernels.Available(),
				CPU:       kernels.Features(),
			}
			if info, ok := debug.ReadBuildInfo(); ok {
				r.Version = info.Main.Version
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						r.Revision = s.Value
					}
				}
			}
			return a.show(r)
		},
	}
}
