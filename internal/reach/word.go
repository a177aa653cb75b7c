package reach

import (
	"net/http"
	"strings"
)

// What a relay of ours says of itself where it does not take a connection over. The text
// goes on behind it. A WebSocket of the same relay would be told the same.
const (
	WordStopping = "this relay is shutting down"
	WordTooMany  = "this relay takes no more connections from there"
	WordNoRelay  = "this server relays nothing"
	WordNoOrigin = "the relay believes the proxy that this request came by"
)

// words are those of relays, by status. The last one is derper's.
var words = map[int][]string{
	http.StatusServiceUnavailable: {WordStopping},
	http.StatusTooManyRequests:    {WordTooMany},
	http.StatusBadRequest:         {WordNoOrigin},
	http.StatusNotFound:           {WordNoRelay, "derp server disabled"},
}

// Stopping reports whether a relay has said that it is. Another process may have taken
// its place already.
func (e *StatusError) Stopping() bool {
	return e.Code == http.StatusServiceUnavailable && strings.HasPrefix(e.Body, WordStopping)
}

// OwnWord reports whether a relay has said it, and not something before it.
func (e *StatusError) OwnWord() bool {
	for _, word := range words[e.Code] {
		if strings.HasPrefix(e.Body, word) {
			return true
		}
	}
	return false
}
