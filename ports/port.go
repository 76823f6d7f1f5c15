package ports

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/weirswitch/weir/flowtable/packet"
)

// Port is one place where frames enter and leave the switch. Every kind (a
// device, a pipe, a file, a socket) hides behind these five methods.
//
// Wait and Read belong to one reader at a time; Write, Info and Close may be
// called by anyone at any time. A port counts its own traffic in
// [Options.Counters]; nobody else does.
type Port interface {
	// Wait blocks until Read may have frames to give. It may return early; the
	// answer to an early return is a Read of zero frames and another Wait. It
	// returns ErrClosed after Close, and no other error.
	Wait() error

	// Read fills frames in order and returns how many it filled. It never
	// blocks. What it filled stays valid until the next Read or Wait of this
	// port: a port may lend its own memory. Every frame has packet.Headroom
	// bytes before it that may be overwritten.
	Read(frames []*packet.Frame) (int, error)

	// Write sends frames and returns how many were taken. What was not taken
	// is lost and counted by reason. The port neither changes the frames nor
	// keeps them after the return. It never blocks for a slow receiver.
	Write(frames []*packet.Frame) int

	// Info is a snapshot of what the port is and whether it works now.
	Info() Info

	// Close gives back what was taken: it restores the device, removes what
	// weir made, and wakes Wait. Calling it again does nothing.
	Close() error
}

// Inlet is a place where frames come in: a port, or a part of one. Wait and Read are as in
// Port, and belong to one reader.
type Inlet interface {
	Wait() error
	Read(frames []*packet.Frame) (int, error)
}

// Parted is a port whose frames come in by several inlets, so that they can be read side by side.
// Frames of one flow come by one of them.
type Parted interface {
	Port
	Inlets() []Inlet // at least one, and always the same ones; the port's own Wait and Read are those of the first
}

// AdminSetter is a port whose administrative state can be switched, which is
// what a PORT_MOD with OFPPC_PORT_DOWN asks (OpenFlow 1.3.5, 7.3.4.3). For
// other ports the switch keeps the state to itself and drops.
type AdminSetter interface {
	SetUp(up bool) error
}

// CarrierAsker is a port whose system may know of a lost link before it tells: AskCarrier asks, and Info has the answer
// when it returns. It may wait for others who change the system's network.
type CarrierAsker interface {
	AskCarrier()
}

// ErrClosed is what Wait and Read return once the port is closed.
var ErrClosed = errors.New("port is closed")

// Info is a snapshot of a port's properties and state.
type Info struct {
	Name    string           // the port's name in the bridge, from Spec.Name
	Kind    Kind             // the kind it was opened as
	Device  string           // what it stands on now: interface, peer, file or address
	MAC     net.HardwareAddr // the device's own address; nil: the agent makes one up
	MTU     int              // largest payload behind the Ethernet header; 0 = no limit of its own
	IfIndex int              // the kernel's index; 0 = none
	Speed   uint64           // kbit/s now; 0 = unknown
	Max     uint64           // kbit/s at best; 0 = unknown
	Duplex  Duplex

	Present bool // the device, peer or file exists
	AdminUp bool // nobody has switched it off
	LinkUp  bool // frames written now have a chance to arrive: Present, AdminUp and carrier
	Offload bool // takes frames with unfinished checksums and GSO super-frames whole

	How string // in what way the device is used, in words, where there are several; may be empty

	Problem string // why it is not working and how to mend it; empty while all is well
}

// Duplex says whether both directions may be used at once.
type Duplex uint8

// What a device reports of its duplex mode.
const (
	DuplexUnknown Duplex = iota
	DuplexHalf
	DuplexFull
)

// Options are what the owner of a port hands to Open. The zero value works.
type Options struct {
	// Counters is where the port counts. The agent owns it, so that figures
	// survive closing and re-opening; nil: the port makes its own.
	Counters *Counters

	// OnChange is called after Info has changed (link, carrier, MTU, rename,
	// device gone or back). It may come from any goroutine, also from inside
	// Open, Close and SetUp; it must not block and must not call the port's
	// Close. nil: nobody cares.
	OnChange func()

	// Owner is whose port it is, in words for the people of another process who
	// want the same device: "bridge br0".
	Owner string

	// NoOffload makes the port refuse frames with pending checksums or
	// segmentation: they are finished in software before they are written, and
	// the device is asked not to give any.
	NoOffload bool

	// Links follows the interfaces of the network namespace that the ports are
	// opened in; one serves them all. nil: each port makes its own.
	Links *Links

	// Patches is where patch ports find their peers. Ports of one registry can
	// reach each other; nil: a patch port is refused.
	Patches *Patches

	// Pipes is where a pipe named in a configuration finds its other end;
	// nil: a pipe is refused.
	Pipes *Pipes
}

// changed tells the owner that Info is not what it was.
func (o *Options) changed() {
	if o.OnChange != nil {
		o.OnChange()
	}
}

// Open opens the port that spec describes. A device or peer that does not
// exist yet is no error: the port is there, LinkUp is false, and it starts to
// work when the device appears. An error means that it can never work as
// written: a wrong spec, a missing capability, an address in use.
func Open(spec Spec, o Options) (Port, error) {
	if o.Counters == nil {
		o.Counters = new(Counters)
	}
	if err := spec.Check(); err != nil {
		return nil, err
	}
	open, ok := openers[spec.Kind]
	if !ok {
		return nil, fmt.Errorf("port %s: no such kind of port %q; there are %s", spec.Name, spec.Kind, kindList())
	}
	p, err := open(spec, o)
	if err != nil {
		return nil, fmt.Errorf("port %s: %w", spec.Name, err)
	}
	return p, nil
}

// openers has one line a kind; it is never written to.
var openers = map[Kind]func(Spec, Options) (Port, error){
	KindAFPacket: openAFPacket,
	KindXDP:      openXDP,
	KindTAP:      openTAP,
	KindInternal: openInternal,
	KindPatch:    openPatch,
	KindPipe:     openPipe,
	KindWire:     openWire,
	KindPcap:     openPcap,
}

// DropReason names why a port lost a frame.
type DropReason uint8

// The reasons, in the order in which they are reported.
const (
	DropFull       DropReason = iota // queue or ring full: the receiver is slower than the sender
	DropTooBig                       // longer than the MTU allows
	DropTruncated                    // shorter than an Ethernet header, or cut off
	DropLinkDown                     // no carrier, no peer, or switched off
	DropNoRoom                       // the reader's buffer is smaller than the frame
	DropBadOffload                   // checksum or segmentation request that does not fit the frame
	DropMalformed                    // bytes that are no frame: bad framing, bad record
	DropDevice                       // the kernel or the device refused or lost it
	dropReasons
)

// DropReasons is how many reasons there are: valid ones are below it.
const DropReasons = int(dropReasons)

// String is the reason's name in statistics.
func (r DropReason) String() string {
	names := [...]string{"full", "too-big", "truncated", "link-down", "no-room", "bad-offload", "malformed", "device"}
	if int(r) < len(names) {
		return names[r]
	}
	return fmt.Sprintf("reason-%d", uint8(r))
}

// Counters are one port's figures since its number was given out. A GSO
// super-frame counts as one packet of all its bytes, as in Linux. Rx is what
// enters the switch. The port adds; everybody may read.
type Counters struct {
	RxPackets, RxBytes, TxPackets, TxBytes atomic.Uint64
	RxErrors, TxErrors                     atomic.Uint64 // failures that are no single frame's loss
	RxDrops, TxDrops                       [dropReasons]atomic.Uint64
	TxFinished                             atomic.Uint64 // sent frames whose checksum or segmentation was done in software
}

// CountRx adds frames that entered the switch.
func (c *Counters) CountRx(packets, bytes int) {
	if packets > 0 {
		c.RxPackets.Add(uint64(packets))
		c.RxBytes.Add(uint64(bytes))
	}
}

// CountTx adds frames that left the switch.
func (c *Counters) CountTx(packets, bytes int) {
	if packets > 0 {
		c.TxPackets.Add(uint64(packets))
		c.TxBytes.Add(uint64(bytes))
	}
}

// DropRx adds n frames lost before they entered the switch.
func (c *Counters) DropRx(r DropReason, n int) {
	if n > 0 {
		c.RxDrops[r].Add(uint64(n))
	}
}

// DropTx adds n frames lost on their way out.
func (c *Counters) DropTx(r DropReason, n int) {
	if n > 0 {
		c.TxDrops[r].Add(uint64(n))
	}
}

// CounterValues is what Counters held at one moment. The drops are split by
// reason; RxDropped and TxDropped are their sums, as OpenFlow reports them.
type CounterValues struct {
	RxPackets, RxBytes, TxPackets, TxBytes uint64
	RxErrors, TxErrors                     uint64
	RxDropped, TxDropped                   uint64
	RxDrops, TxDrops                       [dropReasons]uint64
	TxFinished                             uint64
}

// Snapshot reads all counters. Each is exact; together they may be a frame apart.
func (c *Counters) Snapshot() CounterValues {
	v := CounterValues{
		RxPackets: c.RxPackets.Load(), RxBytes: c.RxBytes.Load(),
		TxPackets: c.TxPackets.Load(), TxBytes: c.TxBytes.Load(),
		RxErrors: c.RxErrors.Load(), TxErrors: c.TxErrors.Load(), TxFinished: c.TxFinished.Load(),
	}
	for i := range v.RxDrops {
		v.RxDrops[i], v.TxDrops[i] = c.RxDrops[i].Load(), c.TxDrops[i].Load()
		v.RxDropped += v.RxDrops[i]
		v.TxDropped += v.TxDrops[i]
	}
	return v
}
