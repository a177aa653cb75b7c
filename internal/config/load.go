package config

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/detour-relay/detour/internal/text"
)

// Sources are what settings are made of. Those of a flag count more than those of the
// environment, these more than the file's, and what nobody says is as in [Defaults]. A
// list or map that one of them gives replaces that of the others.
type Sources struct {
	File     string // what the file is called; empty: there is none
	Contents []byte // of the file

	Environment []string // as os.Environ has it
	Flags       []Given  // in the order of the command line

	// Names are what the command line calls settings, without dashes, where it is not that
	// of "detour relay". What has none there can be given by the environment. Nil: the
	// flags of the table.
	Names map[string]string
}

// Given is a value that a setting was given. A list that is given several times has
// them all.
type Given struct{ Path, Text string }

// Load makes settings of their sources. It returns them also if there are problems,
// without what is wrong. What single values mean together is for [Config.Complete].
func Load(from Sources) *Loaded {
	l := &Loaded{Config: Defaults(), File: from.File, names: from.Names, origins: make(map[string]Origin)}
	if from.File != "" {
		l.readFile(from.Contents)
	}
	l.readEnvironment(from.Environment)
	l.readFlags(from.Flags)
	l.findCredentials(from.Environment)
	return l
}

func (l *Loaded) readFlags(flags []Given) {
	texts := make(map[string]string)
	for _, given := range flags {
		s, ok := Lookup(given.Path)
		if before, twice := texts[s.Path]; ok && twice && s.Kind.Many() {
			given.Text = before + "," + given.Text
		}
		texts[given.Path] = given.Text
	}
	for _, s := range table() {
		if text, ok := texts[s.Path]; ok {
			l.take(s, text, Origin{Flag: cmp.Or(l.names[s.Path], s.Flag)})
		}
	}
}

func (l *Loaded) readEnvironment(environment []string) {
	settings := make(map[string]Setting)
	var names []string
	for _, s := range table() {
		settings[s.Variable()] = s
		names = append(names, s.Variable())
	}
	for _, variable := range environment {
		name, text, _ := strings.Cut(variable, "=")
		if s, ok := settings[name]; ok && text != "" {
			l.take(s, text, Origin{Variable: name})
		} else if !ok && strings.HasPrefix(name, VariablePrefix) && !isOther(name) {
			l.unknownVariable(name, names)
		}
	}
}

// take sets a setting to what a source has.
func (l *Loaded) take(s Setting, text string, from Origin) {
	l.origins[s.Path] = from
	l.add(s.set(&l.Config, text))
}

func (l *Loaded) unknownVariable(name string, names []string) {
	p := &Problem{Origin: Origin{Variable: name}, Text: "$" + name + " is no setting"}
	if near := text.Nearest(name, names); near != "" {
		p.Text += ": write " + near
	} else if flag := byFlag(strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, VariablePrefix), "_", "-"))); flag.Path != "" {
		p.Text += ": write " + flag.Variable()
	} else {
		p.Text += `: take it out; "detour config reference" has all there are`
	}
	l.Problems = append(l.Problems, p)
}

// byFlag returns the setting that the command line calls so.
func byFlag(name string) Setting {
	for _, s := range table() {
		if s.Flag == name {
			return s
		}
	}
	return Setting{}
}

// FileVariable names the file, where the command line does not.
const FileVariable = "DETOUR_CONFIG"

// others are variables that begin as settings do and are none: the file, the mesh key,
// and what the project's own tests are told by.
var others = []string{FileVariable, "DETOUR_MESH_KEY", "DETOUR_GO", "DETOUR_PROGRAM", "DETOUR_BENCH_NODES", "DETOUR_DOWNLOAD_JSON", "DETOUR_TUNNEL_JSON", "DETOUR_TAILNET_ROLE", "DETOUR_TAILNET_INSIDE"}

// serviceLink are the variables that Kubernetes gives each container for a service
// whose name begins with detour.
var serviceLink = regexp.MustCompile(`^DETOUR_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

func isOther(name string) bool { return slices.Contains(others, name) || serviceLink.MatchString(name) }

// CredentialPrefix begins the name of a credential, which systemd puts into a directory
// for the service (LoadCredential=), in place of the name of a file.
const CredentialPrefix = "credential:"

// findCredentials puts the paths of credentials in place of their names.
func (l *Loaded) findCredentials(environment []string) {
	dir := ""
	for _, variable := range environment {
		if value, ok := strings.CutPrefix(variable, "CREDENTIALS_DIRECTORY="); ok {
			dir = value
		}
	}
	for _, s := range table() {
		if !s.File {
			continue
		}
		switch field := s.value(&l.Config).Addr().Interface().(type) {
		case *string:
			l.findCredential(s, field, dir)
		case *[]string:
			for i := range *field {
				l.findCredential(s, &(*field)[i], dir)
			}
		}
	}
}

func (l *Loaded) findCredential(s Setting, value *string, dir string) {
	name, ok := strings.CutPrefix(*value, CredentialPrefix)
	switch {
	case !ok:
	case name == "" || strings.ContainsAny(name, `/\`) || name == "." || name == "..":
		l.add(s.wrong(*value, "want the name of a credential, such as credential:"+s.Path))
	case dir != "":
		*value = dir + "/" + name
	default:
		l.Credentials = append(l.Credentials, Given{s.Path, name})
	}
}
