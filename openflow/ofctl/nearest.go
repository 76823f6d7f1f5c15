package ofctl

import (
	"slices"
	"strings"
)

// Nearest returns the word closest to s, or "" when none is close enough to be meant: the one for what other tools
// call s, the one with the fewest letters changed, or the only one that s begins or that begins s.
func Nearest(s string, words []string) string {
	if len(s) > 64 {
		return "" // nobody meant that
	}
	if w := elsewhere[s]; w != "" && slices.Contains(words, w) {
		return w
	}
	best, limit := "", max(1, min(len(s)/3, 3))
	for _, w := range words {
		if d := editDistance(s, w); d <= limit && d < len(w) {
			best, limit = w, d-1
		}
	}
	if best != "" {
		return best
	}
	for _, w := range words {
		if strings.HasPrefix(w, s) && len(s) > 2 || strings.HasPrefix(s, w) && len(w) > 5 {
			if best != "" {
				return ""
			}
			best = w
		}
	}
	return best
}

// elsewhere are words of other tools and controllers, and those one would guess.
var elsewhere = map[string]string{
	"vlan": "dl_vlan", "vlan_id": "dl_vlan", "vid": "dl_vlan", "pcp": "dl_vlan_pcp", "ethertype": "dl_type", "ether_type": "dl_type", "type": "dl_type",
	"src_mac": "dl_src", "dst_mac": "dl_dst", "mac_src": "dl_src", "mac_dst": "dl_dst", "src_ip": "nw_src", "dst_ip": "nw_dst", "ipv4_src": "nw_src", "ipv4_dst": "nw_dst",
	"ip6_src": "ipv6_src", "ip6_dst": "ipv6_dst", "ip6": "ipv6", "ipv4": "ip", "icmpv6": "icmp6", "proto": "nw_proto", "protocol": "nw_proto", "dscp": "ip_dscp",
	"src_port": "tp_src", "dst_port": "tp_dst", "sport": "tp_src", "dport": "tp_dst", "port": "in_port", "inport": "in_port", "prio": "priority",
	"forward": "output", "out": "output", "to": "output", "push": "push_vlan", "set": "set_field", "goto": "goto_table", "queue": "set_queue",
}

// editDistance counts insertions, deletions, substitutions and swaps of neighbours.
func editDistance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
