package coord

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstate"
	"github.com/detour-relay/detour/key"
)

// How far the clocks of coordinators may be apart.
const clockSlack = 2 * time.Minute

const (
	challengeTime = time.Minute
	macLen        = 16
	mostToken     = 512
)

var tokenText = base64.RawURLEncoding

// secrets are what all coordinators of a cluster share.
type secrets struct {
	box   key.Private
	mac   []byte
	value []byte // the record
}

func newSecrets() coordstate.SecretRecord {
	mac := make([]byte, sha256.Size)
	rand.Read(mac)
	return coordstate.SecretRecord{Box: key.NewPrivate().Text(), HMAC: mac}
}

func parseSecrets(value []byte) (*secrets, bool) {
	var rec coordstate.SecretRecord
	if json.Unmarshal(value, &rec) != nil || len(rec.HMAC) < sha256.Size {
		return nil, false
	}
	box, err := key.ParsePrivate(rec.Box)
	return &secrets{box, rec.HMAC, value}, err == nil
}

// secrets are those that stand.
func (s *Service) secrets() (*secrets, error) {
	value, _ := s.state.Single(coordstate.KeySecret)
	if have := s.secret.Load(); have != nil && bytes.Equal(have.value, value) {
		return have, nil
	}
	got, ok := parseSecrets(value)
	if !ok {
		return nil, later(coordapi.CodeUnavailable, "the coordination server has only just started")
	}
	s.secret.Store(got)
	return got, nil
}

// seal appends what shows that a cluster has said something.
func (c *secrets) seal(kind string, b []byte) []byte {
	return append(b, c.sum(kind, b)...)
}

func (c *secrets) sum(kind string, b []byte) []byte {
	h := hmac.New(sha256.New, c.mac)
	h.Write([]byte(kind + "\n"))
	h.Write(b)
	return h.Sum(nil)[:macLen]
}

// ticketDays is for how many days TLS sessions can be resumed, today included. A peer
// keeps a ticket for seven days, so that whoever comes with one has one that can be read.
const ticketDays = 8

// TicketKeys are for the TLS session tickets that all coordinators of the cluster take,
// also after a restart: the first is for new ones. They are others each day.
func (s *Service) TicketKeys(now time.Time) ([][32]byte, error) {
	c, err := s.secrets()
	if err != nil {
		return nil, err
	}
	return c.ticketKeys(now), nil
}

func (c *secrets) ticketKeys(now time.Time) (keys [][32]byte) {
	for ago := range int64(ticketDays) {
		h := hmac.New(sha256.New, c.mac)
		fmt.Fprintf(h, "ticket\n%d", now.Unix()/(24*60*60)-ago)
		keys = append(keys, [32]byte(h.Sum(nil)))
	}
	return keys
}

func (c *secrets) open(kind, text string) ([]byte, bool) {
	if len(text) > mostToken {
		return nil, false
	}
	b, err := tokenText.DecodeString(text)
	if err != nil || len(b) < macLen {
		return nil, false
	}
	said, mac := b[:len(b)-macLen], b[len(b)-macLen:]
	return said, hmac.Equal(mac, c.sum(kind, said))
}

// session is who asks.
type session struct {
	tailnet string
	key     key.Public
	joined  int64
	expires int64 // s
}

const sessionVersion = 1

func (c *secrets) token(s session) string {
	b := []byte{sessionVersion}
	b = append(b, s.key[:]...)
	b = binary.AppendVarint(binary.AppendVarint(b, s.joined), s.expires)
	return tokenText.EncodeToString(c.seal("session", append(b, s.tailnet...)))
}

func (c *secrets) parseToken(text string) (s session, ok bool) {
	b, ok := c.open("session", text)
	if !ok || len(b) < 1+key.Len || b[0] != sessionVersion {
		return s, false
	}
	copy(s.key[:], b[1:])
	b = b[1+key.Len:]
	var n, m int
	if s.joined, n = binary.Varint(b); n <= 0 {
		return s, false
	}
	if s.expires, m = binary.Varint(b[n:]); m <= 0 {
		return s, false
	}
	s.tailnet = string(b[n+m:])
	return s, true
}

// renewed is the session for another hour.
func (c *secrets) renewed(s session) (session, coordapi.Session) {
	expires := time.Now().Add(coordapi.SessionTime).Truncate(time.Second)
	s.expires = expires.Unix()
	return s, coordapi.Session{Token: c.token(s), Expires: expires.UTC()}
}

// session opens a token. Whether its owner is a member still is another question.
func (s *Service) openSession(text string) (session, error) {
	c, err := s.secrets()
	if err != nil {
		return session{}, err
	}
	ses, ok := c.parseToken(text)
	if !ok {
		return session{}, refuse(coordapi.CodeUnauthorized, "this is no session of this coordination server: log in")
	}
	left := time.Until(time.Unix(ses.expires, 0))
	switch {
	case left < -clockSlack:
		return ses, refuse(coordapi.CodeUnauthorized, "the session has expired %v ago: log in again", (-left).Round(time.Second))
	case left > coordapi.SessionTime+clockSlack:
		return ses, refuse(coordapi.CodeUnauthorized, "the session ends in %v, but sessions last %v: the clocks of two coordinators differ; log in again",
			left.Round(time.Second), coordapi.SessionTime)
	}
	return ses, nil
}

func (c *secrets) challenge() string {
	b := binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixMilli()))
	var random [8]byte
	rand.Read(random[:])
	return tokenText.EncodeToString(c.seal("challenge", append(b, random[:]...)))
}

// checkChallenge says why a challenge does not count, and how long it would.
func (c *secrets) checkChallenge(text string) error {
	b, ok := c.open("challenge", text)
	if !ok || len(b) != 16 {
		return refuse(coordapi.CodeProof, "the challenge is not one of this coordination server: ask for another")
	}
	age := time.Since(time.UnixMilli(int64(binary.BigEndian.Uint64(b))))
	switch {
	case age > challengeTime:
		return refuse(coordapi.CodeProof, "the challenge is %v old, it counts for %v: ask for another", age.Round(time.Second), challengeTime)
	case age < -clockSlack:
		return refuse(coordapi.CodeProof, "the challenge was made %v from now: the clocks of two coordinators differ; ask for another", (-age).Round(time.Second))
	}
	return nil
}

// used remembers challenges for as long as they count, in two halves.
type used struct {
	mu       sync.Mutex
	now, old map[string]struct{}
	since    time.Time
}

// mostUsed bounds each half. More than that within minutes are no members.
const mostUsed = 1 << 17

// take reports whether a challenge is used for the first time. Full: nobody can tell.
func (u *used) take(challenge string) (first, full bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.now == nil || time.Since(u.since) > challengeTime+clockSlack {
		u.now, u.old, u.since = map[string]struct{}{}, u.now, time.Now()
	}
	_, a := u.now[challenge]
	_, b := u.old[challenge]
	if a || b {
		return false, false
	}
	if len(u.now) >= mostUsed {
		return false, true
	}
	u.now[challenge] = struct{}{}
	return true, false
}

// proven checks the challenge and the proof, in the order of what they cost.
func (s *Service) proven(who key.Public, challenge, kind, subject string, proof []byte) error {
	c, err := s.secrets()
	if err != nil {
		return err
	}
	if err := c.checkChallenge(challenge); err != nil {
		return err
	}
	if who.IsZero() || !coordapi.Proven(c.box, who, challenge, kind, subject, proof) {
		return refuse(coordapi.CodeProof, "the proof was not made with this node key for this challenge")
	}
	return nil
}

// firstUse is for a proof of somebody who would be let in. Those of others are not
// remembered: anybody can make them, so that there would be no room for members'.
func (s *Service) firstUse(challenge string) error {
	first, full := s.used.take(challenge)
	if full {
		return later(coordapi.CodeTooMany, "too many prove themselves at once: try again in a moment")
	}
	if !first {
		return refuse(coordapi.CodeProof, "the challenge has been used: ask for another")
	}
	return nil
}
