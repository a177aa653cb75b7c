package derpmap

import "bytes"

// encoding says that a text can be read here, and by others perhaps not.
func (d *decoder) encoding(raw []byte) {
	raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
	marked := bytes.HasPrefix(raw, []byte("\xff\xfe")) || bytes.HasPrefix(raw, []byte("\xfe\xff"))
	what := ""
	switch {
	case marked && d.form == YAML: // whose readers know it by its mark
	case marked:
		what = "it is in UTF-16"
	case bytes.IndexByte(raw, 0) >= 0 && bytes.IndexByte(raw, 0) < len(d.source):
		what = "it is in UTF-16 without a byte order mark"
	case bytes.IndexByte(raw, 0) >= 0, bytes.IndexByte(raw, 0x1a) >= 0:
		what = "it ends in NUL or Ctrl-Z"
	case bytes.Contains(raw, []byte("\n\ufeff")), bytes.Contains(raw, []byte("\r\ufeff")), bytes.HasPrefix(raw, []byte("\ufeff")):
		what = "it has a byte order mark within"
	}
	if what != "" {
		d.found(Warning, "encoding", "", place{1, 1}, what+", which Detour reads and others do not", "save it as UTF-8")
	}
}
