//go:build libpcap

package ports

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcap"

	"github.com/weirswitch/weir/flowtable/packet"
)

// pcapLive is an Ethernet device by way of libpcap: slower than the Linux
// kinds, but it is there on every system that has libpcap, macOS among them.
//
// libpcap does not say which checksums a host left to its card, nor where a
// super-frame is to be cut: switch off checksum, segmentation and receive
// offloads on the device and on what it is connected to
// (ethtool -K eth0 tx off tso off gso off gro off lro off).
//
// One goroutine reads into a bounded ring, since libpcap only blocks. Another
// looks once a second whether the device is there, up and unchanged.
type pcapLive struct {
	name   string
	device string
	mtu    int // asked for; 0 = the device's
	o      Options
	rx     *ring
	stop   chan struct{}
	done   sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	handle  *pcap.Handle // nil: not capturing
	lost    int          // frames the kernel lost on this handle so far
	fin     Finisher
	seen    net.Interface // as last looked at; Index 0: gone
	problem string
}

var _ Port = (*pcapLive)(nil)

const (
	liveTimeout = 100 * time.Millisecond // how long Close waits for the reader at most
	liveBuffer  = 16 << 20               // the kernel's, for bursts
	liveLook    = time.Second
	maxLive     = 64<<10 + frameOverhead
)

func openPcapLive(s Spec, o Options) (Port, error) {
	p := &pcapLive{name: s.Name, device: s.Target, mtu: s.MTU, o: o, rx: newRing(ringSlots, ringBytes), stop: make(chan struct{})}
	handle, err := activate(s.Target)
	if errors.Is(err, errDenied) {
		return nil, err
	}
	p.look()
	if err != nil {
		p.problem = err.Error()
	}
	p.handle = handle
	p.done.Go(p.receive)
	p.done.Go(p.watch)
	return p, nil
}

var errDenied = errors.New("capturing with libpcap needs CAP_NET_RAW: " +
	"grant it with `setcap cap_net_raw,cap_net_admin+ep bin/weir-libpcap`, or run weir as root or in a user namespace of its own (unshare -Urn)")

// activate starts capturing what comes in, not what we send.
func activate(device string) (*pcap.Handle, error) {
	in, err := pcap.NewInactiveHandle(device)
	if err != nil {
		return nil, err
	}
	defer in.CleanUp()
	for _, err := range []error{
		in.SetSnapLen(maxLive), in.SetPromisc(true), in.SetTimeout(liveTimeout),
		in.SetImmediateMode(true), in.SetBufferSize(liveBuffer),
	} {
		if err != nil {
			return nil, fmt.Errorf("libpcap on %s: %w", device, err)
		}
	}
	h, err := in.Activate()
	switch {
	case err != nil && strings.Contains(strings.ToLower(err.Error()), "permi"):
		return nil, fmt.Errorf("libpcap on %s: %w", device, errDenied)
	case err != nil:
		return nil, fmt.Errorf("libpcap on %s: %w", device, err)
	case h.LinkType() != layers.LinkTypeEthernet:
		defer h.Close()
		return nil, fmt.Errorf("%s is no Ethernet device but %v", device, h.LinkType())
	}
	if err := h.SetDirection(pcap.DirectionIn); err != nil {
		defer h.Close()
		return nil, fmt.Errorf("libpcap cannot leave out the frames that weir itself sends on %s: %w", device, err)
	}
	return h, nil
}

// receive captures until the port closes, beginning anew when the device fails.
func (p *pcapLive) receive() {
	for {
		p.mu.Lock()
		h := p.handle
		p.mu.Unlock()
		if h != nil {
			p.detach(h, p.capture(h))
		}
		select {
		case <-p.stop:
			return
		case <-time.After(liveLook):
		}
		h, err := activate(p.device)
		p.mu.Lock()
		p.handle, p.problem = h, ""
		if err != nil {
			p.handle, p.problem = nil, err.Error()
		}
		p.mu.Unlock()
		if err == nil {
			p.look()
			p.o.changed()
		}
	}
}

// capture reads one handle until it fails or the port closes.
func (p *pcapLive) capture(h *pcap.Handle) error {
	for {
		select {
		case <-p.stop:
			return ErrClosed
		default:
		}
		b, ci, err := h.ZeroCopyReadPacketData()
		switch {
		case errors.Is(err, pcap.NextErrorTimeoutExpired):
		case err != nil:
			return err
		case len(b) < minFrame, ci.CaptureLength < ci.Length:
			p.o.Counters.DropRx(DropTruncated, 1)
		case !fits(b, p.mtu): // 0: the device has the say
			p.o.Counters.DropRx(DropTooBig, 1)
		case !p.rx.push(b, packet.Offload{}):
			p.o.Counters.DropRx(DropFull, 1)
		}
	}
}

func (p *pcapLive) detach(h *pcap.Handle, err error) {
	p.mu.Lock()
	p.countLost()
	p.handle, p.lost = nil, 0
	h.Close()
	if !p.closed {
		p.problem = fmt.Sprintf("libpcap on %s: %v; trying again", p.device, err)
	}
	p.mu.Unlock()
	p.look()
	p.o.changed()
}

// countLost counts what the kernel could not give us because we were too
// slow. p.mu is held.
func (p *pcapLive) countLost() {
	if p.handle == nil {
		return
	}
	if s, err := p.handle.Stats(); err == nil {
		lost := s.PacketsDropped + s.PacketsIfDropped
		p.o.Counters.DropRx(DropDevice, lost-p.lost)
		p.lost = lost
	}
}

// watch looks after the device.
func (p *pcapLive) watch() {
	t := time.NewTicker(liveLook)
	defer t.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-t.C:
			if p.look() {
				p.o.changed()
			}
		}
	}
}

// look asks the system for the device's state and says whether it changed.
func (p *pcapLive) look() bool {
	var now net.Interface
	if i, err := net.InterfaceByName(p.device); err == nil {
		now = *i
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.seen
	p.seen = now
	p.countLost()
	return was.Index != now.Index || was.MTU != now.MTU || was.Flags != now.Flags ||
		was.HardwareAddr.String() != now.HardwareAddr.String()
}

// Wait implements Port.
func (p *pcapLive) Wait() error { return p.rx.wait() }

// Read implements Port. The frames lie in the port's own memory.
func (p *pcapLive) Read(frames []*packet.Frame) (int, error) {
	if p.rx.isClosed() {
		return 0, ErrClosed
	}
	n, size := p.rx.lend(frames)
	p.o.Counters.CountRx(n, size)
	return n, nil
}

// Write implements Port. libpcap sends one frame a call.
func (p *pcapLive) Write(frames []*packet.Frame) (taken int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.linkUp() {
		p.o.Counters.DropTx(DropLinkDown, len(frames))
		return 0
	}
	mtu := p.mtu
	if mtu == 0 {
		mtu = p.seen.MTU
	}
	packets, size := 0, 0
	for _, f := range frames {
		if reason, ok := p.fin.Begin(f, mtu); !ok {
			p.o.Counters.DropTx(reason, 1)
			continue
		}
		before := packets
		for b := p.fin.Next(); b != nil; b = p.fin.Next() {
			if err := p.handle.WritePacketData(b); err != nil {
				p.o.Counters.DropTx(DropDevice, 1)
				continue
			}
			packets, size = packets+1, size+len(b)
		}
		if packets > before {
			taken++
		}
	}
	p.o.Counters.CountTx(packets, size)
	return taken
}

// linkUp says whether frames can leave. p.mu is held.
func (p *pcapLive) linkUp() bool {
	const working = net.FlagUp | net.FlagRunning
	return p.handle != nil && !p.closed && p.seen.Flags&working == working
}

// Info implements Port.
func (p *pcapLive) Info() Info {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := Info{
		Name: p.name, Kind: KindPcap, Device: p.device, MAC: p.seen.HardwareAddr, MTU: p.seen.MTU, IfIndex: p.seen.Index,
		Present: p.seen.Index != 0, AdminUp: p.seen.Flags&net.FlagUp != 0, LinkUp: p.linkUp(), Problem: p.problem,
	}
	if p.mtu != 0 {
		i.MTU = p.mtu
	}
	return i
}

// Close implements Port.
func (p *pcapLive) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed, p.problem = true, ""
	p.mu.Unlock()
	close(p.stop)
	p.rx.close()
	p.done.Wait()
	return nil
}
