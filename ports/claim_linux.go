package ports

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// claim says to all weir processes of a network namespace that a device is taken: two that serve the
// same one would both forward its frames. It is an abstract unix socket, which belongs to the
// namespace as the device does, needs no right and no file, and ends with its process, however that
// ends. It is named after the interface's index, so that a new name changes nothing. Who connects is
// told whose port it is. The two sides of a tap are two devices.
type claim struct{ net.Listener }

// leftoverClaim is how long a claim may last whose process does not answer: it is being killed.
const leftoverClaim = 5 * time.Second

// holderHearing is how long a holder may take to say whose port a device is.
const holderHearing = 100 * time.Millisecond

// tapSide is the program's side of a tap.
const tapSide = "/tap"

func claimName(index int, side string) string { return fmt.Sprintf("@weir/device/%d%s", index, side) }

// newClaim takes the device, or says who has it. Where there is no such thing as a claim (a sandbox
// may forbid it) the device is used without one.
//
// patience is how long to wait for one that does not answer. Without any the holder is asked only for what
// it has written at once: events of links come here, and those of other ports wait meanwhile.
func newClaim(links *Links, l link, side, owner string, patience time.Duration) (*claim, error) {
	const step, glance = 10 * time.Millisecond, 2 * time.Millisecond
	end := time.Now().Add(patience)
	for {
		c, err := tryClaim(links, l.index, side, owner)
		if !errors.Is(err, unix.EADDRINUSE) {
			return c, nil
		}
		left := time.Until(end)
		who, answers := holder(links, l.index, side, max(glance, min(holderHearing, left)))
		if answers || time.Until(end) <= 0 {
			return nil, inUse(l.name, who)
		}
		time.Sleep(step)
	}
}

func inUse(name, who string) error {
	return fmt.Errorf("interface %s is %s; two switches would both forward its frames: take it out there (weir port del BRIDGE PORT), or stop that process", name, who)
}

// switched says of a host's interface that another switch of the same host forwards its frames already: the kernel hands
// them to both, and each would send them on. It is nil for a free one, and for one whose master does not take its frames (a vrf).
func (l *Links) switched(member link) error {
	if member.master == 0 {
		return nil
	}
	by, ok := l.index(member.master)
	if !ok { // its own event is still on its way
		if now, err := l.request.LinkByIndex(member.master); err == nil {
			by = linkOf(now)
		}
	}
	what, cure := "", fmt.Sprintf("`ip link set %s nomaster`", member.name)
	switch by.kind {
	case "bridge":
		what = "Linux bridge"
	case "bond", "team":
		what = by.kind
		cure += fmt.Sprintf(", or make %s the port", by.name)
	case "openvswitch":
		what, cure = "Open vSwitch datapath", fmt.Sprintf("`ovs-vsctl del-port %s`", member.name)
	default:
		return nil
	}
	return fmt.Errorf("interface %s is a member of the %s %s; two switches would both forward its frames: take it out there (%s)", member.name, what, by.name, cure)
}

func tryClaim(links *Links, index int, side, owner string) (*claim, error) {
	var c claim
	err := links.within(func() (err error) {
		c.Listener, err = net.Listen("unix", claimName(index, side))
		return err
	})
	if err != nil {
		return nil, err
	}
	go c.answer(owner)
	return &c, nil
}

// answer tells everybody who asks whose port this is, until the claim ends. The claim outlives a moment
// without free descriptors, and so does the answering.
func (c *claim) answer(owner string) {
	for {
		conn, err := c.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		_, _ = io.WriteString(conn, owner)
		_ = conn.Close()
	}
}

// holder is who has a device, in words; answers is false when nobody has it or he does not say a word in time.
func holder(links *Links, index int, side string, wait time.Duration) (who string, answers bool) {
	var conn net.Conn
	err := links.within(func() (err error) {
		conn, err = net.Dial("unix", claimName(index, side))
		return err
	})
	if err != nil {
		return "in use in another process", false
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(wait))
	owner := make([]byte, 128)
	n, _ := io.ReadFull(conn, owner)
	if n == 0 {
		return "in use" + processOf(conn) + ", which does not answer", false
	}
	owner = bytes.Map(func(r rune) rune { // it goes to a terminal
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, owner[:n])
	return "a port of " + string(owner) + processOf(conn), true
}

// processOf tells the process at the other end, if it has a number here.
func processOf(conn net.Conn) string {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return " in another process"
	}
	var cred *unix.Ucred
	if raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }) != nil || err != nil || cred.Pid == 0 {
		return " in another process"
	}
	return fmt.Sprintf(" in process %d", cred.Pid)
}

// end gives the device free.
func (c *claim) end() {
	if c != nil {
		_ = c.Close()
	}
}
