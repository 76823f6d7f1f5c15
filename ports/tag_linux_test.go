package ports

import (
	"encoding/binary"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// tagAll makes all that an interface sends tagged, and takes tags off all that
// it receives, by two small BPF programs: not every kernel has VLAN interfaces,
// and frames look the same as those of one. tpids are from the inside out.
func (s *space) tagAll(dev string, tci uint16, tpids ...uint16) {
	s.t.Helper()
	const pushHelper, popHelper = 18, 19
	var push, pop []bpfInsn
	for _, tpid := range tpids {
		wire := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, tpid))
		push = append(push, movReg(1, 6), movImm(2, int32(wire)), movImm(3, int32(tci)), call(pushHelper))
		pop = append(pop, movReg(1, 6), call(popHelper))
	}
	index := s.link(dev).Attrs().Index
	s.must(s.net.QdiscAdd(&netlink.GenericQdisc{QdiscType: "clsact",
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}))
	s.filter(index, netlink.HANDLE_MIN_EGRESS, push)
	s.filter(index, netlink.HANDLE_MIN_INGRESS, pop)
}

func (s *space) filter(index int, parent uint32, body []bpfInsn) {
	s.t.Helper()
	prog := append([]bpfInsn{movReg(6, 1)}, body...)
	prog = append(prog, movImm(0, 0), bpfInsn{code: 0x95}) // TC_ACT_OK, exit
	license := append([]byte("GPL"), 0)
	load := struct {
		kind, n             uint32
		insns, license, log uint64
		_                   [96]byte
	}{kind: unix.BPF_PROG_TYPE_SCHED_CLS, n: uint32(len(prog)),
		insns: uint64(uintptr(unsafe.Pointer(&prog[0]))), license: uint64(uintptr(unsafe.Pointer(&license[0])))}
	_ = load.log
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&load)), unsafe.Sizeof(load))
	if errno != 0 {
		missing(s.t, "loading a BPF program: "+errno.Error())
	}
	defer func() { _ = unix.Close(int(fd)) }()
	s.must(s.net.FilterAdd(&netlink.BpfFilter{Fd: int(fd), Name: "tag", DirectAction: true,
		FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: parent, Handle: 1, Priority: 1, Protocol: unix.ETH_P_ALL}}))
}

// bpfInsn is struct bpf_insn; regs has the destination in its low half.
type bpfInsn struct {
	code, regs uint8
	off        int16
	imm        int32
}

func movReg(dst, src uint8) bpfInsn       { return bpfInsn{code: 0xbf, regs: dst | src<<4} }
func movImm(dst uint8, imm int32) bpfInsn { return bpfInsn{code: 0xb7, regs: dst, imm: imm} }
func call(helper int32) bpfInsn           { return bpfInsn{code: 0x85, imm: helper} }
