//go:build !man

package main

import "github.com/spf13/cobra"

func newManCommand() *cobra.Command { return nil }
