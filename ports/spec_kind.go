package ports

import (
	"fmt"
	"math/bits"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// endpoint is the address that tells one wire from another.
func (s *Spec) endpoint() string {
	for _, key := range []string{"listen", "local", "connect"} {
		if v := s.Arg(key); v != "" {
			return v
		}
	}
	return ""
}

// checkWire asks each transport for its own addresses.
func (s *Spec) checkWire() (word, want string) {
	datagram := s.Target == "udp" || s.Target == "unixgram"
	switch {
	case !slices.Contains([]string{"udp", "tcp", "unix", "unixgram"}, s.Target):
		return s.Target, "a wire's transport is udp, tcp, unix or unixgram"
	case datagram && (s.Arg("listen") != "" || s.Arg("connect") != ""):
		return s.Target, "a datagram wire has no connection; right is " + wireForm(s.Target)
	case datagram && (s.Arg("local") == "" || s.Arg("remote") == ""):
		return s.Target, "both ends are needed; right is " + wireForm(s.Target)
	case !datagram && (s.Arg("local") != "" || s.Arg("remote") != ""):
		return s.Target, "a stream wire listens or connects; right is " + wireForm(s.Target)
	case !datagram && (s.Arg("listen") == "") == (s.Arg("connect") == ""):
		return s.Target, "either listen or connect is needed; right is " + wireForm(s.Target)
	}
	for _, a := range s.Args {
		if want := checkAddress(s.Target, a.Value); want != "" {
			return a.Key + "=" + a.Value, want
		}
	}
	if s.Target == "udp" && s.MTU > maxUDPFrame-frameOverhead {
		return "mtu=" + strconv.Itoa(s.MTU), "a UDP datagram holds a frame of at most " +
			strconv.Itoa(maxUDPFrame-frameOverhead) + " bytes of payload"
	}
	return "", ""
}

func wireForm(transport string) string {
	switch transport {
	case "udp":
		return "wire:udp,local=127.0.0.1:7000,remote=127.0.0.1:7001"
	case "unixgram":
		return "wire:unixgram,local=/run/weir/a.sock,remote=/run/weir/b.sock"
	case "unix":
		return "wire:unix,listen=/run/weir/vm1.sock or wire:unix,connect=/run/weir/vm1.sock"
	}
	return "wire:tcp,listen=127.0.0.1:7000 or wire:tcp,connect=127.0.0.1:7000"
}

// maxUnixPath is what fits sockaddr_un on Linux with its zero byte.
const maxUnixPath = 107

func checkAddress(transport, addr string) (want string) {
	if strings.HasPrefix(transport, "unix") {
		if len(addr) > maxUnixPath {
			return "the path of a unix socket has at most " + strconv.Itoa(maxUnixPath) + " characters"
		}
		return ""
	}
	_, port, err := net.SplitHostPort(addr)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 {
		return "an address is HOST:PORT, as 127.0.0.1:7000 or [::1]:7000, with a port from 1 to 65535"
	}
	return ""
}

// checkRing judges how many frames a device's ring holds.
func (s *Spec) checkRing() (word, want string) {
	v := s.Arg("ring")
	switch n, err := strconv.ParseUint(v, 10, 31); {
	case v == "", v == "no" && s.Kind != KindXDP:
		return "", ""
	case s.Kind == KindXDP && (err != nil || n < xdpRingLeast || n > xdpRingMax):
		return "ring=" + v, fmt.Sprintf("ring says how many frames may wait in memory shared with the kernel, 2 KiB each or 4 for large ones, from %d to %d; unless told there is room for %d first and, when some are lost, for up to %d",
			xdpRingLeast, xdpRingMax, xdpRingFirst, xdpRingMost)
	case s.Kind == KindXDP:
		return "", ""
	}
	if n, err := strconv.ParseUint(v, 10, 31); err != nil || n < MinSlots || n > MaxSlots {
		return "ring=" + v, fmt.Sprintf("ring says how many frames may wait in memory shared with the kernel, from %d to %d; unless told there is room for %d first and, when some are lost, for %d; no: none, they are copied",
			MinSlots, MaxSlots, DefaultSlots, GrownSlots)
	}
	return "", ""
}

// The numbers of slots of a device's ring: the least, what it has where nobody
// asked (2 MiB, which the smallest frames at full load fill in 10 ms), how far it grows by itself (8 MiB), the most (64 MiB).
const (
	MinSlots     = 256
	DefaultSlots = 8192
	GrownSlots   = 32768
	MaxSlots     = 262144
)

// ringSlots is the number of slots, 0 for no ring, and whether it was asked for.
func (s *Spec) ringSlots() (n int, asked bool) {
	switch v := s.Arg("ring"); v {
	case "":
		return DefaultSlots, false
	case "no":
		return 0, true
	default:
		n, _ = strconv.Atoi(v)
		return n, true
	}
}

// How many frames an xdp port receives into, with all queues of its device: the least for each queue, what it has at
// first where nobody asked (4 MiB of pinned memory), how far it grows by itself (64 MiB), the most that may be asked for.
const (
	xdpRingLeast = 512
	xdpRingFirst = 2048
	xdpRingMost  = 32768
	xdpRingMax   = 65536
)

// xdpRing is how many frames an xdp port receives into, and how far that may grow.
func (s *Spec) xdpRing() (first, most int) {
	if n, err := strconv.Atoi(s.Arg("ring")); err == nil {
		n = 1 << bits.Len(uint(n-1)) // the kernel has no others
		return n, n
	}
	return xdpRingFirst, xdpRingMost
}

// MaxReaders is how many readers a port may have.
const MaxReaders = 64

// readers is the number of readers.
func (s *Spec) readers() int {
	n, _ := strconv.Atoi(s.Arg("readers"))
	return max(n, 1)
}

// checkPcap judges how a file is replayed.
func (s *Spec) checkPcap() (word, want string) {
	if rate := s.Arg("rate"); rate != "" && rate != "real" && rate != "fast" {
		if n, err := strconv.ParseUint(rate, 10, 32); err != nil || n == 0 {
			return "rate=" + rate, "a rate is real (the file's own timing), fast (as fast as the switch takes it) or frames a second, as 1000"
		}
	}
	if loop := s.Arg("loop"); loop != "" && loop != "forever" {
		if n, err := strconv.ParseUint(loop, 10, 31); err != nil || n == 0 {
			return "loop=" + loop, "loop says how often the file is played: 1, 2, ... or forever"
		}
	}
	if s.Target != "" && s.Target == s.Arg("out") {
		return "out=" + s.Target, "a file cannot be replayed and recorded into at once; name another"
	}
	return "", ""
}

// isCapture says whether a pcap target is a file: it looks like a path, has
// the name of a capture, or exists. Anything else is a live device.
func isCapture(target string, exists func(string) bool) bool {
	switch strings.ToLower(filepath.Ext(target)) {
	case ".pcap", ".pcapng", ".cap":
		return true
	}
	return target == "" || strings.ContainsRune(target, filepath.Separator) || exists(target)
}

// Absolute is s with file names that start at dir, for a process that works in
// another folder than the one who wrote them.
func (s *Spec) Absolute(dir string) Spec {
	from := func(path string) string {
		if path == "" || path[0] == '@' || filepath.IsAbs(path) { // @: an abstract unix socket
			return path
		}
		return filepath.Join(dir, path)
	}
	to := *s
	to.Args = slices.Clone(s.Args)
	if s.Kind == KindPcap && isCapture(s.Target, func(path string) bool { return fileExists(from(path)) }) {
		to.Target = from(s.Target)
	}
	for i, a := range to.Args {
		if s.Kind == KindPcap && a.Key == "out" || s.Kind == KindWire && strings.HasPrefix(s.Target, "unix") {
			to.Args[i].Value = from(a.Value)
		}
	}
	return to
}

// The modes of an xdp port.
const (
	modeNative  = "native"
	modeCopy    = "copy"
	modeGeneric = "generic"
)
