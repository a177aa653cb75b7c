package relaycmd

import (
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/detour-relay/detour/internal/config"
)

// settingFlags collects what the command line gives of the table of settings.
type settingFlags struct {
	file  string    // that --config names, or an argument
	named bool      // by an argument
	stdin io.Reader // what a file called - is; nil: it is one like any other
	given []config.Given
	line  *Line // nil: the command line is that of "detour relay"
}

// define adds a flag for each setting, in the order of the table, and completes its
// values.
func (f *settingFlags) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.file, "config", "", "read settings from this YAML `file`, or none (default: $"+config.FileVariable+", else "+DefaultFile+" where it exists and --dev is not given)")
	cobra.CheckErr(cmd.MarkFlagFilename("config", "yaml", "yml"))
	for _, s := range config.Table() {
		DefineShared(cmd, s.Path, "", &f.given)
	}
}

// DefineShared adds the flag of one setting to the command of another server, which has
// that setting, too. What the command line gives goes to given. Help is what it is for
// there; empty: the same.
func DefineShared(cmd *cobra.Command, path, help string, given *[]config.Given) {
	s, known := config.Lookup(path)
	if !known {
		panic("no setting " + path)
	}
	if help == "" {
		help = s.Usage(FlagName)
		if s.Follows != "" {
			help += " (default: " + s.Default(FlagName) + ")"
		}
	}
	defineOne(cmd, s, help, given)
}

func defineOne(cmd *cobra.Command, s config.Setting, usage string, given *[]config.Given) {
	flag := cmd.Flags().VarPF(&flagValue{s, given}, s.Flag, "", usage)
	if s.Kind == config.KindBool {
		flag.NoOptDefVal = "true"
	}
	complete(cmd, s)
}

// complete has the shell complete the values of a setting: its words, or files.
func complete(cmd *cobra.Command, s config.Setting) {
	words := append(append([]string(nil), s.Choices...), s.Begins...)
	switch {
	case len(words) > 0 && !s.File:
		cobra.CheckErr(cmd.RegisterFlagCompletionFunc(s.Flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)))
	case s.Path == "state-dir":
		cobra.CheckErr(cmd.MarkFlagDirname(s.Flag))
	case !s.File && s.Path != "admin-socket":
		cobra.CheckErr(cmd.RegisterFlagCompletionFunc(s.Flag, cobra.NoFileCompletions))
	}
}

// A flagValue is the flag of a setting.
type flagValue struct {
	setting config.Setting
	given   *[]config.Given
}

var _ pflag.Value = (*flagValue)(nil)

// Set notes the value. What it means is for package config, which tells of a wrong one
// in the same words wherever it comes from.
func (v *flagValue) Set(text string) error {
	*v.given = append(*v.given, config.Given{Path: v.setting.Path, Text: text})
	return nil
}

// String is the default, which help shows.
func (v *flagValue) String() string {
	if v.setting.Follows != "" {
		return "" // said in words
	}
	return v.setting.Default(FlagName)
}

// Type names the value where the help does not.
func (v *flagValue) Type() string {
	switch v.setting.Kind {
	case config.KindInt, config.KindFloat:
		return "number"
	case config.KindDuration:
		return "time"
	}
	return string(v.setting.Kind)
}
