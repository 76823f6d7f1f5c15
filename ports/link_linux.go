package ports

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// linkEventBuffer is the netlink socket's receive buffer. One link message is
// about 1.5 kB, so a script that makes several hundred interfaces at once does
// not overrun it; when one does, the kernel says ENOBUFS and all is listed anew.
const linkEventBuffer = 1 << 20

// Links follows the network interfaces of one network namespace by netlink and
// tells the ports that stand on them. One watcher serves all ports of a
// namespace: hand it to them in [Options.Links].
//
// It belongs to the namespace of the thread that called NewLinks, whatever
// thread calls its methods later.
type Links struct {
	ns      netns.NsHandle
	request *netlink.Handle   // its sockets stay in ns, also when other threads use them
	events  *nl.NetlinkSocket // RTNLGRP_LINK
	control int               // a socket for ioctls that netlink has no message for
	stopped chan struct{}     // closed when the watching goroutine has ended

	asking sync.Mutex // held from a question to the storing of its answer, so that none overwrites a later one

	mu       sync.Mutex
	closed   bool             // guarded by mu
	byIndex  map[int]link     // guarded by mu: what the kernel last answered
	watchers map[int64]func() // guarded by mu
	next     int64            // guarded by mu: the next watcher's key, and the next link's birth
	pending  map[int]bool     // guarded by mu: interfaces to ask for, and whether they were deleted
	wake     chan struct{}    // has a token when pending has grown

	kept kept // of xdp ports' closed sockets
}

// link is one interface as netlink describes it.
type link struct {
	index   int
	birth   int64 // tells an interface from a later one that was given the same index
	name    string
	kind    string // netlink.Link's Type: veth, tuntap, device (hardware), ...
	mac     string // as bytes, so that links can be compared
	mtu     int
	ether   bool // has Ethernet framing
	adminUp bool
	carrier bool
	master  int // the interface that it is a member of; 0: none
}

// NewLinks starts to watch the calling thread's network namespace.
func NewLinks() (*Links, error) {
	l := &Links{stopped: make(chan struct{}), byIndex: map[int]link{}, watchers: map[int64]func(){},
		pending: map[int]bool{}, wake: make(chan struct{}, 1)}
	var err error
	if l.ns, err = netns.Get(); err != nil {
		return nil, fmt.Errorf("network namespace of this thread: %w", err)
	}
	if l.request, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		_ = l.ns.Close()
		return nil, fmt.Errorf("netlink socket for requests: %w", err)
	}
	if l.events, err = nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK); err != nil {
		l.request.Close()
		_ = l.ns.Close()
		return nil, fmt.Errorf("netlink socket for link events: %w", err)
	}
	if l.control, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		l.control = -1 // speed and duplex stay unknown
	}
	if l.events.SetReceiveBufferSize(linkEventBuffer, true) != nil { // needs CAP_NET_ADMIN
		_ = l.events.SetReceiveBufferSize(linkEventBuffer, false)
	}
	// Subscribed first and listed second: what happens in between is asked for
	// once more, and nothing is missed.
	if err := l.list(); err != nil {
		close(l.stopped)
		_ = l.Close()
		return nil, fmt.Errorf("list of network interfaces: %w", err)
	}
	go l.watch()
	return l, nil
}

// Close stops watching. Ports that still use the watcher see no more changes.
func (l *Links) Close() error {
	l.mu.Lock()
	closed := l.closed
	l.closed = true
	clear(l.watchers)
	if !closed {
		l.events.Close() // under the lock, for drain
	}
	l.mu.Unlock()
	if closed {
		return nil
	}
	<-l.stopped
	l.request.Close()
	_ = unix.Close(l.control)
	return l.ns.Close()
}

// watch keeps byIndex as the kernel says until the socket is closed.
func (l *Links) watch() {
	defer close(l.stopped)
	var asker sync.WaitGroup
	defer asker.Wait()
	end := make(chan struct{})
	defer close(end)
	asker.Go(func() { l.askPending(end) })
	for {
		msgs, from, err := l.events.Receive()
		l.mu.Lock()
		closed := l.closed
		l.mu.Unlock()
		switch {
		case closed:
			return
		case errors.Is(err, unix.ENOBUFS): // events were lost and are not told again
			l.drain()
			err = l.list()
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		}
		if err != nil {
			return // the socket is broken beyond use; the ports keep their last state
		}
		if from != nil && from.Pid != nl.PidKernel {
			continue // any process may send to our address
		}
		hints, lost := map[int]bool{}, false // interface -> was deleted
		for _, m := range msgs {
			h := unix.NlMsghdr(m.Header)
			if i, ok := touched(&h, m.Data); ok {
				hints[i] = hints[i] || h.Type == unix.RTM_DELLINK
				lost = l.lost(i, m.Data) || lost
			}
		}
		if lost {
			l.tell()
		}
		l.askFor(hints)
	}
}

// askFor has interfaces asked for. The caller may hold nothing.
func (l *Links) askFor(hints map[int]bool) {
	l.mu.Lock()
	for i, deleted := range hints {
		l.pending[i] = l.pending[i] || deleted
	}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// askPending asks for what changed. It is not the goroutine that reads the events, because a question may wait for long
// behind somebody else's changes, and a carrier that is lost meanwhile must be seen.
func (l *Links) askPending(end <-chan struct{}) {
	for {
		select {
		case <-l.wake:
		case <-end:
			return
		}
		l.mu.Lock()
		hints := l.pending
		l.pending = map[int]bool{}
		l.mu.Unlock()
		for i, deleted := range hints {
			l.refresh(i, deleted)
		}
		l.tell()
	}
}

// drain throws away the events that wait behind a gap: the list that follows
// says more, and room is made for what comes after it.
func (l *Links) drain() {
	l.mu.Lock()
	defer l.mu.Unlock() // so that the number stays what it is
	if l.closed {
		return
	}
	fd, buf := l.events.GetFd(), make([]byte, 1<<16)
	for {
		_, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
		if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// touched says which interface an event is about.
func touched(h *unix.NlMsghdr, data []byte) (index int, ok bool) {
	if h.Type != unix.RTM_NEWLINK && h.Type != unix.RTM_DELLINK || len(data) < unix.SizeofIfInfomsg {
		return 0, false
	}
	// A bridge tells of its ports in the same group: RTM_DELLINK of family
	// AF_BRIDGE means "left the bridge", not "is gone".
	info := nl.DeserializeIfInfomsg(data)
	return int(info.Index), info.Family == unix.AF_UNSPEC
}

// lost notes that an interface has no carrier any more, before refresh asks for the rest. That question waits for the
// kernel's lock over all configuration of all namespaces, which others may hold for long, while frames of a fast failover
// group go to a dead link. The flags are told without that lock.
func (l *Links) lost(index int, event []byte) bool {
	was, known := l.index(index)
	if !known || !was.carrier || nl.DeserializeIfInfomsg(event).Flags&unix.IFF_LOWER_UP != 0 {
		return false
	}
	ifr, err := unix.NewIfreq(was.name)
	if err != nil || unix.IoctlIfreq(l.control, unix.SIOCGIFFLAGS, ifr) != nil || ifr.Uint16()&unix.IFF_RUNNING != 0 {
		return false // the event is old, or the interface has another name by now
	}
	return l.markLost(was)
}

// askCarrier asks an interface for its carrier and notes a loss. The kernel tells of losses at most once a second, all
// interfaces together, and knows of one when it is asked. This question, too, may wait as refresh does.
func (l *Links) askCarrier(index int) {
	was, known := l.index(index)
	if !known || !was.carrier {
		return
	}
	value := ethtoolValue{cmd: unix.ETHTOOL_GLINK}
	if !l.ethtoolCall(was.name, unsafe.Pointer(&value)) || value.data != 0 || !l.markLost(was) {
		return
	}
	l.tell()
	l.askFor(map[int]bool{index: false}) // it may be back by now
}

// markLost notes that an interface, of which nothing else has been heard since, has lost its carrier.
func (l *Links) markLost(was link) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byIndex[was.index] != was {
		return false
	}
	was.carrier = false
	l.byIndex[was.index] = was
	return true
}

// refresh asks what an interface is now. An event is taken as a hint and not at
// its word: it tells what was when it was queued, and a port that was opened
// meanwhile would see its interface go down and up again.
func (l *Links) refresh(index int, deleted bool) {
	l.asking.Lock()
	defer l.asking.Unlock()
	now, err := l.request.LinkByIndex(index)
	l.mu.Lock()
	defer l.mu.Unlock()
	if deleted || errors.As(err, new(netlink.LinkNotFoundError)) {
		delete(l.byIndex, index) // one that has got the same index since is another one
	}
	if err == nil {
		l.put(linkOf(now))
	}
}

// put remembers an interface. The caller holds mu.
func (l *Links) put(got link) link {
	if was, ok := l.byIndex[got.index]; ok {
		got.birth = was.birth
	} else {
		l.next++
		got.birth = l.next
	}
	l.byIndex[got.index] = got
	return got
}

func linkOf(n netlink.Link) link {
	a := n.Attrs()
	return link{
		index: a.Index, name: a.Name, kind: n.Type(), mac: string(a.HardwareAddr), mtu: a.MTU,
		ether:   a.EncapType == "ether",
		adminUp: a.RawFlags&unix.IFF_UP != 0,
		carrier: a.RawFlags&unix.IFF_LOWER_UP != 0,
		master:  a.MasterIndex,
	}
}

// list replaces all that is known by a fresh list.
func (l *Links) list() error {
	l.asking.Lock()
	defer l.asking.Unlock()
	var all []netlink.Link
	var err error
	for range 8 { // a list that changed while it was read is marked; another try is better
		if all, err = l.request.LinkList(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := make(map[int]bool, len(all))
	for _, n := range all {
		seen[l.put(linkOf(n)).index] = true
	}
	for i := range l.byIndex {
		if !seen[i] {
			delete(l.byIndex, i)
		}
	}
	return nil
}

// tell calls every watcher. None of them runs under the lock: they come back
// with questions.
func (l *Links) tell() {
	l.mu.Lock()
	fns := make([]func(), 0, len(l.watchers))
	for _, fn := range l.watchers {
		fns = append(fns, fn)
	}
	l.mu.Unlock()
	for _, fn := range fns {
		fn()
	}
}

// subscribe has fn called, from goroutines of its own, after anything changed.
// A call may still be under way when cancel returns.
func (l *Links) subscribe(fn func()) (cancel func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := l.next
	l.next++
	l.watchers[key] = fn
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.watchers, key)
	}
}

// index finds an interface by the kernel's number.
func (l *Links) index(i int) (link, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	got, ok := l.byIndex[i]
	return got, ok
}

// there says whether an interface is.
func (l *Links) there(i int) bool {
	_, ok := l.index(i)
	return ok
}

// name finds an interface by its name.
func (l *Links) name(name string) (link, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, got := range l.byIndex {
		if got.name == name {
			return got, true
		}
	}
	return link{}, false
}

// ask looks an interface up in the kernel and remembers the answer: the event
// of one that was made a moment ago may still be on its way.
func (l *Links) ask(name string) (link, bool) {
	l.asking.Lock()
	defer l.asking.Unlock()
	n, err := l.request.LinkByName(name)
	if err != nil || n.Attrs().Name != name { // the kernel also answers to alternative names
		return link{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.put(linkOf(n)), true
}

// within runs fn on a thread of the watcher's namespace: a tap belongs to the
// namespace of the thread that opens it. Only a process that keeps several
// namespaces has to switch, and needs CAP_SYS_ADMIN for it.
func (l *Links) within(fn func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	here, err := netns.Get()
	if err != nil {
		return fmt.Errorf("network namespace of this thread: %w", err)
	}
	defer func() { _ = here.Close() }()
	if l.ns.Equal(here) {
		return fn()
	}
	if err := netns.Set(l.ns); err != nil {
		return fmt.Errorf("entering the port's network namespace: %w", err)
	}
	err = fn()
	if back := netns.Set(here); back != nil {
		// This thread must never run anything else: without an unlock the
		// runtime ends it together with its goroutine.
		runtime.LockOSThread()
		return errors.Join(err, fmt.Errorf("returning from the port's network namespace: %w", back))
	}
	return err
}
