package ofctl

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/weirswitch/weir/openflow"
)

// value reads VALUE or VALUE/MASK of a field. A mask of all ones is none; a mask of zeros leaves a
// field that matches anything, which the caller drops. Bits outside the mask become zero.
func (p *parser) value(id openflow.FieldID, what, s string, at int) (openflow.Field, error) {
	info := id.Info()
	form := wordOf(id).form
	switch {
	case s == "*":
		return openflow.WithMask128(id, openflow.Value{}, openflow.Value{}), nil
	case s == "":
		return openflow.Field{}, p.fail(at, "%s lacks its value", what)
	case form == flags:
		return p.tcpFlags(s, at)
	case form == frags:
		return p.fragment(s, at)
	}
	text, maskText, masked := strings.Cut(s, "/")
	if _, isProtocol := protocolWords[text]; isProtocol && (id == openflow.EthType || id == openflow.IPProto) {
		return openflow.Field{}, p.fail(at, "%s=%s: expected a number; the word %s alone chooses these frames", what, s, text)
	}
	v, err := p.plain(id, what, text, at)
	if err != nil {
		return openflow.Field{}, err
	}
	ones := openflow.Exact(id, 0).Mask
	if !masked {
		return openflow.Field{ID: id, Value: v, Mask: ones}, nil
	}
	if !info.Maskable {
		return openflow.Field{}, p.fail(at, "%s=%s: this field cannot have a mask", what, s)
	}
	mask, err := p.mask(id, what, maskText, at+len(text)+1)
	if err != nil {
		return openflow.Field{}, err
	}
	if mask == ones {
		return openflow.Field{ID: id, Value: v, Mask: ones}, nil
	}
	return openflow.WithMask128(id, v.And(mask), mask), nil
}

// plain reads a value without its mask.
func (p *parser) plain(id openflow.FieldID, what, s string, at int) (openflow.Value, error) {
	switch wordOf(id).form {
	case mac:
		if v, ok := parseMAC(s); ok {
			return openflow.ValueOf(v), nil
		}
		return openflow.Value{}, p.fail(at, "%s=%s: expected an Ethernet address like 00:11:22:33:44:55", what, s)
	case ipv4:
		if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
			b := a.As4()
			return openflow.ValueOf(uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])), nil
		}
		return openflow.Value{}, p.fail(at, "%s=%s: expected an IPv4 address like 10.0.0.1", what, s)
	case ipv6:
		if a, err := netip.ParseAddr(s); err == nil && a.Is6() && a.Zone() == "" {
			return openflow.Value(a.As16()), nil
		}
		return openflow.Value{}, p.fail(at, "%s=%s: expected an IPv6 address like 2001:db8::1", what, s)
	case port:
		no, err := p.port(what, s, at)
		return openflow.ValueOf(uint64(no)), err
	}
	n, err := p.uintAt(what, s, at, id.Info().Bits)
	return openflow.ValueOf(n), err
}

// mask reads what stands behind the slash: a number of bits for IP addresses, else a value.
func (p *parser) mask(id openflow.FieldID, what, s string, at int) (openflow.Value, error) {
	width := map[form]int{ipv4: 32, ipv6: 128}[wordOf(id).form]
	if width == 0 || strings.ContainsAny(s, ".:") {
		return p.plain(id, what, s, at)
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > width {
		return openflow.Value{}, p.fail(at, "%s/%s: expected a prefix length from 0 to %d, or a mask", what, s, width)
	}
	return prefix(n, width), nil
}

// prefix is the mask of the first n of width bits.
func prefix(n, width int) openflow.Value {
	var hi, lo uint64
	for i := width - n; i < width; i++ {
		if i < 64 {
			lo |= 1 << i
		} else {
			hi |= 1 << (i - 64)
		}
	}
	return openflow.ValueOf128(hi, lo)
}

// parseMAC reads six bytes of one or two digits.
func parseMAC(s string) (v uint64, ok bool) {
	parts := strings.Split(s, ":")
	for _, x := range parts {
		n, err := strconv.ParseUint(x, 16, 8)
		if err != nil || len(x) > 2 {
			return 0, false
		}
		v = v<<8 | n
	}
	return v, len(parts) == 6
}

// tcpFlags reads +syn-ack, syn|ack, or a number with or without a mask.
func (p *parser) tcpFlags(s string, at int) (openflow.Field, error) {
	const all = 1<<tcpFlagBits - 1
	if s[0] == '+' || s[0] == '-' {
		return p.signedFlags(s, at)
	}
	if s[0] >= '0' && s[0] <= '9' {
		text, maskText, masked := strings.Cut(s, "/")
		v, err := p.uintAt("tcp_flags", text, at, tcpFlagBits)
		mask := uint64(all)
		if err == nil && masked {
			mask, err = p.uintAt("tcp_flags", maskText, at+len(text)+1, tcpFlagBits)
		}
		if mask == all {
			return openflow.Exact(openflow.TCPFlags, v), err
		}
		return openflow.WithMask(openflow.TCPFlags, v&mask, mask), err
	}
	v := uint64(0)
	for _, w := range strings.Split(s, "|") {
		bit, err := p.flagBit(w, at)
		if err != nil {
			return openflow.Field{}, err
		}
		v |= bit
		at += len(w) + 1
	}
	return openflow.Exact(openflow.TCPFlags, v), nil
}

func (p *parser) signedFlags(s string, at int) (openflow.Field, error) {
	var v, mask uint64
	for len(s) > 0 {
		end := strings.IndexAny(s[1:], "+-") + 1
		if end == 0 {
			end = len(s)
		}
		bit, err := p.flagBit(s[1:end], at+1)
		switch {
		case err != nil:
			return openflow.Field{}, err
		case mask&bit != 0:
			return openflow.Field{}, p.fail(at+1, "the TCP flag %s is there twice", s[1:end])
		case s[0] == '+':
			v |= bit
		case s[0] != '-':
			return openflow.Field{}, p.fail(at, "tcp_flags: expected + or - before each flag, like +syn-ack")
		}
		mask |= bit
		s, at = s[end:], at+end
	}
	if mask == 1<<tcpFlagBits-1 {
		return openflow.Exact(openflow.TCPFlags, v), nil
	}
	return openflow.WithMask(openflow.TCPFlags, v, mask), nil
}

func (p *parser) flagBit(w string, at int) (uint64, error) {
	for i, name := range tcpFlagNames {
		if name == w {
			return 1 << i, nil
		}
	}
	return 0, p.unknown(at, "TCP flag", w, tcpFlagNames[:])
}

// fragment reads the words of nw_frag, which are fragWord's.
func (p *parser) fragment(s string, at int) (openflow.Field, error) {
	const any, later = 1, 2
	switch s {
	case "no":
		return openflow.Exact(openflow.NwFrag, 0), nil
	case "yes":
		return openflow.WithMask(openflow.NwFrag, any, any), nil
	case "first":
		return openflow.Exact(openflow.NwFrag, any), nil
	case "later":
		return openflow.Exact(openflow.NwFrag, any|later), nil
	case "not_later":
		return openflow.WithMask(openflow.NwFrag, 0, later), nil
	}
	return openflow.Field{}, p.unknown(at, "kind of fragment", s, []string{"no", "yes", "first", "later", "not_later"})
}
