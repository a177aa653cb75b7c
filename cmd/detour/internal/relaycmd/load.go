package relaycmd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"sync/atomic"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/daemon"
	"github.com/detour-relay/detour/internal/smallfile"
)

// DefaultFile is read where it exists and nobody names another one.
const DefaultFile = "/etc/detour/relay.yaml"

// noFile is what stands for none.
const noFile = "none"

// load reads the settings anew: file, environment and command line.
func (f *settingFlags) load() *config.Loaded {
	from := config.Sources{Environment: os.Environ(), Flags: f.given}
	var problem *config.Problem
	if f.line == nil {
		problem = f.readFile(&from)
	} else {
		from.Names = f.line.Names
		from.Flags, problem = f.line.Settings()
	}
	l := config.Load(from)
	if problem != nil {
		l.Problems = append([]*config.Problem{problem}, l.Problems...)
	}
	return l
}

// readFile reads the file that is asked for, or the usual one if there is one.
func (f *settingFlags) readFile(from *config.Sources) *config.Problem {
	name, origin := f.file, config.Origin{Flag: "config"}
	if name == "" {
		name, origin = os.Getenv(config.FileVariable), config.Origin{Variable: config.FileVariable}
	}
	usual := name == ""
	switch {
	case name == noFile, usual && f.isDev(): // to try something out, also on a machine that has a relay
		return nil
	case usual:
		name = DefaultFile
	}
	contents, err := f.read(name)
	switch {
	case err == nil && name == "-":
		from.File, from.Contents = "stdin", contents
	case err == nil:
		from.File, from.Contents = name, contents
	case f.named:
		return &config.Problem{Origin: origin, Text: err.Error()}
	case !usual:
		return &config.Problem{Origin: origin, Text: fmt.Sprintf("%s: %v", origin, err)}
	case !errors.Is(err, fs.ErrNotExist):
		return &config.Problem{Origin: origin, Text: fmt.Sprintf("%v (or start without it: --config none)", err)}
	}
	return nil
}

func (f *settingFlags) read(name string) ([]byte, error) {
	if name != "-" || f.stdin == nil {
		return smallfile.Read(name, config.MostFile)
	}
	contents, err := io.ReadAll(io.LimitReader(f.stdin, config.MostFile+1))
	if err == nil && len(contents) > config.MostFile {
		err = fmt.Errorf("it is larger than %d KiB: is this the right file?", config.MostFile/1024)
	}
	return contents, err
}

func (f *settingFlags) isDev() bool {
	dev, _ := strconv.ParseBool(os.Getenv("DETOUR_DEV"))
	for _, given := range f.given {
		if given.Path == "dev" {
			dev, _ = strconv.ParseBool(given.Text)
		}
	}
	return dev
}

// A source has the settings that a relay runs with, and reads them anew.
type source struct {
	flags   *settingFlags
	current atomic.Pointer[config.Loaded]
}

// spell calls a setting as whoever gave it has.
func (s *source) spell(path string) string { return s.current.Load().Spell(path) }

// load reads the settings anew. What is wrong with them is said where it stands, and
// changes nothing.
func (s *source) load() (config.Config, error) {
	l := s.flags.load()
	if err := unusable(l); err != nil {
		return config.Config{}, err
	}
	if gone := s.current.Load().File; gone != "" && l.File == "" { // not what an empty file would mean: limits end
		return config.Config{}, fmt.Errorf("%s is gone: put it back, or restart the relay if it is to run without", gone)
	}
	if _, err := daemon.Complete(l.Config, nil); err != nil {
		return config.Config{}, spelt(l, err)
	}
	s.current.Store(l)
	return l.Config, nil
}
