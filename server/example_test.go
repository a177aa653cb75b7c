package server_test

import (
	"fmt"
	"log"
	"net/url"
	"os"

	"github.com/detour-relay/detour/server"
)

// A relay gets another name and with it another certificate, while it runs.
func ExampleServer_Reload() {
	dir, err := os.MkdirTemp("", "relay")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	config := server.Config{Listen: "127.0.0.1:0", STUN: "off", StateDir: dir, Hostname: "relay.example"}
	s, err := server.Open(config)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	before := s.Pin()

	config.Hostname = "derp.example"
	if err := s.Reload(config); err != nil {
		log.Fatal(err)
	}
	now, _ := url.Parse(s.URL())
	fmt.Println(now.Hostname(), before != s.Pin())

	// Output: derp.example true
}
