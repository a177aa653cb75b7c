package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/detour-relay/detour/client"
)

// targetPair says how to trust the one relay, or the two of one region, that a command is pointed at.
type targetPair struct {
	targetFlags
	certName2 string
}

func (f *targetPair) add(flags *pflag.FlagSet) {
	f.targetFlags.add(flags)
	flags.StringVar(&f.certName2, "cert-name2", "", "the same as --cert-name, for the second relay")
}

// oneOrTwo accepts the arguments of a command that is pointed at one relay or at two.
var oneOrTwo = cobra.RangeArgs(1, 2)

// configs makes the parts of dials that peers share; that of the second relay has no URL if there is none.
func (f *targetPair) configs(relays []string) (near, far client.Config, err error) {
	if near, err = f.config(relays[0]); err != nil {
		return near, far, err
	}
	if len(relays) == 1 {
		if f.certName2 != "" {
			err = usagef("--cert-name2 is for a second relay: add its URL, or write --cert-name")
		}
		return near, far, err
	}
	second := f.targetFlags
	second.certName = f.certName2
	far, err = second.config(relays[1])
	return near, far, err
}

// args are the flags again, for another process that is pointed at the same relays.
func (f *targetPair) args() []string {
	args := f.targetFlags.args()
	if f.certName2 != "" {
		args = append(args, "--cert-name2", f.certName2)
	}
	return args
}
