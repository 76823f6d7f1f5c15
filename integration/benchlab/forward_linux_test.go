package benchlab

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A bare forwarder moves frames from one device to another without a look at them: what a program in Go can reach with
// packet sockets at most. It is this test program in another role, as a process of its own on the switch's processor.
const (
	forwardEnv = "WEIR_BENCH_FORWARD" // "ring p1 p2" or "whole p1 p2"

	ringMode  = "ring"  // TPACKET_V3: a ring of blocks; best for small frames
	wholeMode = "whole" // recvmmsg with PACKET_VNET_HDR: super-frames whole, checksums unfinished
)

const forwardReady = "forwarding\n"

// forward is that process: it runs until it is killed.
func forward(how string) error {
	words := strings.Fields(how)
	if len(words) != 3 {
		return fmt.Errorf("%s=%q: want a mode and two devices", forwardEnv, how)
	}
	run := forwardRing
	if words[0] == wholeMode {
		run = forwardWhole
	}
	var socks [2]int
	for i := range socks {
		var err error
		if socks[i], err = openBare(words[i+1], words[0]); err != nil {
			return fmt.Errorf("%s: %w", words[i+1], err)
		}
	}
	failed := make(chan error)
	for i := range socks {
		go func() {
			runtime.LockOSThread()
			failed <- run(socks[i], newOutbox(socks[1-i]))
		}()
	}
	os.Stdout.WriteString(forwardReady)
	return <-failed
}

const (
	blockSize = 1 << 18
	blocks    = 32
	sockBytes = 16 << 20
)

// openBare opens a device; what it leaves open when it fails goes with the process.
func openBare(device, mode string) (int, error) {
	const all = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8 // in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if err := prepareBare(fd, mode); err != nil {
		return 0, err
	}
	ifr, err := unix.NewIfreq(device)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, ifr); err != nil {
		return 0, err
	}
	index := int(ifr.Uint32())
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: index}); err != nil {
		return 0, err
	}
	return fd, unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
		&unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC})
}

// prepareBare sets the options of a socket that receives nothing yet.
func prepareBare(fd int, mode string) error {
	type option struct{ name, value int }
	last := option{unix.PACKET_VNET_HDR, 1}
	if mode == ringMode {
		last = option{unix.PACKET_VERSION, unix.TPACKET_V3}
	}
	for _, o := range []option{{unix.PACKET_QDISC_BYPASS, 1}, {unix.PACKET_IGNORE_OUTGOING, 1}, last} {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, o.name, o.value); err != nil {
			return fmt.Errorf("packet option %d: %w", o.name, err)
		}
	}
	// Without the right to more, the kernel's limit has to do.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sockBytes)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, sockBytes)
	if mode != ringMode {
		return nil
	}
	req := &unix.TpacketReq3{Block_size: blockSize, Block_nr: blocks, Frame_size: 2048, Frame_nr: blocks * blockSize / 2048, Retire_blk_tov: 1}
	if err := unix.SetsockoptTpacketReq3(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, req); err != nil {
		return fmt.Errorf("ring: %w", err)
	}
	return nil
}

// sleep waits until there is something to receive.
func sleep(fd int) {
	_, _ = unix.Ppoll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, nil, nil)
}

// forwardRing takes whole blocks of frames, which the kernel hands over when they are full or a millisecond old.
func forwardRing(fd int, out *outbox) error {
	ring, err := unix.Mmap(fd, 0, blockSize*blocks, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	for at := 0; ; at = (at + blockSize) % len(ring) {
		block := ring[at : at+blockSize]
		head := (*unix.TpacketHdrV1)(unsafe.Pointer(&block[8])) // after version and offset of the private part
		for atomic.LoadUint32(&head.Block_status)&unix.TP_STATUS_USER == 0 {
			sleep(fd)
		}
		next := head.Offset_to_first_pkt
		for range head.Num_pkts {
			frame := (*unix.Tpacket3Hdr)(unsafe.Pointer(&block[next]))
			out.add(&block[next+uint32(frame.Mac)], int(frame.Snaplen))
			next += frame.Next_offset
		}
		out.flush()
		atomic.StoreUint32(&head.Block_status, unix.TP_STATUS_KERNEL)
	}
}

// forwardWhole takes frames with their virtio_net_hdr in front and sends both as they are.
func forwardWhole(fd int, out *outbox) error {
	const room = 1 << 17 // a super-frame of 64 KiB and more
	buf := make([]byte, batch*room)
	var msgs [batch]mmsghdr
	var parts [batch]unix.Iovec
	for i := range msgs {
		parts[i].Base = &buf[i*room]
		parts[i].SetLen(room)
		msgs[i].hdr.Iov, msgs[i].hdr.Iovlen = &parts[i], 1
	}
	for {
		n, _, err := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&msgs[0])), batch, unix.MSG_DONTWAIT, 0, 0)
		switch err {
		case 0:
		case unix.EAGAIN:
			sleep(fd)
			continue
		case unix.EINTR, unix.ENETDOWN:
			continue
		default:
			return err
		}
		for i := range msgs[:n] {
			out.add(parts[i].Base, int(msgs[i].n))
		}
		out.flush()
	}
}
