package openflow

import "fmt"

// The group numbers with a meaning of their own (section 7.3.4.2).
const (
	GroupMax uint32 = 0xffffff00 // the highest number a group may have
	GroupAll uint32 = 0xfffffffc // every group, in deletes and requests
	GroupAny uint32 = 0xffffffff // no restriction to a group, in requests about flows
)

// GroupCommand says what GROUP_MOD does.
type GroupCommand uint16

// The commands.
const (
	GroupAdd GroupCommand = iota
	GroupModify
	GroupDelete

	// GroupAddOrModify is Open vSwitch's own: MODIFY if the group is there, else ADD. The specification has no word for it
	// in any version.
	GroupAddOrModify GroupCommand = 0x8000
)

// known reports a command that there is.
func (c GroupCommand) known() bool { return c <= GroupDelete || c == GroupAddOrModify }

// GroupType says how a group chooses among its buckets (section 5.6.1).
type GroupType uint8

// The types.
const (
	GroupTypeAll GroupType = iota
	GroupTypeSelect
	GroupTypeIndirect
	GroupTypeFastFailover
)

func (c GroupCommand) String() string {
	if c == GroupAddOrModify {
		return "ADD_OR_MOD"
	}
	return enumName(int(c), "ADD", "MODIFY", "DELETE")
}

func (t GroupType) String() string { return enumName(int(t), "all", "select", "indirect", "ff") }

// Bucket is one choice of a group. Its Actions share the message's memory after Decode.
type Bucket struct {
	Weight     uint16 // select groups
	WatchPort  PortNo // PortAny: none
	WatchGroup uint32 // GroupAny: none
	Actions    Actions
}

// GroupMod adds, changes or deletes a group (section 7.3.4.2).
type GroupMod struct {
	Command GroupCommand
	Type    GroupType
	Group   uint32
	Buckets []Bucket
}

// MsgType is TypeGroupMod.
func (*GroupMod) MsgType() Type { return TypeGroupMod }

func (m *GroupMod) String() string {
	return fmt.Sprintf("GROUP_MOD %s group=%d type=%s%s", m.Command, m.Group, m.Type, bucketsText(m.Buckets))
}

func bucketsText(list []Bucket) (s string) {
	for i := range list {
		b := &list[i]
		s += fmt.Sprintf(" bucket(weight=%d watch_port=%s watch_group=0x%x actions=%s)", b.Weight, b.WatchPort, b.WatchGroup, b.Actions)
	}
	return s
}

func (m *GroupMod) appendBody(b []byte) []byte {
	b = append32(append(append16(b, uint16(m.Command)), uint8(m.Type), 0), m.Group)
	return appendBuckets(b, m.Buckets)
}

func appendBuckets(b []byte, list []Bucket) []byte {
	for i := range list {
		k := &list[i]
		b = append16(append16(b, uint16(16+len(k.Actions.b))), k.Weight)
		b = appendZeros(append32(append32(b, uint32(k.WatchPort)), k.WatchGroup), 4)
		b = append(b, k.Actions.b...)
	}
	return b
}

func decodeGroupMod(b []byte) (Message, error) {
	if len(b) < 16 {
		return nil, badLen("GROUP_MOD", len(b), 16)
	}
	if len(b) > MaxMessage-8 {
		return nil, Errorf(ErrBadRequest, BRCBadLen, "a group of %d bytes would not fit a GROUP_DESC reply, the limit is %d", len(b), MaxMessage-8)
	}
	m := &GroupMod{Command: GroupCommand(u16(b, 8)), Type: GroupType(b[10]), Group: u32(b, 12)}
	if !m.Command.known() {
		return nil, Errorf(ErrGroupModFailed, GMFCBadCommand, "command %d, the highest is %d", uint16(m.Command), GroupDelete)
	}
	if m.Type > GroupTypeFastFailover {
		return nil, Errorf(ErrGroupModFailed, GMFCBadType, "group type %d, the highest is %d", uint8(m.Type), GroupTypeFastFailover)
	}
	var err error
	m.Buckets, err = readBuckets(b[16:])
	return m, err
}

func readBuckets(b []byte) (list []Bucket, err error) {
	for len(b) > 0 {
		n := 0
		if len(b) >= 16 {
			n = int(u16(b, 0))
		}
		if n < 16 || n%8 != 0 || n > len(b) {
			return nil, Errorf(ErrGroupModFailed, GMFCBadBucket, "bucket says %d bytes: expected a multiple of 8 from 16 to the %d left", n, len(b))
		}
		k := Bucket{Weight: u16(b, 2), WatchPort: PortNo(u32(b, 4)), WatchGroup: u32(b, 8)}
		if n > 16 {
			k.Actions.b = b[16:n:n]
		}
		if err := checkActions(k.Actions.b); err != nil {
			return nil, err
		}
		k.Actions.unmark()
		list = append(list, k)
		b = b[n:]
	}
	return list, nil
}

// GroupStatsRequest asks for the counters of a group, or of all (GroupAll).
type GroupStatsRequest struct{ Group uint32 }

func (r *GroupStatsRequest) appendRecord(b []byte) []byte {
	return appendZeros(append32(b, r.Group), 4)
}

// BucketStats are the counters of one bucket.
type BucketStats struct{ PacketCount, ByteCount uint64 }

// GroupStats are the counters of one group (section 7.3.5.9).
type GroupStats struct {
	Group                     uint32
	RefCount                  uint32 // flows and groups that name it
	PacketCount, ByteCount    uint64
	DurationSec, DurationNsec uint32
	Buckets                   []BucketStats
}

func (s *GroupStats) appendRecord(b []byte) []byte {
	b = appendZeros(append16(b, uint16(40+16*len(s.Buckets))), 2)
	b = appendZeros(append32(append32(b, s.Group), s.RefCount), 4)
	b = append64(append64(b, s.PacketCount), s.ByteCount)
	b = append32(append32(b, s.DurationSec), s.DurationNsec)
	for _, k := range s.Buckets {
		b = append64(append64(b, k.PacketCount), k.ByteCount)
	}
	return b
}

func readGroupStats(b []byte) (Record, error) {
	s := &GroupStats{Group: u32(b, 4), RefCount: u32(b, 8), PacketCount: u64(b, 16), ByteCount: u64(b, 24), DurationSec: u32(b, 32), DurationNsec: u32(b, 36)}
	if (len(b)-40)%16 != 0 {
		return nil, badLen("group statistics", len(b), 40+(len(b)-40)/16*16)
	}
	for b = b[40:]; len(b) > 0; b = b[16:] {
		s.Buckets = append(s.Buckets, BucketStats{u64(b, 0), u64(b, 8)})
	}
	return s, nil
}

func (s *GroupStats) String() string {
	return fmt.Sprintf("group=%d refs=%d packets=%d bytes=%d duration=%d.%09ds buckets=%v", s.Group, s.RefCount, s.PacketCount, s.ByteCount, s.DurationSec, s.DurationNsec, s.Buckets)
}

// GroupDesc gives a group back as it was made (section 7.3.5.10).
type GroupDesc struct {
	Type    GroupType
	Group   uint32
	Buckets []Bucket
}

func (d *GroupDesc) appendRecord(b []byte) []byte {
	start := len(b)
	b = append32(append(append16(b, 0), uint8(d.Type), 0), d.Group)
	b = appendBuckets(b, d.Buckets)
	put16(b, start, uint16(len(b)-start))
	return b
}

func readGroupDesc(b []byte) (Record, error) {
	d := &GroupDesc{Type: GroupType(b[2]), Group: u32(b, 4)}
	var err error
	d.Buckets, err = readBuckets(b[8:])
	return d, err
}

func (d *GroupDesc) String() string {
	return fmt.Sprintf("group=%d type=%s%s", d.Group, d.Type, bucketsText(d.Buckets))
}

// The OFPGFC bits of GroupFeatures.Capabilities.
const (
	GroupSelectWeight   uint32 = 1 << 0
	GroupSelectLiveness uint32 = 1 << 1
	GroupChaining       uint32 = 1 << 2
	GroupChainingChecks uint32 = 1 << 3
)

// GroupFeatures says what the group table can do; the arrays are indexed by GroupType
// (section 7.3.5.11).
type GroupFeatures struct {
	Types        uint32 // 1<<GroupType
	Capabilities uint32
	MaxGroups    [4]uint32
	Actions      [4]uint32 // 1<<ActionType
}

func (f *GroupFeatures) appendRecord(b []byte) []byte {
	b = append32(append32(b, f.Types), f.Capabilities)
	for _, v := range f.MaxGroups {
		b = append32(b, v)
	}
	for _, v := range f.Actions {
		b = append32(b, v)
	}
	return b
}

func readGroupFeatures(b []byte) *GroupFeatures {
	f := &GroupFeatures{Types: u32(b, 0), Capabilities: u32(b, 4)}
	for i := range f.MaxGroups {
		f.MaxGroups[i], f.Actions[i] = u32(b, 8+4*i), u32(b, 24+4*i)
	}
	return f
}

func (f *GroupFeatures) String() string {
	return fmt.Sprintf("types=0x%x capabilities=0x%x max=%v actions=%#x", f.Types, f.Capabilities, f.MaxGroups, f.Actions)
}
