package format

import "strings"

var fileKinds = map[string]string{
	imageSignature: "an aecodec file (.aec)",
	modelSignature: "an aecodec model (.aem)",
}

// checkSignature compares the first bytes of a file with its signature, or as
// many as there are, and says what probably happened to them.
func checkSignature(got []byte, want string) error {
	s := string(got)
	cause := "not " + fileKinds[want]
	name := want[1:4]
	switch {
	case s == want:
		return nil
	case s == "":
		return fail(ErrTruncated, "signature", "no data")
	case strings.HasPrefix(want, s):
		return fail(ErrTruncated, "signature", "data end too early")
	case fileKinds[s] != "":
		cause = "this is " + fileKinds[s] + ", not " + fileKinds[want]
	case strings.HasPrefix(s, want[:4]):
		cause = "damaged by a transfer as text (line ends were changed)"
	case strings.HasPrefix(s, "."+name):
		cause = "damaged by a 7-bit transfer (high bits were cleared)"
	case strings.HasPrefix(s, "\u00ae"+name), strings.HasPrefix(s, "\ufffd"+name):
		cause = "damaged by a transfer as text (re-encoded as UTF-8)"
	}
	return fail(ErrSignature, "signature", cause)
}
