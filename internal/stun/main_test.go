package stun

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// variantKey is the environment variable that makes the test binary a
// responder for the benchmarks; variants are what it may say.
const variantKey = "STUN_BENCHMARK_VARIANT"

var variants = map[string]func(*Responder) error{
	"batches": (*Responder).serve,
	"singly":  singly,
}

// singly serves as systems do that have no batches.
func singly(r *Responder) error {
	file, err := r.File()
	if err != nil {
		return err
	}
	conn, err := net.FilePacketConn(file)
	file.Close()
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-r.closed
		conn.Close()
	}()
	err = r.serveSingly(conn.(*net.UDPConn))
	<-ended
	return err
}

func TestMain(m *testing.M) {
	if serve := variants[os.Getenv(variantKey)]; serve != nil {
		serveForBenchmark(serve)
		return
	}
	goleak.VerifyTestMain(m)
}

// serveForBenchmark is the child of a benchmark: it says where it listens, and serves until its
// standard input ends.
func serveForBenchmark(serve func(*Responder) error) {
	r, err := Listen(context.Background(), Config{Addr: "127.0.0.1:0"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(r.Addr())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		r.Close()
	}()
	if err := serve(r); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
