package benchlab

import (
	"io"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"github.com/weirswitch/weir/integration/lab"
)

// What programs return (linux/bpf.h, linux/pkt_cls.h).
const (
	xdpDrop  = 1
	tcDrop   = 2 // TC_ACT_SHOT
	stackTop = -8
)

// license allows the helpers that only GPL-compatible programs may call.
const license = "GPL"

func load(t ebpf.ProgramType, text asm.Instructions) (*ebpf.Program, error) {
	return ebpf.NewProgram(&ebpf.ProgramSpec{Type: t, Instructions: text, License: license})
}

func returns(v int32) asm.Instructions {
	return asm.Instructions{asm.Mov.Imm(asm.R0, v), asm.Return()}
}

// liveProgram makes each frame it is run on one of the given ones, drawn by chance, and redirects it to a device.
func liveProgram(frames []byte, device int) (*ebpf.Program, error) {
	n := len(frames) / stride
	all, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: stride, MaxEntries: uint32(n)})
	if err != nil {
		return nil, err
	}
	defer all.Close() // the program holds it
	keys, values := make([]uint32, n), make([][stride]byte, n)
	for i := range n {
		keys[i] = uint32(i)
		copy(values[i][:], frames[i*stride:])
	}
	if _, err := all.BatchUpdate(keys, values, nil); err != nil {
		return nil, err
	}
	text := asm.Instructions{
		asm.LoadMem(asm.R7, asm.R1, 0, asm.Word), // data
		asm.LoadMem(asm.R2, asm.R1, 4, asm.Word), // data_end
		asm.Mov.Reg(asm.R3, asm.R7),
		asm.Add.Imm(asm.R3, frameSize),
		asm.JGT.Reg(asm.R3, asm.R2, "drop"),
		asm.FnGetPrandomU32.Call(),
		asm.LSh.Imm(asm.R0, 32),
		asm.RSh.Imm(asm.R0, 32),
		asm.Mul.Imm(asm.R0, int32(n)),
		asm.RSh.Imm(asm.R0, 32),
		asm.StoreMem(asm.RFP, stackTop, asm.R0, asm.Word),
		asm.LoadMapPtr(asm.R1, all.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, stackTop),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "drop"),
	}
	for at := int16(0); at < frameSize; at += 8 {
		size := asm.DWord
		if at+8 > frameSize {
			size = asm.Word
		}
		text = append(text, asm.LoadMem(asm.R1, asm.R0, at, size), asm.StoreMem(asm.R7, at, asm.R1, size))
	}
	text = append(text, redirect(device)...)
	text = append(text, asm.Mov.Imm(asm.R0, xdpDrop).WithSymbol("drop"), asm.Return())
	return load(ebpf.XDP, text)
}

// redirect ends a program of either kind.
func redirect(device int) asm.Instructions {
	return asm.Instructions{asm.Mov.Imm(asm.R1, int32(device)), asm.Mov.Imm(asm.R2, 0), asm.FnRedirect.Call(), asm.Return()}
}

// attachment holds programs on devices; they go with it, and with this process however it ends.
type attachment []io.Closer

func (a attachment) Close() {
	for _, c := range slices.Backward(a) {
		c.Close()
	}
}

// attach runs a program on what a device receives: before a socket buffer is made for it (XDP, by the driver), or when
// one has been made.
func (a *attachment) attach(s *lab.Space, device string, t ebpf.ProgramType, text asm.Instructions) error {
	index, err := linkIndex(s, device)
	if err != nil {
		return err
	}
	prog, err := load(t, text)
	if err != nil {
		return err
	}
	*a = append(*a, prog)
	return s.Do(func() error {
		var held link.Link
		if t == ebpf.XDP {
			held, err = link.AttachXDP(link.XDPOptions{Program: prog, Interface: index, Flags: link.XDPDriverMode})
		} else {
			held, err = link.AttachTCX(link.TCXOptions{Program: prog, Interface: index, Attach: ebpf.AttachTCXIngress})
		}
		if err == nil {
			*a = append(*a, held)
		}
		return err
	})
}

// drop makes a host's device forget what it has received and counted.
func drop(s *lab.Space, device string, t ebpf.ProgramType) (a attachment, err error) {
	v := int32(tcDrop)
	if t == ebpf.XDP {
		v = xdpDrop
	}
	err = a.attach(s, device, t, returns(v))
	return a, err
}

// joinTC makes two devices of a namespace one cable, by redirection of socket buffers.
func joinTC(s *lab.Space, x, y string) (a attachment, err error) {
	for _, pair := range [][2]string{{x, y}, {y, x}} {
		to, err := linkIndex(s, pair[1])
		if err == nil {
			err = a.attach(s, pair[0], ebpf.SchedCLS, redirect(to))
		}
		if err != nil {
			return a, err
		}
	}
	return a, nil
}

// joinXDP makes two devices of a namespace one cable, by redirection before there is a socket buffer. Their peers have
// to take such frames.
func joinXDP(s *lab.Space, x, y string) (a attachment, err error) {
	for _, pair := range [][2]string{{x, y}, {y, x}} {
		to, err := linkIndex(s, pair[1])
		if err != nil {
			return a, err
		}
		ports, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.DevMap, KeySize: 4, ValueSize: 4, MaxEntries: 1})
		if err != nil {
			return a, err
		}
		a = append(a, ports)
		// The kernel looks for the device in the namespace of the thread that asks.
		if err := s.Do(func() error { return ports.Put(uint32(0), uint32(to)) }); err != nil {
			return a, err
		}
		text := asm.Instructions{asm.LoadMapPtr(asm.R1, ports.FD()), asm.Mov.Imm(asm.R2, 0), asm.Mov.Imm(asm.R3, 0),
			asm.FnRedirectMap.Call(), asm.Return()}
		if err := a.attach(s, pair[0], ebpf.XDP, text); err != nil {
			return a, err
		}
	}
	return a, nil
}
