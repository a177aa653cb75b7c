// Package wgbind has WireGuard's packets take the way through DERP relays: a
// [Bind] is the network of a device of golang.zx2c4.com/wireguard, and beneath it
// is a [client.Host].
//
//	bind, err := wgbind.New(client.HostConfig{Key: key, Map: derpMap}, wgbind.Config{})
//	if err != nil {
//		return err
//	}
//	defer bind.Shutdown()
//	dev := device.NewDevice(tun, bind, device.NewLogger(device.LogLevelError, ""))
//	err = dev.IpcSet("private_key=...\npublic_key=...\nendpoint=nodekey:...\nallowed_ip=...\n")
//
// # Words
//
//   - endpoint: a peer, as the device knows it. Its text is the peer's key,
//     nodekey:..., which goes behind endpoint= in the device's configuration. There
//     is one for each key, and it is no address that anything could be sent to.
//   - path: the way to a peer by UDP, beside the one over the relay ([Direct]).
//   - mark: what the system finds packets by that must not go into the tunnel (fwmark).
//   - stranger: a key that sends to us and that the device has no peer for.
//
// The key of the Host should be the device's: peers know a member of their network
// by one key, and send to it by that.
//
// # Which way packets go
//
// Send hands a batch to the Host, and waits while more than half of what its queue holds
// waits there; 200 ms (MaxAge) at the most, after which the oldest are dropped. A goroutine takes
// what comes in from the Host, whether the device is up or not, and keeps up to
// [MostWaiting] packets for it. When there is no room it stops reading, so that the relay
// is slowed down, but not for longer than 200 ms without one being taken: then the oldest
// are dropped and counted, since the device's own pools have no bounds. While the device
// is down, everything is dropped.
//
// With [Config.Direct], peers whose disco key is known are looked for by UDP as soon as
// something is sent to them, as Tailscale's nodes do it. Packets go over the relay until
// a path has shown that it carries full packets, and over both while it is in doubt.
// Close and Open leave these sockets alone, too, so the path stays.
//
// # Limits and cost
//
// A packet that comes in is copied twice, by UDP, too, one that goes out once; neither allocates.
// An idle Bind has 300 KB of buffers, a busy one up to 3 MB more, with packets of
// ordinary size.
package wgbind
