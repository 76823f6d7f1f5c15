package ofctl

import (
	"fmt"

	"github.com/weirswitch/weir/openflow"
)

// AppendFeatures writes what show says of the switch itself, without the header line.
func AppendFeatures(b []byte, f *openflow.FeaturesReply) []byte {
	b = fmt.Appendf(b, "n_tables:%d, n_buffers:%d", f.NTables, f.NBuffers)
	if f.AuxiliaryID != 0 {
		b = fmt.Appendf(b, ", auxiliary_id:%d", f.AuxiliaryID)
	}
	words := bitWords(uint32(f.Capabilities), capabilityWords)
	return fmt.Appendf(b, "\ncapabilities: %s\n", words)
}

var capabilityWords = []string{"FLOW_STATS", "TABLE_STATS", "PORT_STATS", "GROUP_STATS", "", "IP_REASM", "QUEUE_STATS", "", "PORT_BLOCKED"}

// AppendDesc writes the lines of dump-desc.
func AppendDesc(b []byte, d *openflow.Desc) []byte {
	return fmt.Appendf(b, "Manufacturer: %s\nHardware: %s\nSoftware: %s\nSerial Num: %s\nDP Description: %s\n",
		d.Manufacturer, d.Hardware, d.Software, d.Serial, d.Datapath)
}

// AppendAggregate writes the sums of dump-aggregate.
func AppendAggregate(b []byte, a *openflow.AggregateStats) []byte {
	return fmt.Appendf(b, "packet_count=%d byte_count=%d flow_count=%d", a.PacketCount, a.ByteCount, a.FlowCount)
}

// AppendConfig writes the treatment of fragments and the length of what an expired TTL sends.
func AppendConfig(b []byte, c *openflow.SwitchConfig) []byte {
	return fmt.Appendf(b, "frags=%s miss_send_len=%d", c.Flags, c.MissSendLen)
}
