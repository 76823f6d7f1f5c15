package agent

import (
	"bytes"
	"encoding/binary"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// mischief is a switch that does one thing wrong.
type mischief struct {
	name string
	// change returns what the controller gets instead of one message of the switch; it may spoil the bytes.
	change func(p *proxy, m received) [][]byte
	// hangUp has, for each controller that must notice, words of its reason.
	hangUp map[string]string
}

// proxy carries messages between the switch and a controller, each of them whole.
type proxy struct {
	sw, ctl net.Conn
	spoken  chan struct{} // closed when the controller has said something
	once    sync.Once
	held    [][]byte // what change keeps back
	state   int      // of change
}

// startProxy returns a channel that closes when both sides have hung up.
func startProxy(sw, ctl net.Conn, bad *mischief) <-chan struct{} {
	p := &proxy{sw: sw, ctl: ctl, spoken: make(chan struct{})}
	var both sync.WaitGroup
	both.Go(func() { p.relay(ctl, sw, nil) })
	both.Go(func() { p.relay(sw, ctl, bad) })
	done := make(chan struct{})
	go func() { both.Wait(); close(done) }()
	return done
}

func (p *proxy) relay(from, to net.Conn, bad *mischief) {
	defer p.once.Do(func() { close(p.spoken) })
	defer to.Close()
	defer from.Close()
	conn := openflow.NewConn(from)
	for {
		raw, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if from == p.ctl {
			p.once.Do(func() { close(p.spoken) })
		}
		out := [][]byte{raw}
		if bad != nil {
			r := received{raw: bytes.Clone(raw)}
			r.m, r.xid, _ = openflow.Decode(r.raw)
			out = bad.change(p, r)
		}
		for _, b := range out {
			if _, err := to.Write(b); err != nil {
				return
			}
		}
	}
}

// on changes messages of one type, and multipart replies of one kind only.
func on(t openflow.Type, change func(p *proxy, raw []byte) [][]byte) func(*proxy, received) [][]byte {
	return func(p *proxy, m received) [][]byte {
		if openflow.ReadHeader(m.raw).Type != t {
			return [][]byte{m.raw}
		}
		return change(p, m.raw)
	}
}

func onPart(kind openflow.MultipartType, change func(p *proxy, raw []byte) [][]byte) func(*proxy, received) [][]byte {
	return on(openflow.TypeMultipartReply, func(p *proxy, raw []byte) [][]byte {
		if openflow.MultipartType(binary.BigEndian.Uint16(raw[8:])) != kind {
			return [][]byte{raw}
		}
		return change(p, raw)
	})
}

// set writes bytes into a message at an offset.
func set(at int, b ...byte) func(*proxy, []byte) [][]byte {
	return func(_ *proxy, raw []byte) [][]byte {
		copy(raw[at:], b)
		return [][]byte{raw}
	}
}

func silence(*proxy, []byte) [][]byte { return nil }

// refuse answers with an error instead.
func refuse(kind openflow.ErrorType, code uint16) func(*proxy, []byte) [][]byte {
	return func(_ *proxy, raw []byte) [][]byte {
		return [][]byte{openflow.Append(nil, openflow.ReadHeader(raw).XID, &openflow.Error{Type: kind, Code: code, Data: raw[:8]})}
	}
}

// before puts a message of the switch's own in front.
func before(m openflow.Message) func(*proxy, []byte) [][]byte {
	return func(_ *proxy, raw []byte) [][]byte { return [][]byte{openflow.Append(nil, 0, m), raw} }
}

// resized changes the length of a message to that of b.
func resized(b []byte) [][]byte {
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return [][]byte{b}
}

// inTwo sends the records of a reply in two messages.
func inTwo(size int) func(*proxy, []byte) [][]byte {
	return func(_ *proxy, raw []byte) [][]byte {
		first, second := bytes.Clone(raw[:16+size]), append(bytes.Clone(raw[:16]), raw[16+size:]...)
		first[11] |= 1
		return append(resized(first), resized(second)...)
	}
}

// spoilProperty changes the first property of a kind in the first table.
func spoilProperty(kind uint16, spoil func(p []byte)) func(*proxy, []byte) [][]byte {
	return func(_ *proxy, raw []byte) [][]byte {
		for b := raw[16+64:]; len(b) >= 4; {
			n := int(binary.BigEndian.Uint16(b[2:]))
			if binary.BigEndian.Uint16(b) == kind {
				spoil(b[:n])
				break
			}
			b = b[(n+7)/8*8:]
		}
		return [][]byte{raw}
	}
}

// each is a reason for every controller.
func each(words string, names ...string) map[string]string {
	m := map[string]string{}
	for _, n := range names {
		m[n] = words
	}
	return m
}

var everyone = []string{"ONOS", "Floodlight", "OpenDaylight", "Faucet"}

// mischiefs are what breaks home-made switches: for each point at which a controller is known to hang up, a switch that
// gets it wrong.
var mischiefs = []mischief{
	{"waits for the controller's HELLO", on(openflow.TypeHello, func(p *proxy, raw []byte) [][]byte {
		<-p.spoken
		return [][]byte{raw}
	}), each("no HELLO", "ONOS")},
	{"HELLO of version 1.5", on(openflow.TypeHello, set(0, 6)), each("HELLO of version 6", everyone...)},
	{"PORT_STATUS before the features", on(openflow.TypeFeaturesReply, before(&openflow.PortStatus{})), each("PORT_STATUS is not allowed now", "Floodlight")},
	{"datapath id 0", on(openflow.TypeFeaturesReply, set(8, make([]byte, 8)...)), each("datapath id 0", everyone...)},
	{"an error for GET_CONFIG", on(openflow.TypeGetConfigReply, refuse(openflow.ErrBadRequest, openflow.BRCBadLen)), each("unexpected error", "ONOS", "Floodlight")},
	{"a barrier answered too late", func(p *proxy, m received) [][]byte {
		switch openflow.ReadHeader(m.raw).Type {
		case openflow.TypeBarrierReply:
			p.held = append(p.held, m.raw)
			return nil
		case openflow.TypeGetConfigReply:
			return append([][]byte{m.raw}, p.held...)
		}
		return [][]byte{m.raw}
	}, each("expected BARRIER_REPLY", "ONOS", "Floodlight")},
	{"ports in two parts", onPart(openflow.MultipartPortDesc, inTwo(64)), each("more than 1 parts", "Floodlight")},
	{"ports that never end", onPart(openflow.MultipartPortDesc, set(10, 0, 1)), each("no MULTIPART_REPLY", "ONOS", "OpenDaylight", "Faucet")},
	{"a record cut short", onPart(openflow.MultipartPortDesc, func(_ *proxy, raw []byte) [][]byte { return resized(raw[:len(raw)-8]) }), each("cannot be parsed", everyone...)},
	{"ports without address", onPart(openflow.MultipartPortDesc, set(16+8, make([]byte, 6)...)), each("has no address", "ONOS", "Floodlight", "Faucet")},
	{"no word of meters", onPart(openflow.MultipartMeterFeatures, silence), each("no MULTIPART_REPLY", "ONOS")},
	{"a description of another length", onPart(openflow.MultipartDesc, func(_ *proxy, raw []byte) [][]byte { return resized(raw[:16+1000]) }),
		each("cannot be parsed", everyone...)},
	{"nameless hardware", onPart(openflow.MultipartDesc, set(16+256, make([]byte, 256)...)), each("string at 256", "ONOS", "Floodlight", "Faucet")},
	{"an experimenter's action in the table features", onPart(openflow.MultipartTableFeatures, spoilProperty(6, func(p []byte) { p[4], p[5] = 0xff, 0xff })),
		each("table features", "Floodlight")},
	{"a table without the actions that it can write", onPart(openflow.MultipartTableFeatures, spoilProperty(4, func(p []byte) { p[1] = 5 })), each("lacks property 4", "Floodlight")},
	{"an instruction id of no length", onPart(openflow.MultipartTableFeatures, spoilProperty(0, func(p []byte) { p[7] = 0 })), each("table features", "Floodlight")},
	{"no word of table features", onPart(openflow.MultipartTableFeatures, silence), map[string]string{
		"Floodlight": "no MULTIPART_REPLY", "OpenDaylight": "collecting features", "Faucet": "shaping tables"}},
	{"generation 0 is stale", on(openflow.TypeRoleReply, func(p *proxy, raw []byte) [][]byte {
		if p.state++; p.state < 2 {
			return [][]byte{raw}
		}
		return refuse(openflow.ErrRoleRequestFailed, 0)(p, raw)
	}), each("unexpected error", "ONOS", "OpenDaylight")},
	{"a generation before anybody set one", on(openflow.TypeRoleReply, func(p *proxy, raw []byte) [][]byte {
		if p.state++; p.state == 1 {
			binary.BigEndian.PutUint64(raw[16:], 0)
		}
		return [][]byte{raw}
	}), each("generation", "OpenDaylight")},
	{"a match normalised", onPart(openflow.MultipartFlow, func(_ *proxy, raw []byte) [][]byte {
		i := bytes.Index(raw, []byte{0x80, 0, 0x0d, 4, 0x10, 0, 0x10, 0}) // any VLAN
		if i > 0 {
			raw[i+6], raw[i+7] = 0x1f, 0xff
		}
		return [][]byte{raw}
	}), each("PENDING_ADD", "ONOS")},
	{"cookies forgotten", onPart(openflow.MultipartFlow, set(16+24, make([]byte, 8)...)), each("PENDING_ADD", "ONOS")},
	{"table 0xff refused", on(openflow.TypeBarrierReply, func(p *proxy, raw []byte) [][]byte {
		p.state++
		return append(refuse(openflow.ErrFlowModFailed, openflow.FMFCBadTableID)(p, raw), raw)
	}), each("unexpected error: ", "ONOS", "Floodlight", "Faucet")},
	{"an answer under another xid", on(openflow.TypeFeaturesReply, set(4, 0, 0, 0, 0)), each("has xid 0", everyone...)},
	{"an echo without its data", on(openflow.TypeEchoReply, func(_ *proxy, raw []byte) [][]byte { return resized(raw[:8]) }), each("waiting for an echo: data", everyone...)},
	{"an error without the request", on(openflow.TypeError, func(_ *proxy, raw []byte) [][]byte { return resized(raw[:12]) }), each("the error carries", "Faucet")},
	{"packet-ins of an action that say no-match", on(openflow.TypePacketIn, set(14, 0)), each("reason", "Faucet")},
	{"packet-ins for a miss that nobody wants", on(openflow.TypePacketIn, before(&openflow.PacketIn{BufferID: openflow.NoBuffer, Match: inPort(1), Data: frame(2, 9, "missed")})),
		each("reason no_match", "Faucet")},
	{"packet-ins without in_port", on(openflow.TypePacketIn, set(24, 0, 1, 0, 4, 0, 0, 0, 0)), each("waiting for a packet-in: in_port", "Faucet")},
	{"packet-ins that lie about the length", on(openflow.TypePacketIn, set(12, 0, 1)), each("total_len 1", "Faucet")},
	{"packet-ins without the two bytes before the frame", on(openflow.TypePacketIn, func(_ *proxy, raw []byte) [][]byte {
		return resized(append(bytes.Clone(raw[:40]), raw[42:]...)) // header, fields, match of 16 bytes, padding
	}), each("waiting for a packet-in: data", "Faucet")},
	{"a reply that stops half way", onPart(openflow.MultipartFlow, func(_ *proxy, raw []byte) [][]byte {
		if len(raw) > 20000 {
			raw = raw[:20000]
		}
		return [][]byte{raw}
	}), each("installing flows", "Faucet")},
}

// TestHandshakesNoticeMischief: each check of the replays can fail, and does for the reason that it is there for.
func TestHandshakesNoticeMischief(t *testing.T) {
	for _, bad := range mischiefs {
		t.Run(bad.name, func(t *testing.T) {
			for name, words := range bad.hangUp {
				switch why := replay(t, controllers[name], &bad); {

				case why == "":
					t.Errorf("%s notices nothing", name)
				case !strings.Contains(why, words):
					t.Errorf("%s hangs up for another reason: %s; expected %q", name, why, words)
				}
			}
		})
	}
}
