package ports

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// VLANMode says how a port treats VLAN tags, in the words of Open vSwitch's
// Port table. The ports do not look at it; output:NORMAL does.
type VLANMode uint8

// The modes. The zero value is what a port without any VLAN word has.
const (
	VLANTrunk          VLANMode = iota // tagged frames of the trunks, untagged ones as VLAN 0
	VLANAccess                         // untagged frames of one VLAN
	VLANNativeTagged                   // a trunk whose untagged frames belong to Tag and leave tagged
	VLANNativeUntagged                 // a trunk whose VLAN Tag leaves untagged
)

// String is the mode's word.
func (m VLANMode) String() string {
	names := [...]string{"trunk", "access", "native-tagged", "native-untagged"}
	if int(m) < len(names) {
		return names[m]
	}
	return fmt.Sprintf("mode-%d", uint8(m))
}

// VLAN is a port's part in VLANs.
type VLAN struct {
	Mode   VLANMode
	Tag    uint16   // the access or native VLAN, 0 to 4095
	Trunks []uint16 // VLANs carried by a trunk, ascending; nil = all

	tagged, moded bool // which words were given
}

// set takes one VLAN word and answers what was expected if it is wrong.
func (v *VLAN) set(key, value string) (want string) {
	switch key {
	case "tag":
		n, err := strconv.ParseUint(value, 10, 12)
		if err != nil {
			return "a VLAN is 0 to 4095"
		}
		v.Tag, v.tagged = uint16(n), true
		if !v.moded {
			v.Mode = VLANAccess
		}
	case "trunks":
		return v.setTrunks(value)
	case "vlan-mode":
		for m := VLANTrunk; m <= VLANNativeUntagged; m++ {
			if m.String() == value {
				v.Mode, v.moded = m, true
				return ""
			}
		}
		return "a mode is access, trunk, native-tagged or native-untagged"
	}
	return ""
}

// setTrunks reads VLANs and ranges separated by semicolons: commas already
// separate the options.
func (v *VLAN) setTrunks(value string) (want string) {
	const form = "trunks are VLANs and ranges from 0 to 4095, as 1;2;10-20"
	v.Trunks = nil
	for _, word := range strings.Split(value, ";") {
		first, last, isRange := strings.Cut(word, "-")
		if !isRange {
			last = first
		}
		lo, err1 := strconv.ParseUint(first, 10, 12)
		hi, err2 := strconv.ParseUint(last, 10, 12)
		if err1 != nil || err2 != nil || lo > hi {
			return form
		}
		for n := lo; n <= hi; n++ {
			v.Trunks = append(v.Trunks, uint16(n))
		}
	}
	slices.Sort(v.Trunks)
	v.Trunks = slices.Compact(v.Trunks)
	return ""
}

// check judges the words together.
func (v *VLAN) check() (word, want string) {
	mode := "vlan-mode=" + v.Mode.String()
	switch {
	case v.Mode != VLANTrunk && v.moded && !v.tagged && v.Tag == 0:
		return mode, "that mode needs the VLAN, as tag=10"
	case v.Mode == VLANTrunk && (v.tagged || v.Tag != 0):
		return mode, "a trunk has no tag of its own; leave tag= out or use native-tagged or native-untagged"
	case v.Mode == VLANAccess && v.Trunks != nil:
		return "trunks", "an access port carries one VLAN; trunks= goes with vlan-mode=trunk, native-tagged or native-untagged"
	case v.Mode > VLANNativeUntagged || v.Tag > 4095:
		return mode, "a VLAN is 0 to 4095, a mode access, trunk, native-tagged or native-untagged"
	}
	return "", ""
}

// words writes the VLAN as options.
func (v *VLAN) words(add func(key, value string)) {
	if v.Mode != VLANTrunk {
		if v.Mode != VLANAccess || v.moded {
			add("vlan-mode", v.Mode.String())
		}
		if v.tagged || v.Tag != 0 {
			add("tag", strconv.Itoa(int(v.Tag)))
		}
	} else if v.moded {
		add("vlan-mode", "trunk")
	}
	if v.Trunks == nil {
		return
	}
	var runs []string
	for i := 0; i < len(v.Trunks); {
		j := i
		for j+1 < len(v.Trunks) && v.Trunks[j+1] == v.Trunks[j]+1 {
			j++
		}
		if i == j {
			runs = append(runs, strconv.Itoa(int(v.Trunks[i])))
		} else {
			runs = append(runs, fmt.Sprintf("%d-%d", v.Trunks[i], v.Trunks[j]))
		}
		i = j + 1
	}
	add("trunks", strings.Join(runs, ";"))
}
