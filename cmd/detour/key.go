package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/meshkey"
	"github.com/detour-relay/detour/key"
)

func newKeyCommand() *cobra.Command {
	cmd := cli.NewGroup("key", "Make and show keys")
	cmd.AddCommand(newKeyNewCommand(), newKeyShowCommand(), newKeyMeshCommand())
	return cmd
}

func newKeyNewCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Make a private key",
		Long: `Make a private key.

With --out the key goes into a new file that only you can read, and its public
key is printed. Without, the text of such a file is printed: keep it secret.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			k := key.NewPrivate()
			if !cmd.Flags().Changed("out") {
				return printKeyFile(cmd.OutOrStdout(), k)
			}
			if err := createKeyFile(out, k); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), k.Public())
			return err
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "write the key to this new `file` and print its public key")
	return cmd
}

// printKeyFile writes what a key file holds, so that a redirection makes one.
func printKeyFile(w io.Writer, k key.Private) error {
	text, err := json.MarshalIndent(struct{ PrivateKey string }{k.Text()}, "", "\t")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", text)
	return err
}

func createKeyFile(path string, k key.Private) error {
	if path == "" {
		return cli.Usagef("--out: the file name is empty: name the file to create")
	}
	err := key.CreateFile(path, k)
	if errors.Is(err, fs.ErrExist) {
		return existsError(path)
	}
	return err
}

func existsError(path string) error {
	return fmt.Errorf("%s exists and is left as it is: choose another name, or remove it if nothing uses the key", path)
}

func newKeyShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show FILE",
		Short: "Print the public key of a key file",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := key.LoadFile(args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), k.Public())
			return err
		},
	}
}

func newKeyMeshCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "mesh",
		Short: "Make a mesh key, which the relays of a region share",
		Long: `Make a mesh key, which the relays of a region share.

With --out the key goes into a new file that only you can read. Without, it is
printed: keep it secret. Whoever has it can read the addresses of all peers and
send packets in their name.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			k := meshkey.New()
			if cmd.Flags().Changed("out") {
				return createMeshKeyFile(out, k)
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), k.Text())
			return err
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "write the key to this new `file`")
	return cmd
}

func createMeshKeyFile(path string, k key.Mesh) error {
	if path == "" {
		return cli.Usagef("--out: the file name is empty: name the file to create")
	}
	err := meshkey.Create(path, k)
	if errors.Is(err, fs.ErrExist) {
		return existsError(path)
	}
	if err != nil {
		return fmt.Errorf("mesh key file: %w", err)
	}
	return nil
}
