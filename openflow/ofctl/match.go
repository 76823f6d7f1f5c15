package ofctl

import (
	"fmt"
	"strconv"

	"github.com/weirswitch/weir/openflow"
)

// DefaultPriority is the priority that is not printed.
const DefaultPriority = 0x8000

// Match is the text of a match alone; an empty match is the empty string.
func Match(m openflow.Match) string { return string(AppendMatch(nil, m, DefaultPriority)) }

// AppendMatch writes a priority, unless it is DefaultPriority, and the fields of m in ovs-ofctl's
// order, which is not the order of the message.
func AppendMatch(b []byte, m openflow.Match, priority uint16) []byte {
	return noNames.appendMatch(b, m, priority)
}

func (n *Names) appendMatch(b []byte, m openflow.Match, priority uint16) []byte {
	w := newMatchWriter(b, m)
	w.names = n
	if priority != DefaultPriority {
		w.sep()
		w.b = strconv.AppendUint(append(w.b, "priority="...), uint64(priority), 10)
	}
	w.put(openflow.PktMark, openflow.ActsetOutput)
	w.protocol()
	w.registers()
	w.put(openflow.TunnelID, openflow.Metadata, openflow.InPort, openflow.InPhyPort)
	w.vlan()
	w.put(openflow.EthSrc, openflow.EthDst)
	if !w.typeSaid {
		w.put(openflow.EthType)
	}
	w.put(openflow.PBBISID, openflow.PBBUCA)
	w.put(openflow.IPv6Src, openflow.IPv6Dst, openflow.IPv6FLabel, openflow.IPv6ExtHdr,
		openflow.ARPSPA, openflow.ARPTPA, openflow.IPv4Src, openflow.IPv4Dst)
	if !w.protoSaid {
		w.put(openflow.IPProto)
	}
	w.put(openflow.ARPOp, openflow.ARPSHA, openflow.ARPTHA)
	w.tos()
	w.put(openflow.IPECN, openflow.IPTTL, openflow.MPLSLabel, openflow.MPLSTC, openflow.MPLSTTL,
		openflow.MPLSBOS, openflow.NwFrag)
	w.put(openflow.ICMPv4Type, openflow.ICMPv4Code, openflow.ICMPv6Type, openflow.ICMPv6Code,
		openflow.NDTarget, openflow.NDSLL, openflow.NDTLL)
	w.put(openflow.TCPSrc, openflow.TCPDst, openflow.UDPSrc, openflow.UDPDst, openflow.SCTPSrc, openflow.SCTPDst,
		openflow.TCPFlags)
	return w.b
}

// matchWriter has the fields of one match by their id.
type matchWriter struct {
	b                   []byte
	names               *Names
	start               int
	fields              [openflow.NumFields]openflow.Field
	has                 [openflow.NumFields]bool
	typeSaid, protoSaid bool // the protocol word says eth_type, ip_proto
}

func newMatchWriter(b []byte, m openflow.Match) *matchWriter {
	w := &matchWriter{b: b, start: len(b)}
	for f := range m.All() {
		w.fields[f.ID], w.has[f.ID] = f, true
	}
	return w
}

func (w *matchWriter) sep() {
	if len(w.b) > w.start {
		w.b = append(w.b, ',')
	}
}

// put writes the fields that are there.
func (w *matchWriter) put(ids ...openflow.FieldID) {
	for _, id := range ids {
		if !w.has[id] {
			continue
		}
		wd := wordOf(id)
		w.sep()
		w.b = append(append(w.b, wd.match...), '=')
		w.b = w.names.appendValue(w.b, w.fields[id], wd.form)
	}
}

// protocol writes the one word that stands for eth_type and perhaps ip_proto.
func (w *matchWriter) protocol() {
	if !w.has[openflow.EthType] {
		return
	}
	var name string
	switch w.fields[openflow.EthType].Value.Uint64() {
	case 0x0800:
		name = w.transport("ip", "icmp", 1, "")
	case 0x86dd:
		name = w.transport("ipv6", "icmp6", 58, "6")
	case 0x0806:
		name = "arp"
	case 0x8035:
		name = "rarp"
	case 0x8847:
		name = "mpls"
	case 0x8848:
		name = "mplsm"
	default:
		return
	}
	w.typeSaid = true
	w.sep()
	w.b = append(w.b, name...)
}

func (w *matchWriter) transport(ip, icmp string, icmpProto uint64, suffix string) string {
	if !w.has[openflow.IPProto] {
		return ip
	}
	w.protoSaid = true
	switch w.fields[openflow.IPProto].Value.Uint64() {
	case icmpProto:
		return icmp
	case 6:
		return "tcp" + suffix
	case 17:
		return "udp" + suffix
	case 132:
		return "sctp" + suffix
	}
	w.protoSaid = false
	return ip
}

// registers writes reg0 to reg15; a pair matched as an xreg is split, as the values are the same bits.
func (w *matchWriter) registers() {
	for i := openflow.FieldID(0); i < 8; i++ {
		if !w.has[openflow.XReg0+i] {
			continue
		}
		x := w.fields[openflow.XReg0+i]
		w.half(openflow.Reg0+2*i, x.Value.Uint64()>>32, x.Mask.Uint64()>>32)
		w.half(openflow.Reg0+2*i+1, x.Value.Uint64()&0xffffffff, x.Mask.Uint64()&0xffffffff)
	}
	for id := openflow.Reg0; id <= openflow.Reg15; id++ {
		w.put(id)
	}
}

func (w *matchWriter) half(id openflow.FieldID, v, mask uint64) {
	if mask == 0 || w.has[id] {
		return
	}
	w.has[id], w.fields[id] = true, openflow.Exact(id, v)
	if mask != 0xffffffff {
		w.fields[id] = openflow.WithMask(id, v, mask)
	}
}

// vlan writes the tag: dl_vlan and dl_vlan_pcp when whole, else vlan_tci with a mask. vlan_tci is the
// 16-bit tag control word with the present bit where the header has DEI.
func (w *matchWriter) vlan() {
	const vidBits, pcpBits = 0x0fff, 0xe000
	var tci, mask uint64
	if w.has[openflow.VLANVID] {
		f := w.fields[openflow.VLANVID]
		tci, mask = f.Value.Uint64(), f.Mask.Uint64()&0x1fff
	}
	if w.has[openflow.VLANPCP] {
		tci |= w.fields[openflow.VLANPCP].Value.Uint64() << 13
		mask |= pcpBits
	}
	if mask == 0 {
		return
	}
	vid, pcp := mask&vidBits, mask&pcpBits
	whole := (vid == 0 || vid == vidBits) && vid|pcp != 0
	if mask&tci&openflow.VIDPresent != 0 && whole {
		if vid != 0 {
			w.sep()
			w.b = fmt.Appendf(w.b, "dl_vlan=%d", tci&vidBits)
		}
		if pcp != 0 {
			w.sep()
			w.b = fmt.Appendf(w.b, "dl_vlan_pcp=%d", tci>>13)
		}
		return
	}
	w.sep()
	w.b = fmt.Appendf(w.b, "vlan_tci=0x%04x", tci)
	if mask != 0xffff {
		w.b = fmt.Appendf(w.b, "/0x%04x", mask)
	}
}

// tos writes DSCP where the byte has it: shifted left by two.
func (w *matchWriter) tos() {
	if w.has[openflow.IPDSCP] {
		w.sep()
		w.b = fmt.Appendf(w.b, "nw_tos=%d", w.fields[openflow.IPDSCP].Value.Uint64()<<2)
	}
}
