package stun

import "net"

// serveSingly takes and answers one datagram at a time, as any system can.
//
// It allocates nothing per datagram.
func (r *Responder) serveSingly(conn *net.UDPConn) error {
	b := make([]byte, 1<<16) // some systems report a datagram that does not fit as an error
	var failures failures
	for {
		n, from, err := conn.ReadFromUDPAddrPort(b)
		if err != nil {
			if !r.failed(err, &failures) {
				return nil
			}
			continue
		}
		failures.end()
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
