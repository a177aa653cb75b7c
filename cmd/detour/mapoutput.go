package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/mapfeed"
)

// A mapOutput is how a command writes a map.
type mapOutput struct {
	to  formValue
	out string
}

// define adds the flags; usual says what --to is without them.
func (o *mapOutput) define(cmd *cobra.Command, usual string) {
	flags := cmd.Flags()
	flags.Var(&o.to, "to", "`form` to write: json, hujson or yaml ("+usual+")")
	flags.StringVarP(&o.out, "out", "o", mapfeed.Stdin, "`file` to write, as a whole or not at all; -: standard output")
	cli.Complete(cmd, "to", formNames()...)
}

// form is the form to write: as asked for, else as the name of the file says, else
// usual. It may be empty if usual is.
func (o *mapOutput) form(usual derpmap.Form) derpmap.Form {
	return cmp.Or(derpmap.Form(o.to), mapfeed.FormOfName(o.out), usual)
}

// check finds out before anything is read what could not be written.
func (o *mapOutput) check() error {
	if o.out == "" {
		return cli.Usagef("--out: the file name is empty: name the file to write")
	}
	return nil
}

func (o *mapOutput) write(cmd *cobra.Command, m *derpmap.Map, usual derpmap.Form) error {
	text, err := m.Encode(o.form(usual))
	if err != nil {
		return err
	}
	if o.out == mapfeed.Stdin {
		_, err = cmd.OutOrStdout().Write(text)
		return err
	}
	if err := cli.ReplaceFile(o.out, text); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return nil
}
