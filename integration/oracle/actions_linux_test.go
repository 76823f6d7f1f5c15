package oracle

import "github.com/weirswitch/weir/openflow"

// facts are what a flow's match, changed by the actions so far, makes sure of. Zero: nothing.
type facts struct {
	vlan       bool
	eth, proto uint64
	icmp6      uint64
}

func knowing(match []openflow.Field) (k facts) {
	for _, f := range match {
		switch v := f.Value.Uint64(); f.ID {
		case openflow.EthType:
			k.eth = v
		case openflow.IPProto:
			k.proto = v
		case openflow.ICMPv6Type:
			k.icmp6 = v
		case openflow.VLANVID:
			k.vlan = v&openflow.VIDPresent != 0
		}
	}
	return k
}

// fields is a match that makes sure of as much.
func (k facts) fields() (list []openflow.Field) {
	for _, f := range []struct {
		id openflow.FieldID
		v  uint64
	}{{openflow.EthType, k.eth}, {openflow.IPProto, k.proto}, {openflow.ICMPv6Type, k.icmp6}} {
		if f.v != 0 {
			list = append(list, openflow.Exact(f.id, f.v))
		}
	}
	if k.vlan {
		list = append(list, openflow.WithMask(openflow.VLANVID, openflow.VIDPresent, openflow.VIDPresent))
	}
	return list
}

func (k facts) ip() bool   { return k.eth == 0x0800 || k.eth == 0x86dd }
func (k facts) mpls() bool { return k.eth == 0x8847 || k.eth == 0x8848 }

// actions is a list for apply_actions.
func (g *gen) actions(k *facts, n int) (list []openflow.Action) {
	for range n {
		if g.nicira && g.one(2) {
			list = append(list, g.niciraAction(k))
		} else if g.one(2) {
			list = append(list, g.output())
		} else {
			list = append(list, g.rewrite(k)...)
		}
	}
	if g.one(2) {
		list = append(list, g.output())
	}
	return list
}

// actionSet is a list for write_actions.
func (g *gen) actionSet(k *facts, n int) (list []openflow.Action) {
	if g.pops { // see deviation set-vid-untagged
		tagged := k.vlan
		k.vlan = false
		defer func() { k.vlan = tagged }()
		defer func(left int) { g.left = left }(g.left)
		g.left = 0
		if tagged && g.one(3) {
			list = append(list, openflow.Action{Type: openflow.ActionPopVLAN})
		}
	}
	for range n {
		list = append(list, g.rewrite(k)...)
	}
	if !g.one(4) {
		list = append(list, g.output())
	}
	return list
}

func (g *gen) output() openflow.Action {
	if g.groups > 0 && g.one(2) {
		return openflow.Group(1 + g.Uint32N(g.groups))
	}
	a := openflow.Output(openflow.PortNo(1 + g.IntN(numPorts)))
	switch g.IntN(24) {
	case 0:
		a.Port = openflow.PortInPort
	case 1:
		a.Port = openflow.PortAll
	case 2:
		a.Port = openflow.PortFlood
	case 3:
		if g.normal {
			a.Port = openflow.PortNormal
		}
	case 4, 5:
		a.Port, a.MaxLen = openflow.PortController, pick(g, []uint16{0xffff, 2000, 20, 0})
	case 6:
		a.Port = 9 // is not there
	}
	return a
}

// rewrite is an action that fits what is known, and says what is known after it.
func (g *gen) rewrite(k *facts) []openflow.Action {
	for {
		before := *k
		a, ok := g.tryRewrite(k)
		if !ok {
			continue
		}
		list := []openflow.Action{a}
		if a.Type == openflow.ActionPushVLAN && (g.normal || before.vlan || g.maxTags > 0 || g.pushes > 1) {
			list = append(list, openflow.SetField(openflow.VLANVID, openflow.VIDPresent|g.vid()), openflow.SetField(openflow.VLANPCP, uint64(g.IntN(8))))
		}
		if a.Type == openflow.ActionPushMPLS && !before.mpls() {
			list = append(list, openflow.SetField(openflow.MPLSLabel, pick(g, labels)), openflow.SetField(openflow.MPLSTC, uint64(g.IntN(8))))
			if !before.ip() || g.zeroTTL {
				list = append(list, openflow.Action{Type: openflow.ActionSetMPLSTTL, TTL: pick(g, ttls)})
			}
		}
		return list
	}
}

func (g *gen) tryRewrite(k *facts) (a openflow.Action, ok bool) {
	switch g.IntN(12) {
	case 0:
		return openflow.SetField(openflow.EthDst, pick(g, macs)), true
	case 1:
		return openflow.SetField(openflow.EthSrc, pick(g, macs)), true
	case 2:
		if g.left == 0 {
			return a, false
		}
		g.left--
		k.vlan = true
		return openflow.Action{Type: openflow.ActionPushVLAN, EtherType: pick(g, []uint16{0x8100, 0x8100, 0x88a8})}, true
	case 3:
		if !g.pops {
			return a, false
		}
		ok = k.vlan
		k.vlan = false
		return openflow.Action{Type: openflow.ActionPopVLAN}, ok
	case 4:
		if g.one(2) {
			return openflow.SetField(openflow.VLANPCP, uint64(g.IntN(8))), k.vlan
		}
		return openflow.SetField(openflow.VLANVID, openflow.VIDPresent|g.vid()), k.vlan
	case 5:
		if g.leftLabels == 0 {
			return a, false
		}
		g.leftLabels--
		*k = facts{vlan: k.vlan, eth: uint64(0x8847 + g.IntN(2))}
		return openflow.Action{Type: openflow.ActionPushMPLS, EtherType: uint16(k.eth)}, true
	case 6:
		ok = k.mpls() && g.labelPushes == 0
		if ok {
			*k = facts{vlan: k.vlan, eth: pick(g, []uint64{0x0800, 0x86dd, 0x8847, 0x88b5})}
		}
		return openflow.Action{Type: openflow.ActionPopMPLS, EtherType: uint16(k.eth)}, ok
	case 7:
		return g.ttlAction(k)
	case 8:
		return openflow.Action{Type: openflow.ActionSetQueue, Queue: uint32(g.IntN(2))}, g.one(4)
	}
	return g.setHeader(k)
}

func (g *gen) ttlAction(k *facts) (a openflow.Action, ok bool) {
	kinds := [][]openflow.ActionType{
		{openflow.ActionDecNwTTL, openflow.ActionSetNwTTL},
		{openflow.ActionDecMPLSTTL, openflow.ActionSetMPLSTTL},
	}[g.IntN(2)]
	a.Type = pick(g, kinds)
	if a.Type == openflow.ActionSetNwTTL || a.Type == openflow.ActionSetMPLSTTL {
		a.TTL = pick(g, ttls)
	}
	if kinds[0] == openflow.ActionDecNwTTL {
		return a, k.ip()
	}
	return a, k.mpls()
}

// setHeader sets a field of the layers that are known.
func (g *gen) setHeader(k *facts) (openflow.Action, bool) {
	set := func(id openflow.FieldID, v uint64) (openflow.Action, bool) { return openflow.SetField(id, v), true }
	if k.ip() && k.proto != 0 && g.one(2) {
		port := pick(g, tps)
		side := openflow.FieldID(g.IntN(2))
		if g.laterFragments { // see deviation fragment-checksum
			return g.setTOS()
		}
		switch k.proto {
		case 6:
			return set(openflow.TCPSrc+side, port)
		case 17:
			return set(openflow.UDPSrc+side, port)
		case 132:
			if g.fragments {
				return g.setTOS()
			}
			return set(openflow.SCTPSrc+side, port)
		}
		return g.setICMP(k)
	}
	switch k.eth {
	case 0x0800:
		if g.laterFragments {
			return g.setTOS()
		}
		return set(openflow.IPv4Src+openflow.FieldID(g.IntN(2)), uint64(pick(g, ips)))
	case 0x86dd:
		switch g.IntN(4) {
		case 0:
			return set(openflow.IPv6FLabel, pick(g, labels))
		case 1:
			return g.setTOS()
		}
		if g.laterFragments {
			return g.setTOS()
		}
		a := pick(g, ip6s)
		id := openflow.IPv6Src + openflow.FieldID(g.IntN(2))
		return openflow.Action{Type: openflow.ActionSetField, Field: openflow.Exact128(id, a[0], a[1])}, true
	case 0x0806:
		switch g.IntN(5) {
		case 0:
			return set(openflow.ARPOp, uint64(1+g.IntN(2)))
		case 1, 2:
			return set(openflow.ARPSPA+openflow.FieldID(g.IntN(2)), uint64(pick(g, ips)))
		}
		return set(openflow.ARPSHA+openflow.FieldID(g.IntN(2)), pick(g, macs))
	case 0x8847, 0x8848:
		if g.one(3) {
			return set(openflow.MPLSTC, uint64(g.IntN(8)))
		}
		return set(openflow.MPLSLabel, pick(g, labels))
	}
	return openflow.Action{}, false
}

func (g *gen) setTOS() (openflow.Action, bool) {
	v := uint64(pick(g, tosses))
	if g.one(2) {
		return openflow.SetField(openflow.IPDSCP, v>>2), true
	}
	return openflow.SetField(openflow.IPECN, v&3), true
}

func (g *gen) setICMP(k *facts) (openflow.Action, bool) {
	switch {
	case k.proto == 1 && k.eth == 0x0800:
		return openflow.SetField(openflow.ICMPv4Type+openflow.FieldID(g.IntN(2)), uint64(g.IntN(4)*4)), true
	case k.icmp6 == 135 || k.icmp6 == 136:
		if g.one(2) {
			a := pick(g, ip6s)
			return openflow.Action{Type: openflow.ActionSetField, Field: openflow.Exact128(openflow.NDTarget, a[0], a[1])}, true
		}
		return openflow.SetField(openflow.NDSLL+openflow.FieldID(k.icmp6-135), pick(g, macs)), true
	}
	return g.setTOS()
}
