package agent

import (
	"strings"
	"testing"
)

func TestParseTarget(t *testing.T) {
	for _, c := range []struct{ text, canon, network, address string }{
		{"tcp:127.0.0.1", "tcp:127.0.0.1:6653", "tcp", "127.0.0.1:6653"},
		{"tcp:127.0.0.1:6633", "tcp:127.0.0.1:6633", "tcp", "127.0.0.1:6633"},
		{"tcp:controller.example", "tcp:controller.example:6653", "tcp", "controller.example:6653"},
		{"tcp:[::1]", "tcp:[::1]:6653", "tcp", "[::1]:6653"},
		{"tcp:[fe80::1%eth0]:6633", "tcp:[fe80::1%eth0]:6633", "tcp", "[fe80::1%eth0]:6633"},
		{"ssl:10.0.0.1:6640", "ssl:10.0.0.1:6640", "tcp", "10.0.0.1:6640"},
		{"unix:/run/c.sock", "unix:/run/c.sock", "unix", "/run/c.sock"},
		{"ptcp:", "ptcp:6653", "tcp", ":6653"},
		{"ptcp:6654", "ptcp:6654", "tcp", ":6654"},
		{"ptcp:0", "ptcp:0", "tcp", ":0"},
		{"ptcp:6654:127.0.0.1", "ptcp:6654:127.0.0.1", "tcp", "127.0.0.1:6654"},
		{"ptcp::127.0.0.1", "ptcp:6653:127.0.0.1", "tcp", "127.0.0.1:6653"},
		{"pssl:6640:[::1]", "pssl:6640:[::1]", "tcp", "[::1]:6640"},
		{"punix:/run/x/../y.sock", "punix:/run/y.sock", "unix", "/run/y.sock"},
	} {
		got, err := ParseTarget(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got.String() != c.canon || got.Network() != c.network || got.Address() != c.address {
			t.Errorf("%s: %s %s %s", c.text, got, got.Network(), got.Address())
		}
		if again, err := ParseTarget(got.String()); err != nil || again != got {
			t.Errorf("%s does not read back: %v, %v", got, again, err)
		}
		if got.Passive() != strings.HasPrefix(c.text, "p") || got.TLS() != strings.Contains(c.text, "ssl") {
			t.Errorf("%s: passive %v, TLS %v", c.text, got.Passive(), got.TLS())
		}
	}
}

func TestParseTargetErrors(t *testing.T) {
	const forms = "write tcp:HOST[:PORT], ssl:HOST[:PORT] or unix:PATH to dial, ptcp:[PORT][:HOST], pssl:[PORT][:HOST] or punix:PATH to listen"
	for _, c := range []struct{ text, want string }{
		{"", `target "": expected a scheme and a colon: ` + forms},
		{"tpc:1.2.3.4", `target "tpc:1.2.3.4": unknown scheme "tpc": did you mean "tcp"? (` + forms + ")"},
		{"http://x", `target "http://x": unknown scheme "http": ` + forms},
		{"tcp:", `target "tcp:": expected a host, like tcp:127.0.0.1:6653`},
		{"tcp::6653", `target "tcp::6653": expected a host, like tcp:127.0.0.1:6653`},
		{"tcp:a:0", `target "tcp:a:0": port 0 cannot be dialled: write 1 to 65535`},
		{"tcp:a:65536", `target "tcp:a:65536": port "65536" is not a number from 0 to 65535`},
		{"tcp:a:x", `target "tcp:a:x": port "x" is not a number from 0 to 65535`},
		{"tcp:::1:6653", `target "tcp:::1:6653": put brackets round an IPv6 address: [::1]:6653`},
		{"tcp:[::1", `target "tcp:[::1": expected ] after the IPv6 address`},
		{"tcp:[::1]6653", `target "tcp:[::1]6653": expected : and a port after ], found "6653"`},
		{"tcp:[1:2]", `target "tcp:[1:2]": "1:2" is not an IPv6 address`},
		{"tcp:a b", `target "tcp:a b": "a b" is not a host name or address`},
		{"ptcp:127.0.0.1:6653", `target "ptcp:127.0.0.1:6653": a listener names its port first: write PORT:HOST, like 6653:127.0.0.1`},
		{"ptcp:6653:::1", `target "ptcp:6653:::1": put brackets round an IPv6 address: 6653:[::1]`},
		{"unix:", `target "unix:": expected a path after the colon, like unix:/run/controller.sock`},
		{"punix:/" + strings.Repeat("a", 107), `target "punix:/` + strings.Repeat("a", 107) + `": the path has 108 bytes, a unix socket's path at most 107: use a shorter folder`},
	} {
		if got, err := ParseTarget(c.text); err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v\n  %v\nwant\n  %s", c.text, got, err, c.want)
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"status", "ports", "flows", "fdb", "stop"}
	for in, want := range map[string]string{"statsu": "status", "flow": "flows", "port": "ports", "fbd": "fdb",
		"xyzzy": "", "": "", "stp": "stop", "s": "", strings.Repeat("status", 20): ""} {
		if got := Nearest(in, words); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", in, got, want)
		}
	}
}
