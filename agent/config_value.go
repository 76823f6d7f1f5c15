// Slow path: single values of the configuration, from text to what they mean.

package agent

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weirswitch/weir/openflow"
)

type duration = time.Duration

const (
	microsecond = time.Microsecond
	millisecond = time.Millisecond
	second      = time.Second
	hour        = time.Hour
)

var logLevels = []string{"error", "warn", "info", "debug"}

// setWord takes one of a few words.
func setWord(dst *string, s string, words []string) error {
	for _, w := range words {
		if s == w {
			*dst = s
			return nil
		}
	}
	expected := strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
	if near := Nearest(strings.ToLower(s), words); near != "" {
		return fmt.Errorf("%q is not known, did you mean %q? (expected %s)", clip(s, 40), near, expected)
	}
	return fmt.Errorf("%q is not known: expected %s", clip(s, 40), expected)
}

// setFragments takes the treatment of fragments in ovs-ofctl's words.
func setFragments(dst *openflow.FragFlags, s string) error {
	var words []string
	for f := openflow.FragNormal; f <= openflow.FragReasm; f++ {
		words = append(words, f.String())
	}
	err := setWord(&s, s, words)
	if err == nil {
		*dst = openflow.FragFlags(slices.Index(words, s))
	}
	return err
}

// setName takes a bridge's name, which becomes a file name and, with internal, a device.
func setName(dst *string, s string) error {
	switch {
	case s == "" || len(s) > 15:
		return fmt.Errorf("%q has %d bytes: expected 1 to 15, what a network device may have", clip(s, 40), len(s))
	case s == "." || s == ".." || s[0] == '-':
		return fmt.Errorf("%q cannot be a name: expected a letter or digit first, like br0", s)
	}
	for _, c := range s {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", c) {
			return fmt.Errorf("%q has the character %q: expected letters, digits, dots, hyphens and underscores", s, c)
		}
	}
	*dst = s
	return nil
}

// setDPID takes a datapath id, with or without 0x and colons.
func setDPID(dst *uint64, s string) error {
	const expected = "expected 1 to 16 hex digits, like 0000000000000001"
	digits := strings.ReplaceAll(strings.TrimPrefix(strings.ToLower(s), "0x"), ":", "")
	if len(digits) > 16 {
		return fmt.Errorf("%q has %d digits, which is too long: %s", clip(s, 40), len(digits), expected)
	}
	v, err := strconv.ParseUint(digits, 16, 64)
	if err != nil {
		return fmt.Errorf("%q is not a datapath id: %s", clip(s, 40), expected)
	}
	if v == 0 {
		return fmt.Errorf("the datapath id 0 confuses controllers: %s, or leave it out to have one made from the MAC", expected)
	}
	*dst = v
	return nil
}

// setMAC takes an address that one station can have.
func setMAC(dst *[6]byte, s string) error {
	hw, err := net.ParseMAC(s)
	if err != nil || len(hw) != 6 {
		return fmt.Errorf("%q is not an Ethernet address: expected six pairs of hex digits, like 02:00:00:00:00:01", clip(s, 40))
	}
	if hw[0]&1 != 0 || [6]byte(hw) == [6]byte{} {
		return fmt.Errorf("%s cannot be a bridge's address: expected one that is neither zero nor multicast, like 02:00:00:00:00:01", s)
	}
	*dst = [6]byte(hw)
	return nil
}

// setInt takes a decimal number between lo and hi.
func setInt(dst *int, s string, lo, hi int) error {
	n, err := strconv.Atoi(s)
	if err != nil {
		return fmt.Errorf("%q is not a number: expected %d to %d", clip(s, 40), lo, hi)
	}
	if n < lo || n > hi {
		return fmt.Errorf("%d is out of range: expected %d to %d", n, lo, hi)
	}
	*dst = n
	return nil
}

func setOptInt(dst **int, s string, lo, hi int) error {
	var n int
	if err := setInt(&n, s, lo, hi); err != nil {
		return err
	}
	*dst = &n
	return nil
}

// setDuration takes a time with its unit.
func setDuration(dst *duration, s string, lo, hi duration) error {
	d, err := time.ParseDuration(s)
	if err != nil {
		hint := "expected a number with its unit, like 500ms, 5s or 2m"
		if isDigits(s) {
			hint = fmt.Sprintf("the unit is missing, write %ss for seconds", s)
		}
		return fmt.Errorf("%q is not a time: %s", clip(s, 40), hint)
	}
	if d < lo || d > hi {
		return fmt.Errorf("%s is out of range: expected %s to %s", s, lo, hi)
	}
	*dst = d
	return nil
}

// setSpin takes a time whose zero is not the default.
func setSpin(dst *duration, s string) error {
	var d duration
	if err := setDuration(&d, s, 0, second); err != nil {
		return err
	}
	if *dst = d; d == 0 {
		*dst = -1
	}
	return nil
}

func setOptDuration(dst **duration, s string, lo, hi duration) error {
	var d duration
	if err := setDuration(&d, s, lo, hi); err != nil {
		return err
	}
	*dst = &d
	return nil
}

func setBool(dst *bool, s string) error {
	switch s {
	case "true", "yes", "on":
		*dst = true
	case "false", "no", "off":
		*dst = false
	default:
		return fmt.Errorf("%q is neither true nor false", clip(s, 40))
	}
	return nil
}

// setPath takes a file name; relative ones start where weir was started.
func setPath(dst *string, s string) error {
	if s == "" || strings.ContainsRune(s, 0) {
		return fmt.Errorf("%q is not a path: expected one like /run/weir", clip(s, 40))
	}
	abs, err := filepath.Abs(s)
	if err != nil {
		return fmt.Errorf("%q: %w", s, err)
	}
	*dst = abs
	return nil
}

// setText takes printable text that fits a fixed field of the protocol.
func setText(dst *string, s string, most int) error {
	if s == "" || len(s) > most {
		return fmt.Errorf("has %d bytes: expected 1 to %d", len(s), most)
	}
	for _, c := range s {
		if c < ' ' || c == 0x7f {
			return fmt.Errorf("has the control character %q: expected printable text", c)
		}
	}
	*dst = s
	return nil
}

// setProtocol takes a version in Open vSwitch's words, or several with commas.
func setProtocol(dst *[]string, s string) error {
	for _, v := range strings.Split(s, ",") {
		if protocolNames[v] == 0 {
			return fmt.Errorf("%q is not spoken to controllers: expected OpenFlow10, OpenFlow13 or both", clip(v, 40))
		}
		for _, have := range *dst {
			if have == v {
				return fmt.Errorf("%q is listed twice: keep one", v)
			}
		}
		*dst = append(*dst, v)
	}
	return nil
}

// setLogLevel takes PART=LEVEL, or several with commas.
func (d *draft) setLogLevel(s string) error {
	for _, one := range strings.Split(s, ",") {
		part, level, ok := strings.Cut(one, "=")
		if !ok {
			return fmt.Errorf("%q is not PART=LEVEL, like channel=debug", clip(one, 40))
		}
		if err := setWord(&part, part, logParts); err != nil {
			return err
		}
		if err := setWord(&level, level, logLevels); err != nil {
			return err
		}
		if d.Log.Levels == nil {
			d.Log.Levels = map[string]string{}
		}
		d.Log.Levels[part] = level
	}
	return nil
}

// reasonWords are the reasons of a PACKET_IN, by number.
var reasonWords = [numReasons]string{"no-match", "action", "invalid-ttl"}

// set takes REASON=N, or several with commas; 0 means no limit for the reason.
func (r *ReasonRates) set(s string) error {
	for _, one := range strings.Split(s, ",") {
		reason, rate, ok := strings.Cut(one, "=")
		if !ok {
			return fmt.Errorf("%q is not REASON=N, like no-match=100", clip(one, 40))
		}
		if err := setWord(&reason, reason, reasonWords[:]); err != nil {
			return err
		}
		var n int
		if err := setInt(&n, rate, 0, 1<<30); err != nil {
			return err
		}
		if n == 0 {
			n = -1
		}
		r[slices.Index(reasonWords[:], reason)] = n
	}
	return nil
}

// internal returns the bridge's internal device, making it when a first word asks for it.
func (b *bridgeDraft) internal() *InternalConfig {
	if b.Internal == nil {
		b.Internal = &InternalConfig{}
	}
	return b.Internal
}

func (b *bridgeDraft) setInternal(s string) error {
	var yes bool
	if err := setBool(&yes, s); err != nil {
		return err
	}
	if yes {
		b.internal()
	} else if b.Internal != nil {
		return fmt.Errorf("is switched off after something was said about it: leave one of the two out")
	}
	return nil
}

// addAddress takes the host's address on the internal device.
func (b *bridgeDraft) addAddress(s string) error {
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Zone() != "" {
		return fmt.Errorf("%q is not an address with its prefix length: expected one like 10.0.0.254/24 or fd00::1/64", clip(s, 60))
	}
	if p.Addr().IsMulticast() || p.Addr().IsUnspecified() {
		return fmt.Errorf("%s cannot be a host's address", s)
	}
	in := b.internal()
	for _, have := range in.Addresses {
		if have.Addr() == p.Addr() {
			return fmt.Errorf("%s is listed twice: keep one", p.Addr())
		}
	}
	in.Addresses = append(in.Addresses, p)
	return nil
}
