package wgbind_test

import (
	"context"
	"fmt"
	"log"

	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/wgbind"
)

// A WireGuard device whose packets take the way through relays.
func Example() {
	var (
		dm      *derpmap.Map // from the coordination server, or a file
		network tun.Device   // what the system or a program sends packets into
		own     key.Private  // the device's key is the Host's
		peer    key.Public
	)
	if dm == nil {
		return // there is no network to show it by
	}
	bind, err := wgbind.New(client.HostConfig{Key: own, Map: dm}, wgbind.Config{
		Ask: func(ctx context.Context, stranger key.Public) bool { return false }, // nobody else comes in
	})
	if err != nil {
		log.Fatal(err)
	}
	defer bind.Shutdown()
	bind.Host().SetPeerHome(peer, 901) // where the peer is at home

	dev := device.NewDevice(network, bind, device.NewLogger(device.LogLevelError, "wg: "))
	defer dev.Close()
	err = dev.IpcSet(fmt.Sprintf("private_key=%s\npublic_key=%s\nendpoint=%s\nallowed_ip=10.0.0.2/32\n", own.Text()[len("privkey:"):], peer.Hex(), peer))
	if err != nil {
		log.Fatal(err)
	}
	if err := dev.Up(); err != nil {
		log.Fatal(err)
	}
}
