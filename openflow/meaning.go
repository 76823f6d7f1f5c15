package openflow

// Meaning tells a person what an error says and how to mend it; both are empty for a code that nobody knows.
func (e *Error) Meaning() (what, mend string) {
	if e.Type == ErrExperimenter && e.Experimenter == ExperimenterONF && e.Code == ONFDuplicateInstruction {
		return "two instructions of one type in one entry", "merge them into one: actions of two apply_actions follow each other"
	}
	if int(e.Type) >= len(errorMeanings) || int(e.Code) >= len(errorMeanings[e.Type]) {
		return "", ""
	}
	m := errorMeanings[e.Type][e.Code]
	return m[0], m[1]
}

const (
	meantNoRight = "whoever asks may not do this"
	mendNoRight  = "ask as the master or an equal controller, or change it in the switch's configuration"
	meantLength  = "the length does not fit what is there"
	mendLength   = "the sender builds the message wrongly: compare each length field, and the padding to 8 bytes, with the specification"
)

// errorMeanings is indexed by ErrorType and code, like errorNames (section 7.4.4).
var errorMeanings = [...][][2]string{
	ErrHelloFailed: {
		HFCIncompatible: {"the two ends have no version of OpenFlow in common", "let the controller offer OpenFlow 1.3 (wire version 4), or add its version to the bridge's protocols"},
		HFCEPERM:        {meantNoRight, mendNoRight},
	},
	ErrBadRequest: {
		BRCBadVersion:              {"the header has another version than was agreed on in the HELLO", "send every message after the HELLO in the agreed version"},
		BRCBadType:                 {"the switch does not know this type of message, or it is one that only switches send", "look at the type in the header; in OpenFlow 1.3 it is 0 to 29"},
		BRCBadMultipart:            {"the switch does not know this type of multipart request", "ask for one of the types 0 to 13"},
		BRCBadExperimenter:         {"the switch does not know this experimenter", "do without the extension"},
		BRCBadExpType:              {"the switch knows the experimenter, and not this message of it", "do without this part of the extension"},
		BRCEPERM:                   {meantNoRight, mendNoRight},
		BRCBadLen:                  {meantLength, mendLength},
		BRCBufferEmpty:             {"the buffered packet has been used already", "name each buffer_id once, or send the packet itself with buffer_id 0xffffffff"},
		BRCBufferUnknown:           {"there is no buffered packet of this number, perhaps no more", "answer a PACKET_IN sooner, or send the packet itself with buffer_id 0xffffffff"},
		BRCBadTableID:              {"the switch does not have this table", "ask features for n_tables; numbers begin at 0"},
		BRCIsSlave:                 {"the controller is a slave, and slaves may only read", "ask for the role master or equal first (ROLE_REQUEST)"},
		BRCBadPort:                 {"there is no such port, or not one that can stand here", "list the ports (\"weir ports\", \"ovs-ofctl show\"); in_port of a PACKET_OUT is a port, CONTROLLER or LOCAL"},
		BRCBadPacket:               {"the packet in a PACKET_OUT cannot be used", "send a whole Ethernet frame of at least 14 bytes"},
		BRCMultipartBufferOverflow: {"the parts of the multipart request are too many or do not belong together", "send less, or end the last part without the flag REQ_MORE"},
	},
	ErrBadAction: {
		BACBadType:           {"the switch does not know this type of action", "use another action"},
		BACBadLen:            {meantLength, mendLength},
		BACBadExperimenter:   {"the switch does not know this experimenter's actions", "do without the extension"},
		BACBadExpType:        {"the switch knows the experimenter, and not this action of it", "do without this action of the extension"},
		BACBadOutPort:        {"an output names a port that cannot be", "use a port from 1 to 0xffffff00 or a reserved one that outputs may name (IN_PORT, NORMAL, FLOOD, ALL, CONTROLLER, LOCAL, TABLE in a PACKET_OUT)"},
		BACBadArgument:       {"an action has a value that it cannot have", "look at the action's value and at its range in the specification"},
		BACEPERM:             {meantNoRight, mendNoRight},
		BACTooMany:           {"more actions than the switch can do", "spread them over several tables, or over a group"},
		BACBadQueue:          {"there is no such queue", "configure the queue on the port, or use one that queue statistics list"},
		BACBadOutGroup:       {"there is no such group", "add the group (GROUP_MOD) before what refers to it"},
		BACMatchInconsistent: {"an action needs a header that the match does not promise", "add what it needs to the match, such as eth_type=0x0800 for IPv4 or ip_proto=6 for TCP fields"},
		BACUnsupportedOrder:  {"the actions of the list cannot be done in this order", "do the outputs last, or put actions into later tables"},
		BACBadTag:            {"push or pop with an EtherType that is no such tag", "VLAN: 0x8100 or 0x88a8; MPLS: 0x8847 or 0x8848; PBB: 0x88e7"},
		BACBadSetType:        {"set_field with a field that cannot be set", "in_port and in_phy_port, and fields unknown to the switch, can only be matched"},
		BACBadSetLen:         {"set_field with a value of another length than the field's", mendLength},
		BACBadSetArgument:    {"set_field with a value that the field cannot have", "a vlan_vid needs the present bit 0x1000, a DSCP has 6 bits, an MPLS label 20"},
	},
	ErrBadInstruction: {
		BICUnknownInst:       {"the switch does not know this type of instruction", "use goto_table, write_metadata, write_actions, apply_actions, clear_actions or meter"},
		BICUnsupInst:         {"the switch does not do this instruction in this table", "use another instruction or table"},
		BICBadTableID:        {"goto_table to a table that is not behind this one or does not exist", "name a table with a higher number than the entry's, below n_tables of the features"},
		BICUnsupMetadata:     {"these metadata bits cannot be written", "write other bits"},
		BICUnsupMetadataMask: {"these bits of the metadata mask cannot be written", "write other bits"},
		BICBadExperimenter:   {"the switch does not know this experimenter's instructions", "do without the extension"},
		BICBadExpType:        {"the switch knows the experimenter, and not this instruction of it", "do without this instruction of the extension"},
		BICBadLen:            {meantLength, mendLength},
		BICEPERM:             {meantNoRight, mendNoRight},
	},
	ErrBadMatch: {
		BMCBadType:       {"the match is not of the type OXM", "send matches of type 1 (OFPMT_OXM); the fixed match of OpenFlow 1.0 and 1.1 is not known in 1.3"},
		BMCBadLen:        {meantLength, mendLength},
		BMCBadTag:        {"a match on a tag that cannot be", "look at vlan_vid and MPLS fields"},
		BMCBadDLAddrMask: {"an Ethernet address has a mask that is not possible", "match the whole address or use another mask"},
		BMCBadNWAddrMask: {"an IP address has a mask that is not possible", "use a prefix"},
		BMCBadWildcards:  {"this combination of fields left out is not possible", "give the fields that the others need"},
		BMCBadField:      {"the switch does not know a field of the match", "leave it out; table features list the fields that can be matched"},
		BMCBadValue:      {"a field has a value that it cannot have", "a vlan_vid needs the present bit 0x1000, a DSCP has 6 bits, and bits outside of the mask are zero"},
		BMCBadMask:       {"a field that cannot be masked has a mask, or one that is not possible", "match the whole field"},
		BMCBadPrereq:     {"a field stands without the one that it needs in front of it", "add it before: eth_type=0x0800 for IPv4 fields, 0x86dd for IPv6, ip_proto=6 for TCP, 17 for UDP, vlan_vid for vlan_pcp"},
		BMCDupField:      {"a field is there twice", "leave one out"},
		BMCEPERM:         {meantNoRight, mendNoRight},
	},
	ErrFlowModFailed: {
		FMFCUnknown:    {"the switch could not do it and has no code for why", "look at the switch's log"},
		FMFCTableFull:  {"the table has no room for another entry", "delete entries or let them time out, use masks, or raise max-flows"},
		FMFCBadTableID: {"the switch does not have this table", "use a number below n_tables of the features; 0xff (all) is for deletes alone"},
		FMFCOverlap:    {"an entry of the same priority overlaps, and CHECK_OVERLAP asks to refuse that", "choose another priority or match, or leave the flag out"},
		FMFCEPERM:      {meantNoRight, mendNoRight},
		FMFCBadTimeout: {"an idle or hard timeout that the switch cannot keep", "use another one, or none (0)"},
		FMFCBadCommand: {"there is no such command", "use 0 to 4: add, modify, modify strict, delete, delete strict"},
		FMFCBadFlags:   {"a flag that is not known, or flags that cannot stand together", "use the flags of OpenFlow 1.3, bits 0 to 4"},
	},
	ErrGroupModFailed: {
		GMFCGroupExists:         {"there is a group of this number already", "modify it, or delete it first"},
		GMFCInvalidGroup:        {"a group of this number, type or with these buckets cannot be", "use numbers up to 0xffffff00, one bucket in a group of type indirect, and actions that are right by themselves"},
		GMFCWeightUnsupported:   {"weights cannot be unequal, or stand in a group that is not of type select", "leave weights to groups of type select"},
		GMFCOutOfGroups:         {"the switch has no room for another group", "delete groups, or raise max-groups"},
		GMFCOutOfBuckets:        {"more buckets than a group can have", "spread them over several groups"},
		GMFCChainingUnsupported: {"groups that lead to groups are not possible here", "put the actions of the second group into the first"},
		GMFCWatchUnsupported:    {"buckets of this group cannot watch a port or group", "leave watch_port and watch_group to groups of type fast failover"},
		GMFCLoop:                {"the group would lead back to itself", "follow the groups that its buckets name"},
		GMFCUnknownGroup:        {"there is no group of this number", "add it before changing it or referring to it"},
		GMFCChainedGroup:        {"another group leads to this one", "change that one first"},
		GMFCBadType:             {"there is no such type of group", "use all (0), select (1), indirect (2) or fast failover (3)"},
		GMFCBadCommand:          {"there is no such command", "use add (0), modify (1) or delete (2)"},
		GMFCBadBucket:           {"a bucket cannot be as it is", "look at its actions, weight and watched port or group"},
		GMFCBadWatch:            {"a bucket watches a port or group that does not exist", "name one that does, or ANY"},
		GMFCEPERM:               {meantNoRight, mendNoRight},
	},
	ErrPortModFailed: {
		PMFCBadPort:      {"there is no such port", "list the ports (\"weir ports\", \"ovs-ofctl show\")"},
		PMFCBadHWAddr:    {"the address is not the port's", "send hw_addr as PORT_DESC gives it: it guards against a port that was replaced"},
		PMFCBadConfig:    {"a configuration bit that the port cannot have", "use PORT_DOWN, NO_RECV, NO_FWD and NO_PACKET_IN"},
		PMFCBadAdvertise: {"the switch does not change what the device advertises", "leave advertise zero"},
		PMFCEPERM:        {"the switch may not change the device", "give weir the right (CAP_NET_ADMIN), or set the link by other means"},
	},
	ErrTableModFailed: {
		TMFCBadTable:  {"the switch does not have this table", "use a number below n_tables of the features, or 0xff for all"},
		TMFCBadConfig: {"OpenFlow 1.3 has no configuration of tables but obsolete bits", "send config 0; a table-miss entry says what becomes of a miss"},
		TMFCEPERM:     {meantNoRight, mendNoRight},
	},
	ErrQueueOpFailed: {
		QOFCBadPort:  {"there is no such port, or its queues do not fit into one answer", "list the ports (\"weir ports\"), and ask port by port"},
		QOFCBadQueue: {"there is no such queue on the port", "configure it, or use one that queue statistics list"},
		QOFCEPERM:    {meantNoRight, mendNoRight},
	},
	ErrSwitchConfigFailed: {
		SCFCBadFlags: {"flags that cannot be", "use normal (0), drop (1) or reassemble (2) for fragments"},
		SCFCBadLen:   {"a miss_send_len that cannot be", "use up to 0xffe5, or 0xffff for whole packets"},
		SCFCEPERM:    {meantNoRight, mendNoRight},
	},
	ErrRoleRequestFailed: {
		RRFCStale:   {"another controller has become master since: the generation_id is old", "ask the service that chooses the master for the present generation_id"},
		RRFCUnsup:   {"the switch does not know this role here", "an auxiliary connection has the role of its main one: ask there"},
		RRFCBadRole: {"there is no such role", "use no change (0), equal (1), master (2) or slave (3)"},
	},
	ErrMeterModFailed: {
		MMFCUnknown:      {"the switch could not do it and has no code for why", "look at the switch's log"},
		MMFCMeterExists:  {"there is a meter of this number already", "modify it, or delete it first"},
		MMFCInvalidMeter: {"a meter of this number cannot be", "use 1 to 0xffff0000, or a virtual meter that the switch has"},
		MMFCUnknownMeter: {"there is no meter of this number", "add it before changing it or referring to it"},
		MMFCBadCommand:   {"there is no such command", "use add (0), modify (1) or delete (2)"},
		MMFCBadFlags:     {"flags that cannot stand together", "give exactly one of KBPS and PKTPS; BURST and STATS are free"},
		MMFCBadRate:      {"a rate that cannot be kept", "use a rate above zero"},
		MMFCBadBurst:     {"a burst that cannot be kept", "use a smaller one, or none"},
		MMFCBadBand:      {"there is no such type of band", "use drop (1) or dscp_remark (2)"},
		MMFCBadBandValue: {"a band has a value that it cannot have", "prec_level of dscp_remark is 1 or 2"},
		MMFCOutOfMeters:  {"the switch has no room for another meter", "delete meters, or raise max-meters"},
		MMFCOutOfBands:   {"more bands than a meter can have", "meter features say how many"},
	},
	ErrTableFeaturesFailed: {
		TFFCBadTable:    {"the switch does not have this table", "use numbers below n_tables of the features"},
		TFFCBadMetadata: {"metadata bits that the table does not have", "ask for the features first and send those back"},
		TFFCBadType:     {"a property that the switch does not know", "ask for the features first and send those back"},
		TFFCBadLen:      {meantLength, mendLength},
		TFFCBadArgument: {"a property with a value that the table cannot have", "ask for the features first and change as little as possible"},
		TFFCEPERM:       {meantNoRight, mendNoRight},
	},
}
