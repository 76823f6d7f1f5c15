package integration

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/weirswitch/weir/integration/lab"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
)

// scapy is a scapy process in a namespace with the cables p1, p2 and p3, whose other ends are the ports eth1, eth2 and
// eth3 of a bridge br0.
type scapy struct {
	t     *testing.T
	b     *bed
	space *lab.Space
	in    io.Writer
	out   chan string
	ctl   *oftest.Controller
}

// verdict is one answer of testdata/judge.py.
type verdict struct {
	Ready bool
	Wrong []string
	Bytes string
}

// question is one request; which fields count depends on what is asked.
type question struct {
	Port       string              `json:"port,omitempty"`
	Send       []string            `json:"send,omitempty"`
	Want       map[string][]string `json:"want,omitempty"`
	Unfinished bool                `json:"unfinished,omitempty"`
	Bytes      string              `json:"bytes,omitempty"`
	Expect     string              `json:"expect,omitempty"`
	Build      string              `json:"build,omitempty"`
}

// startScapyBed lays the cables, starts weir and scapy, and connects as a controller.
func startScapyBed(t *testing.T) *scapy {
	t.Helper()
	needPython(t, "scapy")
	b := newBed(t)
	space, err := b.NewSpace("judge")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"p1", "p2", "p3"}
	for i, name := range names {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = fmt.Sprintf("eth%d", i+1)
		veth := &netlink.Veth{LinkAttrs: attrs, PeerName: name, PeerNamespace: netlink.NsFd(space.FD())}
		if err := b.Switch.Netlink().LinkAdd(veth); err != nil {
			t.Fatal(err)
		}
		if err := b.Switch.LinkUp(attrs.Name); err != nil {
			t.Fatal(err)
		}
		if err := space.LinkUp(name); err != nil {
			t.Fatal(err)
		}
	}
	b.start1("--port", "1:eth1", "--port", "2:eth2", "--port", "3:eth3", "--fail-mode", "secure")
	j := &scapy{t: t, b: b, space: space, out: make(chan string, 1)}
	j.startScapy(names)
	if j.ctl, err = oftest.Dial("unix", filepath.Join(b.rundir, "br0.mgmt"), oftest.Config{Timeout: patience}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.ctl.Close() })
	return j
}

// startScapy starts testdata/judge.py on the given links.
func (j *scapy) startScapy(links []string) {
	j.t.Helper()
	script, err := filepath.Abs("testdata/judge.py")
	if err != nil {
		j.t.Fatal(err)
	}
	in, send, err := os.Pipe()
	if err != nil {
		j.t.Fatal(err)
	}
	recv, echo := io.Pipe()
	p, err := j.b.StartIn(j.space, lab.Cmd{Path: debianPython, Args: append([]string{script}, links...), In: in, Echo: echo,
		Env: []string{"PYTHONDONTWRITEBYTECODE=1"}, Dir: j.b.Dir()})
	in.Close()
	if err != nil {
		j.t.Fatal(err)
	}
	j.in = send
	go func() {
		<-p.Done()
		echo.Close()
	}()
	go func() {
		defer close(j.out)
		for sc := bufio.NewScanner(recv); sc.Scan(); {
			if strings.HasPrefix(sc.Text(), "{") { // Python's own complaints are in the output
				j.out <- sc.Text()
			}
		}
	}()
	j.t.Cleanup(func() {
		send.Close()
		if j.t.Failed() {
			j.t.Logf("scapy said:\n%s", p.Output())
		}
	})
	if !j.answer().Ready {
		j.t.Fatalf("scapy does not run: %s", p.Output())
	}
}

// ask sends a question and returns the answer.
func (j *scapy) ask(q question) verdict {
	j.t.Helper()
	text, err := json.Marshal(q)
	if err == nil {
		_, err = j.in.Write(append(text, '\n'))
	}
	if err != nil {
		j.t.Fatal(err)
	}
	return j.answer()
}

func (j *scapy) answer() (v verdict) {
	j.t.Helper()
	select {
	case text, ok := <-j.out:
		if !ok {
			j.t.Fatal("scapy has ended")
		}
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			j.t.Fatalf("%v in %s", err, text)
		}
	case <-time.After(2 * patience):
		j.t.Fatal("scapy does not answer")
	}
	return v
}

// check reports what scapy finds wrong.
func (j *scapy) check(t *testing.T, q question) {
	t.Helper()
	for _, w := range j.ask(q).Wrong {
		t.Error(w)
	}
}

// install replaces all entries and groups. The marker goes to every port whatever else there is.
func (j *scapy) install(t *testing.T, mods ...openflow.Message) {
	t.Helper()
	marker := oftest.AddFlow(0, 0xffff, openflow.NewMatch(openflow.Exact(openflow.EthType, 0x88b5)),
		openflow.ApplyActions(openflow.Output(openflow.PortAll), openflow.Output(openflow.PortInPort)))
	noGroups := &openflow.GroupMod{Command: openflow.GroupDelete, Group: openflow.GroupAll}
	if err := j.ctl.Apply(append([]openflow.Message{oftest.DeleteFlows(openflow.Match{}), noGroups, marker}, mods...)...); err != nil {
		t.Fatal(err)
	}
}

// from1 is an entry of table 0 for what comes in by port 1 and matches.
func from1(match string, list ...openflow.Instruction) *openflow.FlowMod {
	return oftest.AddFlow(0, 9, rowMatch[match].With(openflow.Exact(openflow.InPort, 1)), list...)
}

// bytes lets scapy build a frame.
func (j *scapy) bytes(text string) []byte {
	j.t.Helper()
	b, err := hex.DecodeString(j.ask(question{Build: text}).Bytes)
	if err != nil || len(b) == 0 {
		j.t.Fatalf("%s: %v", text, err)
	}
	return b
}

// TestScapy lets scapy send frames over veth and judge what weir made of them: every tag, every field, every checksum.
// The rows run with the devices' offloads as they are and with all switched off; those of TCP and UDP also with the
// checksum left to the device, as a host leaves it.
func TestScapy(t *testing.T) {
	need(t, "ethtool")
	j := startScapyBed(t)
	t.Run("default offloads", func(t *testing.T) { j.rows(t) })
	t.Run("packet-in and out", j.packets)
	t.Run("several tables", j.tables)
	t.Run("groups", j.groups)
	for i := range 3 {
		j.offloadsOff(t, j.b.Switch, fmt.Sprintf("eth%d", i+1))
		j.offloadsOff(t, j.space, fmt.Sprintf("p%d", i+1))
	}
	t.Run("no offloads", func(t *testing.T) { j.rows(t) })
}

func (j *scapy) offloadsOff(t *testing.T, s *lab.Space, link string) {
	t.Helper()
	if _, err := s.Run(t.Context(), "ethtool", "-K", link, "tx", "off", "rx", "off", "sg", "off", "tso", "off", "gso", "off",
		"gro", "off", "txvlan", "off"); err != nil {
		t.Fatal(err)
	}
}

// rows runs the tables of scapy_rows_linux_test.go.
func (j *scapy) rows(t *testing.T) {
	n := 0
	for _, list := range [][]row{tagRows, fieldRows} {
		for _, r := range list {
			t.Run(r.name, func(t *testing.T) {
				j.install(t, from1(r.match, openflow.ApplyActions(append(r.acts, openflow.Output(2))...)))
				q := question{Port: "p1", Send: []string{r.send}, Want: map[string][]string{}}
				if r.want != "" {
					q.Want["p2"] = []string{r.want}
				}
				j.check(t, q)
				n++
				if q.Unfinished = unfinishable(r.send); q.Unfinished {
					j.check(t, q)
					n++
				}
			})
		}
	}
	t.Logf("%d frames judged", n)
}

// unfinishable reports a frame whose checksum a host could leave to the device.
func unfinishable(send string) bool {
	for _, never := range []string{"chksum=0", "IPv6ExtHdr", "M(", "B("} {
		if strings.Contains(send, never) {
			return false
		}
	}
	return strings.Contains(send, "/U(") || strings.Contains(send, "/T(")
}

// packets: the bytes of a PACKET_IN are those that came, or what the actions made of them; a PACKET_OUT's actions make
// what leaves.
func (j *scapy) packets(t *testing.T) {
	toController := openflow.Output(openflow.PortController)
	for _, c := range []row{
		{"as it came", "any", acts(toController), "E()/AD(5)/Q(6)/I4()/T()", "E()/AD(5)/Q(6)/I4()/T()"},
		{"rewritten", "tcp", acts(set(openflow.IPv4Dst, ipNine), set(openflow.TCPSrc, 7), pushVLAN(0x8100), vid(5), toController), "E()/I4()/T()", "E()/Q(5)/I4(dst='10.0.0.9')/T(7)"},
		{"an expired TTL: untouched", "ip", acts(decTTL, openflow.Output(2)), "E()/I4(ttl=1)/(b'x'*60)", "E()/I4(ttl=1)/(b'x'*60)"},
	} {
		for _, unfinished := range []bool{false, unfinishable(c.send)} {
			t.Run(c.name, func(t *testing.T) {
				j.install(t, from1(c.match, openflow.ApplyActions(c.acts...)))
				if _, err := j.ctl.Send(&openflow.SetConfig{SwitchConfig: openflow.SwitchConfig{MissSendLen: openflow.ControllerNoBuffer}}); err != nil {
					t.Fatal(err)
				}
				if err := j.ctl.Barrier(); err != nil {
					t.Fatal(err)
				}
				j.check(t, question{Port: "p1", Send: []string{c.send}, Unfinished: unfinished})
				in, err := oftest.Expect[*openflow.PacketIn](j.ctl, nil)
				if err != nil {
					t.Fatal(err)
				}
				want := openflow.ReasonAction
				if c.acts[0].Type == openflow.ActionDecNwTTL {
					want = openflow.ReasonInvalidTTL
				}
				if in.Reason != want || int(in.TotalLen) != len(in.Data) {
					t.Errorf("reason %s, want %s; %d bytes of %d", in.Reason, want, len(in.Data), in.TotalLen)
				}
				j.check(t, question{Bytes: hex.EncodeToString(in.Data), Expect: c.want})
			})
		}
	}
	for _, c := range []row{
		{"out", "", acts(openflow.Output(2)), "E()/I4()/U()", "E()/I4()/U()"},
		{"out, rewritten", "", acts(set(openflow.IPv4Dst, ipNine), set(openflow.UDPDst, 7), openflow.Output(2)), "E()/I4()/U()", "E()/I4(dst='10.0.0.9')/U(dport=7)"},
		{"out by the tables", "", acts(openflow.Output(openflow.PortTable)), "E()/I4()/U()", "E()/M(5,64)/I4()/U()"},
	} {
		t.Run(c.name, func(t *testing.T) {
			j.install(t, from1("ip", openflow.ApplyActions(pushMPLS(0x8847), set(openflow.MPLSLabel, 5), openflow.Output(2))))
			out := &openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: 1, Actions: openflow.NewActions(c.acts...), Data: j.bytes(c.send)}
			if err := j.ctl.Apply(out); err != nil {
				t.Fatal(err)
			}
			j.check(t, question{Port: "p1", Want: map[string][]string{"p2": {c.want}}})
		})
	}
}

// tables: a later table matches what the frame has become.
func (j *scapy) tables(t *testing.T) {
	exact := openflow.Exact
	for _, c := range []struct {
		name, match string
		acts        []openflow.Action
		then        openflow.Match
		send, want  string
	}{
		{"a pushed tag", "any", acts(pushVLAN(0x8100), vid(5)), openflow.NewMatch(exact(openflow.VLANVID, openflow.VIDPresent|5), exact(openflow.EthType, 0x0800)), "E()/I4()/U()", "E()/Q(5)/I4()/U()"},
		{"the tag below", "vlan", acts(popVLAN), openflow.NewMatch(exact(openflow.VLANVID, openflow.VIDPresent|6)), "E()/AD(5)/Q(6)/I4()/U()", "E()/Q(6)/I4()/U()"},
		{"no tag left", "vlan", acts(popVLAN), openflow.NewMatch(exact(openflow.VLANVID, openflow.VIDNone)), "E()/Q(6)/I4()/U()", "E()/I4()/U()"},
		{"a pushed label", "ip", acts(pushMPLS(0x8847), set(openflow.MPLSLabel, 5)), proto(0x8847, 0, exact(openflow.MPLSLabel, 5), exact(openflow.MPLSBOS, 1)), "E()/I4()/U()", "E()/M(5)/I4()/U()"},
		{"ports below a popped label", "mpls", acts(popMPLS(0x0800)), proto(0x0800, 6, exact(openflow.TCPDst, 2000)), "E()/M(5)/I4()/T()", "E()/I4()/T()"},
		{"an I-SID", "any", acts(pushPBB, set(openflow.PBBISID, 5)), proto(0x88e7, 0, exact(openflow.PBBISID, 5)), "E()/I4()/U()", "E(type=0x88e7)/B(5)/E()/I4()/U()"},
		{"what was in the backbone", "pbb", acts(popPBB), proto(0x0800, 17, exact(openflow.EthDst, 0x020000000004), exact(openflow.UDPSrc, 1000)), "E(type=0x88e7)/B(5)/E(4,3)/I4()/U()", "E(4,3)/I4()/U()"},
		{"a rewritten address", "ip", acts(set(openflow.IPv4Dst, ipNine)), proto(0x0800, 0, exact(openflow.IPv4Dst, ipNine)), "E()/I4()/T()", "E()/I4(dst='10.0.0.9')/T()"},
	} {
		t.Run(c.name, func(t *testing.T) {
			j.install(t, from1(c.match, openflow.ApplyActions(c.acts...), openflow.GotoTable(1)),
				oftest.AddFlow(1, 9, c.then, openflow.WriteActions(openflow.Output(2))),
				oftest.AddFlow(1, 0, openflow.Match{}, openflow.WriteActions(openflow.Output(3))))
			j.check(t, question{Port: "p1", Send: []string{c.send, c.send}, Want: map[string][]string{"p2": {c.want, c.want}}})
		})
	}
	t.Run("one tag a table", func(t *testing.T) {
		tagged := rowMatch["vlan"]
		j.install(t, from1("vlan", openflow.ApplyActions(popVLAN), openflow.GotoTable(1)),
			oftest.AddFlow(1, 9, tagged, openflow.ApplyActions(popVLAN), openflow.GotoTable(2)),
			oftest.AddFlow(2, 9, tagged, openflow.ApplyActions(popVLAN, openflow.Output(2))))
		j.check(t, question{Port: "p1", Send: []string{"E()/AD(7)/AD(6)/Q(5)/I4()/U()"}, Want: map[string][]string{"p2": {"E()/I4()/U()"}}})
	})
	t.Run("the action set has an order of its own", func(t *testing.T) {
		j.install(t, from1("qip", openflow.WriteActions(openflow.Output(2), set(openflow.EthDst, macNine), decTTL, pushVLAN(0x88a8), popVLAN)))
		j.check(t, question{Port: "p1", Send: []string{"E()/Q(5)/I4()/U()"}, Want: map[string][]string{"p2": {"E(9)/AD(0)/I4(ttl=63)/U()"}}})
	})
}

// groups: each bucket of a group of type all changes a frame of its own; what follows the group sees none of it.
func (j *scapy) groups(t *testing.T) {
	bucket := func(list ...openflow.Action) openflow.Bucket {
		return openflow.Bucket{WatchPort: openflow.PortAny, WatchGroup: openflow.GroupAny, Actions: openflow.NewActions(list...)}
	}
	for _, unfinished := range []bool{false, true} {
		j.install(t, &openflow.GroupMod{Command: openflow.GroupAdd, Type: openflow.GroupTypeAll, Group: 1, Buckets: []openflow.Bucket{
			bucket(set(openflow.IPv4Dst, ipNine), openflow.Output(2)),
			bucket(pushVLAN(0x88a8), vid(5), openflow.Output(3)),
			bucket(set(openflow.TCPDst, 7), decTTL, openflow.Output(2)),
			bucket(pushMPLS(0x8847), set(openflow.MPLSLabel, 9), openflow.Output(3)),
			bucket(openflow.Output(3)),
		}}, from1("tcp", openflow.ApplyActions(openflow.Group(1), set(openflow.EthSrc, macNine), openflow.Output(2))))
		j.check(t, question{Port: "p1", Send: []string{"E()/I4()/T()"}, Unfinished: unfinished, Want: map[string][]string{
			"p2": {"E()/I4(dst='10.0.0.9')/T()", "E()/I4(ttl=63)/T(dport=7)", "E(2,9)/I4()/T()"},
			"p3": {"E()/AD(5)/I4()/T()", "E()/M(9)/I4()/T()", "E()/I4()/T()"},
		}})
	}
}
