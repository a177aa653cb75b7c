package stun

import "net"

// serveSingly takes and answers one datagram at a time, as any system can.
//
// It allocates nothing per datagram.
func (r *Responder) serveSingly(conn *net.UDPConn) error {
	b := make([]byte, 1<<16) // some systems report a datagram that does not fit as an error
	for failures := 0; ; {
		n, from, err := conn.ReadFromUDPAddrPort(b)
		if err != nil {
			failures++
			if !r.failed(err, failures) {
				return nil
			}
			continue
		}
		failures = 0
		if !r.wanted(b[:n], r.config.Healthy()) {
			continue
		}
		if r.everywhere {
			r.count.noLocalAddr.Add(1)
		}
		size := putAnswer(b, from)
		if _, err := conn.WriteToUDPAddrPort(b[:size], from); err != nil {
			r.count.sendErrors.Add(1)
			continue
		}
		r.answered(size)
	}
}
