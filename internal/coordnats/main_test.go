package coordnats

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/detour-relay/detour/internal/coordstore"
)

// What is set in processes that tests start to kill them: asCoordinator is a place.
const (
	asCoordinator = "DETOUR_TEST_COORDINATOR"
	thatWatches   = "DETOUR_TEST_WATCHES" // all buckets, and tells what that takes
)

func TestMain(m *testing.M) {
	if config := os.Getenv(asCoordinator); config != "" {
		os.Exit(coordinate(config))
	}
	goleak.VerifyTestMain(m)
}

// A place is what such a process needs of a Config.
type place struct {
	Dir     string
	Cluster *Cluster
}

// An access is how a test gets to the engine of another process.
type access struct{ URL, Token string }

// coordinate opens a store, says how to get to its engine, and closes it when the
// input ends.
func coordinate(text string) int {
	var p place
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		panic(err)
	}
	c := Config{Dir: p.Dir, Cluster: p.Cluster}
	c.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	s, err := Open(context.Background(), c)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	json.NewEncoder(os.Stdout).Encode(access{s.engine.server.ClientURL(), s.engine.token})
	if os.Getenv(thatWatches) != "" {
		watchAll(s)
	}
	io.Copy(io.Discard, os.Stdin)
	if err := s.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// A loaded is what it takes a process until it knows all.
type loaded struct {
	Entries  int64
	Resident int64 // bytes
	Heap     uint64
	Took     time.Duration // of the watching alone
}

// watchAll watches all buckets, as a coordinator does, and says when all are current.
func watchAll(s *Store) {
	began := time.Now()
	var current sync.WaitGroup
	var told loadCounter
	for _, bucket := range coordstore.Buckets() {
		current.Add(1)
		w := &once{total: &told, done: current.Done}
		go coordstore.Follow(s.ctx, s, bucket, w, s.config.Logger)
	}
	current.Wait()
	took := time.Since(began)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	json.NewEncoder(os.Stdout).Encode(loaded{told.Load(), resident(), m.HeapInuse, took})
}

func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, _ := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

type loadCounter struct{ atomic.Int64 }

type once struct {
	total *loadCounter
	done  func()
}

func (o *once) Begin(string)           {}
func (o *once) Entry(coordstore.Entry) { o.total.Add(1) }
func (o *once) Current()               { o.done() }
