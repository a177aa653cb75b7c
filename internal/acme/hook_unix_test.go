//go:build unix

package acme

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// What a hook has started ends with it when its time is over, and it does not learn what
// is for the relay alone.
func TestHookThatHangs(t *testing.T) {
	dir := t.TempDir()
	fifo, program := filepath.Join(dir, "fifo"), filepath.Join(dir, "hook")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, []byte("#!/bin/sh\n(echo \"$DETOUR_MESH_KEY$HOOK_TOKEN\"; exec sleep 10000) > "+fifo+" &\nwait\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DETOUR_MESH_KEY", "secret")
	t.Setenv("HOOK_TOKEN", "token")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- hook(program).make(ctx, "n.", "v") }()
	in, err := os.Open(fifo) // waits for who writes
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	said := make([]byte, len("token\n"))
	if _, err := io.ReadFull(in, said); err != nil {
		t.Fatal(err)
	}
	cancel()
	rest, err := io.ReadAll(in) // to the end of the last who can write
	if text := string(said) + string(rest); text != "token\n" || err != nil {
		t.Errorf("it was told %q, %v", text, err)
	}
	if err := <-ended; err == nil {
		t.Error("it is said to have made a record")
	}
}
