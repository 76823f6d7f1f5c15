package packet

// DecIPTTL decrements the IPv4 TTL or IPv6 hop limit. It reports false, and
// changes nothing, when it is 0 or 1 already: the packet has expired.
func (f *Frame) DecIPTTL() (ok bool) { return true }

// SetIPTTL sets the IPv4 TTL or IPv6 hop limit.
func (f *Frame) SetIPTTL(ttl uint8) {}

// DecMPLSTTL decrements the outermost MPLS TTL, as DecIPTTL does for IP.
func (f *Frame) DecMPLSTTL() (ok bool) { return true }

// SetMPLSTTL sets the outermost MPLS TTL.
func (f *Frame) SetMPLSTTL(ttl uint8) {}

// CopyTTLOut copies the TTL of the next-to-outermost header that has one into the outermost.
func (f *Frame) CopyTTLOut() {}

// CopyTTLIn copies the TTL of the outermost header that has one into the next.
func (f *Frame) CopyTTLIn() {}
