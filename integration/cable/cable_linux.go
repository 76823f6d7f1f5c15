package cable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/integration/lab"
)

// patience is for what should not happen.
const patience = 10 * time.Second

// ErrUnplugged is what an end without its device or peer answers.
var ErrUnplugged = errors.New("the cable is unplugged")

// kind is how a port's text and its far end are made.
type kind struct {
	text  string // NAME is the interface's name, DIR a folder, PORT and PEER two free port numbers
	stand stand
	mtu   int
	// cuts says that super-frames and unfinished checksums end before the port: it reads what a wire would carry.
	cuts bool
	// host says that the host must have done so itself: in front of generic XDP nobody cuts.
	host bool
}

// stand is what a port stands on.
type stand int

const (
	veth stand = iota
	tap
	datagrams // unixgram
	udp
	stream
)

// kinds in the order in which they are tested. An AF_XDP frame fits a page, and the others take jumbo frames.
var kinds = []struct {
	name string
	kind
}{
	{"afpacket", kind{text: "NAME", stand: veth, mtu: 9000}},
	{"afpacket,ring=no", kind{text: "NAME,ring=no", stand: veth, mtu: 9000}},
	{"afpacket,offload=no", kind{text: "NAME,offload=no", stand: veth, mtu: 9000}},
	{"xdp", kind{text: "xdp:NAME,mode=native", stand: veth, mtu: 3000, cuts: true}},
	{"xdp,mode=generic", kind{text: "xdp:NAME,mode=generic", stand: veth, mtu: 3000, cuts: true, host: true}},
	{"tap", kind{text: "tap:NAME", stand: tap, mtu: 9000}},
	{"tap,offload=no", kind{text: "tap:NAME,offload=no", stand: tap, mtu: 9000, cuts: true}},
	{"wire:unixgram", kind{text: "wire:unixgram,local=DIR/NAME.near,remote=DIR/NAME.far", stand: datagrams, mtu: 9000, cuts: true}},
	{"wire:udp", kind{text: "wire:udp,local=127.0.0.1:PORT,remote=127.0.0.1:PEER", stand: udp, mtu: 9000, cuts: true}},
	{"wire:unix", kind{text: "wire:unix,listen=DIR/NAME.sock", stand: stream, mtu: 9000, cuts: true}},
}

// Kinds names the kinds of port, as Lay takes them.
func Kinds() (list []string) {
	for _, k := range kinds {
		list = append(list, k.name)
	}
	return list
}

// Kit lays cables in one network namespace. Devices are kept and used again: to make and remove them is most of what
// a short test would do.
type Kit struct {
	space *lab.Space
	dir   string
	port  int // the last UDP port given out
}

// NewKit prepares a namespace: in it the kernel sends nothing by itself over devices made from now on. Sockets get
// their files in dir.
func NewKit(space *lab.Space, dir string) (*Kit, error) {
	err := space.Do(func() error {
		for name, value := range map[string]string{
			"ipv6/conf/default/disable_ipv6": "1",
			"unix/max_dgram_qlen":            "4096", // a test that waits for the processor must not lose frames
		} {
			err := os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		return nil
	})
	return &Kit{space: space, dir: dir, port: 20000}, err
}

// Cable is a port-to-be and its far end.
type Cable struct {
	kind
	kit  *Kit
	name string // of the port, and of its interface
	spec string

	use sync.RWMutex // held for reading while the far end is in use
	far far          // guarded by use; nil: unplugged
}

// far is an end that is plugged in.
type far interface {
	send(frame []byte, o packet.Offload) error
	receive() (*packet.Frame, bool) // what has come, without waiting
	close()
}

// Lay makes what has to be there before the switch opens the port: a veth pair, and nothing for a tap or a wire. The
// name has at most 13 characters.
func (k *Kit) Lay(kindName, name string) (*Cable, error) {
	for _, known := range kinds {
		if known.name != kindName {
			continue
		}
		k.port += 2
		text := strings.NewReplacer("NAME", name, "DIR", k.dir, "PORT", fmt.Sprint(k.port), "PEER", fmt.Sprint(k.port+1)).Replace(known.text)
		c := &Cable{kind: known.kind, kit: k, name: name, spec: fmt.Sprintf("%s,mtu=%d", text, known.mtu)}
		if c.stand == veth && !k.space.HasLink(name) {
			return c, c.pair()
		}
		return c, nil
	}
	return nil, fmt.Errorf("no kind of cable %q; there are %s", kindName, strings.Join(Kinds(), " "))
}

// Spec is the port's text, without a number and a name.
func (c *Cable) Spec() string { return c.spec }

// Cuts says that whole super-frames and unfinished checksums never reach the switch by this cable: what is injected so
// comes in as on a wire.
func (c *Cable) Cuts() bool { return c.cuts }

// farDevice is the interface whose neighbour the switch is.
func (c *Cable) farDevice() string {
	if c.stand == tap {
		return c.name
	}
	return c.name + "-f"
}

// pair makes the two devices, up and silent.
func (c *Cable) pair() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = c.name, c.mtu
	if err := c.kit.space.Netlink().LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: c.farDevice()}); err != nil {
		return fmt.Errorf("veth %s: %w", c.name, err)
	}
	for _, name := range []string{c.name, c.farDevice()} {
		link, err := c.kit.space.Netlink().LinkByName(name)
		if err == nil {
			err = errors.Join(c.kit.space.Netlink().LinkSetMTU(link, c.mtu), c.kit.space.Netlink().LinkSetUp(link))
		}
		if err != nil {
			return fmt.Errorf("veth %s: %w", name, err)
		}
	}
	return nil
}

// Plug opens the far end. The switch has the port by now, or will soon: a tap is waited for.
func (c *Cable) Plug() error {
	f, err := c.open()
	for end := time.Now().Add(patience); err != nil && time.Now().Before(end); f, err = c.open() {
		time.Sleep(time.Millisecond)
	}
	if err != nil {
		return fmt.Errorf("far end of %s: %w", c.spec, err)
	}
	c.swap(f)
	return nil
}

func (c *Cable) open() (f far, err error) {
	err = c.kit.space.Do(func() error {
		switch c.stand {
		case veth, tap:
			f, err = openPacket(c.farDevice())
		case datagrams:
			f, err = openDatagrams(c.socket("far"), c.socket("near"))
		case udp:
			f, err = openUDP(c.address("remote"), c.address("local"))
		case stream:
			f, err = openStream(c.socket("sock"))
		}
		return err
	})
	return f, err
}

func (c *Cable) socket(suffix string) string { return filepath.Join(c.kit.dir, c.name+"."+suffix) }

// address is what the port's text says behind a key.
func (c *Cable) address(key string) string {
	_, rest, _ := strings.Cut(c.spec, key+"=")
	addr, _, _ := strings.Cut(rest, ",")
	return addr
}

// Unplug closes the far end. The device stays.
func (c *Cable) Unplug() { c.swap(nil) }

func (c *Cable) swap(f far) {
	c.use.Lock()
	defer c.use.Unlock()
	if c.far != nil {
		c.far.close()
	}
	c.far = f
}

// Device reports whether the cable stands on an interface, which Carrier and Tear can be asked of.
func (c *Cable) Device() bool { return c.stand == veth || c.stand == tap }

// Carrier takes the far device down or up. A tap has no far device: it is the interface itself.
func (c *Cable) Carrier(up bool) error {
	link, err := c.kit.space.Netlink().LinkByName(c.farDevice())
	if err != nil {
		return err
	}
	if up {
		return c.kit.space.Netlink().LinkSetUp(link)
	}
	return c.kit.space.Netlink().LinkSetDown(link)
}

// Tear removes the device. Mend makes it again (the switch makes its tap itself), and plugs the far end in.
func (c *Cable) Tear() error {
	c.Unplug()
	return c.kit.space.DeleteLink(c.name)
}

// Mend is the other half of Tear.
func (c *Cable) Mend() error {
	if c.stand == veth {
		if err := c.pair(); err != nil {
			return err
		}
	}
	return c.Plug()
}

// Inject sends a frame into the switch, as a neighbour would that leaves checksum and segmentation to its device. It
// answers how many frames the port will read for it.
func (c *Cable) Inject(frame []byte, o packet.Offload) (n int, err error) {
	c.use.RLock()
	defer c.use.RUnlock()
	if c.far == nil {
		return 0, ErrUnplugged
	}
	if !c.Device() || c.host && o.GSO != packet.GSONone || c.stand == tap && c.cuts && isCRC(o) {
		for _, b := range Finish(frame, o) {
			if err := c.far.send(b, packet.Offload{}); err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	}
	if n = 1; c.cuts {
		n = len(Finish(frame, o))
	}
	return n, c.far.send(frame, o)
}

// isCRC: a host knows that SCTP's checksum is none of the Internet's, and a packet socket cannot say so to a device that
// completes it.
func isCRC(o packet.Offload) bool { return o.NeedsCsum && o.CsumOffset == 8 }

// TryReceive gives the next frame that the switch has sent, if one is there. It may have offload state.
func (c *Cable) TryReceive() (*packet.Frame, bool) {
	c.use.RLock()
	defer c.use.RUnlock()
	if c.far == nil {
		return nil, false
	}
	return c.far.receive()
}

// DeviceDrops are the frames that the kernel threw away in front of a tap because the switch did not read them.
func (c *Cable) DeviceDrops() uint64 {
	if c.stand != tap {
		return 0
	}
	link, err := c.kit.space.Netlink().LinkByName(c.name)
	if err != nil || link.Attrs().Statistics == nil {
		return 0
	}
	return link.Attrs().Statistics.TxDropped
}
