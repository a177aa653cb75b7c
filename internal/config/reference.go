package config

import (
	"fmt"
	"slices"
	"strings"
)

// chosen are the settings that a relay cannot do without. The reference has them as
// they are for a relay with its own certificate to which nobody is let in yet: that
// needs no file, and gives nothing away until somebody is allowed.
var chosen = map[string]string{"hostname": "relay.example.com", "tls.mode": TLSSelf, "access.managed": "true"}

const referenceHead = `# The settings of a Detour relay: "detour relay --config FILE", or %s.
# Lines that begin with "# " explain; where a setting stands behind # alone, take that #
# away to give it. What is not commented out has the value that counts anyway, but for
# hostname, tls.mode and access.managed: a relay needs to be told its name, how it is
# secured and who may come in. As they stand here it makes a certificate of its own, and
# lets in whom "detour access allow" names.
#
# What a flag says counts more than a variable, and that more than this file. Lists are
# replaced as a whole. In place of a file may stand credential:NAME, of LoadCredential=
# in a unit of systemd. "detour config check FILE" looks whether all of it fits.
`

// Reference is a file with all settings and what they are for. As it stands it is a
// whole one. Usual is where a relay looks for its file.
func Reference(usual string) string {
	var b strings.Builder
	fmt.Fprintf(&b, referenceHead, usual)
	group, section := "", ""
	for _, s := range table() {
		if s.Group != group {
			group = s.Group
			fmt.Fprintf(&b, "\n# %s\n# %s\n", group, strings.Repeat("-", len(group)))
		}
		in, name, nested := strings.Cut(s.Path, ".")
		if !nested {
			in, name = "", s.Path
		}
		if in != section && in != "" {
			fmt.Fprintf(&b, "\n%s:\n", in)
		} else {
			b.WriteByte('\n')
		}
		section = in
		writeSetting(&b, s, name, strings.Repeat("  ", min(len(in), 1)))
	}
	return b.String()
}

// plain spells settings as the file has them.
func plain(path string) string { return path }

func writeSetting(b *strings.Builder, s Setting, name, indent string) {
	for _, line := range wrap(strings.ReplaceAll(s.Usage(plain), "`", ""), 84-len(indent)) {
		fmt.Fprintf(b, "%s# %s\n", indent, line)
	}
	if s.Follows != "" {
		for _, line := range wrap("Default: "+s.Default(plain), 84-len(indent)) {
			fmt.Fprintf(b, "%s# %s\n", indent, line)
		}
	}
	fmt.Fprintf(b, "%s# --%s, $%s\n", indent, s.Flag, s.Variable())
	value, active := s.inReference()
	for _, line := range s.yaml(name, value) {
		if !active {
			line = "#" + line
		}
		b.WriteString(indent + line + "\n")
	}
}

// inReference is the value that the reference has, and whether it counts as it stands.
func (s Setting) inReference() (value string, active bool) {
	if value, ok := chosen[s.Path]; ok {
		return value, true
	}
	if value := s.Text(Defaults()); s.Follows == "" && s.Otherwise == "" && value != "" && !s.Kind.Many() && (s.Example == "" || s.Kind == KindRate) {
		return value, true
	}
	if s.Otherwise != "" {
		return s.Otherwise, true
	}
	return s.Example, false
}

// yaml writes a value into the file.
func (s Setting) yaml(name, value string) []string {
	switch s.Kind {
	case KindList:
		lines := []string{name + ":"}
		for _, v := range splitList(value) {
			lines = append(lines, "  - "+quoteYAML(v))
		}
		return lines
	case KindMap, KindLimits:
		lines := []string{name + ":"}
		for _, pair := range s.pairs(value) {
			key, v, _ := strings.Cut(pair, "=")
			lines = append(lines, "  "+quoteYAML(key)+": "+quoteYAML(v))
		}
		return lines
	case KindString:
		value = quoteYAML(value)
	}
	return []string{name + ": " + value}
}

// quoteYAML puts quotes around what would be another value without them.
func quoteYAML(s string) string {
	plain := s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=+ ") == "" &&
		!strings.Contains(s, ": ") && !strings.HasSuffix(s, ":") && !strings.ContainsAny(s[:1], "-:=. ") && !strings.HasSuffix(s, " ")
	if plain && strings.Trim(s, "0123456789.+-_eExX") != "" && !slices.Contains([]string{"true", "false", "null"}, strings.ToLower(s)) {
		return s
	}
	return fmt.Sprintf("%q", s)
}

// wrap breaks a text into lines.
func wrap(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}

// Page is the table of all settings for a page of documentation.
func Page() string {
	var b strings.Builder
	group := ""
	for _, s := range table() {
		if s.Group != group {
			group = s.Group
			fmt.Fprintf(&b, "\n### %s\n\n| setting | flag | variable | default | live | what |\n|---|---|---|---|---|---|\n", group)
		}
		live := "yes"
		if !s.Live {
			live = "no"
		}
		text := strings.NewReplacer("`", "", "|", `\|`)
		fmt.Fprintf(&b, "| `%s` | `--%s` | `%s` | %s | %s | %s |\n", s.Path, s.Flag, s.Variable(), text.Replace(s.Default(plain)), live, text.Replace(s.Usage(plain)))
	}
	return b.String()
}
