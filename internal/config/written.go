package config

import "strings"

// Write is a file of settings that has these, in the order in which people are shown
// them, and a comment above each that remarks have one for.
func Write(given []Given, remarks map[string]string) string {
	texts := make(map[string]string)
	for _, g := range given {
		texts[g.Path] = g.Text
	}
	var b strings.Builder
	section := ""
	for _, s := range table() {
		text, ok := texts[s.Path]
		if !ok {
			continue
		}
		in, name, nested := strings.Cut(s.Path, ".")
		if !nested {
			in, name = "", s.Path
		}
		if in != section && in != "" {
			b.WriteString(in + ":\n")
		}
		section = in
		s.write(&b, name, text, remarks[s.Path], strings.Repeat("  ", min(len(in), 1)))
	}
	return b.String()
}

// write has the setting and its remark at their place.
func (s Setting) write(b *strings.Builder, name, text, remark, indent string) {
	if remark != "" {
		for _, line := range wrap(remark, 84-len(indent)) {
			b.WriteString(indent + "# " + line + "\n")
		}
	}
	for _, line := range s.yaml(name, text) {
		b.WriteString(indent + line + "\n")
	}
}
