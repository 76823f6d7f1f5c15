package agent

import (
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/ports"
)

// TestStartInItsNamespace: a program that keeps a namespace for its switch has all ports there: where Env.Links was made,
// or else where Start is called.
func TestStartInItsNamespace(t *testing.T) {
	for _, how := range []string{"with Links", "without Links"} {
		t.Run(how, func(t *testing.T) {
			runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				if os.Getenv("CI") == "true" {
					t.Fatalf("a network namespace of its own: %v", err)
				}
				t.Skipf("a network namespace of its own: %v", err)
			}
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			cfg := BridgeConfig{Name: "br0", Tables: 4}
			for i, name := range []string{"sw1", "sw2", "sw3"} {
				v := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: "host" + name[2:]}
				v.Name = name
				must(netlink.LinkAdd(v))
				must(netlink.LinkSetUp(v))
				peer, err := netlink.LinkByName(v.PeerName)
				must(err)
				must(netlink.LinkSetUp(peer))
				cfg.Ports = append(cfg.Ports, PortConfig{Spec: ports.Spec{Kind: ports.KindAFPacket, Name: name, Target: name, Number: uint32(i + 1)}})
			}
			var env Env
			if how == "with Links" {
				links, err := ports.NewLinks()
				must(err)
				t.Cleanup(func() { links.Close() })
				env.Links = links
			}
			sw, err := NewSwitch(cfg, env)
			must(err)
			t.Cleanup(func() { sw.Close() })
			must(sw.Start())
			fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
			must(err)
			t.Cleanup(func() { unix.Close(fd) })
			for _, p := range sw.table.Load().list {
				if i := p.dev.Info(); !i.LinkUp {
					t.Fatalf("port %s does not work: %q", p.name, i.Problem)
				}
				from, err := netlink.LinkByName("host" + p.name[2:])
				must(err)
				eventually(t, "a frame comes in by "+p.name, func() bool {
					must(unix.Sendto(fd, frame(2, 1, "x"), 0, &unix.SockaddrLinklayer{Ifindex: from.Attrs().Index}))
					return p.counters.Snapshot().RxPackets > 0
				})
			}
		})
	}
}
