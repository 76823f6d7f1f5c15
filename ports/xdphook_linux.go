package ports

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	bpflink "github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// xdpHook is the program that hands a device's frames to AF_XDP sockets, and
// the map in which it finds the socket of a queue. The program hangs on a
// bpf_link, which is a descriptor: it comes off with its process, however that
// ends, and nothing has to be cleared away at the next start.
type xdpHook struct {
	sockets *ebpf.Map
	missed  *ebpf.Map // one number: frames of queues without a socket
	link    bpflink.Link
	generic bool
}

// mayXDP says what is missing for a port whose device is not there yet.
func mayXDP() error {
	fd, err := xdpSocket()
	if err != nil {
		return err
	}
	_ = unix.Close(fd)
	sockets, err := newXDPMap(1)
	if err != nil {
		return err
	}
	return sockets.Close()
}

// newXDPMap makes the map of a device's queues.
func newXDPMap(queues int) (*ebpf.Map, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: "weir_queues", Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: uint32(queues)})
	if err != nil {
		return nil, fmt.Errorf("making a map of AF_XDP sockets: %w", needsXDP(err))
	}
	return m, nil
}

// newXDPHook puts the program on an interface: into the driver if that has a
// place for it, else in front of the host's stack, unless mode wants one. Every
// veth has a place in its driver; where it refuses, tags and segmentation would be
// lost in front of the stack, so that is for those who ask for it.
func newXDPHook(links *Links, l link, queues int, mode string) (*xdpHook, error) {
	sockets, err := newXDPMap(queues)
	if err != nil {
		return nil, err
	}
	missed, err := ebpf.NewMap(&ebpf.MapSpec{Name: "weir_missed", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		_ = sockets.Close()
		return nil, fmt.Errorf("making a map for a counter: %w", needsXDP(err))
	}
	h := &xdpHook{sockets: sockets, missed: missed}
	var native error
	if mode != modeGeneric {
		if native = patiently(xdpPatience, func() error { return h.attachTo(l, bpflink.XDPDriverMode) }); native == nil {
			return h, nil
		}
	}
	if mode == modeGeneric || mode != modeNative && l.kind != "veth" && !occupied(native) && !errors.Is(native, unix.EPERM) {
		h.generic = true
		if err = patiently(xdpPatience, func() error { return h.attachTo(l, bpflink.XDPGenericMode) }); err == nil {
			return h, nil
		}
	} else {
		err = native
	}
	_ = errors.Join(sockets.Close(), missed.Close())
	return nil, explainHook(links, l, err)
}

// attachTo loads the program and hangs it on the interface.
func (h *xdpHook) attachTo(l link, where bpflink.XDPAttachFlags) error {
	spec := &ebpf.ProgramSpec{Name: "weir_port", Type: ebpf.XDP, License: "Dual MIT/GPL"}
	spec.Instructions = redirect(h.sockets.FD(), h.missed.FD())
	if where == bpflink.XDPDriverMode && l.kind == "veth" {
		if id, ok := readVLANTag(); ok { // only a program for this one device may ask for the tag
			spec.Instructions = append(putTagBack(id), spec.Instructions...)
			spec.Flags, spec.Ifindex = unix.BPF_F_XDP_DEV_BOUND_ONLY, uint32(l.index)
		}
	}
	prog, err := ebpf.NewProgram(spec)
	if err != nil {
		return fmt.Errorf("loading the XDP program: %w", needsXDP(err))
	}
	defer func() { _ = prog.Close() }() // the link keeps it
	h.link, err = bpflink.AttachXDP(bpflink.XDPOptions{Program: prog, Interface: l.index, Flags: where})
	return err
}

// The words of XDP's C headers that programs are made of.
const (
	mdData, mdDataEnd, mdQueue = 0, 4, 16 // fields of struct xdp_md
	xdpDrop                    = 1
)

// redirect gives the frame to its queue's socket. Where there is none for the moment, the frame is lost and counted: the
// host must not see any frame of the device, not even while the port exchanges its sockets.
func redirect(sockets, missed int) asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, mdQueue, asm.Word),
		asm.LoadMapPtr(asm.R1, sockets),
		asm.Mov.Imm(asm.R3, xdpDrop),
		asm.FnRedirectMap.Call(),
		asm.JNE.Imm(asm.R0, xdpDrop, "given"),
		asm.LoadMapValue(asm.R1, missed, 0),
		asm.Mov.Imm(asm.R2, 1),
		asm.StoreXAdd(asm.R1, asm.R2, asm.DWord),
		asm.Return().WithSymbol("given"),
	}
}

// putTagBack writes the VLAN tag that travels beside a frame of a veth into it:
// a host with VLAN interfaces leaves its tags there, no socket is told of them,
// and a frame without its tag is one of another network. R1 is the context
// before and after.
func putTagBack(readVLANTag int32) asm.Instructions {
	const proto, tci = -2, -4 // on the stack
	return asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.StoreImm(asm.RFP, proto, 0, asm.Half),
		asm.StoreImm(asm.RFP, tci, 0, asm.Half),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, proto),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, tci),
		{OpCode: asm.OpCode(asm.JumpClass).SetJumpOp(asm.Call), Src: asm.PseudoKfuncCall, Constant: int64(readVLANTag)},
		asm.JNE.Imm(asm.R0, 0, "whole"), // it has no tag beside it

		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, -4),
		asm.FnXdpAdjustHead.Call(),
		asm.JNE.Imm(asm.R0, 0, "lose"),
		asm.LoadMem(asm.R1, asm.R6, mdData, asm.Word),
		asm.LoadMem(asm.R2, asm.R6, mdDataEnd, asm.Word),
		asm.Mov.Reg(asm.R3, asm.R1),
		asm.Add.Imm(asm.R3, etherLen+4),
		asm.JGT.Reg(asm.R3, asm.R2, "lose"),

		asm.LoadMem(asm.R3, asm.R1, 4, asm.Word), // the two addresses move down by the tag's length
		asm.StoreMem(asm.R1, 0, asm.R3, asm.Word),
		asm.LoadMem(asm.R3, asm.R1, 8, asm.Word),
		asm.StoreMem(asm.R1, 4, asm.R3, asm.Word),
		asm.LoadMem(asm.R3, asm.R1, 12, asm.Word),
		asm.StoreMem(asm.R1, 8, asm.R3, asm.Word),
		asm.LoadMem(asm.R3, asm.RFP, proto, asm.Half), // in network order
		asm.StoreMem(asm.R1, 12, asm.R3, asm.Half),
		asm.LoadMem(asm.R3, asm.RFP, tci, asm.Half), // in the host's
		asm.HostTo(asm.BE, asm.R3, asm.Half),
		asm.StoreMem(asm.R1, 14, asm.R3, asm.Half),
		asm.Ja.Label("whole"),

		asm.Mov.Imm(asm.R0, xdpDrop).WithSymbol("lose"),
		asm.Return(),
		asm.Mov.Reg(asm.R1, asm.R6).WithSymbol("whole"),
	}
}

// readVLANTag is the number by which this kernel knows the function that tells
// a frame's tag (Linux 6.8, and built with BTF).
var readVLANTag = sync.OnceValues(func() (id int32, ok bool) {
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		return 0, false
	}
	var f *btf.Func
	if err := kernel.TypeByName("bpf_xdp_metadata_rx_vlan_tag", &f); err != nil {
		return 0, false
	}
	n, err := kernel.TypeID(f)
	return int32(n), err == nil
})

// close takes the program off.
func (h *xdpHook) close() {
	_ = errors.Join(h.link.Close(), h.sockets.Close(), h.missed.Close())
}

// misses is how many frames came for a queue without a socket.
func (h *xdpHook) misses() (n uint64) {
	_ = h.missed.Lookup(uint32(0), &n)
	return n
}

// divert takes the sockets out of the program's sight, and returns when no frame is on its way to them any more.
func (h *xdpHook) divert() {
	for i := range h.sockets.MaxEntries() {
		_ = h.sockets.Delete(i)
	}
	const global = 1 // MEMBARRIER_CMD_GLOBAL waits for all processors to leave what runs such programs
	_, _, _ = unix.Syscall(unix.SYS_MEMBARRIER, global, 0, 0)
}

// occupied tells the errors by which a kernel says that another program is there.
func occupied(err error) bool { return errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST) }

// explainHook says why there is no program on the interface and how to get it there.
func explainHook(links *Links, l link, err error) error {
	switch {
	case occupied(err):
		return fmt.Errorf("interface %s has %s already: stop what attached it, or take it off (ip link set dev %s xdp off; bpftool net shows it); %w",
			l.name, links.xdpProgram(l.index), l.name, err)
	case errors.Is(err, unix.ERANGE), errors.Is(err, unix.EINVAL):
		return fmt.Errorf("interface %s, with an MTU of %d, takes no XDP program in its driver (%w): try mode=generic, a smaller MTU, %s, or plain %s", l.name, l.mtu, err, noLRO(l), l.name)
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("the driver of interface %s has no XDP, or none beside what the device joins (%w): try %s, leave mode=native out, or use plain %s", l.name, err, noLRO(l), l.name)
	}
	return fmt.Errorf("putting the XDP program on interface %s: %w", l.name, needsXDP(err))
}

// noLRO keeps a device from joining packets, which drivers refuse a program for: mlx5 by EINVAL, virtio_net by EOPNOTSUPP, and that
// one only when its host gives it no way to stop the joining.
func noLRO(l link) string {
	return "`ethtool -K " + l.name + " lro off rx-gro-hw off` (the card of a virtual machine may need it from its host: for QEMU, ctrl_guest_offloads=on)"
}

// xdpProgram names the program that is on an interface.
func (l *Links) xdpProgram(index int) string {
	there, err := l.request.LinkByIndex(index)
	if err != nil || there.Attrs().Xdp == nil || there.Attrs().Xdp.ProgId == 0 {
		return "an XDP program"
	}
	id := there.Attrs().Xdp.ProgId
	if p, err := ebpf.NewProgramFromID(ebpf.ProgramID(id)); err == nil {
		defer func() { _ = p.Close() }()
		if info, err := p.Info(); err == nil && info.Name != "" {
			return fmt.Sprintf("the XDP program %d (%s)", id, info.Name)
		}
	}
	return fmt.Sprintf("the XDP program %d", id)
}

// needsXDP adds to a refused permission what XDP needs.
func needsXDP(err error) error {
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) {
		return err
	}
	return fmt.Errorf("%w: AF_XDP needs CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF (before Linux 5.8 CAP_SYS_ADMIN) outside of any user namespace; run weir as root, or grant them with `setcap cap_net_raw,cap_net_admin,cap_bpf,cap_ipc_lock+ep` on the weir program", err)
}
