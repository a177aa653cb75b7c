package main

import (
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/derpmap"
)

// mapHelp explains what a MAP is, in the help of every command that takes one.
const mapHelp = "A MAP is a file, an http or https URL, or - for standard input."

// formValue is a form of maps as the value of a flag.
type formValue derpmap.Form

func formNames() []string {
	return []string{string(derpmap.JSON), string(derpmap.HuJSON), string(derpmap.YAML)}
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
	from formValue
}

// define adds the flag, and the completion of the arguments.
func (in *mapInput) define(cmd *cobra.Command) {
	cmd.Flags().Var(&in.from, "from", "`form` of what is read: json, hujson or yaml (default: by the name, else by the text)")
	completeFlag(cmd, "from", formNames()...)
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"json", "hujson", "jsonc", "yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
	}
}

func (in *mapInput) form() derpmap.Form { return derpmap.Form(in.from) }

func (in *mapInput) read(cmd *cobra.Command, name string) (mapText, error) {
	return readMap(cmd.Context(), cmd.InOrStdin(), name, in.form())
}

func (in *mapInput) load(cmd *cobra.Command, name string) (*derpmap.Map, mapText, error) {
	return loadMap(cmd.Context(), cmd.InOrStdin(), name, in.form())
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
			form = source.form
		}
		all = append(all, m)
	}
	return all, form, nil
}

func checkStdinOnce(names []string) error {
	times := 0
	for _, name := range names {
		if name == stdinArg {
			times++
		}
	}
	if times > 1 {
		return usagef("- stands here %d times, but standard input can be read only once: put the maps into files", times)
	}
	return nil
}

// completeFlag makes the shell complete a flag that has been defined.
func completeFlag(cmd *cobra.Command, flag string, choices ...string) {
	complete := cobra.FixedCompletions(choices, cobra.ShellCompDirectiveNoFileComp)
	if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err) // there is no such flag
	}
}
