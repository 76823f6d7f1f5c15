package ofctl

import (
	"encoding/binary"
	"fmt"

	"github.com/weirswitch/weir/openflow"
)

// ParseMonitor reads what watch: is followed by: !initial, !add, !delete, !modify, !actions and !own leave that
// out; table=N, out_port=PORT and a match choose the flows.
func ParseMonitor(text string, names *Names) (*openflow.FlowMonitorRequest, error) {
	p := &parser{text: text, names: names}
	list, err := p.tokens(0, len(text))
	if err != nil {
		return nil, err
	}
	out := map[string]openflow.MonitorFlags{"!initial": openflow.MonitorInitial, "!add": openflow.MonitorAdd, "!delete": openflow.MonitorDelete,
		"!modify": openflow.MonitorModify, "!actions": openflow.MonitorActions, "!own": openflow.MonitorOwn}
	m := &openflow.FlowMonitorRequest{OutPort: openflow.PortAny, TableID: openflow.TableAll, Flags: openflow.MonitorInitial | openflow.MonitorAdd |
		openflow.MonitorDelete | openflow.MonitorModify | openflow.MonitorActions | openflow.MonitorOwn}
	r := &matchReader{p: p}
	for _, k := range list {
		flag, isFlag := out[k.key]
		switch {
		case isFlag:
			m.Flags &^= flag
		case k.key == "table":
			m.TableID, err = p.table(k)
		case k.key == "out_port":
			m.OutPort, err = p.port(k.key, k.value, k.valAt)
		default:
			var known bool
			if known, err = r.word(k); err == nil && !known {
				words := append(knownMatchWords(), "table", "out_port")
				for w := range out {
					words = append(words, w)
				}
				err = p.unknown(k.at, "word of a flow monitor", k.key, words)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	m.Match, err = r.finish()
	return m, err
}

// isFlowMonitor reports the experimenter's multipart message that flow monitors travel in on OpenFlow 1.3.
func isFlowMonitor(raw []byte) bool {
	return len(raw) >= 24 && openflow.MultipartType(binary.BigEndian.Uint16(raw[8:])) == openflow.MultipartExperimenter &&
		binary.BigEndian.Uint32(raw[16:]) == openflow.ExperimenterONF && binary.BigEndian.Uint32(raw[20:]) == openflow.ONFFlowMonitor
}

// appendUpdates writes the events of a flow monitor, one a line.
func (n *Names) appendUpdates(b, data []byte) []byte {
	for len(data) >= 8 {
		size := int(binary.BigEndian.Uint16(data))
		if size < 8 || size > len(data) {
			break
		}
		b = n.appendUpdate(append(b, '\n'), data[:size])
		data = data[size:]
	}
	return b
}

func (n *Names) appendUpdate(b, u []byte) []byte {
	event := openflow.FlowEvent(binary.BigEndian.Uint16(u[2:]))
	b = fmt.Appendf(b, " event=%s", event)
	if event == openflow.FlowEventAbbrev {
		return appendHex(append(b, " xid="...), uint64(binary.BigEndian.Uint32(u[4:])))
	}
	mod, err := flowOfUpdate(u)
	if err != nil {
		return fmt.Appendf(b, " (that weir cannot read: %v)", err)
	}
	return n.appendEvent(b, event, openflow.FlowRemovedReason(u[5]), mod)
}

// appendEvent writes what an event says of its flow.
func (n *Names) appendEvent(b []byte, event openflow.FlowEvent, reason openflow.FlowRemovedReason, mod *openflow.FlowMod) []byte {
	if event == openflow.FlowEventDeleted {
		b = fmt.Appendf(b, " reason=%s", reason)
	}
	b = n.appendTable(append(b, " table="...), mod.TableID)
	if mod.IdleTimeout != 0 {
		b = fmt.Appendf(b, " idle_timeout=%d", mod.IdleTimeout)
	}
	if mod.HardTimeout != 0 {
		b = fmt.Appendf(b, " hard_timeout=%d", mod.HardTimeout)
	}
	b = append(appendHex(append(b, " cookie="...), mod.Cookie), ' ')
	before := len(b)
	b = n.appendMatch(b, mod.Match, DefaultPriority) // the priority is not shown: an omission of ovs-ofctl
	if mod.Instructions.IsEmpty() {
		return b
	}
	if len(b) > before {
		b = append(b, ' ')
	}
	return n.appendInstructions(append(b, "actions="...), mod.Instructions)
}

// flowOfUpdate reads an event as the FLOW_MOD that would make its flow: the two have match and instructions in common.
func flowOfUpdate(u []byte) (*openflow.FlowMod, error) {
	if len(u) < 32 {
		return nil, fmt.Errorf("an event of %d bytes", len(u))
	}
	b := make([]byte, 48, 48+len(u))
	b[0], b[1] = openflow.Version, byte(openflow.TypeFlowMod)
	copy(b[8:16], u[16:24]) // cookie
	b[24] = u[14]           // table
	copy(b[26:30], u[8:12]) // timeouts
	copy(b[30:32], u[6:8])  // priority
	b = append(b, u[24:]...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	m, _, err := openflow.Decode(b)
	if err != nil {
		return nil, err
	}
	return m.(*openflow.FlowMod), nil
}
