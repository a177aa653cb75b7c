package pairing

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/armour"
	"github.com/detour-relay/detour/internal/hostname"
	"github.com/detour-relay/detour/internal/pin"
	"github.com/detour-relay/detour/key"
)

// Scheme begins every token.
const Scheme = "detourpair1"

// Lifetime is how long a token may be used for.
const Lifetime = 10 * time.Minute

// MostRelays is how many relays a token names at the most.
const MostRelays = 8

const (
	secretLen = 16
	portTLS   = 443

	// firstRegion is what the region of the first relay is called: numbers from 900 on are
	// those of networks of one's own.
	firstRegion = 901
)

// ErrToken is beneath what ParseToken refuses.
var ErrToken = errors.New("this is no whole token")

// A Relay is one by which the two can reach each other.
type Relay struct {
	Host string // name or address, without brackets
	Port uint16
	Pin  pin.Pin // of its certificate; zero: authorities say who it is
}

// ParseRelay reads host[:port][=sha256-raw:...], as the relay prints it.
func ParseRelay(text string) (r Relay, err error) {
	const want = "write host or host:port, and =sha256-raw:... behind it if the relay prints a pin"
	where, sum, pinned := strings.Cut(text, "=")
	if pinned {
		if r.Pin, err = pin.Parse(sum); err != nil {
			return Relay{}, err
		}
	}
	where = strings.TrimSuffix(strings.TrimPrefix(where, "https://"), "/derp")
	host, port := where, ""
	if _, notAddr := netip.ParseAddr(where); notAddr != nil && (strings.Count(where, ":") == 1 || strings.HasPrefix(where, "[")) && !strings.HasSuffix(where, "]") {
		if host, port, err = net.SplitHostPort(where); err != nil {
			return Relay{}, fmt.Errorf("%q: %s", text, want)
		}
	}
	r.Host, r.Port = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), portTLS
	if r.Host, err = hostname.Parse(r.Host); err != nil {
		return Relay{}, fmt.Errorf("%q: %w: %s", text, err, want)
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return Relay{}, fmt.Errorf("%q: the port is none: %s", text, want)
		}
		r.Port = uint16(n)
	}
	return r, nil
}

// String is what ParseRelay reads.
func (r Relay) String() string {
	text := r.Host
	if r.Port != portTLS {
		text = net.JoinHostPort(r.Host, strconv.Itoa(int(r.Port)))
	} else if strings.Contains(text, ":") {
		text = "[" + text + "]"
	}
	if !r.Pin.IsZero() {
		text += "=" + r.Pin.String()
	}
	return text
}

// A Token is the right to be paired with whoever made it.
type Token struct {
	Inviter key.Public
	Secret  [secretLen]byte
	Expires time.Time // in whole seconds
	Home    int       // the inviter's region when it was made; 0: not known
	Relays  []Relay   // 1 to 8, each a region
}

// NewToken returns a token of an inviter, with a new secret.
func NewToken(inviter key.Public, relays []Relay, home int, now time.Time) Token {
	t := Token{Inviter: inviter, Expires: now.Add(Lifetime).Truncate(time.Second), Home: home, Relays: relays}
	rand.Read(t.Secret[:]) // never fails
	return t
}

// String does not tell the secret.
func (t Token) String() string { return Scheme + "(of " + t.Inviter.Short() + ")" }

// Text returns the token as it is passed on.
func (t Token) Text() (string, error) {
	if err := checkRelays(t.Relays); err != nil {
		return "", err
	}
	b := append(t.Inviter[:key.Len:key.Len], t.Secret[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(t.Expires.Unix()))
	b = binary.BigEndian.AppendUint16(b, uint16(t.Home))
	b = append(b, byte(len(t.Relays)))
	for _, r := range t.Relays {
		b = armour.AppendText(b, r.Host)
		b = binary.BigEndian.AppendUint16(b, r.Port)
		if r.Pin.IsZero() {
			b = append(b, 0)
			continue
		}
		sum := r.Pin.Sum()
		b = append(append(b, sha256.Size), sum[:]...)
	}
	return armour.Text(Scheme, b), nil
}

// ParseToken reads what Text has written. Whether it has expired is for the inviter to
// say: the clocks may differ.
func ParseToken(text string) (t Token, err error) {
	body, err := armour.Parse(Scheme, text)
	switch {
	case errors.Is(err, armour.ErrScheme):
		return t, fmt.Errorf("%w: it does not begin with %s", ErrToken, Scheme)
	case err != nil:
		return t, fmt.Errorf("%w: %w", ErrToken, err)
	}
	r := armour.Reader{Rest: body}
	copy(t.Inviter[:], r.Take(key.Len))
	copy(t.Secret[:], r.Take(secretLen))
	t.Expires = time.Unix(int64(number(&r, 8)), 0)
	t.Home = int(number(&r, 2))
	for range r.Length() {
		relay, err := takeRelay(&r)
		if err != nil {
			return Token{}, fmt.Errorf("%w: %w", ErrToken, err)
		}
		if t.Relays = append(t.Relays, relay); len(t.Relays) > MostRelays {
			break
		}
	}
	if !r.Whole() || t.Inviter.IsZero() {
		return Token{}, fmt.Errorf("%w: what it says cannot be read: is it of a newer version?", ErrToken)
	}
	if err := checkRelays(t.Relays); err != nil {
		return Token{}, fmt.Errorf("%w: %w", ErrToken, err)
	}
	return t, nil
}

// number is the next one, of so many bytes.
func number(r *armour.Reader, size int) (n uint64) {
	for _, b := range r.Take(size) {
		n = n<<8 | uint64(b)
	}
	return n
}

func takeRelay(r *armour.Reader) (relay Relay, err error) {
	if relay.Host, err = hostname.Parse(r.Text()); err != nil {
		return relay, err
	}
	relay.Port = uint16(number(r, 2))
	switch sum := r.Take(r.Length()); len(sum) {
	case 0:
	case sha256.Size:
		relay.Pin = pin.OfSum([sha256.Size]byte(sum))
	default:
		return relay, errors.New("a pin has another length")
	}
	return relay, nil
}

func checkRelays(relays []Relay) error {
	if len(relays) == 0 || len(relays) > MostRelays {
		return fmt.Errorf("a token names 1 to %d relays, not %d", MostRelays, len(relays))
	}
	for i, r := range relays {
		if r.Host == "" || len(r.Host) > 255 || r.Port == 0 {
			return fmt.Errorf("relay %d of the token has no host or no port", i+1)
		}
	}
	return nil
}

// RelayOf is the index of the relay that a region of Map is.
func RelayOf(region int) int { return region - firstRegion }

// Map has each relay as a region, from 901 on: both sides have the same numbers.
func Map(relays []Relay) *derpmap.Map {
	m := &derpmap.Map{Regions: make(map[int]*derpmap.Region)}
	for i, r := range relays {
		id := firstRegion + i
		name := strconv.Itoa(id)
		node := &derpmap.Node{Name: name + "a", RegionID: id, HostName: r.Host}
		if ip, err := netip.ParseAddr(r.Host); err == nil && ip.Is4() {
			node.IPv4 = r.Host
		} else if err == nil {
			node.IPv6 = r.Host
		}
		if !r.Pin.IsZero() {
			node.CertName = r.Pin.String()
		}
		if r.Port != portTLS {
			node.DERPPort = int(r.Port)
		}
		m.Regions[id] = &derpmap.Region{RegionID: id, RegionCode: r.Host, RegionName: r.Host, Nodes: []*derpmap.Node{node}}
	}
	return m
}
