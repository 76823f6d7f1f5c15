package integration

import (
	"errors"
	"fmt"
	"strings"
	"testing"
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
	names := b.joined([2]string{"s1-2", "s2-2"}, [2]string{"s2-3", "s3-2"}, [2]string{"s3-3", "s1-3"})
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
	t.Logf("a ring: blocked %q", tree(1))

	// A cable of the tree is pulled: the closed port opens.
	if err := b.Switch.LinkDown("s1-2"); err != nil {
		t.Fatal(err)
	}
	tree(0)
	if err := b.Switch.LinkUp("s1-2"); err != nil {
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
