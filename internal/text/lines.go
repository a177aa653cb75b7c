package text

import "strings"

// Lines returns the lines of a text that are not empty and no comment, without the
// white space around them.
func Lines(text []byte) (lines []string) {
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	return lines
}
