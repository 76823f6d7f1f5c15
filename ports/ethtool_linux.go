package ports

import (
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// linkSettings is struct ethtool_link_settings with room for the three mode
// masks that follow it, of which only the size matters here.
type linkSettings struct {
	cmd       uint32
	speed     uint32 // Mbit/s; 0 or all ones = unknown
	duplex    uint8  // 0 half, 1 full, 255 unknown
	_         [6]uint8
	maskWords int8 // asked with 0, the kernel answers the negative of what it wants
	_         [4]uint8
	_         [7]uint32
	_         [3 * 127]uint32
}

// ethtoolValue is struct ethtool_value.
type ethtoolValue struct{ cmd, data uint32 }

// ifreqData is struct ifreq with a pointer as its data.
type ifreqData struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte
}

// speed is the interface's speed in kbit/s and its duplex mode, zero when the
// driver does not say. A veth says 10 Gbit/s whatever it carries.
func (l *Links) speed(name string) (kbit uint64, d Duplex) {
	set := linkSettings{cmd: unix.ETHTOOL_GLINKSETTINGS}
	if !l.ethtool(name, &set) || set.maskWords >= 0 {
		return 0, DuplexUnknown
	}
	set = linkSettings{cmd: unix.ETHTOOL_GLINKSETTINGS, maskWords: -set.maskWords}
	if !l.ethtool(name, &set) {
		return 0, DuplexUnknown
	}
	switch set.duplex {
	case 0:
		d = DuplexHalf
	case 1:
		d = DuplexFull
	}
	if set.speed == 0 || set.speed == 1<<32-1 {
		return 0, d
	}
	return uint64(set.speed) * 1000, d
}

func (l *Links) ethtool(name string, set *linkSettings) bool {
	return l.ethtoolCall(name, unsafe.Pointer(set))
}

func (l *Links) ethtoolCall(name string, data unsafe.Pointer) bool {
	if l.control < 0 || len(name) >= unix.IFNAMSIZ {
		return false
	}
	req := ifreqData{data: data}
	copy(req.name[:], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(l.control), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
	return errno == 0
}

// numbered is a link that is known by its index alone, which is all that a
// change needs: the name may be another by now.
func numbered(index int) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
}

func (l *Links) setMTU(index, mtu int) error { return l.request.LinkSetMTU(numbered(index), mtu) }

func (l *Links) setUp(index int, up bool) error {
	if up {
		return l.request.LinkSetUp(numbered(index))
	}
	return l.request.LinkSetDown(numbered(index))
}

// ethtoolWords is struct ethtool_channels, and with two words ethtool_value.
type ethtoolWords [9]uint32

// rxQueues is how many queues an interface receives by; one, where the driver does not say.
func (l *Links) rxQueues(name string) int {
	const rx, combined = 5, 8
	w := ethtoolWords{unix.ETHTOOL_GCHANNELS}
	if !l.ethtoolWords(name, &w) {
		return 1
	}
	return max(1, int(w[rx]+w[combined]))
}

// keepTags has an interface leave VLAN tags in the frames it delivers. It
// answers what undoes that, nil if nothing had to be done, and false when the
// driver refuses.
func (l *Links) keepTags(name string) (undo func(), ok bool) {
	const rxVLAN = 1 << 8 // ETH_FLAG_RXVLAN
	w := ethtoolWords{unix.ETHTOOL_GFLAGS}
	if !l.ethtoolWords(name, &w) || w[1]&rxVLAN == 0 {
		return nil, true
	}
	flags := w[1]
	set := func(flags uint32) {
		l.ethtoolWords(name, &ethtoolWords{unix.ETHTOOL_SFLAGS, flags})
	}
	set(flags &^ rxVLAN)
	if !l.ethtoolWords(name, &w) || w[1]&rxVLAN != 0 {
		return nil, false
	}
	return func() { set(flags) }, true
}

func (l *Links) ethtoolWords(name string, w *ethtoolWords) bool {
	return l.ethtoolCall(name, unsafe.Pointer(w))
}
