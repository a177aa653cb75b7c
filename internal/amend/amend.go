// Package amend changes a file of settings where it has to be changed. All else stays
// as people wrote it: comments, order, blank lines.
package amend

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/text"
	"github.com/detour-relay/detour/internal/yamldoc"
)

// An Edit gives a setting another value, as flags have it, or takes it out.
type Edit struct {
	Path, Text string
	Remove     bool
	Remark     string // stands above it where it is new
}

// ErrByHand is that of Edit where a file is written in a way that only a person can
// change.
var ErrByHand = errors.New("it is written in a way that cannot be changed from here")

// mostValues bounds the file, as its reader does.
const mostValues = 10_000

// File returns the contents of a file of settings after the edits. What it returns has
// been read again, and means what the file meant, but for these: where that cannot be
// had, the error wraps ErrByHand and says what to write.
func File(name string, contents []byte, edits []Edit) ([]byte, error) {
	want, err := meant(name, contents, edits)
	if err != nil {
		return nil, err
	}
	source, err := text.Decode(contents)
	if err != nil {
		return nil, err
	}
	f := &file{lines: strings.Split(strings.TrimSuffix(string(source), "\n"), "\n")}
	if len(source) == 0 {
		f.lines = nil
	}
	var fresh []Edit
	for _, e := range edits {
		if err := f.parse(); err != nil {
			return nil, byHand(name, edits)
		}
		if !f.apply(e) && !e.Remove {
			fresh = append(fresh, e)
		}
	}
	f.add(fresh)
	changed := []byte(strings.Join(f.lines, "\n") + "\n")
	got := config.Load(config.Sources{File: name, Contents: changed})
	if len(got.Problems) > 0 || !reflect.DeepEqual(texts(got.Config), texts(want)) {
		return nil, byHand(name, edits)
	}
	if bytes.Contains(contents, []byte("\r\n")) {
		changed = bytes.ReplaceAll(changed, []byte("\n"), []byte("\r\n"))
	}
	return changed, nil
}

// meant are the settings that the file is to have.
func meant(name string, contents []byte, edits []Edit) (config.Config, error) {
	before := config.Load(config.Sources{File: name, Contents: contents})
	if err := before.Err(); err != nil {
		return before.Config, err
	}
	want, usual := before.Config, config.Defaults()
	for _, e := range edits {
		given := e.Text
		if e.Remove {
			s, _ := config.Lookup(e.Path)
			given = s.Text(usual)
		}
		if err := config.Set(&want, e.Path, given); err != nil {
			return want, err
		}
	}
	return want, nil
}

// texts are all settings as flags have them.
func texts(c config.Config) (all []string) {
	for _, s := range config.Table() {
		all = append(all, s.Text(c))
	}
	return all
}

func byHand(name string, edits []Edit) error {
	var given []config.Given
	var out []string
	for _, e := range edits {
		if e.Remove {
			out = append(out, e.Path)
		} else {
			given = append(given, config.Given{Path: e.Path, Text: e.Text})
		}
	}
	said := fmt.Sprintf("write into it: %s", strings.Join(strings.Split(strings.TrimSpace(config.Write(given, nil)), "\n"), " / "))
	if len(given) == 0 {
		said = ""
	}
	if len(out) > 0 {
		said = strings.TrimPrefix(said+", and take out "+strings.Join(out, ", "), ", and ")
	}
	return fmt.Errorf("%s: %w: %s", name, ErrByHand, said)
}

// A file is its lines, and what they mean.
type file struct {
	lines []string
	root  *yaml.Node // nil: there are comments only
}

func (f *file) parse() error {
	root, err := yamldoc.Read([]byte(strings.Join(f.lines, "\n")+"\n"), mostValues)
	if e, ok := errors.AsType[*yamldoc.Error](err); ok && e.Code == yamldoc.Empty {
		f.root = nil
		return nil
	}
	if err == nil && (root.Kind != yaml.MappingNode || root.Style&yaml.FlowStyle != 0) {
		err = ErrByHand
	}
	f.root = root
	return err
}

// find returns a key of a block, and its value.
func find(block *yaml.Node, name string) (key, value *yaml.Node) {
	if block == nil || block.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(block.Content); i += 2 {
		if block.Content[i].Value == name {
			return block.Content[i], block.Content[i+1]
		}
	}
	return nil, nil
}

// apply makes one edit where the file has the setting, or its section. Otherwise
// nothing is done.
func (f *file) apply(e Edit) (done bool) {
	section, name, nested := strings.Cut(e.Path, ".")
	block, head := f.root, (*yaml.Node)(nil)
	if nested {
		if head, block = find(f.root, section); head == nil {
			return false
		}
	} else {
		name = e.Path
	}
	key, value := find(block, name)
	switch {
	case key != nil && e.Remove:
		f.remove(head, block, key)
	case key != nil:
		f.replace(key, value, e)
	case e.Remove:
		return true
	case head != nil:
		f.insert(head, block, e)
	default:
		return false
	}
	return true
}

// remove takes a setting out, and its section if nothing else is in it.
func (f *file) remove(head, block, key *yaml.Node) {
	if head != nil && len(block.Content) == 2 {
		key = head
	}
	f.splice(key.Line-1, f.end(key))
}

// end is the number of the last line of a key's value.
func (f *file) end(key *yaml.Node) int {
	indent, last := key.Column-1, key.Line
	for n := key.Line; n < len(f.lines); n++ {
		line := strings.TrimLeft(f.lines[n], " ")
		deep := len(f.lines[n]) - len(line)
		switch {
		case line == "" || deep <= indent && strings.HasPrefix(line, "#"):
			continue
		case deep > indent || deep == indent && (line == "-" || strings.HasPrefix(line, "- ")):
			last = n + 1
		default:
			return last
		}
	}
	return last
}

func (f *file) splice(from, to int, with ...string) {
	f.lines = append(f.lines[:from:from], append(with, f.lines[to:]...)...)
}

// replace gives a setting another value, and leaves the comment behind it. A list that
// only grows keeps its lines.
func (f *file) replace(key, value *yaml.Node, e Edit) {
	indent := strings.Repeat(" ", key.Column-1)
	if value.Kind == yaml.SequenceNode && value.Style&yaml.FlowStyle == 0 && len(value.Content) > 0 {
		if more, ok := grown(value, e.Text); ok {
			last := value.Content[len(value.Content)-1]
			dash := f.lines[last.Line-1][:strings.IndexByte(f.lines[last.Line-1], '-')+2]
			var added []string
			for _, line := range render(Edit{Path: e.Path, Text: more}, "")[1:] {
				added = append(added, dash+strings.TrimPrefix(strings.TrimLeft(line, " "), "- "))
			}
			f.splice(last.Line, last.Line, added...)
			return
		}
	}
	lines := render(Edit{Path: e.Path, Text: e.Text}, indent)
	line := f.lines[key.Line-1]
	if at := strings.LastIndex(line, value.LineComment); value.Kind == yaml.ScalarNode && value.LineComment != "" && at > 0 && len(lines) == 1 {
		lines[0] += line[len(strings.TrimRight(line[:at], " ")):]
	}
	f.splice(key.Line-1, f.end(key), lines...)
}

// grown returns what a list has more than before, if that is all.
func grown(before *yaml.Node, now string) (more string, ok bool) {
	parts := strings.Split(now, ",")
	if len(parts) <= len(before.Content) {
		return "", false
	}
	for i, n := range before.Content {
		if n.Kind != yaml.ScalarNode || n.Value != strings.TrimSpace(parts[i]) {
			return "", false
		}
	}
	return strings.Join(parts[len(before.Content):], ","), true
}

// insert adds a setting to a section that is there.
func (f *file) insert(head, block *yaml.Node, e Edit) {
	indent, after := strings.Repeat(" ", head.Column+1), head.Line
	if block.Kind == yaml.MappingNode && len(block.Content) > 0 && block.Style&yaml.FlowStyle == 0 {
		indent = strings.Repeat(" ", block.Content[0].Column-1)
		after = f.end(head)
	}
	f.splice(after, after, render(e, indent)...)
}

// render are the lines of a setting, without those of its section.
func render(e Edit, indent string) (lines []string) {
	written := config.Write([]config.Given{{Path: e.Path, Text: e.Text}}, map[string]string{e.Path: e.Remark})
	all := strings.Split(strings.TrimSuffix(written, "\n"), "\n")
	own := ""
	if strings.Contains(e.Path, ".") {
		all, own = all[1:], "  "
	}
	for _, line := range all {
		lines = append(lines, indent+strings.TrimPrefix(line, own))
	}
	return lines
}

// add writes settings at the end, each section with a blank line before it.
func (f *file) add(edits []Edit) {
	var given []config.Given
	remarks := make(map[string]string)
	for _, e := range edits {
		given = append(given, config.Given{Path: e.Path, Text: e.Text})
		remarks[e.Path] = e.Remark
	}
	if len(given) == 0 {
		return
	}
	if n := len(f.lines); n > 0 && strings.TrimSpace(f.lines[n-1]) != "" {
		f.lines = append(f.lines, "")
	}
	f.lines = append(f.lines, strings.Split(strings.TrimSuffix(Spaced(given, remarks), "\n"), "\n")...)
}

// Spaced is [config.Write] with a blank line before each section, and before each
// setting that has a remark.
func Spaced(given []config.Given, remarks map[string]string) string {
	written := config.Write(given, remarks)
	var b strings.Builder
	before := ""
	for i, line := range strings.Split(strings.TrimSuffix(written, "\n"), "\n") {
		isHead := !strings.HasPrefix(line, " ") && strings.HasSuffix(line, ":") && !strings.HasPrefix(before, "#")
		isRemark := strings.HasPrefix(line, "#") && !strings.HasPrefix(before, "#")
		back := strings.HasPrefix(before, " ") && !strings.HasPrefix(line, " ") // out of a section
		if i > 0 && (isHead || isRemark || back) {
			b.WriteByte('\n')
		}
		b.WriteString(line + "\n")
		before = line
	}
	return b.String()
}
