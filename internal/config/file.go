package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/detour-relay/detour/internal/text"
	"github.com/detour-relay/detour/internal/yamldoc"
)

// MostFile bounds a file of settings, in bytes.
const MostFile = 1 << 20

const (
	mostValues   = 10_000 // in a file, also by its aliases
	mostProblems = 50     // that are looked for, of each of two kinds
)

// A fileReader reads one file. It notes all that is wrong and goes on, so that people
// do not find one fault after the other.
type fileReader struct {
	loaded *Loaded
	left   int // values, since aliases multiply them
}

type place struct{ line, column int }

func placeOf(n *yaml.Node) place { return place{n.Line, n.Column} }

// readFile takes what a file has.
func (l *Loaded) readFile(contents []byte) {
	r := &fileReader{loaded: l, left: mostValues}
	source, err := text.Decode(contents)
	if e, ok := errors.AsType[*text.Error](err); ok {
		r.refuse(place{e.Line, e.Column}, "", e.What, e.Remedy)
		return
	}
	if bytes.HasPrefix(bytes.TrimSpace(source), []byte("<")) {
		r.refuse(place{1, 1}, "", "this is HTML or XML, not YAML", `write settings into it, as "detour config reference" prints them`)
		return
	}
	root, err := yamldoc.Read(source, mostValues)
	if e, ok := errors.AsType[*yamldoc.Error](err); ok {
		r.refuseText(e)
		return
	}
	strays := len(l.Problems)
	r.findStrays(source)
	if len(l.Problems) == strays { // or each of them would be told twice, as an unknown key
		r.section("", root)
	}
}

// refuseText says why a text as a whole is no file of settings. An empty one is: it
// has none.
func (r *fileReader) refuseText(e *yamldoc.Error) {
	at := place{e.Line, e.Column}
	switch {
	case e.Code == yamldoc.Empty:
	case e.Code == yamldoc.Second:
		r.refuse(at, "", e.What+", and a file of settings has one", "take out the --- and put all settings together")
	case strings.Contains(e.What, "unknown anchor"): // the parser repeats it, and it may be a password
		r.refuse(at, "", "a value that begins with * stands for another one, which there is not", "put quotes around it")
	default:
		r.refuse(at, "", e.What, e.Remedy)
	}
}

// findStrays refuses characters that look like ASCII and are none, outside of comments:
// a no-break space makes a key another one, and a smart quote becomes part of a value.
func (r *fileReader) findStrays(source []byte) {
	for s := range text.Strays(source) {
		start := bytes.LastIndexByte(source[:s.Offset], '\n') + 1
		if bytes.IndexByte(source[start:s.Offset], '#') >= 0 {
			continue
		}
		if len(r.loaded.Problems) > mostProblems {
			return
		}
		r.refuse(place{s.Line, s.Column}, "", s.String()+" stands here", s.Remedy())
	}
}

// refuse notes a problem at a place.
func (r *fileReader) refuse(at place, path, what, remedy string) {
	said := what
	if remedy != "" {
		said += ": " + remedy
	}
	r.loaded.Problems = append(r.loaded.Problems, newProblem(r.origin(at), path, said))
}

func (r *fileReader) origin(at place) Origin {
	return Origin{File: r.loaded.File, Line: at.line, Column: at.column}
}

// section reads the keys of one level: settings and deeper sections.
func (r *fileReader) section(prefix string, n *yaml.Node) {
	n = r.resolve(n)
	switch {
	case n == nil:
		return
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		return // everything beneath it is commented out
	case n.Kind != yaml.MappingNode:
		r.refuseSection(prefix, n)
		return
	}
	keys := make(map[string]place)
	for i := 0; i+1 < len(n.Content) && len(r.loaded.Problems) <= mostProblems; i += 2 {
		if key := n.Content[i]; r.isKey(prefix, key, keys) {
			keys[key.Value] = placeOf(key)
			r.key(prefix, key, n.Content[i+1])
		}
	}
}

// isKey refuses keys that are no words, and a second one of the same name.
func (r *fileReader) isKey(prefix string, key *yaml.Node, before map[string]place) bool {
	first, twice := before[key.Value]
	switch {
	case key.ShortTag() == "!!merge":
		r.refuse(placeOf(key), "", "<< brings in keys from elsewhere, and a file of settings says each once", "write them out")
	case key.Kind != yaml.ScalarNode:
		r.refuse(placeOf(key), "", "a key is not a simple word", "fill in what stands for another: {{ }} is a template")
	case twice:
		path := prefix + key.Value
		r.refuse(placeOf(key), path, fmt.Sprintf("%s stands in line %d already", path, first.line), "keep one of them")
	default:
		return true
	}
	return false
}

// refuseSection is about a value where keys were to stand, as in "tls: self".
func (r *fileReader) refuseSection(prefix string, n *yaml.Node) {
	if prefix == "" {
		r.refuse(placeOf(n), "", "here stands "+kindOf(n)+", and a file of settings has keys", "write key: value, one in a line")
		return
	}
	section := strings.TrimSuffix(prefix, ".")
	what := section + " has keys beneath it, and here stands " + kindOf(n)
	remedy := "write one of " + strings.Join(keysOf(prefix), ", ") + " beneath it"
	if s := byFlag(section); s.Path != "" && n.Kind == yaml.ScalarNode { // tls: self
		remedy = nested(s.Path, text.RedactURL(n.Value))
	}
	r.refuse(placeOf(n), "", what, remedy)
}

// nested says how a setting is written into the file.
func nested(path, value string) string {
	section, name, ok := strings.Cut(path, ".")
	if value != "" {
		value = " " + value
	}
	if !ok {
		return fmt.Sprintf("write %q, at the beginning of a line", path+":"+value)
	}
	return fmt.Sprintf("write %q, and beneath it, indented, %q", section+":", name+":"+value)
}

// keysOf are the names on one level of the file.
func keysOf(prefix string) (names []string) {
	for _, s := range table() {
		if rest, ok := strings.CutPrefix(s.Path, prefix); ok {
			name, _, _ := strings.Cut(rest, ".")
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// key reads one key of a level.
func (r *fileReader) key(prefix string, key, value *yaml.Node) {
	path := prefix + key.Value
	if strings.Contains(key.Value, ".") {
		r.unknown(prefix, key, value)
		return
	}
	if s, ok := Lookup(path); ok {
		r.setting(s, value)
		return
	}
	if path != "" && len(keysOf(path+".")) > 0 {
		r.section(path+".", value)
		return
	}
	r.unknown(prefix, key, value)
}

// unknown refuses a key that there is not, and says what may be meant: a path or a flag
// of another level, a variable, or the nearest name of this one.
func (r *fileReader) unknown(prefix string, key, value *yaml.Node) {
	name := key.Value
	what := fmt.Sprintf("there is no setting %q", prefix+text.RedactURL(name))
	shown := ""
	if value.Kind == yaml.ScalarNode {
		shown = "..."
	}
	near := text.Nearest(name, keysOf(prefix))
	if near != "" && prefix != "" { // more likely than a flag, which this is not the place for
		r.refuse(placeOf(key), "", what, "write "+near)
		return
	}
	for _, path := range []string{name, strings.TrimLeft(name, "-"), byFlag(strings.TrimLeft(name, "-")).Path, byFlag(strings.ReplaceAll(prefix+name, ".", "-")).Path, byVariable(name).Path} {
		if s, ok := Lookup(path); ok {
			r.refuse(placeOf(key), "", what, nested(s.Path, shown))
			return
		}
	}
	if near != "" {
		r.refuse(placeOf(key), "", what, "write "+near)
		return
	}
	if path := elsewhere(name); path != "" {
		r.refuse(placeOf(key), "", what, nested(path, shown))
		return
	}
	if prefix != "" {
		r.refuse(placeOf(key), "", what, "beneath "+strings.TrimSuffix(prefix, ".")+" may stand "+strings.Join(keysOf(prefix), ", "))
		return
	}
	r.refuse(placeOf(key), "", what, `take it out; "detour config reference" has all there are`)
}

// elsewhere is the one setting whose last name, path or flag is nearest.
func elsewhere(name string) string {
	var paths []string
	for _, s := range table() {
		if last := s.Path[strings.LastIndexByte(s.Path, '.')+1:]; last == name {
			paths = append(paths, s.Path)
		}
	}
	if len(paths) == 1 {
		return paths[0]
	}
	names := make(map[string]string)
	var all []string
	for _, s := range table() {
		for _, n := range []string{s.Flag, s.Path} {
			names[n] = s.Path
			all = append(all, n)
		}
	}
	return names[text.Nearest(name, all)]
}

func byVariable(name string) Setting {
	for _, s := range table() {
		if s.Variable() == name {
			return s
		}
	}
	return Setting{}
}

// resolve follows an alias, and counts what is read, since an alias may stand in what
// another stands for. It returns nil when it is too much.
func (r *fileReader) resolve(n *yaml.Node) *yaml.Node {
	r.left--
	if r.left == 0 {
		r.refuse(placeOf(n), "", "the aliases blow it up too much", "write the values out")
	}
	if r.left <= 0 {
		return nil
	}
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "something with keys beneath it"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!bool":
		return n.Value
	}
	return fmt.Sprintf("%q", text.RedactURL(n.Value))
}
