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

// appendUpdate writes an event of a flow monitor, on a line of its own.
func (n *Names) appendUpdate(b []byte, u *openflow.FlowUpdate) []byte {
	b = fmt.Appendf(b, "\n event=%s", u.Event)
	if u.Event == openflow.FlowEventAbbrev {
		return appendHex(append(b, " xid="...), uint64(u.XID))
	}
	if u.Event == openflow.FlowEventDeleted {
		b = fmt.Appendf(b, " reason=%s", u.Reason)
	}
	b = n.appendTable(append(b, " table="...), u.TableID)
	if u.IdleTimeout != 0 {
		b = fmt.Appendf(b, " idle_timeout=%d", u.IdleTimeout)
	}
	if u.HardTimeout != 0 {
		b = fmt.Appendf(b, " hard_timeout=%d", u.HardTimeout)
	}
	b = append(appendHex(append(b, " cookie="...), u.Cookie), ' ')
	before := len(b)
	b = n.appendMatch(b, u.Match, DefaultPriority) // the priority is not shown: an omission of ovs-ofctl
	if u.Instructions.IsEmpty() {
		return b
	}
	if len(b) > before {
		b = append(b, ' ')
	}
	return n.appendInstructions(append(b, "actions="...), u.Instructions)
}
