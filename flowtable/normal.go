// Hot path: the learning switch behind output:NORMAL, VLANs in Open vSwitch's words.

package flowtable

import (
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
)

const (
	vidMask     = 0x0fff
	tpidVLAN    = 0x8100
	groupBit    = 1 << 40        // of an address's 48 bits
	reservedMAC = 0x0180c2000000 // 802.1D's 16 addresses that stay on their link
	reservedLen = 0x0f           // bits within them
)

// normal forwards f as a transparent bridge does:
//
//  1. which VLAN is it in, by its tag and the port it came from;
//  2. learn its source;
//  3. a known destination: there, and nowhere else;
//  4. otherwise to every port of the VLAN that floods, but the one it came from;
//  5. each port gets it with or without a tag, as the port is configured.
//
// last says that nothing looks at f afterwards, so that it may be changed in place.
func (pr *Processor) normal(f *packet.Frame, last bool) {
	dst, src := f.Key[1]>>16, f.Key[2]>>16
	if dst&^reservedLen == reservedMAC && !pr.p.macs.reserved.Load() {
		pr.drops[DropReserved]++
		return
	}
	in := pr.snap.ports.get(f.InPort)
	vlan, ok := arrival(in, uint16(f.Key[0]))
	if !ok {
		pr.drops[DropVLAN]++
		return
	}
	damped := false
	if in != nil && src&groupBit == 0 && src != 0 {
		s := pr.p.macs.learn(newMACKey(src, vlan), in.no, pr.now)
		damped = s != nil && s.port.Load() != in.no && pr.now < time.Duration(s.hold.Load())
	}
	if dst&groupBit == 0 {
		if to := pr.whereIs(dst, vlan); to != nil {
			pr.deliver(f, to, vlan, last)
			return
		}
	}
	if damped {
		pr.drops[DropLoop]++
		return
	}
	pr.spread(f, in, vlan)
}

// whereIs is the port of a known address, nil if there is none that could take a frame.
func (pr *Processor) whereIs(mac uint64, vlan uint16) *port {
	s := pr.p.macs.find(newMACKey(mac, vlan))
	if s == nil || !s.live(pr.now, pr.p.macs.maxAge()) {
		return nil
	}
	to := pr.snap.ports.get(s.port.Load())
	if to == nil || to.down {
		return nil
	}
	return to
}

// arrival is the VLAN that a frame with this tag control word (bit 12: there is a tag) belongs to.
// A frame from no port (PACKET_OUT) counts as one from a plain trunk.
func arrival(in *port, tci uint16) (vlan uint16, ok bool) {
	vid := tci & vidMask
	if tci&packet.VLANPresent == 0 {
		vid = 0
	}
	if in == nil {
		return vid, true
	}
	switch in.mode {
	case VLANAccess:
		return in.tag, vid == 0
	case VLANNativeTagged, VLANNativeUntagged:
		if vid == 0 {
			vid = in.tag
		}
	}
	return vid, in.has(vid)
}

// tagged reports whether frames of a VLAN leave this port with a tag.
func (p *port) tagged(vlan uint16) bool {
	switch p.mode {
	case VLANAccess:
		return false
	case VLANNativeUntagged:
		return vlan != 0 && vlan != p.tag
	}
	return vlan != 0
}

// asItCame reports whether a frame with this tag control word already has the form it needs. A
// priority tag (VID 0) stays where a frame leaves without a VLAN.
func asItCame(tci, vlan uint16, tagged bool) bool {
	has := tci&packet.VLANPresent != 0 && tci&vidMask != 0
	if !tagged {
		return !has
	}
	return has && tci&vidMask == vlan
}

// deliver sends f to the one port that leads to its destination.
func (pr *Processor) deliver(f *packet.Frame, to *port, vlan uint16, last bool) {
	if to.no == f.InPort {
		pr.drops[DropSamePort]++
		return
	}
	if !to.has(vlan) {
		pr.drops[DropVLAN]++
		return
	}
	if tagged := to.tagged(vlan); !asItCame(uint16(f.Key[0]), vlan, tagged) {
		if f = pr.variant(f, vlan, tagged, last); f == nil {
			return
		}
	}
	pr.send(f, to)
}

// spread floods: first the form that f has, to whoever takes it so, then the other form.
func (pr *Processor) spread(f *packet.Frame, in *port, vlan uint16) {
	tci := uint16(f.Key[0])
	var other *packet.Frame
	for i := range pr.snap.ports.list {
		to := &pr.snap.ports.list[i]
		if to == in || !to.flood || !to.has(vlan) {
			continue
		}
		tagged := to.tagged(vlan)
		if asItCame(tci, vlan, tagged) {
			pr.send(f, to)
			continue
		}
		if other == nil {
			if other = pr.variant(f, vlan, tagged, false); other == nil {
				return
			}
		}
		pr.send(other, to)
	}
}

// variant is f with the tag that it lacks, or without the one that it has.
func (pr *Processor) variant(f *packet.Frame, vlan uint16, tagged, inPlace bool) *packet.Frame {
	if !inPlace || f.Held {
		if f = pr.copyOf(f); f == nil {
			return nil
		}
	}
	if !tagged {
		f.PopVLAN()
		return f
	}
	if f.Key[0]&packet.VLANPresent == 0 {
		f.PushVLAN(tpidVLAN)
	}
	f.SetField(packet.VLANVID, 0, uint64(vlan)|packet.VLANPresent)
	return f
}
