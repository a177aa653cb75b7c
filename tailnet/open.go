package tailnet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/key"
)

// Open opens the state file, or joins with the invite and makes it. With a state file it
// asks nobody and returns at once; ctx is for joining. Close ends what it begins.
//
// The errors are those of this package, those of the system about files, and whatever
// keeps coordinators from being reached.
func Open(ctx context.Context, cfg Config) (*Member, error) {
	invite, err := cfg.check()
	if err != nil {
		return nil, err
	}
	if invite == nil { // then nothing is made, neither directory nor lock
		if _, err := os.Stat(cfg.StateFile); isMissing(err) {
			return nil, notJoined(cfg.StateFile, err)
		}
	}
	release, err := smallfile.LockBeside(cfg.StateFile)
	if err != nil {
		return nil, err
	}
	m := &Member{
		cfg: cfg, log: cfg.Logger, invite: invite, release: release,
		network: make(chan struct{}, 1), due: make(chan struct{}, 1), dirty: make(chan struct{}, 1),
		unknown: make(chan key.Public, mostAsked),
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	if err := m.open(ctx); err != nil {
		m.cancel()
		release()
		return nil, err
	}
	m.running.Go(m.run)
	m.running.Go(m.keepReporting)
	m.running.Go(m.keepSaving)
	m.running.Go(m.keepAsking)
	m.running.Go(m.keepAwake)
	return m, nil
}

// check checks the settings, and fills in what is not said.
func (cfg *Config) check() (invite *coordapi.Invite, err error) {
	if cfg.StateFile == "" {
		return nil, errors.New("member: no state file: want a path, such as /var/lib/detour/member.json")
	}
	if len(cfg.Version) > coordapi.MostVersion {
		return nil, fmt.Errorf("member: the version has more than %d bytes", coordapi.MostVersion)
	}
	if cfg.Name != "" && wantedName(cfg.Name) != cfg.Name {
		return nil, fmt.Errorf("name %q: %w: want letters a to z, digits and hyphens, %d at most", cleanText(cfg.Name), ErrName, coordapi.MostName)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.wall == nil {
		cfg.wall = time.Now
	}
	if cfg.Invite == "" {
		return nil, nil
	}
	i, err := coordapi.ParseInvite(cfg.Invite)
	if err != nil {
		return nil, err
	}
	return &i, nil
}

// open finds out who the member is.
func (m *Member) open(ctx context.Context) error {
	s, err := readState(m.cfg.StateFile)
	fresh := isMissing(err)
	switch {
	case fresh && m.invite == nil:
		return notJoined(m.cfg.StateFile, err)
	case fresh:
		s = newState(m.cfg.Key)
	case err != nil:
		return err
	case s.Tailnet == "" && m.invite == nil:
		return fmt.Errorf("%s: %w", m.cfg.StateFile, ErrNotJoined)
	}
	if err := s.use(m.cfg.Key); err != nil {
		return fmt.Errorf("%s: %w", m.cfg.StateFile, err)
	}
	m.key = s.private
	if err := m.useInvite(s); err != nil {
		return err
	}
	s.Boot++ // before the first report with it
	switch err := s.write(m.cfg.StateFile); {
	case err != nil && s.Tailnet == "":
		return err
	case err != nil: // who has a tailnet goes on, also on a full disk
		s.Boot = max(s.Boot, uint64(m.cfg.wall().Unix())) // the next start does not know of this one
		m.save.dirty = true
		wake(m.dirty)
	}
	if s.Tailnet == "" {
		if err := m.joinAnywhere(ctx, s); err != nil {
			if fresh && final(err) && !errors.Is(err, ErrUnreachable) {
				os.Remove(m.cfg.StateFile) // nobody knows its key
			}
			return err
		}
	}
	m.adopt(s)
	return nil
}

// notJoined says of a state file that is missing why that matters.
func notJoined(path string, err error) error {
	return fmt.Errorf("%w: %w", smallfile.Explain(path, err), ErrNotJoined)
}

// useInvite finds out whether the invite is for this state file, and whom to ask.
func (m *Member) useInvite(s *saved) error {
	if i := m.invite; i != nil {
		sameTailnet := s.Tailnet == "" || i.Tailnet == s.Tailnet || s.Invite == fmt.Sprintf("%x", i.ID)
		if !sameTailnet {
			return fmt.Errorf("%s: %w (%s): name another state file for it, or leave the invite out", m.cfg.StateFile, ErrOtherTailnet, s.TailnetName)
		}
		s.setContacts(i.Contacts)
	}
	for _, c := range s.contacts {
		c, err := newContact(c, &m.cfg)
		if err != nil {
			return err
		}
		m.contacts = append(m.contacts, c)
	}
	return nil
}

// adopt begins with what the state file says.
func (m *Member) adopt(s *saved) {
	m.view = view{
		self:   Self{m.key.Public(), s.Tailnet, s.TailnetName, s.Name, s.Addresses},
		peers:  make(map[key.Public]Peer),
		cursor: cleanCursor(s.Cursor),
	}
	for _, p := range s.Peers {
		m.view.put(cleanPeer(coordapi.Peer{Key: p.Key, Name: p.Name, Addresses: p.Addresses, Home: p.Home, Disco: p.Disco}))
	}
	if _, err := m.view.take(s.Map); len(s.Map) > 0 && err != nil {
		m.view.cursor = "" // it has to be told again
	}
	m.reports.boot = s.Boot
	m.save.base = *s
	m.state = State{Phase: Away, Since: time.Now(), Current: s.CursorTime, Home: cleanHome(s.Home)}
}
