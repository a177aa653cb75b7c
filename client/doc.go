// Package client connects to DERP relays, logs in, and sends and receives packets. A Conn is a connection to one relay; a
// Region stays connected to one of several relays, and is described at the end.
//
//	conn, err := client.Dial(ctx, client.Config{URL: "https://relay.example.com/derp", Key: myKey})
//	err = conn.Send(peer, packet)
//	msg, err := conn.Recv(buf)
//
// The words: a packet is opaque and goes to a peer, which is addressed by its public key. The way to the relay is, from
// below: TCP (perhaps through an HTTP proxy), TLS unless the URL says http, an HTTP request that takes the connection over,
// and then frames. Where a middlebox does not let that request through, frames travel in WebSocket messages instead.
//
// Dial takes the shortest way the relay offers. A relay that shows its key in its certificate chain gets request and login
// in one write, and Dial returns without waiting for an answer (fast start, TLS 1.3 only); any other is asked first. Either
// way the relay has not yet admitted us when Dial returns: it does so with ServerInfo, the first message that Recv returns,
// and a relay that closes the connection instead makes Recv fail with ErrAdmissionRefused.
//
// One goroutine at a time may call Recv, any number may call everything else. Somebody has to call Recv all the time: that
// is also where Pings are answered and Pongs are found. A Conn does not reconnect. After an error from Send
// or Recv, except those about the size of a packet or buffer, the connection is closed and every further call returns that
// error.
//
// Delivery is best effort: nothing is acknowledged or repeated.
//
// Limits: packets have at most derp.MaxPacket bytes. A silence of 120 s ends the connection (relays send KeepAlive every
// minute), as does a frame of more than 1 MiB. Send has no timeout; a relay that does not read is found by the silence.
//
// Cost: Send, SendBatch and Recv allocate nothing themselves in the steady state, except for texts in messages. Under TLS,
// crypto/tls allocates 24 bytes whenever it wants more input; over WebSocket, its library allocates for each message.
// A connection needs no goroutine of its own, except for a moment when it answers a Ping. It buffers 4 KiB of input, and
// 64 KiB while much arrives.
//
// A Region connects to the first of its nodes that admits us, and when that breaks, or when its relay says that it
// restarts, to the next one that does; in the latter case before the old connection is let go, so that nothing is lost.
// It reads ahead, up to a bound, so that Pings are answered and dead connections found (no sign of life for 20 s and no Pong
// for 10 s more) also while nobody is in Recv; but who never calls it stops the reading, and with it all that. It has three
// goroutines, receives up to 128 KiB ahead while much arrives, and allocates nothing per packet.
package client
