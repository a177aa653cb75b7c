package hostname

import (
	"fmt"
	"net/netip"
	"strings"
)

// CheckPublic says why no public authority certifies a host, as [Parse] returns it;
// empty is none.
func CheckPublic(host string) error {
	ip, err := netip.ParseAddr(host)
	switch {
	case host == "":
		return nil
	case err == nil && (!ip.IsGlobalUnicast() || ip.IsPrivate()):
		return fmt.Errorf("%s is an address of one machine or network, which no public authority certifies: give the address that peers connect to, or name an authority of your own", host)
	case err != nil && (!strings.Contains(host, ".") || strings.HasSuffix(host, ".local") || strings.HasSuffix(host, ".internal")):
		return fmt.Errorf("%s is a name of one machine or network, which no public authority certifies: give the whole name that peers look up, or name an authority of your own", host)
	}
	return nil
}
