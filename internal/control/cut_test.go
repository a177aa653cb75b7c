package control

import (
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// A question whose connection is cut is asked again, a few times; an order is not.
func TestQuestionsAreAskedAgain(t *testing.T) {
	for _, c := range []struct {
		method string
		cuts   int
		asked  int
		fails  bool
	}{
		{http.MethodGet, 0, 1, false},
		{http.MethodGet, sendAgain, sendAgain + 1, false},
		{http.MethodGet, sendAgain + 1, sendAgain + 1, true},
		{http.MethodPost, 1, 1, true},
	} {
		path := filepath.Join(t.TempDir(), "s")
		listener, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		var asked atomic.Int64
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if int(asked.Add(1)) <= c.cuts {
				panic(http.ErrAbortHandler) // which ends the connection
			}
			w.Header().Set("Content-Type", "application/json")
		})}
		served := make(chan error, 1)
		go func() { served <- server.Serve(listener) }()
		client := OverSocket(path)
		answer, err := client.Ask(t.Context(), c.method, "/", nil, nil)
		if err == nil {
			answer.Close()
		}
		client.Close()
		server.Close()
		<-served
		if (err != nil) != c.fails || err != nil && !errors.Is(err, ErrUnanswered) || int(asked.Load()) != c.asked {
			t.Errorf("%s, cut %d times: asked %d times, %v", c.method, c.cuts, asked.Load(), err)
		}
	}
}
