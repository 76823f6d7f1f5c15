package ports

import "slices"

// KindForm is what help tells of a kind.
type KindForm struct {
	Kind  Kind
	Form  string   // a right example
	About string   // what it is and what it asks of the machine
	Keys  []string // options that not every kind has
}

// KindForms are all kinds with their options, from the table that the parser uses.
func KindForms() []KindForm {
	var all []KindForm
	for _, k := range kinds {
		all = append(all, KindForm{Kind: k.kind, Form: k.form, About: aboutKind[k.kind], Keys: slices.Clone(k.keys)})
	}
	return all
}

// CommonKeys are the options of every kind.
func CommonKeys() []string { return slices.Clone(commonKeys[:]) }

var aboutKind = map[Kind]string{
	KindAFPacket: "an Ethernet device of the host, by a packet socket (CAP_NET_RAW). The device must be up. The host's own stack also gets\n" +
		"every frame: leave it no address there, forward nothing there, or take xdp.",
	KindXDP: "an Ethernet device by AF_XDP: the host sees none of its frames (CAP_NET_RAW, CAP_NET_ADMIN, CAP_BPF and CAP_IPC_LOCK\n" +
		"in the first user namespace). MTU at most 3818, no super-frames. The device must be up.",
	KindTAP:      "a tap for a virtual machine or a program, made if it is not there (/dev/net/tun; CAP_NET_ADMIN).",
	KindInternal: "the device by which the host talks through its own switch: one a bridge, named like it, OpenFlow port LOCAL (as a tap).",
	KindPatch:    "a cable to another bridge of the same process.",
	KindPipe:     "an in-memory pair, whose other end a Go program holds.",
	KindWire: "frames over udp, tcp, unix or unixgram, framed as QEMU's -netdev stream and dgram do. Needs no rights.\n" +
		"tcp and unix: listen or connect; udp and unixgram: local and remote.",
	KindPcap: "a capture that is replayed (pcap:FILE), a file that records (pcap:,out=FILE), or both; a live interface in a\n" +
		"weir built with libpcap.",
}
