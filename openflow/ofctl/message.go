package ofctl

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/of10"
)

// Message is the text of a whole message as ofp-print, monitor and snoop show it: a line that names it,
// then what it says. It ends with a newline.
func Message(raw []byte, names *Names) string { return string(names.AppendMessage(nil, raw)) }

// AppendMessage writes a message. What cannot be decoded is shown in hexadecimal with the reason.
func (n *Names) AppendMessage(b, raw []byte) []byte {
	if len(raw) < openflow.HeaderSize {
		return appendHexDump(fmt.Appendf(b, "OpenFlow packet too short (only %d bytes):\n", len(raw)), raw)
	}
	if n := openflow.ReadHeader(raw).Length; n >= openflow.HeaderSize && n < len(raw) {
		return appendHexDump(fmt.Appendf(b, "(***only uses %d bytes out of %d***)\n", n, len(raw)), raw)
	}
	b = appendTitle(b, raw)
	if raw[0] == of10.Version && raw[1] != byte(openflow.TypeHello) {
		return n.appendOldMessage(b, raw)
	}
	m, _, err := openflow.Decode(raw)
	if err == nil {
		before := len(b)
		b = n.appendContent(b, m)
		if len(b) == before || b[len(b)-1] != '\n' {
			b = append(b, '\n')
		}
		return b
	}
	if text, ok := n.flowsApart(raw); ok {
		return append(append(b, '\n'), text...)
	}
	return appendHexDump(fmt.Appendf(b, " ***decode error: %s***\n", codeName(err)), raw)
}

// codeName is an error's name as Open vSwitch calls it.
func codeName(err error) string {
	e, ok := err.(*openflow.Error)
	if !ok {
		return err.Error()
	}
	if e.Type == openflow.ErrExperimenter && e.Experimenter == openflow.ExperimenterONF && e.Code >= 2300 && int(e.Code) < 2300+len(bundleCodes) {
		return "OFPBFC_" + bundleCodes[e.Code-2300]
	}
	name := e.CodeName()
	for _, r := range [...][2]string{
		{"OFPBRC_BAD_MULTIPART", "OFPBRC_BAD_STAT"}, {"OFPBRC_BAD_EXPERIMENTER", "OFPBRC_BAD_VENDOR"}, {"OFPBRC_BAD_EXP_TYPE", "OFPBRC_BAD_SUBTYPE"},
		{"OFPBRC_IS_SLAVE", "OFPBRC_IS_SECONDARY"}, {"OFPTFFC_BAD_TYPE", "OFPBPC_BAD_TYPE"}, {"OFPTFFC_BAD_LEN", "OFPBPC_BAD_LEN"},
		{"OFPTFFC_BAD_ARGUMENT", "OFPBPC_BAD_VALUE"}, {"OFPBAC_BAD_EXPERIMENTER", "OFPBAC_BAD_VENDOR"}, {"OFPBAC_BAD_EXP_TYPE", "OFPBAC_BAD_VENDOR_TYPE"},
	} {
		if name == r[0] {
			return r[1]
		}
	}
	return name
}

// bundleCodes are the ONF's for bundles on OpenFlow 1.3 (extension 230), from 2300 on.
var bundleCodes = [...]string{"UNKNOWN", "EPERM", "BAD_ID", "BUNDLE_EXIST", "BUNDLE_CLOSED", "OUT_OF_BUNDLES", "BAD_TYPE", "BAD_FLAGS", "MSG_BAD_LEN",
	"MSG_BAD_XID", "MSG_UNSUP", "MSG_CONFLICT", "MSG_TOO_MANY", "MSG_FAILED", "TIMEOUT", "BUNDLE_IN_PROGRESS"}

// MessageName is what a message is called, as its first line begins.
func MessageName(raw []byte) string {
	if len(raw) < openflow.HeaderSize {
		return ""
	}
	return titleName(openflow.ReadHeader(raw), raw)
}

func isMultipart(h openflow.Header) bool {
	if h.Version == of10.Version {
		return h.Type == oldStatsRequest || h.Type == oldStatsReply
	}
	return h.Version == openflow.Version && (h.Type == openflow.TypeMultipartRequest || h.Type == openflow.TypeMultipartReply)
}

// appendTitle writes the name, version and transaction id, and for multipart the flags.
func appendTitle(b, raw []byte) []byte {
	h := openflow.ReadHeader(raw)
	b = append(b, titleName(h, raw)...)
	if h.Version != 1 {
		b = append(b, versionText(h.Version)...)
	}
	b = fmt.Appendf(b, " (xid=0x%x):", h.XID)
	if isMultipart(h) && len(raw) >= 12 && raw[11]&1 != 0 {
		b = append(b, " flags=[more]"...)
	}
	return b
}

func versionText(v uint8) string {
	if v == 0 || v > 6 {
		return fmt.Sprintf(" (OF 0x%02x)", v)
	}
	return fmt.Sprintf(" (OF1.%d)", v-1)
}

func titleName(h openflow.Header, raw []byte) string {
	switch {
	case h.Version == of10.Version:
		return oldTitle(h, raw)
	case h.Version != openflow.Version && h.Type > openflow.TypeExperimenter:
		return "OFPT_" + strings.ReplaceAll(strings.ToUpper(h.Type.String()), " ", "_")
	case h.Type == openflow.TypeMultipartRequest && len(raw) >= 10:
		return multipartName(raw) + " request"
	case h.Type == openflow.TypeMultipartReply && len(raw) >= 10:
		return multipartName(raw) + " reply"
	case h.Type == openflow.TypeExperimenter && len(raw) >= 16:
		return experimenterName(binary.BigEndian.Uint32(raw[8:]), binary.BigEndian.Uint32(raw[12:]))
	}
	return "OFPT_" + h.Type.String()
}

func multipartName(raw []byte) string {
	if isFlowMonitor(raw) {
		return "ONFST_FLOW_MONITOR"
	}
	switch t := openflow.MultipartType(binary.BigEndian.Uint16(raw[8:])); t {
	case openflow.MultipartPortStats:
		return "OFPST_PORT"
	default:
		return "OFPST_" + t.String()
	}
}

func experimenterName(id, kind uint32) string {
	switch {
	case id == openflow.ExperimenterONF && kind == 2300:
		return "ONFT_BUNDLE_CONTROL"
	case id == openflow.ExperimenterONF && kind == 2301:
		return "ONFT_BUNDLE_ADD_MESSAGE"
	case id == openflow.ExperimenterNicira && niciraNames[kind] != "":
		return "NXT_" + niciraNames[kind]
	}
	return fmt.Sprintf("OFPT_EXPERIMENTER 0x%08x type %d", id, kind)
}

// niciraNames are those of Nicira's messages, the same in all versions.
var niciraNames = map[uint32]string{10: "ROLE_REQUEST", 11: "ROLE_REPLY", 12: "SET_FLOW_FORMAT", 13: "FLOW_MOD", 14: "FLOW_REMOVED", 15: "FLOW_MOD_TABLE_ID",
	16: "SET_PACKET_IN_FORMAT", 17: "PACKET_IN", 18: "FLOW_AGE", 19: "SET_ASYNC_CONFIG", 20: "SET_CONTROLLER_ID", 21: "FLOW_MONITOR_CANCEL",
	22: "FLOW_MONITOR_PAUSED", 23: "FLOW_MONITOR_RESUMED", 28: "RESUME", 30: "PACKET_IN2", 31: "GROUP_MOD"}

// appendContent writes what stands behind the title, with the blank or newline before it.
func (n *Names) appendContent(b []byte, m openflow.Message) []byte {
	switch m := m.(type) {
	case *openflow.Hello:
		return appendHello(b, m)
	case *openflow.Error:
		return n.appendError(b, m)
	case *openflow.EchoRequest:
		return appendEcho(b, m.Data)
	case *openflow.EchoReply:
		return appendEcho(b, m.Data)
	case *openflow.FeaturesReply:
		return AppendFeatures(fmt.Appendf(b, " dpid:%016x\n", m.DatapathID), m)
	case *openflow.GetConfigReply:
		return AppendConfig(append(b, ' '), &m.SwitchConfig)
	case *openflow.SetConfig:
		return AppendConfig(append(b, ' '), &m.SwitchConfig)
	case *openflow.PacketIn:
		return n.appendPacketIn(b, m)
	case *openflow.FlowRemoved:
		return n.appendFlowRemoved(b, m)
	case *openflow.PortStatus:
		return n.appendPortDesc(fmt.Appendf(b, " %s:", [...]string{"ADD", "DEL", "MOD"}[min(m.Reason, 2)]), &m.Port)
	case *openflow.PacketOut:
		return n.appendPacketOut(b, m)
	case *openflow.FlowMod:
		return n.appendFlowMod(b, m)
	case *openflow.GroupMod:
		return n.appendGroupMod(b, m)
	case *openflow.PortMod:
		return n.appendPortMod(b, m)
	case *openflow.TableMod:
		if m.TableID == openflow.TableAll {
			return append(b, " table_id: ALL_TABLES"...)
		}
		return fmt.Appendf(b, " table_id=%d", m.TableID)
	case *openflow.MultipartRequest:
		return n.appendRequest(b, m)
	case *openflow.MultipartReply:
		return n.appendReply(b, m)
	case *openflow.QueueGetConfigRequest:
		return n.appendPort(append(b, " port="...), m.Port)
	case *openflow.QueueGetConfigReply:
		return n.appendQueues(b, m)
	case *openflow.MeterMod:
		return appendMeterMod(b, m)
	}
	return n.appendRoles(b, m)
}

// appendRoles writes the messages about roles and what else there is.
func (n *Names) appendRoles(b []byte, m openflow.Message) []byte {
	switch m := m.(type) {
	case *openflow.RoleRequest:
		b = append(append(b, " role="...), roleWords[m.Role]...)
		if m.Role != openflow.RoleNoChange {
			b = fmt.Appendf(b, " generation_id=%d", m.GenerationID)
		}
	case *openflow.RoleReply:
		b = append(append(b, " role="...), roleWords[m.Role&3]...)
		if m.GenerationID != openflow.GenerationUnset {
			b = fmt.Appendf(b, " generation_id=%d", m.GenerationID)
		}
	case *openflow.GetAsyncReply:
		return appendAsync(b, &m.AsyncConfig)
	case *openflow.SetAsync:
		return appendAsync(b, &m.AsyncConfig)
	case *openflow.Experimenter:
		return n.appendExperimenter(b, m)
	}
	return b
}

var roleWords = [...]string{"nochange", "equal", "primary", "secondary"}

func appendHello(b []byte, m *openflow.Hello) []byte {
	sep := "\n version bitmap: "
	for v := 1; v < 32; v++ {
		if m.Versions()&(1<<v) != 0 {
			b = fmt.Appendf(b, "%s0x%02x", sep, v)
			sep = ", "
		}
	}
	return b
}

func (n *Names) appendError(b []byte, m *openflow.Error) []byte {
	b = append(append(append(b, ' '), codeName(m)...), '\n')
	switch {
	case m.Type == openflow.ErrHelloFailed:
		return fmt.Appendf(b, "%s\n", printable(m.Data))
	case len(m.Data) >= openflow.HeaderSize && openflow.ReadHeader(m.Data).Length == len(m.Data):
		return n.AppendMessage(b, m.Data)
	case len(m.Data) >= openflow.HeaderSize:
		b = append(appendTitle(b, m.Data), "\n(***truncated to "...)
		b = fmt.Appendf(b, "%d bytes from %d***)\n", len(m.Data), openflow.ReadHeader(m.Data).Length)
	}
	return appendHexDump(b, m.Data)
}

// printable keeps a peer's text from steering the terminal.
func printable(data []byte) string {
	return strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return '?'
	}, string(data))
}

func appendEcho(b, data []byte) []byte {
	return appendHexDump(fmt.Appendf(b, " %d bytes of payload\n", len(data)), data)
}

// appendHexDump writes sixteen bytes a line, with the letters that they are.
func appendHexDump(b, data []byte) []byte {
	for at := 0; at < len(data); at += 16 {
		line := data[at:min(at+16, len(data))]
		b = fmt.Appendf(b, "%08x ", at)
		for i := range 16 {
			sep := byte(' ')
			if i == 8 {
				sep = '-'
			}
			if i < len(line) {
				b = fmt.Appendf(append(b, sep), "%02x", line[i])
			} else {
				b = append(b, blankUnless(sep, i == 8 && len(line) == 8), ' ', ' ')
			}
		}
		b = append(b, " |"...)
		for i := range 16 {
			switch {
			case i >= len(line):
				b = append(b, ' ')
			case line[i] < ' ' || line[i] > '~':
				b = append(b, '.')
			default:
				b = append(b, line[i])
			}
		}
		b = append(b, "|\n"...)
	}
	return b
}

func blankUnless(c byte, keep bool) byte {
	if keep {
		return c
	}
	return ' '
}

func (n *Names) appendPacketIn(b []byte, m *openflow.PacketIn) []byte {
	if m.TableID != 0 {
		b = n.appendTable(append(b, " table_id="...), m.TableID)
	}
	if m.Cookie != ^uint64(0) {
		b = fmt.Appendf(b, " cookie=0x%x", m.Cookie)
	}
	b = fmt.Appendf(b, " total_len=%d ", m.TotalLen)
	b = n.appendMatch(b, m.Match, DefaultPriority)
	reason := strconv.Itoa(int(m.Reason))
	if int(m.Reason) < len(reasonWords) {
		reason = reasonWords[m.Reason]
	}
	b = fmt.Appendf(b, " (via %s) data_len=%d", reason, len(m.Data))
	if m.BufferID == openflow.NoBuffer {
		b = append(b, " (unbuffered)"...)
	} else {
		b = fmt.Appendf(b, " buffer=0x%08x", m.BufferID)
	}
	if len(m.Data) != int(m.TotalLen) && m.BufferID == openflow.NoBuffer {
		b = append(b, " (***total_len != data_len***)"...)
	}
	return AppendPacket(append(b, '\n'), m.Data)
}

func (n *Names) appendFlowRemoved(b []byte, m *openflow.FlowRemoved) []byte {
	b = n.appendMatch(append(b, ' '), m.Match, m.Priority)
	reason := strconv.Itoa(int(m.Reason))
	if words := [...]string{"idle", "hard", "delete", "group_delete"}; int(m.Reason) < len(words) {
		reason = words[m.Reason]
	}
	b = fmt.Appendf(b, " reason=%s", reason)
	if m.TableID != openflow.TableAll { // which OpenFlow 1.0 does not tell
		b = n.appendTable(append(b, " table_id="...), m.TableID)
	}
	if m.Cookie != 0 {
		b = fmt.Appendf(b, " cookie:0x%x", m.Cookie)
	}
	b = appendDuration(append(b, " duration"...), m.DurationSec, m.DurationNsec)
	b = fmt.Appendf(b, "s idle%d", m.IdleTimeout)
	if m.HardTimeout != 0 {
		b = fmt.Appendf(b, " hard%d", m.HardTimeout)
	}
	return fmt.Appendf(b, " pkts%d bytes%d", m.PacketCount, m.ByteCount)
}

func (n *Names) appendPacketOut(b []byte, m *openflow.PacketOut) []byte {
	b = n.appendPort(append(b, " in_port="...), m.InPort)
	b = n.appendActions(append(b, " actions="...), m.Actions)
	if m.BufferID != openflow.NoBuffer {
		return fmt.Appendf(b, " buffer=0x%08x", m.BufferID)
	}
	b = fmt.Appendf(b, " data_len=%d", len(m.Data))
	if len(m.Data) > 0 {
		b = AppendPacket(append(b, '\n'), m.Data)
	}
	return b
}

func (n *Names) appendFlowMod(b []byte, m *openflow.FlowMod) []byte {
	b = append(append(b, ' '), [...]string{"ADD", "MOD", "MOD_STRICT", "DEL", "DEL_STRICT"}[m.Command]...)
	if m.TableID != 0 {
		b = n.appendTable(append(b, " table:"...), m.TableID)
	}
	b = append(b, ' ')
	before := len(b)
	if b = n.appendMatch(b, m.Match, m.Priority); len(b) > before {
		b = append(b, ' ')
	}
	if m.Command != openflow.FlowAdd && m.CookieMask != 0 {
		b = fmt.Appendf(b, "cookie:0x%x/0x%x ", m.Cookie, m.CookieMask)
	} else if m.Cookie != 0 && m.Command == openflow.FlowAdd {
		b = fmt.Appendf(b, "cookie:0x%x ", m.Cookie)
	}
	if m.IdleTimeout != 0 {
		b = fmt.Appendf(b, "idle:%d ", m.IdleTimeout)
	}
	if m.HardTimeout != 0 {
		b = fmt.Appendf(b, "hard:%d ", m.HardTimeout)
	}
	if m.BufferID != openflow.NoBuffer {
		b = fmt.Appendf(b, "buf:0x%x ", m.BufferID)
	}
	if m.OutPort != openflow.PortAny {
		b = append(n.appendPort(append(b, "out_port:"...), m.OutPort), ' ')
	}
	for _, w := range FlowFlags(m.Flags) {
		b = append(append(b, w...), ' ')
	}
	return n.appendInstructions(append(b, "actions="...), m.Instructions)
}

func (n *Names) appendGroupMod(b []byte, m *openflow.GroupMod) []byte {
	word := openflow.GroupAddOrModify.String()
	if m.Command <= openflow.GroupDelete {
		word = [...]string{"ADD", "MOD", "DEL"}[m.Command]
	}
	b = append(append(append(b, "\n "...), word...), ' ')
	return n.appendGroup(b, &openflow.GroupDesc{Type: m.Type, Group: m.Group, Buckets: m.Buckets})
}

func (n *Names) appendPortMod(b []byte, m *openflow.PortMod) []byte {
	words := configWords
	if n.speaksOld() {
		words = oldConfigWords
	}
	b = n.appendPort(append(b, " port: "...), m.Port)
	b = fmt.Appendf(b, ": addr:%s\n     config: %s\n     mask:   %s\n     advertise: ", m.HWAddr, bitWords(uint32(m.Config), words), bitWords(uint32(m.Mask), words))
	if m.Advertise == 0 {
		return append(b, "UNCHANGED\n"...)
	}
	return append(append(b, bitWords(uint32(m.Advertise), featureWords)...), '\n')
}

func (n *Names) appendQueues(b []byte, m *openflow.QueueGetConfigReply) []byte {
	if len(m.Queues) == 0 {
		return append(b, '\n')
	}
	b = append(n.appendPort(append(b, " port="...), m.Port), '\n')
	for _, q := range m.Queues {
		b = fmt.Appendf(b, "queue %d:", q.ID)
		for _, r := range [...]struct {
			name string
			rate uint16
		}{{"min_rate", q.MinRate}, {"max_rate", q.MaxRate}} {
			switch {
			case r.rate == openflow.RateUnset:
			case r.rate > 1000:
				b = fmt.Appendf(b, " %s:(disabled)", r.name)
			default:
				b = fmt.Appendf(b, " %s:%d.%d%%", r.name, r.rate/10, r.rate%10)
			}
		}
		b = append(b, '\n')
	}
	return b
}

func appendMeterMod(b []byte, m *openflow.MeterMod) []byte {
	b = fmt.Appendf(b, " %s ", [...]string{"ADD", "MOD", "DEL"}[m.Command])
	c := &openflow.MeterConfig{Meter: m.Meter}
	if m.Command != openflow.MeterDelete {
		c.Flags, c.Bands = m.Flags, m.Bands
	}
	return AppendMeter(b, c)
}

func appendAsync(b []byte, c *openflow.AsyncConfig) []byte {
	for i, who := range [...]string{"primary", "secondary"} {
		if i > 0 {
			b = append(b, '\n')
		}
		b = fmt.Appendf(b, "\n %s:\n", who)
		for _, l := range [...]struct {
			name  string
			bits  uint32
			words []string
		}{{"PACKET_IN", c.PacketIn[i], reasonWords[:]}, {"PORT_STATUS", c.PortStatus[i], []string{"add", "delete", "modify"}},
			{"FLOW_REMOVED", c.FlowRemoved[i], []string{"idle", "hard", "delete", "group_delete"}},
			{"ROLE_STATUS", 0, nil}, {"TABLE_STATUS", 0, nil}, {"REQUESTFORWARD", 0, nil}} {
			b = fmt.Appendf(b, "%16s:", l.name)
			for j, w := range l.words {
				if l.bits&(1<<j) != 0 {
					b = append(append(b, ' '), w...)
				}
			}
			if l.bits == 0 {
				b = append(b, " (off)"...)
			}
			b = append(b, '\n')
		}
		b = b[:len(b)-1]
	}
	return append(b, '\n')
}

func (n *Names) appendExperimenter(b []byte, m *openflow.Experimenter) []byte {
	u16 := binary.BigEndian.Uint16
	if p, err := of10.PacketIn(m); err != nil {
		return appendHexDump(fmt.Appendf(b, " ***decode error: %s***\n", codeName(err)), m.Data)
	} else if p != nil {
		return n.appendPacketIn(b, &p.PacketIn)
	}
	switch name := experimenterName(m.Experimenter, m.ExpType); {
	case name == "ONFT_BUNDLE_CONTROL" && len(m.Data) >= 8:
		types := [...]string{"OPEN_REQUEST", "OPEN_REPLY", "CLOSE_REQUEST", "CLOSE_REPLY", "COMMIT_REQUEST", "COMMIT_REPLY", "DISCARD_REQUEST", "DISCARD_REPLY"}
		b = appendHex(append(b, "\n bundle_id="...), uint64(binary.BigEndian.Uint32(m.Data)))
		b = fmt.Appendf(b, " type=%s flags=", types[u16(m.Data[4:])&7])
		return append(b, bitWords(uint32(u16(m.Data[6:])), []string{"atomic", "ordered"})...)
	case name == "ONFT_BUNDLE_ADD_MESSAGE" && len(m.Data) >= 16:
		b = appendHex(append(b, "\n bundle_id="...), uint64(binary.BigEndian.Uint32(m.Data)))
		b = fmt.Appendf(b, " flags=%s\n", bitWords(uint32(u16(m.Data[6:])), []string{"atomic", "ordered"}))
		return noNames.AppendMessage(b, m.Data[8:])
	case name == "NXT_SET_PACKET_IN_FORMAT" && len(m.Data) == 4:
		formats := [...]string{"standard", "nxt_packet_in", "nxt_packet_in2"}
		return fmt.Appendf(b, " format=%s", formats[min(binary.BigEndian.Uint32(m.Data), 2)])
	case name == "NXT_SET_FLOW_FORMAT" && len(m.Data) == 4:
		return fmt.Appendf(b, " format=%s", map[uint32]string{0: "openflow10", 2: "nxm"}[binary.BigEndian.Uint32(m.Data)])
	case name == "NXT_FLOW_MOD_TABLE_ID" && len(m.Data) > 0:
		return append(append(b, ' '), map[bool]string{true: "enable", false: "disable"}[m.Data[0] != 0]...)
	case name == "NXT_SET_CONTROLLER_ID" && len(m.Data) == 8:
		return fmt.Appendf(b, " id=%d", u16(m.Data[6:]))
	}
	return appendHexDump(append(b, '\n'), m.Data)
}

// ErrorName is the name of the code of an ERROR message.
func ErrorName(raw []byte) string {
	m, _, err := read(raw)
	if e, ok := m.(*openflow.Error); ok && err == nil {
		return codeName(e)
	}
	return "unknown error"
}
