// Slow path: what the engine knows of a port.

package flowtable

import (
	"fmt"
	"slices"

	"github.com/weirswitch/weir/openflow"
)

// Port is one port as the pipeline sees it. The agent gives the whole list to SetPorts after each
// change of a port, its link or its configuration.
type Port struct {
	No      uint32              // OpenFlow number: 1 to 0xfeff, or PortLocal
	Config  openflow.PortConfig // OFPPC bits of section 7.2.1, as PORT_MOD sets them
	LinkUp  bool                // the device exists and has a carrier
	NoFlood bool                // FLOOD and the flooding of NORMAL leave this port out
	VLAN    VLANConfig          // how output:NORMAL treats tags here; nothing else looks at it
}

// VLANMode is how a port takes part in VLANs, in the words of Open vSwitch's Port table.
type VLANMode uint8

// The modes. The zero value carries every VLAN as it comes.
const (
	VLANTrunk          VLANMode = iota // frames of the trunked VLANs, tagged; untagged ones are VLAN 0
	VLANAccess                         // untagged frames, all in VLAN Tag
	VLANNativeTagged                   // a trunk; untagged arrivals belong to Tag, which leaves tagged
	VLANNativeUntagged                 // a trunk; untagged arrivals belong to Tag, which leaves untagged
)

// String is the mode's word in the configuration.
func (m VLANMode) String() string {
	words := [...]string{"trunk", "access", "native-tagged", "native-untagged"}
	if int(m) < len(words) {
		return words[m]
	}
	return fmt.Sprintf("VLANMode(%d)", uint8(m))
}

// VLANConfig says which VLANs a port carries under output:NORMAL and which of them with a tag.
type VLANConfig struct {
	Mode   VLANMode
	Tag    uint16   // the access or native VLAN, 0 to 4095
	Trunks []uint16 // VLANs a trunk carries; empty means all. The native VLAN is always among them
}

// vlanSet is one bit for each of the 4096 VLANs.
type vlanSet [64]uint64

func (s *vlanSet) add(v uint16)      { s[v>>6&63] |= 1 << (v & 63) }
func (s *vlanSet) has(v uint16) bool { return s[v>>6&63]>>(v&63)&1 != 0 }

// port is Port in the form that forwarding asks: flags instead of words.
type port struct {
	no      uint32
	recv    bool // frames may come in
	send    bool // frames may go out
	down    bool // no link, or PORT_DOWN: no station can be behind it
	flood   bool // send, and among the ports that FLOOD means
	missIn  bool // a table miss of a frame from here may become a packet-in
	mode    VLANMode
	tag     uint16
	carries *vlanSet // nil: every VLAN
}

// newPort derives the flags. Section 7.2.1: PORT_DOWN is down both ways; NO_RECV and NO_FWD are
// one way each; a port without link sends nothing.
func newPort(p *Port) port {
	down := portDown(p)
	out := port{
		no:     p.No,
		recv:   p.Config&(openflow.PortDown|openflow.PortNoRecv) == 0,
		down:   down,
		send:   !down && p.Config&openflow.PortNoFwd == 0,
		missIn: p.Config&openflow.PortNoPacketIn == 0,
		mode:   p.VLAN.Mode,
		tag:    p.VLAN.Tag & 0xfff,
	}
	out.flood = out.send && !p.NoFlood
	out.carries = p.VLAN.carried()
	return out
}

// carried is the VLANs of a trunk, nil for all. Beside a native VLAN there is no VLAN 0: without a tag its frames would
// be frames of the native one to the neighbour.
func (c *VLANConfig) carried() *vlanSet {
	native := c.Mode == VLANNativeTagged || c.Mode == VLANNativeUntagged
	if c.Mode == VLANAccess || len(c.Trunks) == 0 && !(native && c.Tag != 0) {
		return nil
	}
	set := new(vlanSet)
	for _, v := range c.Trunks {
		set.add(v & 0xfff)
	}
	if len(c.Trunks) == 0 {
		for i := range set {
			set[i] = ^uint64(0)
		}
	}
	if native {
		set[0] &^= 1
		set.add(c.Tag & 0xfff)
	}
	return set
}

// has reports whether the port carries frames of a VLAN under output:NORMAL.
func (p *port) has(vlan uint16) bool {
	if p.mode == VLANAccess {
		return vlan == p.tag
	}
	return p.carries == nil || p.carries.has(vlan)
}

// portSet is the published list of ports. Immutable.
type portSet struct {
	list  []port  // ascending numbers
	index []int32 // number -> place in list plus one; as long as the highest ordinary number
	local int32   // the same for PortLocal
}

// newPortSet takes ports in the order of their numbers.
func newPortSet(ports []Port) *portSet {
	s := &portSet{list: make([]port, 0, len(ports))}
	for i := range ports {
		s.list = append(s.list, newPort(&ports[i]))
	}
	for i := range s.list {
		no := s.list[i].no
		switch {
		case no == uint32(openflow.PortLocal):
			s.local = int32(i + 1)
		case no < maxPorts:
			if int(no) >= len(s.index) {
				s.index = append(s.index, make([]int32, int(no)+1-len(s.index))...)
			}
			s.index[no] = int32(i + 1)
		}
	}
	return s
}

// maxPorts bounds ordinary port numbers: ovs-ofctl cannot read 0xff00 and above.
const maxPorts = 0xff00

// get is nil for a number that no port has.
func (s *portSet) get(no uint32) *port {
	at := int32(0)
	if int64(no) < int64(len(s.index)) {
		at = s.index[no]
	} else if no == uint32(openflow.PortLocal) {
		at = s.local
	}
	if at == 0 {
		return nil
	}
	return &s.list[at-1]
}

func portDown(p *Port) bool { return !p.LinkUp || p.Config&openflow.PortDown != 0 }

func (c *VLANConfig) equal(o *VLANConfig) bool {
	return c.Mode == o.Mode && c.Tag == o.Tag && slices.Equal(c.Trunks, o.Trunks)
}
