package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/coord"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/rogpeppe/go-internal/testscript"
)

// Scripts about members have a coordinator, inside the test:
//
//	coordinator        start one with the tailnet home and the map of the demo at $MAP
//	invite NAME USES   set the variable to an invite
//	expel NAME         remove a member
//	expect FILE REGEXP wait until a line of the file matches
type scriptCoordinator struct {
	*coord.Service
	server *httptest.Server
	home   string // ID of the tailnet
}

func coordinatorInside(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: coordinator, after demo")
	}
	c, stop, err := newScriptCoordinator(ts.Getenv("MAP"))
	ts.Check(err)
	ts.Defer(stop)
	ts.Setenv("COORD", c.server.URL)
	scriptValue(ts).coordinator = c
}

func newScriptCoordinator(mapURL string) (c *scriptCoordinator, stop func(), err error) {
	c = new(scriptCoordinator)
	c.Service, err = coord.New(coord.Config{Store: coordstore.NewMemory(), Log: slog.New(slog.DiscardHandler), Contacts: func() []coordapi.Contact {
		return []coordapi.Contact{{URL: c.server.URL}}
	}})
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	mux := http.NewServeMux()
	mux.Handle(coordapi.PathAdmin, c.AdminHandler())
	mux.Handle("/", c.Handler())
	c.server = httptest.NewServer(mux)
	stop = func() { cancel(); running.Wait(); c.server.CloseClientConnections(); c.server.Close() }
	if err := c.begin(ctx, mapURL); err != nil {
		stop()
		return nil, nil, err
	}
	return c, stop, nil
}

// begin waits until it is ready, and gives it the map and the tailnet.
func (c *scriptCoordinator) begin(ctx context.Context, mapURL string) error {
	for deadline := time.Now().Add(timeout); c.Ready() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return c.Ready()
		}
	}
	fetcher, err := derpmap.NewFetcher(derpmap.FetchConfig{URL: mapURL})
	if err != nil {
		return err
	}
	m, _, err := fetcher.Fetch(ctx)
	if err != nil {
		return err
	}
	if err := c.SetMap(m, "the test"); err != nil {
		return err
	}
	home, err := c.CreateTailnet(ctx, "home")
	c.home = home.ID
	return err
}

func makeInvite(ts *testscript.TestScript, neg bool, args []string) {
	c := scriptValue(ts).coordinator
	if neg || len(args) != 2 || c == nil {
		ts.Fatalf("usage: invite NAME USES, after coordinator")
	}
	uses, err := strconv.Atoi(args[1])
	ts.Check(err)
	made, err := c.Invite(context.Background(), c.home, coordapi.NewInvite{Uses: uses})
	ts.Check(err)
	ts.Setenv(args[0], made.Text)
}

func expel(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: expel NAME")
	}
	r, err := http.NewRequest(http.MethodDelete, ts.Getenv("COORD")+coordapi.PathAdmin+"tailnets/home/members/"+args[0], nil)
	ts.Check(err)
	answer, err := http.DefaultClient.Do(r)
	ts.Check(err)
	text, _ := io.ReadAll(answer.Body)
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		ts.Fatalf("%d: %s", answer.StatusCode, text)
	}
}

func expect(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: expect FILE REGEXP")
	}
	awaitLine(ts, args[0], args[1])
}

// values is what a script has of its own.
type values struct{ coordinator *scriptCoordinator }

type valuesKey struct{}

func scriptValue(ts *testscript.TestScript) *values { return ts.Value(valuesKey{}).(*values) }

func awaitLine(ts *testscript.TestScript, file, expression string) {
	want := compileLine(ts, expression)
	for deadline := time.Now().Add(timeout); ; time.Sleep(5 * time.Millisecond) {
		text := readIfThere(ts.MkAbs(file))
		for line := range strings.Lines(text) {
			if want.MatchString(strings.TrimRight(line, "\n")) {
				return
			}
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no line matches %s:\n%s", expression, text)
		}
	}
}

func compileLine(ts *testscript.TestScript, expression string) *regexp.Regexp {
	re, err := regexp.Compile(expression)
	ts.Check(err)
	return re
}

func readIfThere(path string) string {
	text, _ := os.ReadFile(path)
	return string(text)
}
