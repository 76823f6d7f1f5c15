package of10

import (
	"slices"

	"github.com/weirswitch/weir/openflow"
)

// Groups came after 1.0. Open vSwitch's tools speak of them there in the form of OpenFlow 1.5, with
// actions of 1.0 in the buckets.

// Properties of a bucket.
const (
	bucketWeight     = 0
	bucketWatchPort  = 1
	bucketWatchGroup = 2

	bucketAll = 0xffffffff // the command means no single bucket
)

func groupError(code uint16, format string, args ...any) *openflow.Error {
	return openflow.Errorf(openflow.ErrGroupModFailed, code, format, args...)
}

// decodeGroupMod reads NXT_GROUP_MOD: command, type, group, length of the buckets, a bucket's number,
// buckets, properties.
func (s *Session) decodeGroupMod(b []byte) (openflow.Message, error) {
	if len(b) < niciraHeader+16 {
		return nil, badLen("NXT_GROUP_MOD", len(b), niciraHeader+16)
	}
	body := b[niciraHeader:]
	m := &openflow.GroupMod{Command: openflow.GroupCommand(u16(body, 0)), Type: openflow.GroupType(body[2]), Group: u32(body, 4)}
	if m.Command > openflow.GroupDelete && m.Command != openflow.GroupAddOrModify {
		return nil, groupError(openflow.GMFCBadCommand, "group command %d: expected add, modify or delete", u16(body, 0))
	}
	if m.Type > openflow.GroupTypeFastFailover {
		return nil, groupError(openflow.GMFCBadType, "group type %d, the highest is %d", body[2], openflow.GroupTypeFastFailover)
	}
	n := int(u16(body, 8))
	if 16+n > len(body) {
		return nil, groupError(openflow.GMFCBadBucket, "buckets of %d bytes where %d are left", n, len(body)-16)
	}
	var err error
	m.Buckets, err = s.decodeBuckets(body[16:16+n], m.Type)
	return m, err
}

// decodeBuckets reads the buckets of a group.
func (s *Session) decodeBuckets(b []byte, t openflow.GroupType) (list []openflow.Bucket, err error) {
	for len(b) > 0 {
		size := 0
		if len(b) >= 8 {
			size = int(u16(b, 0))
		}
		if size < 8 || size%8 != 0 || size > len(b) {
			return nil, groupError(openflow.GMFCBadBucket, "bucket says %d bytes: expected a multiple of 8 from 8 to the %d left", size, len(b))
		}
		k, err := s.decodeBucket(b[:size], t)
		if err != nil {
			return nil, err
		}
		list = append(list, k)
		b = b[size:]
	}
	return list, nil
}

func (s *Session) decodeBucket(b []byte, t openflow.GroupType) (k openflow.Bucket, err error) {
	k = openflow.Bucket{WatchPort: openflow.PortAny, WatchGroup: openflow.GroupAny}
	if t == openflow.GroupTypeSelect {
		k.Weight = 1
	}
	n := int(u16(b, 2))
	if 8+n > len(b) {
		return k, groupError(openflow.GMFCBadBucket, "actions of %d bytes in a bucket of %d", n, len(b))
	}
	r, err := s.decodeActions(b[8:8+n], openflow.Match{})
	if err != nil {
		return k, err
	}
	if k.Actions, err = r.actions(); err != nil {
		return k, err
	}
	for p := b[8+n:]; len(p) > 0; {
		size := 0
		if len(p) >= 8 {
			size = int(u16(p, 2))
		}
		if size != 8 {
			return k, groupError(openflow.GMFCBadBucket, "bucket property of %d bytes, expected 8", size)
		}
		switch u16(p, 0) {
		case bucketWeight:
			k.Weight = u16(p, 4)
		case bucketWatchPort:
			k.WatchPort = openflow.PortNo(u32(p, 4))
		case bucketWatchGroup:
			k.WatchGroup = u32(p, 4)
		default:
			return k, groupError(openflow.GMFCBadBucket, "no bucket property %d", u16(p, 0))
		}
		p = p[8:]
	}
	return k, nil
}

// appendGroupDesc writes a group as NXST_GROUP_DESC tells it.
func appendGroupDesc(b []byte, d *openflow.GroupDesc) []byte {
	start := len(b)
	b = append32(append(append16(b, 0), uint8(d.Type), 0), d.Group)
	at := len(b)
	b = appendZeros(b, 8)
	for i := range d.Buckets {
		b = appendBucket(b, d.Type, uint32(i), &d.Buckets[i])
	}
	put16(b, at, uint16(len(b)-at-8))
	return endRecord(b, start)
}

func appendBucket(b []byte, t openflow.GroupType, id uint32, k *openflow.Bucket) []byte {
	start := len(b)
	b = append32(appendZeros(b, 4), id)
	b = appendActions(b, k.Actions)
	put16(b, start+2, uint16(len(b)-start-8))
	if t == openflow.GroupTypeSelect {
		b = appendZeros(append16(append(b, 0, bucketWeight, 0, 8), k.Weight), 2)
	}
	if k.WatchPort != openflow.PortAny {
		b = append32(append(b, 0, bucketWatchPort, 0, 8), uint32(k.WatchPort))
	}
	if k.WatchGroup != openflow.GroupAny {
		b = append32(append(b, 0, bucketWatchGroup, 0, 8), k.WatchGroup)
	}
	return endRecord(slices.Clip(b), start)
}
