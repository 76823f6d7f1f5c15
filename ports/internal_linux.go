package ports

import (
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
)

// leftoverPatience is how long an internal port waits for the kernel to clear
// away the interface of a process that was killed a moment ago.
const leftoverPatience = 2 * time.Second

// openInternal makes the bridge's own interface: a tap with the bridge's name,
// by which the host talks through its switch. It has the addresses of the
// spec's address options; Close removes it. A persistent tap of that name,
// which an administrator may have prepared for a weir without privileges, is
// used and left there.
func openInternal(spec Spec, o Options) (Port, error) {
	p, err := newTap(spec, o)
	if err != nil {
		return nil, err
	}
	if err := p.open(leftoverPatience); err != nil {
		_ = p.Close()
		return nil, err
	}
	if err := p.addAddresses(); err != nil {
		_ = p.Close()
		return nil, err
	}
	return p, nil
}

// addAddresses gives the interface its IP addresses.
func (p *tap) addAddresses() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.putAddresses(p.link.index)
}

// putAddresses gives them to the interface of that index. p.mu is held.
func (p *tap) putAddresses(index int) error {
	var added []*netlink.Addr
	p.undo = func() {
		for _, a := range added {
			_ = p.links.request.AddrDel(numbered(index), a)
		}
	}
	for _, text := range p.spec.ArgAll("address") {
		a, err := netlink.ParseAddr(text)
		if err != nil {
			return fmt.Errorf("address %q: %w; it is written as 10.0.0.254/24 or fd00::1/64", text, err)
		}
		if err := p.links.request.AddrReplace(numbered(index), a); err != nil {
			return fmt.Errorf("giving %s the address %s: %w", p.spec.Target, text, needs(err, "CAP_NET_ADMIN"))
		}
		added = append(added, a)
	}
	return nil
}
