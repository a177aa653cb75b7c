package stun

import (
	"encoding/binary"
	"hash/crc32"
)

// The part of RFC 5389 that both sides speak.
const (
	headerSize     = 20
	cookie         = 0x2112a442
	bindingRequest = 0x0001

	attributeSoftware    = 0x8022
	attributeFingerprint = 0x8028
	fingerprintMask      = 0x5354554e

	// software is what clients of relays call themselves.
	software = "tailnode"

	// maxRequest is how much of a datagram is looked at: what an Ethernet
	// frame holds. The requests that clients send have 40 bytes.
	maxRequest = 1500
)

// A reason says why a datagram is not answered.
type reason uint8

const (
	none             reason = iota // it is a request
	tooLong                        // over maxRequest
	badHeader                      // too short, the top bits set, or another cookie
	notRequest                     // STUN, but no binding request
	badAttributes                  // an attribute that overruns the datagram, or less than one at the end
	otherSoftware                  // none says "tailnode"
	fingerprintMoved               // the last attribute is no fingerprint
	badFingerprint
	reasons // how many there are
)

// classify returns none for a request, and else what is wrong with it.
//
// The attributes fill the datagram: the header's length field is not looked
// at, but is part of what the fingerprint covers.
func classify(b []byte) reason {
	if len(b) > maxRequest {
		return tooLong
	}
	if len(b) < headerSize || b[0]&0xc0 != 0 || binary.BigEndian.Uint32(b[4:]) != cookie {
		return badHeader
	}
	if binary.BigEndian.Uint16(b) != bindingRequest {
		return notRequest
	}
	named, fingerprint := false, -1 // where the last attribute begins, if it is one
	for at := headerSize; at < len(b); {
		if len(b)-at < 4 {
			return badAttributes
		}
		kind, size := binary.BigEndian.Uint16(b[at:]), int(binary.BigEndian.Uint16(b[at+2:]))
		next := at + 4 + (size+3)&^3
		if next > len(b) {
			return badAttributes
		}
		if kind == attributeSoftware && string(b[at+4:at+4+size]) == software {
			named = true
		}
		fingerprint = -1
		if kind == attributeFingerprint && size == 4 {
			fingerprint = at
		}
		at = next
	}
	if !named {
		return otherSoftware
	}
	if fingerprint < 0 {
		return fingerprintMoved
	}
	if crc32.ChecksumIEEE(b[:fingerprint])^fingerprintMask != binary.BigEndian.Uint32(b[fingerprint+4:]) {
		return badFingerprint
	}
	return none
}
