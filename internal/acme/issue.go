package acme

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// pollTime is how long an authority may look for the answer to a challenge, or take to
// issue.
const pollTime = 3 * time.Minute

// client speaks to the authority for one try.
func (s *Source) client() *acmez.Client {
	solvers := map[string]acmez.Solver{acme.ChallengeTypeTLSALPN01: s.answers}
	switch s.config.Challenge {
	case HTTP:
		solvers = map[string]acmez.Solver{acme.ChallengeTypeHTTP01: s.answers}
	case DNS:
		solvers = map[string]acmez.Solver{acme.ChallengeTypeDNS01: s.config.Records.solver(s.config.Logger)}
	}
	return &acmez.Client{
		Client: &acme.Client{
			Directory: s.config.Directory, HTTPClient: &s.web.Client, UserAgent: "detour", PollTimeout: pollTime,
		},
		ChallengeSolvers: solvers,
	}
}

// load uses what the storage has, if that is newer than what is in use.
func (s *Source) load(ctx context.Context, w *wanted) error {
	text, err := s.store.load(ctx, s.store.pairKey(w.names[0]))
	if err != nil || text == nil || w.text != nil && bytes.Equal(text, w.text) {
		return err
	}
	pair, err := parse(text)
	if err != nil {
		return fmt.Errorf("%s in %s: %w: another one is had in its place", s.store.pairKey(w.names[0]), s.config.Where, err)
	}
	current := w.pair.Load()
	if current != nil && !pair.Leaf.NotAfter.After(current.Leaf.NotAfter) {
		return nil
	}
	if current != nil && w.renewal(pair.Leaf).IsZero() && !w.renewal(current.Leaf).IsZero() {
		return nil // of a relay with other names: to take it would be to ask at once
	}
	w.use(pair, text)
	return nil
}

// obtain has a certificate issued, or takes the one that another relay has meanwhile; then
// nobody was asked, as after a failure of another relay.
func (s *Source) obtain(ctx context.Context, w *wanted) (asked bool, err error) {
	trying, cancel := context.WithTimeoutCause(ctx, s.tryTime(), fmt.Errorf("it did not come to an end within %v: %w", s.tryTime(), context.DeadlineExceeded))
	defer cancel()
	unlock, err := s.store.lock(trying, w.names[0])
	if err != nil {
		if ctx.Err() == nil {
			s.conclude(w, err)
		}
		return false, err
	}
	defer unlock()
	if s.load(trying, w) == nil && !w.due(time.Now()) {
		s.conclude(w, nil)
		return false, nil
	}
	if s.recall(trying, w); time.Now().Before(w.past.NotBefore) {
		return false, nil
	}
	if err = s.begin(trying, w); err == nil {
		err = s.issue(trying, w)
	}
	if ctx.Err() != nil {
		w.cutShort()
	} else {
		s.conclude(w, err)
	}
	s.remember(ctx, w)
	return true, err
}

// tryTime bounds one try.
func (s *Source) tryTime() time.Duration { return mostTry + s.config.Records.Wait }

// issue asks the authority, and uses and keeps what it issues.
func (s *Source) issue(ctx context.Context, w *wanted) error {
	client := s.client()
	account, err := s.account(ctx, client)
	if err != nil {
		return err
	}
	text, err := s.order(ctx, client, account, w)
	if accountLost(err) {
		if account, err = s.register(ctx, client, account.PrivateKey); err == nil {
			text, err = s.order(ctx, client, account, w)
		}
	}
	if err != nil {
		return err
	}
	pair, err := parse(text)
	if err == nil {
		err = w.check(pair)
	}
	if err != nil {
		return fmt.Errorf("what %s has issued cannot be used: %w", s.host, err)
	}
	w.use(pair, text)
	s.config.Logger.Info("a certificate has been issued", "names", w.String(), "by", s.host, "expires", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	if err := s.store.keep(ctx, s.store.pairKey(w.names[0]), text); err != nil {
		w.unkept = true
		return fmt.Errorf("a new certificate is in use, and will be lost at the end of this process: %w", err)
	}
	return nil
}

// keepAgain stores what the storage has not taken before.
func (s *Source) keepAgain(ctx context.Context, w *wanted) {
	if w.unkept && s.store.keep(ctx, s.store.pairKey(w.names[0]), w.text) == nil {
		w.unkept = false
		s.conclude(w, nil)
	}
}

// order has the authority issue, and returns key and chain.
func (s *Source) order(ctx context.Context, client *acmez.Client, account acme.Account, w *wanted) ([]byte, error) {
	// Before anything counts at the authority: what is issued can be kept.
	if err := s.store.keep(ctx, s.store.accountKey(), encodeAccount(account)); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	csr, err := acmez.NewCSR(key, w.names)
	if err != nil {
		return nil, err
	}
	params, err := acmez.OrderParametersFromCSR(account, csr)
	if err != nil {
		return nil, err
	}
	if params.Profile, err = s.profile(ctx, client, w); err != nil {
		return nil, err
	}
	if pair := w.pair.Load(); pair != nil { // who renews is not limited (RFC 9773, 5)
		params.Replaces = pair.Leaf
	}
	chains, err := client.ObtainCertificate(ctx, params)
	if params.Replaces != nil && isConflict(err) {
		params.Replaces = nil
		chains, err = client.ObtainCertificate(ctx, params)
	}
	if err != nil {
		return nil, err
	}
	if len(chains) == 0 {
		return nil, errors.New("no certificate came")
	}
	text, err := encodeKey(key)
	return append(text, chains[0].ChainPEM...), err
}

// profile is what to ask for. Authorities that have no short life for addresses issue
// what they do by themselves.
func (s *Source) profile(ctx context.Context, client *acmez.Client, w *wanted) (string, error) {
	if w.profile == "" || w.profile == s.config.Profile {
		return w.profile, nil
	}
	directory, err := client.GetDirectory(ctx)
	if err != nil {
		return "", err
	}
	if directory.Meta == nil {
		return "", nil
	}
	if _, ok := directory.Meta.Profiles[w.profile]; !ok {
		return "", nil
	}
	return w.profile, nil
}

// inform asks the authority when to renew. Without an answer the dates say it.
func (s *Source) inform(ctx context.Context, w *wanted) {
	pair, now := w.pair.Load(), time.Now()
	if pair == nil || now.Before(w.ask) || w.due(now) {
		return
	}
	w.ask = now.Add(infoEvery)
	ctx, cancel := context.WithTimeout(ctx, 2*answerTime)
	defer cancel()
	info, err := s.client().GetRenewalInfo(ctx, pair.Leaf)
	if err != nil {
		s.config.Logger.Debug("the authority does not say when to renew", "names", w.String(), "reason", err)
		return
	}
	if info.RetryAfter != nil && info.RetryAfter.After(now.Add(time.Minute)) {
		w.ask = *info.RetryAfter
	}
	if !info.SelectedTime.IsZero() {
		w.suggest(pair.Leaf, info.SelectedTime)
	}
}

// account returns the one that the storage has, or has one made. Its key is stored before
// the authority knows it: whoever asks with the same key again gets the same account.
func (s *Source) account(ctx context.Context, client *acmez.Client) (account acme.Account, err error) {
	text, err := s.store.load(ctx, s.store.accountKey())
	if err != nil {
		return account, err
	}
	if text == nil {
		if account.PrivateKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return account, err
		}
		if err := s.store.keep(ctx, s.store.accountKey(), encodeAccount(account)); err != nil {
			return account, err
		}
	} else if account, err = decodeAccount(text); err != nil {
		return account, &storageError{fmt.Errorf("%s cannot be read: %w: remove it to have another account made", s.store.accountKey(), err)}
	}
	if account.Location != "" {
		return account, nil
	}
	return s.register(ctx, client, account.PrivateKey)
}

// register has the authority know a key.
func (s *Source) register(ctx context.Context, client *acmez.Client, key crypto.Signer) (account acme.Account, err error) {
	account = acme.Account{TermsOfServiceAgreed: true, PrivateKey: key}
	if s.config.Contact != "" {
		account.Contact = []string{"mailto:" + s.config.Contact}
	}
	if external := s.config.Account; external.KeyID != "" {
		if err := account.SetExternalAccountBinding(ctx, client.Client, acme.EAB{KeyID: external.KeyID, MACKey: external.Key}); err != nil {
			return account, fmt.Errorf("the external account: %w", err)
		}
	}
	if account, err = client.NewAccount(ctx, account); err != nil {
		return account, &accountError{err}
	}
	return account, s.store.keep(ctx, s.store.accountKey(), encodeAccount(account))
}

// A storedAccount is one as the storage has it. Without a location the authority may not
// know it yet.
type storedAccount struct {
	Location string   `json:"location"`
	Contact  []string `json:"contact,omitempty"`
	Key      string   `json:"key"` // PEM
}

func encodeAccount(account acme.Account) []byte {
	key, _ := encodeKey(account.PrivateKey)                                                // one that we have made
	text, _ := json.Marshal(storedAccount{account.Location, account.Contact, string(key)}) // strings
	return text
}

func decodeAccount(text []byte) (account acme.Account, err error) {
	var stored storedAccount
	if err := json.Unmarshal(text, &stored); err != nil {
		return account, err
	}
	block, _ := pem.Decode([]byte(stored.Key))
	if block == nil {
		return account, errors.New("it has no key")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return account, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return account, errors.New("its key cannot sign")
	}
	return acme.Account{Status: acme.StatusValid, Location: stored.Location, Contact: stored.Contact, PrivateKey: signer}, nil
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// accountLost reports that the authority does not know the account, as one that was
// set up anew.
func accountLost(err error) bool {
	problem, ok := errors.AsType[acme.Problem](err)
	return ok && problem.Type == acme.ProblemTypeAccountDoesNotExist
}

// isConflict reports that the authority will not have the new certificate take the
// place of that one: it does not know it, or it has been replaced.
func isConflict(err error) bool {
	problem, ok := errors.AsType[acme.Problem](err)
	return ok && (slices.Contains([]int{http.StatusConflict, http.StatusNotFound}, problem.Status) || problem.Type == acme.ProblemTypeMalformed)
}
