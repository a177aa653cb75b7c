package coordapi

import (
	"bytes"

	"github.com/detour-relay/detour/key"
)

// What a proof is for. A proof of one kind is none of the other, and none for another
// tailnet or invite.
const (
	ForLogin = "login" // subject: the tailnet
	ForJoin  = "join"  // subject: Invite.Credential
)

// Prove seals a challenge to the coordination server: only who has the node key can.
func Prove(own key.Private, c Challenge, kind, subject string) []byte {
	box := own.Box(c.Key)
	return box.Seal(statement(kind, subject, c.Challenge))
}

// Proven reports whether a proof was made by the owner of a node key. The challenge
// has to be looked at besides.
func Proven(server key.Private, member key.Public, challenge, kind, subject string, proof []byte) bool {
	box := server.Box(member)
	said, ok := box.Open(proof)
	return ok && bytes.Equal(said, statement(kind, subject, challenge))
}

func statement(kind, subject, challenge string) []byte {
	return []byte("detour " + kind + "\n" + subject + "\n" + challenge)
}
