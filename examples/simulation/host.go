package main

import (
	"encoding/binary"
	"fmt"
	"time"
)

// What follows the addresses in a frame of this network. Probes have the type of LLDP.
const (
	typeProbe = 0x88cc
	typeHost  = 0x88b5 // for experiments: a word and a number follow
)

// The words of hosts.
const (
	wordWho    = 'w' // to everybody: I look for the host of this number
	wordHere   = 'h' // its answer
	wordPing   = 'p'
	wordAnswer = 'a'
)

// host looks for its partner and then pings it.
type host struct {
	net      *network
	id       int
	partner  int
	pings    int
	answered int
	twice    int // frames that came more often than they were sent: a loop
	sent     map[uint16]time.Duration
	heard    map[string]bool
}

func hostMAC(id int) []byte { return []byte{2, 0, 0, 0, 1, byte(id)} }

func hostName(mac []byte) string {
	if mac[0] == 0xff {
		return "all"
	}
	return fmt.Sprintf("h%d", mac[5]+1)
}

func macValue(b []byte) uint64 {
	return uint64(binary.BigEndian.Uint16(b))<<32 | uint64(binary.BigEndian.Uint32(b[2:]))
}

func ethernet(dst, src []byte, etherType uint16, rest ...byte) []byte {
	b := append(append(make([]byte, 0, 60), dst...), src...)
	b = append(binary.BigEndian.AppendUint16(b, etherType), rest...)
	return b[:60]
}

// probe is sent by the controller out of a port and tells where it came from.
func probe(node, port int) []byte {
	return ethernet([]byte{1, 0, 0, 0, 0, 1}, []byte{2, 0, 0, 0, 0, byte(node)}, typeProbe, 0, byte(node), 0, byte(port))
}

// describe is a frame in the log.
func describe(f []byte) string {
	if binary.BigEndian.Uint16(f[12:]) == typeProbe {
		return fmt.Sprintf("probe from switch %d port %d", f[15]+1, f[17])
	}
	words := map[byte]string{wordWho: "who is", wordHere: "here is", wordPing: "ping", wordAnswer: "answer"}
	return fmt.Sprintf("%s > %s: %s %d", hostName(f[6:]), hostName(f), words[f[14]], binary.BigEndian.Uint16(f[15:]))
}

// say sends a word and a number.
func (h *host) say(dst []byte, word byte, number uint16) {
	f := ethernet(dst, hostMAC(h.id), typeHost, word, byte(number>>8), byte(number))
	h.net.transmit(place{h.id, 0}, f)
}

// begin looks for the partner, whose answer starts the pings. Numbers of a later round go on from the earlier one's.
func (h *host) begin(partner, pings int) {
	h.partner, h.pings = partner, pings
	h.say([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, wordWho, uint16(partner))
}

func (h *host) receive(f []byte) {
	to, number := hostName(f), binary.BigEndian.Uint16(f[15:])
	if binary.BigEndian.Uint16(f[12:]) != typeHost || to != "all" && to != hostName(hostMAC(h.id)) {
		return // a probe, or flooded
	}
	h.net.say("h%d: %s", h.id+1, describe(f))
	if h.heard[string(f)] {
		h.twice++
	}
	h.heard[string(f)] = true
	src := append([]byte(nil), f[6:12]...)
	switch f[14] {
	case wordWho:
		if int(number) == h.id {
			h.say(src, wordHere, number)
		}
	case wordHere:
		h.ping()
	case wordPing:
		h.say(src, wordAnswer, number)
	case wordAnswer:
		h.answered++
		h.net.say("h%d: ping %d to h%d took %v", h.id+1, number, h.partner+1, h.net.clock.Now()-h.sent[number])
		if h.pings > 0 {
			h.net.after(100*time.Millisecond, func() error { h.ping(); return nil })
		}
	}
}

func (h *host) ping() {
	h.pings--
	number := uint16(len(h.sent) + 1)
	h.sent[number] = h.net.clock.Now()
	h.say(hostMAC(h.partner), wordPing, number)
}
