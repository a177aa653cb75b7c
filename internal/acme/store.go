package acme

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"strings"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// A store is what the storage has of one authority. Each thing is one value, so that a
// process that dies leaves the old one or the new one.
//
//	ISSUER/account.json          the account, with its key
//	ISSUER/NAME.pem              a key and the chain that was issued for it
//	ISSUER/tries/NAME.json       what has become of the last tries
//	ISSUER/challenges/NAME.json  what is to be answered to who asks for NAME now
type store struct {
	storage certmagic.Storage
	issuer  string
}

// issuerKey names an authority in the storage.
func issuerKey(directory string) string {
	u, err := url.Parse(directory)
	if err != nil {
		return certmagic.StorageKeys.Safe(directory)
	}
	return certmagic.StorageKeys.Safe(u.Host + strings.ReplaceAll(strings.TrimRight(u.Path, "/"), "/", "-"))
}

// hostOf names it for people.
func hostOf(directory string) string {
	u, err := url.Parse(directory)
	if err != nil {
		return directory
	}
	return u.Host
}

func (s store) pairKey(name string) string {
	return path.Join(s.issuer, certmagic.StorageKeys.Safe(name)+".pem")
}

func (s store) accountKey() string { return path.Join(s.issuer, "account.json") }

func (s store) challengeKey(name string) string {
	return path.Join(s.issuer, "challenges", certmagic.StorageKeys.Safe(name)+".json")
}

// load returns what stands there; nil: nothing.
func (s store) load(ctx context.Context, key string) ([]byte, error) {
	text, err := s.storage.Load(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, ofStorage(err)
}

func (s store) keep(ctx context.Context, key string, text []byte) error {
	return ofStorage(s.storage.Store(ctx, key, text))
}

func (s store) forget(ctx context.Context, key string) error {
	return ofStorage(s.storage.Delete(ctx, key))
}

func ofStorage(err error) error {
	if err == nil {
		return nil
	}
	return &storageError{err}
}

// A storageError is why the storage could not be read or written.
type storageError struct{ err error }

func (e *storageError) Error() string { return "storage of certificates: " + e.err.Error() }
func (e *storageError) Unwrap() error { return e.err }

// lock waits until no other process works on that.
func (s store) lock(ctx context.Context, name string) (unlock func(), err error) {
	key := s.issuer + "-" + certmagic.StorageKeys.Safe(name)
	if err := s.storage.Lock(ctx, key); err != nil {
		return nil, ofStorage(err)
	}
	return func() { _ = s.storage.Unlock(context.WithoutCancel(ctx), key) }, nil // one that stays is stale soon
}

// An asked is a challenge that waits for an answer, as it is stored for the others.
type asked struct {
	Challenge acme.Challenge `json:"challenge"`
	Key       string         `json:"key_authorization"`
}

func (s store) keepChallenge(ctx context.Context, name string, c acme.Challenge) error {
	text, err := json.Marshal(asked{c, c.KeyAuthorization})
	if err != nil {
		return err
	}
	return s.keep(ctx, s.challengeKey(name), text)
}

func (s store) challenge(ctx context.Context, name string) (c acme.Challenge, err error) {
	text, err := s.load(ctx, s.challengeKey(name))
	if err != nil {
		return c, err
	}
	if text == nil {
		return c, fmt.Errorf("no authority is expected to ask for %s", name)
	}
	var a asked
	if err := json.Unmarshal(text, &a); err != nil {
		return c, fmt.Errorf("%s cannot be read: %w", s.challengeKey(name), err)
	}
	a.Challenge.KeyAuthorization = a.Key
	return a.Challenge, nil
}

func (s store) forgetChallenge(ctx context.Context, name string) error {
	return s.forget(ctx, s.challengeKey(name))
}
