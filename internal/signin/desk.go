package signin

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"sync"
	"time"
)

const (
	linkLasts    = time.Minute
	sessionLasts = 12 * time.Hour
	restLasts    = time.Hour // in which a session is not used

	mostLinks    = 8
	mostSessions = 16
)

// A Desk knows who is signed in. The zero value lets nobody in but by links. Its methods
// may be called by any goroutine.
type Desk struct {
	mu       sync.Mutex
	links    []link     // guarded by mu, oldest first
	sessions []*Session // guarded by mu, oldest first
}

type link struct {
	sum [sha256.Size]byte // of its secret
	end time.Time
}

// A Session is somebody who is signed in.
type Session struct {
	Proof string // set once
	path  string // set once: what its address begins with, without slashes
	sum   [sha256.Size]byte
	end   time.Time // set once

	mu    sync.Mutex
	used  time.Time // guarded by mu
	note  string    // guarded by mu: for the next page
	wrong bool      // guarded by mu
}

// secret returns what cannot be guessed, and fits an address and a cookie.
func secret(size int) string {
	s := make([]byte, size)
	rand.Read(s)
	return base64.RawURLEncoding.EncodeToString(s)
}

// Link makes a link and returns its path, and until when it counts.
func (d *Desk) Link() (path string, until time.Time) {
	s := secret(32)
	until = time.Now().Add(linkLasts)
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.links) == mostLinks {
		d.links = d.links[1:]
	}
	d.links = append(d.links, link{sha256.Sum256([]byte(s)), until})
	return linkPath + s, until
}

// useLink reports whether a link counts, which it does no more then.
func (d *Desk) useLink(given string) bool {
	sum, now := sha256.Sum256([]byte(given)), time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, l := range d.links {
		if subtle.ConstantTimeCompare(l.sum[:], sum[:]) == 1 {
			d.links = append(d.links[:i:i], d.links[i+1:]...)
			return now.Before(l.end)
		}
	}
	return false
}

// begin makes a session, and the cookie that its owner shows.
func (d *Desk) begin() (s *Session, cookie string) {
	cookie = secret(32)
	now := time.Now()
	s = &Session{Proof: secret(32), path: secret(12), sum: sha256.Sum256([]byte(cookie)), end: now.Add(sessionLasts), used: now}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.sessions) == mostSessions {
		d.sessions = d.sessions[1:]
	}
	d.sessions = append(d.sessions, s)
	return s, cookie
}

// find returns the session that has a path and a cookie; nil: there is none.
func (d *Desk) find(path, cookie string) *Session {
	sum, now := sha256.Sum256([]byte(cookie)), time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, s := range d.sessions {
		if subtle.ConstantTimeCompare(s.sum[:], sum[:]) == 1 && s.path == path {
			if s.lives(now) {
				return s
			}
			d.sessions = append(d.sessions[:i:i], d.sessions[i+1:]...)
			return nil
		}
	}
	return nil
}

func (s *Session) lives(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Before(s.end) && now.Sub(s.used) < restLasts
}

// Use notes that its owner has done something. A page that only keeps itself up to date
// is none of his doing.
func (s *Session) Use() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = time.Now()
}

// endOf ends a session.
func (d *Desk) endOf(s *Session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, other := range d.sessions {
		if other == s {
			d.sessions = append(d.sessions[:i:i], d.sessions[i+1:]...)
			return
		}
	}
}

// EndAll ends all sessions and links: there is another token.
func (d *Desk) EndAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.links, d.sessions = nil, nil
}

// proves reports whether a form has the proof of the session.
func (s *Session) proves(given string) bool {
	return subtle.ConstantTimeCompare([]byte(s.Proof), []byte(given)) == 1
}

// Tell keeps a line for the next page of the session.
func (s *Session) Tell(note string, wrong bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note, s.wrong = note, wrong
}

// Told returns that line, once.
func (s *Session) Told() (note string, wrong bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	note, wrong = s.note, s.wrong
	s.note, s.wrong = "", false
	return note, wrong
}
