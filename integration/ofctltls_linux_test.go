package integration

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestOfctlTLS: "weir ofctl" reaches the encrypted listeners of weir and of Open vSwitch and says what ovs-ofctl says there. Which
// of the two sides lacks trust, or a file, is told in a sentence.
func TestOfctlTLS(t *testing.T) {
	need(t, "ovs-ofctl")
	b := newBed(t)
	b.mustLinks()
	good, other := filepath.Join(b.Dir(), "good"), filepath.Join(b.Dir(), "other")
	for _, dir := range []string{good, other} {
		b.cli("tls", "init", dir)
	}
	b.startYAML([]string{"br0"}, strings.ReplaceAll(`
bridges:
  - name: br0
    fail-mode: secure
    tls: {private-key: DIR/switch-key.pem, certificate: DIR/switch.pem, ca-cert: DIR/ca.pem}
    listen: ["pssl:6640:127.0.0.1", "ptcp:6642:127.0.0.1"]
    ports: [{port: "1:p1"}, {port: "2:p2"}]
`, "DIR", good))
	o := b.startOVS("--enable-dummy=override", "-vconsole:off", "-vsyslog:off")
	o.vsctl("set-ssl", filepath.Join(good, "switch-key.pem"), filepath.Join(good, "switch.pem"), filepath.Join(good, "ca.pem"))
	o.vsctl("add-br", "ovs0", "--", "set", "bridge", "ovs0", "datapath_type=dummy", "fail-mode=secure", "protocols=OpenFlow10,OpenFlow13",
		"--", "set-controller", "ovs0", "pssl:6641:127.0.0.1")

	with := func(key, cert, ca string) []string {
		return []string{"-p", filepath.Join(key, "controller-key.pem"), "--certificate=" + filepath.Join(cert, "controller.pem"), "-C", filepath.Join(ca, "ca.pem")}
	}
	ask := func(path string, args ...string) (string, error) { return b.try(path, args...) }
	for _, target := range []string{"ssl:127.0.0.1:6640", "ssl:127.0.0.1:6641"} {
		for _, version := range []string{"OpenFlow10", "OpenFlow13"} {
			for _, words := range [][]string{{"add-flow", target, "ip,actions=output:1"}, {"show", target}, {"--no-stats", "dump-flows", target}} {
				args := append(append(with(good, good, good), "-O", version), words...)
				want, err := ask("ovs-ofctl", args...)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := ask(b.bin, append([]string{"ofctl"}, args...)...); got != want || err != nil {
					t.Errorf("%s %s: %v\n%s\novs-ofctl says\n%s", version, words, err, got, want)
				}
			}
		}
		for want, args := range map[string][]string{
			"needs -p FILE (the private key), -c FILE": nil,
			"needs -C FILE":                         with(good, good, good)[:3],
			"no-such":                               append(with(good, good, good), "-C", "no-such"),
			"private key does not match public key": with(other, good, good),
			"other/ca.pem has not signed the switch's certificate":           with(good, good, other),
			"other/controller.pem; it has to be signed by an authority that": with(other, other, good),
		} {
			if out, err := ask(b.bin, append(append([]string{"ofctl"}, args...), "show", target)...); err == nil || !strings.Contains(err.Error()+out, want) {
				t.Errorf("%s %v: %v\n%s\nexpected: %s", target, args, err, out, want)
			}
		}
	}
	if out, err := ask(b.bin, append(append([]string{"ofctl"}, with(good, good, good)...), "show", "ssl:127.0.0.1:6642")...); err == nil || !strings.Contains(err.Error(), "is it a tcp: target?") {
		t.Errorf("ssl: to a tcp: listener: %v\n%s", err, out)
	}
}
