package conformance

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/weirswitch/weir/agent"
	"github.com/weirswitch/weir/openflow"
)

// Messages: sections 6.1 to 6.3, 7.1, 7.3 and 7.5. Handshake, roles, auxiliary connections, probes and slow
// controllers have their tests in agent; README.md says where.

// TestMessageTypes: what a switch does not take is BAD_TYPE, what has the wrong length BAD_LEN; the
// connection goes on.
func TestMessageTypes(t *testing.T) {
	badType, badLen := failure(openflow.ErrBadRequest, openflow.BRCBadType), failure(openflow.ErrBadRequest, openflow.BRCBadLen)
	var cases []conform
	for _, n := range []int{30, 31, 99, 127, 128, 200, 255} {
		cases = append(cases, conform{name: fmt.Sprintf("type %d", n), section: "7.1", raw: &rawRequest{kind: openflow.Type(n), body: make([]byte, 8)}, fails: badType})
	}
	// Well-formed, but for a switch to send.
	for kind, size := range map[openflow.Type]int{openflow.TypeFeaturesReply: 24, openflow.TypeGetConfigReply: 4, openflow.TypeBarrierReply: 0,
		openflow.TypeRoleReply: 16, openflow.TypeGetAsyncReply: 24, openflow.TypeQueueGetConfigReply: 8, openflow.TypePortStatus: 72} {
		cases = append(cases, conform{name: kind.String(), section: "7.1", raw: &rawRequest{kind: kind, body: make([]byte, size)}, fails: badType})
	}
	for kind, size := range map[openflow.Type]int{openflow.TypeFeaturesRequest: 0, openflow.TypeGetConfigRequest: 0, openflow.TypeSetConfig: 4,
		openflow.TypeBarrierRequest: 0, openflow.TypeQueueGetConfigRequest: 8, openflow.TypeRoleRequest: 16, openflow.TypeGetAsyncRequest: 0,
		openflow.TypeSetAsync: 24, openflow.TypePortMod: 32, openflow.TypeTableMod: 8} {
		for _, n := range []int{0, 1, 7, size - 1, size + 1, size + 8} {
			if n < 0 || n == size {
				continue
			}
			c := conform{name: fmt.Sprintf("%s of %d bytes", kind, 8+n), section: "7.1", raw: &rawRequest{kind: kind, body: make([]byte, n)}, fails: badLen}
			if !slices.ContainsFunc(cases, func(o conform) bool { return o.name == c.name }) {
				cases = append(cases, c)
			}
		}
	}
	for kind, size := range map[openflow.Type]int{openflow.TypePacketOut: 16, openflow.TypeFlowMod: 40, openflow.TypeGroupMod: 8, openflow.TypeMeterMod: 8,
		openflow.TypeMultipartRequest: 8, openflow.TypeExperimenter: 8} {
		cases = append(cases, conform{name: fmt.Sprintf("%s of %d bytes", kind, 7+size), section: "7.1", raw: &rawRequest{kind: kind, body: make([]byte, size-1)}, fails: badLen})
	}
	cases = append(cases, conform{name: "a stranger's message", section: "7.5.4", raw: &rawRequest{kind: openflow.TypeExperimenter, body: make([]byte, 8)},
		fails: failure(openflow.ErrBadRequest, openflow.BRCBadExperimenter)})
	check(t, cases)
}

// TestOrder: requests sent without waiting are answered in their order, the barrier after all before it
// (sections 6.2 and 7.3.8).
func TestOrder(t *testing.T) {
	perform(t, []play{{name: "forty requests at once", section: "6.2", run: func(s *stage) {
		a := s.another()
		kinds := []openflow.Message{&openflow.EchoRequest{Data: []byte("x")}, &openflow.FeaturesRequest{}, flow(match(eq(openflow.TCPDst, 1))), &openflow.GetConfigRequest{},
			&openflow.MultipartRequest{Type: openflow.MultipartDesc}, &openflow.BarrierRequest{}, &openflow.RoleRequest{}, &openflow.GetAsyncRequest{},
			&openflow.QueueGetConfigRequest{Port: openflow.PortAny}, group(1, groupIndirect)}
		answers := []openflow.Type{openflow.TypeEchoReply, openflow.TypeFeaturesReply, openflow.TypeError, openflow.TypeGetConfigReply, openflow.TypeMultipartReply,
			openflow.TypeBarrierReply, openflow.TypeRoleReply, openflow.TypeGetAsyncReply, openflow.TypeQueueGetConfigReply, openflow.TypeError}
		sent := make(chan error, 1)
		go func() {
			var err error
			for i := range 40 {
				err = errors.Join(err, a.conn.Queue(uint32(1000+i), kinds[i%len(kinds)]))
			}
			sent <- errors.Join(err, a.conn.Flush())
		}()
		for i := range 40 {
			m, raw := a.next()
			if h := openflow.ReadHeader(raw); h.XID != uint32(1000+i) || h.Type != answers[i%len(answers)] {
				s.t.Fatalf("answer %d has the number %d: %v", i, h.XID, m)
			}
		}
		must(s.t, <-sent)
	}}})
}

// TestBarrier: a frame that comes right after the barrier's answer meets the new tables, groups and meters,
// by whatever port and worker, though all of them have the old way in mind (section 6.2).
func TestBarrier(t *testing.T) {
	four := func(_ *agent.BridgeConfig, e *agent.Env) { e.Workers = 4 }
	// Each change leads frames from ports 1 and 2 to the port given, 3 or 4.
	changes := map[string]func(to openflow.PortNo, round int) []openflow.Message{
		"entries added and removed": func(to openflow.PortNo, round int) (list []openflow.Message) {
			for i := range 30 {
				list = append(list, with(flow(matchAs(as(0x0800, 6), eq(openflow.TCPDst, uint64(i))), apply(out(7-to))), priority(uint16(round))))
			}
			list = append(list, with(flow(anyUDP, apply(out(to))), priority(uint16(1000+round))))
			if round > 0 {
				list = append(list, with(flow(anyUDP), command(removeStrict), priority(uint16(999+round))))
			}
			return list
		},
		"an entry replaced": func(to openflow.PortNo, _ int) []openflow.Message {
			return setup(flow(everything, goTo(1)), flowIn(1, anyUDP, apply(out(to))))
		},
		"an entry modified": func(to openflow.PortNo, round int) []openflow.Message {
			m := flow(anyUDP, write(out(to)))
			if round > 0 {
				m.Command = modify
			}
			return setup(m)
		},
		"a group modified": func(to openflow.PortNo, round int) []openflow.Message {
			m := group(1, groupIndirect, bucket(out(to)))
			if round == 0 {
				return setup(m, flow(anyUDP, apply(toGroup(1))))
			}
			return setup(changed(m))
		},
		"a meter that lets nothing pass, and away": func(to openflow.PortNo, round int) []openflow.Message {
			shut := meter(1, pktps, drop(0, 0))
			open := meter(1, pktps)
			open.Command = openflow.MeterModify
			return setup(&openflow.MeterMod{Command: openflow.MeterDelete, Meter: 1}, shut, flow(anyUDP, useMeter(1), apply(out(to))), open)
		},
	}
	var plays []play
	for name, change := range changes {
		plays = append(plays, play{name: name, section: "6.2", change: []options{four}, run: func(s *stage) {
			frames := [][]byte{frame(eth{src: macA}, ip4{}, udp{}), frame(eth{src: macB}, ip4{}, udp{})}
			for round := range 100 {
				to := openflow.PortNo(3 + round%2)
				must(s.t, s.c.Apply(change(to, round)...)) // ends with a barrier
				for i, f := range frames {
					must(s.t, s.send(i+1, f, noOffload))
				}
				for range frames {
					if err := until("no frame", func() bool { _, ok := s.receive(int(to)); return ok }); err != nil {
						s.t.Fatalf("round %d, port %d: %v", round, to, err)
					}
				}
				if f, wrong := s.receive(7 - int(to)); wrong {
					s.t.Fatalf("round %d: by the old way: % x", round, f.Bytes())
				}
			}
		}})
	}
	perform(t, plays)
}

// TestPortMod: the bits of a port's configuration (section 7.2.1).
func TestPortMod(t *testing.T) {
	up := openflow.Action{Type: openflow.ActionOutput, Port: openflow.PortController, MaxLen: 65535}
	in := packetIn{reason: openflow.ReasonAction, data: plain}.line()
	with := func(s *stage, port int, bits openflow.PortConfig) {
		s.t.Helper()
		s.do(flow(anyIP, apply(out(openflow.PortAll), up)), portMod(s, port, bits, bits))
		s.says(fmt.Sprintf("port-status %s %d", openflow.PortModified, port))
	}
	again := func(s *stage, port int, bits openflow.PortConfig) {
		s.t.Helper()
		s.do(portMod(s, port, 0, bits))
		s.take()
		s.gives(1, plain, both(to(2, plain), to(3, plain), to(4, plain)), in)
	}
	perform(t, []play{
		{name: "NO_RECV", section: "7.2.1", run: func(s *stage) {
			with(s, 1, openflow.PortNoRecv)
			s.gives(1, plain, nil)
			again(s, 1, openflow.PortNoRecv)
		}},
		{name: "NO_FWD", section: "7.2.1", run: func(s *stage) {
			with(s, 3, openflow.PortNoFwd)
			s.gives(1, plain, both(to(2, plain), to(4, plain)), in)
			again(s, 3, openflow.PortNoFwd)
		}},
		{name: "NO_PACKET_IN", section: "7.2.1", run: func(s *stage) {
			// The text stops table-miss packet-ins alone; so does Open vSwitch, and an entry's own output goes.
			with(s, 1, openflow.PortNoPacketIn)
			s.gives(1, plain, both(to(2, plain), to(3, plain), to(4, plain)), in)
			s.do(flow(anyIP, apply(out(2))), miss(0, apply(up)))
			s.gives(1, plain, to(2, plain))
			s.gives(1, frame(eth{}, arp{}), nil)
		}},
		{name: "PORT_DOWN", section: "7.2.1", run: func(s *stage) {
			with(s, 2, openflow.PortDown)
			s.gives(1, plain, both(to(3, plain), to(4, plain)), in)
			if s.send(2, plain, noOffload) == nil { // nothing comes in by it either: the device is down, or throws away what comes
				must(s.t, s.settle())
				s.says()
			}
		}},
		{name: "a mask leaves the other bits", section: "7.3.4.3", run: func(s *stage) {
			both := openflow.PortNoFwd | openflow.PortNoRecv
			s.do(portMod(s, 2, both, both), portMod(s, 2, 0, openflow.PortNoFwd), portMod(s, 2, both|openflow.PortDown|openflow.PortNoPacketIn, 0))
			list, err := s.c.Ports()
			must(s.t, err)
			s.same("config", list[1].Config, openflow.PortNoRecv)
		}},
		{name: "a change of nothing is told to nobody", section: "7.3.4.3", run: func(s *stage) {
			s.do(portMod(s, 2, 0, openflow.PortNoFwd))
			s.says()
		}},
	})
}
