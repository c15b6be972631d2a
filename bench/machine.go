package bench

import (
	"runtime"
	"runtime/debug"
	"time"

	"github.com/aecodec/aecodec/kernels"
)

// Machine says where a result was measured and by what.
type Machine struct {
	CPU      string `json:"cpu"`     // name and vector features
	Kernels  string `json:"kernels"` // backend in use
	Cores    int    `json:"cores"`   // logical ones
	OS       string `json:"os"`
	Arch     string `json:"arch"`
	Go       string `json:"go"`
	Level    string `json:"level,omitempty"`    // GOAMD64 or GOARM64 of the build, where it is known
	Date     string `json:"date"`               // of the measurement, UTC
	Revision string `json:"revision,omitempty"` // of the source, where the build knows it
}

// ThisMachine describes the machine and the program that call it.
func ThisMachine() Machine {
	m := Machine{
		CPU: kernels.Features(), Kernels: kernels.Active(), Cores: runtime.NumCPU(),
		OS: runtime.GOOS, Arch: runtime.GOARCH, Go: runtime.Version(),
		Date: time.Now().UTC().Format(time.DateOnly),
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch {
			case s.Key == "GOAMD64", s.Key == "GOARM64":
				m.Level = s.Value
			case s.Key == "vcs.revision":
				m.Revision = s.Value + m.Revision
			case s.Key == "vcs.modified" && s.Value == "true":
				m.Revision += "+"
			}
		}
	}
	return m
}
