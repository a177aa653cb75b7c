package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/mapfeed"
	"github.com/detour-relay/detour/internal/text"
)

// mapHelp explains what a MAP is, in the help of every command that takes one.
const mapHelp = "A MAP is a file, an http or https URL, or - for standard input."

// formValue is a form of maps as the value of a flag.
type formValue derpmap.Form

func formNames() (names []string) {
	for _, form := range mapfeed.Forms {
		names = append(names, string(form))
	}
	return names
}

// Set implements pflag.Value.
func (f *formValue) Set(text string) error {
	if !slices.Contains(formNames(), text) {
		return errors.New("choose json, hujson or yaml")
	}
	*f = formValue(text)
	return nil
}

// String implements pflag.Value.
func (f *formValue) String() string { return string(*f) }

// Type implements pflag.Value.
func (f *formValue) Type() string { return "form" }

// A mapInput is how a command reads its maps.
type mapInput struct {
	from   formValue
	caFile string
}

// define adds the flags, and the completion of the arguments. Commands that verify
// relays, too, have a --ca of their own, which counts for both.
func (in *mapInput) define(cmd *cobra.Command) {
	cmd.Flags().Var(&in.from, "from", "`form` of what is read: json, hujson or yaml (default: by the name, else by the text)")
	cli.Complete(cmd, "from", formNames()...)
	if cmd.Flags().Lookup("ca") == nil {
		cmd.Flags().StringVar(&in.caFile, "ca", "", "when fetching a map over https, trust the certificates of this PEM `file` instead of the system's")
		cmd.PreRunE = func(_ *cobra.Command, names []string) error { return in.checkCA(names) }
	}
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"json", "hujson", "jsonc", "yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
	}
}

// checkCA refuses a --ca that would have no effect.
func (in *mapInput) checkCA(names []string) error {
	if in.caFile == "" || slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(strings.ToLower(name), "https:") }) {
		return nil
	}
	return cli.Usagef("--ca has no effect without a map from an https URL: leave it out")
}

func (in *mapInput) form() derpmap.Form { return derpmap.Form(in.from) }

// source is where a map comes from.
func (in *mapInput) source(cmd *cobra.Command, name string) (*mapfeed.Source, error) {
	return mapSource(cmd.InOrStdin(), name, in.form(), in.caFile)
}

// mapSource is where a map comes from. A caFile says who may sign the certificate of
// a URL; it may be empty.
func mapSource(stdin io.Reader, name string, form derpmap.Form, caFile string) (*mapfeed.Source, error) {
	cfg := mapfeed.SourceConfig{Name: name, Form: form, Stdin: stdin}
	if caFile != "" {
		var err error
		if cfg.RootCAs, err = cli.ReadRoots("--ca", caFile); err != nil {
			return nil, err
		}
	}
	source, err := mapfeed.NewSource(cfg)
	if err != nil {
		return nil, cli.Usagef("%w", err)
	}
	return source, nil
}

func (in *mapInput) read(cmd *cobra.Command, name string) (mapfeed.Text, error) {
	return readMap(cmd.Context(), cmd.InOrStdin(), name, in.form(), in.caFile)
}

// readMap reads what a MAP names. An error says that nothing is known of the map, and
// has status 3 unless it has another.
func readMap(ctx context.Context, stdin io.Reader, name string, form derpmap.Form, caFile string) (mapfeed.Text, error) {
	source, err := mapSource(stdin, name, form, caFile)
	if err != nil {
		return mapfeed.Text{Name: text.RedactURL(name)}, err
	}
	t, err := source.Read(ctx)
	if err != nil {
		return t, unreadMap(name, caFile != "", err)
	}
	return t, nil
}

// unreadMap says what to do about a map that cannot be read.
func unreadMap(name string, caGiven bool, err error) error {
	switch {
	case mapfeed.IsURL(name):
		return cli.ExplainMap(name, caGiven, err)
	case errors.Is(err, fs.ErrNotExist):
		return cli.Unansweredf("%w: name a file, a URL, or - for standard input", err)
	}
	return cli.Unansweredf("%w", err)
}

func (in *mapInput) load(cmd *cobra.Command, name string) (*derpmap.Map, mapfeed.Text, error) {
	source, err := in.read(cmd, name)
	if err != nil {
		return nil, source, err
	}
	m, err := source.Load()
	return m, source, err
}

// loadAll loads one or more maps. The form is that of the first.
func (in *mapInput) loadAll(cmd *cobra.Command, names []string) (all []*derpmap.Map, form derpmap.Form, err error) {
	if err := checkStdinOnce(names); err != nil {
		return nil, "", err
	}
	for i, name := range names {
		m, source, err := in.load(cmd, name)
		if err != nil {
			return nil, "", err
		}
		if i == 0 {
			form = source.Form
		}
		all = append(all, m)
	}
	return all, form, nil
}

func checkStdinOnce(names []string) error {
	times := 0
	for _, name := range names {
		if name == mapfeed.Stdin {
			times++
		}
	}
	if times > 1 {
		return cli.Usagef("- stands here %d times, but standard input can be read only once: put the maps into files", times)
	}
	return nil
}
