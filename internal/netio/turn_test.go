package netio

import (
	"errors"
	"io"
	"net"
	"slices"
	"testing"
)

// turnLog notes what is done with a turn, and what a conn does.
type turnLog struct {
	net.Conn
	did []string
	end error // of what is read
}

func (l *turnLog) Take()  { l.did = append(l.did, "take") }
func (l *turnLog) Leave() { l.did = append(l.did, "leave") }

func (l *turnLog) Read(p []byte) (int, error) {
	l.did = append(l.did, "read")
	return len(p), l.end
}

func (l *turnLog) Write(p []byte) (int, error) {
	l.did = append(l.did, "write")
	return len(p), nil
}

type noMeter struct{}

func (noMeter) Took(int) error { return nil }

func TestWhoWaitsOrWritesHasNoTurn(t *testing.T) {
	log := new(turnLog)
	m := NewMetered(log, noMeter{})
	expect := func(what string, want ...string) {
		t.Helper()
		if !slices.Equal(log.did, want) {
			t.Errorf("%s: %v, want %v", what, log.did, want)
		}
		log.did = nil
	}
	p := make([]byte, 1)
	m.Read(p)
	m.Write(p)
	expect("without turns", "read", "write")
	m.InTurns(log)
	m.Read(p)
	expect("what has come is worked on", "leave", "read", "take")
	m.Write(p)
	expect("who writes is done", "leave", "write")
	log.end = io.EOF
	if _, err := m.Read(p); !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
	expect("nothing is to be done after the end", "leave", "read")
	m.InTurns(nil)
	m.Read(p)
	expect("without turns again", "read")
}
