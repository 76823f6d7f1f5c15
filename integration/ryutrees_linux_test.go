package integration

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirswitch/weir/integration/lab"
)

// Applications of examples/ryu that look after several switches.

// joined starts bridges s1, s2 and s3 in one process, each with a host on port 1. Cables are pairs of ends, such as
// "s1-2" for port 2 of s1.
func (b *bed) joined(cables ...[2]string) []string {
	b.t.Helper()
	names := []string{"s1", "s2", "s3"}
	b.addHosts(len(names))
	ports := map[string]string{}
	for _, c := range cables {
		if err := b.Switch.AddVeth(c[0], c[1]); err != nil {
			b.t.Fatal(err)
		}
		for _, end := range c {
			name, no, _ := strings.Cut(end, "-")
			ports[name] += fmt.Sprintf(", %q", no+":"+end)
		}
	}
	text := "bridges:\n"
	for i, name := range names {
		text += fmt.Sprintf("  - {name: %s, dpid: \"%d\", fail-mode: secure, ports: [\"1:eth%d\"%s],\n"+
			"     controllers: [{target: \"tcp:127.0.0.1:6653\", min-backoff: 100ms, max-backoff: 200ms}]}\n", name, i+1, i+1, ports[name])
	}
	b.startYAML(names, text)
	return names
}

// TestRyuTopology: LLDP finds the cables and notices when one goes and comes back.
func TestRyuTopology(t *testing.T) {
	b := newBed(t)
	names := b.joined([2]string{"s1-2", "s2-2"}, [2]string{"s2-3", "s3-2"})
	a := b.startApp("topology.py", names, "--observe-links")
	a.eventuallySays("/switches", `{"dpid": 1, "ports": ["eth1", "s1-2"]}`, `{"dpid": 3, "ports": ["eth3", "s3-2"]}`)
	all := []string{`"1:2 -> 2:2"`, `"2:2 -> 1:2"`, `"2:3 -> 3:2"`, `"3:2 -> 2:3"`}
	a.eventuallySays("/links", all...)
	pingAll(t, b.Hosts())
	if err := b.Switch.LinkDown("s2-3"); err != nil {
		t.Fatal(err)
	}
	a.eventuallySays("/links", append([]string{"!2:3", "!3:2"}, all[:2]...)...)
	if err := b.Switch.LinkUp("s2-3"); err != nil {
		t.Fatal(err)
	}
	a.eventuallySays("/links", all...)
	pingAll(t, b.Hosts())
}

// blocked lists the ports that the spanning tree has closed.
func blocked(b *bed, bridges []string) (list []string) {
	for _, br := range bridges {
		name := ""
		for _, line := range strings.Split(b.ofctl("dump-ports-desc", br), "\n") {
			if head, _, found := strings.Cut(line, ": addr:"); found {
				name = br + " " + strings.TrimSpace(head)
			} else if strings.Contains(line, "NO_FWD") {
				list = append(list, name)
			}
		}
	}
	return list
}

// TestRyuSpanningTree: a ring of three switches is one port short of a ring; a cable is pulled and put back.
func TestRyuSpanningTree(t *testing.T) {
	need(t, "ovs-ofctl")
	b := newBed(t)
	cables := [][2]string{{"s1-2", "s2-2"}, {"s2-3", "s3-2"}, {"s3-3", "s1-3"}}
	names := b.joined(cables...)
	a := b.startApp("stp.py", names, "STP_HELLO=1", "STP_MAX_AGE=5", "STP_FORWARD_DELAY=1")
	hosts := b.Hosts()
	tree := func(closed int) (list []string) {
		t.Helper()
		eventually(t, fmt.Sprintf("%d blocked ports", closed), func() error {
			if list = blocked(b, names); len(list) != closed {
				return fmt.Errorf("blocked: %q", list)
			}
			// All others forward once the last word about each of them says so.
			said := a.proc.Output()
			for _, port := range []string{"1 port 1", "2 port 1", "3 port 1"} {
				if i := strings.LastIndex(said, "switch "+port+" is "); i < 0 || !strings.HasPrefix(said[i:], "switch "+port+" is forwarding") {
					return errors.New("switch " + port + " does not forward")
				}
			}
			return nil
		})
		pingAll(t, hosts)
		return list
	}
	closed := tree(1)[0]
	t.Logf("a ring: blocked %s", closed)

	// A cable of the tree is pulled: the closed port, which is on another, opens.
	cable := cables[0]
	if strings.Contains(closed, cable[0]) || strings.Contains(closed, cable[1]) {
		cable = cables[1]
	}
	if err := b.Switch.LinkDown(cable[0]); err != nil {
		t.Fatal(err)
	}
	tree(0)
	if err := b.Switch.LinkUp(cable[0]); err != nil {
		t.Fatal(err)
	}
	t.Logf("a ring again: blocked %q", tree(1))

	// Nothing has gone round: a storm would count millions.
	for _, br := range names {
		for _, p := range portCounts(t, b, br) {
			if p > 5000 {
				t.Errorf("a port of %s has received %d frames", br, p)
			}
		}
	}
}

// portCounts are the frames that each port has received.
func portCounts(t *testing.T, b *bed, bridge string) (list []int) {
	t.Helper()
	for _, line := range strings.Split(b.ofctl("dump-ports", bridge), "\n") {
		if _, rest, found := strings.Cut(line, "rx pkts="); found {
			n := 0
			if _, err := fmt.Sscanf(rest, "%d", &n); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			list = append(list, n)
		}
	}
	if len(list) == 0 {
		t.Fatal("no ports")
	}
	return list
}

// script runs a Python program of testdata in a host.
func (b *bed) script(h *lab.Host, name string, args ...string) *lab.Proc {
	b.t.Helper()
	file, err := filepath.Abs("testdata/" + name)
	if err != nil {
		b.t.Fatal(err)
	}
	p, err := b.StartIn(h.Space, lab.Cmd{Path: debianPython, Args: append([]string{file}, args...), Env: []string{"PYTHONDONTWRITEBYTECODE=1"}})
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

// says waits for words in what a process prints.
func says(t *testing.T, p *lab.Proc, words string) {
	t.Helper()
	eventually(t, words, func() error { return contains(p.Output(), words) })
}

// TestRyuLACP: two ports are members of the bond while their partners speak, and no longer.
func TestRyuLACP(t *testing.T) {
	needRoot(t) // an internal device
	b := newBed(t)
	hosts := b.addHosts(2)
	b.start1("--dpid", "1", "--port", "1:eth1", "--port", "2:eth2", "--internal-address", "10.0.0.254/24", "--fail-mode", "secure",
		"--controller", "tcp:127.0.0.1:6653,min-backoff=100ms,max-backoff=200ms")
	a := b.startApp("lacp.py", []string{"br0"})
	a.eventuallySays("/lacp", "[]")
	one, two := b.script(hosts[0], "lacp.py"), b.script(hosts[1], "lacp.py")
	for i, p := range []*lab.Proc{one, two} {
		says(t, p, fmt.Sprintf("key 9 port %d heard %s port 1", i+1, hosts[i].MAC))
	}
	a.eventuallySays("/lacp", "[1, 2]")
	wants(t, "entries", b.cli("ofctl", "dump-flows", "br0"), "idle_timeout=3", "send_flow_rem", "dl_type=0x8809")
	one.Kill()
	a.eventuallySays("/lacp", "[2]") // three seconds of silence
	b.script(hosts[0], "lacp.py")
	a.eventuallySays("/lacp", "[1, 2]")
}

// TestRyuIGMP: a group's datagrams come to the port whose host has joined it, and to no other.
func TestRyuIGMP(t *testing.T) {
	needRoot(t) // an internal device
	b := newBed(t)
	hosts := b.addHosts(3)
	b.start1("--dpid", "1", "--port", "1:eth1", "--port", "2:eth2", "--port", "3:eth3", "--internal-address", "10.0.0.254/24", "--fail-mode", "secure",
		"--controller", "tcp:127.0.0.1:6653,min-backoff=100ms,max-backoff=200ms")
	for _, h := range hosts[1:] { // the library does not know version 3
		if _, err := h.RunCmd(t.Context(), lab.Cmd{Path: "sh", Args: []string{"-c", "echo 2 >/proc/sys/net/ipv4/conf/eth0/force_igmp_version"}}); err != nil {
			lacking(t, "%v", err)
		}
	}
	b.startApp("igmp.py", []string{"br0"})
	eventually(t, "table-miss entry", func() error { return contains(b.cli("ofctl", "dump-flows", "br0"), "priority=0 actions=CONTROLLER") })
	b.script(hosts[0], "join.py", "send", "239.1.1.1", hosts[0].Addr4().String())
	member := b.script(hosts[1], "join.py", "join", "239.1.1.1", hosts[1].Addr4().String())
	says(t, member, "datagram ")
	eventually(t, "an entry to the member's port", func() error {
		return contains(b.cli("ofctl", "dump-flows", "br0"), "priority=65535,ip,in_port=1,nw_dst=239.1.1.1 actions=output:2")
	})
	// A second member joins, the first one leaves.
	second := b.script(hosts[2], "join.py", "join", "239.1.1.1", hosts[2].Addr4().String())
	says(t, second, "datagram ")
	member.Kill()
	eventually(t, "the first member has left", func() error {
		return contains(b.cli("ofctl", "dump-flows", "br0"), "priority=65535,ip,in_port=1,nw_dst=239.1.1.1 actions=output:3")
	})
}
