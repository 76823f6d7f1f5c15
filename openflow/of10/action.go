package of10

import (
	"iter"
	"math/bits"

	"github.com/weirswitch/weir/openflow"
)

// The actions of OpenFlow 1.0 itself.
const (
	actOutput     = 0
	actSetVLANVID = 1
	actSetVLANPCP = 2
	actStripVLAN  = 3
	actSetDLSrc   = 4
	actSetDLDst   = 5
	actSetNWSrc   = 6
	actSetNWDst   = 7
	actSetNWTOS   = 8
	actSetTPSrc   = 9
	actSetTPDst   = 10
	actEnqueue    = 11
	actVendor     = 0xffff

	// standardActions is the bitmap of them all, for FEATURES_REPLY.
	standardActions = 1<<(actEnqueue+1) - 1
)

// Nicira's actions that exist because 1.0 lacks what 1.3 has. The others are the same in both, and
// package openflow knows them.
const (
	nxSetTunnel     = 2
	nxSetQueue      = 4
	nxRegMove       = 6
	nxRegLoad       = 7
	nxSetTunnel64   = 9
	nxDecTTL        = 18
	nxDecTTLIDs     = 21
	nxWriteMetadata = 22
	nxPushMPLS      = 23
	nxPopMPLS       = 24
	nxSetMPLSTTL    = 25
	nxDecMPLSTTL    = 26
	nxSetMPLSLabel  = 30
	nxSetMPLSTC     = 31
	nxGroup         = 40
)

func actionError(code uint16, format string, args ...any) *openflow.Error {
	return openflow.Errorf(openflow.ErrBadAction, code, format, args...)
}

// tagged is what is known of a frame at some place in a list of actions.
type tagged uint8

const (
	tagUnknown tagged = iota
	tagNo
	tagYes
)

// actionReader turns a list of actions of 1.0 into 1.3's.
type actionReader struct {
	list  []byte // in the form of 1.3
	tag   tagged
	proto uint8
	ipv6  bool
}

// decodeActions reads a list. The match says which fields tp_src and tp_dst are, and whether a frame has
// a tag already.
func (s *Session) decodeActions(b []byte, m openflow.Match) (*actionReader, error) {
	if s.keep {
		s.said = append(s.said, b)
	}
	r := &actionReader{}
	for f := range m.All() {
		switch f.ID {
		case openflow.IPProto:
			r.proto = uint8(f.Value.Uint64())
		case openflow.EthType:
			r.ipv6 = f.Value.Uint64() == 0x86dd
		case openflow.VLANVID:
			if f.Mask.Uint64()&openflow.VIDPresent != 0 {
				r.tag = tagNo
				if f.Value.Uint64()&openflow.VIDPresent != 0 {
					r.tag = tagYes
				}
			}
		}
	}
	for len(b) > 0 {
		if len(b) < 8 {
			return nil, actionError(openflow.BACBadLen, "%d bytes left, an action needs 8", len(b))
		}
		n := int(u16(b, 2))
		if n < 8 || n%8 != 0 || n > len(b) {
			return nil, actionError(openflow.BACBadLen, "action %d says %d bytes: expected a multiple of 8, at most the %d left", u16(b, 0), n, len(b))
		}
		if err := r.read(b[:n:n]); err != nil {
			return nil, err
		}
		b = b[n:]
	}
	return r, nil
}

// actions is the list that was read, judged as one of 1.3.
func (r *actionReader) actions() (openflow.Actions, error) { return openflow.DecodeActions(r.list) }

func (r *actionReader) add(a openflow.Action) {
	r.list = append(r.list, openflow.NewActions(a).Bytes()...)
}

func (r *actionReader) set(id openflow.FieldID, v uint64) { r.add(openflow.SetField(id, v)) }

// tagFirst makes sure that a frame has a tag.
func (r *actionReader) tagFirst() {
	if r.tag != tagYes {
		r.add(openflow.Action{Type: openflow.ActionPushVLAN, EtherType: 0x8100, IfUntagged: r.tag == tagUnknown})
	}
	r.tag = tagYes
}

// read takes one action, whose length is a multiple of eight.
func (r *actionReader) read(b []byte) error {
	t := u16(b, 0)
	if t == actVendor {
		return r.readVendor(b)
	}
	size := 8
	if t == actSetDLSrc || t == actSetDLDst || t == actEnqueue {
		size = 16
	}
	if t > actEnqueue {
		return actionError(openflow.BACBadType, "no action %d in OpenFlow 1.0", t)
	}
	if len(b) != size {
		return actionError(openflow.BACBadLen, "action %d of %d bytes, expected %d", t, len(b), size)
	}
	switch t {
	case actOutput:
		return r.output(u16(b, 4), u16(b, 6))
	case actSetVLANVID:
		vid := u16(b, 4)
		if vid > 0xfff {
			return actionError(openflow.BACBadArgument, "VLAN %d, the highest is 4095", vid)
		}
		r.tagFirst()
		r.set(openflow.VLANVID, uint64(vid)|openflow.VIDPresent)
	case actSetVLANPCP:
		if b[4] > 7 {
			return actionError(openflow.BACBadArgument, "VLAN priority %d, the highest is 7", b[4])
		}
		r.tagFirst()
		r.set(openflow.VLANPCP, uint64(b[4]))
	case actStripVLAN:
		r.add(openflow.Action{Type: openflow.ActionPopVLAN})
		r.tag = tagUnknown // there may be another one below
	case actSetDLSrc:
		r.set(openflow.EthSrc, u64(b, 2)&(1<<48-1))
	case actSetDLDst:
		r.set(openflow.EthDst, u64(b, 2)&(1<<48-1))
	case actSetNWSrc:
		r.set(openflow.IPv4Src, uint64(u32(b, 4)))
	case actSetNWDst:
		r.set(openflow.IPv4Dst, uint64(u32(b, 4)))
	case actSetNWTOS:
		if b[4]&3 != 0 {
			return actionError(openflow.BACBadArgument, "nw_tos 0x%x: the two low bits are ECN's", b[4])
		}
		r.set(openflow.IPDSCP, uint64(b[4]>>2))
	case actSetTPSrc, actSetTPDst:
		r.setTransport(t == actSetTPDst, u16(b, 4))
	case actEnqueue:
		r.add(openflow.Action{Type: openflow.ActionSetQueue, Queue: u32(b, 12)})
		if err := r.output(u16(b, 4), 0); err != nil {
			return err
		}
		r.add(openflow.Action{Type: openflow.NXPopQueue})
	}
	return nil
}

func (r *actionReader) output(port, maxLen uint16) error {
	r.add(openflow.Action{Type: openflow.ActionOutput, Port: widen(port), MaxLen: maxLen})
	if port == 0 || port == portNone || port >= portMax && port < 0xfff8 {
		return actionError(openflow.BACBadOutPort, "output to port 0x%04x: not a port one can send to", port)
	}
	return nil
}

// setTransport names the port by the protocol of the match. Without one it names them all: a frame has
// at most one of them, and lacks the others.
func (r *actionReader) setTransport(isDst bool, v uint16) {
	src, dst, ok := transport(r.proto, r.ipv6)
	if ok && src != openflow.ICMPv4Type {
		if isDst {
			src = dst
		}
		r.set(src, uint64(v))
		return
	}
	for _, id := range [...]openflow.FieldID{openflow.TCPSrc, openflow.UDPSrc, openflow.SCTPSrc} {
		if isDst {
			id++
		}
		r.set(id, uint64(v))
	}
}

// readVendor takes a vendor's action.
func (r *actionReader) readVendor(b []byte) error {
	if vendor := u32(b, 4); vendor != openflow.ExperimenterNicira {
		return actionError(openflow.BACBadExperimenter, "no actions of vendor 0x%08x", vendor)
	}
	if len(b) < 16 {
		return actionError(openflow.BACBadLen, "Nicira action of %d bytes, expected 16 or more", len(b))
	}
	subtype := u16(b, 8)
	if size, ok := nxSizes[subtype]; ok && len(b) != size {
		return actionError(openflow.BACBadLen, "Nicira action %d of %d bytes, expected %d", subtype, len(b), size)
	}
	switch subtype {
	case nxSetTunnel:
		r.set(openflow.TunnelID, uint64(u32(b, 12)))
	case nxSetTunnel64:
		r.set(openflow.TunnelID, u64(b, 16))
	case nxSetQueue:
		r.add(openflow.Action{Type: openflow.ActionSetQueue, Queue: u32(b, 12)})
	case nxDecTTL, nxDecTTLIDs:
		r.add(openflow.Action{Type: openflow.ActionDecNwTTL})
	case nxWriteMetadata:
		r.writeMetadata(u64(b, 16), u64(b, 24))
	case nxPushMPLS:
		r.add(openflow.Action{Type: openflow.ActionPushMPLS, EtherType: u16(b, 10)})
	case nxPopMPLS:
		r.add(openflow.Action{Type: openflow.ActionPopMPLS, EtherType: u16(b, 10)})
	case nxSetMPLSTTL:
		r.add(openflow.Action{Type: openflow.ActionSetMPLSTTL, TTL: b[10]})
	case nxDecMPLSTTL:
		r.add(openflow.Action{Type: openflow.ActionDecMPLSTTL})
	case nxSetMPLSLabel:
		r.set(openflow.MPLSLabel, uint64(u32(b, 12)))
	case nxSetMPLSTC:
		r.set(openflow.MPLSTC, uint64(b[10]))
	case nxGroup:
		r.add(openflow.Group(u32(b, 12)))
	case nxRegLoad:
		return r.readLoad(b)
	default:
		return r.readShared(b)
	}
	return nil
}

// writeMetadata is an action here and has its place among the others: a resubmit behind it sees what it
// wrote. 1.3 has it as an instruction, which comes last, so it becomes a load for each run of bits.
func (r *actionReader) writeMetadata(v, mask uint64) {
	for ofs, n := range runs(mask) {
		dst := openflow.SubField{ID: openflow.Metadata, Offset: ofs, Bits: n}
		r.add(openflow.Action{Type: openflow.NXLoad, Dst: dst, Load: v >> ofs & (^uint64(0) >> (64 - n))})
	}
}

// runs yields the runs of ones in a mask: where each begins, and how long it is.
func runs(mask uint64) iter.Seq2[uint16, uint16] {
	return func(yield func(ofs, n uint16) bool) {
		for mask != 0 {
			ofs := bits.TrailingZeros64(mask)
			n := bits.TrailingZeros64(^(mask >> ofs))
			if !yield(uint16(ofs), uint16(n)) {
				return
			}
			mask &^= ^uint64(0) >> (64 - n) << ofs
		}
	}
}

// nxSizes are the lengths of the actions that readVendor decodes itself.
var nxSizes = map[uint16]int{
	nxSetTunnel: 16, nxSetQueue: 16, nxSetTunnel64: 24, nxDecTTL: 16, nxWriteMetadata: 32, nxPushMPLS: 16, nxPopMPLS: 16,
	nxSetMPLSTTL: 16, nxDecMPLSTTL: 16, nxSetMPLSLabel: 16, nxSetMPLSTC: 16, nxGroup: 16, nxRegLoad: 24,
}

// readShared takes an action that is the same in 1.3, as it is; actions judges it.
func (r *actionReader) readShared(b []byte) error {
	r.list = append(r.list, b...)
	return nil
}

// readLoad takes a load, whose destination may have a name that only NXM has.
func (r *actionReader) readLoad(b []byte) error {
	name, ofs, bits, v := u32(b, 12), u16(b, 10)>>6, u16(b, 10)&0x3f+1, u64(b, 16)
	switch name >> 9 {
	case nxmVLANTCI:
		return r.loadTCI(ofs, bits, v)
	case nxmIPTOS:
		switch {
		case ofs == 0 && bits == 8:
			ofs, bits, v = 2, 6, v>>2
		case ofs < 2 || ofs+bits > 8:
			return actionError(openflow.BACBadSetLen, "load into bits %d to %d of nw_tos: expected some of 2 to 7", ofs, ofs+bits-1)
		}
		r.add(openflow.Action{Type: openflow.NXLoad, Dst: openflow.SubField{ID: openflow.IPDSCP, Offset: ofs - 2, Bits: bits}, Load: v})
		return nil
	}
	return r.readShared(b)
}

// loadTCI takes a load into a tag's 16 bits. The parts that are no whole field have no use and no word.
func (r *actionReader) loadTCI(ofs, bits uint16, v uint64) error {
	switch {
	case bits < 64 && v>>bits != 0:
		return actionError(openflow.BACBadArgument, "load of 0x%x into %d bits", v, bits)
	case ofs == 0 && bits == 16 && v == 0:
		r.add(openflow.Action{Type: openflow.ActionPopVLAN})
		r.tag = tagUnknown
	case ofs == 0 && bits == 16 && v&openflow.VIDPresent != 0:
		r.tagFirst()
		r.set(openflow.VLANVID, v&0x1fff)
		r.set(openflow.VLANPCP, v>>13)
	case ofs == 0 && bits == 12, ofs == 0 && bits == 13 && v&openflow.VIDPresent != 0:
		r.tagFirst()
		r.set(openflow.VLANVID, v|openflow.VIDPresent)
	case ofs == 13 && bits == 3:
		r.tagFirst()
		r.set(openflow.VLANPCP, v)
	default:
		return actionError(openflow.BACBadSetArgument, "load of 0x%x into bits %d to %d of vlan_tci: expected the VLAN, the priority, or a whole tag", v, ofs, ofs+bits-1)
	}
	return nil
}
