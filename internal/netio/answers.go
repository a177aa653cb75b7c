package netio

import "errors"

// ErrAnswersUnread reports a peer that has the TLS layer answer and does not take
// the answers.
var ErrAnswersUnread = errors.New("netio: the peer does not take the answers to its key updates")
