package tailnet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/reach"
	"github.com/detour-relay/detour/internal/retry"
)

// joinRounds is how often all coordinators are asked to take a new member. Somebody waits
// for it, so it does not go on for long.
const joinRounds = 3

// joinAnywhere joins at whichever coordinator answers. The state file has the key already:
// whoever asks again with it gets the same answer, and the invite is not used twice.
func (m *Member) joinAnywhere(ctx context.Context, s *saved) (err error) {
	pace := retry.Backoff{First: time.Second, Most: 5 * time.Second}
	for round := range joinRounds {
		if round > 0 && !retry.Rest(ctx, max(pace.Next(), min(retryAfter(err), 10*time.Second)), nil) {
			break
		}
		joined, again, failed := m.joinOnce(ctx)
		if failed == nil {
			return m.joined(joined, s)
		}
		if err = failed; !again {
			return err
		}
	}
	if ctx.Err() != nil {
		err = reach.Join(context.Cause(ctx), err)
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

// joinOnce asks one after the other. again: it may be better another time. One that does
// not know the invite may not have heard of it yet, and another certificate stays another.
func (m *Member) joinOnce(ctx context.Context) (joined coordapi.Joined, again bool, failed error) {
	unknown, pinned := 0, 0
	for _, c := range m.contacts {
		joined, err := m.join(ctx, c)
		switch {
		case err == nil:
			return joined, false, nil
		case codeOf(err) == coordapi.CodeInvite:
			unknown++
		case final(err):
			return joined, false, err
		case errors.Is(err, ErrPinMismatch):
			pinned++
		}
		failed = reach.Join(failed, err)
	}
	if pinned == len(m.contacts) {
		return joined, false, fmt.Errorf("%w: %w", ErrUnreachable, failed)
	}
	return joined, unknown < len(m.contacts), failed
}

func (m *Member) join(ctx context.Context, c *contact) (joined coordapi.Joined, err error) {
	var challenge coordapi.Challenge
	if err = c.call(ctx, http.MethodPost, coordapi.PathChallenge, "", nil, &challenge); err != nil {
		return joined, err
	}
	credential := m.invite.Credential()
	err = c.call(ctx, http.MethodPost, coordapi.PathJoin, "", coordapi.Join{
		Invite: credential, Key: m.key.Public(), Name: m.nameToJoin(), Challenge: challenge.Challenge,
		Proof: coordapi.Prove(m.key, challenge, coordapi.ForJoin, credential),
	}, &joined)
	if err == nil && joined.Tailnet == "" {
		err = c.named(errors.New("it does not say which tailnet the member has joined"))
	}
	return joined, err
}

// nameToJoin is the name that is wanted: of who was a member before, the one it had.
func (m *Member) nameToJoin() string {
	if m.cfg.Name != "" {
		return m.cfg.Name
	}
	if name := m.Self().Name; name != "" {
		return name
	}
	host, _ := os.Hostname()
	return wantedName(host)
}

// joined makes the state file that of a member.
func (m *Member) joined(j coordapi.Joined, s *saved) error {
	if len(j.Tailnet) > coordapi.MostName {
		return errors.New("the coordinator gives a tailnet with a name that is too long")
	}
	s.Tailnet, s.TailnetName, s.Name = j.Tailnet, cleanName(j.TailnetName), cleanName(j.Name)
	s.Addresses, s.Invite = cleanAddresses(j.Addresses), fmt.Sprintf("%x", m.invite.ID)
	m.session = cleanToken(j.Session.Token)
	return s.write(m.cfg.StateFile)
}

// login gets a session in place of one that does not count any more; "": of none.
func (m *Member) login(ctx context.Context, c *contact, instead string) (token string, err error) {
	m.logins.Lock()
	defer m.logins.Unlock()
	if token = m.token(); token != instead {
		return token, nil // somebody else has just logged in
	}
	m.setToken("")
	s, err := m.proveKey(ctx, c)
	if s.Token = cleanToken(s.Token); err == nil && s.Token == "" {
		err = c.named(errors.New("it gives a session without a token, or with one that is none"))
	}
	if err != nil {
		return "", err
	}
	m.setToken(s.Token)
	return s.Token, nil
}

// proveKey logs in. Who is no member any more joins again, if there is an invite.
func (m *Member) proveKey(ctx context.Context, c *contact) (s coordapi.Session, err error) {
	var challenge coordapi.Challenge
	if err = c.call(ctx, http.MethodPost, coordapi.PathChallenge, "", nil, &challenge); err != nil {
		return s, err
	}
	tailnet := m.Self().Tailnet
	err = c.call(ctx, http.MethodPost, coordapi.PathLogin, "", coordapi.Login{
		Tailnet: tailnet, Key: m.key.Public(), Challenge: challenge.Challenge,
		Proof: coordapi.Prove(m.key, challenge, coordapi.ForLogin, tailnet),
	}, &s)
	if codeOf(err) == coordapi.CodeNotMember && m.invite != nil {
		if j, again := m.join(ctx, c); again == nil && j.Tailnet == tailnet {
			return j.Session, nil
		}
	}
	return s, err
}

func (m *Member) token() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.session
}

func (m *Member) setToken(token string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.session = token
}

// asMember does something that needs a session, and once more if that does not count: a
// clock may be wrong here, so only the coordinator says when one has ended.
func (m *Member) asMember(ctx context.Context, c *contact, do func(token string) error) error {
	token, err := m.token(), error(nil)
	if token == "" {
		if token, err = m.login(ctx, c, ""); err != nil {
			return err
		}
	}
	err = do(token)
	if codeOf(err) != coordapi.CodeUnauthorized {
		return err
	}
	if token, err = m.login(ctx, c, token); err != nil {
		return err
	}
	return do(token)
}

// retryAfter is how long a coordinator asks to be left alone.
func retryAfter(err error) time.Duration {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.RetryAfter
	}
	return 0
}
