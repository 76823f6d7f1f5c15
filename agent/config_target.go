// Slow path: connection targets in Open vSwitch's words.

package agent

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

// DefaultOpenFlowPort is the port of a target that names none (section 6.3.1).
const DefaultOpenFlowPort = 6653

// Target is one end of a controller connection: tcp:HOST[:PORT], ssl:HOST[:PORT]
// and unix:PATH are dialled; ptcp:[PORT][:HOST], pssl:[PORT][:HOST] and punix:PATH
// listen. The zero Target names nothing. Targets are comparable.
type Target struct {
	Scheme string // tcp, ssl, unix, ptcp, pssl, punix
	Host   string // without brackets; empty for a listener on all addresses
	Port   uint16
	Path   string // of unix and punix
}

// Passive reports whether the target listens.
func (t Target) Passive() bool { return strings.HasPrefix(t.Scheme, "p") }

// TLS reports whether the connection is encrypted.
func (t Target) TLS() bool { return t.Scheme == "ssl" || t.Scheme == "pssl" }

// samePort reports whether both are TCP with one port; ptcp:0 gets a port of its own.
func (t Target) samePort(o Target) bool {
	return t.Network() == "tcp" && o.Network() == "tcp" && t.Port == o.Port && t.Port != 0
}

// anyAddress reports whether a TCP listener takes its port on all addresses.
func (t Target) anyAddress() bool {
	a, err := netip.ParseAddr(t.Host)
	return t.Network() == "tcp" && (t.Host == "" || err == nil && a.IsUnspecified())
}

// Network is the first argument for net.Dial or net.Listen.
func (t Target) Network() string {
	if strings.HasSuffix(t.Scheme, "unix") {
		return "unix"
	}
	return "tcp"
}

// Address is the second argument for net.Dial or net.Listen.
func (t Target) Address() string {
	if t.Network() == "unix" {
		return t.Path
	}
	return net.JoinHostPort(t.Host, strconv.Itoa(int(t.Port)))
}

// String writes the target with its port; ParseTarget reads it back.
func (t Target) String() string {
	host := t.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	switch {
	case t.Scheme == "":
		return ""
	case t.Network() == "unix":
		return t.Scheme + ":" + t.Path
	case !t.Passive():
		return fmt.Sprintf("%s:%s:%d", t.Scheme, host, t.Port)
	case host == "":
		return fmt.Sprintf("%s:%d", t.Scheme, t.Port)
	default:
		return fmt.Sprintf("%s:%d:%s", t.Scheme, t.Port, host)
	}
}

// ParseTarget reads a target. An active target without a port, and a passive one
// without a port, use DefaultOpenFlowPort; ptcp:0 asks the system for a free port.
func ParseTarget(s string) (Target, error) {
	scheme, rest, ok := strings.Cut(s, ":")
	t := Target{Scheme: scheme}
	bad := func(why string) (Target, error) {
		return Target{}, fmt.Errorf("target %q: %s", s, why)
	}
	switch scheme {
	case "unix", "punix":
		if rest == "" {
			return bad("expected a path after the colon, like " + scheme + ":/run/controller.sock")
		}
		if len(rest) > maxSocketPath {
			return bad(fmt.Sprintf("the path has %d bytes, a unix socket's path at most %d: use a shorter folder",
				len(rest), maxSocketPath))
		}
		t.Path = filepath.Clean(rest)
		return t, nil
	case "tcp", "ssl":
		host, port, err := splitTarget(rest, false)
		if err != nil {
			return bad(err.Error())
		}
		if host == "" {
			return bad("expected a host, like " + scheme + ":127.0.0.1:6653")
		}
		if port == 0 {
			return bad("port 0 cannot be dialled: write 1 to 65535")
		}
		t.Host, t.Port = host, port
		return t, nil
	case "ptcp", "pssl":
		host, port, err := splitTarget(rest, true)
		if err != nil {
			return bad(err.Error())
		}
		t.Host, t.Port = host, port
		return t, nil
	}
	hint := "write tcp:HOST[:PORT], ssl:HOST[:PORT] or unix:PATH to dial, ptcp:[PORT][:HOST], pssl:[PORT][:HOST] or punix:PATH to listen"
	if !ok {
		return bad("expected a scheme and a colon: " + hint)
	}
	if near := Nearest(scheme, targetSchemes); near != "" {
		hint = fmt.Sprintf("did you mean %q? (%s)", near, hint)
	}
	return bad(fmt.Sprintf("unknown scheme %q: %s", scheme, hint))
}

var targetSchemes = []string{"tcp", "ssl", "unix", "ptcp", "pssl", "punix"}

// maxSocketPath is sizeof(sun_path) - 1 on Linux; other systems have less and say so on bind.
const maxSocketPath = 107

// splitTarget reads HOST[:PORT], or [PORT][:HOST] with the port first.
func splitTarget(s string, portFirst bool) (host string, port uint16, err error) {
	var portText string
	switch {
	case portFirst:
		portText, host, _ = strings.Cut(s, ":")
		if strings.HasPrefix(s, "[") || (portText != "" && !isDigits(portText)) {
			return "", 0, fmt.Errorf("a listener names its port first: write PORT:HOST, like 6653:127.0.0.1")
		}
		if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
			host = host[1 : len(host)-1]
		} else if strings.Contains(host, ":") {
			return "", 0, fmt.Errorf("put brackets round an IPv6 address: 6653:[::1]")
		}
	case strings.HasPrefix(s, "["):
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", 0, fmt.Errorf("expected ] after the IPv6 address")
		}
		host, portText = s[1:end], s[end+1:]
		if portText != "" && !strings.HasPrefix(portText, ":") {
			return "", 0, fmt.Errorf("expected : and a port after ], found %q", portText)
		}
		portText = strings.TrimPrefix(portText, ":")
	case strings.Count(s, ":") > 1:
		return "", 0, fmt.Errorf("put brackets round an IPv6 address: [::1]:6653")
	default:
		host, portText, _ = strings.Cut(s, ":")
	}
	if strings.Contains(host, ":") {
		if a, err := netip.ParseAddr(host); err != nil || !a.Is6() {
			return "", 0, fmt.Errorf("%q is not an IPv6 address", host)
		}
	}
	if strings.ContainsAny(host, " \t\r\n/,[]") {
		return "", 0, fmt.Errorf("%q is not a host name or address", host)
	}
	if portText == "" {
		return host, DefaultOpenFlowPort, nil
	}
	n, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || !isDigits(portText) {
		return "", 0, fmt.Errorf("port %q is not a number from 0 to 65535", portText)
	}
	return host, uint16(n), nil
}

func isDigits(s string) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}
