package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/key"
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
	flags.StringVarP(&o.out, "out", "o", stdinArg, "`file` to write, as a whole or not at all; -: standard output")
	completeFlag(cmd, "to", formNames()...)
}

// form is the form to write: as asked for, else as the name of the file says, else usual. It may be empty if usual is.
func (o *mapOutput) form(usual derpmap.Form) derpmap.Form {
	return cmp.Or(derpmap.Form(o.to), formOfName(o.out), usual)
}

// check finds out before anything is read what could not be written.
func (o *mapOutput) check() error {
	if o.out == "" {
		return usagef("--out: the file name is empty: name the file to write")
	}
	return nil
}

func (o *mapOutput) write(cmd *cobra.Command, m *derpmap.Map, usual derpmap.Form) error {
	text, err := m.Encode(o.form(usual))
	if err != nil {
		return err
	}
	if o.out == stdinArg {
		_, err = cmd.OutOrStdout().Write(text)
		return err
	}
	if err := replaceFile(o.out, text); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return nil
}

// replaceFile writes a file so that whoever reads it finds the old text or the new one, never a part. The file behind a
// symbolic link is replaced, not the link.
func replaceFile(path string, text []byte) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	old, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return key.WriteOver(path, text, 0)
	case err != nil:
		return err
	case !old.Mode().IsRegular(): // a device or a pipe: nobody takes a part of it for the whole
		return os.WriteFile(path, text, 0o666)
	}
	return key.WriteOver(path, text, old.Mode().Perm())
}
