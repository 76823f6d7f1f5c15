package openflow

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// flowMod makes FLOW_MOD bytes around the hex of OXM fields and of instructions, lengths right.
func flowMod(t testing.TB, oxm, instructions string) []byte {
	t.Helper()
	m := &FlowMod{BufferID: NoBuffer, OutPort: PortAny, OutGroup: GroupAny, Match: Match{unhex(t, oxm)}, Instructions: Instructions{unhex(t, instructions)}}
	return Append(nil, 7, m)
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "|", "").Replace(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wantError decodes b and wants exactly this type and code, with the request's xid.
func wantError(t *testing.T, name string, b []byte, et ErrorType, code uint16) {
	t.Helper()
	m, _, err := Decode(b)
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("%s: got %v, %v, want %s", name, m, err, (&Error{Type: et, Code: code}).CodeName())
		return
	}
	if m != nil {
		t.Errorf("%s: a message beside the error", name)
	}
	if e.Type != et || e.Code != code {
		t.Errorf("%s: got %v, want %s", name, e, (&Error{Type: et, Code: code}).CodeName())
	}
	if e.Detail == "" {
		t.Errorf("%s: %s without a detail for the log", name, e.CodeName())
	}
}

const (
	ipv4 = "80000a02 0800"
	ipv6 = "80000a02 86dd"
	icmp = ipv6 + "80001401 3a"
)

func TestMatchErrors(t *testing.T) {
	for _, c := range []struct {
		name, oxm string
		code      uint16
	}{
		{"half a header", "8000", BMCBadLen},
		{"longer than the match", "80000006 0102", BMCBadLen},
		{"value too short", "80000602 0001", BMCBadLen},
		{"value too long", "80000608 0102030405060708", BMCBadLen},
		{"mask of another length", "80000709 010203040506 ffffff", BMCBadLen},
		{"unknown basic field", "80005a01 00", BMCBadField},
		{"unknown class", "90000001 00", BMCBadField},
		{"unknown experimenter", "ffff5406 00112233 0001", BMCBadField},
		{"experimenter field without experimenter", "ffff5402 0001", BMCBadLen},
		{"16-bit in_port of NXM", "00000002 0001", BMCBadField},
		{"twice", "80000606 010203040506 | 80000606 010203040506", BMCDupField},
		{"twice under two names", "80000606 010203040506 | 00000206 010203040506", BMCDupField},
		{"register in a pair", "00010004 00000001 | 80010008 0000000200000000", BMCDupField},
		{"pair of a register", "80010208 0000000200000000 | 00010604 00000001", BMCDupField},
		{"mask on in_port", "80000108 00000001 ffffffff", BMCBadMask},
		{"mask on eth_type", "80000b04 0800 ffff", BMCBadMask},
		{"mask on ip_proto", ipv4 + "80001502 06ff", BMCBadMask},
		{"value outside its mask", ipv4 + "80001708 0a000001 ffffff00", BMCBadWildcards},
		{"mask wider than the field", ipv6 + "80003908 00000000 fff00000", BMCBadMask},
		{"dscp of 64", ipv4 + "80001001 40", BMCBadValue},
		{"ecn of 4", ipv4 + "80001201 04", BMCBadValue},
		{"flow label of 21 bits", ipv6 + "80003804 00100000", BMCBadValue},
		{"vlan_vid of 14 bits", "80000c02 2001", BMCBadValue},
		{"vlan_vid without the present bit", "80000c02 0005", BMCBadValue},
		{"vlan_vid masked without the present bit", "80000d04 0005 1fff", BMCBadValue},
		{"pcp of 8", "80000c02 1005 | 80000e01 08", BMCBadValue},
		{"mpls_bos of 2", "80000a02 8847 | 80004801 02", BMCBadValue},
		{"exthdr of ten bits", ipv6 + "80004e02 0200", BMCBadValue},
		{"in_port in the undefined range", "80000004 fffffff0", BMCBadValue},
		{"pcp without a tag", "80000e01 05", BMCBadPrereq},
		{"pcp with vlan_vid none", "80000c02 0000 | 80000e01 05", BMCBadPrereq},
		{"ipv4_src without eth_type", "80001604 0a000001", BMCBadPrereq},
		{"ipv4_src before eth_type", "80001604 0a000001" + ipv4, BMCBadPrereq},
		{"ipv4_src with IPv6", ipv6 + "80001604 0a000001", BMCBadPrereq},
		{"tcp_dst with UDP", ipv4 + "80001401 11 | 80001c02 0050", BMCBadPrereq},
		{"tcp_dst without ip_proto", ipv4 + "80001c02 0050", BMCBadPrereq},
		{"icmpv4 over IPv6", ipv6 + "80001401 01 | 80002601 08", BMCBadPrereq},
		{"nd_target in an echo", icmp + "80003a01 80 | 80003e10 00000000000000000000000000000001", BMCBadPrereq},
		{"nd_sll in an advertisement", icmp + "80003a01 88 | 80004006 010203040506", BMCBadPrereq},
		{"nd_tll in a solicitation", icmp + "80003a01 87 | 80004206 010203040506", BMCBadPrereq},
		{"arp_op with IPv4", ipv4 + "80002a02 0001", BMCBadPrereq},
		{"mpls_label with IPv4", ipv4 + "80004404 00000001", BMCBadPrereq},
		{"pbb_isid with IPv4", ipv4 + "80004a03 000001", BMCBadPrereq},
		{"in_phy_port without in_port", "80000204 00000001", BMCBadPrereq},
		{"nw_frag without IP", "00013401 01", BMCBadPrereq},
	} {
		b := flowMod(t, c.oxm, "")
		wantError(t, c.name, b, ErrBadMatch, c.code)
		if err := (Match{unhex(t, c.oxm)}).Check(); !errors.Is(err, &Error{Type: ErrBadMatch, Code: c.code}) {
			t.Errorf("%s: Check says %v", c.name, err)
		}
	}
	for _, oxm := range []string{
		"", "80000c02 0000", "80000d04 1000 1000", "80000d04 0005 0fff", ipv4 + "80001708 00000000 00000000", "80000004 fffffffe",
		"80000a02 8035 | 80002a02 0003", ipv4 + "80001401 06 | 80001d04 1000 f000", "ffff5608 4f4e4600 00000001",
		ipv4 + "80001401 06 | ffff5406 4f4e4600 0012", ipv4 + "80001401 06 | 00014402 0012", "00010004 00000001 | 80010208 0000000000000001",
	} {
		if _, _, err := Decode(flowMod(t, oxm, "")); err != nil {
			t.Errorf("%q: %v", oxm, err)
		}
	}
}

// TestMatchFraming breaks the ofp_match structure itself.
func TestMatchFraming(t *testing.T) {
	good := flowMod(t, ipv4, "")
	edit := func(at int, v byte) []byte { b := append([]byte(nil), good...); b[at] = v; return b }
	wantError(t, "standard match", edit(49, 0), ErrBadMatch, BMCBadType)
	wantError(t, "length 3", edit(51, 3), ErrBadMatch, BMCBadLen)
	wantError(t, "length beyond the message", edit(51, 64), ErrBadMatch, BMCBadLen)
	wantError(t, "length into the padding", edit(51, 12), ErrBadMatch, BMCBadLen)
}

func TestActionErrors(t *testing.T) {
	apply := func(acts string) string {
		n := len(unhex(t, acts)) + 8
		return "0004" + hex.EncodeToString([]byte{byte(n >> 8), byte(n)}) + "00000000" + acts
	}
	for _, c := range []struct {
		name, acts string
		code       uint16
	}{
		{"half an action", "0012 0008", BACBadLen},
		{"length 0", "0012 0000 00000000", BACBadLen},
		{"length 4", "0012 0004 00000000", BACBadLen},
		{"length 12", "0012 000c 00000000 00000000 00000000", BACBadLen},
		{"length beyond the list", "0012 0010 00000000", BACBadLen},
		{"output of 8", "0000 0008 00000001", BACBadLen},
		{"pop_vlan of 16", "0012 0010 00000000 0000000000000000", BACBadLen},
		{"unknown type", "0001 0008 00000000", BACBadType},
		{"unknown high type", "fffe 0008 00000000", BACBadType},
		{"unknown experimenter", "ffff 0010 00112233 0000000000000000", BACBadExperimenter},
		{"unknown Nicira subtype", "ffff 0010 00002320 0063 000000000000", BACBadExpType},
		{"Nicira without a subtype", "ffff 0008 00002320", BACBadLen},
		{"Nicira move of 16", "ffff 0010 00002320 0006 000000000000", BACBadLen},
		{"output to 0", "0000 0010 00000000 0000 000000000000", BACBadOutPort},
		{"output to ANY", "0000 0010 ffffffff 0000 000000000000", BACBadOutPort},
		{"output to an undefined reserved port", "0000 0010 fffffff0 0000 000000000000", BACBadOutPort},
		{"group above the highest", "0016 0008 fffffffc", BACBadOutGroup},
		{"push_vlan with IP", "0011 0008 08000000", BACBadArgument},
		{"push_mpls with a VLAN type", "0013 0008 81000000", BACBadArgument},
		{"push_pbb with a VLAN type", "001a 0008 88a80000", BACBadArgument},
		{"set_field of nothing", "0019 0008 00000000", BACBadSetType},
		{"set_field beyond the action", "0019 0008 80000606", BACBadSetLen},
		{"set_field with a mask", "0019 0018 8000070c 010203040506 ffffffffffff 00000000", BACBadSetType},
		{"set_field of eight bytes more", "0019 0018 80000606 010203040506 0000 0000000000000000", BACBadSetLen},
		{"set_field of a wrong length", "0019 0010 80000604 01020304 00000000", BACBadSetLen},
		{"set_field of an unknown field", "0019 0010 80005604 01020304 00000000", BACBadSetType},
		{"set_field of in_port", "0019 0010 80000004 00000001 00000000", BACBadSetType},
		{"set_field of metadata", "0019 0010 80000408 0000000000000001", BACBadSetType},
		{"set_field of ipv6_exthdr", "0019 0010 80004e02 0001 000000000000", BACBadSetType},
		{"set_field of dscp 64", "0019 0010 80001001 40 00000000000000", BACBadSetArgument},
		{"set_field of vlan_vid without the present bit", "0019 0010 80000c02 0005 000000000000", BACBadSetArgument},
		{"load beyond the field", "ffff 0018 00002320 0007 07df 00010604 0000000000000001", BACBadArgument},
		{"load of too much", "ffff 0018 00002320 0007 0003 00010604 0000000000000010", BACBadArgument},
		{"load into in_port", "ffff 0018 00002320 0007 001f 80000004 0000000000000001", BACBadArgument},
		{"move from nowhere", "ffff 0018 00002320 0006 0020 0000 0000 00017e04 00010604", BACBadArgument},
		{"controller of an unknown reason", "ffff 0010 00002320 0014 0080 0000 09 00", BACBadArgument},
	} {
		if len(unhex(t, c.acts))%8 == 0 { // else the instruction around it is wrong already
			wantError(t, c.name, flowMod(t, "", apply(c.acts)), ErrBadAction, c.code)
		}
		po := Append(nil, 1, &PacketOut{BufferID: NoBuffer, InPort: PortController, Actions: Actions{unhex(t, c.acts)}, Data: make([]byte, 20)})
		wantError(t, "PACKET_OUT "+c.name, po, ErrBadAction, c.code)
		gm := Append(nil, 1, &GroupMod{Buckets: []Bucket{{Actions: Actions{unhex(t, c.acts)}}}})
		if len(unhex(t, c.acts))%8 == 0 {
			wantError(t, "GROUP_MOD "+c.name, gm, ErrBadAction, c.code)
		}
	}
}

func TestInstructionErrors(t *testing.T) {
	for _, c := range []struct {
		name, inst string
		code       uint16
	}{
		{"half", "0001 0008", BICBadLen},
		{"length 0", "0001 0000 00000000", BICBadLen},
		{"length 12", "0004 000c 00000000 00000000", BICBadLen},
		{"beyond the message", "0001 0010 00000000", BICBadLen},
		{"goto of 16", "0001 0010 01000000 0000000000000000", BICBadLen},
		{"metadata of 16", "0002 0010 00000000 0000000000000000", BICBadLen},
		{"clear with actions", "0005 0010 00000000 0012000800000000", BICBadLen},
		{"meter of 16", "0006 0010 00000001 0000000000000000", BICBadLen},
		{"type 0", "0000 0008 00000000", BICUnknownInst},
		{"type 7", "0007 0008 00000000", BICUnknownInst},
		{"experimenter", "ffff 0008 00002320", BICBadExperimenter},
	} {
		wantError(t, c.name, flowMod(t, "", c.inst), ErrBadInstruction, c.code)
	}
	_, _, err := Decode(flowMod(t, "", "0001 0008 01000000 0001 0008 02000000"))
	if !errors.Is(err, &Error{Type: ErrExperimenter, Code: ONFDuplicateInstruction, Experimenter: ExperimenterONF}) {
		t.Errorf("two gotos: %v", err)
	}
}

// TestMessageErrors breaks the messages around those lists.
func TestMessageErrors(t *testing.T) {
	for _, c := range []struct {
		name, msg string
		et        ErrorType
		code      uint16
	}{
		{"no header", "0400", ErrBadRequest, BRCBadLen},
		{"length of another message", "0402000900000001", ErrBadRequest, BRCBadLen},
		{"version 1.0", "0102000800000001", ErrBadRequest, BRCBadVersion},
		{"version 1.5", "060e000800000001", ErrBadRequest, BRCBadVersion},
		{"type 30", "041e000800000001", ErrBadRequest, BRCBadType},
		{"type 255", "04ff000800000001", ErrBadRequest, BRCBadType},
		{"features with a body", "040500090000000100", ErrBadRequest, BRCBadLen},
		{"barrier with a body", "041400090000000100", ErrBadRequest, BRCBadLen},
		{"get_config with a body", "040700090000000100", ErrBadRequest, BRCBadLen},
		{"get_async with a body", "041a00090000000100", ErrBadRequest, BRCBadLen},
		{"short set_config", "0409000a000000010000", ErrBadRequest, BRCBadLen},
		{"set_config flags", "0409000c00000001 0003 ffff", ErrSwitchConfigFailed, SCFCBadFlags},
		{"short flow_mod", "040e0030 00000001" + strings.Repeat("00", 40), ErrBadRequest, BRCBadLen},
		{"short packet_out", "040d0010 00000001 ffffffff 00000001", ErrBadRequest, BRCBadLen},
		{"packet_out actions too long", "040d0018 00000001 ffffffff 00000001 0008 000000000000", ErrBadRequest, BRCBadLen},
		{"packet_out from ALL", "040d0018 00000001 ffffffff fffffffc 0000 000000000000", ErrBadRequest, BRCBadPort},
		{"packet_out from 0", "040d0018 00000001 ffffffff 00000000 0000 000000000000", ErrBadRequest, BRCBadPort},
		{"group command", "040f0010 00000001 0003 00 00 00000001", ErrGroupModFailed, GMFCBadCommand},
		{"group type", "040f0010 00000001 0000 04 00 00000001", ErrGroupModFailed, GMFCBadType},
		{"bucket length", "040f0020 00000001 0000 00 00 00000001 0008 0000 ffffffff ffffffff 00000000", ErrGroupModFailed, GMFCBadBucket},
		{"bucket too long", "040f0020 00000001 0000 00 00 00000001 0018 0000 ffffffff ffffffff 00000000", ErrGroupModFailed, GMFCBadBucket},
		{"half a bucket", "040f0018 00000001 0000 00 00 00000001 0008 0000 ffffffff", ErrGroupModFailed, GMFCBadBucket},
		{"short port_mod", "04100010 00000001 00000001 00000000", ErrBadRequest, BRCBadLen},
		{"port_mod config", "04100028 00000001 00000001 00000000 010203040506 0000 00000002 00000002 00000000 00000000", ErrPortModFailed, PMFCBadConfig},
		{"port_mod advertise", "04100028 00000001 00000001 00000000 010203040506 0000 00000001 00000001 00010000 00000000", ErrPortModFailed, PMFCBadAdvertise},
		{"short table_mod", "0411000c 00000001 00000000", ErrBadRequest, BRCBadLen},
		{"role 4", "04180018 00000001 00000004 00000000 0000000000000000", ErrRoleRequestFailed, RRFCBadRole},
		{"short role", "04180010 00000001 00000002 00000000", ErrBadRequest, BRCBadLen},
		{"short set_async", "041c0010 00000001 00000002 00000000", ErrBadRequest, BRCBadLen},
		{"meter command", "041d0010 00000001 0003 0001 00000001", ErrMeterModFailed, MMFCBadCommand},
		{"meter flags", "041d0010 00000001 0000 0010 00000001", ErrMeterModFailed, MMFCBadFlags},
		{"meter kbps and pktps", "041d0010 00000001 0000 0003 00000001", ErrMeterModFailed, MMFCBadFlags},
		{"meter band type", "041d0020 00000001 0000 0001 00000001 0003 0010 00000001 00000001 00000000", ErrMeterModFailed, MMFCBadBand},
		{"meter band of an experimenter", "041d0020 00000001 0000 0001 00000001 ffff 0010 00000001 00000001 00000000", ErrMeterModFailed, MMFCBadBand},
		{"meter band length", "041d0020 00000001 0000 0001 00000001 0001 0008 00000001 00000001 00000000", ErrBadRequest, BRCBadLen},
		{"queue_get_config length", "0416000c 00000001 00000001", ErrBadRequest, BRCBadLen},
		{"short experimenter", "0404000c 00000001 00000001", ErrBadRequest, BRCBadLen},
		{"short multipart", "0412000c 00000001 0000 0000", ErrBadRequest, BRCBadLen},
		{"multipart type 14", "04120010 00000001 000e 0000 00000000", ErrBadRequest, BRCBadMultipart},
		{"desc with a body", "04120018 00000001 0000 0000 00000000 0000000000000000", ErrBadRequest, BRCBadLen},
		{"flow stats without a body", "04120010 00000001 0001 0000 00000000", ErrBadRequest, BRCBadLen},
		{"port stats of 16", "04120020 00000001 0004 0000 00000000 00000001 00000000 0000000000000000", ErrBadRequest, BRCBadLen},
		{"flow stats with a tail", "04120040 00000001 0001 0000 00000000 ff000000 ffffffff ffffffff 00000000" + strings.Repeat("00", 16) + "0001 0004 00000000 0000000000000000", ErrBadRequest, BRCBadLen},
		{"half a table feature", "04120018 00000001 000c 0000 00000000 0008 0000 00000000", ErrBadRequest, BRCBadLen},
		{"table property length", tableRequest("0008 0002 00000000"), ErrTableFeaturesFailed, TFFCBadLen},
		{"table property too long", tableRequest("0008 0010 80000004"), ErrTableFeaturesFailed, TFFCBadLen},
		{"table property type", tableRequest("0009 0004 00000000"), ErrTableFeaturesFailed, TFFCBadType},
		{"table property twice", tableRequest("0008 0004 00000000 0008 0004 00000000"), ErrTableFeaturesFailed, TFFCBadType},
		{"table field id", tableRequest("0008 0006 8000 0000"), ErrTableFeaturesFailed, TFFCBadLen},
		{"table action id", tableRequest("0004 0008 0000 0002"), ErrTableFeaturesFailed, TFFCBadLen},
	} {
		wantError(t, c.name, unhex(t, c.msg), c.et, c.code)
	}
	big := flowMod(t, "", strings.Repeat("0004 0008 00000000", 1)) // lengths of FLOW_MOD fields
	big[25] = 5
	wantError(t, "flow command", big, ErrFlowModFailed, FMFCBadCommand)
	big[25], big[45] = 0, 0x20
	wantError(t, "flow flags", big, ErrFlowModFailed, FMFCBadFlags)
}

// tableRequest is a TABLE_FEATURES request with one table and the properties given.
func tableRequest(props string) string {
	props = strings.ReplaceAll(props, " ", "")
	n := 64 + len(props)/2
	return "0412" + hex.EncodeToString([]byte{0, byte(16 + n)}) + "00000001 000c 0000 00000000" +
		hex.EncodeToString([]byte{0, byte(n)}) + "00" + strings.Repeat("00", 61) + props
}

// TestTooLargeToShow: what could be installed and never be given back whole is refused.
func TestTooLargeToShow(t *testing.T) {
	list := make([]Action, 65535/8)
	for i := range list {
		list[i] = Action{Type: ActionPopVLAN}
	}
	fits := func(n int) []byte {
		return Append(nil, 1, &FlowMod{Instructions: NewInstructions(ApplyActions(list[:n]...))})
	}
	n := (maxFlowBody - 8 - 8) / 8
	if _, _, err := Decode(fits(n)); err != nil {
		t.Error(err)
	}
	wantError(t, "flow", fits(n+1), ErrBadRequest, BRCBadLen)
	m, _, _ := Decode(fits(n))
	fm := m.(*FlowMod)
	w := NewReplyWriter(MultipartFlow, 1, nil, func([]byte) error { return nil })
	if err := w.Add(&FlowStats{Match: fm.Match, Instructions: fm.Instructions}); err != nil {
		t.Errorf("the largest flow accepted cannot be shown: %v", err)
	}
	group := Append(nil, 1, &GroupMod{Buckets: []Bucket{{Actions: NewActions(list[:8187]...)}}})
	wantError(t, "group", group, ErrBadRequest, BRCBadLen)
}

// TestErrorNames spot-checks the tables against the specification's spelling and numbers.
func TestErrorNames(t *testing.T) {
	for want, e := range map[string]*Error{
		"OFPHFC_INCOMPATIBLE":              {Type: 0, Code: 0},
		"OFPBRC_MULTIPART_BUFFER_OVERFLOW": {Type: 1, Code: 13},
		"OFPBAC_BAD_SET_ARGUMENT":          {Type: 2, Code: 15}, "OFPBIC_EPERM": {Type: 3, Code: 8}, "OFPBMC_DUP_FIELD": {Type: 4, Code: 10},
		"OFPFMFC_BAD_FLAGS": {Type: 5, Code: 7}, "OFPGMFC_BAD_WATCH": {Type: 6, Code: 13}, "OFPPMFC_BAD_ADVERTISE": {Type: 7, Code: 3},
		"OFPTMFC_BAD_CONFIG": {Type: 8, Code: 1}, "OFPQOFC_BAD_QUEUE": {Type: 9, Code: 1}, "OFPSCFC_BAD_FLAGS": {Type: 10, Code: 0},
		"OFPRRFC_BAD_ROLE": {Type: 11, Code: 2}, "OFPMMFC_OUT_OF_BANDS": {Type: 12, Code: 11}, "OFPTFFC_EPERM": {Type: 13, Code: 5},
		"OFPET_BAD_MATCH code 99": {Type: 4, Code: 99}, "error type 20 code 1": {Type: 20, Code: 1},
		"experimenter 0x00000001 error 2": {Type: 0xffff, Code: 2, Experimenter: 1},
	} {
		if got := e.CodeName(); got != want {
			t.Errorf("%d/%d is called %s, want %s", e.Type, e.Code, got, want)
		}
	}
	e := Errorf(ErrBadMatch, BMCBadField, "no field %d", 86)
	if e.Error() != "OFPBMC_BAD_FIELD: no field 86" || ErrExperimenter.String() != "OFPET_EXPERIMENTER" {
		t.Error(e.Error())
	}
	req := make([]byte, MaxMessage)
	if got := e.For(req); len(Append(nil, 1, got)) > MaxMessage || len(got.Data) < 64 || e.Data != nil {
		t.Errorf("error with %d bytes of the request", len(got.Data))
	}
}

// TestMeterDeleteNeedsTheNumberAlone: flags and bands of a delete are not looked at, right or wrong.
func TestMeterDeleteNeedsTheNumberAlone(t *testing.T) {
	for _, hex := range []string{
		"041d 0010 00000007 | 0002 0003 00000005",                                        // kbps and pktps at once
		"041d 0020 00000007 | 0002 0001 00000005 | 0001 0810 00000004 00000004 00000000", // a band of 2064 bytes
	} {
		m, _, err := Decode(unhex(t, hex))
		if d, is := m.(*MeterMod); err != nil || !is || d.Command != MeterDelete || d.Meter != 5 || len(d.Bands) != 0 {
			t.Errorf("%s: %v, %v", hex, m, err)
		}
	}
}
