package lab

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// addrGenNone is IN6_ADDR_GEN_MODE_NONE of linux/if_link.h: no link-local address is made.
const addrGenNone = 1

// dirPrefix begins the name of a lab's directory; a random number follows.
const dirPrefix = "weir-lab-"

// staleAge is how old an unlocked directory must be to be called left behind.
const staleAge = time.Minute

// Lab is one switch namespace with the hosts around it.
type Lab struct {
	Switch *Space // where the switch under test runs

	dir  string
	lock *os.File // holds dir against removeStale

	mu     sync.Mutex
	spaces []*Space
	hosts  []*Host
	procs  []*Proc
}

// New makes a lab without hosts and a private directory for sockets and files.
func New() (*Lab, error) {
	removeStale()
	dir, err := os.MkdirTemp("", dirPrefix)
	if err != nil {
		return nil, err
	}
	l := &Lab{dir: dir}
	if l.lock, err = lockDir(dir); err == nil {
		l.Switch, err = l.NewSpace("switch")
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// lockDir marks a directory as used until the program ends, however it ends. It locks a file of its own: the directory
// itself may be locked by the switch whose run directory it is.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// removeStale removes the directories of labs whose program was killed before it could. A young directory may not be
// locked yet. (Process ids would not do: a program in another process namespace seems dead.)
func removeStale() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*"))
	for _, d := range dirs {
		if st, err := os.Stat(d); err != nil || time.Since(st.ModTime()) < staleAge {
			continue
		}
		if lock, err := lockDir(d); err == nil {
			os.RemoveAll(d)
			lock.Close()
		}
	}
}

// Dir is the lab's own directory; Close removes it.
func (l *Lab) Dir() string { return l.dir }

// NewSpace makes one more namespace that Close ends.
func (l *Lab) NewSpace(name string) (*Space, error) {
	s, err := NewSpace(name)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.spaces = append(l.spaces, s)
	l.mu.Unlock()
	return s, nil
}

// Hosts lists the hosts in the order they were added.
func (l *Lab) Hosts() []*Host {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*Host(nil), l.hosts...)
}

// Close stops the processes (newest first, politely, then not), ends the namespaces and removes the directory.
func (l *Lab) Close() {
	l.mu.Lock()
	procs, spaces := l.procs, l.spaces
	l.procs, l.spaces, l.hosts = nil, nil, nil
	l.mu.Unlock()
	for i := len(procs) - 1; i >= 0; i-- {
		procs[i].Stop()
	}
	for i := len(spaces) - 1; i >= 0; i-- {
		spaces[i].Close()
	}
	os.RemoveAll(l.dir)
	if l.lock != nil {
		l.lock.Close()
	}
}

// Host is a namespace with one Ethernet link, eth0.
type Host struct {
	*Space
	Port  string           // name of the other end of the link, in the switch's namespace
	MAC   net.HardwareAddr // of eth0; kept when the link is plugged again
	Addrs []netip.Prefix   // of eth0
	MTU   int              // of both ends; zero leaves the kernel's 1500

	sw *Space
}

// AddHost makes a host whose eth0 is a veth with the given addresses ("10.0.0.1/24", "fd00::1/64"); the other end
// appears in the switch's namespace under the name port, up and without any address.
func (l *Lab) AddHost(name, port string, addrs ...string) (*Host, error) {
	return l.AddHostAt(l.Switch, name, port, 0, addrs...)
}

// AddHostAt is AddHost with the other end of the link in namespace sw and with an MTU.
func (l *Lab) AddHostAt(sw *Space, name, port string, mtu int, addrs ...string) (*Host, error) {
	h := &Host{Port: port, MTU: mtu, sw: sw}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a)
		if err != nil {
			return nil, fmt.Errorf("host %s: %w", name, err)
		}
		h.Addrs = append(h.Addrs, p)
	}
	s, err := l.NewSpace(name)
	if err != nil {
		return nil, err
	}
	h.Space = s
	l.mu.Lock()
	n := len(l.hosts) + 1
	l.hosts = append(l.hosts, h)
	l.mu.Unlock()
	h.MAC = net.HardwareAddr{0x0a, 0, 0, 0, byte(n >> 8), byte(n)} // locally administered, easy to read in a table
	return h, h.Plug()
}

// Plug makes the veth pair, sets the addresses and brings both ends up. A host that is plugged again has its old MAC.
func (h *Host) Plug() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = h.Port
	if h.MTU != 0 {
		attrs.MTU = h.MTU
	}
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerHardwareAddr: h.MAC, PeerNamespace: netlink.NsFd(h.FD())}
	if err := h.sw.nl.LinkAdd(veth); err != nil {
		return fmt.Errorf("host %s: veth %s: %w", h.Name, h.Port, err)
	}
	if err := h.sw.LinkUp(h.Port); err != nil {
		return err
	}
	eth0, err := h.nl.LinkByName("eth0")
	if err != nil {
		return fmt.Errorf("host %s: eth0: %w", h.Name, err)
	}
	if h.MTU != 0 {
		if err := h.nl.LinkSetMTU(eth0, h.MTU); err != nil {
			return fmt.Errorf("host %s: mtu %d: %w", h.Name, h.MTU, err)
		}
	}
	if err := h.nl.LinkSetUp(eth0); err != nil {
		return fmt.Errorf("host %s: eth0 up: %w", h.Name, err)
	}
	for _, p := range h.Addrs {
		if err := h.AddAddr("eth0", p); err != nil {
			return err
		}
	}
	return nil
}

// Unplug deletes the veth pair, as if the cable and both cards had been taken away.
func (h *Host) Unplug() error { return h.sw.DeleteLink(h.Port) }

// Addr4 and Addr6 are the host's first address of a family; the zero Addr if it has none.
func (h *Host) Addr4() netip.Addr { return h.first(true) }

// Addr6 is the host's first IPv6 address.
func (h *Host) Addr6() netip.Addr { return h.first(false) }

func (h *Host) first(v4 bool) netip.Addr {
	for _, p := range h.Addrs {
		if p.Addr().Is4() == v4 {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// AddAddr sets an address at once: IPv6 without duplicate address detection, which would cost a second of waiting.
func (s *Space) AddAddr(link string, p netip.Prefix) error {
	lk, err := s.nl.LinkByName(link)
	if err != nil {
		return fmt.Errorf("%s: link %s: %w", s.Name, link, err)
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
	if p.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := s.nl.AddrAdd(lk, addr); err != nil {
		return fmt.Errorf("%s: address %s on %s: %w", s.Name, p, link, err)
	}
	return nil
}

// LinkUp sets a link up without letting the kernel talk on it: no IPv6 link-local address, so no router solicitation
// that a test would have to explain.
func (s *Space) LinkUp(name string) error { return s.change(name, "up", s.linkUp) }

func (s *Space) linkUp(lk netlink.Link) error {
	if err := s.nl.LinkSetIP6AddrGenMode(lk, addrGenNone); err != nil && err != unix.EAFNOSUPPORT {
		return err
	}
	return s.nl.LinkSetUp(lk)
}

// LinkDown takes a link down.
func (s *Space) LinkDown(name string) error { return s.change(name, "down", s.nl.LinkSetDown) }

// DeleteLink removes a link (of a veth pair: both ends).
func (s *Space) DeleteLink(name string) error { return s.change(name, "delete", s.nl.LinkDel) }

// HasLink says whether a link of that name exists now.
func (s *Space) HasLink(name string) bool {
	_, err := s.nl.LinkByName(name)
	return err == nil
}

func (s *Space) change(name, what string, f func(netlink.Link) error) error {
	lk, err := s.nl.LinkByName(name)
	if err == nil {
		err = f(lk)
	}
	if err != nil {
		return fmt.Errorf("%s: link %s: %s: %w", s.Name, name, what, err)
	}
	return nil
}

// AddVeth makes a pair inside one namespace, both ends up and silent: a cable between two switches.
func (s *Space) AddVeth(a, b string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = a
	if err := s.nl.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: b}); err != nil {
		return fmt.Errorf("%s: veth %s-%s: %w", s.Name, a, b, err)
	}
	if err := s.LinkUp(a); err != nil {
		return err
	}
	return s.LinkUp(b)
}

// AddBridge makes a kernel bridge with the named links as its ports: what stands behind a tap in a lab, and what the
// lab itself is tested against.
func (s *Space) AddBridge(name string, ports ...string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	off := false
	if err := s.nl.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &off}); err != nil {
		return fmt.Errorf("%s: bridge %s: %w", s.Name, name, err)
	}
	if err := s.LinkUp(name); err != nil {
		return err
	}
	for _, p := range ports {
		if err := s.Enslave(p, name); err != nil {
			return err
		}
	}
	return nil
}

// Enslave makes link a port of a kernel bridge and brings it up.
func (s *Space) Enslave(link, bridge string) error {
	br, err := s.nl.LinkByName(bridge)
	if err != nil {
		return fmt.Errorf("%s: bridge %s: %w", s.Name, bridge, err)
	}
	if err := s.change(link, "enslave", func(lk netlink.Link) error { return s.nl.LinkSetMaster(lk, br) }); err != nil {
		return err
	}
	return s.LinkUp(link)
}
