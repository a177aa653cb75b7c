package text

import "bytes"

// Files are put together of parts in different encodings: PowerShell's >> appends
// UTF-16 to whatever is there, and cat puts UTF-8 behind it. Read as one encoding
// they lose a part without a word.

// mixedRun is how many units of UTF-16 in a row are single bytes of text: in some
// characters of Chinese both bytes look like ASCII, but not in so many together.
const mixedRun = 16

const mixedRemedy = "save each part as UTF-8, and put them together again"

// asciiRun counts units of UTF-16 whose bytes look like text of their own.
type asciiRun struct {
	units int
	start int // what has been decoded before the run
}

// unit counts one; out is what was decoded before it.
func (r *asciiRun) unit(a, b byte, out []byte) error {
	if !isPlain(a) || !isPlain(b) {
		r.units = 0
		return nil
	}
	if r.units == 0 {
		r.start = len(out)
	}
	if r.units++; r.units == mixedRun {
		return errorAfter(out[:r.start], "UTF-8 stands here, in a file that is UTF-16 elsewhere", mixedRemedy)
	}
	return nil
}

// isPlain tells whether a byte may stand in a text of ASCII.
func isPlain(b byte) bool { return ' ' <= b && b <= '~' || b == '\n' || b == '\r' || b == '\t' }

// begins16 tells whether what stands at i, and cannot be in UTF-8, is UTF-16: a mark
// of it, or zero bytes at every second place.
func begins16(data []byte, i int) bool {
	if data[i] != 0 && data[i] < 0xfe {
		return false // by far the most
	}
	rest := data[i:]
	if bytes.HasPrefix(rest, []byte{0xff, 0xfe}) || bytes.HasPrefix(rest, []byte{0xfe, 0xff}) {
		return true
	}
	return len(rest) > 4 && rest[0] == 0 && rest[1] != 0 && rest[2] == 0 && rest[3] != 0 && rest[4] == 0
}
