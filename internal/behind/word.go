package behind

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// From returns the peer whom a request came from to a proxy that is believed: of all
// addresses that proxies have noted, the last one that is not that of such a proxy,
// for what stands before it could be said by anybody. Its port is 0 if nobody has
// noted it.
//
// Proxies pass on what they do not know, so a peer can send the word that a proxy does
// not use. If there are both, they have to agree.
func (p Proxies) From(h http.Header) (netip.AddrPort, error) {
	forwarded, noted := h.Values("Forwarded"), h.Values("X-Forwarded-For")
	switch {
	case len(forwarded) > 0 && len(noted) > 0:
		a, err := p.forwarded(forwarded)
		if err != nil {
			return a, err
		}
		b, err := p.noted(noted)
		if err == nil && a.Addr() != b.Addr() {
			err = fmt.Errorf("%w: %v and %v", ErrContradiction, a.Addr(), b.Addr())
		}
		return b, err
	case len(forwarded) > 0:
		return p.forwarded(forwarded)
	case len(noted) > 0:
		return p.noted(noted)
	}
	return netip.AddrPort{}, ErrSilent
}

// noted reads X-Forwarded-For.
func (p Proxies) noted(lines []string) (netip.AddrPort, error) {
	return p.last(strings.Split(strings.Join(lines, ","), ","))
}

// forwarded reads Forwarded.
func (p Proxies) forwarded(lines []string) (from netip.AddrPort, err error) {
	elements, err := split(strings.Join(lines, ","), ',')
	if err != nil {
		return from, err
	}
	for i, element := range elements {
		if elements[i], err = forNode(element); err != nil {
			return from, err
		}
	}
	return p.last(elements)
}

// last returns the last of some nodes that is no proxy's which is believed.
func (p Proxies) last(nodes []string) (from netip.AddrPort, err error) {
	for i := len(nodes) - 1; i >= 0; i-- {
		if from, err = parseNode(nodes[i]); err != nil || !p.Believes(from.Addr()) {
			return from, err
		}
	}
	return from, nil // all of them within our own networks
}

// parseNode reads an address, with a port or without.
func parseNode(text string) (netip.AddrPort, error) {
	text = strings.Trim(text, " \t")
	a, err := netip.ParseAddrPort(text)
	if err != nil {
		var bare netip.Addr
		inner, ok := strings.CutPrefix(text, "[")
		if inner, closed := strings.CutSuffix(inner, "]"); ok && closed {
			bare, err = netip.ParseAddr(inner)
		} else {
			bare, err = netip.ParseAddr(text)
		}
		a = netip.AddrPortFrom(bare, 0)
	}
	if err != nil || a.Addr().Zone() != "" {
		return netip.AddrPort{}, fmt.Errorf("%w: %.60q is no address", ErrMalformed, text)
	}
	return unmapped(a), nil
}

// forNode returns what stands behind for= in an element of Forwarded. The names of the
// others are not ours to check.
func forNode(element string) (node string, err error) {
	pairs, err := split(element, ';')
	if err != nil {
		return "", err
	}
	found := false
	for _, pair := range pairs {
		name, value, ok := strings.Cut(strings.Trim(pair, " \t"), "=")
		if !ok || !strings.EqualFold(name, "for") {
			continue
		}
		if found {
			return "", fmt.Errorf("%w: Forwarded has two for= in %.60q", ErrMalformed, element)
		}
		if node, err = unquoted(value); err != nil {
			return "", err
		}
		found = true
	}
	if !found {
		return "", fmt.Errorf("%w: Forwarded has no for= in %.60q", ErrMalformed, element)
	}
	return node, nil
}

// unquoted is the value of a token or a quoted string.
func unquoted(text string) (string, error) {
	if !strings.HasPrefix(text, `"`) {
		return text, nil
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			if i == len(text)-1 {
				return b.String(), nil
			}
			return "", fmt.Errorf("%w: there is more behind the quotes of %.60q", ErrMalformed, text)
		case '\\':
			if i++; i == len(text) {
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return "", unbalanced(text)
}

// split cuts at a separator outside of quoted strings.
func split(text string, separator byte) (parts []string, err error) {
	quoted, begin := false, 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case c == separator && !quoted:
			parts = append(parts, text[begin:i])
			begin = i + 1
		}
	}
	if quoted {
		return nil, unbalanced(text)
	}
	return append(parts, text[begin:]), nil
}

func unbalanced(text string) error {
	return fmt.Errorf("%w: the quotes of %.60q are not closed", ErrMalformed, text)
}
