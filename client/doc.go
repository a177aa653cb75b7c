// Package client connects to DERP relays, and sends and receives packets. There are
// three sizes of it:
//
//   - [Host] is what most programs want: a peer that can be reached. Given a DERP
//     map it measures the regions, stays connected to the one that is its home,
//     tells where that is, and opens the regions of other peers when it sends to
//     them.
//   - [Region] stays connected to one region of several relays, whichever of them
//     works.
//   - [Conn] is one connection to one relay. It does not reconnect.
//
// [Netcheck] measures the regions of a map once, and [Latency] one relay over
// HTTPS.
//
// It is one package because most programs begin with one of the three and end with
// another: keys, packets, messages, errors and Config are the same in all of them, and
// a Conn, which a Region or Host holds, is no use to import by itself. What does not
// know of relays' frames stands beneath it: the way there (internal/reach), queues and
// buffers (internal/packetqueue, readbuf, socket), measuring (internal/measure) and the
// choice of the home (internal/home).
//
//	host, err := client.NewHost(client.HostConfig{Key: myKey, Map: derpMap})
//	err = host.Send(peer, packet)
//	msg, err := host.Recv(buf)
//
// The words: a packet is opaque and goes to a peer, which is addressed by its
// public key. A region is some relays in one place, and a node of it is one of
// these relays, as in the DERP map; a Host is a peer in the network that they make
// up. Delivery is best effort: nothing is acknowledged or repeated.
//
// # Host
//
// Send never waits: packets go into the queue of a region, 256 KiB and 5 s (or
// HostConfig.MaxAge) at most, from which those that waited longest are dropped. A region that is slow or dead
// delays nobody else. The home moves as Tailscale's clients move it (the best
// latency of 5 minutes, at least 10 ms and a third better), but only once we are
// connected to the new one; the old one is kept for a minute, for peers that have
// not heard, and if ReportHome fails until it has not: who moves while the
// coordination server is away stays where others believe it to be, too. A region whose relays answer STUN but cannot be connected to does not
// become home, and is left if it is. Regions besides home are closed when nothing
// was sent to them for a minute. Regions are measured when something changes, and
// every 20 to 26 s while packets are sent or received.
//
// A Host with home and three more regions has 10 goroutines and, when idle, less
// than 150 KB of heap and stacks.
//
// # Region
//
// A Region connects to the first of its nodes that admits us, and when that breaks,
// or when its relay says that it restarts or falls silent, to the next one that
// does; in the latter two cases before the old connection is let go. The next node
// is tried as soon as one has failed, or is slow (250 ms at first); after each
// round without success the pause grows up to 5 s. A relay that says nothing for
// 20 s is asked for a Pong; after 1 s if packets are sent to it, or a stream of
// them from it has stopped. It reads ahead, up to a bound, so that Pings are
// answered and dead connections found also while nobody is in Recv; but who never
// calls it stops the reading, and with it all that.
//
// # Conn
//
// The way to the relay is, from below: TCP (perhaps through an HTTP proxy), TLS
// unless the URL says http, an HTTP request that takes the connection over, and
// then frames. Where a middlebox does not let that request through, frames travel
// in WebSocket messages instead. Dial takes the shortest way the relay offers. A
// relay that shows its key in its certificate chain gets request and login in one
// write, and Dial returns without waiting for an answer (fast start, TLS 1.3 only);
// any other is asked first. Either way the relay has not yet admitted us when Dial
// returns: it does so with ServerInfo, the first message that Recv returns, and a
// relay that closes the connection instead makes Recv fail with
// ErrAdmissionRefused.
//
// Somebody has to call Recv all the time: that is also where Pings are answered and
// Pongs are found. After an error from Send or Recv, except those about the size of
// a packet or buffer, the connection is closed and every further call returns that
// error.
//
// # Limits and cost
//
// Packets have at most derp.MaxPacket bytes. A silence of 120 s ends a connection
// (relays send KeepAlive once a minute at least), as does a frame of more than
// 1 MiB. Of all three, one goroutine at a time may call Recv, any number everything
// else.
//
// Sending and receiving allocate nothing in the steady state, except for texts in
// messages. Under TLS, crypto/tls allocates 24 bytes whenever it wants more input;
// over WebSocket, its library allocates for each message. A connection buffers no
// input while it is quiet, and 64 KiB while much arrives; a Region or Host up to
// 128 KiB more for each.
package client
