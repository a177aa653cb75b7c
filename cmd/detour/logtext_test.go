package main

import (
	"bytes"
	"sync"
)

// A logText gathers what is written by one goroutine while another looks at it.
type logText struct {
	mu       sync.Mutex
	gathered bytes.Buffer // guarded by mu
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gathered.Write(b)
}

func (l *logText) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gathered.String()
}
