package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestCPUTimeIsReadBehindTheName(t *testing.T) {
	const stat = "7 (a) R 1 (b)) S 1 2 3 4 5 6 7 8 9 10 250 50 11 12\n"
	if got, err := parseCPUTime([]byte(stat)); got != 3*time.Second || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	for _, stat := range []string{"", "7 (a) S 1 2", "7 (a) S 1 2 3 4 5 6 7 8 9 10 x 50"} {
		if got, err := parseCPUTime([]byte(stat)); err == nil {
			t.Errorf("%q: %v", stat, got)
		}
	}
}

func TestAskingIsNoAllocationOfTheRelay(t *testing.T) {
	mallocs, perAsking := 1000, 90
	side := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mallocs += perAsking
		fmt.Fprintf(w, "heap profile: 0\n# Mallocs = %d\n# Frees = 3\n", mallocs)
	}))
	defer side.Close()
	r := &relay{pprof: strings.TrimPrefix(side.URL, "http://")}
	var asked [3]float64
	for i := range asked {
		if i == 2 {
			mallocs += 7
		}
		var err error
		if asked[i], err = r.mallocs(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := allocsBetween(asked[0], asked[1], asked[2]); got != 7 {
		t.Errorf("%v allocations", got)
	}
	side.Config.Handler = http.NotFoundHandler()
	if _, err := r.mallocs(t.Context()); err == nil {
		t.Error("a relay that has no profiles has counters")
	}
}
