package tailnet_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/tailnet"
)

// Become a member with an invite, and look at who else is one. Another time the state
// file is enough.
func ExampleOpen() {
	invite, stop := coordinator() // what "detour coord" and "detour net invite" do
	defer stop()
	dir, err := os.MkdirTemp("", "member")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	connected := make(chan struct{})
	member, err := tailnet.Open(context.Background(), tailnet.Config{
		StateFile: filepath.Join(dir, "anna.json"), Invite: invite, Name: "anna",
		OnEvent: func(e tailnet.Event) {
			if e.Type == tailnet.IsConnected {
				close(connected)
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	<-connected
	self := member.Self()
	fmt.Println(self.Name, "of", self.TailnetName, "knows", len(member.Peers()), "others")
	member.Close()

	member, err = tailnet.Open(context.Background(), tailnet.Config{StateFile: filepath.Join(dir, "anna.json")})
	if err != nil {
		log.Fatal(err)
	}
	defer member.Close()
	host, err := member.Host(client.HostConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer host.Close()
	fmt.Println(member.Self().Name, "again")

	// Output:
	// anna of home knows 0 others
	// anna again
}
