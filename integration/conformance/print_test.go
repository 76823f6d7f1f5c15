package conformance

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirswitch/weir/agent"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
)

// tap is a connection that keeps what comes in.
type tap struct {
	net.Conn
	mu  sync.Mutex
	got bytes.Buffer
}

func (t *tap) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.got.Write(b[:n])
	return n, err
}

// messages are those that have come in whole.
func (t *tap) messages() (list [][]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for b := t.got.Bytes(); len(b) >= 8; {
		n := int(openflow.ReadHeader(b).Length)
		if n > len(b) {
			return list
		}
		list, b = append(list, bytes.Clone(b[:n])), b[n:]
	}
	return list
}

// kinds names what a message is: the type, of a multipart reply its own type, of an error its code.
func (t *tap) kinds() map[string][]byte {
	kinds := map[string][]byte{}
	for _, raw := range t.messages() {
		m, _, err := openflow.Decode(raw)
		name := "undecodable"
		if err == nil {
			name = m.MsgType().String()
		}
		switch m := m.(type) {
		case *openflow.MultipartReply:
			name += " " + m.Type.String()
		case *openflow.Error:
			name += " " + m.CodeName()
		case *openflow.PacketIn:
			name += fmt.Sprint(" ", m.Reason)
		case *openflow.PortStatus:
			name += fmt.Sprint(" ", m.Reason)
		case *openflow.FlowRemoved:
			name += fmt.Sprint(" ", m.Reason)
		}
		if len(raw) > len(kinds[name]) { // the longest of a kind
			kinds[name] = raw
		}
	}
	return kinds
}

// sentTypes is every message that a switch sends, and every multipart reply but the experimenter's.
func sentTypes() (names []string) {
	for _, t := range []openflow.Type{openflow.TypeHello, openflow.TypeEchoRequest, openflow.TypeEchoReply, openflow.TypeFeaturesReply,
		openflow.TypeGetConfigReply, openflow.TypeBarrierReply, openflow.TypeQueueGetConfigReply, openflow.TypeRoleReply, openflow.TypeGetAsyncReply} {
		names = append(names, t.String())
	}
	for k := openflow.MultipartDesc; k <= openflow.MultipartPortDesc; k++ {
		names = append(names, openflow.TypeMultipartReply.String()+" "+k.String())
	}
	for r := openflow.ReasonNoMatch; r <= openflow.ReasonInvalidTTL; r++ {
		names = append(names, openflow.TypePacketIn.String()+fmt.Sprint(" ", r))
	}
	for r := openflow.PortAdded; r <= openflow.PortModified; r++ {
		names = append(names, openflow.TypePortStatus.String()+fmt.Sprint(" ", r))
	}
	for r := openflow.RemovedIdleTimeout; r <= openflow.RemovedGroupDelete; r++ {
		names = append(names, openflow.TypeFlowRemoved.String()+fmt.Sprint(" ", r))
	}
	return names
}

// TestOFPPrint: Open vSwitch's own printer reads every message that the switch really sends.
func TestOFPPrint(t *testing.T) {
	program, err := exec.LookPath("ovs-ofctl")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("ovs-ofctl is missing: make deps installs openvswitch-common")
		}
		t.Skip("needs ovs-ofctl")
	}
	near, far := net.Pipe()
	s := &stage{newBench(t, queuesOn2, calls(near)), t}
	heard := talk(s, far)
	kinds := heard.kinds()
	for _, name := range sentTypes() {
		if kinds[name] == nil {
			t.Errorf("the switch sent no %s", name)
		}
	}
	dump := regexp.MustCompile(`(?m)^[0-9a-f]{8}  [0-9a-f]{2}[ -]`)
	for name, raw := range kinds {
		t.Run(name, func(t *testing.T) {
			out, err := exec.Command(program, "-voff", "ofp-print", hex.EncodeToString(raw)).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			text := string(out)
			if code, is := strings.CutPrefix(name, "ERROR "); is { // behind it is the bad request, which may be unreadable
				text, _, _ = strings.Cut(text, "\n")
				if !strings.HasSuffix(text, ": "+code) {
					t.Errorf("%s reads %s", name, text)
				}
			}
			if strings.Contains(text, "***") || strings.Contains(text, "decode error") || strings.Contains(text, "unknown") || dump.MatchString(text) {
				t.Errorf("% x\n reads\n%s", raw, text)
			}
			if first := strings.ToUpper(strings.Fields(name)[0]); !strings.HasPrefix(text, "OFPT_"+first) && !strings.HasPrefix(text, "OFPST_") {
				t.Errorf("%s reads\n%s", name, text)
			}
		})
	}
	t.Logf("%d kinds of message", len(kinds))
}

// calls has a switch of four tables connect to a controller at the other end of nc, which it asks after
// five seconds of silence whether it is there.
func calls(nc net.Conn) options {
	free := make(chan net.Conn, 1)
	free <- nc
	return func(c *agent.BridgeConfig, e *agent.Env) {
		c.Tables = 4
		c.Controllers = []agent.ControllerConfig{{Target: agent.Target{Scheme: "tcp", Host: "c", Port: 6653}, InactivityProbe: 5 * time.Second,
			MinBackoff: time.Hour, MaxBackoff: time.Hour}}
		e.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			select {
			case nc := <-free:
				return nc, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
}

// talk has the switch send everything it can to the controller at far.
func talk(s *stage, far net.Conn) *tap {
	heard := &tap{Conn: far}
	c, err := oftest.New(heard, oftest.Config{Timeout: patience})
	must(s.t, err)
	s.t.Cleanup(func() { c.Close() })
	fill(s)

	request := func(m openflow.Message) {
		s.t.Helper()
		if _, err := c.Request(m); err != nil {
			s.t.Fatalf("%v: %v", m, err)
		}
	}
	for _, m := range []openflow.Message{&openflow.EchoRequest{}, &openflow.FeaturesRequest{}, &openflow.GetConfigRequest{},
		&openflow.BarrierRequest{}, &openflow.QueueGetConfigRequest{Port: 2}, &openflow.GetAsyncRequest{}, &openflow.RoleRequest{Role: openflow.RoleMaster, GenerationID: 5}} {
		request(m)
	}
	all := openflow.AllFlows()
	for k, body := range map[openflow.MultipartType]openflow.Record{openflow.MultipartFlow: all, openflow.MultipartAggregate: all,
		openflow.MultipartPortStats: &openflow.PortStatsRequest{Port: openflow.PortAny},
		openflow.MultipartQueue:     &openflow.QueueStatsRequest{Port: openflow.PortAny, Queue: openflow.QueueAll},
		openflow.MultipartGroup:     &openflow.GroupStatsRequest{Group: openflow.GroupAll},
		openflow.MultipartMeter:     &openflow.MeterRequest{Meter: openflow.MeterAll}, openflow.MultipartMeterConfig: &openflow.MeterRequest{Meter: openflow.MeterAll}} {
		_, err := c.Multipart(k, body)
		must(s.t, err)
	}
	for _, k := range []openflow.MultipartType{openflow.MultipartDesc, openflow.MultipartTable, openflow.MultipartGroupDesc, openflow.MultipartGroupFeatures,
		openflow.MultipartMeterFeatures, openflow.MultipartTableFeatures, openflow.MultipartPortDesc} {
		_, err := c.Multipart(k)
		must(s.t, err)
	}
	happen(s)
	for _, m := range []openflow.Message{with(flow(everything), inTable(99)), flow(match(eq(openflow.TCPDst, 1))), flow(everything, apply(out(openflow.PortAny))),
		group(1, groupAll), meter(1, pktps), portMod(s, 1, 1<<1, 1<<1), &openflow.TableMod{TableID: 99}, &openflow.QueueGetConfigRequest{Port: 99},
		&openflow.RoleRequest{Role: openflow.RoleMaster, GenerationID: 4}, flow(everything, goTo(0)), &openflow.BarrierReply{}} {
		if _, err := c.Request(m); err == nil {
			s.t.Errorf("%v was not refused", m)
		}
	}
	s.pass(6 * time.Second) // silent for so long: the switch asks
	must(s.t, until("no ECHO_REQUEST", func() bool { return heard.kinds()[openflow.TypeEchoRequest.String()] != nil }))
	return heard
}

// fill gives the switch something of everything to tell of. What Open vSwitch has no words for (PBB,
// copy_ttl_*, in_phy_port) is left out: such entries come in messages of their own (agent/multipart.go).
func fill(s *stage) {
	reg := func(n int) openflow.SubField {
		return openflow.SubField{ID: openflow.Reg0 + openflow.FieldID(n), Bits: 32}
	}
	s.do(group(1, groupAll, bucket(out(2), setDst), bucket(openflow.Action{Type: openflow.ActionSetQueue, Queue: 3}, out(3))),
		group(2, groupSelect, weighing(3, out(2)), watchPort(3, out(3))), group(3, groupIndirect, bucket(toGroup(1))),
		group(4, groupFailover, watchPort(2, out(2)), watchGroup(1, toGroup(1))),
		meter(1, kbps|burst|openflow.MeterStats, drop(5, 6), remark(3, 2, 1)), meter(openflow.MeterController, pktps, drop(1000, 0)),
		with(flow(matchAs(as(0x0800, 17), masked(openflow.IPv4Dst, 0x0a000000, 0xff000000), eq(openflow.UDPDst, 77)), useMeter(1),
			apply(decTTL, push(openflow.ActionPushVLAN, 0x8100), set(openflow.VLANVID, 0x1005), out(openflow.PortInPort)),
			clearActions(), write(toGroup(2), setDst), writeMetadata(5, 255), goTo(2)), cookie(7), idle(50), hard(60), flags(31)),
		with(flow(match(eq(openflow.Reg0, 5), masked(openflow.Metadata, 4, 12)), apply(
			openflow.Action{Type: openflow.NXMove, Src: reg(0), Dst: reg(1)}, openflow.Action{Type: openflow.NXResubmit, Port: openflow.PortInPort, Table: 2}, out(2))), cookie(8)),
		with(flow(match(as(0x8847)...), apply(simple(openflow.ActionDecMPLSTTL), openflow.Action{Type: openflow.ActionPopMPLS, EtherType: 0x0800}, out(openflow.PortNormal))), cookie(9)),
		with(flow(matchAs(as(0x86dd, 58, 135), eq(openflow.NDSLL, 5)), apply(out(openflow.PortFlood), out(openflow.PortAll), out(openflow.PortLocal))), cookie(10)),
		portMod(s, 4, openflow.PortNoFwd, openflow.PortNoFwd))
}

// happen brings about every asynchronous message.
func happen(s *stage) {
	up := openflow.Action{Type: openflow.ActionOutput, Port: openflow.PortController, MaxLen: 65535}
	s.do(with(miss(3, apply(up)), cookie(1)), with(flowIn(3, matchAs(as(0x0800), eq(openflow.InPort, 1)), writeMetadata(9, 9), apply(up)), cookie(2)),
		with(flow(matchAs(as(0x0800), eq(openflow.InPort, 1)), writeMetadata(9, 9), goTo(3)), priority(500)),
		with(flow(match(eq(openflow.InPort, 2)), goTo(3)), priority(500)),
		with(flow(matchAs(as(0x0800), eq(openflow.InPort, 3)), apply(decTTL)), priority(500)))
	must(s.t, s.inject(1, plain, noOffload))
	must(s.t, s.inject(2, frame(eth{}, arp{}), noOffload))
	must(s.t, s.inject(3, frame(eth{}, ip4{ttl: 1}, udp{}), noOffload))
	s.do(group(9, groupAll), told(priority(1)), told(priority(2), idle(1)), told(priority(3), hard(1)), told(priority(4), doing(apply(toGroup(9)))),
		groupDelete(9), with(told(priority(1)), command(removeStrict)))
	s.pass(1200 * ms)
	s.do(portMod(s, 4, 0, openflow.PortNoFwd))
	cfg := s.sw.Config().Ports[3]
	must(s.t, s.sw.RemovePort("p4"))
	must(s.t, s.addPort(cfg))
}
