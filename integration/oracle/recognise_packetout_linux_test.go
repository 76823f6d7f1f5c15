package oracle

import (
	"encoding/binary"
	"slices"

	"github.com/weirswitch/weir/openflow"
)

// fit says whether every action finds in the frame what it is about. What is not known to be there is not.
func (k facts) fit(list []openflow.Action) bool {
	return !slices.ContainsFunc(list, func(a openflow.Action) bool { return !k.take(a) })
}

// take says whether an action fits, and notes what is known after it.
func (k *facts) take(a openflow.Action) (ok bool) {
	switch a.Type {
	case openflow.ActionSetField, openflow.NXLoadMasked:
		return k.meet(a.Field.ID)
	case openflow.NXLoad:
		return k.meet(a.Dst.ID)
	case openflow.NXMove:
		return k.meet(a.Src.ID) && k.meet(a.Dst.ID)
	case openflow.ActionPushVLAN:
		k.vlan = true
	case openflow.ActionPopVLAN:
		ok, k.vlan = k.vlan, false
		return ok
	case openflow.ActionPushMPLS:
		*k = facts{vlan: k.vlan, eth: uint64(a.EtherType)}
	case openflow.ActionPopMPLS:
		ok = k.mpls()
		*k = facts{vlan: k.vlan, eth: uint64(a.EtherType)}
		return ok
	case openflow.ActionSetMPLSTTL, openflow.ActionDecMPLSTTL:
		return k.mpls()
	case openflow.ActionSetNwTTL, openflow.ActionDecNwTTL:
		return k.ip()
	}
	return true
}

// meet says whether a field is there.
func (k *facts) meet(id openflow.FieldID) bool {
	values := map[openflow.FieldID]uint64{openflow.EthType: k.eth, openflow.IPProto: k.proto, openflow.ICMPv6Type: k.icmp6}
	for _, p := range id.Info().Prereqs {
		if p.Field == openflow.VLANVID && !k.vlan || len(p.Values) > 0 && !slices.Contains(p.Values, values[p.Field]) {
			return false
		}
	}
	return id != openflow.VLANVID || k.vlan
}

// fromNowhere: a PACKET_OUT has an in_port that is not there.
func fromNowhere(l *life) bool {
	return someStep(func(p *packetOut) bool { return p.in > numPorts && p.in <= openflow.PortMax })(l)
}

// normalFromNowhere: there is NORMAL, and such a PACKET_OUT.
func normalFromNowhere(l *life) bool {
	return l.shown().any(outputs(openflow.PortNormal)) && fromNowhere(l)
}

// malformed: a frame ends before its headers say that it does. What then happens to it is compared nowhere.
func malformed(l *life) bool {
	return someStep(func(f *frame) bool { return cutShort(f.bytes) })(l) ||
		someStep(func(p *packetOut) bool { return cutShort(p.frame.bytes) })(l)
}

// cutShort says whether a frame is shorter than its tags, its label, its ARP or its IP header, or than the length in that.
// One without an Ethernet header is a matter of its own: see deviation short-packet-out.
func cutShort(b []byte) bool {
	for b = b[min(12, len(b)):]; len(b) >= 2; b = b[4:] {
		rest := b[2:]
		switch binary.BigEndian.Uint16(b) {
		case 0x8100, 0x88a8:
			if len(rest) < 4 {
				return true
			}
			continue
		case 0x0800:
			return len(rest) < 20 || int(binary.BigEndian.Uint16(rest[2:])) > len(rest)
		case 0x86dd:
			return len(rest) < 40 || 40+int(binary.BigEndian.Uint16(rest[4:])) > len(rest)
		case 0x0806:
			return len(rest) < 28
		case 0x8847, 0x8848:
			return len(rest) < 4
		}
		return false
	}
	return false
}
