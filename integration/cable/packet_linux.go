package cable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/ports"
)

// queueBytes is asked for on either side of a socket: a test that waits for the processor loses nothing.
const queueBytes = 16 << 20

// vnetLen is the size of struct virtio_net_hdr without num_buffers.
const vnetLen = 10

// packetEnd is a packet socket on the neighbour's device.
type packetEnd struct {
	fd   int
	vnet [vnetLen]byte
	buf  []byte
	oob  []byte
}

// openPacket must be called in the namespace of the device.
func openPacket(device string) (far, error) {
	iface, err := net.InterfaceByName(device)
	if err != nil {
		return nil, err
	}
	if iface.Flags&net.FlagUp == 0 {
		return nil, fmt.Errorf("%s is down", device)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	for _, opt := range []int{unix.PACKET_VNET_HDR, unix.PACKET_AUXDATA, unix.PACKET_IGNORE_OUTGOING} {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_PACKET, opt, 1))
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, queueBytes)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, queueBytes)
	all := uint16(unix.ETH_P_ALL)
	err = errors.Join(err, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all<<8 | all>>8, Ifindex: iface.Index}))
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("packet socket on %s: %w", device, err)
	}
	return &packetEnd{fd: fd, buf: make([]byte, 1<<16+256), oob: make([]byte, 128)}, nil
}

func (p *packetEnd) close() { unix.Close(p.fd) }

var toVirtio = map[packet.GSOType]byte{
	packet.GSOTCPv4: unix.VIRTIO_NET_HDR_GSO_TCPV4, packet.GSOTCPv6: unix.VIRTIO_NET_HDR_GSO_TCPV6,
	packet.GSOUDP: unix.VIRTIO_NET_HDR_GSO_UDP, packet.GSOUDPL4: unix.VIRTIO_NET_HDR_GSO_UDP_L4,
}

func (p *packetEnd) send(frame []byte, o packet.Offload) error {
	var h [vnetLen]byte
	if o.NeedsCsum {
		h[0] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM
		binary.NativeEndian.PutUint16(h[6:], o.CsumStart)
		binary.NativeEndian.PutUint16(h[8:], o.CsumOffset)
	}
	if o.GSO != packet.GSONone {
		h[1] = toVirtio[o.GSO]
		if o.ECN {
			h[1] |= unix.VIRTIO_NET_HDR_GSO_ECN
		}
		binary.NativeEndian.PutUint16(h[2:], o.HdrLen)
		binary.NativeEndian.PutUint16(h[4:], o.GSOSize)
	}
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		_, err := unix.SendmsgBuffers(p.fd, [][]byte{h[:], frame}, nil, nil, unix.MSG_DONTWAIT)
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.ENOBUFS) || time.Now().After(end) {
			return err
		}
	}
}

func (p *packetEnd) receive() (*packet.Frame, bool) {
	for {
		n, oobn, flags, _, err := unix.RecvmsgBuffers(p.fd, [][]byte{p.vnet[:], p.buf}, p.oob, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n < vnetLen || flags&unix.MSG_TRUNC != 0 {
			return nil, false
		}
		f := packet.NewFrame(n)
		f.SetBytes(p.buf[:n-vnetLen])
		f.Offload = readVnet(p.vnet[:])
		p.untag(f, p.oob[:oobn])
		return f, true
	}
}

func readVnet(h []byte) (o packet.Offload) {
	for g, v := range toVirtio {
		if v == h[1]&^unix.VIRTIO_NET_HDR_GSO_ECN {
			o.GSO, o.ECN = g, h[1]&unix.VIRTIO_NET_HDR_GSO_ECN != 0
			o.HdrLen, o.GSOSize = binary.NativeEndian.Uint16(h[2:]), binary.NativeEndian.Uint16(h[4:])
		}
	}
	if o.NeedsCsum = h[0]&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM != 0; o.NeedsCsum {
		o.CsumStart, o.CsumOffset = binary.NativeEndian.Uint16(h[6:]), binary.NativeEndian.Uint16(h[8:])
	}
	return o
}

// untag puts the VLAN tag back that the kernel took off. It counts csum_start without it.
func (p *packetEnd) untag(f *packet.Frame, oob []byte) {
	list, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return
	}
	for _, m := range list {
		if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA || len(m.Data) < int(unsafe.Sizeof(unix.TpacketAuxdata{})) {
			continue
		}
		a := (*unix.TpacketAuxdata)(unsafe.Pointer(&m.Data[0]))
		if a.Status&unix.TP_STATUS_VLAN_VALID == 0 {
			continue
		}
		b, o := f.Bytes(), f.Offload
		tag := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, a.Vlan_tpid), a.Vlan_tci)
		whole := append(append(append(make([]byte, 0, len(b)+4), b[:12]...), tag...), b[12:]...)
		f.SetBytes(whole)
		if o.NeedsCsum {
			o.CsumStart += 4
		}
		if o.HdrLen != 0 {
			o.HdrLen += 4
		}
		f.Offload = o
	}
}

// Finish is what a wire would carry of a frame: its checksum completed, a super-frame cut. A frame that cannot be
// finished comes back as it is.
func Finish(frame []byte, o packet.Offload) (list [][]byte) {
	if !o.NeedsCsum && o.GSO == packet.GSONone {
		return [][]byte{frame}
	}
	f := packet.NewFrame(len(frame))
	f.SetBytes(frame)
	f.Offload = o
	var fin ports.Finisher
	if _, ok := fin.Begin(f, 0); !ok {
		return [][]byte{frame}
	}
	for b := fin.Next(); b != nil; b = fin.Next() {
		list = append(list, append([]byte(nil), b...))
	}
	return list
}
