// Hot path: TTL actions.

package packet

// DecIPTTL decrements the IPv4 TTL or IPv6 hop limit. It reports false, and
// changes nothing, when it is 0 or 1 already: the packet has expired. A frame
// without IP header cannot expire.
func (f *Frame) DecIPTTL() (ok bool) {
	ttl := uint8(f.Key[1])
	if !f.isIPv4() && !f.isIPv6() {
		return true
	}
	if ttl <= 1 {
		return false
	}
	f.SetIPTTL(ttl - 1)
	return true
}

// SetIPTTL sets the IPv4 TTL or IPv6 hop limit.
func (f *Frame) SetIPTTL(ttl uint8) { f.SetField(IPTTL, 0, uint64(ttl)) }

// DecMPLSTTL decrements the outermost MPLS TTL, as DecIPTTL does for IP.
func (f *Frame) DecMPLSTTL() (ok bool) {
	if !f.isMPLS() {
		return true
	}
	ttl := uint8(f.Key[9])
	if ttl <= 1 {
		return false
	}
	f.SetMPLSTTL(ttl - 1)
	return true
}

// SetMPLSTTL sets the outermost MPLS TTL.
func (f *Frame) SetMPLSTTL(ttl uint8) { f.SetField(MPLSTTL, 0, uint64(ttl)) }

// ttlKind says what kind of header holds a TTL.
type ttlKind uint8

const (
	ttlNone ttlKind = iota
	ttlMPLS
	ttlIPv4
	ttlIPv6
)

// ttlHeader is a header that holds a TTL.
type ttlHeader struct {
	kind ttlKind
	at   int
}

// innerIP looks for an IP header at offset at, by its version.
func innerIP(b []byte, at int) ttlHeader {
	switch {
	case len(b) >= at+20 && b[at]>>4 == 4 && b[at]&15 >= 5:
		return ttlHeader{ttlIPv4, at}
	case len(b) >= at+40 && b[at]>>4 == 6:
		return ttlHeader{ttlIPv6, at}
	}
	return ttlHeader{}
}

// ttlHeaders finds the outermost header with a TTL and the next one: MPLS over
// MPLS, MPLS over IP, or IP over IP.
func (f *Frame) ttlHeaders() (outer, inner ttlHeader) {
	b, l := f.Bytes(), &f.Layout
	switch {
	case f.isMPLS():
		outer = ttlHeader{ttlMPLS, int(l.L25)}
		next := outer.at + 4
		if b[outer.at+2]&1 != 0 {
			return outer, innerIP(b, next)
		}
		if len(b) >= next+4 {
			inner = ttlHeader{ttlMPLS, next}
		}
		return outer, inner
	case f.isIPv4():
		outer = ttlHeader{ttlIPv4, int(l.L3)}
	case f.isIPv6():
		outer = ttlHeader{ttlIPv6, int(l.L3)}
	default:
		return outer, inner
	}
	if p := f.ipProto(); l.L4 != 0 && (p == protoIPIP || p == protoIPv6) {
		inner = innerIP(b[:l.End], int(l.L4))
	}
	return outer, inner
}

func (h ttlHeader) get(b []byte) uint8 {
	switch h.kind {
	case ttlMPLS:
		return b[h.at+3]
	case ttlIPv4:
		return b[h.at+8]
	}
	return b[h.at+7]
}

func (h ttlHeader) set(b []byte, ttl uint8) {
	switch h.kind {
	case ttlMPLS:
		b[h.at+3] = ttl
	case ttlIPv4:
		setByte4(b[h.at:], IPTTL, ttl)
	case ttlIPv6:
		b[h.at+7] = ttl
	}
}

// CopyTTLOut copies the TTL of the next-to-outermost header that has one into
// the outermost. Without two such headers it does nothing.
func (f *Frame) CopyTTLOut() {
	outer, inner := f.ttlHeaders()
	if inner.kind == ttlNone {
		return
	}
	b := f.Bytes()
	ttl := inner.get(b)
	outer.set(b, ttl)
	if outer.kind == ttlMPLS {
		f.Key.Set(MPLSTTL, 0, uint64(ttl))
	} else {
		f.Key.Set(IPTTL, 0, uint64(ttl))
	}
}

// CopyTTLIn copies the TTL of the outermost header that has one into the next.
func (f *Frame) CopyTTLIn() {
	outer, inner := f.ttlHeaders()
	if inner.kind == ttlNone {
		return
	}
	b := f.Bytes()
	inner.set(b, outer.get(b))
}
