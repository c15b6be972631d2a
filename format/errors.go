package format

import (
	"errors"
	"fmt"
	"io"
)

// Causes of a [FormatError], for [errors.Is].
var (
	// ErrFormat is the family: every FormatError is an ErrFormat.
	ErrFormat = errors.New("format: invalid data")
	// ErrSignature: the data do not begin as the expected kind of file, or
	// their first bytes show how they were damaged on the way.
	ErrSignature = errors.New("format: wrong signature")
	// ErrTruncated: the data end too early. Such an error is an
	// io.ErrUnexpectedEOF as well.
	ErrTruncated = errors.New("format: truncated")
	// ErrChecksum: a CRC-32C does not match.
	ErrChecksum = errors.New("format: checksum mismatch")
	// ErrVersion: the file was written to a later version of the format.
	ErrVersion = errors.New("format: unsupported version")
	// ErrUnsupported: the file needs something this version of the format
	// reserves but does not define.
	ErrUnsupported = errors.New("format: unsupported feature")
	// ErrLimit: the data are larger than the Limits allow; they may be valid.
	ErrLimit = errors.New("format: limit exceeded")
	// ErrCorrupt: checksums match or do not exist, yet the data contradict
	// themselves.
	ErrCorrupt = errors.New("format: corrupt")
)

// FormatError reports data that cannot be read, in one line.
type FormatError struct {
	What  string // the part at fault: "signature", "header", "chunk T", ...
	Cause string // what is wrong with it
	Kind  error  // one of the Err values above
}

func (e *FormatError) Error() string { return "format: " + e.What + ": " + e.Cause }

// Is reports whether target is the error's kind or family.
func (e *FormatError) Is(target error) bool {
	return target == e.Kind || target == ErrFormat ||
		target == io.ErrUnexpectedEOF && e.Kind == ErrTruncated
}

func fail(kind error, what, cause string, args ...any) error {
	if len(args) > 0 {
		cause = fmt.Sprintf(cause, args...)
	}
	return &FormatError{What: what, Cause: cause, Kind: kind}
}
