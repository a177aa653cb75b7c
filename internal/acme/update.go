package acme

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// An update makes and removes records by messages to a DNS server (RFC 2136), signed by
// a key (RFC 8945).
type update struct {
	server string   // host:port
	key    *tsigKey // nil: the server goes by addresses
}

// A tsigKey is one that a DNS server knows.
type tsigKey struct{ name, algorithm, secret string }

// String is its name: the secret is not for people.
func (k *tsigKey) String() string {
	if k == nil {
		return ""
	}
	return k.name
}

const (
	updateTime = 15 * time.Second // for each question
	recordTTL  = 60               // seconds; others may have asked before it was there
	signedFor  = 300              // seconds by which clocks may differ
)

func (u update) make(ctx context.Context, name, value string) error {
	return u.change(ctx, name, func(m *dns.Msg) { m.Insert([]dns.RR{record(name, value)}) })
}

func (u update) remove(ctx context.Context, name, value string) error {
	return u.change(ctx, name, func(m *dns.Msg) { m.Remove([]dns.RR{record(name, value)}) })
}

func record(name, value string) dns.RR {
	return &dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: recordTTL}, Txt: []string{value}}
}

func (u update) change(ctx context.Context, name string, what func(*dns.Msg)) error {
	zone, err := u.zoneOf(ctx, name)
	if err != nil {
		return err
	}
	m := new(dns.Msg)
	m.SetUpdate(zone)
	what(m)
	if u.key != nil {
		m.SetTsig(u.key.name, u.key.algorithm, signedFor, time.Now().Unix())
	}
	answer, err := u.ask(ctx, m)
	if err != nil {
		return err
	}
	return u.refusal(zone, answer.Rcode)
}

// zoneOf is the zone that a name is in: whoever has no such name says so with the zone's
// own record.
func (u update) zoneOf(ctx context.Context, name string) (string, error) {
	m := new(dns.Msg)
	m.SetQuestion(name, dns.TypeSOA)
	m.RecursionDesired = false
	answer, err := u.ask(ctx, m)
	if err != nil {
		return "", err
	}
	for _, rr := range append(answer.Answer, answer.Ns...) {
		if soa, ok := rr.(*dns.SOA); ok && dns.IsSubDomain(soa.Hdr.Name, name) {
			return soa.Hdr.Name, nil
		}
	}
	return "", fmt.Errorf("the DNS server %s does not have the zone of %s (%s): name one that has", u.server, name, dns.RcodeToString[answer.Rcode])
}

func (u update) ask(ctx context.Context, m *dns.Msg) (*dns.Msg, error) {
	client := &dns.Client{Net: "tcp", Timeout: updateTime}
	if u.key != nil {
		client.TsigSecret = map[string]string{u.key.name: u.key.secret}
	}
	answer, _, err := client.ExchangeContext(ctx, m, u.server)
	switch {
	case errors.Is(err, dns.ErrTime):
		return nil, fmt.Errorf("the DNS server %s has another time than this machine: set the clocks", u.server)
	case err != nil && answer != nil && answer.Rcode == dns.RcodeNotAuth:
		return answer, nil // says what is wrong better than a missing signature does
	case err != nil:
		return nil, fmt.Errorf("the DNS server %s: %w", u.server, err)
	}
	return answer, nil
}

func (u update) refusal(zone string, code int) error {
	remedy := "see its log"
	switch code {
	case dns.RcodeSuccess:
		return nil
	case dns.RcodeNotAuth, dns.RcodeBadSig, dns.RcodeBadKey:
		remedy = "it does not know the key, or knows another one by that name"
	case dns.RcodeRefused:
		remedy = "allow updates of TXT records by this key there, or from this machine"
	case dns.RcodeNotImplemented:
		remedy = "name the primary server of the zone"
	}
	return fmt.Errorf("the DNS server %s refuses the update of %s (%s): %s", u.server, zone, dns.RcodeToString[code], remedy)
}

var (
	keyStatement = regexp.MustCompile(`(?s)^\s*key\s+"?([^"\s{;]+)"?\s*\{(.*)\}\s*;?\s*$`)
	keyField     = regexp.MustCompile(`(algorithm|secret)\s+"?([^"\s;]+)"?\s*;`)
	algorithms   = map[string]string{
		"hmac-sha1": dns.HmacSHA1, "hmac-sha224": dns.HmacSHA224, "hmac-sha256": dns.HmacSHA256, "hmac-sha384": dns.HmacSHA384, "hmac-sha512": dns.HmacSHA512,
	}
	errNoTSIG = errors.New(`it has no key as "tsig-keygen" prints them: key "name" { algorithm hmac-sha256; secret "..."; };`)
)

// parseTSIG reads a key as tsig-keygen prints it. The error does not repeat it.
func parseTSIG(text string) (*tsigKey, error) {
	whole := keyStatement.FindStringSubmatch(text)
	if whole == nil {
		return nil, errNoTSIG
	}
	key := &tsigKey{name: dns.CanonicalName(whole[1])}
	if _, ok := dns.IsDomainName(key.name); !ok {
		return nil, errNoTSIG
	}
	for _, field := range keyField.FindAllStringSubmatch(whole[2], -1) {
		switch field[1] {
		case "algorithm":
			if key.algorithm = algorithms[strings.ToLower(field[2])]; key.algorithm == "" {
				return nil, fmt.Errorf("no such algorithm: %q: want hmac-sha256, say", field[2])
			}
		case "secret":
			if _, err := base64.StdEncoding.DecodeString(field[2]); err != nil {
				return nil, errNoTSIG
			}
			key.secret = field[2]
		}
	}
	if key.algorithm == "" || key.secret == "" {
		return nil, errNoTSIG
	}
	return key, nil
}
